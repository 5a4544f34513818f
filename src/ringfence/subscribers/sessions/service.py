"""Access sessions in PostgreSQL: record what was reported, and say who held an address.

A batch of reports is one transaction, and batches happen one after the other whoever listens. The one thing to know: `lines_at` names a
line only when every session that claims the address at that time names the same one.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import groupby, islice
from typing import BinaryIO

from ringfence.base.clock import Clock, system_clock
from ringfence.base.errors import PeerError
from ringfence.base.ids import new_id
from ringfence.runtime.db import Database
from ringfence.subscribers.importing.tally import Tally
from ringfence.subscribers.model import Changed, Difference, ImportReport
from ringfence.subscribers.sessions.addresses import IPV6_LENGTHS, address_of
from ringfence.subscribers.sessions.leases import read_leases
from ringfence.subscribers.sessions.merging import SKEW_MS, Book, SessionRow
from ringfence.subscribers.sessions.model import AccessSession, ReportKind, SessionReport
from ringfence.subscribers.sessions.store import SessionStore

MAX_PAGE = 500
FORGET_ROWS = 5_000
"""Rows that one turn of the retention deletes; more wait for the next turn, so that no lock lasts."""
RESTART_ROWS = 10_000
"""Rows of one NAS that a turn looks at when it restarted."""
LEASES = 2_000
"""Rows of an import that are one transaction: accounting waits no longer than for one of them."""
FAR_AHEAD_MS = 4_102_444_800_000
"""The year 2100: before it is everything."""


class AccessSessions:
    """Who held which address. Its parts are inherited by `SubscribersService`, and stand alone where only they are needed."""

    def __init__(self, db: Database, clock: Clock = system_clock) -> None:
        self._db = db
        self._clock = clock

    async def record(self, reports: Sequence[SessionReport]) -> int:
        """Note a batch of reports, in their order. The same batch again changes nothing. How many rows it wrote.

        One transaction; the restart of a NAS is several of its own, since it may end a million sessions.
        """
        written = 0
        for restart, group in groupby(reports, lambda report: report.kind is ReportKind.NAS_RESTART):
            if restart:
                for report in group:
                    written += await self._restarted(report)
                continue
            async with self._db.transaction() as connection:
                store = SessionStore(connection)
                await store.run("hold_sessions")
                written += len(await _merge(store, list(group)))
        return written

    async def import_sessions(self, by: str, source: BinaryIO, *, strict: bool = False) -> ImportReport:
        """Leases of a CSV file. OperatorError, and nothing changed, when too many rows are bad; else in portions, each a transaction.

        `source` is read twice, so it must be able to seek. An import that was cut off is repeated whole: what is known changes nothing.
        """
        tally = Tally(strict=strict)
        await asyncio.to_thread(lambda: deque(tally.good(read_leases(source)), maxlen=0))
        tally.judge()
        source.seek(0)
        leases = (row for row in read_leases(source) if isinstance(row, SessionReport))
        while portion := await asyncio.to_thread(lambda: list(islice(leases, LEASES))):
            async with self._db.transaction() as connection:
                store = SessionStore(connection)
                await store.run("hold_sessions")
                changes = await _merge(store, portion)
            told = {(lease.nas, lease.session_id, prefix) for lease in portion for prefix in lease.prefixes}
            tally.wrote(_changed(row) for row in changes if (row.nas, row.session_id, row.prefix) in told)
        report = tally.report(new_id("i"), "sessions")
        async with self._db.transaction() as connection:
            counts = {name: getattr(report, name) for name in ("import_id", "rows", "bad", "added", "changed", "same")}
            await SessionStore(connection).run("note_leases", **counts, author=by, now_ms=self._clock())
        return report

    async def lines_at(self, addresses: Sequence[str], at_ms: int) -> dict[str, AccessSession]:
        """Address -> the session that held it at that time. Not in it: what nobody held, what is no address, what is claimed twice."""
        parsed = {text: spelled for text in dict.fromkeys(addresses) if (spelled := _parsed(text))}
        if not parsed:
            return {}
        async with self._db.transaction() as connection:
            found = await SessionStore(connection).sessions(
                "sessions_at", addresses=list(parsed), parsed=list(parsed.values()), lengths=list(IPV6_LENGTHS), at_ms=at_ms
            )
        held: dict[str, AccessSession] = {}
        unsure: set[str] = set()
        for session in found:
            if not session.line or held.setdefault(session.address, session).line != session.line:
                unsure.add(session.address)
        return {address: session for address, session in held.items() if address not in unsure}

    async def history_of_line(self, line: str, *, before_ms: int = FAR_AHEAD_MS, limit: int = 100) -> tuple[AccessSession, ...]:
        """The addresses of a line, newest first; those that began before `before_ms`."""
        async with self._db.transaction() as connection:
            rows = await SessionStore(connection).sessions("sessions_of_line", line=line, before_ms=before_ms, limit=min(limit, MAX_PAGE))
        return tuple(rows)

    async def history_of_address(self, address: str, *, before_ms: int = FAR_AHEAD_MS, limit: int = 100) -> tuple[AccessSession, ...]:
        """Who held an address, newest first, claims that contradict each other included. PeerError when it is no address."""
        parsed = str(address_of(address))
        async with self._db.transaction() as connection:
            rows = await SessionStore(connection).sessions(
                "sessions_of_address",
                addresses=[parsed],
                parsed=[parsed],
                lengths=list(IPV6_LENGTHS),
                before_ms=before_ms,
                limit=min(limit, MAX_PAGE),
            )
        return tuple(rows)

    async def forget_sessions(self, until_ms: int) -> int:
        """Delete sessions that ended before; `FORGET_ROWS` at the most, and how many it were."""
        async with self._db.transaction() as connection:
            return await SessionStore(connection).run("forget_sessions", until_ms=until_ms, limit=FORGET_ROWS)

    async def count_open_sessions(self) -> int:
        """Open addresses and prefixes; a look at the whole table."""
        async with self._db.transaction() as connection:
            return await SessionStore(connection).figure("count_open_sessions")

    async def _restarted(self, report: SessionReport) -> int:
        """End the sessions of a NAS, portion by portion."""
        ended, last = 0, ""
        while True:
            async with self._db.transaction() as connection:
                store = SessionStore(connection)
                await store.run("hold_sessions")
                found, count = await store.end_sessions_of_nas(report.nas, report.at_ms, last, RESTART_ROWS)
            ended += count
            if found is None:
                return ended
            last = found


def _changed(row: SessionRow) -> Changed:
    difference = Difference.CHANGED if row.stored_ms else Difference.ADDED
    return Changed(key=f"{row.prefix.removesuffix('/32')} {row.line}", difference=difference)


async def _merge(store: SessionStore, reports: list[SessionReport]) -> list[SessionRow]:
    book = Book(await store.rows_of_names({(report.nas, report.session_id) for report in reports}))
    for report in reports:
        book.apply(report)
    if contested := book.contested():
        since = min(min(report.started_ms or report.at_ms, report.at_ms) for report in reports) - SKEW_MS
        book.take_over(await store.rows_of_prefixes(contested, max(since, 1)))
    changes = book.changes()
    await store.write(changes)
    return changes


def _parsed(text: str) -> str:
    """An address in its one spelling, empty when it is none."""
    try:
        return str(address_of(text))
    except PeerError:
        return ""
