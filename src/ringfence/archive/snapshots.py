"""The state of a detector on disk: arrays, plain values and the position in the log, in one file that is whole or refused.

Layout: eight bytes of magic, length of the description (u64, little endian), the description (JSON), the arrays as they lie in memory,
each at a multiple of 64 bytes, then BLAKE2b-256 of everything before. Not compressed: writing and reading run at the speed of the disk,
and a restart must be back in seconds. A damaged file is skipped for the one before it; the tail of the log makes up for the rest.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from ringfence.archive.durable import make_folder, remove_unfinished, write_durably
from ringfence.base.errors import PeerError

MAGIC = b"RFSTATE1"
KEPT = 3
"""Snapshots of one name that stay on disk."""
MAX_DESCRIPTION_BYTES = 256 * 1024 * 1024
"""Rules, profiles and the like stand in the description."""

_ALIGNMENT = 64
_PIECE_BYTES = 8 * 1024 * 1024
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A state and the log position it stands for: everything up to `position` is in it."""

    position: int
    at_ms: int
    arrays: Mapping[str, NDArray[Any]]
    scalars: Mapping[str, Any]
    """Values that JSON can hold; text keys."""


class _Description(msgspec.Struct, frozen=True):
    position: int
    at_ms: int
    scalars: dict[str, Any]
    arrays: tuple[tuple[str, str, tuple[int, ...]], ...]
    """Name, NumPy type, shape; they follow each other in this order."""


@dataclass(slots=True)
class SnapshotStore:
    """Snapshots of one detector lane in one folder; `name` such as `account-0`."""

    folder: Path
    name: str
    damaged: list[Path] = field(default_factory=list)
    """Files that `newest` had to skip, for a log line and a counter."""

    def save(self, snapshot: Snapshot) -> Path:
        """Write and sync a snapshot, then drop all but the newest three. UnavailableError when the disk refuses; the old ones stay then."""
        make_folder(self.folder)
        remove_unfinished(self.folder)
        path = self.folder / f"{self.name}-{snapshot.at_ms:013d}-{snapshot.position:016d}.state"
        write_durably(path, partial(_write, snapshot))
        for old in self._files()[:-KEPT]:
            old.unlink(missing_ok=True)
        return path

    def newest(self) -> Snapshot | None:
        """The newest snapshot that is whole, None when there is none. Its arrays are fresh and may be written to."""
        for path in reversed(self._files()):
            try:
                return read_snapshot(path)
            except PeerError:
                self.damaged.append(path)
        return None

    def _files(self) -> list[Path]:
        """By time, then position: a log that was created anew counts from 1 again."""
        return sorted(self.folder.glob(f"{self.name}-{'[0-9]' * 13}-{'[0-9]' * 16}.state")) if self.folder.is_dir() else []


def read_snapshot(path: Path) -> Snapshot:
    """Read one file. PeerError (`damaged_snapshot`) when it is cut, changed or not one of ours."""
    try:
        with path.open("rb") as file:
            return _read(_Reader(file, path.stat().st_size - _DIGEST_BYTES))
    except (OSError, msgspec.MsgspecError, ValueError, TypeError, MemoryError) as refused:
        raise PeerError(f"{path.name} is no whole snapshot: {str(refused)[:100]}", reason="damaged_snapshot") from None


def _write(snapshot: Snapshot, file: BinaryIO) -> None:
    arrays = {name: np.ascontiguousarray(array) for name, array in snapshot.arrays.items()}
    description = msgspec.json.encode(
        _Description(
            snapshot.position,
            snapshot.at_ms,
            dict(snapshot.scalars),
            tuple((name, array.dtype.str, array.shape) for name, array in arrays.items()),
        )
    )
    if len(description) > MAX_DESCRIPTION_BYTES:
        raise ValueError(f"the plain values of a snapshot have {len(description)} bytes")
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    written = 0
    for piece in (MAGIC, len(description).to_bytes(8, "little"), description):
        file.write(piece)
        digest.update(piece)
        written += len(piece)
    for array in arrays.values():
        flat = array.reshape(-1).view("u1").data if array.size else memoryview(b"")
        pieces: list[bytes | memoryview[int]] = [bytes(-written % _ALIGNMENT)]
        pieces.extend(flat[at : at + _PIECE_BYTES] for at in range(0, len(flat), _PIECE_BYTES))
        for part in pieces:
            file.write(part)
            digest.update(part)
            written += len(part)
    file.write(digest.digest())


class _Reader:
    """Reads in order and digests what it reads, so that a large file passes through memory once."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self.left = size
        self._digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self.at = 0

    def take(self, count: int) -> bytearray:
        """The next bytes. ValueError when the file has fewer: nothing larger than the file is ever made."""
        if not 0 <= count <= self.left:
            raise ValueError("it is cut off")
        taken = bytearray(count)
        self.fill(memoryview(taken))
        return taken

    def fill(self, place: "memoryview[int]") -> None:
        """Fill a place with the next bytes."""
        if len(place) > self.left:
            raise ValueError("it is cut off")
        for start in range(0, len(place), _PIECE_BYTES):
            piece = place[start : start + _PIECE_BYTES]
            if self._file.readinto(piece) != len(piece):  # type: ignore[attr-defined]  # a file opened for reading has it
                raise ValueError("it is cut off")
            self._digest.update(piece)
        self.left -= len(place)
        self.at += len(place)

    def check_end(self) -> None:
        """ValueError unless everything was read and the checksum fits."""
        if self.left or self._file.read() != self._digest.digest():
            raise ValueError("the checksum does not fit")


def _read(reader: _Reader) -> Snapshot:
    if reader.take(len(MAGIC)) != MAGIC:
        raise ValueError("it is of another kind or version")
    description = msgspec.json.decode(reader.take(int.from_bytes(reader.take(8), "little")), type=_Description)
    arrays: dict[str, NDArray[Any]] = {}
    for name, dtype, shape in description.arrays:
        reader.take(-reader.at % _ALIGNMENT)
        if int(np.prod(shape, dtype="i8")) * np.dtype(dtype).itemsize > reader.left:
            raise ValueError("it is cut off")
        arrays[name] = array = np.empty(shape, dtype)
        if array.size:
            reader.fill(array.reshape(-1).view("u1").data)
    reader.check_end()
    return Snapshot(position=description.position, at_ms=description.at_ms, arrays=arrays, scalars=description.scalars)
