"""Copies alerts and what enforcement announces from JetStream to PostgreSQL, with the audit entries and the pages they call for.

Every step is idempotent by the message's own id and a message is acknowledged last, so a crash or a PostgreSQL that is away loses nothing
and repeats nothing. What cannot be read is counted, logged and left behind: it would never become readable.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from ringfence.access.service import AccessService
from ringfence.apps.worker.control import ControlWriter
from ringfence.apps.worker.refill import is_new, refill
from ringfence.base.errors import OperatorError, PeerError, UnavailableError
from ringfence.base.money import show_euro
from ringfence.detection.service import AlertRecord, DetectionService
from ringfence.enforcement.events import BlockImposed, BlockLifted, BreakerOpened, BreakerReset, Event, decode_event
from ringfence.enforcement.model import Approval, Block, Breaker, EdgeReport, Exemption, Proposal
from ringfence.enforcement.service import EnforcementService, happening_of
from ringfence.runtime.bucket import CaughtUp
from ringfence.runtime.bus import Bus, Delivery
from ringfence.runtime.log import get_logger
from ringfence.runtime.metrics import counter
from ringfence.runtime.status import StatusBoard
from ringfence.telephony.control import BlockReleased

RETRY_SECONDS = 1.0
EDGE_SECONDS = 2.0
"""Edge reports come every second from each edge; PostgreSQL gets the newest this often."""

BUCKETS: tuple[tuple[Literal["blocks", "exemptions", "proposals"], type[Block] | type[Exemption] | type[Proposal]], ...] = (
    ("blocks", Block),
    ("exemptions", Exemption),
    ("proposals", Proposal),
)
SMALL_BUCKETS: tuple[tuple[str, type[Approval] | type[Breaker]], ...] = (("approvals", Approval), ("breaker", Breaker))
"""Few enough to be copied whole each time."""

_log = get_logger(__name__)
_copied = counter("ringfence_worker_messages_total", "Messages copied to PostgreSQL, by stream.", ("stream",))
_unreadable = counter("ringfence_worker_unreadable_total", "Messages that could not be read and were left behind, by reason.", ("reason",))


class Projector:
    """The copy of alerts, announcements, buckets and edge reports."""

    def __init__(
        self,
        bus: Bus,
        *,
        detection: DetectionService,
        enforcement: EnforcementService,
        access: AccessService,
        control: ControlWriter,
        board: StatusBoard,
    ) -> None:
        self._bus = bus
        self._detection = detection
        self._enforcement = enforcement
        self._access = access
        self._control = control
        self._board = board
        self._edges: dict[str, EdgeReport] = {}

    async def run(self) -> None:
        """Copy until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._drain("ALERTS", "worker-alerts", self.take_alert))
            group.create_task(self._drain("ATTACKS", "worker-attacks", self.take_attack))
            group.create_task(self._drain("EVENTS", "worker-events", self.take_event))
            group.create_task(self._patiently("buckets", self.compare_record))
            group.create_task(self._watch_edges())
            group.create_task(self._copy_edges())

    async def take_alert(self, delivery: Delivery) -> None:
        """Copy one step of an episode; a critical one opens a page, its end closes it."""
        alert = await self._detection.record_alert(delivery.payload, _last_number(delivery.subject))
        if alert is None:
            # Known already; the page may not be, when the last run ended between the two.
            alert = await self._detection.alert(delivery.subject.split(".")[1])
        if not alert.running:
            await self._access.end_page(alert.alert_id, "closed")
        elif alert.severity == "critical" and not alert.acknowledged_ms:
            await self._access.open_page(alert.alert_id, page_text(alert))

    async def take_attack(self, delivery: Delivery) -> None:
        """Copy one step of an attack."""
        await self._detection.record_attack(delivery.payload)

    async def take_event(self, delivery: Delivery) -> None:
        """Copy one announcement, record it in the audit chain, tell detection of a release."""
        if not delivery.subject.startswith("event.enforcement."):
            return
        event = decode_event(delivery.payload)
        line = happening_of(event, delivery.at_ms)
        await self._enforcement.record(event, _last_number(delivery.subject), delivery.at_ms)
        detail: dict[str, str | int | bool] = {"value": line.value[:200], "reason": line.reason[:500]}
        if line.account:
            detail["account"] = line.account[:200]
        await self._access.audit_once(delivery.subject, _printable(line.person) or "time", line.name, _printable(line.record_id), detail)
        await self._follow_up(event)

    async def compare_record(self) -> None:
        """Once: each of the record and its copy gets from the other what it lacks."""
        new = await is_new(self._bus)
        if new:
            await self._enforcement.begin_anew()
        await self.copy_buckets()
        if new:
            await refill(self._bus, self._enforcement)

    async def copy_buckets(self) -> None:
        """Take over what changed in the record while no worker ran, or while PostgreSQL was restored."""
        for name, kind in BUCKETS:
            await self._copy_bucket(name, kind, await self._enforcement.revisions(name))
        for small, kind_of_small in SMALL_BUCKETS:
            await self._copy_bucket(small, kind_of_small, {})

    async def _copy_bucket(
        self,
        name: str,
        kind: type[Block] | type[Exemption] | type[Proposal] | type[Approval] | type[Breaker],
        known: dict[str, int],
    ) -> None:
        async with contextlib.aclosing(self._bus.bucket(name).watch()) as entries:
            async for entry in entries:
                if isinstance(entry, CaughtUp):
                    break
                if entry.value is None or known.get(entry.key, 0) >= entry.revision:
                    continue
                try:
                    record: Block | Exemption | Proposal | Approval | Breaker = msgspec.json.decode(entry.value, type=kind)
                except msgspec.DecodeError as error:
                    _unreadable.labels(reason="bad_record").inc()
                    _log.error("record_unreadable", bucket=name, error=str(error))
                    continue
                await self._enforcement.copy(record, entry.revision)

    async def _follow_up(self, event: Event) -> None:
        match event:
            case BlockLifted(block=block):
                released = BlockReleased(
                    block_id=block.block_id,
                    alert_id=block.alert_id,
                    account=block.account,
                    scope=block.scope.value,
                    at_ms=block.ended_ms,
                    by=block.ended_by,
                )
                await self._control.publish([released])
            case BlockImposed(block=block) if block.break_glass:
                text = f"{block.author} used break-glass: block {block.block_id} on {block.scope.value} {block.value}. {block.reason}"
                await self._access.open_page(f"break-glass-{block.block_id}", text, everyone=True)
            case BreakerOpened(breaker=breaker):
                text = f"Automatic {breaker.kind} blocks are stopped: {breaker.subjects} in ten minutes, the limit is {breaker.limit}."
                await self._access.open_page(f"breaker-{breaker.kind}-{breaker.opened_ms}", text)
            case BreakerReset(breaker=breaker):
                await self._access.end_pages(f"breaker-{breaker.kind}-", breaker.reset_by)
            case _:
                pass

    async def _drain(self, stream: str, durable: str, take: Callable[[Delivery], Awaitable[None]]) -> None:
        """Take every message of a stream; after a failure of PostgreSQL or the bus, begin again at the first that was not taken."""
        while True:
            try:
                async with contextlib.aclosing(self._bus.consume(stream, durable=durable)) as deliveries:
                    async for delivery in deliveries:
                        await self._take(stream, delivery, take)
                        self._board.settled(stream)
            except UnavailableError as error:
                self._board.trouble(stream, f"{stream} wait to be copied: {error}")
                await asyncio.sleep(RETRY_SECONDS)

    async def _take(self, stream: str, delivery: Delivery, take: Callable[[Delivery], Awaitable[None]]) -> None:
        try:
            await take(delivery)
            _copied.labels(stream=stream).inc()
        except (PeerError, OperatorError) as error:
            _unreadable.labels(reason=error.reason).inc()
            _log.error("message_unreadable", subject=delivery.subject, error=str(error))
        await delivery.ack()

    async def _patiently(self, about: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except UnavailableError as error:
                self._board.trouble(about, f"The record waits to be compared: {error}")
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._board.settled(about)
                return

    async def _watch_edges(self) -> None:
        async with contextlib.aclosing(self._bus.bucket("edges").watch()) as entries:
            async for entry in entries:
                if isinstance(entry, CaughtUp) or entry.value is None:
                    continue
                try:
                    self._edges[entry.key] = msgspec.json.decode(entry.value, type=EdgeReport)
                except msgspec.DecodeError as error:
                    _unreadable.labels(reason="bad_edge_report").inc()
                    _log.error("edge_report_unreadable", edge=entry.key, error=str(error))

    async def _copy_edges(self) -> None:
        while True:
            await asyncio.sleep(EDGE_SECONDS)
            waiting, self._edges = self._edges, {}
            try:
                for report in waiting.values():
                    await self._enforcement.copy_edge(report)
            except UnavailableError:
                self._edges = waiting | self._edges


def page_text(alert: AlertRecord) -> str:
    """What a person woken at night reads first: what, who, how much, why."""
    subject = alert.account or f"{alert.subject_kind} {alert.subject_value}"
    return f"{alert.rule} {subject}: {alert.reason} Cost so far {show_euro(alert.cost_micro)}. Alert {alert.alert_id}"


def _last_number(subject: str) -> int:
    """The step or revision at the end of a subject; PeerError when there is none."""
    last = subject.rpartition(".")[2]
    if not (last.isascii() and last.isdigit() and len(last) <= 18):
        raise PeerError(f"{subject[:100]!a} does not end with a number", reason="bad_subject")
    return int(last)


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in text)[:400]
