"""Rows to the log: batches per view and lane in order, a tick every second, sixty seconds of patience.

A batch leaves when the flush interval is over or it is full. While the bus is away, batches wait in order for `PATIENCE_SECONDS`, then
the oldest are shed and counted: old news is worth less than fresh news, and memory is finite. Each batch carries an id, so that one that
was stored although its acknowledgement was lost is not stored twice. The one thing to know: a lane's rows and ticks go through one queue
and one publisher, so the order of the log is the order of the rows.
"""

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ringfence.archive.batches import encode
from ringfence.base.clock import Clock
from ringfence.base.errors import UnavailableError
from ringfence.base.ids import SLOTS, new_id, slot_of
from ringfence.runtime.bus import Bus
from ringfence.runtime.metrics import counter, histogram
from ringfence.runtime.status import StatusBoard
from ringfence.runtime.streams import LANES, log_subject
from ringfence.telephony.columns import MAX_ROWS, batch_of
from ringfence.telephony.model import AccountRow
from ringfence.telephony.network_second import NetworkSecond, NetworkTotals, encode_second
from ringfence.telephony.views import ACCOUNT, NETWORK, RANGE, SOURCE, range_key_of, row_in_view, source_key_of

PATIENCE_SECONDS = 60
MAX_WAITING_ROWS = 1_000_000
"""Rows that wait for the bus at the most, however fresh."""
RETRY_SECONDS = 0.2
TICK_MS = 1_000

_published = counter("ringfence_ingest_rows_published_total", "Rows that the log acknowledged.")
_shed = counter("ringfence_ingest_rows_shed_total", "Rows dropped because the bus was away for too long.")
_publish_seconds = histogram(
    "ringfence_ingest_publish_seconds",
    "Time from handing a batch to the bus to its acknowledgement.",
    (0.001, 0.005, 0.025, 0.1, 0.5, 2, 10),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A batch, a tick or a second of the network that waits."""

    rows: Sequence[AccountRow]
    tick_ms: int
    second: bytes
    since_ms: int
    message_id: str


class LanePublisher:
    """The log of one lane of a view."""

    def __init__(self, bus: Bus, view: str, lane: int, *, clock: Clock, board: StatusBoard) -> None:
        self._bus = bus
        self._subject = log_subject(view, lane)
        # The account view holds every row: metrics count there, or a row of several views would count several times.
        self._is_record = view == ACCOUNT
        self._trouble = "log" if self._is_record else f"log.{view}"
        self._clock = clock
        self._board = board
        self._open: list[AccountRow] = []
        self._queue: deque[_Entry] = deque()
        self._waiting_rows = 0
        self._work = asyncio.Event()
        self._progress = asyncio.Event()
        self._put_count = 0
        self._done_count = 0
        self._ids = (f"{prefix}.{number}" for prefix in (new_id("i"),) for number in itertools.count())
        self.published = 0
        self.shed = 0

    @property
    def waiting_rows(self) -> int:
        """Rows that the log has not acknowledged."""
        return self._waiting_rows + len(self._open)

    def add(self, row: AccountRow) -> None:
        """Put a row into the open batch."""
        self._open.append(row)
        if len(self._open) >= MAX_ROWS:
            self.flush()

    def flush(self) -> None:
        """Close the open batch and hand it to the publisher."""
        if self._open:
            self._put(_Entry(rows=self._open, tick_ms=0, second=b"", since_ms=self._clock(), message_id=next(self._ids)))
            self._waiting_rows += len(self._open)
            self._open = []

    def tick(self, at_ms: int) -> None:
        """A tick behind every row so far."""
        self.flush()
        self._put(_Entry(rows=(), tick_ms=at_ms, second=b"", since_ms=at_ms, message_id=""))

    def second(self, second: NetworkSecond) -> None:
        """A second of the network, behind all that came before it."""
        self._put(_Entry(rows=(), tick_ms=0, second=encode_second(second), since_ms=self._clock(), message_id=next(self._ids)))

    async def run(self) -> None:
        """Publish in order until cancelled."""
        while True:
            if not self._queue:
                self._work.clear()
                await self._work.wait()
            self._shed_old()
            if not self._queue:
                continue
            entry = self._queue[0]
            try:
                await self._send(entry)
            except UnavailableError as error:
                self._board.trouble(self._trouble, f"Rows wait for the log: {error}")
                await asyncio.sleep(RETRY_SECONDS)
                continue
            self._board.settled(self._trouble)
            self._acknowledged(entry)

    async def settle(self) -> None:
        """Wait until every row so far is in the log. UnavailableError when some had to be shed instead."""
        self.flush()
        target, shed = self._put_count, self.shed
        while self._done_count < target:
            self._progress.clear()
            await self._progress.wait()
        if self.shed != shed:
            raise UnavailableError("Rows were shed because the log was away for too long.", reason="rows_shed")

    async def finish(self) -> None:
        """Publish what waits, after `run` was cancelled."""
        self.flush()
        while self._queue:
            entry = self._queue[0]
            await self._send(entry)
            self._acknowledged(entry)

    def _acknowledged(self, entry: _Entry) -> None:
        if self._queue and self._queue[0] is entry:
            self._leave(entry)
        self.published += len(entry.rows)
        if self._is_record:
            _published.inc(len(entry.rows))

    def _leave(self, entry: _Entry) -> None:
        self._queue.popleft()
        self._waiting_rows -= len(entry.rows)
        self._done_count += 1
        self._progress.set()

    async def _send(self, entry: _Entry) -> None:
        if entry.tick_ms:
            await self._bus.publish(self._subject, entry.tick_ms.to_bytes(8), {"Rf-Kind": "tick"})
            return
        if entry.second:
            await self._bus.publish(self._subject, entry.second, {"Rf-Kind": "second", "Nats-Msg-Id": entry.message_id})
            return
        payload = encode(batch_of(entry.rows))
        with _publish_seconds.time():
            await self._bus.publish(self._subject, payload, {"Rf-Kind": "rows", "Nats-Msg-Id": entry.message_id})

    def _put(self, entry: _Entry) -> None:
        self._queue.append(entry)
        self._put_count += 1
        self._work.set()
        self._shed_old()

    def _shed_old(self) -> None:
        limit = self._clock() - PATIENCE_SECONDS * 1000
        while self._queue and (self._queue[0].since_ms < limit or self._waiting_rows > MAX_WAITING_ROWS):
            entry = self._queue[0]
            self._leave(entry)
            self.shed += len(entry.rows)
            if self._is_record:
                _shed.inc(len(entry.rows))


class Publisher:
    """All lanes of all views."""

    def __init__(self, bus: Bus, *, clock: Clock, board: StatusBoard, flush_ms: int) -> None:
        self._clock = clock
        self._flush_seconds = flush_ms / 1000
        self.views = {
            view: tuple(LanePublisher(bus, view, lane, clock=clock, board=board) for lane in range(lanes)) for view, lanes in LANES.items()
        }
        """Lanes by view."""
        self.lanes = self.views[ACCOUNT]
        """Those of the account view, which holds every row."""
        self.totals = NetworkTotals()

    def add(self, rows: Sequence[AccountRow]) -> None:
        """Put rows into the lanes of the views that hold them, in order."""
        lanes, totals = self.lanes, self.totals
        for row in rows:
            lanes[row.slot * len(lanes) // SLOTS].add(row)
            totals.take(row)
            if key := range_key_of(row):
                self._add_to(RANGE, row, key)
            if key := source_key_of(row):
                self._add_to(SOURCE, row, key)

    def _add_to(self, view: str, row: AccountRow, key: int) -> None:
        lanes = self.views[view]
        lanes[slot_of(key) * len(lanes) // SLOTS].add(row_in_view(row, key))

    async def run(self) -> None:
        """Publish and flush until cancelled."""
        async with asyncio.TaskGroup() as group:
            for lane in self._all():
                group.create_task(lane.run())
            group.create_task(self._seconds())
            while True:
                await asyncio.sleep(self._flush_seconds)
                for lane in self._all():
                    lane.flush()

    async def tick(self, view: str, lane: int, leading: Callable[[], bool]) -> None:
        """Ticks of one lane, every second, while this instance leads."""
        last_ms = 0
        while leading():
            now_ms = self._clock()
            if now_ms - last_ms >= TICK_MS:
                last_ms = now_ms
                self.views[view][lane].tick(now_ms)
            await asyncio.sleep(max(0.005, (TICK_MS - (self._clock() - last_ms)) / 1000))

    async def settle(self) -> None:
        """Wait until every row so far is in the log. UnavailableError when some had to be shed instead."""
        for lane in self._all():
            await lane.settle()

    async def finish(self, seconds: float) -> None:
        """Publish what waits, after `run` was cancelled, for `seconds` at the longest."""
        with contextlib.suppress(TimeoutError, UnavailableError):
            async with asyncio.timeout(seconds):
                for lane in self._all():
                    await lane.finish()

    async def _seconds(self) -> None:
        """What this instance saw of the network, every second, whoever leads: the seconds of several instances add up."""
        lane = self.views[NETWORK][0]
        while True:
            await asyncio.sleep(TICK_MS / 1000)
            for second in self.totals.seconds(self._clock()):
                lane.second(second)

    def _all(self) -> Iterator[LanePublisher]:
        for lanes in self.views.values():
            yield from lanes
