"""A real Kamailio for tests: fixtures, the connector's side of JSON-RPC, a HEP receiver.

Import the fixture `edge` (function scope: a fresh Kamailio, about a third of a second) and `scenario`.
"""

import asyncio
import hashlib
import json
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ringfence.base.secret import Secret
from ringfence.enforcement.kamailio import EdgeDefinition, settings_file
from ringfence.protocols.hep import messages as hep_messages
from ringfence.protocols.hep.parse import decode
from ringfence.simulators.answerer import Answerer
from ringfence.simulators.caller import Caller, CallerLine
from ringfence.simulators.kamailio import DOMAIN, Authentication, RunningKamailio, start_kamailio
from ringfence.telephony.decks import default_deck_text
from ringfence.telephony.numbers import plan_for
from ringfence.telephony.rates import Deck, read_deck

TOKEN = "token-of-the-test-edge"
HEP_KEY = "hep-key-of-the-test-edge"
HOTLINE = "49309990000"
ACCOUNTS = {"alice": "secret-a", "bob": "secret-b", "4930555": "secret-c"}
PLAN = plan_for("DE", ["30"])
EMERGENCY = ("110", "112")
T = TypeVar("T")


def deck() -> Deck:
    return read_deck(default_deck_text(), home="DE", at_ms=1_800_000_000_000)


def free_port() -> int:
    """A port that is free for UDP and TCP on loopback now."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            try:
                tcp.bind(("127.0.0.1", udp.getsockname()[1]))
            except OSError:
                continue
            return int(udp.getsockname()[1])


def definition(rpc_port: int, hep_address: tuple[str, int], **changes: Any) -> EdgeDefinition:
    values: dict[str, Any] = {
        "name": "kamailio-1",
        "hep_address": hep_address,
        "hep_key": Secret(HEP_KEY),
        "capture_id": 7,
        "rpc_address": ("127.0.0.1", rpc_port),
        "rpc_token": Secret(TOKEN),
        "rpc_sources": ("127.0.0.1",),
        "dialog_key": Secret("dialog-key-of-the-test-edge"),
        "plan": PLAN,
        "emergency": EMERGENCY,
        "classes": dict(deck().class_prefixes()),
        "hotline": HOTLINE,
    }
    return EdgeDefinition(**(values | changes))


def table_of(key: str) -> str:
    """The table in which the include looks a key up (contract of the edge)."""
    return "rf_" + hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()[0] if key[1:2] == ":" else "rf_num"


class Rpc:
    """JSON-RPC as the connector speaks it: one keep-alive connection."""

    def __init__(self, port: int, *, token: str = TOKEN, source: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = self._socket.makefile("rb")
        self._token = token

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def request(self, method: str, params: Sequence[Any]) -> bytes:
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": list(params), "id": 1}).encode()
        return self.post(body)

    def post(self, body: bytes, path: str = "/rpc") -> bytes:
        head = f"POST {path} HTTP/1.1\r\nHost: edge\r\nX-Ringfence-Token: {self._token}\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def exchange(self, data: bytes) -> tuple[int, bytes]:
        self._socket.sendall(data)
        return self._reply()

    def call(self, method: str, *params: Any) -> Any:
        """The result; None when the key is not there (htable.get answers 500, htable.delete 404)."""
        status, body = self.exchange(self.request(method, params))
        answer = json.loads(body)
        if status in {404, 500} and "Key" in answer["error"]["message"]:
            return None
        assert status == 200, body
        return answer["result"]

    def pipeline(self, requests: Sequence[bytes], window: int) -> float:
        """Send all with at most `window` unanswered; seconds it took."""
        started = time.perf_counter()
        sent = 0
        for answered in range(len(requests)):
            if sent - answered <= window // 2:
                burst = requests[sent : answered + window]
                self._socket.sendall(b"".join(burst))
                sent += len(burst)
            assert self._reply()[0] == 200
        return time.perf_counter() - started

    def _reply(self) -> tuple[int, bytes]:
        status = int(self._stream.readline().split()[1])
        length = 0
        while line := self._stream.readline().strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return status, self._stream.read(length)


class HepReceiver:
    """Reads what the edge mirrors and tells."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.25)
        self.address: tuple[str, int] = self._socket.getsockname()

    def close(self) -> None:
        self._socket.close()

    def fill_up_soon(self) -> None:
        """Leave room for a packet or two, and never read."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)

    def packets(self) -> list[hep_messages.HepPacket]:
        """Everything that arrived until a quarter of a second passes in silence."""
        found = []
        while True:
            try:
                found.append(decode(self._socket.recv(65_535)))
            except TimeoutError:
                return found

    def events(self) -> list[dict[str, Any]]:
        """The hlog events among them."""
        return [json.loads(packet.payload) for packet in self.packets() if packet.payload_type == 100]


@dataclass(slots=True, kw_only=True)
class Edge:
    """A running Kamailio with everything around it."""

    kamailio: RunningKamailio
    rpc: Rpc
    rpc_port: int
    hep: HepReceiver
    gateway_port: int
    blocked: list[tuple[str, str]] = field(default_factory=list)

    def impose(self, key: str, action: str = "all", *, block_id: str = "b-test", seconds: int = 600) -> None:
        """Write a block as the connector does."""
        value = f"{action}|{int(time.time()) + seconds}|{block_id}"
        self.rpc.call("htable.setxs", table_of(key), key, value, max(seconds, 60))
        self.blocked.append((table_of(key), key))

    def lift_all(self) -> None:
        for table, key in self.blocked:
            self.rpc.call("htable.delete", table, key)
        self.blocked.clear()

    def reconnect(self) -> None:
        self.rpc.close()
        self.rpc = Rpc(self.rpc_port)

    def errors(self) -> list[str]:
        """What Kamailio logged as an error; `connection refused` of a HEP receiver that is not there is none."""
        return [line for line in self.kamailio.log().splitlines() if " ERROR: " in line or " CRITICAL: " in line]


@dataclass(slots=True, kw_only=True)
class Scene:
    """What a scenario plays with."""

    edge: Edge
    line: CallerLine
    gateway: Answerer

    def caller(self, account: str = "alice", password: str = "") -> Caller:
        return Caller(self.line, account, password or ACCOUNTS.get(account, "unknown"), DOMAIN)


def scenario(edge: Edge, play: Callable[[Scene], Awaitable[T]], *, gateway_status: int = 200) -> T:
    """Run a scenario with a line and a gateway."""

    async def run() -> T:
        gateway = await Answerer.open(port=edge.gateway_port, status_code=gateway_status)
        line = await CallerLine.open(edge.kamailio.sip_address)
        async with gateway, line:
            return await play(Scene(edge=edge, line=line, gateway=gateway))

    return asyncio.run(run())


def start_edge(
    folder: Path,
    *,
    authentication: Authentication = Authentication.STOCK,
    options: Sequence[str] = (),
    accounts: Mapping[str, str] = ACCOUNTS,
    **changes: Any,
) -> Edge:
    hep = HepReceiver()
    rpc_port, gateway_port = free_port(), free_port()
    kamailio = start_kamailio(
        folder,
        sip_port=free_port(),
        settings=settings_file(definition(rpc_port, hep.address, **changes)),
        accounts=accounts,
        gateway=("127.0.0.1", gateway_port),
        authentication=authentication,
        options=options,
    )
    return Edge(kamailio=kamailio, rpc=Rpc(rpc_port), rpc_port=rpc_port, hep=hep, gateway_port=gateway_port)


def stop_edge(edge: Edge) -> None:
    edge.rpc.close()
    edge.hep.close()
    edge.kamailio.stop()


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    """A fresh stock Kamailio with the include, its own authentication over text files, and no Ringfence process anywhere."""
    started = start_edge(tmp_path)
    try:
        yield started
    finally:
        stop_edge(started)
