"""Identifiers and keyed hashes.

Random ids come from the operating system through `new_id`; derived ids and keys are pure functions. 64-bit keys are signed
so that they pass through NumPy and Parquet as int64 without a conversion.
"""

import hashlib
import secrets
from typing import NewType

SLOTS = 1024
"""Slots of the log. Stored formats hold the slot, so the number of lanes can change and the formats need not."""

AccountKey = NewType("AccountKey", int)
CallKey = NewType("CallKey", int)
BlockId = NewType("BlockId", str)
AlertId = NewType("AlertId", str)

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base32: no letter that reads like a digit.


def encode_id(raw: bytes) -> str:
    """Base32 without look-alikes, lower case, leading zeros kept."""
    value = int.from_bytes(raw)
    length = -(-len(raw) * 8 // 5)
    return "".join(_ALPHABET[(value >> (5 * place)) & 31] for place in reversed(range(length)))


def new_id(prefix: str) -> str:
    """A fresh random id such as `b-0f3k...` (80 bits)."""
    return f"{prefix}-{encode_id(secrets.token_bytes(10))}"


def new_token() -> str:
    """A fresh secret of 160 bits, for passwords, keys and tokens."""
    return encode_id(secrets.token_bytes(20))


def derived_id(prefix: str, *parts: str | int) -> str:
    """An id that depends on its parts alone: the same parts give the same id on every machine."""
    digest = hashlib.blake2b(digest_size=10, person=b"ringfence-id")
    for part in parts:
        piece = str(part).encode("utf-8", "surrogatepass")
        digest.update(len(piece).to_bytes(4) + piece)
    return f"{prefix}-{encode_id(digest.digest())}"


def keyed_hash(key: bytes, *parts: str) -> int:
    """Signed 64-bit keyed hash (BLAKE2b) of text parts; never 0, which tables use for an empty place."""
    digest = hashlib.blake2b(digest_size=8, key=key)
    for part in parts:
        piece = part.encode("utf-8", "surrogatepass")
        digest.update(len(piece).to_bytes(4) + piece)
    return int.from_bytes(digest.digest(), signed=True) or 1


def slot_of(key: int) -> int:
    """The slot (0 to 1023) of a 64-bit key: its low ten bits."""
    return key & (SLOTS - 1)
