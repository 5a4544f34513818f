"""`DetectorAgent`: one lane of a view of the log, from its newest snapshot on, for ever.

Suspicions leave before alerts, because a block waits for them. A message that cannot be read is counted and passed over: the log's order
is what matters, and stopping would stop all detection.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

import msgspec
import structlog
from msgspec.structs import replace

from ringfence.archive import batches
from ringfence.base.clock import Clock, monotonic_seconds
from ringfence.base.errors import ConflictError, OperatorError, PeerError, UnavailableError
from ringfence.detection.agent.resolver import LogResolver
from ringfence.detection.agent.snapshots import read_snapshot, write_snapshot
from ringfence.detection.alerts import Output
from ringfence.detection.engine import EngineState
from ringfence.detection.findings import ACT
from ringfence.detection.lane import Found, Lane
from ringfence.detection.model import encode_alert
from ringfence.detection.rules import RuleSet, read_rules
from ringfence.detection.views import VIEWS, View
from ringfence.runtime.bus import Bus, Message
from ringfence.runtime.metrics import counter, gauge
from ringfence.runtime.status import StatusBoard
from ringfence.runtime.streams import log_stream
from ringfence.telephony.columns import batch_of
from ringfence.telephony.control import AccountChanged, ControlRecord, HolidaysChanged, decode_control
from ringfence.telephony.model import AccountRow, Flag, Kind
from ringfence.telephony.network_second import NetworkSecond, decode_second
from ringfence.telephony.suspicion import Mode, encode_suspicion

SNAPSHOT_SECONDS = 300.0
RECORD_SECONDS = 1.0
RETRY_SECONDS = 0.5
PUBLISHED_TOGETHER = 64

_log = structlog.stdlib.get_logger(__name__)

_rows = counter("ringfence_detection_rows_total", "Rows of the log judged, in the account view.")
_messages = counter("ringfence_detection_view_messages_total", "Messages of the log judged, by view.", ("view",))
_view_lag = gauge("ringfence_detection_view_lag_seconds", "How far the event clock of a view is behind the clock, by view.", ("view",))
_view_figures = gauge(
    "ringfence_detection_engine_figures", "What the engines of a view say of themselves, by view and figure.", ("view", "figure")
)
_refused = counter("ringfence_detection_refused_messages_total", "Messages of the log that could not be read, by reason.", ("reason",))
_alerts = counter("ringfence_detection_alerts_total", "Alert messages published, by state.", ("state",))
_suspicions = counter("ringfence_detection_suspicions_total", "Suspicions published, by mode.", ("mode",))
_repeated = counter("ringfence_detection_repeated_messages_total", "Messages another run had published already.")
_lag = gauge("ringfence_detection_lag_seconds", "How far the event clock is behind the log's newest message.")
_accounts = gauge("ringfence_detection_accounts", "Accounts in memory.")
_state = gauge("ringfence_detection_state_bytes", "Memory of the kernel.")


def built_in_rules() -> str:
    """The rule set that comes with Ringfence, as TOML."""
    return files("ringfence.detection").joinpath("rules", "default.toml").read_text("utf-8")


def warm_up() -> None:
    """Compile the kernels, or load them from their cache, before the first message waits for it."""
    rules = read_rules(built_in_rules())
    at_ms = 1_000_000_000_000
    for view in VIEWS:
        _warm_up(Lane.fresh(rules, time_zone="UTC", view=view), at_ms)


def _warm_up(lane: Lane, at_ms: int) -> None:
    if lane.view == "network":
        lane.second(NetworkSecond(at_ms=at_ms, edge="a"), 1)
        lane.tick(at_ms + 1_000)
        return
    call = AccountRow(kind=Kind.CALL, at_ms=at_ms, received_ms=at_ms, account_key=1, call_key=1, destination_class=2, answered_ms=at_ms)
    call = replace(call, source_key=1, network_key=1, family_key=1, range_key=1)
    others = [replace(call, kind=kind) for kind in (Kind.REGISTRATION, Kind.AUTH_FAILURE, Kind.INBOUND, Kind.UNAUTHENTICATED)]
    stranger = replace(call, flags=Flag.UNKEYED)
    lane.settle(lane.rows(batch_of([call, *others, stranger]), 1), 1, _Nobody(), closing=False)
    lane.tick(at_ms + 1_000)
    lane.control([AccountChanged(account="a", account_key=1, slot=1, channels=2), HolidaysChanged(days=(), time_zone="UTC")])
    if lane.kernel is None:
        return
    lane.suspect(1, at_ms)
    lane.engine.measure(1)
    lane.engine.profile(1)
    lane.engine.make_larger()


class _Nobody:
    """Knows no row."""

    def resolve(self, row_ref: int) -> None:  # noqa: ARG002
        return None


class _Emitted(msgspec.Struct, frozen=True):
    """Everything that follows from the log up to here has been published."""

    sequence: int


class Standing:
    """Alerts that are open, over all lanes of a process: the heartbeat gives their sum."""

    def __init__(self) -> None:
        self._lanes: dict[tuple[View, int], tuple[int, int]] = {}

    def put(self, lane: tuple[View, int], running: int, critical: int) -> tuple[int, int]:
        """What one lane has open now; open and critical ones of all lanes."""
        self._lanes[lane] = running, critical
        return sum(each[0] for each in self._lanes.values()), sum(each[1] for each in self._lanes.values())


@dataclass(slots=True)
class _Counts:
    rows: int = 0
    at: float = 0.0
    per_second: float = 0.0


class DetectorAgent:
    """Make it, then `run` until cancelled; `ready` returns when it has caught up with what the log held at the start."""

    def __init__(
        self,
        bus: Bus,
        *,
        lane: int,
        view: View = "account",
        snapshots: Path,
        time_zone: str,
        mode: Mode | Literal[""],
        clock: Clock,
        board: StatusBoard,
        rules: RuleSet | None = None,
        snapshot_seconds: float = SNAPSHOT_SECONDS,
        standing: Standing | None = None,
    ) -> None:
        self._bus = bus
        self._view: View = view
        self._number = lane
        self._stream = log_stream(view, lane)
        self._bucket = bus.bucket("detectors")
        self._file = snapshots / f"{view}-{lane}.snapshot"
        self._standing = standing or Standing()
        self._time_zone = time_zone
        self._mode: Mode | Literal[""] = mode
        self._clock = clock
        self._board = board
        self._rules = rules
        self._resolver = LogResolver(bus, self._stream)
        self._emitted = 0
        self._recorded = 0
        self._newest_ms = 0
        self._counts = _Counts()
        self._caught_up = asyncio.Event()
        self._target = 0
        self._settled = True
        self._snapshot_seconds = snapshot_seconds
        self._snapshot_due = monotonic_seconds() + snapshot_seconds
        self._states: asyncio.Queue[EngineState] = asyncio.Queue(1)
        self.lane: Lane

    async def ready(self) -> None:
        """Wait until the lane has caught up."""
        await self._caught_up.wait()

    async def run(self) -> None:
        """Recover, then judge for ever; while the bus is away, wait for it."""
        await self._patiently(self.recover)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._judge())
            group.create_task(self._record())
            group.create_task(self._keep_snapshots())

    # Recovery

    async def recover(self) -> None:
        """The newest snapshot, or a fresh lane with what the control bucket says; and how far was published."""
        started = monotonic_seconds()
        entry = await self._bucket.get(f"{self._view}.{self._number}")
        self._emitted = self._recorded = msgspec.json.decode(entry.value, type=_Emitted).sequence if entry and entry.value else 0
        first, last = await self._bus.first_sequence(self._stream), await self._bus.last_sequence(self._stream)
        lane = await asyncio.to_thread(self._read_snapshot)
        if lane is not None and not first - 1 <= lane.position <= last:
            _log.error("snapshot_not_of_this_log", position=lane.position, first=first, last=last)
            lane = None
        if self._emitted > last:  # The log was made anew: what was published from the old one says nothing about this one.
            self._emitted = self._recorded = 0
        if lane is None:
            lane = await self._fresh(max(first - 1, 0))
        self.lane = lane
        if lane.position >= last:
            self._caught_up.set()
        self._target = last
        seconds = monotonic_seconds() - started
        _log.info("lane_recovered", view=self._view, lane=self._number, position=lane.position, tail=last - lane.position, seconds=seconds)

    def _read_snapshot(self) -> Lane | None:
        state, damaged = read_snapshot(self._file)
        for path in damaged:
            _log.error("snapshot_damaged", file=path.name)
        try:
            lane = None if state is None else Lane.restore(state, mode=self._mode)
        except (OperatorError, msgspec.ValidationError, ValueError, KeyError) as error:
            _log.exception("snapshot_refused", why=str(error))
            return None
        if lane is not None and lane.view != self._view:
            _log.error("snapshot_refused", why=f"a state of the {lane.view} view")
            return None
        return lane

    async def _fresh(self, position: int) -> Lane:
        rules = self._rules or read_rules(built_in_rules())
        lane = Lane.fresh(rules, time_zone=self._time_zone, mode=self._mode, view=self._view)
        lane.position = position
        control = self._bus.bucket("control")
        for key in sorted(await control.keys()):
            entry = await control.get(key)
            if entry is not None and entry.value is not None:
                lane.control(self._decode_control(entry.value))
        return lane

    # The log

    async def _judge(self) -> None:
        while True:
            try:
                async with contextlib.aclosing(self._bus.read(self._stream, from_sequence=self.lane.position + 1)) as messages:
                    async for message in messages:
                        await self._take(message)
            except UnavailableError as error:
                self._board.trouble(self._about("log"), f"The log cannot be read: {error}")
                await asyncio.sleep(RETRY_SECONDS)
            except ConflictError:
                _log.exception("log_replaced", view=self._view, lane=self._number)
                raise

    async def _take(self, message: Message) -> None:
        self._settled = False
        output = await self.process(message)
        if message.sequence > self._emitted:
            await self._publish(output)
            self._emitted = message.sequence
        # Only here may a state be copied: what follows from it has been published, and engine and position agree.
        self._settled = True
        if self.lane.refused:
            self._board.trouble(self._about("rules"), f"A rule set was refused and the one before it stays: {self.lane.refused[-1]}")
            self.lane.refused.clear()
        self._newest_ms = max(self._newest_ms, message.at_ms)
        if not self._caught_up.is_set():
            if self.lane.position < self._target:
                return
            self._caught_up.set()
        if monotonic_seconds() >= self._snapshot_due and self._states.empty():
            self._snapshot_due = monotonic_seconds() + self._snapshot_seconds
            self._states.put_nowait(self.lane.state())

    async def process(self, message: Message) -> Output:
        """Judge one message; what it returns has to be published."""
        lane, kind, found = self.lane, message.headers.get("Rf-Kind", ""), Found()
        _messages.labels(view=self._view).inc()
        try:
            if kind == "rows" and self._view != "network":
                batch = batches.decode(message.payload)
                self._resolver.remember(message.sequence, batch, len(message.payload))
                found = lane.rows(batch, message.sequence)
                self._counts.rows += batch.length
                if self._view == "account":
                    _rows.inc(batch.length)
            elif kind == "second" and self._view == "network":
                found = lane.second(decode_second(message.payload), message.sequence)
                self._counts.rows += 1
            elif kind == "tick":
                if len(message.payload) != 8:
                    raise PeerError("A tick has eight bytes.", reason="bad_tick")
                found = lane.tick(int.from_bytes(message.payload))
            elif kind == "control":
                lane.control(self._decode_control(message.payload))
            else:
                raise PeerError("The message is of no known kind.", reason="unknown_kind")
        except PeerError as error:
            _refused.labels(reason=error.reason).inc()
            _log.warning("message_refused", sequence=message.sequence, reason=error.reason)
        if found:
            await self._resolver.fetch(lane.wanted(found))
        return lane.settle(found, message.sequence, self._resolver, closing=kind == "tick")

    def _decode_control(self, payload: bytes) -> list[ControlRecord]:
        try:
            return decode_control(payload)
        except msgspec.DecodeError as error:
            raise PeerError(f"A control message cannot be read: {error}", reason="bad_control") from error

    # What follows

    async def _publish(self, output: Output) -> None:
        """Suspicions first, each exactly once; wait while the bus is away, because nothing may be left out."""
        suspicions = [(f"suspicion.{each.suspicion_id}", encode_suspicion(each)) for each in output.suspicions]
        alerts = [(f"alert.{each.alert_id}.{each.step}", encode_alert(each)) for each in output.alerts]
        for group in (suspicions, alerts):
            for start in range(0, len(group), PUBLISHED_TOGETHER):
                part = group[start : start + PUBLISHED_TOGETHER]
                for fresh in await asyncio.gather(*(self._publish_one(subject, payload) for subject, payload in part)):
                    if not fresh:
                        _repeated.inc()
        for suspicion in output.suspicions:
            _suspicions.labels(mode=suspicion.mode).inc()
            _log.info("suspicion_raised", alert_id=suspicion.alert_id, rule=suspicion.rule, level=suspicion.level, mode=suspicion.mode)
        for alert in output.alerts:
            _alerts.labels(state=alert.state).inc()
            _log.info("alert_published", alert_id=alert.alert_id, rule=alert.rule, state=alert.state, severity=alert.severity)

    async def _publish_one(self, subject: str, payload: bytes) -> bool:
        while True:
            try:
                fresh = await self._bus.publish_once(subject, payload)
            except UnavailableError as error:
                self._board.trouble(self._about("publish"), f"Alerts and suspicions wait for the bus: {error}")
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._board.settled(self._about("publish"))
                return fresh

    async def _record(self) -> None:
        """Every second: how far was published, and the figures of the heartbeat."""
        while True:
            await asyncio.sleep(RECORD_SECONDS)
            self._show()
            if self._emitted > self._recorded:
                with contextlib.suppress(UnavailableError):
                    sequence = self._emitted
                    await self._bucket.put(f"{self._view}.{self._number}", msgspec.json.encode(_Emitted(sequence)))
                    self._recorded = sequence

    def _about(self, what: str) -> str:
        """The name of a trouble on the board, which the agents of a process share."""
        return what if self._view == "account" else f"{what}_{self._view}"

    def _show(self) -> None:
        lane, counts = self.lane, self._counts
        now = monotonic_seconds()
        if counts.at:
            counts.per_second = counts.rows / (now - counts.at)
        counts.rows, counts.at = 0, now
        running = lane.book.running()
        critical = sum(1 for episode in running if episode.critical and episode.level >= ACT)
        lag_ms = max(self._clock() - lane.now_ms, 0) if lane.now_ms else 0
        figures = lane.figures()
        alerts_open, alerts_critical = self._standing.put((self._view, self._number), len(running), critical)
        self._board.figures.update(alerts_open=float(alerts_open), alerts_critical=float(alerts_critical))
        _view_lag.labels(view=self._view).set(lag_ms / 1000)
        for name, value in figures.items():
            _view_figures.labels(view=self._view, figure=name).set(value)
        if self._view != "account":
            self._board.figures[f"{self._view}_messages_per_second"] = counts.per_second
            self._board.figures[f"{self._view}_lag_ms"] = float(lag_ms)
            return
        self._board.figures.update(
            rows_per_second=counts.per_second,
            risk_eur_per_minute=lane.at_risk_micro() / 1_000_000,
            lag_ms=float(lag_ms),
            accounts=figures["accounts"],
            rows_late=figures["rows_late"],
        )
        _lag.set(lag_ms / 1000)
        _accounts.set(figures["accounts"])
        _state.set(figures["state_bytes"])

    # Snapshots

    async def _keep_snapshots(self) -> None:
        """Write each state that `_take` copied; at the end the last one, if the lane stands between two messages."""
        try:
            while True:
                await self._write(await self._states.get())
        except asyncio.CancelledError:
            if self._settled:
                with contextlib.suppress(UnavailableError):
                    write_snapshot(self._file, self.lane.state())
            raise

    async def _write(self, state: EngineState) -> None:
        started = monotonic_seconds()
        try:
            size = await asyncio.to_thread(write_snapshot, self._file, state)
        except UnavailableError as error:
            self._board.trouble(self._about("snapshot"), f"No snapshot can be written: {error}")
            _log.exception("snapshot_failed")
            return
        self._board.settled(self._about("snapshot"))
        seconds = monotonic_seconds() - started
        _log.info("snapshot_written", position=state.scalars["position"], bytes=size, seconds=seconds)

    async def _patiently(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except UnavailableError as error:
                self._board.trouble(self._about("log"), f"The log cannot be read: {error}")
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._board.settled(self._about("log"))
                return
