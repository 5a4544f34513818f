"""Every SQL call of the room, on one connection inside one transaction.

Imports go through COPY into a temporary table and are merged from there in chunks; a chunk that changed something is one revision and
one entry of the outbox.
"""

from collections.abc import Iterable, Sequence

from ringfence.runtime.db import NamedQueries, Row, load_queries
from ringfence.subscribers.model import Account, Change, Network, NetworkKind, Segment

QUERIES = load_queries("ringfence.subscribers", "queries.sql")


class SubscribersStore(NamedQueries):
    """The schema `subscribers` on one connection."""

    queries = QUERIES

    async def figure(self, query: str, column: str) -> int:
        """The single figure of a query that always has one row."""
        row = await self.row(query)
        assert row is not None, "the query has a row whatever the tables hold"
        return int(row[column])

    async def copy(self, query: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Append rows with a `copy ... from stdin`."""
        async with self._connection.cursor() as cursor, cursor.copy(QUERIES[query]) as copy:
            for row in rows:
                await copy.write_row(row)

    async def accounts(self, query: str, **parameters: object) -> tuple[Account, ...]:
        """Accounts of any of the listing queries."""
        return tuple(_account(row) for row in await self.rows(query, **parameters))

    async def networks(self) -> tuple[Network, ...]:
        """The operator's own ranges, in address order."""
        return tuple(_network(row) for row in await self.rows("list_networks"))

    async def network_of(self, address: str) -> Network | None:
        """The longest range that holds an address."""
        row = await self.row("find_network", address=address)
        return _network(row) if row else None

    async def replace_networks(self, networks: Sequence[Network]) -> None:
        """Exactly these ranges."""
        await self.run("clear_networks")
        for network in networks:
            await self.run("add_network", prefix=network.prefix, kind=network.kind.value, comment=network.comment)

    async def changes(self, limit: int) -> tuple[Change, ...]:
        """What the worker has not told the log yet, oldest first."""
        return tuple(Change(**row) for row in await self.rows("read_outbox", limit=limit))


def _account(row: Row) -> Account:
    return Account(**row | {"segment": Segment(row["segment"])})


def _network(row: Row) -> Network:
    return Network(prefix=row["prefix"], kind=NetworkKind(row["kind"]), comment=row["comment"])
