"""Where the archive keeps what: `<folder>/<kind>/day=2026-11-22/account-0-<first>-<last>-<time>.parquet`.

A file's name carries view, lane, first and last sequence of the log and the time of the last message, so the folder alone says what is
archived. One that was merged from several carries the time of the first of them, too: `...-<last>-<since>-<time>.parquet`. Times of a
lane's files only rise, so a file whose time lies within those of a merged one is in it, and is passed over. Days are those of arrival at
the log, in UTC: a call that is closed late stands where it was closed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from ringfence.archive import batches
from ringfence.telephony.model import Kind

CALLS = "calls"
REGISTRATIONS = "registrations"
CONTROL = "control"
FOLDERS = (CALLS, REGISTRATIONS, CONTROL)
REGISTRATION_KINDS = (int(Kind.REGISTRATION), int(Kind.AUTH_FAILURE), int(Kind.UNAUTHENTICATED))
"""Kinds of rows under `registrations`; all others stand under `calls`."""

DAY_MS = 86_400_000

_PLACE: tuple["pa.Field[Any]", ...] = (pa.field("sequence", pa.int64(), nullable=False), pa.field("row", pa.int16(), nullable=False))
ROW_SCHEMA = pa.schema(_PLACE + batches.FIELDS)
"""Rows of calls and registrations: place in the log, then the columns of the account view."""

_CONTROL: tuple["pa.Field[Any]", ...] = (
    pa.field("sequence", pa.int64(), nullable=False),
    pa.field("at_ms", pa.int64(), nullable=False),
    pa.field("kind", pa.string(), nullable=False),
    pa.field("payload", pa.binary(), nullable=False),
)
CONTROL_SCHEMA = pa.schema(_CONTROL)
"""Messages that are no rows, as they stood in the log: ticks, control records, and what could not be read."""


def widened(table: pa.Table) -> pa.Table:
    """Rows of an older version with the columns that it did not write: zero and empty, as a row has them that nobody filled."""
    if table.column_names == ROW_SCHEMA.names:
        return table
    missing = [field for field in ROW_SCHEMA if field.name not in table.column_names]
    for field in missing:
        empty = "" if pa.types.is_string(field.type) else 0
        table = table.append_column(field, pa.array([empty] * table.num_rows, field.type))
    return table.select(ROW_SCHEMA.names).cast(ROW_SCHEMA)


_name = re.compile(r"([a-z]+)-(\d+)-(\d{16})-(\d{16})-(?:(\d{13})-)?(\d{13})\.parquet").fullmatch
_day_folder = re.compile(r"day=(\d{4}-\d{2}-\d{2})").fullmatch


class FileName(NamedTuple):
    """What a file's name says."""

    view: str
    lane: int
    first: int
    last: int
    at_ms: int
    since_ms: int
    """Time of the first file that was merged; `at_ms` for one that was not."""

    def text(self) -> str:
        """The name itself."""
        since = "" if self.since_ms == self.at_ms else f"{self.since_ms:013d}-"
        return f"{self.view}-{self.lane}-{self.first:016d}-{self.last:016d}-{since}{self.at_ms:013d}.parquet"

    def holds(self, other: "FileName") -> bool:
        """Whether the other file's rows are in this one."""
        return (self.view, self.lane) == (other.view, other.lane) and self.since_ms <= other.since_ms and other.at_ms <= self.at_ms


def parse_name(name: str) -> FileName | None:
    """What the name says, None for a file that is not one of ours."""
    found = _name(name)
    if not found:
        return None
    first, last, at_ms = int(found[3]), int(found[4]), int(found[6])
    return FileName(found[1], int(found[2]), first, last, at_ms, int(found[5] or at_ms))


def gathered(found: Mapping[FileName, Mapping[str, Sequence[Path]]]) -> list[tuple[FileName, dict[str, list[Path]]]]:
    """Files by name and kind in log order; those within a merged one stand with it, in log order as well."""
    whole: list[tuple[FileName, dict[str, list[Path]]]] = []
    # By falling end and rising begin a merged name comes before the names that it holds.
    for name, files in sorted(found.items(), key=lambda item: (-item[0].at_ms, item[0].since_ms, item[0].view, item[0].lane)):
        if not whole or not whole[-1][0].holds(name):
            whole.append((name, {}))
        for kind, paths in files.items():
            whole[-1][1][kind] = [*paths, *whole[-1][1].get(kind, [])]
    return whole[::-1]


def effective(files: Mapping[str, Sequence[Path]]) -> dict[str, list[Path]]:
    """Of files by kind that stand together: those to read, without what a merged one of their kind holds."""
    return {kind: _outermost(paths) for kind, paths in files.items()}


def _outermost(paths: Sequence[Path]) -> list[Path]:
    """In log order, without files that another one holds."""
    named = sorted(
        ((name, path) for path in paths if (name := parse_name(path.name))),
        key=lambda pair: (pair[0].view, pair[0].lane, -pair[0].at_ms, pair[0].since_ms),
    )
    kept: list[tuple[FileName, Path]] = []
    for name, path in named:
        if not kept or not kept[-1][0].holds(name):
            kept.append((name, path))
    return [path for _, path in sorted(kept, key=lambda pair: (pair[0].view, pair[0].lane, pair[0].at_ms))]


def day_of(at_ms: int) -> date:
    """The UTC day of a time."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()


def day_folder(folder: Path, kind: str, day: date) -> Path:
    """The folder of a kind and day."""
    return folder / kind / f"day={day.isoformat()}"


def days(folder: Path, kind: str) -> list[tuple[date, Path]]:
    """The day folders of a kind, oldest first."""
    parent = folder / kind
    children = parent.iterdir() if parent.is_dir() else ()
    return sorted((date.fromisoformat(name[1]), path) for path in children if (name := _day_folder(path.name)) and path.is_dir())


def files(folder: Path, kind: str, *, from_ms: int, to_ms: int) -> Iterator[Path]:
    """Files that can hold rows whose event time lies in the span. A call may be closed up to a day after it began."""
    first, last = day_of(from_ms), day_of(to_ms) + timedelta(days=1)
    for day, path in days(folder, kind):
        if first <= day <= last:
            yield from _outermost(list(path.iterdir()))
