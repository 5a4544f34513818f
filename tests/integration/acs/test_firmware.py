"""The firmware host over real sockets."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ringfence.apps.acs.firmware import CHECK_PATH, FirmwareHost, start
from ringfence.base.errors import OperatorError
from ringfence.fleet.catalogue.adapters import ImageStore
from ringfence.fleet.image_urls import ImageGrant, sign
from ringfence.runtime.http import open_listener

KEY = b"k" * 32
IMAGE = bytes(range(256)) * 4_000
Ask = Callable[..., Awaitable[tuple[int, dict[str, str], bytes]]]


def _store(folder: Path, data: bytes = IMAGE) -> tuple[ImageStore, str]:
    source = folder / "source.bin"
    source.write_bytes(data)
    store = ImageStore(folder / "images")
    return store, store.import_image(source)[0]


def _path(digest: str, device: int = 7, size: int = len(IMAGE), expires_s: int = 4_000_000_000) -> str:
    return sign(KEY, ImageGrant(digest=digest, device_id=device, size=size, expires_s=expires_s))


def _served(host: FirmwareHost, work: Callable[[Ask], Awaitable[None]]) -> None:
    async def main() -> None:
        server = await start(host, open_listener("127.0.0.1:0", name="firmware"))
        port = server.sockets[0].getsockname()[1]

        async def ask(path: str, *headers: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write("\r\n".join((f"{method} {path} HTTP/1.1", "Host: x", *headers, "\r\n")).encode("latin-1"))
            raw = await reader.read(-1)
            writer.close()
            head, _, body = raw.partition(b"\r\n\r\n")
            first, *lines = head.decode().split("\r\n")
            return int(first.split(" ")[1]), dict(line.split(": ", 1) for line in lines), body

        async with asyncio.timeout(60):
            await work(ask)
        server.close()

    asyncio.run(main())


def test_an_image_is_served_whole_in_parts_and_as_a_head(tmp_path: Path) -> None:
    store, digest = _store(tmp_path)
    host = FirmwareHost(store, KEY)

    async def work(ask: Ask) -> None:
        status, headers, body = await ask(_path(digest))
        assert (status, body, headers["ETag"]) == (200, IMAGE, f'"{digest}"')
        status, headers, body = await ask(_path(digest), "Range: bytes=1000-1999", f'If-Range: "{digest}"')
        assert (status, body) == (206, IMAGE[1000:2000])
        assert headers["Content-Range"] == f"bytes 1000-1999/{len(IMAGE)}"
        status, headers, body = await ask(_path(digest), method="HEAD")
        assert (status, headers["Content-Length"], body) == (200, str(len(IMAGE)), b"")
        assert (await ask(_path(digest), f"Range: bytes={len(IMAGE)}-"))[0] == 416
        progress = host.ledger.of(7)
        assert progress is not None
        assert (progress.sent, progress.last_byte) == (len(IMAGE) + 1000, len(IMAGE))
        assert host.leases.open == 0

    _served(host, work)


def test_refusals_are_told_with_their_reason(tmp_path: Path) -> None:
    store, digest = _store(tmp_path)
    told: list[str] = []
    host = FirmwareHost(store, KEY, refused=lambda _peer, reason: told.append(reason.removeprefix("firmware_")))

    async def work(ask: Ask) -> None:
        secret = tmp_path / "secret"
        secret.write_text("no", "utf-8")
        for path in ("/firmware/../secret", "/../secret", "/firmware/%2e%2e%2fsecret", f"/images/{digest}", f"/{digest}", "/", str(secret)):
            assert (await ask(path))[0] == 403
        assert (await ask(_path(digest, expires_s=1)))[0] == 403
        assert (await ask(_path(digest).replace("/7/", "/8/")))[0] == 403
        assert (await ask(_path(digest, size=5)))[0] == 403
        assert (await ask(_path("0" * 64)))[0] == 404
        assert (await ask(_path(digest), method="POST"))[0] == 405
        assert (await ask("a b"))[0] == 400

    _served(host, work)
    assert told == ["bad_link"] * 7 + ["expired_link", "bad_signature", "other_size", "no_image", "bad_method", "bad_request"]


def test_an_image_that_rots_is_not_served(tmp_path: Path) -> None:
    store, digest = _store(tmp_path)
    (tmp_path / "images" / digest).write_bytes(IMAGE[:-1] + b"!")
    told: list[tuple[str, str]] = []
    host = FirmwareHost(store, KEY, refused=lambda *refusal: told.append(refusal))

    async def work(ask: Ask) -> None:
        assert (await ask(_path(digest)))[0] == 503
        assert told == [("127.0.0.1", "firmware_image_rotted")]

    _served(host, work)


def test_an_image_that_is_not_the_named_one_is_not_imported(tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(b"x")
    store = ImageStore(tmp_path / "images")
    with pytest.raises(OperatorError, match="SHA-256"):
        store.import_image(source, hashlib.sha256(b"y").hexdigest())
    assert list((tmp_path / "images").iterdir()) == []


def test_bandwidth_is_capped_and_leases_run_out(tmp_path: Path) -> None:
    store, digest = _store(tmp_path)
    told: list[str] = []
    host = FirmwareHost(store, KEY, bytes_per_second=600_000.0, slowest=600_000.0, refused=lambda _peer, reason: told.append(reason))

    async def work(ask: Ask) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        first = asyncio.create_task(ask(_path(digest)))  # type: ignore[arg-type, var-annotated]
        while not host.leases.open:
            await asyncio.sleep(0)
        status, headers, _body = await ask(_path(digest, device=8))
        assert (status, int(headers["Retry-After"]) >= 5) == (503, True)
        assert (await first)[2] == IMAGE
        assert loop.time() - began >= (len(IMAGE) - 600_000) / 600_000 * 0.9
        assert told == [], "a host that is busy refuses nobody"

    _served(host, work)


def test_nginx_is_told_who_may_load(tmp_path: Path) -> None:
    store, digest = _store(tmp_path)

    async def work(ask: Ask) -> None:
        assert (await ask(CHECK_PATH, f"X-Original-URI: {_path(digest)}"))[0] == 204
        assert (await ask(CHECK_PATH, "X-Original-URI: /firmware/x"))[0] == 403
        assert (await ask(CHECK_PATH))[0] == 403

    _served(FirmwareHost(store, KEY), work)
