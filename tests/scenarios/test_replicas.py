"""One log, one verdict: the live detector killed and restarted, a second one beside it, and the same log fed to the engine offline.

All agree on every alert and suspicion byte for byte, each is published once, and their states are equal at equal positions.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ringfence.archive import batches
from ringfence.base.clock import system_clock
from ringfence.detection.agent import VIEWS, DetectorAgent, built_in_rules
from ringfence.detection.agent.snapshots import read_snapshot
from ringfence.detection.lane import Found, Lane
from ringfence.detection.layout import Detector
from ringfence.detection.model import decode_alert, encode_alert, iso_time
from ringfence.detection.rules import read_rules
from ringfence.detection.views import View
from ringfence.runtime.bus import Message
from ringfence.runtime.role import connect_bus
from ringfence.runtime.status import StatusBoard
from ringfence.runtime.streams import log_stream
from ringfence.telephony.columns import RowBatch, split_ref
from ringfence.telephony.control import decode_control
from ringfence.telephony.model import AccountRow, Kind
from ringfence.telephony.network_second import decode_second
from ringfence.telephony.suspicion import encode_suspicion
from tests.scenarios.stage import Stage, eventually, open_stage
from tests.unit.detection.published import published_rules

pytestmark = [pytest.mark.peer("kamailio"), pytest.mark.peer("sipp"), pytest.mark.timeout(300)]


END = 2**62


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_stage() as stage:
        yield stage


@dataclass(slots=True)
class Offline:
    """The engine without bus, clock and snapshots: rows by reference from memory."""

    lane: Lane
    published: dict[str, bytes] = field(default_factory=dict)
    _kept: dict[int, RowBatch] = field(default_factory=dict)

    def resolve(self, row_ref: int) -> AccountRow | None:
        sequence, place = split_ref(row_ref)
        return self._kept[sequence].row(place) if sequence in self._kept else None

    def take(self, message: Message) -> None:
        """Judge a message and keep what follows from it, by the subject it is published on."""
        lane, kind, found = self.lane, message.headers["Rf-Kind"], Found()
        if kind == "rows":
            self._kept[message.sequence] = batch = batches.decode(message.payload)
            found = lane.rows(batch, message.sequence)
        elif kind == "second":
            found = lane.second(decode_second(message.payload), message.sequence)
        elif kind == "tick":
            found = lane.tick(int.from_bytes(message.payload))
        else:
            lane.control(decode_control(message.payload))
        output = lane.settle(found, message.sequence, self, closing=kind == "tick")
        for suspicion in output.suspicions:
            self.published[f"suspicion.{suspicion.suspicion_id}"] = encode_suspicion(suspicion)
        for alert in output.alerts:
            self.published[f"alert.{alert.alert_id}.{alert.step}"] = encode_alert(alert)


def offline(stage: Stage, log: list[Message], until: int, view: View = "account") -> Offline:
    """The log of a view up to a position, judged by fresh engines."""
    zone = stage.product.settings.operator.time_zone
    judge = Offline(Lane.fresh(read_rules(built_in_rules()), time_zone=zone, mode="act", view=view))
    for message in log:
        if message.sequence <= until:
            judge.take(message)
    return judge


@contextlib.asynccontextmanager
async def second_detector(stage: Stage, folder: Path) -> AsyncIterator[DetectorAgent]:
    """Another detector on the same lane, with snapshots of its own."""
    bus = await connect_bus(stage.product.settings, "detector")
    agent = DetectorAgent(
        bus,
        lane=0,
        snapshots=folder,
        time_zone=stage.product.settings.operator.time_zone,
        mode="act",
        clock=system_clock,
        board=StatusBoard("detector", "second"),
    )
    running = asyncio.ensure_future(agent.run())
    try:
        await agent.ready()
        yield agent
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await bus.close()


def test_live_second_and_offline_detector_agree_byte_for_byte(stage: Stage, tmp_path: Path) -> None:
    async def play() -> None:
        with stage.traffic(rate=20) as traffic:
            frauds = [await stage.defraud(stage.account())]
            # Between two calls of a fraud: killed, so that it goes on from the start of the log ...
            killed = 0

            async def kill(calls: int) -> None:
                nonlocal killed
                killed = stage.kill("detector") if calls == 1 else killed

            frauds.append(await stage.defraud(stage.account(), between=kill))
            await stage.back("detector", killed)
            # ... and stopped in order, so that it goes on from a snapshot, while another fraud is under way. Nobody else judges meanwhile.
            caller = await stage.caller(account := stage.account())
            calls = [await caller.invite(stage.expensive_number())]
            os.kill(stopped := stage.pid("detector"), signal.SIGTERM)
            calls += [await caller.invite(stage.expensive_number()) for _ in range(3)]
            await stage.back("detector", stopped)

            async def refused() -> bool:
                return await stage.dial(account, stage.expensive_number()) == 603

            await eventually(refused, "the fraud of the restart is blocked")
            async with second_detector(stage, tmp_path) as second:
                frauds += [await stage.defraud(stage.account()) for _ in range(2)]
                await traffic.finish()
                for fraud in frauds:
                    await fraud.hang_up()
                for call in calls:
                    await call.hang_up()
                await stage.judged()
                last = await stage.bus.last_sequence(log_stream("account", 0))

                async def caught_up() -> bool:
                    return second.lane.position >= last

                await eventually(caught_up, "the second detector has read the log")
            # Stopped now, between two messages. The live one leaves its state in its snapshot.
            stopped = stage.pid("detector")
            os.kill(stopped, signal.SIGTERM)
            await stage.back("detector", stopped)
        snapshot, damaged = read_snapshot(stage.product.settings.data_dir / "snapshots" / "account-0.snapshot")
        assert snapshot is not None
        assert damaged == []
        live = Lane.restore(snapshot, mode="act")
        log = await stage.messages(log_stream("account", 0))
        assert {message.headers["Rf-Kind"] for message in log} == {"rows", "tick", "control"}

        assert second.lane.state_hash() == offline(stage, log, second.lane.position).lane.state_hash()
        judge = offline(stage, log, live.position)
        assert live.state_hash() == judge.lane.state_hash()

        async def the_same() -> bool:
            """What was published so far is what follows from the logs so far, byte for byte; each once."""
            follows: dict[str, bytes] = {}
            for view in VIEWS:
                follows |= offline(stage, await stage.messages(log_stream(view, 0)), END, view).published
            messages = await stage.messages("SUSPICIONS") + await stage.messages("ALERTS")
            published = {message.subject: message.payload for message in messages}
            assert len(published) == len(messages)
            # What an attack asks for follows from the alerts, not from a log.
            of_logs = {subject: payload for subject, payload in published.items() if b'"rule":"attack"' not in payload}
            return len(of_logs) > 10 and of_logs == follows

        await eventually(the_same, "published is what the log says")

    stage.run(play())


def ringfence(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = (sys.executable, "-m", "ringfence.apps.cli.main", *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)


async def stop(stage: Stage, role: str) -> None:
    """In order; the supervisor starts it again."""
    pid = stage.pid(role)
    os.kill(pid, signal.SIGTERM)
    await stage.back(role, pid)


def test_rebuild_proves_the_snapshot_against_the_archive(stage: Stage) -> None:
    """`ringfence rebuild`, beside the running product: what was archived gives the state that the detector left, byte for byte."""

    async def play() -> None:
        await (await stage.defraud(stage.account())).hang_up()
        await stop(stage, "detector")  # It leaves a snapshot.
        await stop(stage, "worker")  # It archives what it has in hand, so the archive reaches beyond the snapshot.

    stage.run(play())
    done = ringfence("rebuild", "--data-dir", str(stage.product.folder), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["equal"] is True, told


def calls_of(log: list[Message]) -> str:
    """The calls of a log as call records: what a CDR table would hold of them."""
    calls: dict[int, AccountRow] = {}
    for message in log:
        if message.headers["Rf-Kind"] == "rows":
            batch = batches.decode(message.payload)
            for row in (batch.row(place) for place in range(batch.length)):
                if row.kind in (Kind.ATTEMPT, Kind.ANSWER, Kind.END) and row.account:
                    calls[row.call_key] = row
    lines = ["call_id,account,caller,callee,source_ip,user_agent,edge,started_at,answered_at,ended_at,status_code"]
    for row in calls.values():
        times = ",".join(iso_time(at_ms) if at_ms else "" for at_ms in (row.started_ms, row.answered_ms, row.ended_ms))
        lines.append(
            f"{row.call_id},{row.account},{row.caller},{row.callee},{row.source_ip},{row.user_agent},{row.edge},{times},{row.status_code}"
        )
    return "\n".join([*lines, ""])


def test_backtest_finds_the_alerts_that_live_found(stage: Stage, tmp_path: Path) -> None:
    async def play() -> tuple[list[str], str]:
        accounts = [stage.account() for _ in range(3)]
        for account in accounts:
            fraud = await stage.defraud(account)
            await fraud.hang_up()
        await stage.judged()

        async def ended() -> bool:
            text = calls_of(await stage.messages(log_stream("account", 0)))
            return all(line.split(",")[9] for line in text.splitlines() if line.split(",")[1] in accounts)

        await eventually(ended, "the log knows how each call ended")
        return accounts, calls_of(await stage.messages(log_stream("account", 0)))

    accounts, text = stage.run(play())
    file, alerts, rules = tmp_path / "calls.csv", tmp_path / "alerts.jsonl", tmp_path / "rules.toml"
    file.write_text(text)
    # An id holds the version that judged: the stage's rules are the second, after the built-in ones.
    (version,) = {alert.rule_version for alert in stage.run(stage.alerts()) if alert.account in accounts}
    rules.write_text(published_rules().replace("version = 1", f"version = {version}"))
    zone = stage.product.settings.operator.time_zone
    done = ringfence("backtest", "--calls", str(file), "--rules", str(rules), "--alerts", str(alerts), "--time-zone", zone, "--json")
    assert done.returncode == 0, done.stderr
    told = [alert for alert in map(decode_alert, alerts.read_bytes().splitlines()) if alert.account in accounts]
    replayed = {(alert.rule, alert.alert_id) for alert in told if alert.rule in Detector.__members__}
    # Call records say nothing of registrations and networks, so only the kernel's rules can agree.
    found = [alert for alert in stage.run(stage.alerts()) if alert.account in accounts and alert.rule in Detector.__members__]
    live = {(alert.rule, alert.alert_id) for alert in found}
    assert live
    assert replayed == live
