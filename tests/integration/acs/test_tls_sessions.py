"""Sessions inside TLS: Basic with a device's own password, and client certificates; who shows a wrong one is refused and audited."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from ringfence.apps.acs.proof import Authentication
from ringfence.apps.acs.tls import context_of
from ringfence.base.secret import Secret
from ringfence.fleet.binding import Rules
from ringfence.fleet.model import REALM
from ringfence.runtime.settings import AcsManaged
from ringfence.simulators.devices.behaviour import Behaviour
from ringfence.simulators.devices.device import Device
from ringfence.simulators.devices.factory import Factory
from ringfence.simulators.devices.world import World, WorldSettings
from tests.integration.acs.test_sessions import PATIENCE, Acs, ask, run

BOUND = Rules(release_without_feed=True)
QUICK = Behaviour(boot_seconds=(0.0, 0.0), first_inform_seconds=(0.0, 0.0))


class Plant:
    """The manufacturer's factory, the certificate of the ACS from it, and a device with whichever certificate was made for it."""

    def __init__(self, folder: Path, authentication: Authentication) -> None:
        self.folder = folder / "factory"
        self.factory = Factory(self.folder)
        own = self.factory.certificate("acs", "acs.example.net", address="127.0.0.1")
        authority = self.factory.authority if authentication == "certificate" else None
        lane = AcsManaged(
            listen="127.0.0.1:7547", authentication=authentication, certificate_file=own, key_file=own, client_ca_file=authority
        )
        self.lane = context_of(lane, name="managed")

    def world(self, acs: Acs, password: str = "factory-{serial}") -> World:
        settings = WorldSettings(
            acs=f"https://127.0.0.1:{acs.port}/acs",
            devices=1,
            behaviour=QUICK,
            password=password,
            authority=self.factory.authority,
            certificates=self.folder,
        )
        return World(settings)


async def listed(acs: Acs, device: Device) -> int:
    who = device.identity
    row = f"{who.oui},{who.product_class},{who.serial_number},shipped,L1"
    await acs.fleet.import_devices("anna", io.StringIO(f"oui,product_class,serial_number,state,line\n{row}\n"))
    found: int = ask(acs.url, "select device_id from fleet.devices")[0][0]
    return found


def name_of(device: Device) -> str:
    return f"{device.identity.oui}-{device.identity.serial_number}"


@pytest.mark.parametrize(("password", "managed"), [("factory-{serial}", True), ("guessed", False)])
def test_basic_inside_tls(database_url: str, tmp_path: Path, password: str, managed: bool) -> None:
    plant = Plant(tmp_path, "basic")

    async def body(acs: Acs) -> None:
        world = plant.world(acs, password)
        (device,) = world.devices
        serial, name = device.identity.serial_number, name_of(device)
        plant.factory.certificate(serial, name)
        ha1 = hashlib.md5(f"{name}:{REALM}:factory-{serial}".encode(), usedforsecurity=False).hexdigest()
        try:
            await acs.fleet.put_credential(await listed(acs, device), name, Secret(ha1))
            world.start_all()
            assert await world.wait(lambda world: world.counters["sessions_done"] + world.counters["session_failures"] >= 1, PATIENCE)
            assert world.counters["session_failures" if managed else "sessions_done"] == 0
            assert [reason for reason, _ in await acs.audited()] == ([] if managed else ["wrong_credentials"])
        finally:
            await world.close()

    run(database_url, tmp_path, body, authentication="basic", rules=BOUND, tls=plant.lane)
    assert ask(database_url, "select life from fleet.devices") == [("managed" if managed else "shipped",)]


def own(plant: Plant, device: Device) -> None:
    plant.factory.certificate(device.identity.serial_number, name_of(device))


def expired(plant: Plant, device: Device) -> None:
    plant.factory.certificate(device.identity.serial_number, name_of(device), days=-1)


def of_another_factory(plant: Plant, device: Device) -> None:
    other = Factory(plant.folder / "other").certificate(device.identity.serial_number, name_of(device))
    other.rename(plant.folder / other.name)


def of_another_device(plant: Plant, device: Device) -> None:
    plant.factory.certificate(device.identity.serial_number, "00D09E-RF0100009999")


def of_nobody(plant: Plant, device: Device) -> None:
    plant.factory.certificate(device.identity.serial_number, "")


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (own, ""),
        (expired, "tls_handshake"),
        (of_another_factory, "tls_handshake"),
        (of_another_device, "device_identity_mismatch"),
        (of_nobody, "no_certificate"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_device_is_who_its_certificate_says(
    database_url: str, tmp_path: Path, made: Callable[[Plant, Device], None], reason: str
) -> None:
    plant = Plant(tmp_path, "certificate")

    async def body(acs: Acs) -> None:
        world = plant.world(acs)
        (device,) = world.devices
        made(plant, device)
        try:
            await listed(acs, device)
            world.start_all()
            assert await world.wait(lambda world: world.counters["sessions_done"] + world.counters["session_failures"] >= 1, PATIENCE)
            assert world.counters["sessions_done" if reason else "session_failures"] == 0
            assert await acs.audited() == ([(reason, "127.0.0.1")] if reason else [])
            assert len(acs.told) == (0 if reason else 1)
        finally:
            await world.close()

    run(database_url, tmp_path, body, authentication="certificate", rules=BOUND, tls=plant.lane)
    assert ask(database_url, "select life from fleet.devices") == [("shipped" if reason else "managed",)]
