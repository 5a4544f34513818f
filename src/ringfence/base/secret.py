"""A value that does not print itself.

`open()` is called only in stores and adapters, at the last moment; a linter rule looks for it elsewhere.
"""

import hmac


class Secret:
    """Bytes or text that must not reach a log, an error, an export, a page or a metric."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def open(self) -> str:
        """The value itself, for the one place that hands it to a peer."""
        return self._value

    def equals(self, other: str) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(self._value.encode(), other.encode())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.equals(other._value)

    def __hash__(self) -> int:
        raise TypeError("a secret is not a key")

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")
