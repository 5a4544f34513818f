"""The front against real sockets: what comes slowly, without end, or too often is refused, counted and reported; the rest is answered."""

import asyncio
import contextlib
import functools
import gzip
import ipaddress
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
import uvloop

from ringfence.apps.acs.front import Caller, Front
from ringfence.apps.acs.proxy import SIGNATURE
from ringfence.apps.acs.wire import Limits, Post, Reply
from ringfence.runtime.http import open_listener

HEAD = b"POST /acs HTTP/1.1\r\nHost: acs\r\n"
HELLO = HEAD + b"Content-Length: 5\r\n\r\nhello"
PATIENCE = 20.0


def looped(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in the loop that the role runs in."""

    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        uvloop.run(test(**arguments))

    return run


class Served:
    """A front whose handler answers with what it got."""

    def __init__(self, front: Front, port: int, refusals: list[tuple[str, str]], callers: list[Caller]) -> None:
        self.front, self.port, self.refusals, self.callers = front, port, refusals, callers

    @property
    def reasons(self) -> list[str]:
        return [reason for _, reason in self.refusals]

    async def connect(self, *, context: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname="localhost" if context else None)

    async def talk(self, *pieces: bytes, context: ssl.SSLContext | None = None) -> bytes:
        """Everything that comes back until the front ends the connection."""
        reader, writer = await self.connect(context=context)
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
            answer = b""
            with contextlib.suppress(ConnectionError):
                while piece := await reader.read(65536):
                    answer += piece
        writer.close()
        return answer


@contextlib.asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None, trusted_proxy: str = "", **limits: float) -> AsyncIterator[Served]:
    refusals: list[tuple[str, str]] = []
    callers: list[Caller] = []

    async def answer(caller: Caller, post: Post) -> Reply:
        callers.append(caller)
        if post.body == b"bug":
            raise ValueError("a bug")
        return Reply(status=200, body=post.body + b"|" + post.charset.encode())

    async with asyncio.TaskGroup() as group:
        front = Front(
            answer,
            name="test",
            limits=Limits(**limits),  # type: ignore[arg-type]
            group=group,
            tls=tls,
            trusted_proxy=trusted_proxy,
            refused=lambda address, reason: refusals.append((address, reason)),
        )
        listener = open_listener("127.0.0.1:0", name="test")
        await front.start(listener)
        sweeping = group.create_task(front.sweep())
        try:
            yield Served(front, listener.getsockname()[1], refusals, callers)
        finally:
            front.stop()
            front.abort()
            sweeping.cancel()


@looped
async def test_a_connection_serves_one_request_after_the_other() -> None:
    async with serving() as served:
        reader, writer = await served.connect()
        for body in (b"one", b"two", b"three"):
            writer.write(HEAD + b"Content-Type: text/xml; charset=ISO-8859-1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert await reader.readexactly(len(body) + 11) == body + b"|ISO-8859-1"
        assert len({id(caller) for caller in served.callers}) == 1
        assert served.refusals == []
        writer.close()


@looped
async def test_chunks_gzip_and_expectation() -> None:
    packed = gzip.compress(b"hello")
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(packed[i : i + 3]), packed[i : i + 3]) for i in range(0, len(packed), 3)) + b"0\r\n\r\n"
    head = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\nContent-Encoding: x-gzip\r\nExpect: 100-continue\r\n\r\n"
    async with serving() as served:
        reader, writer = await served.connect()
        writer.write(head)
        async with asyncio.timeout(PATIENCE):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            for at in range(len(chunks)):
                writer.write(chunks[at : at + 1])
                await writer.drain()
            assert (await reader.read()).endswith(b"\r\n\r\nhello|")
        writer.close()


@looped
async def test_http_1_0_ends_its_connection_and_may_close_its_half_first() -> None:
    async with serving() as served:
        answer = await served.talk(b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi")
        assert answer.endswith(b"Connection: close\r\n\r\nhi|")
        reader, writer = await served.connect()
        writer.write(b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi")
        writer.write_eof()
        async with asyncio.timeout(PATIENCE):
            assert (await reader.read()).endswith(b"hi|")
        writer.close()


@pytest.mark.parametrize(
    ("pieces", "status", "reason"),
    [
        ((b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",), 405, "method"),
        ((b"POST /../x HTTP/1.1\r\nHost: a\r\n\r\n",), 404, "path"),
        ((b"not http\r\n\r\n",), 400, "not_http"),
        ((HEAD + b"X: ", *[b"a" * 1000] * 40), 431, "header_too_large"),
        ((HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"400\r\n" + b"a" * 1024 + b"\r\n"] * 80), 413, "body_too_large"),
        ((HEAD + b"Content-Length: 99999999\r\n\r\n",), 413, "body_too_large"),
        (
            (
                HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(gzip.compress(bytes(1 << 22))),
                gzip.compress(bytes(1 << 22)),
            ),
            413,
            "compression_bomb",
        ),
    ],
)
@looped
async def test_what_breaks_a_rule_hears_why_and_is_counted(pieces: tuple[bytes, ...], status: int, reason: str) -> None:
    async with serving(body_bytes=50_000, linger_seconds=1.0) as served:
        answer = await served.talk(*pieces)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"Connection: close" in answer
        assert served.refusals == [("127.0.0.1", reason)]
        assert served.callers == []


@pytest.mark.parametrize(
    ("begun", "reason"),
    [
        (b"POST / HTTP/1.1\r\nX: ", "slow_header"),
        (HEAD + b"Content-Length: 100\r\n\r\nhel", "slow_body"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\nh", "slow_body"),
    ],
)
@looped
async def test_who_is_slow_is_cut_however_often_a_byte_comes(begun: bytes, reason: str) -> None:
    async with serving(header_seconds=0.5, body_seconds=0.5, linger_seconds=0.2) as served:
        reader, writer = await served.connect()
        writer.write(begun)

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    await asyncio.sleep(0.05)
                    writer.write(b"a")
                    await writer.drain()

        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            dripping = group.create_task(drip())
            with contextlib.suppress(ConnectionError):
                assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
            dripping.cancel()
        assert served.reasons == [reason]
        assert not served.callers
        writer.close()


@looped
async def test_an_idle_connection_ends_without_blame() -> None:
    async with serving(header_seconds=0.3, linger_seconds=0.2) as served:
        assert await served.talk() == b""
        assert served.refusals == []


@looped
async def test_one_address_has_so_many_connections_and_no_more() -> None:
    async with serving(connections_per_address=2) as served:
        kept = [await served.connect() for _ in range(2)]
        for reader, writer in kept:
            writer.write(HELLO)
            await reader.readuntil(b"hello|")
        assert await served.talk(HELLO) == b""
        assert served.reasons == ["address_connections"]
        kept[0][1].close()
        async with asyncio.timeout(PATIENCE):
            while len(served.front.connections) > 1:
                await asyncio.sleep(0.01)
        assert b"hello|" in await served.talk(HEAD + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello")
        kept[1][1].close()


@looped
async def test_all_bodies_together_are_bounded() -> None:
    async with serving(buffered_bytes=30_000) as served:
        _, holding = await served.connect()
        holding.write(HEAD + b"Content-Length: 40000\r\n\r\n" + b"a" * 20_000)
        async with asyncio.timeout(PATIENCE):
            while served.front.buffered < 20_000:
                await asyncio.sleep(0.01)
            assert (await served.talk(HEAD + b"Content-Length: 40000\r\n\r\n" + b"a" * 20_000)).startswith(b"HTTP/1.1 503 ")
            holding.close()
            while served.front.buffered:
                await asyncio.sleep(0.01)
        assert served.reasons == ["bodies_buffered"]


@looped
async def test_a_bug_ends_its_own_connection_only() -> None:
    async with serving() as served:
        assert (await served.talk(HEAD + b"Content-Length: 3\r\n\r\nbug")).startswith(b"HTTP/1.1 500 ")
        assert b"hello|" in await served.talk(HEAD + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello")


def proxied(source: str) -> bytes:
    packed = ipaddress.ip_address(source).packed
    return SIGNATURE + b"\x21\x11\x00\x0c" + packed + packed + struct.pack("!HH", 4711, 7547)


@looped
async def test_the_stated_proxy_says_who_is_behind_it_and_nobody_else_may_connect() -> None:
    closing = HEAD + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello"
    async with serving(trusted_proxy="127.0.0.1/32") as served:
        assert b"hello|" in await served.talk(proxied("198.51.100.7"), closing)
        assert served.callers[0].address == "198.51.100.7"
        assert await served.talk(closing) == b""
        assert served.reasons == ["proxy_header"]
    async with serving(trusted_proxy="192.0.2.0/24") as served:
        assert await served.talk(proxied("198.51.100.7"), closing) == b""
        assert served.reasons == ["not_the_proxy"]


@looped
async def test_without_a_stated_proxy_its_header_is_no_request() -> None:
    async with serving() as served:
        assert (await served.talk(proxied("198.51.100.7"), HELLO)).startswith(b"HTTP/1.1 400 ")
        assert served.callers == []
