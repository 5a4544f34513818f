"""The STUN server of TR-069 Annex G on one UDP socket, and the connection requests that leave from its address and port.

It answers devices inside the operator's own ranges alone, with at most one address more than they sent, so it can be made to flood
nobody. The one thing to know: where a device is woken is learnt from a request that the device signed; every other request is answered and
forgotten.
"""

import asyncio
import re
import secrets
import socket
from collections import OrderedDict
from collections.abc import Callable
from typing import cast

from ringfence.base.clock import Clock
from ringfence.base.errors import OperatorError, PeerError, UnavailableError
from ringfence.fleet.service import FleetService
from ringfence.fleet.wake import RequestCredential, Target, ground_of, is_inside
from ringfence.protocols import stun
from ringfence.runtime.metrics import counter
from ringfence.runtime.settings import RECEIVE_BUFFER_BYTES, split_address

COPIES = 3
"""Of a connection request (Annex G.2.2.3)."""
PER_SECOND = 20_000
"""Datagrams that are looked at; three million devices behind NAT send that many with a binding every 150 s."""
WAITING = 10_000
"""Signed requests that wait for their password; more are answered and not learnt from."""
BATCH = 64
REMEMBERED = 500_000

_requests = counter("ringfence_acs_stun_requests_total", "Datagrams at the STUN server, by what became of them.", ("outcome",))

# `rf-<our number of the device>-<chance>`, as `fleet.waking` makes them.
_username = re.compile(r"rf-([0-9]{1,18})-[a-z2-7]{16}").fullmatch


def open_socket(address: str) -> socket.socket:
    """The bound socket; OperatorError when another process has the port."""
    host, port = split_address(address)
    opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        raise OperatorError(f"acs.wake.stun_listen {address} cannot be opened: {error.strerror}.", reason="port_taken") from None
    opened.setblocking(False)
    return opened


class StunServer(asyncio.DatagramProtocol):
    """One socket. `learn` runs beside it and writes down where signed requests came from."""

    def __init__(self, fleet: FleetService, clock: Clock, refused: Callable[[str, str], None]) -> None:
        self._fleet = fleet
        self.ground = ground_of([])
        """Whom it answers; nobody before somebody sets it."""
        self._clock = clock
        self._refused = refused
        self._transport: asyncio.DatagramTransport | None = None
        self._known: OrderedDict[str, str] = OrderedDict()
        """User name -> the address that it was learnt at."""
        self._signed: asyncio.Queue[tuple[int, str, str, bytes]] = asyncio.Queue(WAITING)
        self._second, self._count = 0, 0
        self._sent = secrets.randbelow(1 << 31)

    # Requests

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio.DatagramProtocol."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Of asyncio.DatagramProtocol."""
        _requests.labels(self._receive(data, addr[0], addr[1])).inc()

    def error_received(self, exc: Exception) -> None:  # noqa: ARG002  # The name is the base class's.
        """Of asyncio.DatagramProtocol: a device that is gone, as the network says."""
        _requests.labels("gone").inc()

    def _receive(self, data: bytes, host: str, port: int) -> str:
        second = self._clock() // 1_000
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        if self._count > PER_SECOND:
            return "crowded"
        if not is_inside(host, self.ground):
            return "foreign"
        try:
            request = stun.decode_request(data)
        except PeerError as error:
            return error.reason
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        outcome = self._learn(request, data, address)
        code = 401 if outcome == "challenged" else 0
        response = stun.BindingResponse(request.transaction, host, port, code)
        assert self._transport is not None, "a datagram came through it"
        self._transport.sendto(stun.encode_response(response, longest=len(data)), (host, port))
        return outcome

    def _learn(self, request: stun.BindingRequest, data: bytes, address: str) -> str:
        """What a request means for where its device is woken."""
        found = _username(request.username)
        if not request.connection_request or found is None:
            return "answered"
        if self._known.get(request.username) == address:
            return "answered"
        if not request.signed:
            # Annex G.2.1.2: a change of the binding may be asked to prove itself, and the device sends it again, signed.
            return "challenged" if request.binding_change else "unsigned"
        try:
            self._signed.put_nowait((int(found[1]), request.username, address, data))
        except asyncio.QueueFull:
            return "crowded"
        return "signed"

    # Learning

    async def learn(self) -> None:
        """Verify signed requests and write down where they came from, for ever."""
        while True:
            batch = [await self._signed.get()]
            while len(batch) < BATCH and not self._signed.empty():
                batch.append(self._signed.get_nowait())
            try:
                await self._verify(batch)
            except UnavailableError:
                _requests.labels("unavailable").inc()  # The device says it again.

    async def _verify(self, batch: list[tuple[int, str, str, bytes]]) -> None:
        credentials = await self._fleet.stun_credentials(sorted({device_id for device_id, *_ in batch}))
        seen: dict[int, str] = {}
        for device_id, username, address, data in batch:
            credential = credentials.get(device_id)
            if credential is None or credential.username != username or not stun.is_signed_by(data, credential.password):
                self._refused(address.rpartition(":")[0].strip("[]"), "stun_signature")
                continue
            seen[device_id] = address
            self._known[username] = address
            self._known.move_to_end(username)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        if seen:
            await self._fleet.bound(seen)
            _requests.labels("learnt").inc(len(seen))

    # Waking

    def wake(self, target: Target, credential: RequestCredential) -> bool:
        """Send a UDP connection request, three copies of it; False when the socket is closed."""
        if self._transport is None or self._transport.is_closing():
            return False
        self._sent = (self._sent + 1) & 0x7FFFFFFF
        request = stun.WakeRequest(self._clock() // 1_000, self._sent, credential.username, secrets.token_hex(8))
        datagram = stun.build_wake(request, host=target.host, port=target.port, password=credential.password)
        for _ in range(COPIES):
            self._transport.sendto(datagram, (target.host, target.port))
        return True
