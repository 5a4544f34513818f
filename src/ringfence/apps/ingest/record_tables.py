"""Kamailio's `acc_cdrs` in MySQL, MariaDB or PostgreSQL, read by its rising id in portions, never as a whole.

Rows become visible in the order of their commits, not of their ids: an id that was passed over is asked for again for two minutes before
it is taken for one that never came. The one thing to know: whatever a driver says may hold the URL with its password, so an operator reads
sentences of our own, made from the error's number.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import sqlalchemy as sa

from ringfence.apps.ingest.records import PORTION, Position, refuse
from ringfence.base.clock import Clock
from ringfence.base.errors import OperatorError, PeerError
from ringfence.base.secret import Secret
from ringfence.runtime.foreign import open_foreign, place_of, trouble
from ringfence.telephony.call_records import CallRecord, check_column_map, read_kamailio

STOCK_TABLE = "acc_cdrs"
LATE_MS = 120_000
"""How long an id that was passed over is waited for."""
MAX_PASSED_OVER = 5_000
PASSED_OVER_AT_ONCE = 100
"""Ids before a row that may belong to connections which have not committed: a larger gap is a table that was thinned out."""
READ_SECONDS = 20

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


class TablePlace(msgspec.Struct):
    """How far the table was read, and the ids before it that may still come, with the time until which they are waited for."""

    id: int = 0
    passed_over: dict[int, int] = {}


class KamailioSource:
    """Rows of `acc_cdrs` by rising id. `columns` maps our names to the table's; times without a zone are those of `zone`."""

    def __init__(
        self, name: str, url: Secret, table: str, columns: Mapping[str, str], position: Path, *, zone: ZoneInfo, clock: Clock
    ) -> None:
        check_column_map(columns)
        for identifier in (table or STOCK_TABLE, *columns.values()):
            if not _IDENTIFIER.fullmatch(identifier):
                raise OperatorError(f"Call record source {name}: {identifier!r} is no name of a table or column", reason="column_map")
        self.name = name
        self.refused: Counter[str] = Counter()
        self._columns = dict(columns)
        self._zone = zone
        self._clock = clock
        self._position_path = position
        self._position = Position(position, TablePlace())
        self._table = sa.table(table or STOCK_TABLE, sa.column("id"), *(sa.column(column) for column in sorted(set(columns.values()))))
        self._engine = open_foreign(url, what=f"Call record source {name}", read_seconds=READ_SECONDS)

    def fetch(self) -> Iterator[Sequence[CallRecord]]:
        """New rows in portions, by id. PeerError with one sentence that says what to do when the table cannot be read."""
        try:
            yield from self._late()
            yield from self._portions()
        except sa.exc.SQLAlchemyError as error:
            raise PeerError(self._sentence(error), reason="database") from None

    def commit(self) -> None:
        """Write the position."""
        self._position.save()

    def _portions(self) -> Iterator[Sequence[CallRecord]]:
        identity = self._table.c.id
        while True:
            place = self._position.value
            rows = self._ask(sa.select(self._table).where(identity > place.id).order_by(identity).limit(PORTION))
            if not rows:
                self._refuse_emptied()
                return
            records = self._understood(rows)
            self._pass_over(rows)
            place.id = _id(rows[-1])
            yield records

    def _late(self) -> Iterator[Sequence[CallRecord]]:
        """Rows whose ids were passed over because they were not committed yet."""
        passed_over = self._position.value.passed_over
        now_ms = self._clock()
        for start in range(0, len(passed_over), PORTION):
            wanted = list(passed_over)[start : start + PORTION]
            rows = self._ask(sa.select(self._table).where(self._table.c.id.in_(wanted)).order_by(self._table.c.id))
            for row in rows:
                del passed_over[_id(row)]
            if rows:
                yield self._understood(rows)
        for gone in [identity for identity, until_ms in passed_over.items() if until_ms < now_ms]:
            del passed_over[gone]

    def _pass_over(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Note ids that are missing between these rows, and between them and the last one read."""
        place = self._position.value
        before = place.id
        until_ms = self._clock() + LATE_MS
        for row in rows:
            identity = _id(row)
            if before:
                place.passed_over.update(dict.fromkeys(range(max(before + 1, identity - PASSED_OVER_AT_ONCE), identity), until_ms))
            before = identity
        while len(place.passed_over) > MAX_PASSED_OVER:
            del place.passed_over[next(iter(place.passed_over))]

    def _refuse_emptied(self) -> None:
        """A table that begins anew would be skipped silently up to the old position."""
        ((newest,),) = (row.values() for row in self._ask(sa.select(sa.func.max(self._table.c.id).label("newest"))))
        last = self._position.value.id
        if newest is not None and int(str(newest)) < last:
            raise PeerError(
                f"the table {self._table.name} ends at id {newest}, but {last} was read before: it was emptied or restored; "
                f"remove {self._position_path} to read it from its start.",
                reason="table_replaced",
            )

    def _ask(self, question: sa.Select[*tuple[object, ...]]) -> list[dict[str, object]]:
        with self._engine.connect() as connection:
            return [{str(name): value for name, value in row.items()} for row in connection.execute(question).mappings()]

    def _understood(self, rows: Sequence[Mapping[str, object]]) -> list[CallRecord]:
        records = []
        for row in rows:
            try:
                records.append(read_kamailio(row, self._columns, edge=self.name, zone=self._zone))
            except PeerError as error:
                refuse(self, error.reason, str(error), id=row["id"])
        return records

    def _sentence(self, error: sa.exc.SQLAlchemyError) -> str:
        """What to do, from the kind of an error; its own text may hold the password."""
        url, table = self._engine.url, self._table.name
        where = place_of(self._engine)
        kind, code = trouble(error)
        sentences = {
            "credentials": f"the database at {where} refuses user {url.username}; correct url_file and start ingest again.",
            "database": f"there is no database {url.database} at {where}; correct url_file and start ingest again.",
            "table": f"there is no table {table} in {url.database}; create it with kamdbctl, or correct `table`.",
            "permission": f"user {url.username} may not read {table}, or there is no such table; "
            f"GRANT SELECT ON {table} to it, or correct `table`.",
            "away": f"the database at {where} does not answer; it is tried again.",
        }
        if kind == "column":
            return self._missing_columns()
        return sentences.get(kind, f"the database at {where} answers with error {code}; it is tried again.")

    def _missing_columns(self) -> str:
        table = self._table.name
        try:
            there = {str(column["name"]) for column in sa.inspect(self._engine).get_columns(table)}
        except sa.exc.SQLAlchemyError:
            there = set()
        missing = sorted({"id", *self._columns.values()} - there) if there else []
        what = f"no column {', '.join(missing)}" if missing else "other columns"
        return f"the table {table} has {what}; add it (cdr_extra of Kamailio's acc module fills it) or correct `columns`."


def _id(row: Mapping[str, object]) -> int:
    identity = row["id"]
    if not isinstance(identity, int):
        raise PeerError("its column id holds no whole numbers; it is read by a rising number.", reason="bad_id")
    return identity
