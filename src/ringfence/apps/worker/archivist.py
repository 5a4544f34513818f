"""Archives one lane: a minute of its log becomes synced files, then the messages are acknowledged.

It needs neither PostgreSQL nor any other part of the worker. A disk that refuses stops it from taking more, and nothing is acknowledged
meanwhile; a message that comes again is archived once, because the writer knows how far it is.
"""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ringfence.archive.layout import day_of
from ringfence.archive.retention import expire
from ringfence.archive.writer import ArchiveWriter, LogEntry
from ringfence.base.clock import Clock
from ringfence.base.errors import UnavailableError
from ringfence.runtime.bus import Bus, Delivery
from ringfence.runtime.log import get_logger
from ringfence.runtime.metrics import counter
from ringfence.runtime.status import StatusBoard
from ringfence.runtime.streams import log_stream

MINUTE_MS = 60_000
MAX_BYTES = 64 * 1024 * 1024
"""A busier minute becomes several files; nothing more is taken while twice as much waits for the disk."""

ACK_SECONDS = 300.0
IN_FLIGHT = 20_000
TURN_SECONDS = 1.0
RETENTION_SECONDS = 3_600.0

_log = get_logger(__name__)
_rows = counter("ringfence_archive_rows_total", "Rows written to the archive.")
_unreadable = counter("ringfence_archive_unreadable_total", "Messages of the log that could not be read and were archived as they are.")
_missed = counter("ringfence_archive_missed_total", "Messages that the log dropped before they were archived.")


class Archivist:
    """Archives the lane that `writer` belongs to."""

    def __init__(self, bus: Bus, writer: ArchiveWriter, board: StatusBoard, clock: Clock, *, lane: int) -> None:
        self._bus = bus
        self._writer = writer
        self._board = board
        self._clock = clock
        self._lane = lane
        # One thread: a write that was cancelled half way ends before the next one, which then finds its messages written.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="archive")
        self._waiting: list[Delivery] = []
        self._bytes = 0
        self._since_ms = 0
        self._last = 0
        self._room = asyncio.Event()
        self._room.set()

    async def run(self) -> None:
        """Archive until cancelled; what waits then is written before the end."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._take_all())
                group.create_task(self._write_all())
        finally:
            with contextlib.suppress(UnavailableError):
                await self._flush()
            self._thread.shutdown()

    async def _take_all(self) -> None:
        stream = log_stream("account", self._lane)
        durable = f"archive-{self._lane}"
        async with contextlib.aclosing(
            self._bus.consume(stream, durable=durable, ack_wait_seconds=ACK_SECONDS, in_flight=IN_FLIGHT)
        ) as deliveries:
            async for delivery in deliveries:
                await self._room.wait()
                await self._take(delivery)

    async def _take(self, delivery: Delivery) -> None:
        if self._writer.position.covers(_entry(delivery)):
            await delivery.ack()  # The acknowledgement was lost; the file is there.
            return
        if self._waiting and delivery.sequence <= self._last:
            return  # It waits here already.
        if self._last and delivery.sequence > self._last + 1:
            missed = delivery.sequence - self._last - 1
            _missed.inc(missed)
            _log.error("log_dropped_before_archived", lane=self._lane, messages=missed)
        if not self._waiting:
            self._since_ms = self._clock()
        self._waiting.append(delivery)
        self._last = delivery.sequence
        self._bytes += len(delivery.payload)
        if self._bytes >= 2 * MAX_BYTES:
            self._room.clear()

    async def _write_all(self) -> None:
        while True:
            await asyncio.sleep(TURN_SECONDS)
            due = self._clock() - self._since_ms >= MINUTE_MS or self._clock() < self._since_ms
            if not self._waiting or not (due or self._bytes >= MAX_BYTES):
                continue
            try:
                await self._flush()
                self._board.settled("archive")
            except UnavailableError as error:
                self._board.trouble("archive", f"Nothing is archived: {error}")

    async def _flush(self) -> None:
        """Write what waits, then acknowledge it. What arrives meanwhile waits for the next turn."""
        taken, size = list(self._waiting), self._bytes
        if not taken:
            return
        entries = [_entry(delivery) for delivery in taken]
        written = await asyncio.get_running_loop().run_in_executor(self._thread, self._writer.write, entries)
        del self._waiting[: len(taken)]
        self._bytes -= size
        self._since_ms = self._clock()
        self._room.set()
        _rows.inc(written.rows)
        _unreadable.inc(written.unreadable)
        self._board.figures["archived_sequence"] = self._writer.position.sequence
        _log.info("archived", lane=self._lane, messages=len(taken), rows=written.rows, unreadable=written.unreadable)
        for delivery in taken:
            await delivery.ack()


async def keep_days(folder: Path, board: StatusBoard, clock: Clock, *, days: int) -> None:
    """Remove what is older than `days` from the archive, every hour, until cancelled."""
    while True:
        try:
            gone = await asyncio.to_thread(expire, folder, keep_days=days, today=day_of(clock()))
            board.settled("retention")
            if gone:
                _log.info("archive_days_removed", days=sorted({path.name for path in gone}))
        except UnavailableError as error:
            board.trouble("retention", f"Old days stay in the archive: {error}")
        await asyncio.sleep(RETENTION_SECONDS)


def _entry(delivery: Delivery) -> LogEntry:
    return LogEntry(
        sequence=delivery.sequence, at_ms=delivery.at_ms, kind=delivery.headers.get("Rf-Kind", "unknown"), payload=delivery.payload
    )
