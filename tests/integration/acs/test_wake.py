"""Waking on a real PostgreSQL, through the real front: simulated devices hear connection requests and inform, and traps stay shut."""

import asyncio
import contextlib
import hashlib
import io
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from ringfence.access.service import AccessService
from ringfence.apps.acs.auditor import Auditor
from ringfence.apps.acs.batch import Batcher
from ringfence.apps.acs.conversations import Conversations, InformTold, Shared, Storms, settling
from ringfence.apps.acs.front import Front
from ringfence.apps.acs.proof import Prover
from ringfence.apps.acs.seal import CookieSealer
from ringfence.apps.acs.stun import StunServer, open_socket
from ringfence.apps.acs.wake import WakeLimits, Waker
from ringfence.apps.acs.waking import waking_of
from ringfence.apps.acs.wire import Limits
from ringfence.base.clock import system_clock
from ringfence.base.errors import OperatorError, PeerError
from ringfence.base.secret import Secret
from ringfence.fleet.adapters import FLEET_KEY, FileKeys, Sealer
from ringfence.fleet.binding import Rules
from ringfence.fleet.model import Filter, Lane, LineSeen
from ringfence.fleet.service import FleetService
from ringfence.fleet.waking.service import Making
from ringfence.protocols import stun
from ringfence.protocols.cwmp import built_in as quirks
from ringfence.protocols.nonces import NonceMint
from ringfence.runtime.db import Database
from ringfence.runtime.http import open_listener
from ringfence.runtime.keys import ensure_key
from ringfence.runtime.settings import Acs, AcsWake, Settings
from ringfence.simulators.devices.behaviour import Behaviour
from ringfence.simulators.devices.device import Device
from ringfence.simulators.devices.models import built_in
from ringfence.simulators.devices.wake import Doorbell, WakeHabit
from ringfence.simulators.devices.world import World, WorldSettings
from ringfence.subscribers.service import SubscribersService
from tests.integration.acs.test_sessions import ask

PATIENCE = 60.0
MODEL = built_in()[1]
QUICK = Behaviour(boot_seconds=(1.0, 1.0), first_inform_seconds=(0.0, 0.5))
LIMITS = WakeLimits(per_second=1_000, per_access_node=1_000, device_spacing_ms=900, tries=2)
OWN = ("127.0.0.0/8",)


class Feed:
    """Every address is its own line, behind one access node, until it is said to be somebody else's."""

    def __init__(self) -> None:
        self.moved: dict[str, str] = {}

    async def __call__(self, addresses: Sequence[str], at_ms: int) -> Mapping[str, LineSeen]:
        assert at_ms > 0
        named = {one: self.moved.get(one, f"line-{one}") for one in addresses if one.startswith("127.")}
        return {one: LineSeen(line=line, access_node="node-1") for one, line in named.items() if line}


class House:
    """The ACS with its waker, and the devices."""

    def __init__(self, url: str, world: World, fleet: FleetService, auditor: Auditor, told: list[InformTold], stun_port: int) -> None:
        self.url, self.world, self.fleet, self.auditor, self.told, self.stun_port = url, world, fleet, auditor, told, stun_port
        self.feed = Feed()
        self.doorbells: list[Doorbell] = []
        self.ids: dict[str, int] = {}

    async def ring_in(self, device: Device, *habits: WakeHabit, host: str = "") -> Doorbell:
        """A doorbell, heard of at the device's next Inform."""
        doorbell = Doorbell(device, host or self.world.source_of(device.index), frozenset(habits))
        self.doorbells.append(doorbell)
        await doorbell.open()
        return doorbell

    async def begin(self) -> None:
        """Switch all on, and wait until each has its settings and is known."""
        self.world.start_all()
        devices = len(self.world.devices)
        assert await self.world.wait(lambda world: world.counters["sessions_done"] >= devices, PATIENCE)
        page = await self.fleet.page(Filter(), limit=500)
        self.ids = {one.serial_number: one.device_id for one in page}
        assert {one.standing.value for one in page} == {"managed"}

    async def want(self, device: Device) -> int:
        device_id = self.ids[device.identity.serial_number]
        await self.fleet.want_awake("anna", device_id)
        return device_id

    def woken(self) -> set[int]:
        return {one.device_id for one in self.told if "6 CONNECTION REQUEST" in one.events}

    async def until(self, ready: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not await ready():  # It is the database that is waited for.
                await asyncio.sleep(0.05)

    async def queue_empties(self) -> None:
        async def empty() -> bool:
            return (await asyncio.to_thread(ask, self.url, "select count(*) from fleet.wake_queue")) == [(0,)]

        await self.until(empty)

    async def end_of(self, device_id: int) -> list[str]:
        """Why a device was given up."""
        await self.queue_empties()
        return [entry.new_value for entry in await self.fleet.history(device_id) if (entry.kind, entry.name) == ("wake", "given_up")]

    async def audited(self) -> set[str]:
        await self.auditor.flush()
        rows = await asyncio.to_thread(ask, self.url, "select detail::text from access.audit where action = 'device.refused'")
        return {str(msgspec.json.decode(detail)["reason"]) for (detail,) in rows}


def sheet(world: World) -> io.StringIO:
    lines = ["oui,product_class,serial_number,state,line,customer"]
    for device in world.devices:
        who = device.identity
        lines.append(f"{who.oui},{who.product_class},{who.serial_number},shipped,line-{world.source_of(device.index)},C{device.index}")
    return io.StringIO("\n".join(lines) + "\n")


@contextlib.asynccontextmanager
async def house(
    url: str, folder: Path, *, devices: int = 1, limits: WakeLimits = LIMITS, ranges: Sequence[str] = OWN, with_stun: bool = False
) -> AsyncIterator[House]:
    ensure_key(folder / FLEET_KEY)
    told: list[InformTold] = []

    async def announce(_subject: str, payload: bytes) -> None:
        told.append(msgspec.json.decode(payload, type=InformTold))

    async def networks() -> Sequence[str]:
        return ranges

    feed = Feed()
    async with Database(url, name="test", wait_seconds=5.0) as db, asyncio.TaskGroup() as group:
        making = Making(random_bytes=os.urandom, stun=with_stun)
        fleet = FleetService(db, Sealer(FileKeys(folder / FLEET_KEY)), feed, Rules(trust_unproven=True), system_clock, making)
        auditor = Auditor(AccessService(db))
        server = StunServer(fleet, system_clock, auditor.refused) if with_stun else None
        waker = Waker(fleet, networks, limits, lines=feed, server=server, own=frozenset(), clock=system_clock, refused=auditor.refused)
        shared = Shared(
            fleet=fleet,
            admit=Batcher(waker.noticing(fleet.admit), group),
            settle=Batcher(settling(fleet), group),
            take_step=Batcher(fleet.take_steps, group),
            announce=announce,
            quirks=quirks(),
            cookies=CookieSealer(Secret("key")),
            clock=system_clock,
            most=1_000,
            sessions={},
            storms=Storms(),
            refused=auditor.refused,
        )
        prover = Prover(
            fleet.credential,
            NonceMint(b"a key of 16 bytes"),
            system_clock,
            lane=Lane.MANAGED,
            authentication="none",
            refused=auditor.refused,
        )
        conversations = Conversations(shared, prover, Lane.MANAGED)
        front = Front(conversations.handle, name="test", limits=Limits(), group=group, refused=auditor.refused, left=conversations.left)
        listener = open_listener("127.0.0.1:0", name="test")
        await front.start(listener)
        tasks = [group.create_task(front.sweep()), group.create_task(waker.run())]
        stun_port, transport = 0, None
        if server is not None:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", 0))
            stun_port = transport.get_extra_info("sockname")[1]
            tasks.append(group.create_task(server.learn()))
        acs = f"http://127.0.0.1:{listener.getsockname()[1]}/acs"
        world = World(WorldSettings(acs=acs, devices=devices, models=(MODEL,), behaviour=QUICK, scale=100.0, spread=True))
        found = House(url, world, fleet, auditor, told, stun_port)
        found.feed = feed
        await fleet.import_devices("anna", sheet(world))
        try:
            yield found
        finally:
            for doorbell in found.doorbells:
                await doorbell.close()
            await world.close()
            if transport is not None:
                transport.close()
            front.stop()
            front.abort()
            for task in tasks:
                task.cancel()


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(2 * PATIENCE):
            await work()

    uvloop.run(bounded())


@pytest.mark.parametrize("habit", [None, WakeHabit.NO_QOP, WakeHabit.DROPS_FIRST, WakeHabit.SESSION_FIRST, WakeHabit.SILENT])
def test_a_device_that_somebody_wants_awake_informs(database_url: str, tmp_path: Path, habit: WakeHabit | None) -> None:
    async def work() -> None:
        async with house(database_url, tmp_path) as found:
            (device,) = found.world.devices
            await found.ring_in(device, *([habit] if habit else []))
            await found.begin()
            device_id = await found.want(device)
            assert await found.world.wait(lambda world: world.counters["wakes_heard"] >= 1, PATIENCE)
            await found.queue_empties()
            assert found.woken() == {device_id}
            assert await found.end_of(device_id) == []
            password = device.of("ManagementServer.ConnectionRequestPassword")
            assert len(password) >= 24
            dump = await asyncio.to_thread(
                ask, database_url, "select row_to_json(t)::text from fleet.history t union all select lines::text from fleet.transcripts"
            )
            assert password not in repr(dump)

    run(work)


def test_a_wrong_password_is_told_apart_and_the_device_is_given_up(database_url: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with house(database_url, tmp_path) as found:
            (device,) = found.world.devices
            await found.ring_in(device)
            await found.begin()
            device.tree.put(f"{MODEL.root}ManagementServer.ConnectionRequestPassword", "somebody changed it")
            assert await found.end_of(await found.want(device)) == ["wrong_credential"]
            assert found.world.counters["wake_answers_401"] == 4, "two tries of one challenge round each"
            assert found.woken() == set()

    run(work)


def test_a_url_that_points_elsewhere_is_never_fetched_and_is_audited(database_url: str, tmp_path: Path) -> None:
    heard: list[str] = []

    async def victim(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append("connected")
        writer.transport.abort()

    async def work() -> None:
        async with house(database_url, tmp_path, devices=3) as found, await asyncio.start_server(victim, "127.66.6.6", 0) as server:
            port = server.sockets[0].getsockname()[1]
            found.feed.moved["127.66.6.6"] = ""
            trap, redirecting, moved = found.world.devices
            trap.tree.put(f"{MODEL.root}ManagementServer.ConnectionRequestURL", f"http://127.66.6.6:{port}/admin")
            doorbell = Doorbell(
                redirecting, found.world.source_of(redirecting.index), frozenset({WakeHabit.REDIRECTS}), f"http://127.66.6.6:{port}/"
            )
            found.doorbells.append(doorbell)
            await doorbell.open()
            await found.ring_in(moved)
            await found.begin()
            found.feed.moved[found.world.source_of(moved.index)] = "line-of-somebody-else"
            ids = [await found.want(device) for device in (trap, redirecting, moved)]
            assert [await found.end_of(device_id) for device_id in ids] == [["other_address"], ["odd"], ["other_line"]]
            assert heard == []
            assert found.world.counters["wakes_heard"] == 0
            assert await found.audited() == {"wake_other_address", "wake_other_line"}

    run(work)


def test_who_cannot_be_reached_is_left_to_its_next_inform(database_url: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with house(database_url, tmp_path, devices=2) as found:
            closed, homely = found.world.devices
            await (await found.ring_in(closed)).close()
            homely.tree.put(f"{MODEL.root}ManagementServer.ConnectionRequestURL", "http://192.168.1.1:7547/x")
            await found.begin()
            ids = [await found.want(device) for device in (closed, homely)]
            assert [await found.end_of(device_id) for device_id in ids] == [["unreachable"], ["behind_nat"]]
            assert await found.audited() == set(), "a home network is no attack"

    run(work)


def test_without_ranges_of_the_operator_nobody_is_rung_at(database_url: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with house(database_url, tmp_path, ranges=()) as found:
            (device,) = found.world.devices
            await found.ring_in(device)
            await found.begin()
            assert await found.end_of(await found.want(device)) == ["no_own_ranges"]
            assert found.world.counters["wake_connections"] == 0

    run(work)


def test_many_are_woken_at_the_pace_that_was_set(database_url: str, tmp_path: Path) -> None:
    limits = WakeLimits(per_second=50, per_access_node=1_000, device_spacing_ms=60_000, tries=2)

    async def work() -> None:
        async with house(database_url, tmp_path, devices=150, limits=limits) as found:
            for device in found.world.devices:
                await found.ring_in(device, WakeHabit.OPEN)
            await found.begin()
            began = time.monotonic()
            ids = {await found.want(device) for device in found.world.devices}
            assert await found.world.wait(lambda world: world.counters["wakes_heard"] >= 150, PATIENCE)
            seconds = time.monotonic() - began
            assert seconds >= (150 - 5) / 50 - 0.1
            await found.queue_empties()
            assert found.woken() == ids
            assert found.world.counters["wakes_heard"] == 150, "each once"

    run(work)


def test_an_access_node_gets_no_more_than_its_share_and_waiting_is_no_try(database_url: str, tmp_path: Path) -> None:
    limits = WakeLimits(per_second=1_000, per_access_node=8, device_spacing_ms=60_000, tries=1)

    async def work() -> None:
        async with house(database_url, tmp_path, devices=30, limits=limits) as found:
            for device in found.world.devices:
                await found.ring_in(device, WakeHabit.OPEN)
            await found.begin()
            began = time.monotonic()
            ids = [await found.want(device) for device in found.world.devices]
            assert await found.world.wait(lambda world: world.counters["wakes_heard"] >= 30, PATIENCE)
            assert time.monotonic() - began >= (30 - 1) / 8 - 0.1
            assert [await found.end_of(device_id) for device_id in ids] == [[]] * 30

    run(work)


def test_a_device_behind_nat_is_woken_from_the_stun_servers_own_address(database_url: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with house(database_url, tmp_path, with_stun=True) as found:
            (device,) = found.world.devices
            await found.begin()
            found.feed.moved["127.250.0.1"] = ""  # An address of the NAT's, which no line holds.
            doorbell = Doorbell(device, "127.250.0.1")
            found.doorbells.append(doorbell)
            await doorbell.open_udp(("127.0.0.1", found.stun_port))
            with pytest.raises(PeerError, match="401"):
                await doorbell.bind(signed=False)
            seen = await doorbell.bind()
            assert seen.startswith("127.250.0.1:")

            async def learnt() -> bool:
                return await asyncio.to_thread(ask, database_url, "select address from fleet.udp_bindings") == [(seen,)]

            await found.until(learnt)
            device_id = await found.want(device)
            assert await found.world.wait(lambda world: world.counters["wakes_heard"] >= 1, PATIENCE)
            await found.queue_empties()
            assert found.woken() == {device_id}
            assert found.world.counters["wakes_heard"] == 1, "three copies are one request"

    run(work)


def test_the_settings_open_the_stun_server(database_url: str, tmp_path: Path) -> None:
    async def work() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as kept:
            kept.bind(("127.0.0.1", 0))
            port = kept.getsockname()[1]
        wake = AcsWake(stun_listen=f"127.0.0.1:{port}")
        settings = Settings(data_dir=tmp_path, acs=Acs(wake=wake))
        ensure_key(tmp_path / FLEET_KEY)
        async with Database(database_url, name="test", wait_seconds=5.0) as db:
            networks = io.BytesIO(b"prefix,kind\n127.5.0.0/16,own_pool\n127.6.0.0/16,monitoring\n")
            await SubscribersService(db, b"key").import_networks("anna", networks)
            fleet = FleetService(db, Sealer(FileKeys(tmp_path / FLEET_KEY)), None)
            waking = waking_of(settings, db, fleet, None, system_clock, lambda _address, _reason: None)
            running = asyncio.create_task(waking.run())
            loop, request = asyncio.get_running_loop(), stun.encode_request(stun.BindingRequest(bytes(12)))
            inside, heard = await loop.create_datagram_endpoint(Listener, local_addr=("127.5.0.1", 0), remote_addr=("127.0.0.1", port))
            watch, unheard = await loop.create_datagram_endpoint(Listener, local_addr=("127.6.0.1", 0), remote_addr=("127.0.0.1", port))
            async with asyncio.timeout(PATIENCE):
                while heard.came.empty():  # It answers nobody before it has read the ranges.
                    watch.sendto(request)
                    inside.sendto(request)
                    await asyncio.sleep(0.05)
            assert unheard.came.empty(), "a range of ours that holds no devices"
            inside.close()
            watch.close()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            with pytest.raises(OperatorError, match="stun_listen"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
                taken.bind(("127.0.0.1", port))
                open_socket(f"127.0.0.1:{port}")

    run(work)


class Listener(asyncio.DatagramProtocol):
    """What came."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002
        self.came.put_nowait(data)


def test_the_stun_server_amplifies_nothing_and_believes_no_stranger(database_url: str, tmp_path: Path) -> None:
    async def work() -> None:
        async with house(database_url, tmp_path, with_stun=True, ranges=("127.1.0.0/16", "127.5.0.0/16")) as found:
            (device,) = found.world.devices
            await found.begin()
            device_id = found.ids[device.identity.serial_number]
            loop, server = asyncio.get_running_loop(), ("127.0.0.1", found.stun_port)
            inside, heard = await loop.create_datagram_endpoint(Listener, local_addr=("127.5.0.1", 0), remote_addr=server)
            outside, unheard = await loop.create_datagram_endpoint(Listener, local_addr=("127.9.0.1", 0), remote_addr=server)
            name = device.of("ManagementServer.STUNUsername")
            forged = Secret("not the password")
            for number, transaction in enumerate((bytes(12), bytes(16))):
                request = stun.BindingRequest(transaction, connection_request=bool(number))
                inside.sendto(stun.encode_request(request))
                answer = await asyncio.wait_for(heard.came.get(), PATIENCE)
                assert stun.decode_response(answer).address == "127.5.0.1"
                assert len(answer) <= len(stun.encode_request(request)) + 12
            claim = stun.BindingRequest(hashlib.sha256(b"t").digest()[:16], name, connection_request=True)
            inside.sendto(stun.encode_request(claim, password=forged))
            await asyncio.wait_for(heard.came.get(), PATIENCE)

            async def noticed() -> bool:
                return "stun_signature" in await found.audited()

            await found.until(noticed)
            outside.sendto(stun.encode_request(claim, password=Secret(device.of("ManagementServer.STUNPassword"))))
            inside.sendto(b"\x00\x01 no request at all")
            inside.sendto(stun.encode_request(stun.BindingRequest(bytes(12))))
            await asyncio.wait_for(heard.came.get(), PATIENCE)  # The server has read what came before it.
            assert heard.came.empty()
            assert unheard.came.empty()
            assert await asyncio.to_thread(ask, database_url, "select count(*) from fleet.udp_bindings") == [(0,)]
            assert device_id
            inside.close()
            outside.close()

    run(work)
