"""The log to Parquet: a minute's messages become one file of calls, one of registrations, one of control.

The writer returns when everything is synced. Each message is archived exactly once
although it may be delivered again: the position of the lane is written last, messages up to it are skipped, and files beyond it are
leftovers of a crash that are removed at the start. The one thing to know: a message is known by sequence *and* time, so a log that was
created anew and counts from 1 again is not taken for old deliveries.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ringfence.archive import batches, layout
from ringfence.archive.durable import make_folder, remove_unfinished, sync_folder, write_durably
from ringfence.archive.layout import CALLS, CONTROL, CONTROL_SCHEMA, FOLDERS, REGISTRATION_KINDS, REGISTRATIONS, ROW_SCHEMA, FileName
from ringfence.base.errors import OperatorError, PeerError, UnavailableError

ROWS = "rows"
UNREADABLE = "unreadable"
"""Kind under which a `rows` message that cannot be read is kept, bytes and all, in control."""

# Chosen for reading fast: differences for times, plain texts, a dictionary only for what has few values.
_DICTIONARY = ["kind", "country", "destination_class", "flags", "status_code"]
_DELTA = ("sequence", "at_ms", "received_ms", "started_ms", "answered_ms", "ended_ms")


class LogEntry(NamedTuple):
    """One message of a lane: `kind` as in the header `Rf-Kind` (rows, tick, control), `at_ms` the log's own time of it."""

    sequence: int
    at_ms: int
    kind: str
    payload: bytes


class Position(msgspec.Struct, frozen=True):
    """Everything of the lane up to here is archived. `at_ms` only ever rises, even when the log's clock is set back."""

    sequence: int = 0
    at_ms: int = 0

    def covers(self, entry: LogEntry) -> bool:
        """Whether the entry is archived already."""
        return entry.sequence <= self.sequence and entry.at_ms <= self.at_ms


class Written(NamedTuple):
    """What one call of `write` did."""

    rows: int
    skipped: int
    """Messages that were archived before."""
    unreadable: int
    """Messages of kind rows that could not be read; kept as they are."""
    files: tuple[Path, ...]


class ArchiveWriter:
    """The one writer of a lane. OperatorError when its position file is damaged."""

    def __init__(self, folder: Path, *, view: str = "account", lane: int = 0) -> None:
        self._folder = folder
        self._view = view
        self._lane = lane
        self._position_path = _position_path(folder, view, lane)
        self._attempted: list[Path] = []
        make_folder(self._position_path.parent)
        for kind in FOLDERS:
            make_folder(folder / kind)
        self.position = read_position(folder, view, lane)
        self.leftovers = remove_unfinished(folder) + self._remove_leftovers()
        """Files of a crash that were removed at the start."""

    def write(self, entries: Sequence[LogEntry]) -> Written:
        """Archive messages in log order. UnavailableError when the disk refuses: the position stays, and nothing is doubled."""
        fresh = [entry for entry in entries if not self.position.covers(entry)]
        if not fresh:
            return Written(0, len(entries), 0, ())
        self._remove_attempted()
        calls, registrations, control, unreadable = _sorted_out(fresh)
        # Later files carry later times whatever the log's clock does: the start tells leftovers by it, and replay the order.
        at_ms = max(self.position.at_ms + 1, *(entry.at_ms for entry in fresh))
        name = FileName(self._view, self._lane, fresh[0].sequence, fresh[-1].sequence, at_ms, at_ms).text()
        day = layout.day_of(fresh[0].at_ms)
        written: list[Path] = []
        for kind, table in ((CALLS, calls), (REGISTRATIONS, registrations), (CONTROL, control)):
            if table.num_rows:
                path = layout.day_folder(self._folder, kind, day) / name
                make_folder(path.parent)
                self._attempted.append(path)
                write_durably(path, partial(put_table, table))
                written.append(path)
        self._move_to(Position(fresh[-1].sequence, at_ms))
        self._attempted.clear()
        return Written(calls.num_rows + registrations.num_rows, len(entries) - len(fresh), unreadable, tuple(written))

    def _move_to(self, position: Position) -> None:
        encoded = msgspec.json.encode(position)
        write_durably(self._position_path, partial(_put_bytes, encoded))
        self.position = position

    def _remove_attempted(self) -> None:
        """Files of a call that failed before its position was written: the next one has more messages and other names."""
        try:
            while self._attempted:
                self._attempted[-1].unlink(missing_ok=True)
                self._attempted.pop()
        except OSError as refused:
            name = self._attempted[-1].name
            raise UnavailableError(f"{name} cannot be removed: {refused.strerror or refused}.", reason="disk") from refused

    def _remove_leftovers(self) -> int:
        """Files that were finished when the process died, before the position was written: their messages will be delivered again."""
        removed = 0
        for kind in FOLDERS:
            for _, path in layout.days(self._folder, kind):
                for child in path.iterdir():
                    name = layout.parse_name(child.name)
                    if name and (name.view, name.lane) == (self._view, self._lane) and name.at_ms > self.position.at_ms:
                        child.unlink()
                        removed += 1
                if removed:
                    sync_folder(path)
        return removed


def read_position(folder: Path, view: str, lane: int) -> Position:
    """How far a lane is archived. OperatorError when the file is damaged."""
    path = _position_path(folder, view, lane)
    if not path.exists():
        return Position()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Position)
    except msgspec.DecodeError:
        raise OperatorError(
            f"{path} is damaged; restore it from a backup, or remove it and the archive of that day.", reason="damaged_position"
        ) from None


def _position_path(folder: Path, view: str, lane: int) -> Path:
    return folder / "positions" / f"{view}-{lane}.json"


def _sorted_out(entries: Sequence[LogEntry]) -> tuple[pa.Table, pa.Table, pa.Table, int]:
    """Tables of calls, registrations and control, and the number of messages that could not be read."""
    calls: list[pa.RecordBatch] = []
    registrations: list[pa.RecordBatch] = []
    control: list[LogEntry] = []
    unreadable = 0
    for entry in entries:
        if entry.kind != ROWS:
            control.append(entry)
            continue
        try:
            batch = batches.decode(entry.payload)
        except PeerError:
            control.append(entry._replace(kind=UNREADABLE))
            unreadable += 1
            continue
        rows = _with_place(batches.record_batch_of(batch), entry.sequence)
        is_registration = np.isin(batch.numeric["kind"], REGISTRATION_KINDS)
        calls.append(rows.filter(pa.array(~is_registration)))
        registrations.append(rows.filter(pa.array(is_registration)))
    return (
        pa.Table.from_batches(calls, schema=ROW_SCHEMA),
        pa.Table.from_batches(registrations, schema=ROW_SCHEMA),
        _control_table(control),
        unreadable,
    )


def _with_place(rows: pa.RecordBatch, sequence: int) -> pa.RecordBatch:
    places = [pa.array(np.full(rows.num_rows, sequence, "i8")), pa.array(np.arange(rows.num_rows, dtype="i2"))]
    return pa.RecordBatch.from_arrays([*places, *rows.columns], schema=ROW_SCHEMA)


def _control_table(entries: Sequence[LogEntry]) -> pa.Table:
    columns: dict[str, list[Any]] = {
        "sequence": [entry.sequence for entry in entries],
        "at_ms": [entry.at_ms for entry in entries],
        "kind": [entry.kind for entry in entries],
        "payload": [entry.payload for entry in entries],
    }
    return pa.Table.from_pydict(columns, schema=CONTROL_SCHEMA)


def put_table(table: pa.Table, file: BinaryIO, *, row_group_rows: int | None = None) -> None:
    """Write a table of the archive as Parquet."""
    names = set(table.column_names)
    pq.write_table(
        table,
        file,
        row_group_size=row_group_rows,
        compression="zstd",
        use_dictionary=[name for name in _DICTIONARY if name in names],  # type: ignore[arg-type]  # the stubs know bool only
        column_encoding={name: "DELTA_BINARY_PACKED" for name in _DELTA if name in names},
    )


def _put_bytes(encoded: bytes, file: BinaryIO) -> None:
    file.write(encoded)
