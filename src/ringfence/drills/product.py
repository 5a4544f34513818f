"""A whole product of the rehearsal's own: a temporary folder, free ports, its own engines, nobody paged.

It is started as an operator would start it (`ringfence up`) and stopped the same way. What the drill learns of it, it learns as an
operator's screen does: from the bus and from the edge. The one thing to know: rules are in mode `act` and the local time is night, because
a drill rehearses the worst hour.
"""

import asyncio
import contextlib
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ringfence.base.clock import monotonic_seconds, system_clock
from ringfence.base.errors import UnavailableError
from ringfence.runtime.bus import Bus
from ringfence.runtime.role import connect_bus
from ringfence.runtime.settings import RoleName, Settings, load_settings
from ringfence.telephony.control import NetworksChanged, encode_control

NIGHT_HOUR = 2
BLOCKING_ROLES: tuple[RoleName, ...] = ("ingest", "detector", "policy", "edge", "worker")
EDGE = "kamailio-1"
START_SECONDS = 150.0
STOP_SECONDS = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Ports on 127.0.0.1 that were free a moment ago."""

    nats: int
    hep: int
    rpc: int
    sip: int
    console: int
    api: int
    acs: int
    acs_bootstrap: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A running product. `edge_settings` is the text that `up` wrote for the edge's Kamailio."""

    folder: Path
    ports: Ports
    settings: Settings
    process: Process

    @property
    def edge_settings(self) -> str:
        """The settings file of the rehearsal's edge."""
        return (self.folder / "edges" / EDGE / "ringfence-settings.cfg").read_text()

    async def bus(self) -> Bus:
        """A connection that reads what the console would."""
        return await connect_bus(self.settings, "supervisor")


@contextlib.contextmanager
def rehearsal_folder() -> Iterator[Path]:
    """A temporary folder that the engines may enter: as root they run as a user of their own."""
    with tempfile.TemporaryDirectory(prefix="ringfence-rehearsal-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


def free_ports() -> Ports:
    """Free ports, found by binding them all at once."""
    with contextlib.ExitStack() as stack:
        taken = []
        for name in ("nats", "hep", "rpc", "sip", "console", "api", "acs", "acs_bootstrap"):
            kind = socket.SOCK_DGRAM if name == "sip" else socket.SOCK_STREAM
            probe = stack.enter_context(socket.socket(socket.AF_INET, kind))
            probe.bind(("127.0.0.1", 0))
            taken.append(probe.getsockname()[1])
    nats, hep, rpc, sip, console, api, acs, acs_bootstrap = taken
    return Ports(nats=nats, hep=hep, rpc=rpc, sip=sip, console=console, api=api, acs=acs, acs_bootstrap=acs_bootstrap)


def night_zone(now_ms: int) -> str:
    """A time zone in which it is two in the morning now. `Etc/GMT-5` is five hours ahead of UTC: POSIX counts westwards."""
    hour = datetime.fromtimestamp(now_ms / 1000, UTC).hour
    ahead = (NIGHT_HOUR - hour + 11) % 24 - 11
    return f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"


def settings_text(ports: Ports, *, roles: tuple[RoleName, ...], time_zone: str, mode: str) -> str:
    """The `ringfence.toml` of a rehearsal."""
    names = ", ".join(f'"{role}"' for role in roles)
    return f"""\
nats_port = {ports.nats}
roles = [{names}]

[operator]
time_zone = "{time_zone}"
hotline = "498001234567"

[ingest]
hep_listen = "127.0.0.1:{ports.hep}"

[detection]
mode = "{mode}"

[enforcement]
edges = [{{ name = "{EDGE}", rpc_url = "http://127.0.0.1:{ports.rpc}/rpc" }}]

[console]
listen = "127.0.0.1:{ports.console}"

[api]
listen = "127.0.0.1:{ports.api}"

[acs.bootstrap]
listen = "127.0.0.1:{ports.acs_bootstrap}"

[metrics]
base_port = 0

[acs.managed]
listen = "127.0.0.1:{ports.acs}"
"""


@contextlib.asynccontextmanager
async def running_product(
    folder: Path, *, roles: tuple[RoleName, ...] = BLOCKING_ROLES, mode: str = "act", night: bool = True, acs: str = ""
) -> AsyncIterator[Product]:
    """Start a product in `folder` (`acs`: more lines of the ACS's managed lane), wait until every role is ready, stop it in the end.

    UnavailableError says why it did not start.
    """
    ports = free_ports()
    zone = night_zone(system_clock()) if night else "Europe/Berlin"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ringfence.toml").write_text(settings_text(ports, roles=roles, time_zone=zone, mode=mode) + acs)
    with (folder / "up.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ringfence.apps.cli.main", "up", "--data-dir", str(folder)), stdin=DEVNULL, stdout=log, stderr=log
        )
    try:
        await _until_ready(process, folder, roles)
        product = Product(folder=folder, ports=ports, settings=load_settings(data_dir=folder), process=process)
        await _own_loopback(product)
        yield product
    finally:
        await _stop(process)


async def _own_loopback(product: Product) -> None:
    """Say where customers are at home, as the list of own networks does: thousands of accounts at one foreign address are a theft."""
    networks = NetworksChanged(version=1, networks=(("127.0.0.1/32", "own_pool"),))
    bus = await product.bus()
    try:
        await bus.bucket("control").put("networks", encode_control([networks]))
    finally:
        await bus.close()


async def _until_ready(process: Process, folder: Path, roles: tuple[RoleName, ...]) -> None:
    deadline = monotonic_seconds() + START_SECONDS
    files = [folder / "run" / f"{role}.ready" for role in roles]
    while not all(file.exists() for file in files):
        if process.returncode is not None or monotonic_seconds() > deadline:
            said = (folder / "up.log").read_text(errors="replace").strip()[-600:]
            raise UnavailableError(f"The rehearsal's product did not start; it said: {said}", reason="product_start")
        await asyncio.sleep(0.05)


async def _stop(process: Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
