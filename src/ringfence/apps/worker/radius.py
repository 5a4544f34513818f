"""RADIUS accounting over UDP: receive, check the secret, gather, commit, and only then answer.

The answer makes the NAS forget its record, so nothing is answered that is not in the database: with PostgreSQL away, or with more waiting
than fits, the NAS hears nothing and sends again. The one thing to know: each worker listens, also one that stands by for the lease, because
the same report twice changes nothing.
"""

import asyncio
import socket
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Protocol, cast

from ringfence.access.service import AccessService
from ringfence.base.clock import Clock
from ringfence.base.errors import ConflictError, OperatorError, PeerError, UnavailableError
from ringfence.base.secret import Secret
from ringfence.protocols.radius import AccountingRequest, decode_request, encode_response
from ringfence.runtime.keys import read_key
from ringfence.runtime.log import get_logger
from ringfence.runtime.metrics import counter, gauge
from ringfence.runtime.settings import Radius, split_address
from ringfence.runtime.status import StatusBoard
from ringfence.subscribers.sessions.accounting import LineFrom, report_of
from ringfence.subscribers.sessions.addresses import address_of
from ringfence.subscribers.sessions.model import SessionReport

MOST_WAITING = 20_000
"""Requests that wait for the database, some seconds' worth. Beyond, the oldest goes: its NAS has given up on it first."""
BATCH = 512
GATHER_SECONDS = 0.005
"""For others to come along, when a batch would be small."""
AWAY_SECONDS = 0.5
MAX_KNOWN_SOURCES = 4_096
AUDIT_SECONDS = 30.0
MOST_AUDITED = 100
"""Pairs of reason and address that one turn writes; what is beyond counts under the address `others`."""

Sender = tuple[str, int]

_log = get_logger(__name__)
_requests = counter("ringfence_worker_radius_requests_total", "RADIUS accounting packets, by what became of them.", ("result",))
_waiting = gauge("ringfence_worker_radius_waiting", "RADIUS accounting requests that wait for the database.")


class Recorder(Protocol):
    """What keeps the reports: `AccessSessions.record`."""

    async def __call__(self, reports: Sequence[SessionReport]) -> int:
        """Keep them, all or none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who may send, and what it signs with."""

    name: str
    sources: tuple[IPv4Network | IPv6Network, ...]
    secret: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    """A request that was understood and is not committed yet."""

    request: AccountingRequest
    report: SessionReport
    secret: Secret


class Refusals:
    """Counts what was dropped, and writes it to the audit chain from time to time, however often it happened."""

    def __init__(self, access: AccessService) -> None:
        self._access = access
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, address: str, reason: str) -> None:
        """Something was dropped."""
        key = (reason, address)
        if key not in self._counts and len(self._counts) >= MOST_AUDITED:
            key = (reason, "others")
        self._counts[key] += 1

    async def run(self) -> None:
        """Write, for ever."""
        while True:
            await asyncio.sleep(AUDIT_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what was counted; while PostgreSQL is away it waits."""
        counts, self._counts = self._counts, Counter()
        for (reason, address), count in counts.items():
            try:
                await self._access.audit("role:worker", "radius.refused", address, {"reason": reason, "count": count})
            except UnavailableError:
                self._counts[reason, address] += count


class RadiusListener(asyncio.DatagramProtocol):
    """The socket's protocol and the batches behind it."""

    def __init__(self, clients: Sequence[Client], line_from: LineFrom, record: Recorder, refusals: Refusals, clock: Clock) -> None:
        self._clients = clients
        self._line_from = line_from
        self._record = record
        self._refusals = refusals
        self._clock = clock
        self._known: dict[str, Client | None] = {}
        self._queue: OrderedDict[tuple[Sender, bytes], _Waiting] = OrderedDict()
        self._arrived = asyncio.Event()
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def waiting(self) -> int:
        """Requests that are not committed yet."""
        return len(self._queue)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        # uvloop's transports have the methods and not the class.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Sender) -> None:
        """One packet. What is not from a client, or not signed by it, gets no answer, so nobody learns that something listens."""
        addr = (addr[0], addr[1])
        client = self._client(addr[0])
        if client is None:
            self._refuse(addr[0], "unknown_client")
            return
        try:
            request = decode_request(data, client.secret)
            report = report_of(request, client=client.name, source=addr[0], received_ms=self._clock(), line_from=self._line_from)
        except PeerError as error:
            self._refuse(addr[0], error.reason)
            return
        if report is None:
            self._answer(request, client.secret, addr)
            _requests.labels("not_about_sessions").inc()
            return
        key = (addr, request.authenticator)
        if key in self._queue:
            _requests.labels("repeated").inc()
            return
        if len(self._queue) >= MOST_WAITING:
            self._queue.popitem(last=False)
            _requests.labels("overload").inc()
        self._queue[key] = _Waiting(request=request, report=report, secret=client.secret)
        self._arrived.set()

    async def run(self, board: StatusBoard) -> None:
        """Commit and answer, batch after batch, for ever."""
        while True:
            await self._arrived.wait()
            if len(self._queue) < BATCH:
                await asyncio.sleep(GATHER_SECONDS)
            try:
                await self.turn()
                board.settled("radius")
            except (UnavailableError, ConflictError) as error:
                board.trouble("radius", f"RADIUS accounting is not answered, so its senders repeat it: {error}")
                await asyncio.sleep(AWAY_SECONDS)
            board.figures["radius_waiting"] = len(self._queue)
            _waiting.set(len(self._queue))

    async def turn(self) -> int:
        """One batch: commit, then answer; how many. Without a commit nothing is answered, and what was to be is forgotten."""
        batch = [self._queue.popitem(last=False) for _ in range(min(BATCH, len(self._queue)))]
        if not self._queue:
            self._arrived.clear()
        try:
            await self._record([waiting.report for _, waiting in batch])
        except (UnavailableError, ConflictError):
            _requests.labels("not_committed").inc(len(batch))
            raise
        for (sender, _), waiting in batch:
            self._answer(waiting.request, waiting.secret, sender)
        _requests.labels("answered").inc(len(batch))
        return len(batch)

    def _client(self, address: str) -> Client | None:
        if address in self._known:
            return self._known[address]
        if len(self._known) >= MAX_KNOWN_SOURCES:
            self._known.clear()
        found = client_of(self._clients, address_of(address))
        self._known[address] = found
        return found

    def _answer(self, request: AccountingRequest, secret: Secret, sender: Sender) -> None:
        assert self._transport is not None, "nothing arrives before the socket is there"
        if not self._transport.is_closing():
            self._transport.sendto(encode_response(request, secret), sender)

    def _refuse(self, address: str, reason: str) -> None:
        _requests.labels(reason).inc()
        self._refusals.add(address, reason)


def client_of(clients: Sequence[Client], address: IPv4Address | IPv6Address) -> Client | None:
    """The client whose narrowest network holds an address."""
    found = [(source.prefixlen, client) for client in clients for source in client.sources if address in source]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def clients_of(settings: Radius) -> tuple[Client, ...]:
    """The clients with their secrets. OperatorError when a file is missing or can be read by others."""
    return tuple(
        Client(
            name=client.name,
            sources=tuple(ip_network(source) for source in client.sources),
            secret=read_key(client.secret_file),
        )
        for client in settings.clients
    )


def open_socket(settings: Radius) -> socket.socket:
    """The bound socket with its buffer. OperatorError when the address is taken."""
    assert settings.listen, "it is asked for when it is set"
    host, port = split_address(settings.listen)
    receiver = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    receiver.setblocking(False)
    try:
        receiver.bind((host, port))
    except OSError as error:
        receiver.close()
        raise OperatorError(
            f"RADIUS cannot listen on {host}:{port} ({error.strerror}); free it or set sessions.radius.listen.", reason="port_taken"
        ) from error
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, settings.receive_buffer_bytes)
    # Linux doubles the value for its own bookkeeping and reports the double (socket(7)).
    given = receiver.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    if given < settings.receive_buffer_bytes:
        _log.warning("small_receive_buffer", given=given, wanted=settings.receive_buffer_bytes, cure="sysctl -w net.core.rmem_max")
    return receiver


async def serve_radius(listener: RadiusListener, receiver: socket.socket, refusals: Refusals, board: StatusBoard) -> None:
    """Listen until cancelled."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: listener, sock=receiver)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(listener.run(board))
            group.create_task(refusals.run())
    finally:
        transport.close()
