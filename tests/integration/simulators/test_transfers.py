"""Orders of simulated devices: several in one session, transfers that power cuts break off, uploads, and what owners do by themselves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from ringfence.protocols.cwmp.messages import (
    Download,
    Fault,
    GetAllQueuedTransfers,
    GetAllQueuedTransfersResponse,
    ParameterValue,
    Reboot,
    SetParameterValues,
    Upload,
)
from ringfence.simulators.devices.images import make_image
from tests.integration.simulators.acs import TestAcs
from tests.integration.simulators.test_devices import NEW, QUICK, codes, ended, file_host, once, run, world_of

IMAGE = make_image(NEW.product_class, "2.0.0", 300_000)
SLOW = msgspec.structs.replace(QUICK, download_bytes_per_second=(1.0, 1.0))
"""The first piece takes longer than any test."""


@contextlib.asynccontextmanager
async def taking_host() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Takes files."""
    taken: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.partition("Content-Length: ")[2].partition("\r\n")[0])
        taken.append(head.encode() + await reader.readexactly(length))
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/up", taken
    finally:
        server.close()


def test_orders_of_one_session_are_all_done() -> None:
    async def work() -> None:
        async with file_host(IMAGE) as (url, _heads), taking_host() as (up, taken):
            orders = (
                Upload(command_key="u-1", url=up, username="box", password="pw"),
                Download(command_key="d-1", url=url),
                Reboot("r-1"),
                GetAllQueuedTransfers(),
            )
            async with TestAcs(once(*orders)) as acs, world_of(acs) as world:
                assert await world.wait(lambda _world: len(acs.transfers) == 2)
                queued = acs.answers[3]
                assert isinstance(queued, GetAllQueuedTransfersResponse)
                assert [(one.command_key, one.is_download) for one in queued.transfers] == [("u-1", False), ("d-1", True)]
                assert sorted(one.command_key for one in acs.transfers) == ["d-1", "u-1"]
                assert {one.fault_code for one in acs.transfers} == {0}
                assert any("M Reboot" in codes(inform) for inform in acs.informs)
                assert world.devices[0].version == "2.0.0"
                assert taken[0].startswith(b"PUT /up HTTP/1.1")
                assert b"Authorization: Basic Ym94OnB3" in taken[0]
                assert world.devices[0].identity.serial_number.encode() in taken[0]

    run(work)


def test_a_fourth_transfer_is_refused() -> None:
    async def work() -> None:
        orders = [Download(command_key=f"d-{number}", url="http://127.0.0.1:1/none") for number in range(4)]
        async with TestAcs(once(*orders)) as acs, world_of(acs) as world:
            assert await world.wait(lambda _world: len(acs.transfers) == 3, 55.0)
            assert [isinstance(one, Fault) and one.fault_code for one in acs.answers] == [False, False, False, 9004]
            assert {one.fault_code for one in acs.transfers} == {9015}

    run(work)


@pytest.mark.parametrize(("forgets", "key"), [(0.0, "d-1"), (1.0, "")])
def test_a_power_cut_ends_a_download_which_is_told_afterwards(forgets: float, key: str) -> None:
    behaviour = msgspec.structs.replace(SLOW, forgets_key=forgets)

    async def work() -> None:
        async with (
            file_host(IMAGE) as (url, _heads),
            TestAcs(once(Download(command_key="d-1", url=url))) as acs,
            world_of(acs, behaviour) as world,
        ):
            assert await world.wait(lambda world: world.counters["bytes"] > 0)
            world.power_cut()
            assert await world.wait(lambda _world: bool(acs.transfers))
            assert (acs.transfers[0].command_key, acs.transfers[0].fault_code) == (key, 9010)
            assert sorted(codes(acs.informs[-1])) == ["1 BOOT", "7 TRANSFER COMPLETE", "M Download"]
            assert world.devices[0].version == "1.0.0"

    run(work)


@pytest.mark.parametrize("told", [0.0, 1.0])
def test_an_owners_update_is_told_or_seen_in_the_version(told: float) -> None:
    behaviour = msgspec.structs.replace(QUICK, tells_own_update=told)

    async def work() -> None:
        async with TestAcs() as acs, world_of(acs, behaviour) as world:
            assert await world.wait(ended(1))
            world.devices[0].own_update()
            assert await world.wait(ended(2))
            assert len(acs.autonomous) == told
            values = {one.name: one.value for one in acs.informs[1].parameters}
            assert values["Device.DeviceInfo.SoftwareVersion"] == behaviour.own_version
            assert ("10 AUTONOMOUS TRANSFER COMPLETE" in codes(acs.informs[1])) == bool(told)
            assert "4 VALUE CHANGE" in codes(acs.informs[1])

    run(work)


def test_an_owners_reset_brings_back_the_factorys_url_and_credentials() -> None:
    names = ("Device.ManagementServer.Username", "Device.ManagementServer.Password", "Device.ManagementServer.URL")

    async def work() -> None:
        async with TestAcs(login=True) as old, TestAcs() as new:
            given = (*(ParameterValue(name, "mine") for name in names[:2]), ParameterValue(names[2], new.url))
            old.script = once(SetParameterValues(given, "k"))
            async with world_of(old) as world:
                assert await world.wait(ended(1))
                (device,) = world.devices
                device.wake("2 PERIODIC")
                assert await world.wait(ended(2))
                assert codes(new.informs[0]) == ["0 BOOTSTRAP", "2 PERIODIC"]
                old.script = once()
                device.factory_reset()
                assert await world.wait(ended(3))
                assert len(old.informs) == 2, "with the factory's password, or it would have been asked again"
                assert sorted(codes(old.informs[1])) == ["0 BOOTSTRAP", "1 BOOT"]

    run(work)
