"""One HTTP request of a device and the reply to it, as values, and the limits under which the front reads the one and writes the other.

What a request may be is decided here from its parts; reading bytes is `reading`'s. Never a socket, never a clock. The one thing to know:
bodies arrive here as they travelled, and `inflate` bounds what a compressed one may become before a byte of it is looked at.
"""

import zlib
from dataclasses import dataclass, field

from ringfence.base.errors import PeerError

PATH_BYTES = 256
INFLATE_FLOOR_BYTES = 64 * 1024
"""A small body may have any ratio: XML of a few tags packs well."""
INFLATE_RATIO = 50
"""Parameter lists of real devices pack 10 to 25 to one; DEFLATE's own end is 1,032 to one."""

_PHRASES = {
    200: "OK",
    204: "No Content",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    417: "Expectation Failed",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}
_GZIP = frozenset({"gzip", "x-gzip"})
_ONCE = frozenset({"authorization", "content-type", "content-encoding", "expect", "transfer-encoding"})
"""Headers that two readers could understand in two ways when they come twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one front bears. Seconds and bytes as named; a limit that is passed ends the connection and is counted by reason."""

    header_bytes: int = 16 * 1024
    headers: int = 64
    body_bytes: int = 4 * 1024 * 1024
    """As it travels with its chunks, and again as it is once inflated."""
    buffered_bytes: int = 128 * 1024 * 1024
    """Of all bodies that arrive at the same time."""
    handshake_seconds: float = 10.0
    header_seconds: float = 10.0
    body_seconds: float = 20.0
    """A body has this long, and a second more for each `body_rate` bytes that came."""
    body_rate: int = 4096
    idle_seconds: float = 30.0
    """Between two requests of a session (TR-069 asks for 30 s at least)."""
    busy_seconds: float = 30.0
    """For our own answer."""
    linger_seconds: float = 2.0
    """So long a refused peer may still read its reply before the connection is cut."""
    connections: int = 4096
    connections_per_address: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A request. Header names are in lower case; the body is inflated. `legacy` is HTTP/1.0."""

    path: str
    headers: dict[str, str]
    body: bytes
    charset: str = ""
    legacy: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer. `close` ends the connection after it."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = field(default=())
    close: bool = False


class RefusedError(PeerError):
    """A request that is answered with `status` and nothing else, and ends its connection."""

    def __init__(self, status: int, message: str, *, reason: str) -> None:
        super().__init__(message, reason=reason)
        self.status = status


def encode(reply: Reply, *, legacy: bool, close: bool) -> bytes:
    """The reply's bytes. A device of HTTP/1.0 is told when the connection stays (RFC 9112 C.2.2), one of 1.1 when it ends."""
    lines = [f"HTTP/1.1 {reply.status} {_PHRASES[reply.status]}"]
    if reply.status != 204:  # RFC 9110 8.6: a 204 has no Content-Length.
        lines.append(f"Content-Length: {len(reply.body)}")
    if reply.body:
        lines.append('Content-Type: text/xml; charset="utf-8"')
    lines += [f"{name}: {value}" for name, value in reply.headers]
    if close:
        lines.append("Connection: close")
    elif legacy:
        lines.append("Connection: keep-alive")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + reply.body


def read_headers(pairs: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Names in lower case; cookies that came apart are joined. RefusedError when a header that decides comes twice."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        if name not in headers:
            headers[name] = value
        elif name == "cookie":
            headers[name] += "; " + value
        elif name in _ONCE:
            raise RefusedError(400, f"The header {name} comes twice.", reason="header_repeated")
    return headers


def check_head(method: bytes, target: bytes, headers: dict[str, str], *, body_bytes: int) -> str:
    """The path of a request that may go on to its body. RefusedError with the status otherwise."""
    if method != b"POST":
        raise RefusedError(405, "Only POST is spoken here.", reason="method")
    if headers.get("transfer-encoding", "chunked").lower() != "chunked":
        raise RefusedError(501, "The only transfer coding is chunked.", reason="transfer_coding")
    length = headers.get("content-length", "0")
    if not length.isascii() or not length.isdigit() or len(length) > 18:
        raise RefusedError(400, "Content-Length is no number.", reason="content_length")
    if int(length) > body_bytes:
        raise RefusedError(413, f"A body has {body_bytes} bytes at the most.", reason="body_too_large")
    if headers.get("expect", "100-continue").lower() != "100-continue":
        raise RefusedError(417, "The only expectation is 100-continue.", reason="expectation")
    if headers.get("content-encoding", "identity").lower() not in {"identity", "", "deflate", *_GZIP}:
        raise RefusedError(415, "A body may be compressed with gzip or deflate.", reason="content_coding")
    return _path_of(target)


def _path_of(target: bytes) -> str:
    """Path of an origin-form or absolute-form target (RFC 9112 3.2). Which path it is does not matter, as long as it is a plain one."""
    path = target.split(b"?", 1)[0]
    if path.startswith((b"http://", b"https://")):
        path = b"/" + path.split(b"://", 1)[1].partition(b"/")[2]
    plain = path.startswith(b"/") and len(path) <= PATH_BYTES and b".." not in path and b"%" not in path and b"\\" not in path
    if not plain or not path.isascii() or any(byte <= 32 or byte == 127 for byte in path):
        raise RefusedError(404, "There is nothing at that path.", reason="path")
    return path.decode("ascii")


def charset_of(headers: dict[str, str]) -> str:
    """The charset that Content-Type names, or nothing."""
    for part in headers.get("content-type", "").split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'")[:40]
    return ""


def inflate(body: bytes, coding: str, *, limit: int) -> bytes:
    """The body behind its Content-Encoding. PeerError when it is broken or would become too large for what it weighs."""
    coding = coding.lower()
    if not body or coding in {"", "identity"}:
        return body
    if coding == "deflate" and not (body[0] & 0x0F == 8 and len(body) > 1 and int.from_bytes(body[:2]) % 31 == 0):
        unpack = zlib.decompressobj(-zlib.MAX_WBITS)  # Devices send raw DEFLATE where RFC 9110 8.4.1.2 means zlib.
    else:
        unpack = zlib.decompressobj(zlib.MAX_WBITS | (16 if coding in _GZIP else 0))
    allowed = min(limit, max(INFLATE_FLOOR_BYTES, len(body) * INFLATE_RATIO))
    try:
        plain = unpack.decompress(body, allowed + 1)
    except zlib.error as error:
        raise RefusedError(400, "The compressed body cannot be read.", reason="compressed_broken") from error
    if len(plain) > allowed:
        raise RefusedError(413, f"The body grows to more than {allowed} bytes.", reason="compression_bomb")
    if not unpack.eof or unpack.unused_data:
        raise RefusedError(400, "The compressed body is cut short or has a tail.", reason="compressed_broken")
    return plain
