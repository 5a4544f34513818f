"""The session cookie: the state of a session, sealed with AES-GCM, so that a device that comes back on another connection goes on.

A cookie never proves who a device is. It is bound to the lane and the address it was made for, ends with the session, and names one
step. The one thing to know: a step is taken once, in PostgreSQL, whichever process the cookie comes to, so a copy of it is worth nothing.
"""

import base64
import binascii
import hashlib
import os

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ringfence.base.errors import PeerError
from ringfence.base.secret import Secret

NAME = "ringfence"
MAX_BYTES = 4096
"""Of a cookie (RFC 6265 6.1)."""

_NONCE_BYTES = 12
_BOUND = b"ringfence acs session 1"


class Ticket(msgspec.Struct, frozen=True, array_like=True):
    """What a cookie says. `frozen` is the conversation's state; empty when it only goes on where it is held in memory."""

    session_id: str
    step: int
    lane: str
    address: str
    proven_name: str
    device_id: int
    believed: bool
    until_ms: int
    frozen: bytes


class CookieSealer:
    """Makes and opens cookies; every process with the same key file opens them."""

    def __init__(self, key: Secret) -> None:
        self._cipher = AESGCM(hashlib.blake2b(key.open().encode(), digest_size=32, person=b"rf-acs-cookie").digest())

    def seal(self, ticket: Ticket) -> str:
        """The cookie's value."""
        nonce = os.urandom(_NONCE_BYTES)
        return base64.urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, msgspec.msgpack.encode(ticket), _BOUND)).decode()

    def open(self, value: str, now_ms: int) -> Ticket:
        """What it says. PeerError: guessed, changed, sealed under another key, or too old."""
        try:
            raw = base64.b64decode(value[:MAX_BYTES].encode("ascii"), altchars=b"-_", validate=True)
            ticket = msgspec.msgpack.decode(self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _BOUND), type=Ticket)
        except (binascii.Error, ValueError, InvalidTag, msgspec.MsgspecError):
            raise PeerError("That cookie is not ours.", reason="cookie_forged") from None
        if now_ms > ticket.until_ms:
            raise PeerError("That cookie's session has ended.", reason="cookie_expired")
        return ticket


def cookie_in(header: str) -> str:
    """Our cookie's value in a Cookie header, or nothing. Some devices part cookies with a comma."""
    for part in header.replace(",", ";").split(";"):
        name, _, value = part.strip().partition("=")
        if name == NAME:
            return value.strip().strip('"')
    return ""
