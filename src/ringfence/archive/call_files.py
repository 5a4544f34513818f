"""Files of call records and registrations (`formats.md`), CSV or Parquet, as typed rows in order of time.

What a row means and when it is refused is decided by `telephony.call_records`; here is the file around it. A row that cannot be read is
counted, noted with its line and reason, and skipped; too many of them end the reading. Accounts and networks have their own reader in
the subscribers room.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path
from typing import Generic, NamedTuple, TextIO, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from ringfence.base.errors import OperatorError, PeerError
from ringfence.telephony.call_records import (
    CALL_COLUMNS,
    REGISTRATION_COLUMNS,
    CallRecord,
    RegistrationRecord,
    read_call,
    read_registration,
)

MAX_BAD_PERCENT = 1
NOTED_ROWS = 100
"""Bad rows that are noted in full; all are counted by reason."""
MAX_ROW_CHARS = 65_536
"""A CSV row with more is a bad row (`too_long`)."""
MAX_COLUMNS = 500

CALL_OPTIONS = ("direction", "forwarded_by", "authenticated", "trunk", "carrier", "ring_seconds")
REGISTRATION_OPTIONS = ("auth_code",)

MAX_ROW_LINES = 16
"""A quoted text may hold line ends; a row over more lines is a bad row, and reading goes on with its second line."""

_PARQUET_ROWS = 65_536

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat(Generic[Record]):
    """What the rows of a file are: its columns, how a row becomes a record, and the time by which records are sorted."""

    required: tuple[str, ...]
    optional: tuple[str, ...]
    parse: Callable[[Mapping[str, object]], Record]
    time_of: Callable[[Record], int]


CALLS = FileFormat(required=CALL_COLUMNS, optional=CALL_OPTIONS, parse=read_call, time_of=lambda record: record.started_ms)
REGISTRATIONS = FileFormat(
    required=REGISTRATION_COLUMNS, optional=REGISTRATION_OPTIONS, parse=read_registration, time_of=lambda record: record.at_ms
)


class BadRow(NamedTuple):
    """A row that was skipped. `line` is the line of the CSV file where it begins, or the row of the Parquet file, from 1."""

    file: str
    line: int
    reason: str
    message: str


@dataclass(slots=True, kw_only=True)
class Reading(Generic[Record]):
    """What files held: records by time, and what was wrong with the rest."""

    records: list[Record] = field(default_factory=list)
    rows: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    """Bad rows by reason."""
    noted: list[BadRow] = field(default_factory=list)
    """The first bad rows."""
    was_sorted: bool = True
    """False when the rows were not in order of time and had to be sorted, which a report says."""

    @property
    def bad_rows(self) -> int:
        """How many rows were skipped."""
        return sum(self.bad.values())


def expand(patterns: Iterable[str]) -> list[Path]:
    """Files of names and globs, each once, in the order given. OperatorError for one that matches nothing."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        matches = [pattern] if Path(pattern).is_file() else sorted(glob(pattern, recursive=True))  # noqa: PTH207 - a pattern may be absolute
        files = [Path(match) for match in matches if Path(match).is_file()]
        if not files:
            raise OperatorError(f"There is no file {pattern}.", reason="no_file")
        found.update(dict.fromkeys(files))
    return list(found)


def read_calls(paths: Sequence[Path], *, strict: bool = False) -> Reading[CallRecord]:
    """Call records of all files, by `started_ms`. OperatorError for a missing column, over 1 % of bad rows, or with strict the first."""
    return _read(paths, CALLS, strict=strict)


def read_registrations(paths: Sequence[Path], *, strict: bool = False) -> Reading[RegistrationRecord]:
    """Registrations of all files, by `at_ms`. Errors as for calls."""
    return _read(paths, REGISTRATIONS, strict=strict)


def parquet_records(path: Path, content: FileFormat[Record], *, skip: int = 0) -> Iterator[tuple[int, Record | PeerError]]:
    """Number (from 1) and record of each row behind the first `skip` ones, or why it cannot be read. A piece of the file is in memory.

    OperatorError for a file that is none (`bad_parquet`: it may still be written) or lacks a column (`missing_column`).
    """
    for row, fields in _parquet_rows(path, content.required, content.optional, skip=skip):
        try:
            yield row, content.parse(fields)
        except PeerError as error:
            yield row, error


_Rows = Iterator[tuple[int, Mapping[str, object] | PeerError]]


def _read(paths: Sequence[Path], content: FileFormat[Record], *, strict: bool) -> Reading[Record]:
    reading: Reading[Record] = Reading()
    newest = 0
    for path in paths:
        for record in records_of(path, content, reading, strict=strict):
            at_ms = content.time_of(record)
            reading.was_sorted = reading.was_sorted and at_ms >= newest
            newest = max(newest, at_ms)
            reading.records.append(record)
    check_bad_rows(reading)
    if not reading.was_sorted:
        reading.records.sort(key=content.time_of)
    return reading


def is_parquet(path: Path) -> bool:
    """Whether a file is read as Parquet: its name says so."""
    return path.suffix.lower() in {".parquet", ".pq"}


def records_of(path: Path, content: FileFormat[Record], reading: Reading[Record], *, strict: bool) -> Iterator[Record]:
    """The records of a file as they stand; rows, and those that cannot be read, are counted in `reading`, which keeps no record."""
    rows = _parquet_rows if is_parquet(path) else _csv_rows
    for line, fields in rows(path, content.required, content.optional):
        reading.rows += 1
        try:
            if isinstance(fields, PeerError):
                raise fields
            record = content.parse(fields)
        except PeerError as error:
            _note(reading, BadRow(str(path), line, error.reason, str(error)), strict=strict)
            continue
        yield record


def check_bad_rows(reading: Reading[Record]) -> None:
    """OperatorError when too many of the rows could not be read."""
    if reading.bad_rows * 100 > reading.rows * MAX_BAD_PERCENT:
        first = reading.noted[0]
        raise OperatorError(
            f"{reading.bad_rows} of {reading.rows} rows cannot be read, more than {MAX_BAD_PERCENT} %; "
            f"the first is line {first.line} of {first.file}: {first.message}",
            reason="too_many_bad_rows",
        )


def _note(reading: Reading[Record], bad: BadRow, *, strict: bool) -> None:
    if strict:
        raise OperatorError(f"Line {bad.line} of {bad.file} cannot be read: {bad.message}", reason="bad_row")
    reading.bad[bad.reason] = reading.bad.get(bad.reason, 0) + 1
    if len(reading.noted) < NOTED_ROWS:
        reading.noted.append(bad)


def _csv_rows(path: Path, required: tuple[str, ...], optional: tuple[str, ...]) -> _Rows:
    """Rows of a CSV file (RFC 4180, UTF-8, with or without a byte order mark) by column name."""
    try:
        # Bytes that are no UTF-8 come as lone surrogates, so that they cost their row and not the file.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = _csv_cells(file)
            _, header = next(rows, (1, []))
            if isinstance(header, PeerError) or not header or len(header) > MAX_COLUMNS:
                raise OperatorError(f"{path} has no header row.", reason="no_header")
            names = [name.strip().lower() for name in header]
            _check_columns(path, names, required)
            places = {name: names.index(name) for name in (*required, *optional) if name in names}
            for line, cells in rows:
                if isinstance(cells, PeerError):
                    yield line, cells
                elif len(cells) != len(names):
                    yield line, PeerError(f"The row has {len(cells)} cells instead of {len(names)}.", reason="bad_width")
                else:
                    yield line, {name: cells[place] for name, place in places.items()}
    except OSError as refused:
        raise OperatorError(f"{path} cannot be read: {refused.strerror or refused}.", reason="no_file") from None


def _csv_cells(file: TextIO) -> Iterator[tuple[int, list[str] | PeerError]]:
    """Line number and cells of each row. A quote that is never closed costs one row, not the rest of the file."""
    back: list[str] = []
    number = 0
    while text := back.pop() if back else file.readline(MAX_ROW_CHARS):
        number += 1
        added: list[str] = []
        while text.count('"') % 2 and len(added) < MAX_ROW_LINES and (following := back.pop() if back else file.readline(MAX_ROW_CHARS)):
            added.append(following)
            text += following
        cells = cells_of(text)
        if isinstance(cells, PeerError):
            back.extend(reversed(added))
            added = []
        if cells:
            yield number, cells
        number += len(added)


def cells_of(text: str) -> list[str] | PeerError | None:
    """Cells of one row of CSV, None for an empty line. Bytes that are no UTF-8 stand in the text as lone surrogates."""
    if len(text) >= MAX_ROW_CHARS:
        return PeerError(f"The row has more than {MAX_ROW_CHARS} characters.", reason="too_long")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return PeerError("The row is not UTF-8.", reason="bad_utf8")
    if "\0" in text:
        return PeerError("The row holds a NUL.", reason="bad_csv")
    try:
        return next(csv.reader([text], strict=True), None)
    except csv.Error as error:
        return PeerError(f"The row is no CSV: {error}.", reason="bad_csv")


def _parquet_rows(
    path: Path, required: tuple[str, ...], optional: tuple[str, ...], *, skip: int = 0
) -> Iterator[tuple[int, Mapping[str, object]]]:
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check_columns(path, names, required)
            columns = [name for name in (*required, *optional) if name in names]
            row, groups = _groups_behind(file, skip)
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS, row_groups=groups, columns=columns):
                passed = max(0, min(skip - row, batch.num_rows))
                yield from enumerate(batch.slice(passed).to_pylist(), row + passed + 1)
                row += batch.num_rows
    except (OSError, pa.ArrowException) as refused:
        raise OperatorError(f"{path} is no Parquet file that can be read: {str(refused)[:200]}", reason="bad_parquet") from None


def _groups_behind(file: pq.ParquetFile, skip: int) -> tuple[int, list[int]]:
    """Rows before the first row group that has rows behind `skip`, and that group and those after it."""
    row = 0
    for group in range(file.metadata.num_row_groups):
        following = row + file.metadata.row_group(group).num_rows
        if following > skip:
            return row, list(range(group, file.metadata.num_row_groups))
        row = following
    return row, []


def _check_columns(path: Path, names: Sequence[str], required: tuple[str, ...]) -> None:
    if missing := [name for name in required if name not in names]:
        raise OperatorError(f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}.", reason="missing_column")
