"""Alerts, rule sets, rate decks and holidays in PostgreSQL: every SQL call of the room, on one connection inside one transaction."""

import msgspec

from ringfence.runtime.db import NamedQueries, Row, load_queries

QUERIES = load_queries("ringfence.detection", "queries.sql")


class DetectionStore(NamedQueries):
    """The schema `detection` on one connection."""

    queries = QUERIES

    async def rows(self, query: str, **parameters: object) -> list[Row]:
        """Every row of a named query that returns rows; JSON columns come as values."""
        rows = await super().rows(query, **parameters)
        for row in rows:
            if "evidence" in row:
                row["evidence"] = msgspec.json.decode(row["evidence"])
        return rows

    def _storable(self, parameters: dict[str, object]) -> dict[str, object]:
        """Evidence is JSON, in which a U+0000 is six characters."""
        clean = super()._storable(parameters)
        if isinstance(evidence := clean.get("evidence"), bytes):
            clean["evidence"] = evidence.decode().replace("\\u0000", "\\ufffd")
        return clean
