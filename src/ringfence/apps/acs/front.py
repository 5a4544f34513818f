"""The HTTP front of the ACS: connections in, one request at a time to a handler, its reply out, everything bounded by time and size.

asyncio's Protocol, because a device is judged by its connection, its certificate and its pace: servers for web applications show none
of the three. It knows no TR-069. The one thing to know: a connection has exactly one deadline at any moment, and a sweep ends those
that passed it; no stage is without one.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import cast

from ringfence.apps.acs.proxy import read_proxy_header
from ringfence.apps.acs.reading import Reading
from ringfence.apps.acs.secured import Secured
from ringfence.apps.acs.wire import Limits, Post, RefusedError, Reply, encode
from ringfence.base.clock import monotonic_seconds
from ringfence.base.errors import PeerError
from ringfence.runtime.log import get_logger
from ringfence.runtime.metrics import counter, gauge

SWEEP_SECONDS = 0.25
LINGER_BYTES = 256 * 1024
"""Of a refused request that are read and thrown away, so that the reply is not lost to a reset."""
BODY_LONGEST_SECONDS = 300.0

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_log = get_logger(__name__)
_requests = counter("ringfence_acs_requests_total", "HTTP requests answered, by status.", ("status",))
_refusals = counter("ringfence_acs_refusals_total", "Connections and requests refused, by reason.", ("reason",))
_connections = gauge("ringfence_acs_connections", "Connections that are open.")


class Stage(Enum):
    """What a connection waits for."""

    PROXY = auto()
    TLS = auto()
    HEAD = auto()
    BODY = auto()
    BUSY = auto()
    LINGER = auto()
    CLOSED = auto()


_LATE = {
    Stage.PROXY: "slow_proxy",
    Stage.TLS: "slow_handshake",
    Stage.HEAD: "slow_header",
    Stage.BODY: "slow_body",
    Stage.BUSY: "slow_answer",
    Stage.LINGER: "",
}


@dataclass(slots=True)
class Caller:
    """The other end of a connection. `session` belongs to the handler and lives as long as the connection."""

    address: str
    port: int
    tls: bool = False
    certificate_name: str = ""
    session: object | None = None


Handler = Callable[[Caller, Post], Awaitable[Reply]]
Refused = Callable[[str, str], None]
"""Called with address and reason of what was refused."""


class Front:
    """One listener. `start`, then `sweep` for as long as it lives, then `stop`."""

    def __init__(
        self,
        handler: Handler,
        *,
        name: str,
        limits: Limits,
        group: asyncio.TaskGroup,
        tls: ssl.SSLContext | None = None,
        trusted_proxy: str = "",
        refused: Refused = lambda _address, _reason: None,
        left: Callable[[Caller], None] = lambda _caller: None,
    ) -> None:
        self.handler = handler
        self.name = name
        self.limits = limits
        self.tls = tls
        self.group = group
        self.left = left
        self.proxy = ipaddress.ip_network(trusted_proxy) if trusted_proxy else None
        self.connections: set[_Connection] = set()
        self.per_address: Counter[str] = Counter()
        self.buffered = 0
        self.closing = False
        self._refused = refused
        self._server: asyncio.Server | None = None

    async def start(self, listener: socket.socket) -> None:
        """Accept on a socket that listens."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), sock=listener)

    async def sweep(self) -> None:
        """End what passed its deadline, for ever."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now = monotonic_seconds()
            for connection in [one for one in self.connections if one.deadline < now]:
                connection.late()

    def stop(self) -> None:
        """Accept nobody new; what is open goes on, and ends after its present answer."""
        self.closing = True
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.close_when_idle()

    def abort(self) -> None:
        """Cut what is still open."""
        for connection in list(self.connections):
            connection.abort()

    def refuse(self, address: str, reason: str) -> None:
        """Count and report a refusal."""
        _refusals.labels(reason).inc()
        self._refused(address, reason)


class _Connection(asyncio.Protocol):
    """One connection through its stages. Callbacks of the parser only take notes; decisions fall after each piece of data."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._limits = front.limits
        self._stage = Stage.CLOSED
        self._wait(Stage.HEAD, self._limits.header_seconds)
        self._caller = Caller("", 0)
        self._counted = ""
        self._early = bytearray()
        self._held = 0
        """Bytes of this body that count in the front's sum."""
        self._lingered = 0
        self._body_began = 0.0
        self._ending = False
        self._reading = Reading(self._limits)
        self._secured: Secured | None = None

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        front, (address, port) = self._front, transport.get_extra_info("peername")[:2]
        front.connections.add(self)
        _connections.inc()
        self._caller = Caller(address, port)
        if front.closing:
            self.abort()
        elif len(front.connections) > self._limits.connections:
            self._drop("too_many_connections")
        elif front.proxy is not None:
            if ipaddress.ip_address(address) in front.proxy:
                self._wait(Stage.PROXY, self._limits.header_seconds)
            else:
                self._drop("not_the_proxy")
        elif self._admit() and front.tls is not None:
            # After the caps on connections: an unfinished handshake counts like any other connection.
            self._wait(Stage.TLS, self._limits.handshake_seconds)
            self._secured = Secured(front.tls)

    def data_received(self, data: bytes) -> None:
        if self._secured is not None and self._stage not in {Stage.LINGER, Stage.CLOSED}:
            data = self._unsealed(self._secured, data)
            if not data:
                return
        match self._stage:
            case Stage.HEAD | Stage.BODY:
                self._feed(data)
            case Stage.PROXY:
                self._read_proxy(data)
            case Stage.BUSY:
                self._ending = True  # RFC 9112 9.3.2 lets a client pipeline; a CWMP session has one request under way (TR-069 3.4).
            case Stage.LINGER:
                self._lingered += len(data)
                if self._lingered > LINGER_BYTES:
                    self.abort()
            case _:
                pass

    def eof_received(self) -> bool:
        # A device may half-close after its request and still wants the answer (seen with HTTP/1.0).
        self._ending = True
        return self._stage is Stage.BUSY

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature.
        front = self._front
        if self in front.connections:
            front.connections.remove(self)
            _connections.dec()
            self._release()
            if self._counted:
                front.per_address[self._counted] -= 1
                if not front.per_address[self._counted]:
                    del front.per_address[self._counted]
            front.left(self._caller)
        self._stage = Stage.CLOSED

    # Deadlines and the end

    def late(self) -> None:
        """The deadline passed."""
        reason = _LATE.get(self._stage, "")
        if self._stage is Stage.HEAD and not self._reading.started:
            self._close()  # Nothing was asked: an idle connection ends, which is nobody's fault.
            self._wait(Stage.LINGER, self._limits.linger_seconds)
        elif self._stage in {Stage.HEAD, Stage.BODY}:
            self._refuse(RefusedError(408, "The request took too long.", reason=reason))
        else:
            if reason:
                self._front.refuse(self._caller.address, reason)
            self.abort()

    def abort(self) -> None:
        """Cut the connection."""
        self._wait(Stage.LINGER, self._limits.linger_seconds)
        self._transport.abort()

    def close_when_idle(self) -> None:
        """End after the present answer; a session that is under way may finish within its deadlines."""
        if self._caller.session is None:
            self._ending = True
            if self._stage is Stage.HEAD and not self._reading.started:
                self._close()

    # Inside

    def _wait(self, stage: Stage, seconds: float) -> None:
        self._stage = stage
        self.deadline = monotonic_seconds() + seconds

    def _admit(self) -> bool:
        """Count the connection to its address; whether it may stay."""
        front, network = self._front, _network_of(self._caller.address)
        if front.per_address[network] >= self._limits.connections_per_address:
            self._drop("address_connections")
            return False
        front.per_address[network] += 1
        self._counted = network
        return True

    def _drop(self, reason: str) -> None:
        """Too many: even an answer would cost too much."""
        self._front.refuse(self._caller.address, reason)
        self.abort()

    def _unsealed(self, secured: Secured, data: bytes) -> bytes:
        """The plain bytes in what came, and the handshake's own answers."""
        try:
            plain = secured.receive(data)
        except PeerError as error:
            self._transport.write(secured.pending())
            self._drop(error.reason)
            return b""
        self._transport.write(secured.pending())
        if self._stage is Stage.TLS and secured.ready:
            self._caller.tls = True
            self._caller.certificate_name = secured.certificate_name()
            self._wait(Stage.HEAD, self._limits.header_seconds)
        if secured.ended:
            self._ending = True
            if not plain and self._stage is not Stage.BUSY:
                self._close()  # The device waits for our half of the end before it lets the connection go.
        return plain

    def _write(self, data: bytes) -> None:
        self._transport.write(data if self._secured is None else self._secured.send(data))

    def _close(self) -> None:
        if self._secured is not None:
            self._transport.write(self._secured.close())
        self._transport.close()

    def _read_proxy(self, data: bytes) -> None:
        self._early += data
        try:
            found = read_proxy_header(bytes(self._early))
        except PeerError as error:
            self._drop(error.reason)
            return
        if found is None:
            return
        if not found.address:
            self._transport.close()
            return
        self._caller = Caller(found.address, found.port, found.tls, found.certificate_name)
        self._wait(Stage.HEAD, self._limits.header_seconds)
        rest, self._early = bytes(self._early[found.used :]), bytearray()
        if self._admit() and rest:
            self._feed(rest)

    def _feed(self, data: bytes) -> None:
        """Give bytes to the reading, then see where that led."""
        reading, limits = self._reading, self._limits
        if not reading.started:
            self._wait(Stage.HEAD, limits.header_seconds)
        reading.feed(data)
        if reading.refusal is not None:
            self._refuse(reading.refusal)
        elif reading.done:
            self._take()
        elif reading.whole_head:
            if self._stage is Stage.HEAD:
                self._body_began = monotonic_seconds()
                self._wait(Stage.BODY, limits.body_seconds)
                if reading.wants_continue:
                    self._write(_CONTINUE)
            self._hold(reading.body_bytes)

    def _hold(self, size: int) -> None:
        """So much of a body has come. Each piece earns time: a slow line lives, a stalled one does not."""
        limits, front = self._limits, self._front
        front.buffered += size - self._held
        self._held = size
        if front.buffered > limits.buffered_bytes:
            self._refuse(RefusedError(503, "Too many bodies at once.", reason="bodies_buffered"))
        else:
            self.deadline = self._body_began + min(limits.body_seconds + size / limits.body_rate, BODY_LONGEST_SECONDS)

    def _take(self) -> None:
        """The request is whole: its handler answers, and nothing more is read until then."""
        self._wait(Stage.BUSY, self._limits.busy_seconds)
        self._transport.pause_reading()
        self._front.group.create_task(self._answer())

    async def _answer(self) -> None:
        front = self._front
        try:
            reply = await front.handler(self._caller, self._reading.post())
        except RefusedError as error:
            self._refuse(error)
            return
        except Exception:  # noqa: BLE001  # The one broad catch: what a single device sends must not end the sessions of all others.
            _log.exception("request_failed", address=self._caller.address)
            reply = Reply(status=500, close=True)
        finally:
            self._release()
        if self._stage is Stage.BUSY:
            self._send(reply)

    def _send(self, reply: Reply) -> None:
        close = reply.close or self._ending or not self._reading.keep or (self._front.closing and self._caller.session is None)
        _requests.labels(str(reply.status)).inc()
        self._write(encode(reply, legacy=self._reading.legacy, close=close))
        if close:
            self._wait(Stage.LINGER, self._limits.linger_seconds)
            self._close()
            return
        self._reading = Reading(self._limits)
        self._wait(Stage.HEAD, self._limits.idle_seconds)
        self._transport.resume_reading()

    def _refuse(self, error: RefusedError) -> None:
        """Answer with the status alone and end. What still arrives is thrown away for a moment, so that the reply is read."""
        if self._stage in {Stage.LINGER, Stage.CLOSED}:
            return
        self._front.refuse(self._caller.address, error.reason)
        _requests.labels(str(error.status)).inc()
        self._release()
        self._reading.forget()
        headers = (("Allow", "POST"),) if error.status == 405 else ()
        self._write(encode(Reply(status=error.status, headers=headers), legacy=False, close=True))
        if self._secured is not None:
            self._transport.write(self._secured.close())
        self._wait(Stage.LINGER, self._limits.linger_seconds)
        self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _release(self) -> None:
        self._front.buffered -= self._held
        self._held = 0


def _network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 of an IPv6 one, which a single line has."""
    if ":" not in address:
        return address
    whole = int(ipaddress.IPv6Address(address.partition("%")[0]))
    return str(ipaddress.IPv6Address(whole >> 64 << 64))
