"""Every SQL call of `views`, on one connection inside one transaction. It reads tables of several rooms and writes temporary ones only."""

from collections.abc import Iterable

from ringfence.runtime.db import NamedQueries, load_queries

QUERIES = load_queries("ringfence.views", "queries.sql")


class ViewsStore(NamedQueries):
    """Joins over the schemas of the rooms."""

    queries = QUERIES

    async def copy(self, query: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Append rows to a temporary table."""
        async with self._connection.cursor() as cursor, cursor.copy(QUERIES[query]) as copy:
            for row in rows:
                await copy.write_row(row)
