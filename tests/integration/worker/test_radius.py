"""RADIUS accounting over real UDP: nothing is answered that is not committed, and nobody is answered who has not the secret."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import msgspec
import psycopg
import pytest
import uvloop

from ringfence.access.service import AccessService
from ringfence.apps.worker import radius
from ringfence.apps.worker.radius import Client, RadiusListener, Recorder, Refusals, client_of, open_socket, serve_radius
from ringfence.base.clock import system_clock
from ringfence.base.errors import OperatorError, UnavailableError
from ringfence.base.secret import Secret
from ringfence.protocols.radius import AccountingRequest, AcctStatus, check_response, encode_request
from ringfence.runtime.db import Database
from ringfence.runtime.settings import Radius, RadiusClient
from ringfence.runtime.status import StatusBoard
from ringfence.subscribers.sessions.accounting import LineFrom
from ringfence.subscribers.sessions.addresses import address_of
from ringfence.subscribers.sessions.model import SessionReport
from ringfence.subscribers.sessions.service import AccessSessions

SECRET = Secret("a secret of the test")
CLIENTS = (
    Client(name="core", sources=(ip_network("127.0.0.0/30"),), secret=SECRET),
    Client(name="edge", sources=(ip_network("127.0.0.2/32"),), secret=Secret("another")),
)
PATIENCE = 30.0
START = AccountingRequest(
    identifier=1, status=AcctStatus.START, session_id="s1", nas_identifier="bng-1", framed_ip_address="192.0.2.10",
    delegated_ipv6_prefixes=("2001:db8:3::/56",), circuit_id="DSLAM-17 atm 1/1/03:1.32", proxy_states=(b"p1", b"p2"),
)  # fmt: skip


class Nas(asyncio.DatagramProtocol):
    """A client's socket: what came back."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002  # asyncio names the arguments.
        self.answers.put_nowait(data)


class Worker:
    """The listener under test."""

    def __init__(self, listener: RadiusListener, sessions: AccessSessions, refusals: Refusals, board: StatusBoard, port: int) -> None:
        self.listener, self.sessions, self.refusals, self.board, self.port = listener, sessions, refusals, board, port

    @contextlib.asynccontextmanager
    async def nas(self, address: str = "127.0.0.1") -> AsyncIterator[tuple[asyncio.DatagramTransport, Nas]]:
        transport, nas = await asyncio.get_running_loop().create_datagram_endpoint(
            Nas, local_addr=(address, 0), remote_addr=("127.0.0.1", self.port)
        )
        try:
            yield transport, nas
        finally:
            transport.close()


async def answer_to(nas: Nas, packet: bytes) -> int:
    async with asyncio.timeout(PATIENCE):
        return check_response(await nas.answers.get(), packet, SECRET)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


def run(url: str, body: Callable[[Worker], Awaitable[None]], around: Callable[[Recorder], Recorder] = lambda record: record) -> None:
    async def main() -> None:
        async with Database(url, name="test") as db, asyncio.TaskGroup() as group:
            sessions, board = AccessSessions(db), StatusBoard("worker", "i")
            refusals = Refusals(AccessService(db))
            listener = RadiusListener(CLIENTS, LineFrom.CIRCUIT_ID, around(sessions.record), refusals, system_clock)
            receiver = open_socket(Radius(listen="127.0.0.1:0", clients=(RadiusClient(name="x", sources=(), secret_file="x"),)))  # type: ignore[arg-type]
            serving = group.create_task(serve_radius(listener, receiver, refusals, board))
            try:
                await body(Worker(listener, sessions, refusals, board, receiver.getsockname()[1]))
            finally:
                serving.cancel()

    uvloop.run(main())


def test_a_session_is_answered_and_known(database_url: str) -> None:
    async def body(worker: Worker) -> None:
        async with worker.nas() as (wire, nas):
            packet = encode_request(START, SECRET)
            wire.sendto(packet)
            assert await answer_to(nas, packet) == 1
            found = await worker.sessions.lines_at(["192.0.2.10", "2001:db8:3:1::1"], system_clock())
            assert {session.line for session in found.values()} == {"DSLAM-17 atm 1/1/03:1.32"}
            assert {(session.nas, session.access_node) for session in found.values()} == {("core/bng-1", "DSLAM-17")}
            wire.sendto(packet)
            assert await answer_to(nas, packet) == 1, "who did not hear the answer hears it again"
            restart = encode_request(AccountingRequest(identifier=2, status=AcctStatus.ACCOUNTING_ON, nas_identifier="bng-1"), SECRET)
            wire.sendto(restart)
            assert await answer_to(nas, restart) == 2
            assert await worker.sessions.lines_at(["192.0.2.10"], system_clock() + 1) == {}
            tunnel = encode_request(AccountingRequest(identifier=3, status=9), SECRET)
            wire.sendto(tunnel)
            assert await answer_to(nas, tunnel) == 3, "what says nothing of sessions is answered, or it would come for ever"

    run(database_url, body)


def test_strangers_and_forgers_are_dropped_and_audited(database_url: str) -> None:
    async def body(worker: Worker) -> None:
        good = encode_request(START, SECRET)
        async with worker.nas("127.0.0.2") as (wrong, wrong_nas), worker.nas("127.0.0.9") as (stranger, stranger_nas):
            wrong.sendto(good)  # Of a client that has another secret.
            stranger.sendto(good)
            async with worker.nas() as (wire, nas):
                for packet in (b"x", b"x" * 5000, encode_request(replace(START, session_id=""), SECRET), good[:-1] + b"\0"):
                    wire.sendto(packet)
                wire.sendto(good)
                await answer_to(nas, good)
                assert nas.answers.empty()
            assert wrong_nas.answers.empty()
            assert stranger_nas.answers.empty()
        await worker.refusals.flush()

    run(database_url, body)
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("select subject, detail from access.audit where action = 'radius.refused'").fetchall()
    details = sorted(
        (subject, *sorted((detail if isinstance(detail, dict) else msgspec.json.decode(detail)).items())) for subject, detail in rows
    )
    assert details == [
        ("127.0.0.1", ("count", 1), ("reason", "no_session_id")),
        ("127.0.0.1", ("count", 1), ("reason", "radius_authenticator")),
        ("127.0.0.1", ("count", 2), ("reason", "radius_length")),
        ("127.0.0.2", ("count", 1), ("reason", "radius_authenticator")),
        ("127.0.0.9", ("count", 1), ("reason", "unknown_client")),
    ]


def test_without_the_database_nothing_is_answered_until_it_is_sent_again(database_url: str) -> None:
    away = True
    failed = 0

    def gate(record: Recorder) -> Recorder:
        async def guarded(reports: Sequence[SessionReport]) -> int:
            nonlocal failed
            if away:
                failed += 1
                raise UnavailableError("PostgreSQL cannot be reached.", reason="database_down")
            return await record(reports)

        return guarded

    async def body(worker: Worker) -> None:
        nonlocal away
        async with worker.nas() as (wire, nas):
            packet = encode_request(START, SECRET)
            wire.sendto(packet)
            await until(lambda: failed > 0)
            await until(lambda: not worker.board.status(0).healthy)
            assert nas.answers.empty()
            away = False
            wire.sendto(packet)
            assert await answer_to(nas, packet) == 1
            await until(lambda: worker.board.status(0).healthy)

    run(database_url, body, gate)


def test_nothing_is_answered_before_it_is_committed_and_the_oldest_goes_when_too_many_wait(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(radius, "MOST_WAITING", 4)
    gate = asyncio.Event()
    begun = 0

    def held(record: Recorder) -> Recorder:
        async def waiting(reports: Sequence[SessionReport]) -> int:
            nonlocal begun
            begun += 1
            await gate.wait()
            return await record(reports)

        return waiting

    async def body(worker: Worker) -> None:
        packets = [encode_request(replace(START, identifier=number, session_id=f"s{number}"), SECRET) for number in range(7)]
        async with worker.nas() as (wire, nas):
            wire.sendto(packets[0])
            await until(lambda: begun == 1)
            for packet in packets[1:]:
                wire.sendto(packet)
                wire.sendto(packet)  # A repetition waits once.
            await until(lambda: any(waiting.request.identifier == 6 for waiting in worker.listener._queue.values()))
            assert worker.listener.waiting == 4
            assert nas.answers.empty()
            gate.set()
            async with asyncio.timeout(PATIENCE):
                answered = [(await nas.answers.get())[1] for _ in range(5)]
            assert answered == [0, 3, 4, 5, 6], "1 and 2 had waited longest"

    run(database_url, body, held)


def test_a_client_is_the_one_with_the_narrowest_network() -> None:
    assert [client and client.name for text in ("127.0.0.1", "::ffff:127.0.0.2", "127.0.0.4", "::1")
            for client in [client_of(CLIENTS, address_of(text))]] == ["core", "edge", None, None]  # fmt: skip


def test_a_taken_port_is_one_sentence() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        taken = Radius(listen=f"127.0.0.1:{other.getsockname()[1]}", clients=(RadiusClient(name="x", sources=(), secret_file="x"),))  # type: ignore[arg-type]
        with pytest.raises(OperatorError, match=r"set sessions\.radius\.listen"):
            open_socket(taken)
