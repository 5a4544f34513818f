"""A device's ears for connection requests: HTTP with Digest or without (TR-069 3.2.2), and UDP through STUN (Annex G).

A `Doorbell` belongs to one device, writes its addresses into the device's tree, and calls the device when it is rung rightly. Habits of
real devices are options. The one thing to know: what it hears never ends it; a wrong ring is counted in the world, and answered or not as
devices do.
"""

import asyncio
import hashlib
from enum import StrEnum
from typing import cast

from ringfence.base.errors import PeerError
from ringfence.base.secret import Secret
from ringfence.protocols import digest, stun
from ringfence.simulators.devices.device import CONNECTION_REQUEST, Device

REALM = "device"
HEAD_BYTES = 8 * 1024
PATIENCE_SECONDS = 10.0


class WakeHabit(StrEnum):
    """How devices answer a connection request."""

    OPEN = "open"
    """No Digest is asked for."""
    NO_QOP = "no-qop"
    """The challenge offers none (RFC 2069)."""
    DROPS_FIRST = "drops-first"
    """The first connection ends without a byte."""
    CLOSES = "closes"
    """Every answer ends its connection."""
    SILENT = "silent"
    """Never answers, as AVM; who knows the secret path wakes it."""
    SESSION_FIRST = "session-first"
    """The session begins before the answer."""
    BUSY = "busy"
    """Always in a session: 503."""
    REDIRECTS = "redirects"
    """Sends whoever rings to another place."""


class Doorbell:
    """One device's listeners. `host` is the address they are bound to, and that the device names."""

    def __init__(self, device: Device, host: str, habits: frozenset[WakeHabit] = frozenset(), elsewhere: str = "") -> None:
        self._device = device
        self._host = host
        self._habits = habits
        self._elsewhere = elsewhere
        """Where REDIRECTS leads."""
        self._server: asyncio.Server | None = None
        self._udp: _Ear | None = None
        self._connections = 0
        self._talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._path = "/" + hashlib.blake2b(f"{device.world.settings.seed}:{device.index}:path".encode(), digest_size=8).hexdigest()

    async def open(self, port: int = 0) -> str:
        """Listen for HTTP; the ConnectionRequestURL, which stands in the tree from now on."""
        self._server = await asyncio.start_server(self._serve, self._host, port, limit=HEAD_BYTES)
        url = f"http://{self._host}:{self._server.sockets[0].getsockname()[1]}{self._path}"
        self._set("ConnectionRequestURL", url)
        return url

    async def open_udp(self, server: tuple[str, int]) -> None:
        """Bind through the STUN server and listen for UDP connection requests. `bind` again keeps the binding open."""
        _transport, self._udp = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Ear(self._device), local_addr=(self._host, 0), remote_addr=server
        )

    async def bind(self, *, signed: bool = True) -> str:
        """One Binding Request and its answer: the address that the server saw, which stands in the tree from now on."""
        assert self._udp is not None, "open_udp comes first"
        name, password = self._device.of("ManagementServer.STUNUsername"), self._device.of("ManagementServer.STUNPassword")
        seen = await self._udp.bind(name, Secret(password) if signed and password else None)
        self._set("UDPConnectionRequestAddress", seen)
        return seen

    async def close(self) -> None:
        """Hear no more."""
        if self._server is not None:
            self._server.close()
        for talk, writer in tuple(self._talks.items()):
            writer.transport.abort()
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)
        if self._udp is not None and self._udp.transport is not None:
            self._udp.transport.close()

    def _set(self, name: str, value: str) -> None:
        self._device.tree.put(f"{self._device.tree.model.root}ManagementServer.{name}", value)

    # HTTP --------------------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        self._device.world.count("wake_connections")
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._talks[task] = writer
        try:
            if WakeHabit.DROPS_FIRST in self._habits and self._connections == 1:
                return
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await self._answer(await reader.readuntil(b"\r\n\r\n"), writer):
                    pass
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            self._device.world.count("wake_left")
        finally:
            del self._talks[task]
            writer.close()

    async def _answer(self, head: bytes, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection goes on."""
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        method, _, rest = first.partition(" ")
        verdict = self._verdict(method, rest.partition(" ")[0], headers.get("authorization", ""))
        if verdict == 200 and WakeHabit.SESSION_FIRST in self._habits:
            before = self._device.world.counters["informs"]
            self._ring()
            await self._device.world.wait(lambda world: world.counters["informs"] > before, PATIENCE_SECONDS)
        elif verdict == 200:
            self._ring()
        if WakeHabit.SILENT in self._habits:
            await asyncio.sleep(PATIENCE_SECONDS)
            return False
        self._device.world.count(f"wake_answers_{verdict}")
        writer.write(f"HTTP/1.1 {verdict} X\r\nContent-Length: 0\r\n{self._more(verdict)}\r\n".encode("latin-1"))
        return WakeHabit.CLOSES not in self._habits

    def _verdict(self, method: str, path: str, authorization: str) -> int:
        if method != "GET" or path != self._path:
            return 404
        if WakeHabit.BUSY in self._habits:
            return 503
        if WakeHabit.REDIRECTS in self._habits:
            return 302
        if self._habits & {WakeHabit.OPEN, WakeHabit.SILENT}:
            return 200
        name, password = (self._device.of(f"ManagementServer.ConnectionRequest{part}") for part in ("Username", "Password"))
        try:
            stated = digest.parse_credentials(authorization)
            ha1 = digest.ha1_of(username=name, realm=REALM, password=Secret(password))
            odd = WakeHabit.NO_QOP in self._habits and (stated.qop or stated.cnonce)
            right = stated.username == name and stated.nonce == self._nonce and stated.uri == path and not odd
            return 200 if right and digest.verify(authorization, ha1=ha1, method="GET") else 401
        except PeerError:
            return 401

    @property
    def _nonce(self) -> str:
        return hashlib.blake2b(f"{self._path}:nonce".encode(), digest_size=8).hexdigest()

    def _more(self, verdict: int) -> str:
        close = "Connection: close\r\n" if WakeHabit.CLOSES in self._habits else ""
        if verdict == 302:
            return f"Location: {self._elsewhere}\r\n{close}"
        if verdict != 401:
            return close
        challenge = digest.Challenge(REALM, self._nonce, "MD5", () if WakeHabit.NO_QOP in self._habits else ("auth",))
        return f"WWW-Authenticate: {digest.build_challenge(challenge)}\r\n{close}"

    def _ring(self) -> None:
        self._device.world.count("wakes_heard")
        self._device.wake(CONNECTION_REQUEST)


class _Ear(asyncio.DatagramProtocol):
    """The device's UDP socket: STUN out, connection requests in."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._waiting: asyncio.Future[stun.BindingResponse] | None = None
        self._count = 0
        self._last = 0
        self.transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio.DatagramProtocol."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    async def bind(self, name: str, password: Secret | None) -> str:
        assert self.transport is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                self._count += 1
                transaction = hashlib.blake2b(f"{id(self)}:{self._count}".encode(), digest_size=16).digest()
                request = stun.BindingRequest(transaction, name, connection_request=True, binding_change=self._count == 1)
                self._waiting = asyncio.get_running_loop().create_future()
                self.transport.sendto(stun.encode_request(request, password=password))
                try:
                    async with asyncio.timeout(1.0):
                        answer = await asyncio.shield(self._waiting)
                except TimeoutError:
                    continue  # Datagrams get lost; RFC 3489 9.3 sends again.
                if answer.error_code:
                    raise PeerError(f"The STUN server answered {answer.error_code}.", reason=f"stun_{answer.error_code}")
                return f"{answer.address}:{answer.port}"

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:  # noqa: ARG002 - the name is the base class's
        """Of asyncio.DatagramProtocol."""
        if data[:1] != b"G":
            try:
                answer = stun.decode_response(data)
            except PeerError:
                self._device.world.count("stun_odd")
                return
            if self._waiting is not None and not self._waiting.done():
                self._waiting.set_result(answer)
            return
        try:
            wake = stun.read_wake(data, password=Secret(self._device.of("ManagementServer.ConnectionRequestPassword")))
        except PeerError as refused:
            self._device.world.count(refused.reason)
            return
        self._device.world.count("wake_datagrams")
        # Annex G.2.2.3: a timestamp that is not larger is a copy or a replay.
        if wake.timestamp <= self._last or wake.username != self._device.of("ManagementServer.ConnectionRequestUsername"):
            return
        self._last = wake.timestamp
        self._device.world.count("wakes_heard")
        self._device.wake(CONNECTION_REQUEST)
