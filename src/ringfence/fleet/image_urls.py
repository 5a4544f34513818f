"""Links to firmware: signed, for one device, one image of one length, until a moment.

    /firmware/SHA256/DEVICE/BYTES/EXPIRES/SIGNATURE

The one thing to know: a path that is not exactly of this shape is refused before anything looks at it, and nothing of it but the hash ever
names a file.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass, field

from ringfence.base.errors import OperatorError, PeerError

PREFIX = "/firmware/"
KEY_BYTES = 32
"""Shortest key."""
MAX_PATH_CHARS = 256
_shape = re.compile(r"/firmware/([0-9a-f]{64})/([1-9][0-9]{0,17})/([1-9][0-9]{0,11})/([1-9][0-9]{0,11})/([0-9a-f]{64})", re.ASCII).fullmatch
_hash = re.compile(r"[0-9a-f]{64}", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageGrant:
    """What a link allows: `digest` is the image's SHA-256 in lower-case hexadecimal, `expires_s` Unix seconds."""

    digest: str
    device_id: int
    size: int
    expires_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLinks:
    """Makes links: `url` is how devices reach the host (`http://fw.example.net:7549`), `key` what it checks them with."""

    url: str
    key: bytes = field(repr=False)
    lasts_seconds: int

    def link(self, device_id: int, digest: str, size: int, now_ms: int) -> str:
        """The URL of an image for one device, good from now on for as long as links last."""
        grant = ImageGrant(digest=digest, device_id=device_id, size=size, expires_s=now_ms // 1_000 + self.lasts_seconds)
        return self.url.rstrip("/") + sign(self.key, grant)


def is_digest(text: str) -> bool:
    """Whether a text is a SHA-256 as it names images."""
    return _hash(text) is not None


def sign(key: bytes, grant: ImageGrant) -> str:
    """The path of a link. OperatorError when the key is too short or the grant cannot be written."""
    if len(key) < KEY_BYTES:
        raise OperatorError(f"The key of firmware links needs {KEY_BYTES} bytes.", reason="short_key")
    path = f"{PREFIX}{grant.digest}/{grant.device_id}/{grant.size}/{grant.expires_s}/"
    signed = path + _signature(key, path)
    if _shape(signed) is None:
        raise OperatorError("A firmware link needs a SHA-256, a device, a length and an expiry.", reason="bad_grant")
    return signed


def verify(key: bytes, path: str, now_ms: int) -> ImageGrant:
    """The grant of a link. PeerError `bad_link`, `bad_signature` or `expired_link`; the signature is compared in constant time."""
    found = _shape(path) if len(path) <= MAX_PATH_CHARS else None
    if found is None:
        raise PeerError("This is no firmware link.", reason="bad_link")
    signature = found[5]
    if not hmac.compare_digest(_signature(key, path[: -len(signature)]), signature):
        raise PeerError("The signature of this firmware link is wrong.", reason="bad_signature")
    grant = ImageGrant(digest=found[1], device_id=int(found[2]), size=int(found[3]), expires_s=int(found[4]))
    if grant.expires_s * 1000 <= now_ms:
        raise PeerError("This firmware link has expired.", reason="expired_link")
    return grant


def _signature(key: bytes, path: str) -> str:
    return hmac.new(key, b"ringfence firmware link\0" + path.encode(), hashlib.sha256).hexdigest()
