"""What the room needs from outside: a store of keys, and who held an address."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class KeyService(Protocol):
    """Where the key that seals secrets comes from: a file (`adapters.FileKeys`), or an operator's key service."""

    def current(self) -> str:
        """Name of the key that new secrets are sealed with, 32 characters at the most."""

    async def key(self, name: str) -> bytes:
        """A key of 32 bytes by name; OperatorError when there is none, UnavailableError when it cannot be asked now."""


class LineAt(Protocol):
    """The access session that held an address."""

    @property
    def line(self) -> str:
        """Name of the line."""

    @property
    def customer(self) -> str:
        """Name of the customer, empty when unknown."""

    @property
    def access_node(self) -> str:
        """Where the line ends, empty when unknown."""


class Lines(Protocol):
    """`SubscribersService.lines_at`: addresses nobody held are not in the answer."""

    async def __call__(self, addresses: Sequence[str], at_ms: int) -> Mapping[str, LineAt]:
        """Address -> the line that held it at that time."""
