"""The NAS of bench `radius`, a process of their own: real UDP, so many requests under way at once, each repeated when no answer comes.

Packets are made before the clock runs; what is measured is the worker. Reads one JSON argument and prints one JSON object.
"""

import asyncio
import json
import resource
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import uvloop

from ringfence.base.clock import monotonic_seconds
from ringfence.base.secret import Secret
from ringfence.protocols.radius import AccountingRequest, AcctStatus, encode_request

SECRET = Secret("bench-radius-secret")
PATIENCE_SECONDS = 2.0
"""After it a NAS sends again."""
IDENTIFIERS = 256
MIX = 10
"""Of so many requests one starts a session, one ends one, and the others say that a session lasts."""

_STRIDE = 1_000_003


class Load(NamedTuple):
    """What to do: requests to send in all, over so many NAS, to sessions that are open already."""

    port: int
    nas: int
    requests: int
    window: int
    open_sessions: int


def address_of(number: int) -> str:
    """The IPv4 address of session `number`; below 16 million."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def packets_of(nas: int, load: Load) -> Iterator[bytes]:
    """What one NAS sends. Session `number` belongs to NAS `number % load.nas`."""
    for place in range(load.requests // load.nas):
        fresh = load.open_sessions + (place // MIX) * load.nas + nas
        # As in the field, one after the other is never a neighbour: each update touches a page of its own.
        known = place * _STRIDE % (load.open_sessions // load.nas) * load.nas + nas
        status = {0: AcctStatus.START, 1: AcctStatus.STOP}.get(place % MIX, AcctStatus.INTERIM_UPDATE)
        number = fresh if status is AcctStatus.START else known
        yield encode_request(
            AccountingRequest(
                identifier=place % IDENTIFIERS,
                status=status,
                session_id=f"{number:08X}",
                nas_identifier=f"bng-{nas}",
                user_name=f"user{number}@isp.example",
                framed_ip_address=address_of(number),
                circuit_id=f"DSLAM-{number % 3000} atm 1/{number % 16}/{number % 48}:1.{number}",
                session_seconds=0 if status is AcctStatus.START else 3600,
            ),
            SECRET,
        )


class Nas(asyncio.DatagramProtocol):
    """One socket with its identifiers."""

    def __init__(self, packets: list[bytes], window: int) -> None:
        self._waiting = list(reversed(packets))
        self._window = min(window, IDENTIFIERS)
        self._sent: dict[int, tuple[bytes, float, float]] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self.milliseconds: list[float] = []
        self.repeated = 0
        self.done = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.DatagramTransport", transport)
        for _ in range(self._window):
            self._next()

    def datagram_received(self, data: bytes, addr: Any) -> None:  # noqa: ARG002  # asyncio names the arguments.
        """An answer. That it is right is what the peers' test looks at."""
        found = self._sent.pop(data[1], None)
        if found is None:
            return
        self.milliseconds.append((monotonic_seconds() - found[1]) * 1000)
        self._next()
        if not self._sent:
            self.done.set()

    def repeat(self) -> None:
        """Send again what has waited too long."""
        now = monotonic_seconds()
        for identifier, (packet, first, last) in list(self._sent.items()):
            if now - last > PATIENCE_SECONDS:
                self._sent[identifier] = (packet, first, now)
                self.repeated += 1
                self._send(packet)

    def _next(self) -> None:
        if self._waiting:
            packet = self._waiting.pop()
            now = monotonic_seconds()
            self._sent[packet[1]] = (packet, now, now)
            self._send(packet)

    def _send(self, packet: bytes) -> None:
        assert self._transport is not None, "packets leave after the socket is there"
        self._transport.sendto(packet)


async def measure(load: Load) -> dict[str, object]:
    """Send everything and wait for every answer."""
    packets = [list(packets_of(nas, load)) for nas in range(load.nas)]
    loop = asyncio.get_running_loop()
    used = resource.getrusage(resource.RUSAGE_SELF)
    begun = monotonic_seconds()
    fleet: list[Nas] = []
    for own in packets:
        _, nas = await loop.create_datagram_endpoint(lambda own=own: Nas(own, load.window), remote_addr=("127.0.0.1", load.port))  # type: ignore[misc]
        fleet.append(nas)
    while not all(nas.done.is_set() for nas in fleet):  # Two clocks: the answers', and the repetitions'.
        await asyncio.sleep(0.05)
        for nas in fleet:
            nas.repeat()
    seconds = monotonic_seconds() - begun
    after = resource.getrusage(resource.RUSAGE_SELF)
    times = sorted(time for nas in fleet for time in nas.milliseconds)
    return {
        "answers_per_second": round(len(times) / seconds),
        "answers": len(times),
        "repeated": sum(nas.repeated for nas in fleet),
        "p50_ms": round(times[len(times) // 2], 1),
        "p99_ms": round(times[len(times) * 99 // 100], 1),
        "client_cpu_seconds": round(after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime, 2),
    }


def main() -> None:
    """`python -m ringfence.apps.bench.radius_client JSON`."""
    print(json.dumps(uvloop.run(measure(Load(**json.loads(sys.argv[1]))))))  # noqa: T201


if __name__ == "__main__":
    main()
