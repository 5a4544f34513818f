"""What is happening now, in memory, straight from NATS: running alerts, blocks, proposals, edges, breakers and the parts' heartbeats.

The live pages read this and nothing else, so they go on while PostgreSQL is down. It decides nothing and writes nothing. The one thing to
know: it holds what NATS said last; `connected` says whether NATS still speaks.
"""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import structlog

from ringfence.base.clock import Clock, monotonic_seconds
from ringfence.base.errors import NotFoundError, UnavailableError
from ringfence.detection.attacks import decode_attack
from ringfence.detection.model import Alert, Evidence, decode_alert
from ringfence.enforcement.model import Approval, Block, Breaker, BreakerKind, EdgeReport, Exemption, Proposal
from ringfence.runtime.bucket import CaughtUp
from ringfence.runtime.bus import Bus
from ringfence.runtime.status import SILENT_MS, Status
from ringfence.views.attacks import LiveAttacks

CLOSED_KEPT = 500
"""Closed alerts that stay for the lists; older ones are in PostgreSQL."""
RECORDED_SECONDS = 5.0
"""How long a person's click on a fresh alert waits for the worker to copy it."""
SAMPLES = 120
"""Seconds of the past behind the small lines of the overview."""

_log = structlog.stdlib.get_logger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveAlert:
    """An alert as its newest step left it."""

    alert_id: str
    step: int
    state: str
    rule: str
    rule_version: int
    severity: str
    subject_kind: str
    subject_value: str
    account: str
    score: int
    cost_micro: int
    reason: str
    evidence: Evidence
    opened_ms: int
    changed_ms: int
    closed_ms: int = 0

    @property
    def running(self) -> bool:
        """Whether the episode goes on."""
        return self.state != "close"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One second of the overview."""

    at_ms: int
    calls_per_second: float
    risk_micro: int


@dataclass(slots=True)
class Board:
    """The present. `follow` keeps it so; everything else reads."""

    clock: Clock
    blocks: dict[str, Block] = field(default_factory=dict)
    proposals: dict[str, Proposal] = field(default_factory=dict)
    approvals: dict[str, Approval] = field(default_factory=dict)
    exemptions: dict[str, Exemption] = field(default_factory=dict)
    breakers: dict[str, Breaker] = field(default_factory=dict)
    edges: dict[str, EdgeReport] = field(default_factory=dict)
    alerts: dict[str, LiveAlert] = field(default_factory=dict)
    attacks: LiveAttacks = field(default_factory=LiveAttacks)
    statuses: dict[tuple[str, str], Status] = field(default_factory=dict)
    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    changes: int = 0
    _closed: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _bell: asyncio.Event = field(default_factory=asyncio.Event)
    _waiting: set[str] = field(default_factory=set)
    _ready: asyncio.Event = field(default_factory=asyncio.Event)
    _bus: Bus | None = None

    async def follow(self, bus: Bus) -> None:
        """Keep the board in step with NATS, for ever."""
        self._bus = bus
        tables: tuple[tuple[str, type[Any], dict[str, Any]], ...] = (
            ("blocks", Block, self.blocks),
            ("proposals", Proposal, self.proposals),
            ("approvals", Approval, self.approvals),
            ("exemptions", Exemption, self.exemptions),
            ("breaker", Breaker, self.breakers),
            ("edges", EdgeReport, self.edges),
        )
        self._waiting = {name for name, _, _ in tables} | {"alerts", "attacks"}
        async with asyncio.TaskGroup() as group:
            for name, kind, table in tables:
                group.create_task(self._follow_bucket(bus, name, kind, table))
            group.create_task(self._follow_steps(bus, "ALERTS", lambda payload: self.put_alert(decode_alert(payload))))
            group.create_task(self._follow_steps(bus, "ATTACKS", lambda payload: self.attacks.feed(decode_attack(payload))))
            group.create_task(self._follow_statuses(bus))
            group.create_task(self._sample())

    async def ready(self) -> None:
        """Until everything that NATS holds was read once."""
        await self._ready.wait()

    async def changed(self, *, seconds: float) -> None:
        """Until something changes, `seconds` at the longest."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._bell.wait()

    @property
    def connected(self) -> bool:
        """Whether NATS can be reached, so that the board is the present."""
        return self._bus is not None and self._bus.connected

    # What the pages ask

    async def once_recorded(self, alert_id: str, act: Callable[[], Awaitable[T]]) -> T:
        """What `act` says of a stored alert. One that is live but not copied to PostgreSQL yet is waited for, some seconds.

        NotFoundError when nobody knows it; UnavailableError when the copy does not come.
        """
        deadline = monotonic_seconds() + RECORDED_SECONDS
        while True:
            try:
                return await act()
            except NotFoundError:
                if alert_id not in self.alerts:
                    raise
            if monotonic_seconds() > deadline:
                raise UnavailableError("The alert is not recorded yet; try again in a moment.", reason="not_recorded")
            await asyncio.sleep(0.1)

    def running(self) -> list[LiveAlert]:
        """Alerts that go on: critical before warning, then the dearest first."""
        order = {"critical": 0, "warning": 1, "info": 2}
        found = [alert for alert in self.alerts.values() if alert.running]
        return sorted(found, key=lambda alert: (order[alert.severity], -alert.cost_micro, alert.alert_id))

    def blocks_in_force(self) -> list[Block]:
        """What every edge refuses now, newest first."""
        now = self.clock()
        return sorted((block for block in self.blocks.values() if block.in_force(now)), key=lambda block: -block.imposed_ms)

    def blocks_of(self, account: str) -> list[Block]:
        """Blocks in force that came from an account or are on it."""
        return [block for block in self.blocks_in_force() if account and account in (block.account, block.value)]

    def open_proposals(self) -> list[Proposal]:
        """What waits for people, oldest first."""
        now = self.clock()
        found = [proposal for proposal in self.proposals.values() if proposal.state == "open" and proposal.until_ms > now]
        return sorted(found, key=lambda proposal: proposal.created_ms)

    def approvers(self, proposal_id: str) -> list[str]:
        """Who has said yes."""
        return sorted(approval.by for approval in self.approvals.values() if approval.proposal_id == proposal_id)

    def exemptions_in_force(self) -> list[Exemption]:
        """What nothing automatic touches now, the next to end first."""
        now = self.clock()
        found = [each for each in self.exemptions.values() if not each.ended_ms and each.until_ms > now]
        return sorted(found, key=lambda each: each.until_ms)

    def breaker(self, kind: BreakerKind) -> Breaker:
        """The breaker of a kind; closed when nobody ever spoke of it."""
        found = self.breakers.get(kind)
        return found if found is not None else Breaker(kind=kind)

    def alive(self, role: str) -> list[Status]:
        """Instances of a role that spoke within the last seconds."""
        now = self.clock()
        return [status for (name, _), status in self.statuses.items() if name == role and now - status.at_ms <= SILENT_MS]

    def figure(self, role: str, name: str) -> float | None:
        """A figure summed over the living instances of a role; None when none of them tells it."""
        told = [status.figures[name] for status in self.alive(role) if name in status.figures]
        return sum(told) if told else None

    def rate_micro(self, alert: LiveAlert) -> int:
        """Micro-euro a minute of a running alert, as its newest step observed it; 0 once its account is blocked."""
        return 0 if self.blocks_of(alert.account) else observed_micro(alert)

    def risk_micro(self) -> int:
        """Micro-euro a minute that nothing stops yet. Several alerts of one subject see the same calls: the highest counts."""
        return self._highest(blocked=False)

    def held_micro(self) -> int:
        """Micro-euro a minute of blocked accounts, as observed last: calls that ran before their block go on to their end."""
        return self._highest(blocked=True)

    def _highest(self, *, blocked: bool) -> int:
        by_subject: dict[tuple[str, str], int] = {}
        for alert in self.running():
            if bool(self.blocks_of(alert.account)) is blocked:
                key = (alert.subject_kind, alert.subject_value)
                by_subject[key] = max(by_subject.get(key, 0), observed_micro(alert))
        return sum(by_subject.values())

    # Following

    async def _follow_bucket(self, bus: Bus, name: str, kind: type[T], table: dict[str, T]) -> None:
        async with contextlib.aclosing(bus.bucket(name).watch()) as entries:
            async for entry in entries:
                if isinstance(entry, CaughtUp):
                    self._caught_up(name)
                elif entry.value is None:
                    table.pop(entry.key, None)
                elif (value := _decoded(entry.value, kind, name)) is not None:
                    table[entry.key] = value
                self._ring()

    async def _follow_steps(self, bus: Bus, stream: str, put: Callable[[bytes], None]) -> None:
        """Take every step that a stream holds and will hold."""
        last = await bus.last_sequence(stream)
        if last == 0:
            self._caught_up(stream.lower())
        async with contextlib.aclosing(bus.read(stream, from_sequence=1)) as messages:
            async for message in messages:
                try:
                    put(message.payload)
                except (msgspec.DecodeError, ValueError) as error:
                    _log.error("board_unreadable", source=stream, error=str(error))
                if message.sequence >= last:
                    self._caught_up(stream.lower())
                    self._ring()

    async def _follow_statuses(self, bus: Bus) -> None:
        async with contextlib.aclosing(bus.listen("status.*")) as messages:
            async for message in messages:
                status = _decoded(message.payload, Status, "status")
                if status is not None:
                    self.statuses[status.role, status.instance] = status

    async def _sample(self) -> None:
        while True:
            calls = self.figure("ingest", "calls_per_second") or 0.0
            self.samples.append(Sample(at_ms=self.clock(), calls_per_second=calls, risk_micro=self.risk_micro()))
            await asyncio.sleep(1.0)

    def put_alert(self, alert: Alert) -> None:
        """Take one step of an episode; an older step than the one we hold changes nothing."""
        held = self.alerts.get(alert.alert_id)
        if held is not None and held.step >= alert.step:
            return
        at_ms = round(datetime.fromisoformat(alert.at).timestamp() * 1000)
        closed = alert.state == "close"
        self.alerts[alert.alert_id] = LiveAlert(
            alert_id=alert.alert_id,
            step=alert.step,
            state=alert.state,
            rule=alert.rule,
            rule_version=alert.rule_version,
            severity=alert.severity,
            subject_kind=alert.subject.kind,
            subject_value=alert.subject.value,
            account=alert.account,
            score=alert.score,
            cost_micro=round(alert.cost_eur * 1_000_000),
            reason=alert.reason,
            evidence=alert.evidence,
            opened_ms=held.opened_ms if held else at_ms,
            changed_ms=at_ms,
            closed_ms=at_ms if closed else 0,
        )
        # A closed episode can open again; then it is no candidate for forgetting.
        self._closed.pop(alert.alert_id, None)
        if closed:
            self._closed[alert.alert_id] = None
            while len(self._closed) > CLOSED_KEPT:
                self.alerts.pop(self._closed.popitem(last=False)[0], None)

    def _caught_up(self, name: str) -> None:
        self._waiting.discard(name)
        if not self._waiting:
            self._ready.set()

    def _ring(self) -> None:
        self.changes += 1
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()


def observed_micro(alert: LiveAlert) -> int:
    """Micro-euro a minute of a running alert, as its newest step observed it, blocked or not."""
    rate = alert.evidence.observed.get("eur_per_minute", 0)
    return round(rate * 1_000_000) if alert.running and isinstance(rate, int | float) else 0


def _decoded(payload: bytes, kind: type[T], source: str) -> T | None:
    """A value of NATS; None and a line in the log for what does not read (a newer version's)."""
    try:
        return msgspec.json.decode(payload, type=kind)
    except msgspec.DecodeError as error:
        _log.error("board_unreadable", source=source, error=str(error))
        return None
