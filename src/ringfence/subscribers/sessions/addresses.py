"""Addresses and the networks under which sessions stand, in one spelling each."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from ringfence.base.errors import PeerError
from ringfence.subscribers.sessions.model import LONGEST_PREFIX, SHORTEST_PREFIX

IPV6_LENGTHS = (128, *range(LONGEST_PREFIX, SHORTEST_PREFIX - 1, -1))
"""Every length that the network of a line can have, so that looking an address up is a look at exact places."""

_NO_HOSTS = frozenset({"0.0.0.0/32", "255.255.255.254/32", "255.255.255.255/32", "::/128"})
"""Nobody's addresses."""


def address_of(text: str) -> IPv4Address | IPv6Address:
    """An address as it is written anywhere; one of IPv4 inside IPv6 is one of IPv4. PeerError when it is none."""
    try:
        found = ip_address(text.partition("%")[0] if "." not in text else text)
    except ValueError:
        raise PeerError(f"{text[:60]!a} is no IP address", reason="bad_address") from None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def network_of_line(text: str) -> str:
    """The network of one line as sessions are stored: an address, or a prefix of IPv6 of /32 to /64. PeerError (`bad_address`) else."""
    try:
        network = ip_network(text)
    except ValueError:
        raise PeerError(f"{text[:60]!a} is no address or prefix", reason="bad_address") from None
    if isinstance(network, IPv6Network) and (mapped := network.network_address.ipv4_mapped) and network.prefixlen == 128:
        network = ip_network(mapped)
    length = network.prefixlen
    possible = length in IPV6_LENGTHS if network.version == 6 else length == 32
    if not possible or str(network) in _NO_HOSTS:
        raise PeerError(
            f"{text[:60]!a} is no address of a line: one of IPv4, one of IPv6, or a prefix of /{SHORTEST_PREFIX} to /{LONGEST_PREFIX}",
            reason="bad_address",
        )
    return str(network)
