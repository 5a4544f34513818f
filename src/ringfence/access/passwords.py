"""Passwords: argon2id hashes, and what is accepted as a new one.

The hash of a name nobody has is checked too, so that an unknown user costs the same as a wrong password. It stores and logs nothing.
"""

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from ringfence.base.errors import OperatorError
from ringfence.base.secret import Secret

MIN_CHARACTERS = 12
MAX_BYTES = 256
"""A longer password is refused before it is hashed: hashing is expensive on purpose."""

# RFC 9106 section 4, second recommended option: 64 MiB, three passes, four lanes.
_hasher = argon2.PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=4)

# The hash of a random password that nobody knows, with the same parameters: what an unknown name is compared with.
NOBODY_HASH = "$argon2id$v=19$m=65536,t=3,p=4$N9KsDmGCAAvfIFWhTHPNXg$lTxVdrGLcj7C6B1JaBazOkHEaYvn6UDSXJfEdC2X/yw"


def check_new(password: Secret, name: str) -> None:
    """Refuse a password that is too short, too long, or made of the user's name."""
    text = password.open()
    if len(text) < MIN_CHARACTERS:
        raise OperatorError(f"choose a password of {MIN_CHARACTERS} characters or more", reason="password_short")
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise OperatorError(f"choose a password of {MAX_BYTES} bytes or less", reason="password_long")
    if text.casefold().replace(name, "") == "" or len(set(text)) < 4:
        raise OperatorError("choose a password that is not your name or one letter repeated", reason="password_simple")


def hash_password(password: Secret) -> str:
    """The argon2id hash, with its parameters and salt, as it is stored. Takes about 50 ms and 64 MiB."""
    return _hasher.hash(password.open().encode("utf-8", "surrogatepass"))


def verify(stored: str | None, password: Secret) -> bool:
    """Whether a password fits its stored hash; `None` (no such user) costs the same and is False."""
    raw = password.open().encode("utf-8", "surrogatepass")
    if len(raw) > MAX_BYTES:
        raw = b""  # Never a password; hashed all the same, for the same time.
    try:
        _hasher.verify(stored or NOBODY_HASH, raw)
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def needs_rehash(stored: str) -> bool:
    """Whether a stored hash was made with other parameters than today's."""
    return _hasher.check_needs_rehash(stored)
