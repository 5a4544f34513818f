"""Nonces of a server that remembers none of them: each proves by itself who made it, when, and for which address.

Any process that holds the key can check a nonce of any other, so a device may open a new connection after the 401 (every FRITZ!Box
does). What is remembered, briefly and in bounded memory, is which credentials were already used. The one thing to know: `check` before
the password is verified, `spend` after; only a peer that knows a password can fill the memory.
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from enum import Enum

from ringfence.protocols.digest import Credentials

LIFETIME_MS = 30_000
"""How long a nonce is taken; older ones are stale, and the client answers a new one without asking its user."""
MAX_SPENT = 200_000
"""Credentials remembered of one lifetime. When they are full, every nonce is stale until the next: safe, and heard in the metrics."""
MAX_NONCE_CHARS = 128
_MAC_BYTES = 16
_KEY_BYTES = 16


class NonceVerdict(Enum):
    """What a nonce is worth."""

    GOOD = "good"
    STALE = "stale"
    """Ours, and too old: challenge again with stale=true."""
    FOREIGN = "foreign"
    """Not ours, or made for another address: challenge again."""
    SPENT = "spent"
    """These very credentials were used before: a replay, or a client that repeats itself. Challenge again, and count it."""


class NonceMint:
    """Makes and checks nonces. One per process; processes with the same key take each other's nonces, but know only their own `spend`."""

    __slots__ = ("_count", "_key", "_new", "_old", "_turn_ms", "max_spent")

    def __init__(self, key: bytes, *, max_spent: int = MAX_SPENT) -> None:
        assert len(key) >= _KEY_BYTES, "a key of at least 16 bytes"
        self._key = key
        self._count = 0
        self._new: set[bytes] = set()
        self._old: set[bytes] = set()
        self._turn_ms = 0
        self.max_spent = max_spent

    def mint(self, now_ms: int, address: str) -> str:
        """A nonce for a peer at this address."""
        # Devices behind one carrier NAT share an address: the count keeps their nonces apart within a millisecond.
        self._count = (self._count + 1) & 0xFFFFFFFF
        head = now_ms.to_bytes(6) + self._count.to_bytes(4)
        return urlsafe_b64encode(head + self._mac(head, address)).decode().rstrip("=")

    def check(self, credentials: Credentials, *, now_ms: int, address: str) -> NonceVerdict:
        """What the nonce of these credentials is worth. Says nothing of their response: verify that next."""
        head = self._head(credentials.nonce, address)
        if head is None:
            return NonceVerdict.FOREIGN
        made_ms = int.from_bytes(head[:6])
        # A clock of another process may run a little ahead.
        if not made_ms - LIFETIME_MS <= now_ms <= made_ms + LIFETIME_MS:
            return NonceVerdict.STALE
        self._turn(now_ms)
        if len(self._new) >= self.max_spent:
            return NonceVerdict.STALE
        use = _use(credentials)
        return NonceVerdict.SPENT if use in self._new or use in self._old else NonceVerdict.GOOD

    def spend(self, credentials: Credentials, *, now_ms: int) -> None:
        """These credentials were right and are used now. Without nc (RFC 2069) a nonce is good for one use."""
        self._turn(now_ms)
        if len(self._new) < self.max_spent:
            self._new.add(_use(credentials))

    def _turn(self, now_ms: int) -> None:
        """Forget what is older than any nonce that would still be taken: a nonce lives for a lifetime on either side of its time."""
        if now_ms - self._turn_ms < 2 * LIFETIME_MS:
            return
        self._old = self._new if now_ms - self._turn_ms < 4 * LIFETIME_MS else set()
        self._new = set()
        self._turn_ms = now_ms

    def _head(self, nonce: str, address: str) -> bytes | None:
        if len(nonce) > MAX_NONCE_CHARS or not nonce.isascii():
            return None
        try:
            raw = urlsafe_b64decode(nonce + "=" * (-len(nonce) % 4))
        except ValueError:
            return None
        head, mac = raw[:10], raw[10:]
        return head if len(mac) == _MAC_BYTES and hmac.compare_digest(mac, self._mac(head, address)) else None

    def _mac(self, head: bytes, address: str) -> bytes:
        return hmac.digest(self._key, head + address.encode("utf-8", "replace"), "sha256")[:_MAC_BYTES]


def _use(credentials: Credentials) -> bytes:
    """One use of a nonce, shortened. Its spelling is that of the hash: another spelling of nc is another response."""
    parts = (credentials.nonce, credentials.username, credentials.nc, credentials.cnonce)
    text = "\0".join(parts)
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=12).digest()
