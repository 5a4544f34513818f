"""Firmware from the catalogue to the device and back: the real ACS and its firmware host, simulated devices, and what people see of it."""

import asyncio
import io

import pytest

from ringfence.base.clock import system_clock
from ringfence.fleet.adapters import FLEET_KEY, FileKeys, Sealer
from ringfence.fleet.catalogue.adapters import ImageStore
from ringfence.fleet.model import REALM, DownloadFirmware, Filter, Firmware, InformSeen, Lane, OrderState, Proof, Standing, WantedState
from ringfence.fleet.service import FleetService
from ringfence.protocols.digest import ha1_of
from ringfence.runtime.db import Database
from ringfence.simulators.devices.behaviour import Behaviour
from ringfence.simulators.devices.images import make_image
from ringfence.simulators.devices.models import built_in
from ringfence.simulators.devices.world import World, WorldSettings
from tests.harness.product import Product
from tests.scenarios.stage import eventually

pytestmark = pytest.mark.timeout(180)

MODEL = built_in()[1]
QUICK = Behaviour(boot_seconds=(1.0, 2.0), first_inform_seconds=(0.0, 1.0), download_bytes_per_second=(1e8, 1e8))


def world_of(port: int, seed: int) -> World:
    """One device, which informs there."""
    settings = WorldSettings(acs=f"http://127.0.0.1:{port}/acs", devices=1, models=(MODEL,), behaviour=QUICK, scale=60.0, seed=seed)
    return World(settings)


async def catalogue(fleet: FleetService, store: ImageStore, version: str) -> Firmware:
    image = make_image(MODEL.product_class, version, 700_000)
    incoming = store.receive(f"{version}.image")
    for start in range(0, len(image), 65_536):
        incoming.write(image[start : start + 65_536])
    return await fleet.add_firmware(
        "anna",
        incoming,
        oui=MODEL.oui,
        product_class=MODEL.product_class,
        version=version,
        file_name=f"{version}.image",
        signature="vendor_checked",
    )


async def updated(fleet: FleetService, device_id: int, version: str) -> None:
    """Until the device informs with a version and its order is done; one attempt, and the history says both."""

    async def is_done() -> bool:
        wanted = (await fleet.orders(device_id)).wanted
        versions = {entry.new_value for entry in await fleet.history(device_id) if entry.kind == "firmware"}
        return bool(wanted) and wanted[0].state is WantedState.DONE and version in versions

    await eventually(is_done, f"device {device_id} runs {version} and its order is done")
    (order,) = (await fleet.orders(device_id)).wanted
    assert [(attempt.state, attempt.fault_code) for attempt in order.attempts] == [(OrderState.DONE, 0)]


async def play(product: Product) -> None:
    store = ImageStore(product.folder / "firmware")
    home, shelf = world_of(product.acs_port, 1), world_of(product.bootstrap_port, 2)
    async with Database(product.database_url, name="test") as db:
        fleet = FleetService(db, Sealer(FileKeys(product.folder / "keys" / FLEET_KEY)), None)
        box, stocked = home.devices[0], shelf.devices[0]
        assert box.identity != stocked.identity
        await fleet.import_devices(
            "anna",
            io.StringIO(
                "oui,product_class,serial_number\n"
                f"{stocked.identity.oui},{stocked.identity.product_class},{stocked.identity.serial_number}\n"
            ),
        )
        seen = InformSeen(device=box.identity, peer_ip="127.0.0.1", lane=Lane.MANAGED, proof=Proof.NONE, at_ms=system_clock())
        (known,) = await fleet.admit([seen])
        name, password = box.login()
        await fleet.put_credential(known.device_id, name, ha1_of(username=name, realm=REALM, password=password))
        newest, stock = await catalogue(fleet, store, "3.0.0"), await catalogue(fleet, store, "2.5.0")
        await fleet.want_order("anna", known.device_id, DownloadFirmware(sha256=newest.sha256))
        await fleet.set_stock_firmware("anna", stock.sha256)
        home.start_all()
        shelf.start_all()
        try:
            await updated(fleet, known.device_id, "3.0.0")
            (entry,) = await fleet.stock()
            await updated(fleet, entry.device_id, "2.5.0")
            (entry,) = await fleet.stock()
            assert (entry.software_version, entry.wanted_version, entry.ready) == ("2.5.0", "2.5.0", True)
            (device,) = await fleet.page(Filter(life="in_stock"))
            assert device.standing is Standing.STOCK
            asked = {entry.kind for entry in await fleet.history(entry.device_id) if not entry.person}
            assert "setting" not in asked, "it got its file and nothing else"
        finally:
            await home.close()
            await shelf.close()
    assert (home.counters["downloads"], shelf.counters["downloads"]) == (1, 1)


def test_firmware_goes_from_the_catalogue_to_the_device_and_its_new_version_comes_back() -> None:
    with Product("acs") as product:
        asyncio.run(play(product))
