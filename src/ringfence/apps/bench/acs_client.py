"""The devices of bench `acs`, a process of their own: so many at once, each session on a new connection, at full speed or at a rate.

Bodies are made before the clock runs; what is measured is the ACS. Reads one JSON argument and prints one JSON object.
"""

import asyncio
import json
import resource
import ssl
import sys
from typing import Any, NamedTuple

import uvloop

from ringfence.base.clock import monotonic_seconds
from ringfence.base.secret import Secret
from ringfence.protocols import digest
from ringfence.protocols.cwmp import build
from ringfence.protocols.cwmp.messages import DeviceId, Envelope, Event, Inform, ParameterValue

PASSWORD = "bench-password"
PATIENCE_SECONDS = 20.0
DRAIN_SECONDS = 90.0
"""For those who were sent away, after the last new session."""
ERROR_WAIT_SECONDS = 1.0
ROOT = "InternetGatewayDevice."


class Load(NamedTuple):
    """What to do. `rate` 0: as fast as it goes, else sessions a second.

    `new`: each session is of a device that was never seen, from number `first` on. `hurry` above 0: who is sent away with 503 comes back
    after its Retry-After divided by this, until its session is done; others go on meanwhile.
    """

    port: int
    tls: bool
    clients: int
    devices: int
    seconds: float
    rate: float
    new: bool = False
    first: int = 0
    hurry: float = 0.0


def device_of(number: int) -> DeviceId:
    """Device `number` of the bench."""
    return DeviceId(manufacturer="Bench", oui="00040E", product_class="Gateway", serial_number=f"B{number:08d}")


def inform_of(number: int) -> bytes:
    """Its periodic Inform, with six parameters."""
    values = {
        "DeviceSummary": "InternetGatewayDevice:1.4[](Baseline:1)",
        "DeviceInfo.HardwareVersion": "1",
        "DeviceInfo.SoftwareVersion": "8.20",
        "ManagementServer.ParameterKey": "",
        "ManagementServer.ConnectionRequestURL": f"http://127.0.0.1:7547/{number}",
        "WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.ExternalIPAddress": "127.0.0.1",
    }
    inform = Inform(
        device_id=device_of(number),
        events=(Event("2 PERIODIC", ""),),
        current_time="2026-01-01T00:00:00Z",
        parameters=tuple(ParameterValue(ROOT + name, value) for name, value in values.items()),
    )
    return build(Envelope(inform, "1"))


class _Devices:
    """The clients and what they saw."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._bodies = [] if load.new else [inform_of(number) for number in range(load.devices)]
        self._template = inform_of(0)
        self._next = load.first
        self._context = ssl.create_default_context() if load.tls else None
        if self._context is not None:  # The certificate is the bench's own.
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE
        self._away: set[asyncio.Task[None]] = set()
        self.milliseconds: list[float] = []
        self.errors = 0
        self.busy = 0
        self.waits: list[int] = []
        self.lost = 0

    async def run(self) -> float:
        """Play; how long it took in seconds."""
        began = monotonic_seconds()
        async with asyncio.TaskGroup() as group:
            for _ in range(self._load.clients):
                group.create_task(self._client(began))
        if self._away:
            _done, left = await asyncio.wait(self._away, timeout=DRAIN_SECONDS)
            self.lost = len(left)
            for task in left:
                task.cancel()
        return monotonic_seconds() - began

    async def _client(self, began: float) -> None:
        rate = self._load.rate
        while (now := monotonic_seconds()) - began < self._load.seconds:
            number, self._next = self._next, self._next + 1
            due = began + (number - self._load.first) / rate if rate else now
            if due > now:
                await asyncio.sleep(due - now)
            number = number if self._load.new else number % self._load.devices
            wait = await self._attempt(number, start=max(due, now) if not rate else due)
            if wait and self._load.hurry:
                task = asyncio.get_running_loop().create_task(self._come_back(number, wait))
                self._away.add(task)
                task.add_done_callback(self._away.discard)

    async def _come_back(self, number: int, wait: float) -> None:
        """As a device that was sent away, until it is served."""
        while wait:
            await asyncio.sleep(wait)
            wait = await self._attempt(number, start=monotonic_seconds())

    async def _attempt(self, number: int, *, start: float) -> float:
        """One session; 0 when it is done, else the seconds until the next attempt."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                status, head = await self._session(number)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            status, head = 0, ""
        if status == 204:
            self.milliseconds.append((monotonic_seconds() - start) * 1000)
            return 0.0
        if status != 503:
            self.errors += 1
            return ERROR_WAIT_SECONDS
        self.busy += 1
        stated = int(head.partition("Retry-After: ")[2].partition("\r\n")[0])
        self.waits.append(stated)
        return stated / (self._load.hurry or 1.0)

    async def _session(self, number: int) -> tuple[int, str]:
        """The last status, and the head of its answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._load.port, ssl=self._context)
        try:
            body = self._template.replace(b"B00000000", b"B%08d" % number) if self._load.new else self._bodies[number]
            status, head = await _post(reader, writer, body)
            if status == 401:
                status, head = await _post(reader, writer, body, _authorization(head, number))
            if status == 200:
                status, head = await _post(reader, writer, b"")
            return status, head
        finally:
            writer.close()


async def _post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes, more: str = "") -> tuple[int, str]:
    writer.write(f"POST /acs HTTP/1.1\r\nHost: acs\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    _, found, rest = head.partition("Content-Length: ")
    if found and (length := int(rest.partition("\r\n")[0])):
        await reader.readexactly(length)
    return int(head[9:12]), head


def _authorization(head: str, number: int) -> str:
    device = device_of(number)
    challenge = digest.parse_challenge(head.partition("WWW-Authenticate: ")[2].partition("\r\n")[0])
    name = f"{device.oui}-{device.serial_number}"
    value = digest.answer(challenge, username=name, password=Secret(PASSWORD), method="POST", uri="/acs", cnonce="0a4f113b")
    return f"Authorization: {value}\r\n"


def _spread(waits: list[int]) -> list[int]:
    """Least, tenth, half, nine tenths and most of what Retry-After said; empty when nobody was sent away."""
    ordered = sorted(waits)
    return [ordered[round(share * (len(ordered) - 1))] for share in (0, 0.1, 0.5, 0.9, 1)] if ordered else []


def main() -> None:
    """Play the load in the first argument."""
    devices = _Devices(Load(**json.loads(sys.argv[1])))
    used = resource.getrusage(resource.RUSAGE_SELF)
    wall = uvloop.run(devices.run())
    spent = resource.getrusage(resource.RUSAGE_SELF)
    times = sorted(devices.milliseconds) or [0.0]
    figures: dict[str, Any] = {
        "sessions_per_second": round(len(devices.milliseconds) / wall, 1),
        "p50_ms": round(times[len(times) // 2], 1),
        "p99_ms": round(times[len(times) * 99 // 100], 1),
        "errors": devices.errors,
        "busy_responses": devices.busy,
        "busy_share": round(devices.busy / max(1, devices.busy + len(devices.milliseconds)), 3),
        "retry_after_seconds": _spread(devices.waits),
        "lost": devices.lost,
        "sessions": len(devices.milliseconds),
        "wall_seconds": round(wall, 1),
        "client_us": 1e6 * (spent.ru_utime + spent.ru_stime - used.ru_utime - used.ru_stime),
    }
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main()
