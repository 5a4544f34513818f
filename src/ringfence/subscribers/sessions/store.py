"""Every SQL call about access sessions, on one connection inside one transaction. Rows come as tuples: a batch is hundreds of them."""

from collections.abc import Iterable, Sequence

import msgspec

from ringfence.runtime.db import Connection, load_queries
from ringfence.subscribers.sessions.merging import SessionRow
from ringfence.subscribers.sessions.model import AccessSession, EndedBy, Origin

QUERIES = load_queries("ringfence.subscribers.sessions", "queries.sql")


class SessionStore:
    """The table `subscribers.access_sessions` on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def run(self, query: str, **parameters: object) -> int:
        """Run a named query; the number of rows it touched."""
        return (await self._connection.execute(QUERIES[query], parameters)).rowcount

    async def figure(self, query: str) -> int:
        """The single figure of a query."""
        row = await (await self._connection.execute(QUERIES[query])).fetchone()
        assert row is not None, "a count always has a row"
        return int(row[0])

    async def end_sessions_of_nas(self, nas: str, at_ms: int, after: str, limit: int) -> tuple[str | None, int]:
        """End what a NAS had at that time, `limit` rows by name behind `after`: the last name, None when there was none, and how many."""
        row = await (
            await self._connection.execute(QUERIES["end_sessions_of_nas"], {"nas": nas, "at_ms": at_ms, "after": after, "limit": limit})
        ).fetchone()
        assert row is not None, "a maximum without a group always has a row"
        return row[0], row[1]

    async def rows_of_names(self, names: Iterable[tuple[str, str]]) -> list[SessionRow]:
        """Every row of the sessions with these names, pairs of NAS and id."""
        listed = [{"nas": nas, "session_id": name} for nas, name in sorted(names)]
        return await self._rows("sessions_of_names", names=msgspec.json.encode(listed).decode())

    async def rows_of_prefixes(self, prefixes: Sequence[str], since_ms: int) -> list[SessionRow]:
        """Rows of these prefixes that are open or ended after `since_ms`."""
        return await self._rows("sessions_of_prefixes", prefixes=prefixes, since_ms=since_ms)

    async def write(self, rows: Sequence[SessionRow]) -> None:
        """Add what is not stored, change what is."""
        if fresh := [row for row in rows if not row.stored_ms]:
            await self.run("add_sessions", rows=_listed(fresh))
        if old := [row for row in rows if row.stored_ms]:
            await self.run("change_sessions", rows=_listed(old))

    async def sessions(self, query: str, **parameters: object) -> list[AccessSession]:
        """Sessions of any of the reading queries."""
        found = await (await self._connection.execute(QUERIES[query], parameters)).fetchall()
        return [
            AccessSession(
                address=row[0], prefix=row[1], line=row[2], customer=row[3], access_node=row[4], nas=row[5], session_id=row[6],
                origin=Origin(row[7]), started_ms=row[8], last_seen_ms=row[9], ended_ms=row[10], ended_by=EndedBy(row[11]),
            )
            for row in found
        ]  # fmt: skip

    async def _rows(self, query: str, **parameters: object) -> list[SessionRow]:
        found = await (await self._connection.execute(QUERIES[query], parameters)).fetchall()
        return [
            SessionRow(
                nas=row[0], session_id=row[1], prefix=row[2], line=row[3], access_node=row[4], origin=Origin(row[5]),
                started_ms=row[6], last_seen_ms=row[7], ended_ms=row[8], ended_by=EndedBy(row[9]), stored_ms=row[6],
            )
            for row in found
        ]  # fmt: skip


def _listed(rows: Sequence[SessionRow]) -> str:
    """The rows as one value: for hundreds of rows PostgreSQL reads JSON in less time than it takes to quote ten arrays of texts."""
    return msgspec.json.encode(rows).decode()
