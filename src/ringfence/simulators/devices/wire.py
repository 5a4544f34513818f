"""HTTP/1.1 of a device: lean enough for ten thousands in one process, and strict about nothing.

`HttpConnection` posts bodies and reads answers over one TCP connection, which is a session's life; `fetch` streams a file with byte
ranges. Bounds: heads of 16 KB, answers of 8 MB. A peer that breaks the protocol is a `PeerError`, one that is not there an
`UnavailableError`.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast
from urllib.parse import SplitResult, urlsplit

from ringfence.base.errors import OperatorError, PeerError, UnavailableError

HEAD_BYTES = 16 * 1024
BODY_BYTES = 8 * 1024 * 1024
READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. Header names in lower case; of repeated ones, cookies are joined with line feeds and others with commas."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def closes(self) -> bool:
        """Whether the connection ends with this answer."""
        return "close" in self.headers.get("connection", "").lower()


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads."""

    host: str
    port: int
    path: str
    secure: bool

    @property
    def authority(self) -> str:
        """The Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def target_of(url: str) -> Target:
    """OperatorError when the URL is no http or https one."""
    try:
        parts: SplitResult = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = SplitResult("", "", "", "", ""), None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise OperatorError(f"{url[:60]!r} is no URL such as http://127.0.0.1:7547/.", reason="bad_url")
    secure = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.hostname, port or (443 if secure else 80), path, secure)


class HttpConnection(asyncio.Protocol):
    """One connection. `post` writes a request and returns its answer; one at a time."""

    __slots__ = ("_buffer", "_lost", "_transport", "_waiter")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Reply] | None = None
        self._lost = False

    async def post(self, head: bytes, body: bytes) -> Reply:
        """Send; UnavailableError when the connection is lost before the answer is whole."""
        if self._transport is None or self._lost:
            raise UnavailableError("The connection was closed.", reason="connection_lost")
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(head + body)
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def close(self) -> None:
        """Without waiting for the other side."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Of asyncio.Protocol."""
        self._buffer += data
        if self._waiter is None or self._waiter.done():
            return
        try:
            reply = take_reply(self._buffer, ended=False)
        except PeerError as refused:
            self._waiter.set_exception(refused)
            return
        if reply is not None:
            self._waiter.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the name is the base class's
        """Of asyncio.Protocol."""
        self._lost = True
        if self._waiter is None or self._waiter.done():
            return
        try:
            reply = take_reply(self._buffer, ended=True)
        except PeerError:
            reply = None
        if reply is not None:
            self._waiter.set_result(reply)
        else:
            self._waiter.set_exception(UnavailableError("The connection was lost.", reason="connection_lost"))


def take_reply(buffer: bytearray, *, ended: bool) -> Reply | None:
    """Take one whole answer off the buffer, or None. Answers of 1xx are passed over."""
    while True:
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(buffer) > HEAD_BYTES:
                raise PeerError("The head of an answer is too long.", reason="http_head")
            return None
        status, headers = read_head(bytes(buffer[:end]))
        if status >= 200:
            break
        del buffer[: end + 4]
    taken = _body(buffer, end + 4, status, headers, ended=ended)
    if taken is None:
        return None
    body, after = taken
    del buffer[:after]
    return Reply(status, headers, body)


def read_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and headers."""
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
        raise PeerError("What came is no answer of HTTP/1.", reason="http_status")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        key = name.strip().lower()
        joint = "\n" if key in {"set-cookie", "www-authenticate"} else ","
        headers[key] = f"{headers[key]}{joint}{value.strip()}" if key in headers else value.strip()
    return int(parts[1]), headers


def _body(buffer: bytearray, start: int, status: int, headers: dict[str, str], *, ended: bool) -> tuple[bytes, int] | None:
    if status in {204, 304}:
        return b"", start
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return _chunks(buffer, start)
    length = headers.get("content-length")
    if length is None:
        return (bytes(buffer[start:]), len(buffer)) if ended else None
    if not length.isdigit() or int(length) > BODY_BYTES:
        raise PeerError("The length of an answer cannot be read, or is too large.", reason="http_length")
    after = start + int(length)
    return (bytes(buffer[start:after]), after) if len(buffer) >= after else None


def _chunks(buffer: bytearray, at: int) -> tuple[bytes, int] | None:
    parts: list[bytes] = []
    while True:
        end = buffer.find(b"\r\n", at)
        if end < 0:
            return None
        try:
            size = int(bytes(buffer[at:end]).partition(b";")[0], 16)
        except ValueError:
            raise PeerError("The size of a chunk cannot be read.", reason="http_chunk") from None
        if not 0 <= size <= BODY_BYTES - sum(map(len, parts)):
            raise PeerError("An answer is too large.", reason="http_length")
        if size == 0:
            last = buffer.find(b"\r\n\r\n", end)  # Trailers, if any, end like a head.
            return None if last < 0 else (b"".join(parts), last + 4)
        at = end + 2 + size + 2
        if len(buffer) < at:
            return None
        parts.append(bytes(buffer[end + 2 : at - 2]))


async def connect(target: Target, tls: ssl.SSLContext | None, source: str = "") -> HttpConnection:
    """A new connection, from an address of our own if one is named. UnavailableError when nobody answers."""
    loop = asyncio.get_running_loop()
    context = (tls or ssl.create_default_context()) if target.secure else None
    local = (source, 0) if source else None
    try:
        _transport, protocol = await loop.create_connection(HttpConnection, target.host, target.port, ssl=context, local_addr=local)
    except ssl.SSLError as refused:
        raise PeerError(f"TLS failed: {refused.reason}.", reason="tls") from None
    except OSError as refused:
        raise UnavailableError(f"{target.authority} does not answer: {refused.strerror}.", reason="no_connection") from None
    return protocol


async def put(url: str, data: bytes, tls: ssl.SSLContext | None, authorization: str = "") -> None:
    """Send a file. PeerError when the server refuses, UnavailableError when it is not there or breaks off."""
    target = target_of(url)
    login = f"Authorization: {authorization}\r\n" if authorization else ""
    connection = await connect(target, tls)
    try:
        head = f"PUT {target.path} HTTP/1.1\r\nHost: {target.authority}\r\n{login}Content-Length: {len(data)}\r\n\r\n"
        reply = await connection.post(head.encode("latin-1"), data)
    finally:
        connection.close()
    if not 200 <= reply.status < 300:
        raise PeerError(f"The file host answered {reply.status}.", reason=f"http_{reply.status}")


async def fetch(url: str, offset: int, tls: ssl.SSLContext | None, authorization: str = "") -> AsyncIterator[bytes]:
    """The bytes of a file from an offset on.

    PeerError when the server refuses (reason `http_404` and so on), UnavailableError when it breaks off.
    """
    target = target_of(url)
    context = (tls or ssl.create_default_context()) if target.secure else None
    try:
        reader, writer = await asyncio.open_connection(target.host, target.port, ssl=context)
    except OSError:
        raise UnavailableError(f"{target.authority} does not answer.", reason="no_connection") from None
    ranged = f"Range: bytes={offset}-\r\n" if offset else ""
    login = f"Authorization: {authorization}\r\n" if authorization else ""
    try:
        writer.write(
            f"GET {target.path} HTTP/1.1\r\nHost: {target.authority}\r\n{ranged}{login}Connection: close\r\n\r\n".encode("latin-1")
        )
        status, headers = read_head((await reader.readuntil(b"\r\n\r\n"))[:-4])
        if status not in {200, 206}:
            raise PeerError(f"The file host answered {status}.", reason=f"http_{status}")
        skip = offset if status == 200 else 0
        left = int(headers["content-length"]) if headers.get("content-length", "").isdigit() else None
        while left != 0:
            data = await reader.read(READ_BYTES)
            if not data:
                if left is None:
                    return
                raise UnavailableError("The file host broke off.", reason="connection_lost")
            left = None if left is None else max(0, left - len(data))
            wanted, skip = data[skip:], max(0, skip - len(data))
            if wanted:
                yield wanted
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise UnavailableError("The file host broke off.", reason="connection_lost") from None
    finally:
        writer.close()
