"""Archives one lane: a minute of its log becomes synced files, and only they say how far the archive is.

It reads the log in order from the writer's position on and acknowledges nothing: the log keeps 26 hours whoever has read it, so after any
crash the reading begins again where the newest file ends. It needs neither PostgreSQL nor any other part of the worker. A disk that
refuses stops it from taking more. The one thing to know: a hole in the sequences is what the log had dropped by age before it was read,
never a message that is still to come; it is counted and said.
"""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from ringfence.archive.compaction import compact
from ringfence.archive.layout import day_of
from ringfence.archive.retention import expire
from ringfence.archive.writer import ArchiveWriter, LogEntry, Position
from ringfence.base.clock import Clock
from ringfence.base.errors import ConflictError, UnavailableError
from ringfence.runtime.bus import Bus, Message
from ringfence.runtime.log import get_logger
from ringfence.runtime.metrics import counter
from ringfence.runtime.status import StatusBoard
from ringfence.runtime.streams import log_stream

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
MAX_BYTES = 64 * 1024 * 1024
"""A busier minute becomes several files; nothing more is taken while twice as much waits for the disk."""

TURN_SECONDS = 1.0
RETRY_SECONDS = 0.5
RETENTION_SECONDS = 3_600.0

_log = get_logger(__name__)
_rows = counter("ringfence_archive_rows_total", "Rows written to the archive.")
_unreadable = counter("ringfence_archive_unreadable_total", "Messages of the log that could not be read and were archived as they are.")
_missed = counter("ringfence_archive_missed_total", "Messages that the log dropped before they were archived.")
_merged = counter("ringfence_archive_merged_files_total", "Files of finished days that were merged into few.")
_replaced = counter("ringfence_archive_logs_replaced_total", "Times that a lane's log was found to be another one than was archived.")


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
        self._taken = writer.position
        self._waiting: list[LogEntry] = []
        self._bytes = 0
        self._since_ms = 0
        self._room = asyncio.Event()
        self._room.set()
        self._flushing = asyncio.Lock()

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
        while True:
            try:
                await self._read()
            except UnavailableError as error:
                self._board.trouble("log", f"The log cannot be archived: {error}")
                await asyncio.sleep(RETRY_SECONDS)
            except ConflictError:
                await self._begin_again()

    async def _read(self) -> None:
        """Take what is behind `_taken`, for ever. ConflictError when the log is not the one that was archived."""
        # The message that was taken last is read once more: it proves that this is still the log it stood in.
        known = self._taken
        async with contextlib.aclosing(self._bus.read(log_stream("account", self._lane), from_sequence=max(known.sequence, 1))) as messages:
            async for message in messages:
                self._board.settled("log")
                entry = _entry(message)
                if entry.sequence == known.sequence:
                    if not known.covers(entry):
                        raise ConflictError("The log begins anew.", reason="stream_replaced")
                    continue
                await self._room.wait()
                self._take(entry)

    async def _begin_again(self) -> None:
        """The log was made anew or restored: write what was taken of the old one, then read this one from its first message."""
        _replaced.inc()
        _log.error("log_replaced", lane=self._lane, archived=self._taken.sequence)
        while True:
            if await self._try_to_flush():
                break
            await asyncio.sleep(TURN_SECONDS)
        self._taken = Position()

    def _take(self, entry: LogEntry) -> None:
        missed = entry.sequence - self._taken.sequence - 1
        if missed:
            _missed.inc(missed)
            _log.error("log_dropped_before_archived", lane=self._lane, messages=missed, before=entry.sequence)
        if not self._waiting:
            self._since_ms = self._clock()
        self._waiting.append(entry)
        self._taken = Position(entry.sequence, max(entry.at_ms, self._taken.at_ms))
        self._bytes += len(entry.payload)
        if self._bytes >= 2 * MAX_BYTES:
            self._room.clear()

    async def _write_all(self) -> None:
        while True:
            await asyncio.sleep(TURN_SECONDS)
            due = self._clock() - self._since_ms >= MINUTE_MS or self._clock() < self._since_ms
            if self._waiting and (due or self._bytes >= MAX_BYTES):
                await self._try_to_flush()

    async def _try_to_flush(self) -> bool:
        try:
            await self._flush()
        except UnavailableError as error:
            self._board.trouble("archive", f"Nothing is archived: {error}")
            return False
        self._board.settled("archive")
        return True

    async def _flush(self) -> None:
        """Write what waits. What arrives meanwhile waits for the next turn."""
        async with self._flushing:
            taken, size = list(self._waiting), self._bytes
            if not taken:
                return
            written = await asyncio.get_running_loop().run_in_executor(self._thread, self._writer.write, taken)
            del self._waiting[: len(taken)]
            self._bytes -= size
            self._since_ms = self._clock()
            self._room.set()
        _rows.inc(written.rows)
        _unreadable.inc(written.unreadable)
        self._board.figures["archived_sequence"] = self._writer.position.sequence
        _log.info("archived", lane=self._lane, messages=len(taken), rows=written.rows, unreadable=written.unreadable)


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


async def merge_days(folder: Path, board: StatusBoard, clock: Clock, *, lane: int) -> None:
    """Merge the files of finished days, every hour, until cancelled. The newest day is finished when it is over for an hour."""
    while True:
        groups = compact(folder, today=day_of(clock() - HOUR_MS), lane=lane)
        try:
            while (done := await asyncio.to_thread(partial(next, groups, None))) is not None:
                _merged.inc(done.before)
                _log.info("archive_files_merged", lane=lane, before=done.before, after=done.after)
            board.settled("merge")
        except UnavailableError as error:
            board.trouble("merge", f"Finished days of the archive stay in many files: {error}")
        await asyncio.sleep(RETENTION_SECONDS)


def _entry(message: Message) -> LogEntry:
    return LogEntry(sequence=message.sequence, at_ms=message.at_ms, kind=message.headers.get("Rf-Kind", "unknown"), payload=message.payload)
