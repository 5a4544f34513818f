"""SIP text as a caller and an answering party need it: every header field by name, written as given, read leniently.

`protocols.sip` reads as an observer and forgets what an observer does not need (Record-Route, Reason); an end of a call needs all of it.
It never judges: a message without the needed fields has empty ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ringfence.base.errors import PeerError

HeaderFields = tuple[tuple[str, str], ...]

_COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length", "c": "content-type"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A request (`status_code` 0) or a response; header fields in order, names in lower case."""

    method: str
    request_uri: str
    status_code: int
    phrase: str
    headers: HeaderFields
    body: bytes

    def all(self, name: str) -> tuple[str, ...]:
        """Values of a header field, in order."""
        return tuple(value for field, value in self.headers if field == name)

    def first(self, name: str) -> str:
        """The first value, or an empty text."""
        return next(iter(self.all(name)), "")

    @property
    def branch(self) -> str:
        """Branch of the topmost Via."""
        return parameter(self.first("via").split(",")[0], "branch")

    @property
    def to_tag(self) -> str:
        """Tag of To; empty in an initial request."""
        return parameter(self.first("to").rpartition(">")[2], "tag")


def read(data: bytes) -> Message:
    """Read a message; PeerError when it has no start line of SIP."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("utf-8", "replace").split("\r\n")
    start = lines[0].split(" ", 2)
    if len(start) < 3 or "SIP/2.0" not in (start[0], start[2]):
        raise PeerError("A datagram that is no SIP message.", reason="not_sip")
    headers: list[tuple[str, str]] = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            short = name.strip().lower()
            headers.append((_COMPACT.get(short, short), value.strip()))
    if start[0] == "SIP/2.0":
        cseq = next((value for name, value in headers if name == "cseq"), "")
        status_code = int(start[1]) if start[1].isdigit() else 0
        return Message(
            method=cseq.rpartition(" ")[2], request_uri="", status_code=status_code, phrase=start[2], headers=tuple(headers), body=body
        )
    return Message(method=start[0], request_uri=start[1], status_code=0, phrase="", headers=tuple(headers), body=body)


def write(start_line: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> bytes:
    """Bytes of a message; Content-Length is added."""
    lines = [start_line, *(f"{name}: {value}" for name, value in headers), f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body


def parameter(text: str, name: str) -> str:
    """A `;name=value` parameter of a header value, or an empty text."""
    for part in text.split(";")[1:]:
        key, _, value = part.partition("=")
        if key.strip().lower() == name:
            return value.strip()
    return ""


def uri_of(name_addr: str) -> str:
    """The URI inside `<...>`, or the text before its parameters."""
    _, bracket, rest = name_addr.partition("<")
    return rest.partition(">")[0] if bracket else name_addr.partition(";")[0].strip()
