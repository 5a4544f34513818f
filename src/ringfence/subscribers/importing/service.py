"""The shell of every import: one transaction, COPY into a temporary table, a merge in chunks, a report.

It happens whole or not at all. The one thing to know: a kind of file is three queries (`create_incoming_KIND`, `copy_incoming_KIND`,
`merge_KIND`) over the same two temporary tables; what lies between them is here, once.
"""

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar

from ringfence.base.clock import Clock
from ringfence.base.errors import ConflictError
from ringfence.base.ids import new_id
from ringfence.runtime.db import Database
from ringfence.subscribers.importing.tally import Tally
from ringfence.subscribers.model import BadRow, Changed, Difference, ImportReport
from ringfence.subscribers.store import SubscribersStore

CHUNK_ROWS = 5_000
"""Rows that are parsed, copied and merged at a time; half of what a control message may hold."""

SEPARATOR = "\x1f"
"""Between the parts of a key; no cell holds it, because it does not print."""

Item = TypeVar("Item")


class ImportingService:
    """What the room's services share: the database, the clock, and how a file is taken in."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def _import(
        self,
        by: str,
        kind: str,
        rows: Iterator[Item | BadRow],
        columns: Callable[[Item], tuple[object, ...]],
        *,
        strict: bool,
        announced: bool = False,
    ) -> ImportReport:
        """Merge a file's rows into the table of their kind.

        `columns` makes a row of the temporary table: line in the file, key, and the rest as `copy_incoming_KIND` has it. `announced`: a
        chunk that changed something is a revision of the outbox. OperatorError, and nothing changed, when too many rows are bad.
        """
        tally = Tally(strict=strict)
        async with self._db.transaction() as connection:
            store = SubscribersStore(connection)
            await self._begin(store)
            await store.run(f"create_incoming_{kind}")
            good = tally.good(rows)
            while chunk := await asyncio.to_thread(lambda: [columns(row) for row in islice(good, CHUNK_ROWS)]):
                await store.copy(f"copy_incoming_{kind}", chunk)
            for row in await store.rows("drop_repeated"):
                key = " ".join(row["key"].split(SEPARATOR))
                tally.repeated(row["file_line"], f"{key[:60]!a} stands in line {row['first_line']} already")
            tally.judge()
            await self._merge(store, kind, tally, announced=announced)
            report = tally.report(new_id("i"), kind)
            await self._note(store, by, report)
        return report

    async def _merge(self, store: SubscribersStore, kind: str, tally: Tally, *, announced: bool) -> None:
        await store.run("number_incoming", size=CHUNK_ROWS)
        await store.run("index_incoming")
        await store.run("merge_by_index")
        for chunk in range(-(-tally.kept // CHUNK_ROWS)):
            revision = await store.figure("take_revision", "revision") if announced else 0
            written = await store.rows(f"merge_{kind}", chunk=chunk, revision=revision, now_ms=self._clock())
            tally.wrote(_changed(row["key"], row["difference"], row["fields"]) for row in written)
            if written and announced:
                await store.run("add_to_outbox", kind=kind, revision=revision, now_ms=self._clock())

    async def _begin(self, store: SubscribersStore) -> None:
        row = await store.row("lock_imports")
        if row is None or not row["locked"]:
            raise ConflictError("another import is running; try again when it is done", reason="import_running")
        await store.run("allow_an_hour")

    async def _note(self, store: SubscribersStore, by: str, report: ImportReport) -> None:
        await store.run(
            "note_import",
            import_id=report.import_id,
            kind=report.kind,
            author=by,
            now_ms=self._clock(),
            rows=report.rows,
            bad=report.bad,
            added=report.added,
            changed=report.changed,
            removed=report.removed,
            same=report.same,
        )


def _changed(key: str, difference: str, fields: list[str | None]) -> Changed:
    what = Difference(difference)
    names = tuple(name for name in fields if name is not None) if what is Difference.CHANGED else ()
    return Changed(key=" ".join(key.split(SEPARATOR)), difference=what, fields=names)
