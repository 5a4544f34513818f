"""Made-up firmware images: one line that says what it is, and its hash, then bytes that pack badly."""

import hashlib
import re

import msgspec

from ringfence.base.errors import PeerError

MIN_IMAGE_BYTES = 256
_head = re.compile(rb"RINGFENCE-IMAGE ([^ \n]{1,64}) ([^ \n]{1,64}) ([0-9a-f]{64})\n").match


class ImageHead(msgspec.Struct, frozen=True):
    """What the first line says. `digest` is the SHA-256 of everything behind the line."""

    product_class: str
    version: str
    digest: str


def make_image(product_class: str, version: str, size: int = 100_000) -> bytes:
    """An image of exactly `size` bytes, the same for the same arguments."""
    assert size >= MIN_IMAGE_BYTES, "an image needs room for its first line"
    line = f"RINGFENCE-IMAGE {product_class.replace(' ', '_')} {version} ".encode()
    body = hashlib.shake_256(line).digest(size - len(line) - 65)
    return b"%b%b\n%b" % (line, hashlib.sha256(body).hexdigest().encode(), body)


class ImageReader:
    """Takes an image in pieces, keeps its head only, and checks the hash at the end."""

    __slots__ = ("_hash", "_head", "_start", "size")

    def __init__(self) -> None:
        self._start = b""
        self._head: ImageHead | None = None
        self._hash = hashlib.sha256()
        self.size = 0

    def feed(self, data: bytes) -> None:
        """The next bytes. PeerError when it is no image."""
        self.size += len(data)
        if self._head is not None:
            self._hash.update(data)
            return
        self._start += data
        if b"\n" not in self._start and len(self._start) < MIN_IMAGE_BYTES:
            return
        found = _head(self._start)
        if found is None:
            raise PeerError("This is no firmware image.", reason="no_image")
        self._head = ImageHead(*(part.decode() for part in found.groups()))
        self._hash.update(self._start[found.end() :])
        self._start = b""

    def finish(self, product_class: str) -> ImageHead:
        """The head, when hash and product class are right. PeerError else."""
        if self._head is None or self._hash.hexdigest() != self._head.digest:
            raise PeerError("The image is broken.", reason="broken_image")
        if self._head.product_class != product_class.replace(" ", "_"):
            raise PeerError("The image is for another kind of device.", reason="foreign_image")
        return self._head
