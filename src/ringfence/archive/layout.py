"""Where the archive keeps what: `<folder>/<kind>/day=2026-11-22/account-0-<first>-<last>-<time>.parquet`.

A file's name carries view, lane, first and last sequence of the log and the time of the last message, so the folder alone says what is
archived. Days are those of arrival at the log, in UTC: a call that is closed late stands where it was closed.
"""

import re
from collections.abc import Iterator
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
REGISTRATION_KINDS = (int(Kind.REGISTRATION), int(Kind.AUTH_FAILURE))
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

_name = re.compile(r"([a-z]+)-(\d+)-(\d{16})-(\d{16})-(\d{13})\.parquet").fullmatch
_day_folder = re.compile(r"day=(\d{4}-\d{2}-\d{2})").fullmatch


class FileName(NamedTuple):
    """What a file's name says."""

    view: str
    lane: int
    first: int
    last: int
    at_ms: int

    def text(self) -> str:
        """The name itself; names of one lane sort in log order."""
        return f"{self.view}-{self.lane}-{self.first:016d}-{self.last:016d}-{self.at_ms:013d}.parquet"


def parse_name(name: str) -> FileName | None:
    """What the name says, None for a file that is not one of ours."""
    found = _name(name)
    return FileName(found[1], *map(int, found.groups()[1:])) if found else None


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
            yield from sorted(child for child in path.iterdir() if parse_name(child.name))
