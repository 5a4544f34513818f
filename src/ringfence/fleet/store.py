"""Every SQL call of the room, on one connection inside one transaction.

Batches travel as arrays, a column each, so that sixty-four Informs are one statement. The one thing to know: arrays of a call have one
length, and `columns` is where that is made sure of.
"""

from collections.abc import Mapping, Sequence

from ringfence.runtime.db import NamedQueries, Row, load_queries

__all__ = ["FleetStore", "Row", "columns", "names_like"]

QUERIES = load_queries("ringfence.fleet", "queries.sql")


class FleetStore(NamedQueries):
    """The schema `fleet` on one connection."""

    queries = QUERIES

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


async def names_like(store: FleetStore, patterns: Mapping[int, Sequence[str]]) -> dict[int, list[str]]:
    """Names that devices reported and that look like what each is asked of; nothing is read for those that are asked of none."""
    asked = {device_id: wanted for device_id, wanted in patterns.items() if wanted}
    found: dict[int, list[str]] = {}
    if asked:
        like = "|".join(sorted({pattern for wanted in asked.values() for pattern in wanted}))
        for row in await store.rows("names_like", devices=sorted(asked), pattern=like):
            found.setdefault(row["device_id"], []).append(row["name"])
    return found
