"""Whom a connection request may go to, which way, and how many at a time.

A ConnectionRequestURL and a UDPConnectionRequestAddress are the device's own claims: taken at their word they would let a device point
the ACS at any host of the operator (server-side request forgery). The one thing to know: what is sent is made from `Target`, which only the
guard makes, and never from the claim; its host is a literal address inside the operator's own ranges that is this device's.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum, unique
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias
from urllib.parse import urlsplit

from ringfence.base.errors import PeerError
from ringfence.base.secret import Secret
from ringfence.fleet.links import Reach
from ringfence.fleet.model import Link, Sleeper

MAX_URL_CHARS = 512
MAX_PATH_CHARS = 256
MAX_NODES = 100_000
"""Access nodes and devices that are paced at once; beyond it one waits."""

Address: TypeAlias = IPv4Address | IPv6Address
Range: TypeAlias = IPv4Network | IPv6Network

# RFC 3986 3.3 and 3.4 without anything that could end a request line.
_path = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,;=:@%/?]*").fullmatch
# UDPConnectionRequestAddress is "host:port" (TR-069 Annex G.2.2.2), the port 80 when it is left out.
_udp_address = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]{2,45})\]|(?P<four>[0-9.]{7,15}))(?::(?P<port>[0-9]{1,5}))?").fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a connection request goes: an address in its one spelling, a port, a path (empty for UDP)."""

    host: str
    port: int
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCredential:
    """What a device's connection requests are signed with (ConnectionRequestUsername and -Password)."""

    username: str
    password: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the operator's side knows: its ranges of devices, and what it listens on itself."""

    ranges: tuple[Range, ...]
    own: frozenset[tuple[str, int]] = frozenset()
    """Addresses and ports of our own listeners."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """What is known, from elsewhere than the device, of where a device is now."""

    line: str = ""
    holders: Mapping[str, str] = field(default_factory=dict)
    """Address -> the line that holds it now, as access sessions say; an address nobody reported is not in it."""
    seen_udp: str = ""
    """Address and port that its own, signed STUN requests came from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a device is woken now. NEXT_INFORM has no target, but a reason."""

    way: Reach
    target: Target | None = None
    reason: str = ""
    suspicious: bool = False
    """The device named an address that is another's: somebody should hear of it."""


def guarded(claim: str, peer_ip: str, whereabouts: Whereabouts, ground: Ground) -> Target:
    """The target of a ConnectionRequestURL; PeerError with a reason when nothing may be sent there."""
    if not claim or len(claim) > MAX_URL_CHARS or not claim.isascii() or not claim.isprintable() or "\\" in claim or " " in claim:
        raise PeerError("The ConnectionRequestURL is empty, too long, or has characters that no URL has.", reason="url_malformed")
    try:
        parts = urlsplit(claim)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise PeerError("The ConnectionRequestURL cannot be read.", reason="url_malformed") from None
    if parts.scheme != "http":
        # TR-069 3.2.2: "The Connection Request notification is made using an HTTP 1.1 GET".
        raise PeerError("The ConnectionRequestURL is not http.", reason="url_scheme")
    if "@" in parts.netloc:
        raise PeerError("The ConnectionRequestURL names a user.", reason="url_user")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if len(path) > MAX_PATH_CHARS or _path(path) is None:
        raise PeerError("The path of the ConnectionRequestURL is too long or odd.", reason="url_path")
    return _allowed(host, 80 if port is None else port, path, peer_ip, whereabouts, ground)


def guarded_udp(claim: str, peer_ip: str, whereabouts: Whereabouts, ground: Ground) -> Target:
    """The target of a UDPConnectionRequestAddress; PeerError likewise."""
    found = _udp_address(claim)
    if found is None:
        raise PeerError("The UDPConnectionRequestAddress is no address and port.", reason="udp_malformed")
    return _allowed(found["six"] or found["four"], int(found["port"] or 80), "", peer_ip, whereabouts, ground)


def plan(sleeper: Sleeper, whereabouts: Whereabouts, ground: Ground, *, udp: bool) -> Plan:
    """The way to a device for this try. `udp`: whether we have a STUN server that UDP connection requests can come from.

    A device that has both ways is tried on the other one each second time: what is open today may be shut tomorrow.
    """
    if sleeper.link is Link.UNREACHABLE:
        return Plan(way=Reach.NEXT_INFORM, reason="unreachable")
    if not ground.ranges:
        return Plan(way=Reach.NEXT_INFORM, reason="no_own_ranges")
    ways: list[Plan] = []
    refused: list[str] = []
    for way, claim in ((Reach.HTTP, sleeper.request_url), (Reach.UDP, (whereabouts.seen_udp or sleeper.udp_address) if udp else "")):
        if claim:
            try:
                guard = guarded if way is Reach.HTTP else guarded_udp
                ways.append(Plan(way=way, target=guard(claim, sleeper.peer_ip, whereabouts, ground)))
            except PeerError as error:
                refused.append(error.reason)
    if ways:
        return ways[(max(sleeper.tries, 1) - 1) % len(ways)]
    reason = refused[0] if refused else "no_address"
    return Plan(way=Reach.NEXT_INFORM, reason=reason, suspicious=any(one != "behind_nat" for one in refused))


def claimed(sleeper: Sleeper) -> tuple[str, ...]:
    """The addresses that a device was seen at or names, in their one spelling: who holds them is to be asked."""
    try:
        host = urlsplit(sleeper.request_url[:MAX_URL_CHARS]).hostname or ""
    except ValueError:
        host = ""
    found = [str(address) for text in (sleeper.peer_ip, host) if (address := _literal(text)) is not None]
    return tuple(dict.fromkeys([*found, *filter(None, (_host_of(sleeper.udp_address), _host_of(sleeper.seen_udp)))]))


def is_inside(host: str, ground: Ground) -> bool:
    """Whether an address that something came from is one of the operator's own."""
    address = _literal(host)
    return address is not None and any(_covers(network, address) for network in ground.ranges)


def ground_of(prefixes: Sequence[str], own: frozenset[tuple[str, int]] = frozenset()) -> Ground:
    """From the operator's ranges as text."""
    return Ground(ranges=tuple(ip_network(prefix) for prefix in prefixes), own=own)


def _allowed(host: str, port: int, path: str, peer_ip: str, whereabouts: Whereabouts, ground: Ground) -> Target:
    address, peer = _literal(host), _literal(peer_ip)
    if address is None:
        raise PeerError("The host is a name; only an address can be compared with where the device is.", reason="host_name")
    if not 1 <= port <= 65_535:
        raise PeerError("There is no such port.", reason="port")
    text = str(address)
    if address.is_multicast or address.is_unspecified or address.is_reserved or text == "255.255.255.255":
        raise PeerError("No device has such an address.", reason="host_special")
    if (text, port) in ground.own:
        raise PeerError("That address and port is one of ours.", reason="host_ours")
    holder = whereabouts.holders.get(text, "")
    its_own = holder == whereabouts.line and holder != ""
    if holder and not its_own:
        # The feed is younger than the device's last Inform: the address went to somebody else meanwhile.
        raise PeerError("That address belongs to another line now.", reason="other_line")
    if text == _host_of(whereabouts.seen_udp) and not path:
        its_own = True
    covered = any(_covers(network, address) for network in ground.ranges)
    if address != peer and not its_own:
        if address.is_private and not address.is_loopback and not address.is_link_local and not covered:
            raise PeerError("The address is one of the home network; the device is behind NAT.", reason="behind_nat")
        raise PeerError("That address is not the device's own.", reason="other_address")
    if not covered:
        raise PeerError("That address is in none of the operator's own ranges.", reason="foreign_address")
    return Target(host=text, port=port, path=path)


def _covers(network: Range, address: Address) -> bool:
    """Whether a range is about this address. One of this machine or link only counts where the range names nothing else (a lab)."""
    if network.version != address.version or address not in network:
        return False
    return (not address.is_loopback or network.is_loopback) and (not address.is_link_local or network.is_link_local)


def _literal(text: str) -> Address | None:
    """An address in its one spelling; None for a name, or for spellings that only some resolvers read (017700000001, 127.1)."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            return None
        # Mapped IPv4 addresses are unwrapped, so that they do not go round the ranges; 6to4 and NAT64 stay IPv6, which no range holds.
        return found.ipv4_mapped or found
    return found


def _host_of(udp_address: str) -> str:
    found = _udp_address(udp_address)
    address = _literal(found["six"] or found["four"]) if found is not None else None
    return str(address) if address is not None else ""


class Pace:
    """How many connection requests may leave: in total, for each access node, and how far apart for one device.

    The generic cell rate algorithm in whole microseconds: in any span of T seconds at most `rate * T + burst` leave, with a burst of a
    tenth of a second's worth and at least one. What is forgotten would have been allowed anyway, so the limits hold exactly.
    """

    def __init__(self, *, per_second: int, per_node: int, device_spacing_ms: int) -> None:
        self._total = _Cells(interval_us=-(-1_000_000 // per_second), burst=max(1, per_second // 10))
        self._nodes = _Cells(interval_us=-(-1_000_000 // per_node), burst=max(1, per_node // 10))
        self._devices = _Cells(interval_us=device_spacing_ms * 1_000, burst=1)

    def take(self, now_ms: int, device_id: int, access_node: str = "") -> int:
        """0: it may leave now, and counts. Else milliseconds after which to ask again. An unknown access node is not paced as one."""
        now = now_ms * 1_000
        cells = [(self._total, ""), (self._devices, str(device_id))]
        if access_node:
            cells.append((self._nodes, access_node))
        wait = max(cell.wait(now, key) for cell, key in cells)
        if wait <= 0:
            for cell, key in cells:
                cell.spend(now, key)
            return 0
        return -(-wait // 1_000)


class _Cells:
    """Theoretical arrival times by key, in microseconds."""

    def __init__(self, *, interval_us: int, burst: int) -> None:
        self._interval = interval_us
        self._slack = interval_us * (burst - 1)
        self._next: OrderedDict[str, int] = OrderedDict()

    def wait(self, now: int, key: str) -> int:
        while self._next and next(iter(self._next.values())) <= now:
            self._next.popitem(last=False)
        if key not in self._next and len(self._next) >= MAX_NODES:
            return self._interval
        return self._next.get(key, now) - self._slack - now

    def spend(self, now: int, key: str) -> None:
        self._next[key] = max(self._next.get(key, now), now) + self._interval
        self._next.move_to_end(key)


@unique
class Outcome(StrEnum):
    """What became of one connection request."""

    SENT = "sent"
    """It left, and was answered or met silence: the Inform decides (a FRITZ!Box never answers)."""
    UNREACHABLE = "unreachable"
    WRONG_CREDENTIAL = "wrong_credential"
    NO_CREDENTIAL = "no_credential"
    BUSY = "busy"
    """503: a session is open already (TR-069 3.2.2.2)."""
    ODD = "odd"
    """A redirect, another status, or no HTTP."""
