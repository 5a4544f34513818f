"""Firmware on disk: images in one folder, each under its SHA-256, whole or not at all.

An image is hashed while it arrives, and again before a process serves it for the first time: a disk that rots must not reach homes. The one
thing to know: nothing but a hash ever names a file here, so no request and no upload can name another one.
"""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from ringfence.base.errors import NotFoundError, OperatorError
from ringfence.base.ids import new_id
from ringfence.fleet.image_urls import is_digest

BLOCK_BYTES = 256 * 1024
MAX_IMAGE_BYTES = 4 * 1024 * 1024 * 1024


class Incoming:
    """An image that arrives. It blocks on the disk: call it from a thread where others wait."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._temporary = folder / f".import-{new_id('i')}"
        self._hashed, self._size = hashlib.sha256(), 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._temporary.open("xb")
        except OSError as refused:
            raise OperatorError(f"{folder} cannot be written ({refused.strerror}).", reason="image_unreadable") from None

    def write(self, block: bytes) -> None:
        """The next bytes. OperatorError when the disk is full or the image is larger than any firmware; then it is gone."""
        self._hashed.update(block)
        self._size += len(block)
        if self._size > MAX_IMAGE_BYTES:
            self.abandon()
            raise OperatorError(f"{self._name} is larger than any firmware.", reason="image_too_large")
        try:
            self._file.write(block)
        except OSError as refused:
            self.abandon()
            raise OperatorError(f"{self._name} cannot be written ({refused.strerror}).", reason="image_unreadable") from None

    def finish(self, expected: str = "") -> tuple[str, int]:
        """Put it under its hash; hash and size. OperatorError when it is empty or not what was expected: then it is gone."""
        digest = self._hashed.hexdigest()
        try:
            if not self._size or (expected and expected.lower() != digest):
                raise OperatorError(f"{self._name} has the SHA-256 {digest}, not the one that was named.", reason="image_hash")
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._temporary.replace(self._folder / digest)
            handle = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(handle)  # The name survives a power cut, not only the bytes.
            finally:
                os.close(handle)
        except OSError as refused:
            raise OperatorError(f"{self._name} cannot be kept ({refused.strerror}).", reason="image_unreadable") from None
        finally:
            self.abandon()
        return digest, self._size

    def abandon(self) -> None:
        """Let what has arrived go; nothing happens after `finish`."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)


class ImageStore:
    """Images in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._checked: dict[str, tuple[int, int, int]] = {}

    def receive(self, name: str) -> Incoming:
        """An image that will arrive in blocks; `name` is for sentences."""
        return Incoming(self._folder, name)

    def import_image(self, source: Path, expected: str = "") -> tuple[str, int]:
        """Copy a file in; its hash and size. OperatorError when it is not what was expected."""
        incoming = self.receive(source.name)
        try:
            with source.open("rb") as file:
                while block := file.read(BLOCK_BYTES):
                    incoming.write(block)
            return incoming.finish(expected)
        except OSError as refused:
            raise OperatorError(f"{source.name} cannot be read: {refused.strerror}.", reason="image_unreadable") from None
        finally:
            incoming.abandon()

    def open(self, digest: str) -> tuple[BinaryIO, int]:
        """An image and its size, its hash checked when this file is first seen.

        NotFoundError when it is not here, OperatorError when it rotted.
        """
        if not is_digest(digest):
            raise NotFoundError("An image is named by its SHA-256.", reason="no_image")
        try:
            file = (self._folder / digest).open("rb")
        except OSError:
            raise NotFoundError(f"No image {digest[:12]} is here; import it.", reason="no_image") from None
        state = os.fstat(file.fileno())
        seen = (state.st_ino, state.st_size, state.st_mtime_ns)
        if self._checked.get(digest) != seen:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                file.close()
                raise OperatorError(f"The image {digest[:12]} on disk is not what was imported; import it again.", reason="image_rotted")
            self._checked[digest] = seen
        return file, state.st_size
