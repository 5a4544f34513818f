"""The account view as columns: names, types and the batch that detection reads.

`archive.batches` turns a `RowBatch` into bytes and back; nothing here knows Arrow. Numeric columns are contiguous NumPy arrays that the
kernel reads by address; text columns are only touched when a person needs to read something, so they may be lazy.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from ringfence.telephony.model import AccountRow

MAX_ROWS = 4096
"""Rows of one batch at the most. `row_ref` packs a row's place into the low twelve bits."""


class Column(NamedTuple):
    """A numeric column: field of `AccountRow` and NumPy type."""

    name: str
    dtype: str


NUMERIC: tuple[Column, ...] = (
    Column("kind", "u1"),
    Column("at_ms", "i8"),
    Column("received_ms", "i8"),
    Column("account_key", "i8"),
    Column("slot", "u2"),
    Column("call_key", "i8"),
    Column("range_key", "i8"),
    Column("number_tail", "i2"),
    Column("country", "u2"),
    Column("destination_class", "u1"),
    Column("rate", "i8"),
    Column("connect_micro", "i8"),
    Column("flags", "u2"),
    Column("started_ms", "i8"),
    Column("answered_ms", "i8"),
    Column("ended_ms", "i8"),
    Column("status_code", "u2"),
    Column("source_port", "u2"),
    Column("expires", "i4"),
    Column("ring_seconds", "i4"),
    Column("direction", "u1"),
    Column("source_key", "i8"),
    Column("network_key", "i8"),
    Column("network_kind", "u1"),
    Column("source_country", "u2"),
    Column("family_key", "i8"),
)

TEXT: tuple[str, ...] = (
    "account",
    "call_id",
    "caller",
    "callee",
    "source_ip",
    "user_agent",
    "edge",
    "contact",
    "trunk",
    "carrier",
    "credential",
    "network",
    "forwarded_by",
)


class RowBatch:
    """Rows in columns, in log order.

    `numeric[name]` is a contiguous array of `length` values of the type in `NUMERIC`; `text[name]` is a sequence of `length` texts.
    """

    __slots__ = ("length", "numeric", "text")

    def __init__(self, length: int, numeric: Mapping[str, NDArray[Any]], text: Mapping[str, Sequence[str]]) -> None:
        self.length = length
        self.numeric = numeric
        self.text = text

    def row(self, place: int) -> AccountRow:
        """The row at a place, as a value with every field."""
        if not 0 <= place < self.length:
            raise IndexError(place)
        fields: dict[str, Any] = {name: int(self.numeric[name][place]) for name, _ in NUMERIC}
        fields.update((name, self.text[name][place]) for name in TEXT)
        return AccountRow(**fields)


def batch_of(rows: Sequence[AccountRow]) -> RowBatch:
    """Columns of up to `MAX_ROWS` rows."""
    if len(rows) > MAX_ROWS:
        raise ValueError(f"a batch holds {MAX_ROWS} rows at the most, not {len(rows)}")
    numeric = {name: np.array([getattr(row, name) for row in rows], dtype=dtype) for name, dtype in NUMERIC}
    text = {name: [getattr(row, name) for row in rows] for name in TEXT}
    return RowBatch(len(rows), numeric, text)


class Taken(Sequence[str]):
    """Texts of other texts by place, read when asked for."""

    __slots__ = ("places", "texts")

    def __init__(self, texts: Sequence[str], places: NDArray[Any]) -> None:
        # One step from a text to its source, however often rows are taken of rows.
        self.texts: Sequence[str] = texts.texts if isinstance(texts, Taken) else texts
        self.places: NDArray[Any] = texts.places[places] if isinstance(texts, Taken) else places

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice):
            return Taken(self.texts, self.places[place])
        return self.texts[int(self.places[place])]


def take(batch: RowBatch, places: NDArray[Any]) -> RowBatch:
    """Rows of a batch by place, in that order; texts are not read. May be longer than `MAX_ROWS`."""
    numeric = {name: np.ascontiguousarray(batch.numeric[name][places]) for name, _ in NUMERIC}
    return RowBatch(len(places), numeric, {name: Taken(batch.text[name], places) for name in TEXT})


def joined(batches: Sequence[RowBatch]) -> RowBatch:
    """Rows of several batches, one after the other. May be longer than `MAX_ROWS`."""
    numeric = {name: np.concatenate([batch.numeric[name] for batch in batches]) for name, _ in NUMERIC}
    text = {name: _one_after_the_other([batch.text[name] for batch in batches]) for name in TEXT}
    return RowBatch(sum(batch.length for batch in batches), numeric, text)


def _one_after_the_other(parts: Sequence[Sequence[str]]) -> Taken:
    """One list and places in it, whatever the parts are made of: layers would keep every source alive and cost a step each."""
    texts: list[str] = []
    places: list[NDArray[Any]] = []
    for part in parts:
        if isinstance(part, Taken):
            used, codes = np.unique(part.places, return_inverse=True)
            source = part.texts
            found = [source[place] for place in used.tolist()]
        else:
            found, codes = list(part), np.arange(len(part))
        places.append((codes + len(texts)).astype(np.int32))
        texts += found
    return Taken(texts, np.concatenate(places))


def row_ref(sequence: int, place: int) -> int:
    """A row's place in its lane as one 64-bit number."""
    return sequence * MAX_ROWS + place


def split_ref(ref: int) -> tuple[int, int]:
    """`(sequence, place)` of a `row_ref`."""
    return divmod(ref, MAX_ROWS)
