"""The connector against a real Kamailio: filled, refused in milliseconds, restarted, repaired; an emergency call passes all the time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ringfence.base.clock import system_clock
from ringfence.base.secret import Secret
from ringfence.enforcement.adapters.edge_rpc import connect_edge
from ringfence.enforcement.agent.link import Edge, EdgeLink
from ringfence.enforcement.kamailio import settings_file
from ringfence.enforcement.model import Block, Scope
from ringfence.enforcement.projection import TABLES, EdgeTable, Place, held_for, place_of
from ringfence.simulators.answerer import Answerer
from ringfence.simulators.caller import Caller, CallerLine
from ringfence.simulators.kamailio import DOMAIN, Authentication, RunningKamailio, start_kamailio
from tests.peers.kamailio import EMERGENCY, HOTLINE, PLAN, TOKEN, Rpc, definition, free_port

pytestmark = [pytest.mark.peer("kamailio"), pytest.mark.timeout(120)]

HOUR_MS = 3_600_000


def block(scope: Scope, value: str, *, block_id: str, destination_class: int = 0, lasts_ms: int = HOUR_MS) -> Block:
    now_ms = system_clock()
    return Block(
        block_id=block_id,
        scope=scope,
        value=value,
        destination_class=destination_class,
        imposed_ms=now_ms,
        until_ms=now_ms + lasts_ms,
        origin="person:anna",
        author="anna",
        reason="test",
    )


class Connected:
    """A table, a link that keeps one Kamailio in agreement with it, and what that Kamailio holds."""

    def __init__(self, port: int) -> None:
        self.table = EdgeTable()
        self.port = port
        loaded = asyncio.Event()
        loaded.set()
        edge = Edge(name="kamailio-1", url=f"http://127.0.0.1:{port}/rpc", token=Secret(TOKEN))
        self.link = EdgeLink(edge, self.table, clock=system_clock, loaded=loaded)

    def put(self, made: Block) -> None:
        self.link.put(self.table.put(made, system_clock()))

    def held(self) -> dict[Place, str]:
        rpc = Rpc(self.port)
        try:
            dumps = {table: rpc.call("htable.dump", table) for table in TABLES}
        finally:
            rpc.close()
        return {Place(table, item["name"]): item["value"] for table, slots in dumps.items() for slot in slots for item in slot["slot"]}

    def wanted(self) -> dict[Place, str]:
        return {place: value for table in TABLES for place, value in self.table.of_table(table).items()}

    async def until(self, holds: Callable[[], bool | Awaitable[bool]], seconds: float = 15.0) -> float:
        started = time.monotonic()
        while True:
            found = holds()
            if found if isinstance(found, bool) else await found:
                return time.monotonic() - started
            assert time.monotonic() < started + seconds, self.link.report()
            await asyncio.sleep(0.005)

    def agrees(self) -> bool:
        report = self.link.report()
        return report.agrees and not report.waiting


async def with_kamailio(folder: Path, scenario: Callable[[RunningKamailio, Connected, Answerer], Awaitable[None]]) -> None:
    sip, rpc = free_port(), free_port()
    async with await Answerer.open() as gateway:
        settings = settings_file(definition(rpc, ("127.0.0.1", free_port()), plan=PLAN, emergency=EMERGENCY, hotline=HOTLINE))
        with await asyncio.to_thread(
            start_kamailio,
            folder,
            sip_port=sip,
            settings=settings,
            accounts={"alice": "secret-a", "bob": "secret-b"},
            gateway=gateway.address,
            authentication=Authentication.STOCK,
        ) as kamailio:
            connected = Connected(rpc)
            task = asyncio.ensure_future(connected.link.run())
            try:
                await scenario(kamailio, connected, gateway)
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


def test_a_block_is_refused_at_once_and_the_emergency_call_is_not(tmp_path: Path) -> None:
    async def scenario(kamailio: RunningKamailio, connected: Connected, gateway: Answerer) -> None:
        connected.put(block(Scope.ACCOUNT, "bob", block_id="b-bob"))
        await connected.until(connected.agrees)
        async with await CallerLine.open(kamailio.sip_address) as line:
            alice, bob = Caller(line, "alice", "secret-a", DOMAIN), Caller(line, "bob", "secret-b", DOMAIN)
            assert (await bob.invite("03012345")).answer.status_code == 603
            assert (await bob.invite("112")).answer.status_code == 200
            assert (await alice.invite("0023276123456")).answer.status_code == 200
            connected.put(block(Scope.CLASS, "alice", block_id="b-alice", destination_class=3))
            took = await connected.until(connected.agrees, seconds=1)
            assert took < 0.2
            assert (await alice.invite("0023276123456")).answer.status_code == 603
            assert (await alice.invite("03012345")).answer.status_code == 200
            assert (await alice.invite("110")).answer.status_code == 200
            connected.link.put(connected.table.drop("b-alice", system_clock()))
            await connected.until(connected.agrees, seconds=1)
            assert (await alice.invite("0023276123456")).answer.status_code == 200

    asyncio.run(with_kamailio(tmp_path / "k", scenario))


def with_dialogs(kamailio: RunningKamailio) -> None:
    """Give the main configuration the dialog module, as an operator who wants running calls to be ended does."""
    configuration = kamailio.folder / "kamailio.cfg"
    text = configuration.read_text()
    for mark, more in (('loadmodule "siputils.so"\n', 'loadmodule "dialog.so"\n'), ("route[RELAY] {\n", "\tdlg_manage();\n")):
        assert mark in text
        text = text.replace(mark, mark + more, 1)
    configuration.write_text(text)
    kamailio.restart()


def test_a_running_call_is_ended_at_both_sides_and_no_other(tmp_path: Path) -> None:
    async def scenario(kamailio: RunningKamailio, connected: Connected, gateway: Answerer) -> None:
        await asyncio.to_thread(with_dialogs, kamailio)
        await connected.until(connected.agrees)
        async with await CallerLine.open(kamailio.sip_address) as line:
            alice = Caller(line, "alice", "secret-a", DOMAIN)
            ended, spared = await alice.invite("0023276123456"), await alice.invite("0023276123457")
            assert (ended.answer.status_code, spared.answer.status_code) == (200, 200)
            connected.link.end_call(block(Scope.CALL, ended.call_id, block_id="b-call", destination_class=4))
            connected.link.end_call(block(Scope.CALL, "nobody-knows@it", block_id="b-none", destination_class=4))

            async def state_of(call_id: str) -> int:
                rpc = await connect_edge("kamailio-1", f"http://127.0.0.1:{connected.port}/rpc", Secret(TOKEN))
                try:
                    return (await rpc.dialog(call_id)).state
                finally:
                    rpc.close()

            async def over() -> bool:
                return await state_of(ended.call_id) in {0, 5}

            await connected.until(over)
            assert await state_of(spared.call_id) == 4
            await connected.until(lambda: gateway.received["BYE"] == 1)
            assert connected.agrees()

    asyncio.run(with_kamailio(tmp_path / "k", scenario))


def test_an_edge_without_the_dialog_module_says_so_and_goes_on(tmp_path: Path) -> None:
    async def scenario(_kamailio: RunningKamailio, connected: Connected, _gateway: Answerer) -> None:
        await connected.until(connected.agrees)
        connected.link.end_call(block(Scope.CALL, "some-call", block_id="b-call", destination_class=4))
        connected.put(block(Scope.CLASS, "alice", block_id="b-alice", destination_class=3))
        await connected.until(lambda: connected.agrees() and len(connected.table) == 1)
        assert await asyncio.to_thread(connected.held) == connected.wanted()

    asyncio.run(with_kamailio(tmp_path / "k", scenario))


def test_restarted_killed_and_written_to_by_others_it_comes_to_agree_again(tmp_path: Path) -> None:
    async def scenario(kamailio: RunningKamailio, connected: Connected, _gateway: Answerer) -> None:
        for number in range(3000):
            connected.put(block(Scope.CLASS, f"u{number}", block_id=f"b-{number}", destination_class=3))
        connected.put(block(Scope.ACCOUNT, 'al"ice\\é', block_id="b-odd"))
        connected.put(block(Scope.SOURCE, "2001:db8:1:2::/64", block_id="b-net"))
        connected.put(block(Scope.NUMBER, "23276123456", block_id="b-num"))
        await connected.until(connected.agrees)
        assert await asyncio.to_thread(connected.held) == connected.wanted()
        await asyncio.to_thread(kamailio.kill)
        await connected.until(lambda: not connected.link.report().reachable)
        connected.link.put(connected.table.drop("b-7", system_clock()))
        connected.put(block(Scope.RANGE, "88213", block_id="b-later"))
        await asyncio.to_thread(kamailio.start_again)
        assert await connected.until(connected.agrees, seconds=10) < 8
        assert connected.link.report().refills == 2
        assert await asyncio.to_thread(connected.held) == connected.wanted()
        # Another program writes, overwrites and deletes.
        rpc = Rpc(connected.port)
        later = system_clock() // 1000 + 999
        rpc.call("htable.setxs", "rf_3", "a:foreign", f"all|{later}|b-foreign", 999)
        rpc.call("htable.setxs", "rf_num", "88213", f"all|{later}|b-other", 999)
        gone = place_of(block(Scope.CLASS, "u1", block_id="b-1", destination_class=3))
        rpc.call("htable.delete", gone.table, gone.key)
        rpc.close()

        async def repaired() -> bool:
            return connected.link.report().repaired >= 3 and await asyncio.to_thread(connected.held) == connected.wanted()

        await connected.until(repaired, seconds=40)
        assert connected.link.report().repaired == 3

    asyncio.run(with_kamailio(tmp_path / "k", scenario))


def test_a_block_is_not_refused_past_its_time(tmp_path: Path) -> None:
    async def scenario(kamailio: RunningKamailio, connected: Connected, _gateway: Answerer) -> None:
        short = block(Scope.ACCOUNT, "alice", block_id="b-short", lasts_ms=2500)
        connected.put(short)
        await connected.until(connected.agrees)
        assert connected.held() == {place_of(short): held_for(short).value}
        async with await CallerLine.open(kamailio.sip_address) as line:
            alice = Caller(line, "alice", "secret-a", DOMAIN)
            assert (await alice.invite("03012345")).answer.status_code == 603
            await asyncio.sleep(max(0.0, (short.until_ms - system_clock()) / 1000) + 0.01)
            assert (await alice.invite("03012345")).answer.status_code == 200

    asyncio.run(with_kamailio(tmp_path / "k", scenario))
