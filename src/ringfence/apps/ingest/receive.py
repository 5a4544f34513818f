"""Sockets of the ingest role: a thread that empties the UDP socket into a ring, and a TCP server for HEP streams.

One Kamailio sends everything from one port, so one socket gets it all and must never wait for Python's other work: the thread only moves
bytes, as many datagrams a time as are waiting, and the event loop reads them in portions. What the kernel dropped, what the ring could not
hold and what was refused at the door is counted. It decodes nothing and decides nothing about a datagram.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ringfence.apps.ingest.datagrams import MANY, SO_RXQ_OVFL, Received, reader_of
from ringfence.base.clock import Clock
from ringfence.base.errors import OperatorError, PeerError
from ringfence.protocols.hep import HepConnection, HepPacket

RING_DATAGRAMS = 131_072
"""Datagrams between socket and reader; at 20,000 a second more than six seconds. Beyond, the newest are dropped and counted."""
GATHER_SECONDS = 0.002
"""The thread lets datagrams gather this long after a call that found fewer than it can take: at 20,000 a second a wake-up brings fifty."""
MAX_CONNECTIONS = 256
CHUNK_BYTES = 65_536
IDLE_SECONDS = 600.0
"""A TCP agent that says nothing for so long is cut off; it connects again."""

_RMEM_MAX = Path("/proc/sys/net/core/rmem_max")


class Portion(NamedTuple):
    """What the socket gave at once, oldest first: payloads with their senders' addresses, and Unix milliseconds of receipt."""

    datagrams: Received
    received_ms: int


NOTHING = Portion([], 0)


def open_udp(host: str, port: int, *, buffer_bytes: int, required: bool) -> tuple[socket.socket, str]:
    """A bound UDP socket with its receive buffer, and a warning (or an empty text) when the kernel gives less than was asked.

    OperatorError when the address is taken, or when the size is `required` and the kernel does not give it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    receiver = socket.socket(family, socket.SOCK_DGRAM)
    try:
        receiver.bind((host, port))
    except OSError as error:
        receiver.close()
        raise OperatorError(
            f"HEP cannot listen on {host}:{port} ({error.strerror}); free it or set ingest.hep_listen.", reason="port_taken"
        ) from error
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    # Linux doubles the value for its own bookkeeping and reports the double (socket(7)).
    given = receiver.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    warning = ""
    if given < buffer_bytes:
        warning = (
            f"The kernel gives the HEP socket {given} of {buffer_bytes} bytes, so bursts may be lost; "
            f"run `sysctl -w net.core.rmem_max={buffer_bytes}`."
        )
        if required:
            receiver.close()
            raise OperatorError(f"{warning[:-1]}, or lower ingest.receive_buffer_bytes.", reason="receive_buffer")
    with contextlib.suppress(OSError):
        receiver.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
    return receiver, warning


class UdpReceiver:
    """The thread and its ring. `portion` is called from the event loop; `arrived` is set when there is something."""

    def __init__(self, receiver: socket.socket, clock: Clock) -> None:
        self._socket = receiver
        self._reader = reader_of(receiver)
        self._clock = clock
        self._ring: deque[Portion] = deque()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="hep-udp", daemon=True)
        self._stopping = False
        self._told = False
        self._taken = 0
        self.arrived = asyncio.Event()
        self.received = 0
        self.ring_full = 0

    @property
    def lost(self) -> int:
        """Datagrams that the kernel dropped because the buffer was full."""
        return self._reader.lost

    def start(self) -> None:
        """Start receiving."""
        self._thread.start()

    def stop(self) -> None:
        """Stop receiving and close the socket; what is in the ring stays readable."""
        self._stopping = True
        self._thread.join()
        self._socket.close()

    def portion(self) -> Portion:
        """The oldest datagrams that wait; none when there are none."""
        ring = self._ring
        if ring:
            portion = ring.popleft()
            self._taken += len(portion.datagrams)
            return portion
        self._told = False
        self.arrived.clear()
        # The thread may have put one in between the look and the clearing.
        if ring:
            self.arrived.set()
        return NOTHING

    def _run(self) -> None:
        reader = self._reader
        while not self._stopping:
            try:
                datagrams = reader.read()
            except OSError:
                return
            if not datagrams:
                continue
            self._put(datagrams)
            if len(datagrams) < MANY:
                # Each wake-up fights for the interpreter's lock, so a datagram alone is dear. Asleep, the kernel's buffer gathers them.
                time.sleep(GATHER_SECONDS)

    def _put(self, datagrams: Received) -> None:
        # Each side counts for itself, so neither needs a lock: put minus taken is what waits.
        room = RING_DATAGRAMS - (self.received - self.ring_full - self._taken)
        self.received += len(datagrams)
        if len(datagrams) > room:
            self.ring_full += len(datagrams) - room
            datagrams = datagrams[:room]
        if datagrams:
            self._ring.append(Portion(datagrams, self._clock()))
        if not self._told:
            self._told = True
            # The loop may have ended while this thread was in the kernel.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.arrived.set)


class TcpServer:
    """HEP over TCP, from known sources only. `take` gets each packet with its peer and the time."""

    def __init__(
        self,
        *,
        known: Callable[[str], bool],
        take: Callable[[HepPacket, str, int], None],
        refuse: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._known = known
        self._take = take
        self._refuse = refuse
        self._clock = clock
        self._connections = 0

    @property
    def connections(self) -> int:
        """Open connections."""
        return self._connections

    async def serve(self, host: str, port: int) -> None:
        """Listen until cancelled; OperatorError when the address is taken."""
        try:
            server = await asyncio.start_server(self._talk, host, port, limit=CHUNK_BYTES)
        except OSError as error:
            raise OperatorError(
                f"HEP cannot listen on {host}:{port}/tcp ({error.strerror}); free it or set ingest.hep_listen.", reason="port_taken"
            ) from error
        async with server:
            await server.serve_forever()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer_ip = writer.get_extra_info("peername")[0]
        try:
            if not self._known(peer_ip):
                self._refuse("unknown_agent")
                return
            if self._connections >= MAX_CONNECTIONS:
                self._refuse("too_many_connections")
                return
            self._connections += 1
            try:
                await self._listen(reader, peer_ip)
            finally:
                self._connections -= 1
        except (TimeoutError, OSError):
            self._refuse("connection_lost")
        finally:
            writer.close()

    async def _listen(self, reader: asyncio.StreamReader, peer_ip: str) -> None:
        connection = HepConnection()
        while True:
            async with asyncio.timeout(IDLE_SECONDS):
                chunk = await reader.read(CHUNK_BYTES)
            if not chunk:
                return
            try:
                connection.receive_data(chunk)
            except PeerError as error:
                self._refuse(error.reason)
                return
            if not self._read(connection, peer_ip):
                return
            # One busy agent must not keep the others waiting.
            await asyncio.sleep(0)

    def _read(self, connection: HepConnection, peer_ip: str) -> bool:
        """Take every whole packet; whether the connection still makes sense."""
        while True:
            try:
                packet = connection.next_event()
            except PeerError as error:
                self._refuse(error.reason)
                if connection.broken:
                    return False
                continue
            if packet is None:
                return True
            self._take(packet, peer_ip, self._clock())
