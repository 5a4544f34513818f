"""How a device is connected and how it can be reached, from what its Inform shows.

The one thing to know: a ConnectionRequestURL is the device's own claim. It is only compared here; whoever sends anything to it looks at the
operator's ranges as well.
"""

import ipaddress
from enum import StrEnum, unique
from urllib.parse import urlsplit

from ringfence.fleet.model import Link

CGNAT = ipaddress.ip_network("100.64.0.0/10")
"""RFC 6598."""


@unique
class Reach(StrEnum):
    """How to make a device inform now."""

    HTTP = "http"
    UDP = "udp"
    """Annex G: through the address its STUN client keeps open."""
    NEXT_INFORM = "next_inform"
    """Not at all: wait for it."""


def link_of(peer_ip: str, request_url: str, hint: Link | None = None) -> Link:
    """The kind of link. A person's or the access node's `hint` (mobile, unreachable) beats what can be seen."""
    if hint in {Link.MOBILE, Link.UNREACHABLE}:
        return hint
    peer, claimed = _address(peer_ip), _host(request_url)
    if peer is None:
        return Link.UNREACHABLE
    if peer in CGNAT or (claimed is not None and claimed in CGNAT):
        return Link.CGNAT
    if claimed is not None and claimed != peer:
        return Link.NAT
    return Link.DIRECT


def reach_of(link: Link, request_url: str, udp_address: str) -> Reach:
    """The way to a device: HTTP where its address is its own, UDP through NAT where it keeps one open, else patience."""
    if link is Link.UNREACHABLE:
        return Reach.NEXT_INFORM
    if link is Link.DIRECT and request_url:
        return Reach.HTTP
    return Reach.UDP if udp_address else Reach.NEXT_INFORM


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _host(url: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return None
    return _address(host) if host else None
