"""Every SQL call of `views`, on one connection inside one transaction. It reads tables of several rooms and writes temporary ones only."""

from collections.abc import Iterable
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from ringfence.runtime.db import load_queries

QUERIES = load_queries("ringfence.views", "queries.sql")

Row = dict[str, Any]


class ViewsStore:
    """Joins over the schemas of the rooms."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection

    async def rows(self, query: str, **parameters: object) -> list[Row]:
        """Every row of a named query that returns rows."""
        async with self._connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(QUERIES[query], parameters)
            return await cursor.fetchall()

    async def run(self, query: str) -> None:
        """Run a named query that returns nothing."""
        await self._connection.execute(QUERIES[query])

    async def copy(self, query: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Append rows to a temporary table."""
        async with self._connection.cursor() as cursor, cursor.copy(QUERIES[query]) as copy:
            for row in rows:
                await copy.write_row(row)
