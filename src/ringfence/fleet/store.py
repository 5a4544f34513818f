"""Every SQL call of the room, on one connection inside one transaction.

Batches travel as arrays, a column each, so that sixty-four Informs are one statement. The one thing to know: arrays of a call have one
length, and `columns` is where that is made sure of.
"""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ringfence.runtime.db import load_queries

QUERIES = load_queries("ringfence.fleet", "queries.sql")

Row = dict[str, Any]


class FleetStore:
    """The schema `fleet` on one connection."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def rows(self, query: str, **parameters: object) -> list[Row]:
        """Every row of a named query that returns rows."""
        async with self._connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(QUERIES[query], parameters)
            return await cursor.fetchall()

    async def row(self, query: str, **parameters: object) -> Row | None:
        """The first row of a named query, None when there is none."""
        found = await self.rows(query, **parameters)
        return found[0] if found else None

    async def run(self, query: str, **parameters: object) -> int:
        """Run a named query that returns nothing; the number of rows it touched."""
        return (await self._connection.execute(QUERIES[query], parameters)).rowcount

    async def note(self, entries: Sequence[tuple[int, int, str, str, str, str, str]]) -> None:
        """Add to the history: device, moment, kind, name, old, new, person."""
        if entries:
            await self.run("add_history", **columns(entries, ("devices", "moments", "kinds", "names", "olds", "news", "people")))

    async def announce(self, entries: Sequence[tuple[str, int, str]], now_ms: int) -> None:
        """Add to the outbox: kind, device, detail as JSON."""
        if entries:
            await self.run("add_to_outbox", now_ms=now_ms, **columns(entries, ("kinds", "devices", "details")))


def columns(rows: Sequence[Sequence[object]], names: Sequence[str]) -> dict[str, list[object]]:
    """Rows as one array a column."""
    assert all(len(row) == len(names) for row in rows), f"rows of {names} have another width"
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}
