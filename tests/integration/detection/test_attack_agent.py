"""Attacks on a real bus and in a real PostgreSQL: told once, whoever reads the alerts again."""

import asyncio
from pathlib import Path

import msgspec

from ringfence.base.errors import NotFoundError, PeerError
from ringfence.detection.agent import AttackAgent
from ringfence.detection.attacks import AttackBook, decode_attack, encode_attack
from ringfence.detection.model import encode_alert
from ringfence.detection.service import DetectionService
from ringfence.runtime.bus import Bus
from ringfence.runtime.db import Database
from ringfence.runtime.status import StatusBoard
from ringfence.telephony.suspicion import decode_suspicion
from tests.harness.engines import NatsServer
from tests.integration.detection.test_detector import stored
from tests.integration.runtime.test_bus import connected
from tests.unit.detection.test_attacks import T0, alert

DAY_MS = 86_400_000


async def until(bus: Bus, stream: str, count: int) -> list[bytes]:
    async with asyncio.timeout(20):
        while len(found := await stored(bus, stream)) < count:
            await asyncio.sleep(0.02)
    return found


def test_an_attack_is_told_once_with_a_proposal_whoever_reads_the_alerts(own_nats: NatsServer, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with connected(own_nats) as bus, connected(own_nats, "detector") as detector_bus:
            for number in range(7):
                await bus.publish_once(f"alert.a-{number}.1", encode_alert(alert(number, T0 + number, ranges=["23276123"])))
            for _ in range(2):
                board = StatusBoard("detector", "test")
                reader = asyncio.ensure_future(AttackAgent(detector_bus, clock=lambda: T0 + 60_000, board=board).run())
                steps = [decode_attack(payload) for payload in await until(bus, "ATTACKS", 5)]
                async with asyncio.timeout(20):
                    while board.figures.get("attacks_running") != 1.0:
                        await asyncio.sleep(0.02)
                reader.cancel()
                await asyncio.gather(reader, return_exceptions=True)
            assert [step.state for step in steps] == ["open", "join", "join", "join", "join"]
            assert len(await stored(bus, "ATTACKS")) == 5
            first, second = [decode_suspicion(payload) for payload in await stored(bus, "SUSPICIONS")]
            assert (first.mode, first.measures[0].scope, first.measures[0].value) == ("propose", "range", "23276123")
            assert (first.level, first.observed, second.level, second.observed) == (2, 3, 3, 6)

    asyncio.run(scenario())


def test_time_alone_ends_an_attack_and_old_ones_are_not_told_again(own_nats: NatsServer, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with connected(own_nats) as bus:
            for number in range(3):
                old = alert(number, T0 - 2 * DAY_MS, ranges=["999"])
                await bus.publish_once(f"alert.a-{number}.1", encode_alert(old))
            for number in range(10, 13):
                await bus.publish_once(f"alert.a-{number}.1", encode_alert(alert(number, T0, sources=["203.0.113.7"])))
            board = StatusBoard("detector", "test")
            now = [T0 + 1000]
            reader = asyncio.ensure_future(AttackAgent(bus, clock=lambda: now[0], board=board).run())
            await until(bus, "ATTACKS", 1)
            now[0] = T0 + DAY_MS // 2
            opened, closed = [decode_attack(payload) for payload in await until(bus, "ATTACKS", 2)]
            assert (opened.state, opened.facets[0]) == ("open", ("source", "203.0.113.7"))
            assert (closed.state, closed.attack_id) == ("close", opened.attack_id)
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    asyncio.run(scenario())


def test_the_copy_follows_steps_and_merges(database_url: str) -> None:
    async def scenario() -> None:
        async with Database(database_url, name="test") as db:
            detection = DetectionService(db, lambda: T0)
            stream = [alert(n, T0 + n, ranges=["23276123"], eur_per_minute=0.5) for n in range(3)]
            stream += [alert(n, T0 + n, sources=["203.0.113.7"], eur_per_minute=0.5) for n in range(10, 13)]
            stream.append(alert(20, T0 + 100, account="u1", ranges=["23276123"], sources=["203.0.113.7"], eur_per_minute=0.25))
            for each in stream:
                await detection.record_alert(encode_alert(each), each.step)
            book = AttackBook()
            steps = [step for each in stream for step in book.feed(each)]
            assert [step.state for step in steps] == ["open", "open", "merge", "join"]
            for step in steps:
                assert await detection.record_attack(encode_attack(step)) == step
                assert await detection.record_attack(encode_attack(step)) is None
            (attack,) = await detection.attacks(running=True)
            assert attack.attack_id == steps[0].attack_id
            # The account u1 has two alerts over the same calls: it counts once.
            assert (attack.accounts, attack.alerts, attack.cost_micro, attack.eur_per_minute) == (6, 7, 6_000_000, 3.0)
            assert len(await detection.attack_alerts(attack.attack_id)) == 7
            merged = await detection.attack(steps[1].attack_id)
            assert (merged.merged_into, merged.running, merged.alerts) == (attack.attack_id, False, 0)
            assert await detection.attack_of("a-20") == attack.attack_id
            await _refusals(detection)

    asyncio.run(scenario())


async def _refusals(detection: DetectionService) -> None:
    for payload, kind in ((b"{}", PeerError), (b"\xff", PeerError)):
        try:
            await detection.record_attack(payload)
        except kind:
            continue
        raise AssertionError(payload)
    try:
        await detection.attack("t-none")
    except NotFoundError:
        return
    raise AssertionError("there is no such attack")


def test_the_copy_takes_a_step_that_names_an_alert_twice(database_url: str) -> None:
    """Steps of an older version may: the worker must not stumble over what the stream holds for a week."""

    async def scenario() -> None:
        async with Database(database_url, name="test") as db:
            detection = DetectionService(db, lambda: T0)
            stream = [alert(n, T0 + n, ranges=["23276123"]) for n in range(3)]
            for each in stream:
                await detection.record_alert(encode_alert(each), each.step)
            book = AttackBook()
            (opened,) = [step for each in stream for step in book.feed(each)]
            twice = msgspec.structs.replace(opened, alerts=(*opened.alerts, *opened.alerts))
            await detection.record_attack(encode_attack(twice))
            (attack,) = await detection.attacks()
            assert attack.alerts == 3

    asyncio.run(scenario())
