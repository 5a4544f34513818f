"""HTTP connection requests against devices with every habit that was seen, over real sockets."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from ringfence.apps.acs.knock import knock
from ringfence.base.errors import PeerError
from ringfence.base.secret import Secret
from ringfence.fleet.wake import Outcome, RequestCredential, Target
from ringfence.simulators.devices.behaviour import Behaviour
from ringfence.simulators.devices.models import built_in
from ringfence.simulators.devices.wake import Doorbell, WakeHabit
from ringfence.simulators.devices.world import World, WorldSettings
from tests.integration.simulators.acs import TestAcs

PASSWORD = "planted-request-password"
RIGHT = RequestCredential(username="rf-1-abc", password=Secret(PASSWORD))
WRONG = RequestCredential(username="rf-1-abc", password=Secret("another"))
DOOR = "127.0.0.9"
QUICK = Behaviour(boot_seconds=(1.0, 1.0), first_inform_seconds=(0.0, 0.0))


def cnonce() -> str:
    return "0123456789abcdef"


async def rung(habits: frozenset[WakeHabit], credential: RequestCredential | None) -> tuple[Outcome, World, TestAcs]:
    async with TestAcs() as acs:
        world = World(WorldSettings(acs=acs.url, devices=1, models=(built_in()[1],), behaviour=QUICK, scale=100.0))
        device = world.devices[0]
        doorbell = Doorbell(device, DOOR, habits, elsewhere=acs.url)
        try:
            world.start_all()
            assert await world.wait(lambda world: world.counters["sessions_done"] >= 1)
            for part, value in (("Username", RIGHT.username), ("Password", PASSWORD)):
                device.tree.put(f"{device.tree.model.root}ManagementServer.ConnectionRequest{part}", value)
            host, _, path = (await doorbell.open()).removeprefix("http://").partition("/")
            target = Target(host=DOOR, port=int(host.partition(":")[2]), path=f"/{path}")
            outcome = await knock(target, credential, cnonce=cnonce, seconds=1.0 if WakeHabit.SILENT in habits else 30.0)
            if outcome is Outcome.SENT:
                assert await world.wait(lambda world: world.counters["sessions_done"] >= 2)
        finally:
            await doorbell.close()
            await world.close()
        return outcome, world, acs


@pytest.mark.parametrize(
    ("habits", "credential", "outcome", "connections"),
    [
        ((), RIGHT, Outcome.SENT, 1),
        ((WakeHabit.NO_QOP,), RIGHT, Outcome.SENT, 1),
        ((WakeHabit.CLOSES,), RIGHT, Outcome.SENT, 2),
        ((WakeHabit.DROPS_FIRST,), RIGHT, Outcome.SENT, 2),
        ((WakeHabit.SESSION_FIRST,), RIGHT, Outcome.SENT, 1),
        ((WakeHabit.SILENT,), RIGHT, Outcome.SENT, 1),
        ((WakeHabit.OPEN,), None, Outcome.SENT, 1),
        ((), WRONG, Outcome.WRONG_CREDENTIAL, 1),
        ((), None, Outcome.NO_CREDENTIAL, 1),
        ((WakeHabit.BUSY,), RIGHT, Outcome.BUSY, 1),
        ((WakeHabit.REDIRECTS,), RIGHT, Outcome.ODD, 1),
    ],
)
def test_habits(habits: tuple[WakeHabit, ...], credential: RequestCredential | None, outcome: Outcome, connections: int) -> None:
    found, world, acs = asyncio.run(asyncio.wait_for(rung(frozenset(habits), credential), 60))
    assert found is outcome
    assert world.counters["wake_connections"] == connections
    woken = [inform for inform in acs.informs if any(event.event_code == "6 CONNECTION REQUEST" for event in inform.events)]
    assert len(woken) == (1 if outcome is Outcome.SENT else 0)
    assert not any("GET" in head for head in acs.heads), "no redirect is followed"


@contextlib.asynccontextmanager
async def peer(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[Target]:
    ended = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.transport.abort()
        ended.set()

    async with await asyncio.start_server(handle, DOOR, 0) as server:
        yield Target(host=DOOR, port=server.sockets[0].getsockname()[1], path="/x")
        await ended.wait()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 2",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 3_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100 + b"\r\n",
        b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
        b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n',
        b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="x", nonce="a\nb"\r\nContent-Length: 0\r\n\r\n',
        b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="x", nonce="y", algorithm=ROT13\r\n\r\n',
        b"HTTP/1.1 500 Oops\r\nContent-Length: 99999999999999999999\r\n\r\n",
    ],
)
def test_odd_answers_are_odd_and_never_get_the_password(answer: bytes) -> None:
    heard = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        if answer.endswith(b" 2"):
            return
        heard.extend(await reader.read())

    async def main() -> Outcome:
        async with peer(serve) as target:
            return await knock(target, RIGHT, cnonce=cnonce, seconds=30.0)

    assert asyncio.run(main()) is Outcome.ODD
    assert PASSWORD.encode() not in heard
    assert b"Authorization" not in heard


def test_an_endless_body_is_not_read() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"ffff\r\n" + bytes(0xFFFF) + b"\r\n")
            await writer.drain()

    async def main() -> Outcome:
        async with peer(serve) as target:
            return await asyncio.wait_for(knock(target, RIGHT, cnonce=cnonce), 30)

    assert asyncio.run(main()) is Outcome.SENT


def test_nobody_there() -> None:
    async def main() -> Outcome:
        with socket.socket() as kept:
            kept.bind((DOOR, 0))
            return await knock(Target(host=DOOR, port=kept.getsockname()[1], path="/"), RIGHT, cnonce=cnonce)

    assert asyncio.run(main()) is Outcome.UNREACHABLE


def test_an_address_of_this_machine_is_noticed_before_anything_is_sent() -> None:
    heard = bytearray()

    async def main() -> None:
        ended = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                heard.extend(await reader.read())
            writer.transport.abort()
            ended.set()

        async with await asyncio.start_server(serve, "::1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(PeerError) as refused:
                await knock(Target(host="::1", port=port, path="/"), RIGHT, cnonce=cnonce)
            assert refused.value.reason == "host_ours"
            await ended.wait()

    asyncio.run(main())
    assert not heard
