"""Finished call records from files and tables, fetched in turn and handed on one by one.

A source remembers how far it got in a file of its own, written only after its rows are in the log, so a restart repeats a little and
skips nothing; what the wire showed or what came before is dropped by Call-ID. Files are read as they grow (CSV, `Master.csv`) or once each
(FreeSWITCH's documents); tables by their rising id. A row that cannot be read is counted by reason and logged, the rest goes on. A source
that is away is tried again at its next turn.
"""

import asyncio
import csv
import glob
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from ringfence.base.errors import OperatorError, PeerError
from ringfence.base.secret import Secret
from ringfence.runtime.log import get_logger
from ringfence.telephony.call_records import (
    CALL_COLUMNS,
    KAMAILIO_FIELDS,
    CallRecord,
    check_column_map,
    read_asterisk,
    read_call,
    read_freeswitch,
    read_kamailio,
)

PORTION = 500
"""Records that are read in one go."""
MAX_FILES = 10_000
MAX_LINE_BYTES = 65_536
MAX_REMEMBERED_FILES = 100_000

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")

_log = get_logger(__name__)


class Source(Protocol):
    """Where records come from. `fetch` gives what is new, in portions; `commit` remembers that they were handed over."""

    name: str
    refused: Counter[str]

    def fetch(self) -> Iterator[list[CallRecord]]:
        """New records. Blocking; called in a thread."""
        ...

    def commit(self) -> None:
        """Remember the position of the last portion."""
        ...


class Position:
    """A position on disk, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.value: dict[str, int] = {}
        if not path.exists():
            return
        try:
            loaded = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise OperatorError(f"{path} cannot be read ({error}); remove it to read all records again.", reason="position") from error
        if not isinstance(loaded, dict) or not all(isinstance(value, int) for value in loaded.values()):
            raise OperatorError(f"{path} holds no position; remove it to read all records again.", reason="position")
        self.value = loaded

    def save(self) -> None:
        """Write it so that a crash leaves the old or the new one."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps(self.value), "utf-8")
        draft.replace(self._path)


class FileSource:
    """Files that match a pattern. `kind` is csv, asterisk (both grow) or freeswitch (one document a file)."""

    def __init__(self, name: str, kind: str, pattern: str, position: Path) -> None:
        if not pattern:
            raise OperatorError(f"Call record source {name} needs path, a file or a pattern such as /var/cdr/*.csv", reason="no_path")
        self.name = name
        self.refused: Counter[str] = Counter()
        self._kind = kind
        self._pattern = pattern
        self._position = Position(position)
        self._headers: dict[str, list[str]] = {}

    def fetch(self) -> Iterator[list[CallRecord]]:
        """New records of every file, oldest name first."""
        for path in sorted(glob.glob(self._pattern))[:MAX_FILES]:  # noqa: PTH207  # The pattern is the operator's, absolute or not.
            if self._kind == "freeswitch":
                yield from self._document(path)
            else:
                yield from self._lines(path)

    def commit(self) -> None:
        """Write the positions."""
        if len(self._position.value) > MAX_REMEMBERED_FILES:
            self._position.value = {path: at for path, at in self._position.value.items() if Path(path).exists()}
        self._position.save()

    def _document(self, path: str) -> Iterator[list[CallRecord]]:
        if path in self._position.value:
            return
        try:
            records = self._read(lambda: read_freeswitch(Path(path).read_bytes(), edge=self.name), path, 1)
        except OSError as error:
            self._refuse("file_unreadable", path, 0, str(error))
            return
        self._position.value[path] = 1
        yield records

    def _lines(self, path: str) -> Iterator[list[CallRecord]]:
        with Path(path).open("rb") as file:
            start = self._position.value.get(path, 0)
            if file.seek(0, 2) < start:
                start = 0  # A file that shrank is a new one.
            file.seek(start)
            if self._kind == "csv" and start:
                with Path(path).open("rb") as head:
                    self._header(path, head.readline(MAX_LINE_BYTES))
            while True:
                portion: list[CallRecord] = []
                lines = 0
                while lines < PORTION and (line := file.readline(MAX_LINE_BYTES)):
                    if not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
                        break  # Still being written.
                    lines += 1
                    first = file.tell() == len(line)
                    self._position.value[path] = file.tell()
                    portion += self._line(path, line, first=first)
                if not lines:
                    return
                yield portion

    def _line(self, path: str, line: bytes, *, first: bool) -> list[CallRecord]:
        if first and self._kind == "csv":
            self._header(path, line)
            return []
        header = self._headers.get(path, [])

        def read() -> CallRecord:
            try:
                values = next(csv.reader([line.decode("utf-8")], strict=True), [])
            except (csv.Error, UnicodeDecodeError) as error:
                raise PeerError(f"The line is no CSV in UTF-8 ({error}).", reason="bad_csv") from None
            if self._kind == "asterisk":
                return read_asterisk(values, edge=self.name)
            return read_call(dict(zip(header, values, strict=False)))

        return self._read(read, path, self._position.value[path]) if line.strip() else []

    def _header(self, path: str, line: bytes) -> None:
        header = [name.strip().lower() for name in line.decode("utf-8-sig", "replace").strip().split(",")]
        missing = [name for name in CALL_COLUMNS if name not in header]
        if missing:
            self._refuse("bad_header", path, 1, f"the columns {', '.join(missing)} are missing")
        self._headers[path] = header

    def _read(self, read: Callable[[], CallRecord], path: str, place: int) -> list[CallRecord]:
        try:
            return [read()]
        except PeerError as error:
            self._refuse(error.reason, path, place, str(error))
            return []

    def _refuse(self, reason: str, path: str, place: int, message: str) -> None:
        self.refused[reason] += 1
        if self.refused[reason] <= 10:
            _log.warning("call_record_refused", source=self.name, path=path, place=place, reason=reason, message=message)


class KamailioSource:
    """Rows of Kamailio's `acc_cdrs` in MySQL or PostgreSQL by rising id. `columns` maps our names to the table's."""

    def __init__(self, name: str, url: Secret, table: str, columns: Mapping[str, str], position: Path) -> None:
        check_column_map(columns)
        for identifier in (table or "acc_cdrs", *columns.values()):
            if not _IDENTIFIER.fullmatch(identifier):
                raise OperatorError(f"Call record source {name}: {identifier!r} is no name of a table or column", reason="column_map")
        self.name = name
        self.refused: Counter[str] = Counter()
        self._columns = dict(columns)
        self._position = Position(position)
        self._table = sa.table(table or "acc_cdrs", sa.column("id"), *(sa.column(column) for column in set(columns.values())))
        try:
            self._engine = sa.create_engine(_driver(url.open()), pool_size=1, max_overflow=0, pool_pre_ping=True)
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError):
            raise OperatorError(
                f"Call record source {name}: its URL is none; write mysql://user:password@host/kamailio or postgresql://...",
                reason="bad_url",
            ) from None
        assert self._columns.keys() <= KAMAILIO_FIELDS

    def fetch(self) -> Iterator[list[CallRecord]]:
        """New rows in portions, by id."""
        try:
            yield from self._portions()
        except sa.exc.SQLAlchemyError as error:
            # The text of the error may hold the URL with its password; the kind says enough.
            raise PeerError(f"The table cannot be read ({type(error).__name__}).", reason="database") from None

    def commit(self) -> None:
        """Write the last id."""
        self._position.save()

    def _portions(self) -> Iterator[list[CallRecord]]:
        while True:
            last = self._position.value.get("id", 0)
            query = sa.select(self._table).where(self._table.c.id > last).order_by(self._table.c.id).limit(PORTION)
            with self._engine.connect() as connection:
                rows = [dict(row) for row in connection.execute(query).mappings()]
            if not rows:
                return
            portion = []
            for row in rows:
                try:
                    portion.append(read_kamailio(row, self._columns, edge=self.name))
                except PeerError as error:
                    self.refused[error.reason] += 1
                    if self.refused[error.reason] <= 10:
                        _log.warning("call_record_refused", source=self.name, place=row["id"], reason=error.reason, message=str(error))
            self._position.value["id"] = int(str(rows[-1]["id"]))
            yield portion


async def follow(
    source: Source,
    take: Callable[[list[CallRecord]], None],
    *,
    settle: Callable[[], Awaitable[None]],
    poll_seconds: float,
    trouble: Callable[[str], None],
) -> None:
    """Hand on what is new, for ever. `settle` waits until what was handed on is in the log: only then is the position kept."""
    while True:
        portions = source.fetch()
        try:
            while (portion := await asyncio.to_thread(next, portions, None)) is not None:
                take(portion)
                await settle()
                await asyncio.to_thread(source.commit)
            trouble("")
        except (PeerError, OSError) as error:
            trouble(f"Call records of {source.name} cannot be read: {error}")
        await asyncio.sleep(poll_seconds)


def _driver(url: str) -> str:
    """The URL with the driver that is installed."""
    for plain, driven in (
        ("mysql://", "mysql+pymysql://"),
        ("postgresql://", "postgresql+psycopg://"),
        ("postgres://", "postgresql+psycopg://"),
    ):
        if url.startswith(plain):
            return driven + url.removeprefix(plain)
    return url
