"""Writing and announcing: each change goes to the record first, and then to everybody, exactly once and in order.

Announcing waits for nobody's answer and holds up no decision: what is written stands in a queue until JetStream has taken it. What a crash
cut off is caught up from the record by whoever becomes the writer next.
"""

import asyncio
from collections import deque

from ringfence.base.errors import ConflictError, UnavailableError
from ringfence.enforcement.events import Event, encode_event, subject_of
from ringfence.enforcement.table import Record, Table, event_of, restored_event_of
from ringfence.runtime.bus import Bus
from ringfence.runtime.lease import Lease
from ringfence.runtime.log import get_logger

RETRY_SECONDS = 0.25

_log = get_logger(__name__)


class Journal:
    """The writer's pen: writes only while the lease is held."""

    def __init__(self, bus: Bus, table: Table, lease: Lease) -> None:
        self._bus = bus
        self._table = table
        self._lease = lease
        self._queue: deque[tuple[Event | None, int]] = deque()
        self._filled = asyncio.Event()
        self._uncertain = False
        """A write's acknowledgement was lost: the record may hold what was never queued."""

    async def write(self, record: Record) -> None:
        """Record a change and have it announced; ConflictError when the record or the lease is no longer ours."""
        await self._write(record, event_of(record))

    async def restore(self, record: Record) -> bool:
        """Take an entry back into the record and have that announced; False, and nothing happens, where there is one by that key."""
        if self._table.holds(record):
            return False
        try:
            await self._write(record, restored_event_of(record))
        except ConflictError:
            self.check_lease()
            return False  # Somebody wrote it meanwhile: theirs is newer.
        return True

    async def _write(self, record: Record, event: Event | None) -> None:
        self.check_lease()
        try:
            revision = await self._table.write(record)
        except UnavailableError:
            self._uncertain = True
            raise
        self._queue.append((event, revision))
        self._filled.set()

    async def forget(self, record: Record) -> None:
        """Delete what nobody needs any more; nothing is announced."""
        self.check_lease()
        await self._table.forget(record)

    def check_lease(self) -> None:
        """ConflictError when another instance may be the writer by now."""
        if not self._lease.held:
            raise ConflictError("this policy process is not the active one", reason="lease_lost")

    async def catch_up(self) -> None:
        """Queue what an earlier writer recorded and may not have announced."""
        await self._table.load_cursor()
        self._queue = deque((event_of(record), revision) for record, revision in self._table.unannounced())
        self._filled.set()
        if self._queue:
            _log.info("announcements_caught_up", count=len(self._queue))

    async def announce(self) -> None:
        """Announce for ever."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._queue:
                event, revision = self._queue[0]
                if event is not None and not await self._publish(subject_of(event, revision), encode_event(event)):
                    continue
                self._queue.popleft()

    async def mark(self) -> None:
        """Remember how far was announced, when all was."""
        if self._uncertain and not self._queue:
            self._uncertain = False
            self._queue.extend((event_of(record), revision) for record, revision in self._table.unannounced())
            self._filled.set()
        if not self._queue:
            await self._table.save_cursor()

    async def _publish(self, subject: str, payload: bytes) -> bool:
        try:
            await self._bus.publish_once(subject, payload)
        except UnavailableError:
            await asyncio.sleep(RETRY_SECONDS)
            return False
        return True
