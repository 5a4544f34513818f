"""One edge: a connection that is kept, changes that are sent, tables that are compared.

The link knows what the edge should hold (`EdgeTable`, shared by all links, changed by `EdgeAgent`) and makes it so. A change is sent the
moment it arrives; a restarted edge (no epoch key) is filled completely; every second one table is compared with a dump, and differences are
repaired. Nothing here waits for another edge, and an edge that is down costs a connection attempt every two seconds.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from ringfence.base.clock import Clock, monotonic_seconds
from ringfence.base.errors import PeerError, UnavailableError
from ringfence.base.secret import Secret
from ringfence.enforcement.adapters.edge_rpc import WINDOW, EdgeRpc, connect_edge
from ringfence.enforcement.model import Block, EdgeReport
from ringfence.enforcement.projection import META, TABLES, EdgeTable, Place, differences
from ringfence.enforcement.rpc import MissingKeyError
from ringfence.runtime.log import get_logger
from ringfence.runtime.metrics import counter, histogram

POLL_SECONDS = 1.0
CHECK_SECONDS = 1.0
CALL_SECONDS = 0.5
"""Between two looks at a call that is to be ended and is not acknowledged yet."""
BACKOFF_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0)
NEAR_MS = 2_000
"""An entry this close to its end may be gone at the edge or still there: neither is a difference."""

_log = get_logger(__name__)
_sent = counter("ringfence_enforcement_edge_changes_total", "Keys set and deleted at edges, by outcome.", ["edge", "outcome"])
_repaired = counter("ringfence_enforcement_edge_repairs_total", "Differences found by comparing with a dump.", ["edge"])
_refills = counter("ringfence_enforcement_edge_refills_total", "Complete fills of an edge.", ["edge"])
_ended_calls = counter("ringfence_enforcement_edge_calls_total", "Running calls that were to be ended, by outcome.", ["edge", "outcome"])
_latency = histogram(
    "ringfence_enforcement_edge_change_seconds",
    "From the change in the record to the edge's acknowledgement.",
    (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5),
    ["edge"],
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """An edge as the operator named it. Edge names are settings, a closed set, so they may label metrics."""

    name: str
    url: str
    token: Secret


@dataclass(slots=True)
class _Work:
    """What is still to be sent: fresh changes before the rest."""

    fresh: dict[Place, float] = field(default_factory=dict)
    """Place -> when it changed, on the monotonic clock."""
    rest: deque[Place] = field(default_factory=deque)
    some: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: int = 0
    rest_under_way: int = 0
    drained: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when nothing of the rest waits for an answer."""

    @property
    def waiting(self) -> int:
        return len(self.fresh) + len(self.rest) + self.under_way

    def answered(self, *, is_rest: bool) -> None:
        self.under_way -= 1
        if is_rest:
            self.rest_under_way -= 1
            if not self.rest and not self.rest_under_way:
                self.drained.set()


class EdgeLink:
    """Keeps one edge in agreement."""

    def __init__(self, edge: Edge, table: EdgeTable, *, clock: Clock, loaded: asyncio.Event) -> None:
        self.edge = edge
        self._sent_ok = _sent.labels(edge.name, "ok")
        self._table = table
        self._clock = clock
        self._loaded = loaded
        self._connected = False
        self._work = _Work()
        """Of the connection that is or was."""
        self._touched: set[Place] = set()
        """Places that moved since the dump under way was asked for."""
        self._failures: dict[Place, str] = {}
        self._next_table = 0
        self._looked_again = False
        self._clean: set[str] = set()
        """Tables that held what they should when they were last compared."""
        self._seen_epoch: int | None = None
        self._calls: dict[str, Block] = {}
        """Calls that are to be ended, by the id of their block, until this edge answered or their time is over."""
        self._call_waits = asyncio.Event()
        self._report = EdgeReport(edge=edge.name, at_ms=0, reachable=False, message="not connected yet")
        self.changed = asyncio.Event()
        """Set when the report says something else than before."""

    def report(self) -> EdgeReport:
        """What is known of the edge now."""
        failed = next(iter(self._failures.values()), "")
        return msgspec.structs.replace(
            self._report,
            at_ms=self._clock(),
            keys=len(self._table),
            waiting=self._work.waiting,
            agrees=self._report.agrees and not failed,
            message=self._report.message or failed,
        )

    def put(self, places: set[Place]) -> None:
        """These places hold something else now."""
        work = self._work
        if not self._connected:
            return  # Whoever connects compares or fills; a list of all that was missed would be sent twice.
        now = monotonic_seconds()
        for place in places:
            work.fresh.setdefault(place, now)
        self._touched |= places
        work.some.set()

    def end_call(self, block: Block) -> None:
        """End this call if it runs here. Doing it again changes nothing: a call that is over is not found."""
        self._calls[block.block_id] = block
        self._call_waits.set()

    def spare_call(self, block_id: str) -> None:
        """The block is lifted or over: leave its call alone."""
        self._calls.pop(block_id, None)

    async def run(self) -> None:
        """Keep the edge in agreement until cancelled."""
        attempt = 0
        await self._loaded.wait()  # Before the record was read, everything at the edge would look foreign.
        while True:
            try:
                rpc = await connect_edge(self.edge.name, self.edge.url, self.edge.token)
            except UnavailableError as error:
                self._unreachable(str(error))
            else:
                since = monotonic_seconds()
                await self._use(rpc)
                attempt = 0 if monotonic_seconds() - since > BACKOFF_SECONDS[-1] else attempt
            await asyncio.sleep(BACKOFF_SECONDS[min(attempt, len(BACKOFF_SECONDS) - 1)])
            attempt += 1

    # -- one connection ------------------------------------------------------------------------------------------------------------

    async def _use(self, rpc: EdgeRpc) -> None:
        self._connected, self._work, self._failures = True, _Work(), {}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._until_lost(rpc))
                group.create_task(self._send(rpc))
                group.create_task(self._look_after(rpc))
                group.create_task(self._end_calls(rpc))
        except* (UnavailableError, PeerError) as errors:
            self._unreachable(str(errors.exceptions[0]))
        finally:
            self._connected, self._work = False, _Work()
            rpc.close()

    @staticmethod
    async def _until_lost(rpc: EdgeRpc) -> None:
        raise await rpc.lost

    async def _look_after(self, rpc: EdgeRpc) -> None:
        """Fill or compare at once, then poll the epoch and compare table by table."""
        epoch = await self._epoch(rpc)
        version = await rpc.get(META, "version")
        self._reachable("" if version is None else str(version)[:40])
        if epoch is None:
            await self._fill(rpc)
        else:
            self._seen_epoch = epoch
            self._clean.clear()
            for _ in range(2 * len(TABLES)):  # What changed while nobody was connected; a table that differed is looked at twice.
                await self._compare(rpc)
                if len(self._clean) == len(TABLES):
                    break
        while True:
            await asyncio.sleep(min(POLL_SECONDS, CHECK_SECONDS))
            epoch = await self._epoch(rpc)
            if epoch is None:
                await self._fill(rpc)
                continue
            if epoch != self._seen_epoch:
                self._seen_epoch = epoch  # Another connector filled it: look at all of it again.
                self._clean.clear()
                self._change(agrees=False)
            await self._compare(rpc)

    async def _epoch(self, rpc: EdgeRpc) -> int | None:
        epoch = await rpc.get(META, "epoch")
        return epoch if isinstance(epoch, int) else None

    async def _fill(self, rpc: EdgeRpc) -> None:
        """An edge without an epoch has nothing: send everything, then say so."""
        self._change(agrees=False)
        _refills.labels(self.edge.name).inc()
        places = self._table.places()
        _log.info("edge_fill", edge=self.edge.name, keys=len(places))
        self._failures.clear()
        self._work.rest = deque(places)
        self._work.drained.clear()
        self._work.some.set()
        if places:
            await self._work.drained.wait()
        epoch = self._clock() // 1000
        await rpc.set_number(META, "epoch", epoch)
        self._seen_epoch = epoch
        _log.info("edge_filled", edge=self.edge.name, keys=len(places), failed=len(self._failures))
        self._clean = set(TABLES)
        self._change(refills=self._report.refills + 1, agrees=True, last_full_check_ms=self._clock())

    # -- sending -------------------------------------------------------------------------------------------------------------------

    async def _send(self, rpc: EdgeRpc) -> None:
        """Send what waits, fresh changes first, with a full window and never more."""
        work = self._work
        room = asyncio.Semaphore(WINDOW)
        while True:
            while not work.fresh and not work.rest:
                work.some.clear()
                await work.some.wait()
            await room.acquire()
            if work.fresh:
                place = next(iter(work.fresh))
                since: float | None = work.fresh.pop(place)
            elif work.rest:
                place, since = work.rest.popleft(), None
                work.rest_under_way += 1
            else:
                room.release()
                continue
            self._touched.add(place)
            work.under_way += 1
            self._send_one(rpc, place).add_done_callback(self._on_answer(work, place, since, room))

    def _send_one(self, rpc: EdgeRpc, place: Place) -> asyncio.Future[msgspec.Raw]:
        held = self._table.held(place)
        now_ms = self._clock()
        # Whole seconds on both clocks: the edge's entry ends in the second that its value names, not one later.
        seconds = held.until_ms // 1000 - now_ms // 1000 if held is not None else 0
        if held is None or seconds <= 0:
            return rpc.delete(place.table, place.key)
        return rpc.set_text(place.table, place.key, held.value, seconds)

    def _on_answer(
        self, work: _Work, place: Place, since: float | None, room: asyncio.Semaphore
    ) -> Callable[[asyncio.Future[msgspec.Raw]], None]:
        def answered(future: asyncio.Future[msgspec.Raw]) -> None:
            room.release()
            error = None if future.cancelled() else future.exception()
            work.answered(is_rest=since is None)
            if work is not self._work or future.cancelled() or isinstance(error, UnavailableError):
                return  # The connection is gone; the next one compares.
            if error is None or isinstance(error, MissingKeyError):
                self._failures.pop(place, None)
                self._sent_ok.inc()
                if since is not None:
                    self._took(monotonic_seconds() - since)
            else:
                # Sending it again at once would fail again; the comparison of its table brings it back.
                self._failures[place] = str(error)
                _sent.labels(self.edge.name, "refused").inc()

        return answered

    def _took(self, seconds: float) -> None:
        _latency.labels(self.edge.name).observe(seconds)
        self._report = msgspec.structs.replace(self._report, last_change_latency_ms=round(seconds * 1000, 3))

    # -- calls that are ended --------------------------------------------------------------------------------------------------------

    async def _end_calls(self, rpc: EdgeRpc) -> None:
        while True:
            self._call_waits.clear()
            for block in list(self._calls.values()):
                outcome = await self._end_call(rpc, block) if block.in_force(self._clock()) else "late"
                if outcome:
                    self._calls.pop(block.block_id, None)
                    _ended_calls.labels(self.edge.name, outcome).inc()
                    _log.info("call_to_end", edge=self.edge.name, block_id=block.block_id, outcome=outcome)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CALL_SECONDS if self._calls else None):
                    await self._call_waits.wait()

    async def _end_call(self, rpc: EdgeRpc, block: Block) -> str:
        """What became of it; empty when it has to be tried again."""
        try:
            dialog = await rpc.dialog(block.value)
            if not dialog.runs:
                return "absent"  # At another edge, or over.
            if not dialog.confirmed:
                return ""
            await rpc.end_dialog(dialog)
        except PeerError as error:
            if rpc.lost.done():
                raise
            _log.warning("call_not_ended", edge=self.edge.name, block_id=block.block_id, error=str(error))
            return "refused"  # No dialog module there, or an include of before.
        return "ended"

    # -- comparing -----------------------------------------------------------------------------------------------------------------

    async def _compare(self, rpc: EdgeRpc) -> None:
        """Dump the next table and repair what differs."""
        table = TABLES[self._next_table]
        self._touched = {*self._work.fresh, *self._work.rest}
        try:
            dump = await rpc.dump(table)
        except PeerError as error:
            if rpc.lost.done():
                raise
            self._change(agrees=False, message=f"{table}: {error}")
            self._clean.discard(table)
            self._turn(again=False)
            return
        now_ms = self._clock()
        wanted = self._table.of_table(table)
        found = {Place(table, key): str(value) for key, value in dump.items()}
        difference = differences(wanted, found)
        late = {place for place in difference.foreign if _ended(found[place], now_ms + NEAR_MS)}
        missing = {place for place in difference.missing if not self._ends_soon(place, now_ms)} - self._touched
        foreign = set(difference.foreign) - late - self._touched
        # Entries past their time bind nobody, so they are no disagreement; they are deleted all the same.
        self._resend(missing | foreign | {place for place in late if _ended(found[place], now_ms - NEAR_MS)})
        self._count(len(missing) + len(foreign), table)

    def _resend(self, places: set[Place]) -> None:
        self._work.rest.extend(places)
        if places:
            self._work.some.set()

    def _count(self, different: int, table: str) -> None:
        if different:
            _repaired.labels(self.edge.name).inc(different)
            _log.warning("edge_repaired", edge=self.edge.name, table=table, differences=different)
        # A refused key has its turn here: it agrees now, or it was sent again.
        self._failures = {place: words for place, words in self._failures.items() if place.table != table}
        if different:
            self._clean.discard(table)
        else:
            self._clean.add(table)
        self._change(agrees=len(self._clean) == len(TABLES), message="", repaired=self._report.repaired + different)
        self._turn(again=bool(different))

    def _turn(self, *, again: bool) -> None:
        """On to the next table; one that differed is looked at once more first."""
        if again and not self._looked_again:
            self._looked_again = True
            return
        self._looked_again = False
        self._next_table = (self._next_table + 1) % len(TABLES)
        if self._next_table == 0:
            self._change(last_full_check_ms=self._clock())

    def _ends_soon(self, place: Place, now_ms: int) -> bool:
        held = self._table.held(place)
        return held is None or held.until_ms < now_ms + NEAR_MS

    # -- the report ----------------------------------------------------------------------------------------------------------------

    def _reachable(self, version: str) -> None:
        _log.info("edge_reached", edge=self.edge.name, include_version=version)
        self._change(reachable=True, unreachable_since_ms=0, message="", include_version=version)

    def _unreachable(self, message: str) -> None:
        if self._report.unreachable_since_ms == 0:
            _log.warning("edge_unreachable", edge=self.edge.name, error=message)
        since_ms = self._report.unreachable_since_ms or self._clock()
        self._change(reachable=False, agrees=False, unreachable_since_ms=since_ms, message=message)

    def _change(self, **fields: object) -> None:
        before = self._report
        self._report = msgspec.structs.replace(before, **fields)
        told = ("reachable", "agrees", "message", "refills")
        if any(getattr(before, name) != getattr(self._report, name) for name in told):
            self.changed.set()


def _ended(value: str, now_ms: int) -> bool:
    """Whether the `until` inside a value lies before an instant; what has no such form ended never."""
    parts = value.split("|")
    return len(parts) == 3 and parts[1].isdigit() and int(parts[1]) * 1000 <= now_ms
