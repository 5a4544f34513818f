"""One log, one verdict: the live detector killed and restarted, a second one beside it, and the same log fed to the engine offline.

All agree on every alert and suspicion byte for byte, each is published once, and their states are equal at equal positions.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ringfence.archive import batches
from ringfence.base.clock import system_clock
from ringfence.detection.agent import DetectorAgent, built_in_rules
from ringfence.detection.agent.snapshots import read_snapshot
from ringfence.detection.lane import Lane
from ringfence.detection.model import encode_alert
from ringfence.detection.rules import read_rules
from ringfence.runtime.bus import Message
from ringfence.runtime.role import connect_bus
from ringfence.runtime.status import StatusBoard
from ringfence.runtime.streams import log_stream
from ringfence.telephony.columns import RowBatch, split_ref
from ringfence.telephony.control import decode_control
from ringfence.telephony.model import AccountRow
from ringfence.telephony.suspicion import encode_suspicion
from tests.scenarios.stage import Stage, eventually, open_stage

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
        lane, kind, crossings = self.lane, message.headers["Rf-Kind"], []
        if kind == "rows":
            self._kept[message.sequence] = batch = batches.decode(message.payload)
            crossings = lane.rows(batch, message.sequence)
        elif kind == "tick":
            crossings = lane.tick(int.from_bytes(message.payload))
        else:
            lane.control(decode_control(message.payload))
        output = lane.settle(crossings, message.sequence, self, closing=kind == "tick")
        for suspicion in output.suspicions:
            self.published[f"suspicion.{suspicion.suspicion_id}"] = encode_suspicion(suspicion)
        for alert in output.alerts:
            self.published[f"alert.{alert.alert_id}.{alert.step}"] = encode_alert(alert)


def offline(stage: Stage, log: list[Message], until: int) -> Offline:
    """The log up to a position, judged by a fresh engine."""
    zone = stage.product.settings.operator.time_zone
    judge = Offline(Lane.fresh(read_rules(built_in_rules()), time_zone=zone, mode="act"))
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
            first = await stage.defraud(stage.account())
            async with second_detector(stage, tmp_path) as second:
                # Between two calls of a fraud: killed, so that it goes on from the start of the log ...
                middle = stage.account()
                killed = 0

                async def kill(calls: int) -> None:
                    nonlocal killed
                    killed = stage.kill("detector") if calls == 1 else killed

                frauds = [first, await stage.defraud(middle, between=kill)]
                await stage.back("detector", killed)
                # ... and stopped in order, so that it goes on from a snapshot, while another fraud is under way.
                stopped = stage.pid("detector")
                caller = await stage.caller(account := stage.account())
                calls = [await caller.invite(stage.expensive_number())]
                os.kill(stopped, signal.SIGTERM)
                calls += [await caller.invite(stage.expensive_number()) for _ in range(3)]
                await stage.back("detector", stopped)

                async def refused() -> bool:
                    return await stage.dial(account, stage.expensive_number()) == 603

                await eventually(refused, "the fraud of the restart is blocked")
                frauds.append(await stage.defraud(stage.account()))
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
        assert (snapshot is not None, damaged) == (True, [])
        live = Lane.restore(snapshot, mode="act")
        log = await stage.messages(log_stream("account", 0))
        assert {message.headers["Rf-Kind"] for message in log} == {"rows", "tick", "control"}

        assert second.lane.state_hash() == offline(stage, log, second.lane.position).lane.state_hash()
        judge = offline(stage, log, live.position)
        assert live.state_hash() == judge.lane.state_hash()

        async def the_same() -> bool:
            """What was published so far is what follows from the log so far, byte for byte; each once."""
            follows = offline(stage, await stage.messages(log_stream("account", 0)), END).published
            messages = await stage.messages("SUSPICIONS") + await stage.messages("ALERTS")
            published = {message.subject: message.payload for message in messages}
            assert len(published) == len(messages)
            return len(published) > 10 and published == follows

        await eventually(the_same, "published is what the log says")

    stage.run(play())
