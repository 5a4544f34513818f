"""Every SQL call about access sessions, on one connection inside one transaction. Rows come as tuples: a batch is hundreds of them."""

from collections.abc import Iterable, Sequence

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

    async def rows_of_names(self, names: Iterable[tuple[str, str]]) -> list[SessionRow]:
        """Every row of the sessions with these names, pairs of NAS and id."""
        ordered = sorted(names)
        return await self._rows("sessions_of_names", nases=[nas for nas, _ in ordered], names=[name for _, name in ordered])

    async def rows_of_prefixes(self, prefixes: Sequence[str], since_ms: int) -> list[SessionRow]:
        """Rows of these prefixes that are open or ended after `since_ms`."""
        return await self._rows("sessions_of_prefixes", prefixes=prefixes, since_ms=since_ms)

    async def write(self, rows: Sequence[SessionRow]) -> None:
        """Add what is not stored, change what is."""
        if fresh := [row for row in rows if not row.stored_ms]:
            await self.run("add_sessions", **_columns(fresh), origins=[row.origin.value for row in fresh])
        if old := [row for row in rows if row.stored_ms]:
            await self.run("change_sessions", **_columns(old), stored=[row.stored_ms for row in old])

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


def _columns(rows: Sequence[SessionRow]) -> dict[str, list[object]]:
    """The rows as one array a column."""
    return {
        "nases": [row.nas for row in rows],
        "names": [row.session_id for row in rows],
        "prefixes": [row.prefix for row in rows],
        "lines": [row.line for row in rows],
        "access_nodes": [row.access_node for row in rows],
        "started": [row.started_ms for row in rows],
        "seen": [row.last_seen_ms for row in rows],
        "ended": [row.ended_ms for row in rows],
        "reasons": [row.ended_by.value for row in rows],
    }
