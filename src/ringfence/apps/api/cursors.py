"""Where a page goes on: the key of its last entry, as one word of a query. Nobody but the API itself reads it."""

import base64
import binascii

import msgspec

from ringfence.base.errors import OperatorError

MAX_CHARS = 2_000


def cursor(*key: str | int) -> str:
    """A key as one word; its numbers are not negative."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def key_of(text: str, *first: str | int) -> tuple[str | int, ...]:
    """The key of a cursor, `first` for the empty one; its parts are of the same types. OperatorError for what is no cursor."""
    if not text:
        return first
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=list[str | int])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        found = []
    same = [type(part) for part in found] == [type(part) for part in first]
    if not same or any(isinstance(part, int) and not 0 <= part < 2**63 for part in found):
        raise OperatorError("this is not the `next` of a page; begin without it", reason="bad_cursor")
    return tuple(found)
