"""The firmware host: images by SHA-256 on disk, served to devices that hold a signed link, with ranges, leases and a bandwidth cap.

No part of a request but a verified hash names a file. An image is hashed when it is imported, and again before this process serves it for
the first time: a disk that rots must not reach homes. `/firmware-check` answers nginx's auth_request (deploy/nginx/firmware.conf).
"""

import asyncio
import hashlib
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import BinaryIO

from ringfence.base.clock import system_clock
from ringfence.base.errors import NotFoundError, OperatorError, PeerError
from ringfence.fleet.image_urls import PREFIX, ImageGrant, is_digest, verify
from ringfence.fleet.images import ByteBucket, Leases, ServedLedger, Span, span_of

CHECK_PATH = "/firmware-check"
BLOCK_BYTES = 256 * 1024
HEAD_BYTES = 8 * 1024
HEAD_SECONDS = 10.0
STALL_SECONDS = 60.0
"""A device that takes no block in this time has gone."""
MAX_IMAGE_BYTES = 4 * 1024 * 1024 * 1024
_PHRASES = {
    200: "OK", 204: "No Content", 206: "Partial Content", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 416: "Range Not Satisfiable", 503: "Service Unavailable",
}  # fmt: skip


class ImageStore:
    """Images in a folder, each under its SHA-256."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._checked: dict[str, tuple[int, int, int]] = {}

    def import_image(self, source: Path, expected: str = "") -> tuple[str, int]:
        """Copy an image in, whole or not at all; its hash and size. OperatorError when it is not what was expected."""
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f".import-{os.getpid()}-{time.monotonic_ns()}"
        hashed, size = hashlib.sha256(), 0
        try:
            with source.open("rb") as file, temporary.open("xb") as copy:
                while block := file.read(BLOCK_BYTES):
                    hashed.update(block)
                    size += len(block)
                    if size > MAX_IMAGE_BYTES:
                        raise OperatorError(f"{source.name} is larger than any firmware.", reason="image_too_large")
                    copy.write(block)
                copy.flush()
                os.fsync(copy.fileno())
            digest = hashed.hexdigest()
            if not size or (expected and expected.lower() != digest):
                raise OperatorError(f"{source.name} has the SHA-256 {digest}, not the one that was named.", reason="image_hash")
            temporary.replace(self._folder / digest)
        except OSError as refused:
            raise OperatorError(f"{source.name} cannot be imported: {refused.strerror}.", reason="image_unreadable") from None
        finally:
            temporary.unlink(missing_ok=True)
        return digest, size

    def open(self, digest: str) -> tuple[BinaryIO, int]:
        """An image and its size, its hash checked when this file is first seen.

        NotFoundError when it is not here, OperatorError when it rotted.
        """
        if not is_digest(digest):
            raise NotFoundError("An image is named by its SHA-256.", reason="no_image")
        try:
            file = (self._folder / digest).open("rb")
        except OSError:
            raise NotFoundError(f"No image {digest[:12]} is here; import it.", reason="no_image") from None
        state = os.fstat(file.fileno())
        seen = (state.st_ino, state.st_size, state.st_mtime_ns)
        if self._checked.get(digest) != seen:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                file.close()
                raise OperatorError(f"The image {digest[:12]} on disk is not what was imported; import it again.", reason="image_rotted")
            self._checked[digest] = seen
        return file, state.st_size


@dataclass(frozen=True, slots=True)
class Request:
    """A request's first line and headers, names in lower case."""

    method: str
    path: str
    headers: dict[str, str]


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


class FirmwareHost:
    """A host. `refused` is told each refusal (reason, peer address) for the audit; `counters` and `ledger` say what was served."""

    def __init__(
        self,
        store: ImageStore,
        key: bytes,
        *,
        bytes_per_second: float = 100_000_000.0,
        slowest: float = 200_000.0,
        refused: Callable[[str, str], None] = lambda _reason, _peer: None,
        now_ms: Callable[[], int] = system_clock,
    ) -> None:
        self._store = store
        self._key = key
        self._refused = refused
        self._now_ms = now_ms
        self._bucket = ByteBucket(bytes_per_second, time.monotonic())
        self.leases = Leases(rate=bytes_per_second, slowest=slowest)
        self.ledger = ServedLedger()
        self.counters: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; for `asyncio.start_server`. One request each: devices download once."""
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        try:
            async with asyncio.timeout(HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            await self._answer(_read_request(head[:-4]), writer, peer)
        except PeerError as refused:
            self._refuse(writer, 400, refused.reason, peer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            self.counters["broken_off"] += 1
        finally:
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
            self.counters["requests"] += 1
            writer.write(_head(206 if span.partial else 200, headers))
            await self._stream(writer, grant, file, span)
        finally:
            self.leases.give_back(grant.device_id, span.length)

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
            self.counters["bytes"] += count
            self.ledger.sent(grant.device_id, grant.digest, grant.size, at - count, count, self._now_ms())

    def _refuse(self, writer: asyncio.StreamWriter, status: int, reason: str, peer: str, headers: dict[str, str] | None = None) -> None:
        self.counters[f"refused_{reason}"] += 1
        self._refused(reason, peer)
        writer.write(_head(status, {"Content-Length": "0", **(headers or {})}))


def _head(status: int, headers: dict[str, str]) -> bytes:
    stated = {"Date": formatdate(usegmt=True), "Connection": "close", "X-Content-Type-Options": "nosniff", **headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in stated.items())
    return f"HTTP/1.1 {status} {_PHRASES[status]}\r\n{lines}\r\n".encode()


async def start(host: FirmwareHost, address: str, port: int) -> asyncio.Server:
    """Listen."""
    return await asyncio.start_server(host.serve, address, port, limit=HEAD_BYTES)


__all__ = ["PREFIX", "FirmwareHost", "ImageStore", "start"]
