"""The firmware host: images by SHA-256 on disk, served to devices that hold a signed link, with ranges, leases and a bandwidth cap.

One request a connection: devices download once. The one thing to know: no part of a request but a verified hash names a file.
`/firmware-check` answers nginx's auth_request (deploy/nginx/firmware.conf).
"""

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import BinaryIO

from ringfence.base.clock import system_clock
from ringfence.base.errors import NotFoundError, OperatorError, PeerError
from ringfence.fleet.catalogue.adapters import ImageStore
from ringfence.fleet.image_urls import ImageGrant, verify
from ringfence.fleet.images import ByteBucket, Leases, ServedLedger, Span, span_of
from ringfence.runtime.metrics import counter, gauge

CHECK_PATH = "/firmware-check"
BLOCK_BYTES = 256 * 1024
HEAD_BYTES = 8 * 1024
HEAD_SECONDS = 10.0
STALL_SECONDS = 60.0
"""A device that takes no block in this time has gone."""
MAX_CONNECTIONS = 4_096
"""Beyond it a connection is closed unheard: a lease answers sooner."""
BUSY = frozenset({"no_lease", "busy"})
"""Refusals that are nobody's fault, and so are counted and not audited."""
_PHRASES = {
    200: "OK", 204: "No Content", 206: "Partial Content", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 416: "Range Not Satisfiable", 503: "Service Unavailable",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """A request's first line and headers, names in lower case."""

    method: str
    path: str
    headers: dict[str, str]


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    """Up to the empty line. PeerError when it comes too slowly or has no end."""
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            return (await reader.readuntil(b"\r\n\r\n"))[:-4]
    except TimeoutError:
        raise PeerError("The request took too long.", reason="slow_header") from None
    except asyncio.LimitOverrunError:
        raise PeerError("The request is too long.", reason="header_too_large") from None


def _read_request(head: bytes) -> Request:
    first, *lines = head.decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or parts[2] not in {"HTTP/1.0", "HTTP/1.1"}:
        raise PeerError("This is no request of HTTP/1.", reason="bad_request")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.lower(), value.strip())
    return Request(parts[0], parts[1], headers)


_answers = counter("ringfence_acs_firmware_answers_total", "Requests to the firmware host, by how they ended.", ("how",))
_bytes = counter("ringfence_acs_firmware_bytes_total", "Bytes of firmware sent to devices.")
_leases = gauge("ringfence_acs_firmware_leases", "Downloads that run.")


class FirmwareHost:
    """A host. `refused` is told each refusal (peer address, reason) for the audit; `ledger` says what was served."""

    def __init__(
        self,
        store: ImageStore,
        key: bytes,
        *,
        bytes_per_second: float = 100_000_000.0,
        slowest: float = 200_000.0,
        refused: Callable[[str, str], None] = lambda _address, _reason: None,
        now_ms: Callable[[], int] = system_clock,
    ) -> None:
        self._store = store
        self._key = key
        self._refused = refused
        self._now_ms = now_ms
        self._bucket = ByteBucket(bytes_per_second, time.monotonic())
        self.leases = Leases(rate=bytes_per_second, slowest=slowest)
        self.ledger = ServedLedger()
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; for `asyncio.start_server`. One request each: devices download once."""
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        self._open += 1
        try:
            if self._open > MAX_CONNECTIONS:
                _answers.labels("busy").inc()
                return
            await self._answer(_read_request(await _read_head(reader)), writer, peer)
        except PeerError as refused:
            self._refuse(writer, 400, refused.reason, peer)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            _answers.labels("broken_off").inc()
        finally:
            self._open -= 1
            writer.close()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter, peer: str) -> None:
        checking = request.path == CHECK_PATH
        if request.method not in {"GET", "HEAD"}:
            self._refuse(writer, 405, "bad_method", peer)
            return
        try:
            path = request.headers.get("x-original-uri", "") if checking else request.path
            grant = verify(self._key, path, self._now_ms())
            file, size = await asyncio.to_thread(self._store.open, grant.digest)
        except PeerError as refused:
            self._refuse(writer, 403, refused.reason, peer)
            return
        except NotFoundError as missing:
            self._refuse(writer, 404, missing.reason, peer)
            return
        except OperatorError as rotted:
            self._refuse(writer, 503, rotted.reason, peer)
            return
        with file:
            if size != grant.size:
                self._refuse(writer, 403, "other_size", peer)
            elif checking:
                _answers.labels("allowed").inc()
                writer.write(_head(204, {}))
            else:
                await self._send(request, writer, grant, file, peer)
        await writer.drain()

    async def _send(self, request: Request, writer: asyncio.StreamWriter, grant: ImageGrant, file: BinaryIO, peer: str) -> None:
        tag = f'"{grant.digest}"'
        span = span_of(grant.size, request.headers.get("range", ""), request.headers.get("if-range", ""), tag)
        if span is None:
            self._refuse(writer, 416, "bad_range", peer, {"Content-Range": f"bytes */{grant.size}"})
            return
        headers = {"Content-Length": str(span.length), "Content-Type": "application/octet-stream", "ETag": tag, "Accept-Ranges": "bytes"}
        if span.partial:
            headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{grant.size}"
        if request.method == "HEAD":
            writer.write(_head(206 if span.partial else 200, headers))
            return
        wait = self.leases.take(grant.device_id, span.length)
        if wait:
            self._refuse(writer, 503, "no_lease", peer, {"Retry-After": str(wait)})
            return
        try:
            _leases.set(self.leases.open)
            writer.write(_head(206 if span.partial else 200, headers))
            await self._stream(writer, grant, file, span)
            _answers.labels("sent").inc()
        finally:
            self.leases.give_back(grant.device_id, span.length)
            _leases.set(self.leases.open)

    async def _stream(self, writer: asyncio.StreamWriter, grant: ImageGrant, file: BinaryIO, span: Span) -> None:
        loop = asyncio.get_running_loop()
        at = span.start
        while at < span.end:
            count = min(BLOCK_BYTES, span.end - at)
            wait = self._bucket.take(count, time.monotonic())
            if wait > 0:
                await asyncio.sleep(wait)
            async with asyncio.timeout(STALL_SECONDS):
                try:
                    await writer.drain()
                    await loop.sendfile(writer.transport, file, at, count)
                except NotImplementedError:  # uvloop has none.
                    file.seek(at)
                    writer.write(file.read(count))
                    await writer.drain()
            at += count
            _bytes.inc(count)
            self.ledger.sent(grant.device_id, grant.digest, grant.size, at - count, count, self._now_ms())

    def _refuse(self, writer: asyncio.StreamWriter, status: int, reason: str, peer: str, headers: dict[str, str] | None = None) -> None:
        _answers.labels(reason).inc()
        if reason not in BUSY:
            self._refused(peer, f"firmware_{reason}")
        writer.write(_head(status, {"Content-Length": "0", **(headers or {})}))


def _head(status: int, headers: dict[str, str]) -> bytes:
    stated = {"Date": formatdate(usegmt=True), "Connection": "close", "X-Content-Type-Options": "nosniff", **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in stated.items())
    return f"HTTP/1.1 {status} {_PHRASES[status]}\r\n{lines}\r\n".encode()


async def start(host: FirmwareHost, listener: socket.socket) -> asyncio.Server:
    """Serve on a listener."""
    return await asyncio.start_server(host.serve, sock=listener, limit=HEAD_BYTES)
