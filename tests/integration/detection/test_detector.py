"""The detector's shell on a real bus: exactly-once publication over restarts, snapshots, replicas, refusals."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from ringfence.archive import batches
from ringfence.base.ids import keyed_hash
from ringfence.detection.agent import VIEWS, DetectorAgent, built_in_rules, read_rules
from ringfence.detection.model import Alert, decode_alert
from ringfence.detection.views import View
from ringfence.runtime.bus import Bus
from ringfence.runtime.status import StatusBoard
from ringfence.telephony.columns import batch_of
from ringfence.telephony.control import AccountChanged, RuleSetChanged, encode_control
from ringfence.telephony.model import AccountRow, Kind, country_code
from ringfence.telephony.network_second import NetworkSecond, encode_second
from ringfence.telephony.suspicion import Suspicion, decode_suspicion
from ringfence.telephony.views import row_in_view, views_of
from tests.harness.engines import NatsServer
from tests.unit.detection.lives import life
from tests.unit.detection.published import published_rules

NOON = 1_790_071_200_000  # a Tuesday in September 2026, 12:00 in Berlin
LOG, SUBJECT = "LOG_account_0", "log.account.0"


def call(number: int, at_ms: int, kind: Kind = Kind.ATTEMPT) -> AccountRow:
    return AccountRow(
        kind=kind,
        at_ms=at_ms,
        received_ms=at_ms,
        account="anna",
        account_key=keyed_hash(b"k", "anna"),
        call_id=f"call-{number}",
        call_key=keyed_hash(b"k", str(number)),
        callee=f"+2322255{number:04d}",
        range_key=7,
        number_tail=number,
        country=country_code("SL"),
        destination_class=4,
        rate=700_000,
        started_ms=NOON + number * 20_000,
        answered_ms=at_ms if kind is Kind.ANSWER else 0,
    )


async def send(bus: Bus, rows: Sequence[AccountRow]) -> None:
    await bus.publish(SUBJECT, batches.encode(batch_of(rows)), {"Rf-Kind": "rows"})


async def tick(bus: Bus, at_ms: int) -> None:
    await bus.publish(SUBJECT, at_ms.to_bytes(8), {"Rf-Kind": "tick"})


def make(bus: Bus, folder: Path, name: str = "detector", view: View = "account") -> DetectorAgent:
    return DetectorAgent(
        bus,
        view=view,
        lane=0,
        snapshots=folder,
        time_zone="Europe/Berlin",
        mode="act",
        clock=lambda: NOON,
        board=StatusBoard(name, "test"),
        snapshot_seconds=0.05,
        rules=read_rules(published_rules()),
    )


@contextlib.asynccontextmanager
async def running(agent: DetectorAgent) -> AsyncIterator[DetectorAgent]:
    task = asyncio.ensure_future(agent.run())
    try:
        await asyncio.wait_for(agent.ready(), 30)
        yield agent
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, BaseExceptionGroup):
            await task


async def reach(agent: DetectorAgent, sequence: int) -> None:
    async with asyncio.timeout(20):
        while agent.lane.position < sequence:
            await asyncio.sleep(0.01)


async def stored(bus: Bus, stream: str) -> list[bytes]:
    found = []
    for sequence in range(1, await bus.last_sequence(stream) + 1):
        message = await bus.get(stream, sequence)
        assert message is not None
        found.append(message.payload)
    return found


async def published(bus: Bus) -> tuple[list[Alert], list[Suspicion]]:
    await asyncio.sleep(0.2)
    alerts = [decode_alert(payload) for payload in await stored(bus, "ALERTS")]
    return alerts, [decode_suspicion(payload) for payload in await stored(bus, "SUSPICIONS")]


def test_a_restart_repeats_nothing_and_skips_nothing(own_nats: NatsServer, tmp_path: Path) -> None:
    async def scenario() -> None:
        bus = await own_nats.connect("supervisor")
        detector_bus = await own_nats.connect("detector")
        whole_bus = await own_nats.connect("detector")
        try:
            async with running(make(detector_bus, tmp_path)) as agent:
                for number in range(3):
                    await send(bus, [call(number, NOON + number * 20_000), call(number, NOON + number * 20_000 + 5_000, Kind.ANSWER)])
                    await tick(bus, NOON + number * 20_000 + 6_000)
                await reach(agent, 6)
            alerts, suspicions = await published(bus)
            assert {"D06", "D07", "D09"} <= {alert.rule for alert in alerts}
            assert {suspicion.rule for suspicion in suspicions} >= {"D06", "D07"}
            assert all(suspicion.mode == "act" and suspicion.account == "anna" for suspicion in suspicions)
            before = len(alerts), len(suspicions)

            # While nobody judges, the fraud goes on.
            for number in range(3, 7):
                await send(bus, [call(number, NOON + number * 20_000), call(number, NOON + number * 20_000 + 5_000, Kind.ANSWER)])
            async with running(make(detector_bus, tmp_path)) as agent:
                await reach(agent, 10)
                one = agent.lane.state_hash()
            alerts, suspicions = await published(bus)
            assert (len(alerts), len(suspicions)) > before
            steps = [(alert.alert_id, alert.step) for alert in alerts]
            assert len(set(steps)) == len(steps)
            for alert_id in {alert.alert_id for alert in alerts}:
                assert [step for each, step in steps if each == alert_id] == list(range(1, [each for each, _ in steps].count(alert_id) + 1))

            # A second detector without any snapshot judges the whole log alike and publishes nothing.
            async with running(make(whole_bus, tmp_path / "other")) as replica:
                await reach(replica, 10)
                assert replica.lane.state_hash() == one
            assert await published(bus) == (alerts, suspicions)
        finally:
            for each in (bus, detector_bus, whole_bus):
                await each.close()

    asyncio.run(scenario())


def test_control_records_take_effect_where_they_stand_and_junk_is_passed_over(own_nats: NatsServer, tmp_path: Path) -> None:
    async def scenario() -> None:
        bus = await own_nats.connect("supervisor")
        detector_bus = await own_nats.connect("detector")
        try:
            exempt = AccountChanged(account="anna", account_key=keyed_hash(b"k", "anna"), slot=1, exempt_until_ms=NOON + 60_000)
            await bus.bucket("control").put("accounts.1", encode_control([exempt]))
            async with running(make(detector_bus, tmp_path)) as agent:
                await bus.publish(SUBJECT, b"junk", {"Rf-Kind": "rows"})
                await bus.publish(SUBJECT, b"junk", {"Rf-Kind": "control"})
                await bus.publish(SUBJECT, b"junk", {"Rf-Kind": "tick"})
                await bus.publish(SUBJECT, b"junk")
                await bus.publish(SUBJECT, encode_control([RuleSetChanged(version=9, toml="nonsense")]), {"Rf-Kind": "control"})
                await send(bus, [call(number, NOON + number * 20_000) for number in range(3)])
                await reach(agent, 6)
                assert await published(bus) == ([], [])
                assert agent.lane.engine.rules.version == 1
                again = built_in_rules().replace("version = 1", "version = 2")
                await bus.publish(SUBJECT, encode_control([RuleSetChanged(version=2, toml=again)]), {"Rf-Kind": "control"})
                await tick(bus, NOON + 60_000)
                await reach(agent, 8)
                alerts, _ = await published(bus)
                assert {alert.rule_version for alert in alerts} == {2}, "the exemption is over and the calls still ring"
        finally:
            await bus.close()
            await detector_bus.close()

    asyncio.run(scenario())


def test_every_view_is_judged_and_recovers_by_itself(own_nats: NatsServer, tmp_path: Path) -> None:
    rows = life()
    half = len(rows) - 60

    async def feed(bus: Bus, part: Sequence[AccountRow]) -> dict[str, int]:
        """Rows and ticks into every log, as ingest does; the last sequence of each view."""
        last: dict[str, int] = {}
        for row in part:
            for view, key in views_of(row):
                batch = batches.encode(batch_of([row_in_view(row, key)]))
                await bus.publish(f"log.{view}.0", batch, {"Rf-Kind": "rows"})
        for second in range(part[0].at_ms // 1_000, part[-1].at_ms // 1_000, 7_200):
            spent = encode_second(NetworkSecond(at_ms=second * 1_000, edge="e", cost_micro=(0, 0, 0, 0, 2_000_000_000, 0)))
            await bus.publish("log.network.0", spent, {"Rf-Kind": "second"})
        for view in VIEWS:
            last[view] = await bus.publish(f"log.{view}.0", part[-1].at_ms.to_bytes(8), {"Rf-Kind": "tick"})
        return last

    async def judge(bus: Bus, folder: Path, last: Mapping[str, int]) -> dict[str, str]:
        """All views in one process until they stand there; their states."""
        async with contextlib.AsyncExitStack() as stack:
            agents = {view: await stack.enter_async_context(running(make(bus, folder, view=view))) for view in VIEWS}
            for view, agent in agents.items():
                await reach(agent, last[view])
            return {view: agent.lane.state_hash() for view, agent in agents.items()}

    async def scenario() -> None:
        bus, detector_bus, whole_bus = [await own_nats.connect(name) for name in ("supervisor", "detector", "detector")]
        try:
            await judge(detector_bus, tmp_path, await feed(bus, rows[:half]))
            assert {path.name.split("-")[0] for path in tmp_path.iterdir()} == set(VIEWS)
            last = await feed(bus, rows[half:])  # While nobody judges.
            states = await judge(detector_bus, tmp_path, last)
            alerts, suspicions = await published(bus)
            assert {alert.subject.kind for alert in alerts} >= {"account", "prefix", "source"}
            for alert in alerts:
                named = {"account": alert.account, "prefix": alert.prefix, "source": alert.source_ip}
                assert named.get(alert.subject.kind, alert.subject.value) == alert.subject.value
            steps = [(alert.alert_id, alert.step) for alert in alerts]
            assert len(set(steps)) == len(steps)
            assert suspicions
            # Other detectors without any snapshot judge the whole log alike and publish nothing.
            assert await judge(whole_bus, tmp_path / "other", last) == states
            assert await published(bus) == (alerts, suspicions)
        finally:
            for each in (bus, detector_bus, whole_bus):
                await each.close()

    asyncio.run(scenario())
