"""State on disk: one file per lane, raw arrays behind a short header, replaced as a whole.

    RFSNAP01 | header length (8 bytes) | header (msgpack: scalars; name, length and BLAKE2b of each array) | arrays, 64-byte aligned

Arrays are written and read without a conversion, so a gigabyte takes as long as the disk. A file that was cut short or changed is refused:
the log and the control bucket make the state anew.
"""

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np

from ringfence.base.errors import PeerError
from ringfence.detection.engine import EngineState

MAGIC = b"RFSNAP01"
ALIGNMENT = 64
MAX_HEADER_BYTES = 256 * 1024 * 1024


class _Array(msgspec.Struct, frozen=True):
    name: str
    length: int
    digest: bytes


class _Header(msgspec.Struct, frozen=True):
    scalars: dict[str, Any]
    arrays: list[_Array]


def write_snapshot(path: Path, state: EngineState) -> int:
    """Replace the file by this state, synced to disk; its size in bytes. OSError when the disk refuses."""
    arrays = [_Array(name, len(words), _digest(words)) for name, words in state.arrays.items()]
    header = msgspec.msgpack.encode(_Header(dict(state.scalars), arrays))
    temporary = path.with_suffix(".new")
    try:
        with temporary.open("wb", buffering=0) as file:
            os.fchmod(file.fileno(), 0o600)
            _write(file, MAGIC + len(header).to_bytes(8) + header)
            for words in state.arrays.values():
                _write(file, bytes(-file.tell() % ALIGNMENT))
                _write(file, words.data.cast("B"))
            size = file.tell()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return size


def read_snapshot(path: Path) -> EngineState | None:
    """The state in the file; None when there is no file. PeerError when it is not whole."""
    try:
        file = path.open("rb", buffering=0)
    except FileNotFoundError:
        return None
    with file:
        if file.read(8) != MAGIC:
            raise PeerError(f"{path} is no snapshot of this version.", reason="snapshot_magic")
        length = int.from_bytes(_exactly(file, 8, path))
        if length > MAX_HEADER_BYTES:
            raise PeerError(f"{path} has an impossible header.", reason="snapshot_header")
        try:
            header = msgspec.msgpack.decode(_exactly(file, length, path), type=_Header)
        except msgspec.DecodeError as error:
            raise PeerError(f"{path} has a header that cannot be read.", reason="snapshot_header") from error
        arrays = {}
        size = path.stat().st_size
        for array in header.arrays:
            file.seek(-file.tell() % ALIGNMENT, os.SEEK_CUR)
            if not 0 <= array.length * 8 <= size - file.tell():
                raise PeerError(f"{path} was cut short.", reason="snapshot_short")
            words = np.empty(array.length, np.int64)
            _fill(file, words.data.cast("B"), path)
            if _digest(words) != array.digest:
                raise PeerError(f"{path} was changed or damaged.", reason="snapshot_damaged")
            arrays[array.name] = words
    return EngineState(arrays=arrays, scalars=header.scalars)


def _digest(words: np.ndarray[Any, np.dtype[np.int64]]) -> bytes:
    """A fast check against damage, not against forgery: CRC-like sums over the words would miss swaps, BLAKE2b does not."""
    return hashlib.blake2b(words.data.cast("B"), digest_size=16).digest()


def _write(file: BinaryIO, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        written = file.write(view)
        view = view[written:]


def _exactly(file: BinaryIO, length: int, path: Path) -> bytes:
    data = file.read(length)
    if len(data) != length:
        raise PeerError(f"{path} was cut short.", reason="snapshot_short")
    return data


def _fill(file: Any, view: memoryview, path: Path) -> None:
    while view:
        count = file.readinto(view)
        if not count:
            raise PeerError(f"{path} was cut short.", reason="snapshot_short")
        view = view[count:]
