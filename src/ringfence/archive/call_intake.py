"""Files of whole calls, made ready to be read as columns in the order of time, however they came.

Parquet that can be read as columns is used as it is. CSV, and Parquet with rows that cannot be read, go row by row through `call_files`,
which says what is wrong with which line, into a Parquet file of the same columns; what is not in order is sorted by DuckDB on disk. The
one thing to know: memory stays the same however many calls there are.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from ringfence.archive.call_files import (
    CALLS,
    BadRow,
    Reading,
    check_bad_rows,
    is_parquet,
    records_of,
)
from ringfence.archive.call_tables import Span, span_of
from ringfence.base.errors import OperatorError
from ringfence.telephony.call_records import CallRecord

MEMORY_BYTES: Final = 1_500_000_000
"""Of the sort, which uses the disk beyond."""
PORTION: Final = 65_536

_MOMENT = pa.timestamp("ms", tz="UTC")
_TIMES: Final = ("started_at", "answered_at", "ended_at")
_PLAIN: Final = (
    *("call_id", "account", "caller", "callee", "source_ip", "user_agent", "edge", "status_code"),
    *("direction", "forwarded_by", "authenticated", "trunk", "carrier", "ring_seconds"),
)
_TYPES: Final[dict[str, pa.DataType]] = {
    **dict.fromkeys(_PLAIN, pa.string()),
    **dict.fromkeys(_TIMES, _MOMENT),
    "status_code": pa.int32(),
    "ring_seconds": pa.int32(),
    "authenticated": pa.bool_(),
}
_SCHEMA = pa.schema(_TYPES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Parquet files for `call_tables`, each ascending by start and each after the one before it."""

    files: tuple[Path, ...] = ()
    rows: int = 0
    charged: int = 0
    """Rows that are calls of somebody."""
    first_ms: int = 0
    last_ms: int = 0
    bad: dict[str, int] = field(default_factory=dict)
    """Bad rows by reason."""
    noted: tuple[BadRow, ...] = ()
    was_sorted: bool = True

    @property
    def bad_rows(self) -> int:
        """How many rows were skipped."""
        return sum(self.bad.values())


def take_in(paths: Sequence[Path], folder: Path, *, strict: bool = False) -> Intake:
    """Make files ready; what has to be written goes into `folder`.

    OperatorError for a missing column, over 1 % of bad rows, or with strict the first.
    """
    reading: Reading[CallRecord] = Reading()
    ready: list[tuple[Path, Span]] = []
    for number, path in enumerate(paths):
        span = _as_it_is(path)
        if span is None:
            copy = folder / f"copy-{number}.parquet"
            _copy(records_of(path, CALLS, reading, strict=strict), copy)
            ready.append((copy, span_of(copy)))
        else:
            reading.rows += span.rows
            ready.append((path, span))
    check_bad_rows(reading)
    full = [(path, span) for path, span in ready if span.charged]
    was_sorted = _in_turn(full)
    if not was_sorted:
        full.sort(key=lambda one: one[1].first_ms)
        if not _in_turn(full):
            full = [_sorted([path for path, _ in ready], folder)]
    return Intake(
        files=tuple(path for path, _ in full),
        rows=reading.rows,
        charged=sum(span.charged for _, span in full),
        first_ms=full[0][1].first_ms if full else 0,
        last_ms=full[-1][1].last_ms if full else 0,
        bad=reading.bad,
        noted=tuple(reading.noted),
        was_sorted=was_sorted,
    )


def follow_each_other(files: Sequence[Path], name: str) -> bool:
    """Whether all are Parquet and the moments of a column do not overlap but rise from file to file."""
    last = None
    for path in files:
        if not is_parquet(path):
            return False
        try:
            column = pq.read_table(path, columns=[name]).column(name)
            if not pa.types.is_timestamp(column.type) or column.null_count:
                return False
            times = column.cast(_MOMENT, safe=False).cast(pa.int64()).to_numpy()
        except (OSError, pa.ArrowException, KeyError):
            return False
        if len(times):
            if last is not None and int(times.min()) < last:
                return False
            last = int(times.max())
    return True


def _as_it_is(path: Path) -> Span | None:
    if not is_parquet(path):
        return None
    try:
        return span_of(path)
    except OperatorError:
        # Why, and with which rows, is what the row reader says.
        return None


def _in_turn(files: Sequence[tuple[Path, Span]]) -> bool:
    return all(span.ascending for _, span in files) and all(
        before.last_ms <= after.first_ms for (_, before), (_, after) in itertools.pairwise(files)
    )


def _copy(records: Iterator[CallRecord], path: Path) -> None:
    with pq.ParquetWriter(path, _SCHEMA, compression="zstd") as writer:
        while portion := list(itertools.islice(records, PORTION)):
            columns: dict[str, Any] = {name: [getattr(record, name) for record in portion] for name in _PLAIN}
            columns["direction"] = [record.direction.value for record in portion]
            for name in _TIMES:
                columns[name] = pa.array(_moments(getattr(record, f"{name[:-2]}ms") for record in portion), pa.int64()).cast(_MOMENT)
            writer.write_table(pa.table(columns, schema=_SCHEMA))


def _moments(times_ms: Iterable[int]) -> list[int | None]:
    return [at_ms or None for at_ms in times_ms]


def _sorted(paths: Sequence[Path], folder: Path) -> tuple[Path, Span]:
    """One file with the rows of all by start; rows of one moment as they stood."""
    target = folder / "sorted.parquet"
    settings: dict[str, Any] = {
        "memory_limit": f"{MEMORY_BYTES}B",
        "threads": 2,
        "temp_directory": str(folder),
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    with duckdb.connect(":memory:", config=settings) as database:
        rows = database.sql(
            "SELECT * EXCLUDE (filename, file_row_number) "
            "FROM read_parquet($paths, union_by_name = true, filename = true, file_row_number = true) "
            "ORDER BY started_at, list_position($paths, filename), file_row_number",
            params={"paths": [str(path) for path in paths]},
        )
        rows.write_parquet(str(target))
    return target, span_of(target)
