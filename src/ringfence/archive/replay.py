"""The archived log, message by message in log order: what `ringfence rebuild` feeds to a detector to prove a state.

Calls and registrations of one message are put together again, so that a row has the place it had in the log and evidence points to the
same rows. Messages that could not be read when they were archived come as they are.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ringfence.archive import layout
from ringfence.archive.batches import SCHEMA, rows_of
from ringfence.archive.layout import CALLS, CONTROL, FOLDERS, REGISTRATIONS, FileName
from ringfence.archive.writer import Position
from ringfence.base.errors import UnavailableError
from ringfence.telephony.columns import RowBatch

START = Position()
"""Before everything."""


class ReplayedRows(NamedTuple):
    """A message of rows."""

    sequence: int
    batch: RowBatch


class ReplayedControl(NamedTuple):
    """A tick, a control message, or one that could not be read; `kind` as in the log's header, or `unreadable`."""

    sequence: int
    at_ms: int
    kind: str
    payload: bytes


def replay(folder: Path, *, view: str = "account", lane: int = 0, after: Position = START) -> Iterator[ReplayedRows | ReplayedControl]:
    """Archived messages behind a position, in log order. UnavailableError when a file cannot be read."""
    for name, paths in _minutes(folder, view, lane):
        if name.at_ms <= after.at_ms and name.last <= after.sequence:
            continue
        try:
            messages: list[ReplayedRows | ReplayedControl] = [*_rows(paths), *_control(paths)]
        except (OSError, pa.ArrowException) as refused:
            raise UnavailableError(f"{name.text()} cannot be read: {str(refused)[:200]}", reason="archive_unreadable") from None
        same_log = name.at_ms <= after.at_ms or name.first <= after.sequence <= name.last
        yield from sorted((message for message in messages if not same_log or message.sequence > after.sequence), key=_sequence)


def _minutes(folder: Path, view: str, lane: int) -> list[tuple[FileName, dict[str, list[Path]]]]:
    """What `write` wrote at a time, or what was merged of it, oldest first: a name and its files of each kind."""
    found: dict[FileName, dict[str, list[Path]]] = {}
    for kind in FOLDERS:
        for _, day in layout.days(folder, kind):
            for path in day.iterdir():
                name = layout.parse_name(path.name)
                if name and (name.view, name.lane) == (view, lane):
                    found.setdefault(name, {}).setdefault(kind, []).append(path)
    return [(name, layout.effective(files)) for name, files in layout.gathered(found)]


def _rows(paths: dict[str, list[Path]]) -> Iterator[ReplayedRows]:
    tables = [layout.widened(pq.read_table(path, partitioning=None)) for kind in (CALLS, REGISTRATIONS) for path in paths.get(kind, [])]
    if not tables:
        return
    table = pa.concat_tables(tables).sort_by([("sequence", "ascending"), ("row", "ascending")]).combine_chunks()
    sequences = table["sequence"].to_numpy()
    starts = np.flatnonzero(np.diff(sequences, prepend=sequences[0] - 1)).tolist()
    rows = table.select(SCHEMA.names)
    for start, end in zip(starts, [*starts[1:], len(sequences)], strict=True):
        (record_batch,) = rows.slice(start, end - start).to_batches()
        yield ReplayedRows(int(sequences[start]), rows_of(record_batch.cast(SCHEMA)))


def _control(paths: dict[str, list[Path]]) -> Iterator[ReplayedControl]:
    for path in paths.get(CONTROL, []):
        for fields in pq.read_table(path, partitioning=None).to_pylist():
            yield ReplayedControl(fields["sequence"], fields["at_ms"], fields["kind"], fields["payload"])


def _sequence(message: ReplayedRows | ReplayedControl) -> int:
    return message.sequence
