"""Waking as the settings have it: the waker, and the STUN server where there is one.

It wires; where a connection request may go is `fleet.wake`'s to decide. The one thing to know: only own pools and CGNAT ranges of the
imported networks are ground for connection requests, so an operator who imported none wakes nobody.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ringfence.apps.acs.stun import StunServer, open_socket
from ringfence.apps.acs.wake import WakeLimits, Waker
from ringfence.base.clock import Clock
from ringfence.fleet.ports import Lines
from ringfence.fleet.service import FleetService
from ringfence.runtime.db import Database
from ringfence.runtime.settings import Settings, split_address
from ringfence.subscribers.model import NetworkKind
from ringfence.subscribers.service import SubscribersService


@dataclass(frozen=True, slots=True, kw_only=True)
class Waking:
    """What runs beside the sessions."""

    waker: Waker
    server: StunServer | None = None
    listen: str = ""

    async def run(self) -> None:
        """Wake, and be the STUN server, for ever."""
        if self.server is None:
            await self.waker.run()
            return
        server = self.server
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: server, sock=open_socket(self.listen))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.waker.run())
                group.create_task(server.learn())
        finally:
            transport.close()


def waking_of(
    settings: Settings, db: Database, fleet: FleetService, lines: Lines | None, clock: Clock, refused: Callable[[str, str], None]
) -> Waking:
    """The parts, wired to each other."""
    wake = settings.acs.wake
    subscribers = SubscribersService(db, b"", clock)  # Its key is for names of accounts, which nobody asks for here.

    async def ranges() -> Sequence[str]:
        return [network.prefix for network in await subscribers.networks() if network.kind in {NetworkKind.OWN_POOL, NetworkKind.CGNAT}]

    server = StunServer(fleet, clock, refused) if wake.stun_listen else None
    waker = Waker(
        fleet,
        ranges,
        WakeLimits(
            per_second=wake.requests_per_second,
            per_access_node=wake.requests_per_access_node,
            device_spacing_ms=wake.device_spacing_seconds * 1_000,
            tries=wake.tries,
        ),
        lines=lines,
        server=server,
        own=own_listeners(settings),
        clock=clock,
        refused=refused,
    )
    return Waking(waker=waker, server=server, listen=wake.stun_listen)


def own_listeners(settings: Settings) -> frozenset[tuple[str, int]]:
    """Addresses and ports of this installation, where a lab's ranges may hold them too."""
    acs = settings.acs
    listens = [acs.managed.listen, acs.bootstrap.listen, acs.firmware.listen, acs.wake.stun_listen, settings.sessions.radius.listen]
    listens += [settings.api.listen, settings.console.listen, settings.ingest.hep_listen, f"127.0.0.1:{settings.nats_port}"]
    found = {split_address(listen) for listen in listens if listen}
    for url in (settings.database_url, settings.nats_url):
        parts = urlsplit(url)
        if parts.hostname and parts.port:
            found.add((parts.hostname, parts.port))
    return frozenset((_spelled(host), port) for host, port in found)


def _spelled(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host
