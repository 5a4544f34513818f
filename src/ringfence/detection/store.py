"""Alerts, rule sets, rate decks and holidays in PostgreSQL: every SQL call of the room, on one connection inside one transaction."""

from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ringfence.runtime.db import load_queries

QUERIES = load_queries("ringfence.detection", "queries.sql")

Row = dict[str, Any]


class DetectionStore:
    """The schema `detection` on one connection."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def rows(self, query: str, **parameters: object) -> list[Row]:
        """Every row of a named query that returns rows; JSON columns come as values."""
        async with self._connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(QUERIES[query], _storable(parameters))
            rows = await cursor.fetchall()
        for row in rows:
            if "evidence" in row:
                row["evidence"] = msgspec.json.decode(row["evidence"])
        return rows

    async def row(self, query: str, **parameters: object) -> Row | None:
        """The first row of a named query, None when there is none."""
        found = await self.rows(query, **parameters)
        return found[0] if found else None

    async def run(self, query: str, **parameters: object) -> int:
        """Run a named query that returns nothing; the number of rows it touched."""
        cursor = await self._connection.execute(QUERIES[query], _storable(parameters))
        return cursor.rowcount


def _storable(parameters: dict[str, object]) -> dict[str, object]:
    """PostgreSQL stores no U+0000, and a peer may have put one into an account name or a Call-ID."""
    clean = {name: value.replace("\x00", "\ufffd") if isinstance(value, str) else value for name, value in parameters.items()}
    if isinstance(evidence := clean.get("evidence"), bytes):
        clean["evidence"] = evidence.decode().replace("\\u0000", "\\ufffd")
    return clean
