"""The coding of the log: a `RowBatch` as one Arrow IPC stream with one record batch, and back.

The columns, their order and their types are those of `telephony.columns`; a stream with any other schema is refused, never guessed at.
Numbers come back as views into the bytes, without a copy; texts stay Arrow until somebody reads one.
"""

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import pyarrow as pa

from ringfence.base.errors import PeerError
from ringfence.telephony.columns import MAX_ROWS, NUMERIC, TEXT, RowBatch

MAX_BATCH_BYTES = 8 * 1024 * 1024
"""A full batch of ordinary rows has 1 to 1.5 MB. The bus must let messages of this size pass; a larger one is refused (`oversized`)."""

FIELDS: tuple["pa.Field[Any]", ...] = (
    *(pa.field(name, pa.from_numpy_dtype(np.dtype(dtype)), nullable=False) for name, dtype in NUMERIC),
    *(pa.field(name, pa.string(), nullable=False) for name in TEXT),
)
SCHEMA = pa.schema(FIELDS)

# A stream is schema message, record batch message, end marker. The schema message never changes, so it is made once.
_SCHEMA_MESSAGE = SCHEMA.serialize()
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"


class TextColumn(Sequence[str]):
    """Texts of an Arrow column, each made into a `str` when it is read."""

    __slots__ = ("array",)

    def __init__(self, array: "pa.Array[pa.StringScalar]") -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice):
            return TextColumn(self.array[place])
        if not -len(self.array) <= place < len(self.array):
            raise IndexError(place)
        return str(self.array[place].as_py())


def encode(batch: RowBatch) -> bytes:
    """The batch as bytes. ValueError when it has more than `MAX_ROWS` rows or `MAX_BATCH_BYTES` bytes: our own mistake, so a bug."""
    if batch.length > MAX_ROWS:
        raise ValueError(f"a batch holds {MAX_ROWS} rows at the most, not {batch.length}")
    record_batch = record_batch_of(batch)
    encoded = b"".join((_SCHEMA_MESSAGE, record_batch.serialize(), _END_OF_STREAM))
    if len(encoded) > MAX_BATCH_BYTES:
        raise ValueError(f"a batch has {MAX_BATCH_BYTES} bytes at the most, not {len(encoded)}")
    return encoded


def decode(data: bytes) -> RowBatch:
    """The batch in the bytes. PeerError with a reason for anything that is not exactly one whole batch of this schema."""
    if len(data) > MAX_BATCH_BYTES:
        raise PeerError(f"The batch has more than {MAX_BATCH_BYTES} bytes.", reason="oversized")
    try:
        with pa.ipc.open_stream(data) as stream:
            if not stream.schema.equals(SCHEMA):
                raise PeerError("The batch has other columns than this version reads.", reason="other_schema")
            record_batch = stream.read_next_batch()
            if next(stream, None) is not None:
                raise PeerError("The stream has more than one batch.", reason="more_than_one_batch")
        record_batch.validate(full=True)
    except StopIteration:
        raise PeerError("The stream has no batch.", reason="no_batch") from None
    except (pa.ArrowException, OSError, MemoryError) as refused:
        raise PeerError(f"The batch cannot be read: {str(refused)[:200]}", reason="not_arrow") from None
    if record_batch.num_rows > MAX_ROWS:
        raise PeerError(f"The batch has more than {MAX_ROWS} rows.", reason="too_many_rows")
    return rows_of(record_batch)


def rows_of(record_batch: pa.RecordBatch) -> RowBatch:
    """A record batch of this schema as rows, without a copy. PeerError (`null_field`) when it has empty fields."""
    columns = record_batch.columns
    if any(column.null_count for column in columns):
        raise PeerError("The batch has empty fields.", reason="null_field")
    numeric = {name: array.to_numpy() for (name, _), array in zip(NUMERIC, columns, strict=False)}
    text = {name: TextColumn(array) for name, array in zip(TEXT, columns[len(NUMERIC) :], strict=True)}
    return RowBatch(record_batch.num_rows, numeric, text)


def record_batch_of(batch: RowBatch) -> pa.RecordBatch:
    """The batch as Arrow columns; texts that came from `decode` are handed on without being read."""
    arrays: list[pa.Array[Any]] = [pa.array(batch.numeric[name]) for name, _ in NUMERIC]
    for name in TEXT:
        texts = batch.text[name]
        arrays.append(texts.array if isinstance(texts, TextColumn) else pa.array(texts, pa.string()))
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)
