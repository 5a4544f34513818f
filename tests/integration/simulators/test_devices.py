"""Simulated devices against an ACS over real sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest

from ringfence.protocols.cwmp.messages import (
    AcsRequest,
    Download,
    FactoryReset,
    Fault,
    GetParameterValues,
    GetParameterValuesResponse,
    Inform,
    ParameterValue,
    Reboot,
    ScheduleInform,
    SetParameterValues,
)
from ringfence.simulators.devices.behaviour import Behaviour, Oddity
from ringfence.simulators.devices.device import Power
from ringfence.simulators.devices.images import make_image
from ringfence.simulators.devices.models import built_in
from ringfence.simulators.devices.world import World, WorldSettings
from tests.integration.simulators.acs import TestAcs

NEW = built_in()[1]
QUICK = Behaviour(boot_seconds=(1.0, 2.0), first_inform_seconds=(0.0, 1.0), download_bytes_per_second=(1e8, 1e8))


def once(*requests: AcsRequest) -> Callable[[Inform], list[AcsRequest]]:
    """Ask at bootstrap, never again."""
    return lambda inform: list(requests) if inform.events[0].event_code == "0 BOOTSTRAP" else []


def codes(inform: Inform) -> list[str]:
    return [event.event_code for event in inform.events]


@contextlib.asynccontextmanager
async def world_of(acs: TestAcs, behaviour: Behaviour = QUICK, devices: int = 1) -> AsyncIterator[World]:
    settings = WorldSettings(acs=acs.url, devices=devices, models=(NEW,), behaviour=behaviour, scale=100.0)
    world = World(settings)
    world.start_all()
    try:
        yield world
    finally:
        await world.close()


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await work()

    asyncio.run(bounded())


def ended(count: int) -> Callable[[World], bool]:
    return lambda world: world.counters["sessions_done"] >= count


def test_the_first_session_is_a_bootstrap_with_login() -> None:
    async def work() -> None:
        async with TestAcs(login=True) as acs, world_of(acs, devices=20) as world:
            assert await world.wait(ended(20))
            assert all(codes(inform) == ["0 BOOTSTRAP", "1 BOOT"] for inform in acs.informs)
            assert len({inform.device_id.serial_number for inform in acs.informs}) == 20
            assert world.counters["session_failures"] == 0

    run(work)


def test_a_failed_session_is_repeated_with_its_events_and_a_count() -> None:
    async def work() -> None:
        async with TestAcs(fail=2) as acs, world_of(acs) as world:
            assert await world.wait(ended(1))
            assert (acs.informs[0].retry_count, codes(acs.informs[0])) == (2, ["0 BOOTSTRAP", "1 BOOT"])
            assert world.counters["failed_http_503"] == 2

    run(work)


def test_values_are_read_set_and_refused() -> None:
    code, model = "Device.DeviceInfo.ProvisioningCode", "Device.DeviceInfo.ModelName"
    script = once(
        SetParameterValues((ParameterValue(code, "P1"),), "key-1"),
        GetParameterValues((code, "Device.ManagementServer.ParameterKey")),
        SetParameterValues((ParameterValue(code, "P2"), ParameterValue(model, "x")), "key-2"),
        GetParameterValues(("Device.Nothing",)),
    )

    async def work() -> None:
        async with TestAcs(script) as acs, world_of(acs) as world:
            assert await world.wait(ended(1))
            _set, read, refused, unknown = acs.answers
            assert isinstance(read, GetParameterValuesResponse)
            assert [value.value for value in read.parameters] == ["P1", "key-1"]
            assert isinstance(refused, Fault)
            assert [(fault.name, fault.code) for fault in refused.parameter_faults] == [(model, 9008)]
            assert isinstance(unknown, Fault)
            assert unknown.fault_code == 9005
            assert world.devices[0].of("DeviceInfo.ProvisioningCode") == "P1"

    run(work)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (Reboot("r-1"), ["1 BOOT", "M Reboot"]),
        (FactoryReset(), ["0 BOOTSTRAP", "1 BOOT"]),
        (ScheduleInform(3, "s-1"), ["3 SCHEDULED", "M ScheduleInform"]),
    ],
)
def test_orders_come_back_as_events(order: AcsRequest, expected: list[str]) -> None:
    asked: list[AcsRequest] = [order]

    async def work() -> None:
        async with TestAcs(lambda _inform: [asked.pop()] if asked else []) as acs, world_of(acs) as world:
            assert await world.wait(ended(2))
            assert sorted(codes(acs.informs[1])) == expected

    run(work)


@contextlib.asynccontextmanager
async def file_host(data: bytes, break_at: int = 0) -> AsyncIterator[tuple[str, list[str]]]:
    """Serves one file with ranges; the first answer breaks off at a byte."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        heads.append(head)
        start = int(head.partition("Range: bytes=")[2].partition("-")[0] or 0)
        end = break_at if break_at and len(heads) == 1 else len(data)
        status = "206 Partial Content" if start else "200 OK"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(data) - start}\r\n\r\n".encode() + data[start:end])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/image", heads
    finally:
        server.close()


def test_firmware_is_fetched_resumed_installed_and_told() -> None:
    image = make_image(NEW.product_class, "2.0.0", 300_000)

    async def work() -> None:
        async with file_host(image, break_at=100_000) as (url, heads):
            script = once(Download(command_key="d-1", url=url, file_size=len(image)))
            async with TestAcs(script) as acs, world_of(acs) as world:
                assert await world.wait(lambda world: bool(acs.transfers) and ended(2)(world))
                assert (acs.transfers[0].command_key, acs.transfers[0].fault_code) == ("d-1", 0)
                assert sorted(codes(acs.informs[1])) == ["1 BOOT", "7 TRANSFER COMPLETE", "M Download"]
                assert world.devices[0].version == "2.0.0"
                assert ["Range: bytes=100000-" in head for head in heads] == [False, True]

    run(work)


@pytest.mark.parametrize(
    ("image", "size", "code"),
    [
        (make_image("Other", "2.0.0"), 0, 9019),
        (make_image(NEW.product_class, "2.0.0")[:-1] + b"?", 0, 9018),
        (make_image(NEW.product_class, "2.0.0"), 99_999, 9018),
        (b"<html>" * 100, 0, 9018),
    ],
)
def test_bad_images_are_not_installed(image: bytes, size: int, code: int) -> None:
    async def work() -> None:
        async with file_host(image) as (url, _heads):
            script = once(Download(command_key="d-1", url=url, file_size=size))
            async with TestAcs(script) as acs, world_of(acs) as world:
                assert await world.wait(lambda _world: bool(acs.transfers))
                assert acs.transfers[0].fault_code == code
                assert world.devices[0].version == "1.0.0"

    run(work)


@pytest.mark.parametrize(("share", "power"), [("brick", Power.BRICKED), ("silence", Power.SILENT)])
def test_some_never_inform_again(share: str, power: Power) -> None:
    image = make_image(NEW.product_class, "2.0.0")
    behaviour = msgspec.structs.replace(QUICK, **{share: 1.0})

    async def work() -> None:
        async with (
            file_host(image) as (url, _heads),
            TestAcs(once(Download(command_key="d-1", url=url))) as acs,
            world_of(acs, behaviour) as world,
        ):
            assert await world.wait(lambda world: any(True for _ in world.with_power(power)))
            assert len(acs.informs) == 1

    run(work)


def test_a_power_cut_brings_all_back_with_a_boot() -> None:
    async def work() -> None:
        async with TestAcs() as acs, world_of(acs, devices=10) as world:
            assert await world.wait(ended(10))
            world.power_cut()
            assert await world.wait(ended(20))
            assert all(codes(inform) == ["1 BOOT"] for inform in acs.informs[10:])

    run(work)


@pytest.mark.parametrize("oddity", [odd for odd in Oddity if odd not in {Oddity.NO_XML_DECLARATION, Oddity.GZIP, Oddity.RECONNECTS}])
def test_odd_devices_still_speak(oddity: Oddity) -> None:
    behaviour = Behaviour(boot_seconds=(1.0, 2.0), first_inform_seconds=(0.0, 1.0), oddities=(oddity,))

    async def work() -> None:
        async with TestAcs(once(GetParameterValues(("Device.DeviceInfo.",))), login=True) as acs, world_of(acs, behaviour) as world:
            assert await world.wait(ended(1))
            assert len(acs.answers) == 1
            later = acs.heads[2:]
            assert any("s=1" in head for head in later) == (oddity is not Oddity.NO_COOKIE)
            assert acs.connections == (2 if oddity is Oddity.RECONNECT_AFTER_401 else 1)
            assert any("chunked" in head for head in acs.heads) == (oddity is Oddity.CHUNKED)

    run(work)


def test_a_device_without_declarations_gives_up_on_an_acs_that_writes_them() -> None:
    behaviour = Behaviour(boot_seconds=(1.0, 2.0), first_inform_seconds=(0.0, 1.0), oddities=(Oddity.NO_XML_DECLARATION,))

    async def work() -> None:
        async with TestAcs() as acs, world_of(acs, behaviour) as world:
            assert await world.wait(lambda world: world.counters["failed_xml_declaration"] > 0)
            assert acs.answers == []

    run(work)
