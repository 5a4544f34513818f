"""Whole calls as bare columns in Parquet, coded to be read back as fast as a kernel judges them: a month of a large operator at a time.

The archive's own files keep every text of every row. These keep the numbers that windows look at, one file a share of the account slots,
so that two processes never decode each other's calls. It knows no account and no rule; the one thing to know is that the coding of each
column was measured: dictionaries only where few values repeat, differences for ascending times, hashes plain, durations split by bytes.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ringfence.archive.database import open_database

ROWS_A_GROUP: Final = 131_072
"""Decoded, a group takes seven megabytes."""

_FIELDS: Final = (
    ("started_ms", pa.int64(), "DELTA_BINARY_PACKED"),
    ("ring_ms", pa.int32(), "BYTE_STREAM_SPLIT"),
    ("length_ms", pa.int32(), "BYTE_STREAM_SPLIT"),
    ("account_key", pa.int64(), "PLAIN"),
    ("call_key", pa.int64(), "PLAIN"),
    ("range_key", pa.int64(), "PLAIN"),
    ("number_tail", pa.int16(), "BYTE_STREAM_SPLIT"),
    ("country", pa.uint16(), None),
    ("destination_class", pa.uint8(), None),
    ("rate", pa.int32(), "BYTE_STREAM_SPLIT"),
)
_SCHEMA: Final = pa.schema([pa.field(name, kind, nullable=False) for name, kind, _ in _FIELDS])
_NOT_ANSWERED: Final = -1

_SQL: Final = """
SELECT count(*), max(cost5), max(cost60), max(cost24), max(numbers)
FROM (
    SELECT sum(cost) OVER (calls RANGE BETWEEN 299999 PRECEDING AND CURRENT ROW) AS cost5,
           sum(cost) OVER (calls RANGE BETWEEN 3599999 PRECEDING AND CURRENT ROW) AS cost60,
           sum(cost) OVER (calls RANGE BETWEEN 86399999 PRECEDING AND CURRENT ROW) AS cost24,
           count(DISTINCT number) OVER (calls RANGE BETWEEN 3599999 PRECEDING AND CURRENT ROW) AS numbers
    FROM (
        SELECT account_key, started_ms, range_key * 1000 + number_tail AS number,
               CASE WHEN ring_ms >= 0 THEN rate::BIGINT * (length_ms - ring_ms) // 60000 ELSE 0 END AS cost
        FROM read_parquet($files)
        WHERE destination_class >= 2
    )
    WINDOW calls AS (PARTITION BY account_key ORDER BY started_ms)
)
"""


class CallWriter:
    """One file of whole calls, in the order given. Close it, or it cannot be read."""

    def __init__(self, path: Path) -> None:
        repeating: Any = [name for name, _, coding in _FIELDS if coding is None]
        packed = [name for name, _, coding in _FIELDS if coding != "PLAIN"]  # Hashes cannot be made smaller, only slower to read.
        self._writer = pq.ParquetWriter(
            path,
            _SCHEMA,
            compression={name: "zstd" if name in packed else "none" for name, _, _ in _FIELDS},
            compression_level=dict.fromkeys(packed, 1),
            use_dictionary=repeating,
            column_encoding={name: coding for name, _, coding in _FIELDS if coding is not None},
            write_statistics=False,
        )

    def write(self, calls: Mapping[str, NDArray[Any]]) -> None:
        """Add calls by the log's column names; `answered_ms` 0 when it did not happen, `ended_ms` always known. Times are Unix ms."""
        started, answered = calls["started_ms"], calls["answered_ms"]
        told = {
            **calls,
            "ring_ms": np.where(answered > 0, answered - started, _NOT_ANSWERED),
            "length_ms": calls["ended_ms"] - started,
        }
        arrays = [pa.array(np.asarray(told[name]).astype(kind.to_pandas_dtype(), copy=False), kind) for name, kind, _ in _FIELDS]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA), row_group_size=ROWS_A_GROUP)

    def close(self) -> None:
        """Write what Parquet keeps at the end."""
        self._writer.close()


def read_calls(path: Path) -> Iterator[dict[str, NDArray[Any]]]:
    """The calls of a file, a row group at a time and by one thread, under the log's column names."""
    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        table = file.read_row_group(group, use_threads=False)
        calls = {name: table.column(name).chunk(0).to_numpy(zero_copy_only=True) for name, _, _ in _FIELDS}
        started = calls["started_ms"]
        ring = calls.pop("ring_ms")
        answered = started + ring
        answered *= ring >= 0
        calls["answered_ms"] = answered
        calls["ended_ms"] = started + calls.pop("length_ms")
        calls["rate"] = calls["rate"].astype(np.int64)
        yield calls


def windows_in_sql(folder: Path, *, memory_bytes: int, threads: int) -> tuple[int, ...]:
    """Three cost windows and distinct numbers of C2+ calls, as SQL over every file of a folder, to compare with.

    `(calls, highest cost of 5 minutes, of 60 minutes, of 24 hours in micro-euro, most numbers of an hour)`; a call's whole cost counts at
    its start, as a window in SQL can.
    """
    database = open_database(folder, memory_bytes=memory_bytes, threads=threads)
    try:
        row = database.execute(_SQL, {"files": [str(path) for path in sorted(folder.glob("*.parquet"))]}).fetchone()
    finally:
        database.close()
    assert row is not None
    return tuple(int(value or 0) for value in row)
