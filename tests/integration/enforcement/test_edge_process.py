"""The connector process against simulated edges over real sockets: in milliseconds, through kills and restarts, each edge for itself."""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from ringfence.base.clock import system_clock
from ringfence.base.secret import Secret
from ringfence.enforcement.model import Block, EdgeReport, Scope
from ringfence.enforcement.projection import TABLES, Place, held_for, place_of, project
from ringfence.runtime.bus import Bus
from ringfence.simulators.sip_edge import SipEdge, SipEdgePlan
from ringfence.telephony.emergency import emergency_calls
from ringfence.telephony.numbers import plan_for
from tests.harness.engines import NatsServer, free_port
from tests.integration.enforcement.processes import RoleProcess, connected, stopped_at_the_end, until

pytestmark = pytest.mark.timeout(120)

TOKEN = "edge-token"
HOUR_MS = 3_600_000


def edge_plan(name: str, rpc_port: int = 0) -> SipEdgePlan:
    return SipEdgePlan(
        name=name,
        accounts={"alice": "wonderland"},
        plan=plan_for("DE", ("30",)),
        emergency=emergency_calls("49", ("30",), ("110", "112")),
        class_of=lambda digits: 4 if digits.startswith("232") else 1,
        token=Secret(TOKEN),
        rpc_port=rpc_port,
    )


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


async def put(bus: Bus, made: Block) -> None:
    await bus.bucket("blocks").put(made.block_id, msgspec.json.encode(made))


async def report(bus: Bus, edge: str) -> EdgeReport | None:
    entry = await bus.bucket("edges").get(edge)
    return None if entry is None else msgspec.json.decode(entry.value or b"", type=EdgeReport)


def held(edge: SipEdge) -> dict[Place, str]:
    return {Place(table, key): str(value) for table in TABLES for key, value in (edge.tables.all(table) or {}).items()}


def wanted(record: Mapping[str, Block]) -> dict[Place, str]:
    return {place: entry.value for place, entry in project(record.values(), system_clock()).items()}


def connector(folder: Path, nats: NatsServer, edges: Mapping[str, str]) -> RoleProcess:
    sections = "".join(f'[[enforcement.edges]]\nname = "{name}"\nrpc_url = "{url}"\n' for name, url in edges.items())
    role = RoleProcess("edge", folder, nats, extra=sections)
    for name in edges:
        role.write_key(f"edge-{name}.token", TOKEN)
    return role


async def start(role: RoleProcess) -> None:
    await asyncio.to_thread(role.start)


def test_changes_arrive_at_once_and_every_edge_comes_to_agree(own_nats: NatsServer, tmp_path: Path) -> None:
    record = {
        made.block_id: made
        for made in (
            block(Scope.ACCOUNT, 'al"ice\\é', block_id="b-1"),
            block(Scope.RANGE, "23276", block_id="b-2"),
            block(Scope.SOURCE, "2001:db8:1:2::/64", block_id="b-3"),
            *(block(Scope.CLASS, f"u{number}", block_id=f"b-u{number}", destination_class=3) for number in range(300)),
        )
    }

    async def scenario() -> None:
        async with (
            connected(own_nats) as bus,
            await SipEdge.open(edge_plan("one"), system_clock) as one,
            await SipEdge.open(edge_plan("two"), system_clock) as two,
        ):
            for made in record.values():
                await put(bus, made)
            role = connector(
                tmp_path / "e", own_nats, {"one": one.rpc_url, "down": f"http://127.0.0.1:{free_port()}/rpc", "two": two.rpc_url}
            )
            with stopped_at_the_end(role):
                await start(role)

                async def both_filled() -> bool:
                    reports = [await report(bus, name) for name in ("one", "two")]
                    return all(found is not None and found.agrees and found.refills == 1 for found in reports)

                await until(both_filled)
                assert held(one) == held(two) == wanted(record)
                assert isinstance(one.tables.get("rf_meta", "epoch"), int)
                down = await report(bus, "down")
                assert down is not None
                assert (down.reachable, down.agrees, down.unreachable_since_ms > 0) == (False, False, True)
                # A fresh block is there in milliseconds, at both edges, beside the dead one.
                fresh = record["b-new"] = block(Scope.CLASS, "alice", block_id="b-new", destination_class=2)
                loop = asyncio.get_running_loop()
                started = loop.time()
                await put(bus, fresh)
                while place_of(fresh) not in held(one) or place_of(fresh) not in held(two):
                    await asyncio.sleep(0.001)
                    assert loop.time() - started < 1
                assert loop.time() - started < 0.25
                # Lifted: gone at both.
                record["b-2"] = replace(record["b-2"], state="lifted", ended_ms=system_clock())
                await put(bus, record["b-2"])

                async def gone() -> bool:
                    return held(one) == held(two) == wanted(record)

                await until(gone)
                found = await report(bus, "one")
                assert found is not None
                assert (found.include_version, found.repaired, found.message) == ("1", 0, "")

    asyncio.run(scenario())


def test_a_killed_connector_repairs_what_it_missed(own_nats: NatsServer, tmp_path: Path) -> None:
    record = {made.block_id: made for made in (block(Scope.ACCOUNT, f"u{number}", block_id=f"b-{number}") for number in range(50))}

    async def scenario() -> None:
        async with connected(own_nats) as bus, await SipEdge.open(edge_plan("one"), system_clock) as edge:
            for made in record.values():
                await put(bus, made)
            role = connector(tmp_path / "e", own_nats, {"one": edge.rpc_url})
            with stopped_at_the_end(role):
                await start(role)

                async def agrees() -> bool:
                    found = await report(bus, "one")
                    return found is not None and found.agrees and held(edge) == wanted(record)

                await until(agrees)
                epoch = edge.tables.get("rf_meta", "epoch")
                role.kill()
                assert held(edge) == wanted(record)  # The edge keeps enforcing what it has.
                record["b-0"] = replace(record["b-0"], state="lifted", ended_ms=system_clock())
                record["b-late"] = block(Scope.RANGE, "88213", block_id="b-late")
                for block_id in ("b-0", "b-late"):
                    await put(bus, record[block_id])
                edge.tables.delete("rf_num", "none")
                edge.tables.set("rf_3", "a:foreign", f"all|{system_clock() // 1000 + 999}|b-foreign", 999)
                stale = place_of(record["b-1"])
                edge.tables.set(stale.table, stale.key, f"C5|{system_clock() // 1000 + 999}|b-1", 999)
                await start(role)
                await until(agrees)
                found = await report(bus, "one")
                assert found is not None
                # Set: the late one and the one with another value. Deleted: the lifted and the foreign one.
                assert found.repaired == 4
                assert edge.tables.get("rf_meta", "epoch") == epoch  # Compared, not filled.

    asyncio.run(scenario())


def test_a_restarted_edge_is_filled_and_an_unreachable_one_caught_up(own_nats: NatsServer, tmp_path: Path) -> None:
    record = {made.block_id: made for made in (block(Scope.ACCOUNT, f"u{number}", block_id=f"b-{number}") for number in range(2000))}

    async def scenario() -> None:
        async with connected(own_nats) as bus, await SipEdge.open(edge_plan("one", free_port()), system_clock) as edge:
            for made in record.values():
                await put(bus, made)
            role = connector(tmp_path / "e", own_nats, {"one": edge.rpc_url})
            with stopped_at_the_end(role):
                await start(role)

                async def agrees() -> bool:
                    found = await report(bus, "one")
                    return found is not None and found.agrees and held(edge) == wanted(record)

                await until(agrees)
                edge.restart()
                assert not held(edge)
                assert await until(agrees) < 5
                # Unreachable while a block is imposed and another lifted.
                port = int(edge.rpc_url.rsplit(":", 1)[1].split("/")[0])
                edge.hang_up_rpc()

                async def unreachable() -> bool:
                    found = await report(bus, "one")
                    return found is not None and not found.reachable

                await until(unreachable)
                record["b-new"] = block(Scope.NUMBER, "23276123456", block_id="b-new")
                record["b-1"] = replace(record["b-1"], state="lifted", ended_ms=system_clock())
                for block_id in ("b-new", "b-1"):
                    await put(bus, record[block_id])
                await edge.listen(port)
                assert await until(agrees) < 8
                # Emptied behind our back, epoch and all, on a living connection.
                edge.tables.forget()
                assert await until(agrees) < 8

    asyncio.run(scenario())


def test_a_block_ends_at_its_time_and_the_weaker_one_shows(own_nats: NatsServer, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with connected(own_nats) as bus, await SipEdge.open(edge_plan("one"), system_clock) as edge:
            strong = block(Scope.ACCOUNT, "alice", block_id="b-strong", lasts_ms=3000)
            weak = block(Scope.CLASS, "alice", block_id="b-weak", destination_class=4)
            role = connector(tmp_path / "e", own_nats, {"one": edge.rpc_url})
            with stopped_at_the_end(role):
                await start(role)
                for made in (strong, weak):
                    await put(bus, made)

                async def shows(made: Block) -> bool:
                    return edge.tables.get(*place_of(made)) == held_for(made).value

                await until(lambda: shows(strong))
                await until(lambda: shows(weak), seconds=6)
                assert system_clock() >= strong.until_ms  # The record says nothing of its end: time alone does.

    asyncio.run(scenario())


def test_without_nats_the_edge_keeps_what_it_has_and_the_connector_goes_on(own_nats: NatsServer, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with connected(own_nats) as bus, await SipEdge.open(edge_plan("one"), system_clock) as edge:
            made = block(Scope.ACCOUNT, "alice", block_id="b-1")
            await put(bus, made)
            role = connector(tmp_path / "e", own_nats, {"one": edge.rpc_url})
            with stopped_at_the_end(role):
                await start(role)

                async def shows(which: Block) -> bool:
                    return edge.tables.get(*place_of(which)) == held_for(which).value

                await until(lambda: shows(made))
                own_nats.kill()
                edge.restart()
                await until(lambda: shows(made), what="filled from memory")
                own_nats.start()
                later = block(Scope.ACCOUNT, "bob", block_id="b-2")
                with contextlib.suppress(Exception):
                    await asyncio.sleep(0.5)
                await put(bus, later)
                await until(lambda: shows(later), what="the watch goes on")
                assert await shows(made)

    asyncio.run(scenario())
