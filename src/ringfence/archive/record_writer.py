"""Call records and registrations written in bulk as Parquet (`formats.md`): arrays of numbers in, the format's texts and times out.

For files of simulated or converted traffic, not for the log's archive. The caller gives each column as one of the small types below, so
that a hundred million rows become text inside Arrow and never pass through Python. The one thing to know: rows are written as they come;
who promises an order keeps it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from ringfence.base.errors import UnavailableError

ROWS_AT_ONCE = 262_144
"""Rows of a row group; a longer piece is cut."""
DIALLED_BELOW = 1_000_000
"""Numbers below are as dialled (`112`), those from here on E.164 and get their plus."""

_pc: Any = pyarrow.compute
"""Its functions are made at import, so their types are no help."""
_OCTETS: Any = pa.array([str(value) for value in range(256)])
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


@dataclass(frozen=True, slots=True)
class Identities:
    """64-bit numbers as 16 hexadecimal digits."""

    values: npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Digits:
    """Whole numbers as text, 0 as an empty one."""

    values: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PhoneNumbers:
    """Telephone numbers: E.164 with a plus, short ones as dialled, 0 as an empty text."""

    values: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Addresses:
    """IPv4 addresses as dotted text."""

    values: npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Words:
    """Places in a list of texts."""

    values: npt.NDArray[np.integer]
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Moments:
    """Unix milliseconds as `timestamp[ms, UTC]`, 0 as null."""

    values: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Whole:
    """Whole numbers of 32 bits."""

    values: npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Truths:
    """True and false."""

    values: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Contacts:
    """SIP URIs of Contact headers: user, host, port."""

    values: npt.NDArray[np.int64]
    hosts: npt.NDArray[np.uint32]
    ports: npt.NDArray[np.uint16]


Column = Identities | Digits | PhoneNumbers | Addresses | Words | Moments | Whole | Truths | Contacts


class RecordWriter:
    """One Parquet file. Its schema is that of the first piece; a file without any has no rows and must be given one to have columns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, columns: Mapping[str, Column]) -> None:
        """Append rows. UnavailableError when the disk refuses."""
        length = len(next(iter(columns.values())).values)
        try:
            for first in range(0, max(length, 1), ROWS_AT_ONCE):
                piece = slice(first, min(first + ROWS_AT_ONCE, length))
                batch = pa.RecordBatch.from_arrays([_arrow(column, piece) for column in columns.values()], names=list(columns))
                if self._writer is None:
                    self._writer = pq.ParquetWriter(self._path, batch.schema, compression="zstd")
                if batch.num_rows:
                    self._writer.write_batch(batch)
        except OSError as refused:
            raise UnavailableError(f"{self._path} cannot be written: {refused.strerror or refused}.", reason="disk") from refused
        self.rows += length


def _arrow(column: Column, piece: slice) -> Any:
    """An Arrow array of the rows in `piece`."""
    match column:
        case Identities():
            array = _hexadecimal(column.values[piece])
        case Digits():
            array = _digits(column.values[piece])
        case PhoneNumbers():
            plus = _pc.if_else(pa.array(column.values[piece] >= DIALLED_BELOW), "+", "")
            array = _pc.binary_join_element_wise(plus, _digits(column.values[piece]), "")
        case Addresses():
            array = _dotted(column.values[piece])
        case Words():
            words: Any = pa.array(column.words)
            array = words.take(pa.array(column.values[piece].astype(np.int32)))
        case Moments():
            moments = column.values[piece]
            array = pa.array(moments, mask=moments == 0).cast(pa.timestamp("ms", tz="UTC"))
        case Whole():
            array = pa.array(column.values[piece].astype(np.int32))
        case Truths():
            array = pa.array(column.values[piece])
        case Contacts():
            port = pa.array(column.ports[piece].astype(np.int32)).cast(pa.string())
            user = _pc.binary_join_element_wise("sip:", _digits(column.values[piece]), "")
            array = _pc.binary_join_element_wise(_pc.binary_join_element_wise(user, _dotted(column.hosts[piece]), "@"), port, ":")
    return array


def _dotted(addresses: npt.NDArray[np.uint32]) -> Any:
    octets = [_OCTETS.take(pa.array(((addresses >> np.uint32(shift)) & np.uint32(255)).astype(np.int32))) for shift in (24, 16, 8, 0)]
    return _pc.binary_join_element_wise(*octets, ".")


def _digits(values: npt.NDArray[np.int64]) -> Any:
    text = pa.array(values).cast(pa.string())
    return _pc.if_else(pa.array(values == 0), "", text) if (values == 0).any() else text


def _hexadecimal(values: npt.NDArray[np.uint64]) -> Any:
    raw = values.astype(">u8").view(np.uint8).reshape(-1, 8)
    digits = np.empty((len(values), 16), np.uint8)
    digits[:, 0::2] = _HEX[raw >> 4]
    digits[:, 1::2] = _HEX[raw & 15]
    offsets = (np.arange(len(values) + 1) * 16).astype(np.int32)
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets.tobytes()), pa.py_buffer(digits.tobytes()))
