"""Addresses and the networks under which sessions stand, in one spelling each."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from ringfence.base.errors import PeerError
from ringfence.subscribers.sessions.model import LONGEST_PREFIX, SHORTEST_PREFIX

_NO_HOSTS = frozenset({"0.0.0.0/32", "255.255.255.254/32", "255.255.255.255/32", "::/128"})
"""Nobody's addresses."""


def address_of(text: str) -> IPv4Address | IPv6Address:
    """An address as it is written anywhere; one of IPv4 inside IPv6 is one of IPv4. PeerError when it is none."""
    try:
        found = ip_address(text.partition("%")[0] if "." not in text else text)
    except ValueError:
        raise PeerError(f"{text[:60]!a} is no IP address", reason="bad_address") from None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def places_of(address: IPv4Address | IPv6Address) -> list[str]:
    """Every network under which a session with this address may stand, the narrowest first."""
    if isinstance(address, IPv4Address):
        return [f"{address}/32"]
    lengths = (128, *range(LONGEST_PREFIX, SHORTEST_PREFIX - 1, -1))
    return [str(IPv6Network((int(address) >> (128 - length) << (128 - length), length))) for length in lengths]


def network_of_line(text: str) -> str:
    """The network of one line as sessions are stored: an address, or a prefix of IPv6 of /32 to /64. PeerError (`bad_address`) else."""
    try:
        network = ip_network(text)
    except ValueError:
        raise PeerError(f"{text[:60]!a} is no address or prefix", reason="bad_address") from None
    if isinstance(network, IPv6Network) and (mapped := network.network_address.ipv4_mapped) and network.prefixlen == 128:
        network = ip_network(mapped)
    length = network.prefixlen
    possible = length == network.max_prefixlen or (network.version == 6 and SHORTEST_PREFIX <= length <= LONGEST_PREFIX)
    if not possible or str(network) in _NO_HOSTS:
        raise PeerError(
            f"{text[:60]!a} is no address of a line: one of IPv4, one of IPv6, or a prefix of /{SHORTEST_PREFIX} to /{LONGEST_PREFIX}",
            reason="bad_address",
        )
    return str(network)
