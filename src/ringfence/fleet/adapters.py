"""The key file, and secrets sealed with AES-GCM (NIST SP 800-38D) under it or under a key service.

A sealed secret names its key, so keys can change while old seals still open. The one thing to know: the context (device, meaning,
instance) is authenticated, so a seal that is copied to another device's row does not open there.
"""

import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ringfence.base.errors import OperatorError
from ringfence.base.secret import Secret
from ringfence.fleet.ports import KeyService
from ringfence.runtime.keys import read_key

FLEET_KEY = "fleet.key"
"""File name of the key in the key folder. Without it no sealed secret can be opened again."""
_FILE_KEY = "file"
_VERSION = 1
_NONCE_BYTES = 12


class FileKeys:
    """The one key of an installation without a key service, read from its file at the start."""

    def __init__(self, path: Path) -> None:
        self._key = hashlib.blake2b(read_key(path).open().encode(), digest_size=32, person=b"ringfence-fleet").digest()

    def current(self) -> str:
        """The file's key has one name."""
        return _FILE_KEY

    async def key(self, name: str) -> bytes:
        """The key."""
        if name != _FILE_KEY:
            raise OperatorError(f"A secret is sealed with the key {name[:32]!a}, which the key file is not.", reason="key_unknown")
        return self._key


class NoKeys:
    """For a process that neither seals nor opens: it needs no key on its disk."""

    def current(self) -> str:
        """It has none."""
        raise OperatorError("This process has no key for secrets, because it needs none.", reason="key_unknown")

    async def key(self, name: str) -> bytes:
        """It has none."""
        raise OperatorError(f"This process has no key for secrets, and so not {name[:32]!a}.", reason="key_unknown")


class Sealer:
    """Seals and opens. Keys are remembered while the process lives."""

    def __init__(self, keys: KeyService) -> None:
        self._keys = keys
        self._ciphers: dict[str, AESGCM] = {}

    async def seal(self, secret: Secret, *context: str | int) -> bytes:
        """Version, length and name of the key, nonce, ciphertext with tag."""
        name = self._keys.current()
        nonce = os.urandom(_NONCE_BYTES)
        cipher = await self._cipher(name)
        return bytes([_VERSION, len(name)]) + name.encode("ascii") + nonce + cipher.encrypt(nonce, secret.open().encode(), _bound(context))

    async def open(self, sealed: bytes, *context: str | int) -> Secret:
        """The secret; OperatorError when the key is another one or the row is not the one that was sealed."""
        if len(sealed) < 2 or sealed[0] != _VERSION:
            raise OperatorError("A sealed secret is of a format this program does not know.", reason="seal_unknown")
        end = 2 + sealed[1]
        name, nonce, rest = sealed[2:end].decode("ascii", "replace"), sealed[end : end + _NONCE_BYTES], sealed[end + _NONCE_BYTES :]
        cipher = await self._cipher(name)
        try:
            return Secret(cipher.decrypt(nonce, rest, _bound(context)).decode())
        except (InvalidTag, ValueError):
            raise OperatorError(
                "A sealed secret does not open: it was moved to another row, or the key file is not the one it was sealed with.",
                reason="seal_broken",
            ) from None

    async def _cipher(self, name: str) -> AESGCM:
        if name not in self._ciphers:
            self._ciphers[name] = AESGCM(await self._keys.key(name))
        return self._ciphers[name]


def _bound(context: tuple[str | int, ...]) -> bytes:
    pieces = [str(part).encode() for part in context]
    return b"".join(len(piece).to_bytes(4) + piece for piece in pieces)
