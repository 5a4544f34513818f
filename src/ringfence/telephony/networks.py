"""Whose address a source is: the operator's own ranges by longest prefix, origin network and country from a table that the operator brings.

`SourceBook` joins both and remembers what it found, so that a row costs one look into a dictionary. The one thing to know: the address is
that of the hop which the SIP server saw, so a source behind an address translation is a household or a hotel, and of IPv6 the /64 counts as
one source, because its host part changes by itself (RFC 8981).
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from ringfence.base.ids import keyed_hash
from ringfence.telephony.model import NetworkKind, country_code

MAX_REMEMBERED = 65_536
"""Addresses that are remembered; beyond, the memory starts anew."""
MAX_ORIGINS = 3_000_000
"""Prefixes of an origin table at the most; the whole internet announces about 1.2 million."""
MAX_LINE_CHARS = 256
MAX_ASN = 2**32 - 1

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_KINDS = {
    "own_pool": NetworkKind.OWN_POOL,
    "cgnat": NetworkKind.CGNAT,
    "peer": NetworkKind.PEER,
    "monitoring": NetworkKind.MONITORING,
}
_AT_HOME = frozenset({NetworkKind.OWN_POOL, NetworkKind.CGNAT, NetworkKind.MONITORING})
"""Kinds whose addresses stand in the operator's own country, whatever a table says."""


class OwnNetworks:
    """The operator's list, compiled: for each prefix length that occurs, a dictionary, longest first."""

    __slots__ = ("_lengths", "refused")

    def __init__(self, networks: Iterable[tuple[str, str]] = ()) -> None:
        tables: dict[int, dict[int, dict[int, NetworkKind]]] = {4: {}, 6: {}}
        self.refused = 0
        """Entries that could not be read; the import has refused them before, so there are none."""
        for prefix, kind in networks:
            try:
                network = ip_network(prefix, strict=False)
                known = _KINDS[kind]
            except (ValueError, KeyError):
                self.refused += 1
                continue
            shift = network.max_prefixlen - network.prefixlen
            tables[network.version].setdefault(shift, {})[int(network.network_address) >> shift] = known
        self._lengths = {version: tuple(sorted(table.items())) for version, table in tables.items()}

    def kind_of(self, address: Address) -> NetworkKind:
        """The kind of the longest prefix that holds the address; FOREIGN when none does."""
        value = int(address)
        for shift, table in self._lengths[address.version]:
            found = table.get(value >> shift)
            if found is not None:
                return found
        return NetworkKind.FOREIGN


class Origin(NamedTuple):
    """Where an address belongs. `asn` 0 and `country` 0 (as in rows) when it is not known."""

    asn: int
    country: int


UNKNOWN = Origin(0, 0)
OriginLookUp = Callable[[Address], Origin]


class OriginTable:
    """An origin table in memory: disjoint spans in address order, so that a look-up is one bisection.

    Nested prefixes are laid out when the table is made: the longest one wins. Of IPv6 the first 64 bits count.
    """

    __slots__ = ("_origins", "_places", "_starts", "prefixes", "refused")

    def __init__(self, entries: Iterable[tuple[Network, Origin]]) -> None:
        spans: dict[int, list[tuple[int, int, int]]] = {4: [], 6: []}
        origins: dict[Origin, int] = {UNKNOWN: 0}
        self.prefixes = 0
        self.refused: Counter[str] = Counter()
        """Lines that were left out, by reason."""
        for network, origin in entries:
            place = origins.setdefault(origin, len(origins))
            first, last = int(network.network_address), int(network.broadcast_address)
            if network.version == 6:
                first, last = first >> 64, last >> 64
            # By rising start and falling size an outer prefix comes before those within it.
            spans[network.version].append((first, -last, place))
            self.prefixes += 1
        self._origins = tuple(origins)
        self._starts: dict[int, list[int]] = {}
        self._places: dict[int, list[int]] = {}
        for version, found in spans.items():
            self._starts[version], self._places[version] = _laid_out(sorted(found))

    def __call__(self, address: Address) -> Origin:
        """The origin of the longest prefix that holds the address."""
        value = int(address) >> 64 if address.version == 6 else int(address)
        place = bisect_right(self._starts[address.version], value) - 1
        return self._origins[self._places[address.version][place]] if place >= 0 else UNKNOWN


def _laid_out(spans: list[tuple[int, int, int]]) -> tuple[list[int], list[int]]:
    """Starts of disjoint spans and what each belongs to (0: nobody), from nested ones."""
    starts: list[int] = []
    places: list[int] = []
    open_: list[tuple[int, int]] = []

    def begin(start: int, place: int) -> None:
        if starts and starts[-1] == start:
            places[-1] = place
        elif not places or places[-1] != place:
            starts.append(start)
            places.append(place)

    def close(before: int | None) -> None:
        while open_ and (before is None or open_[-1][0] < before):
            last, _ = open_.pop()
            begin(last + 1, open_[-1][1] if open_ else 0)

    for first, negative_last, place in spans:
        close(first)
        begin(first, place)
        open_.append((-negative_last, place))
    close(None)
    return starts, places


def read_origins(lines: Iterable[str]) -> OriginTable:
    """An origin table from lines `prefix<TAB>asn<TAB>country`; a head line, blank lines and `#` are passed over.

    A line that cannot be read is counted in `refused` and left out.
    """
    refused: Counter[str] = Counter()

    def entries() -> Iterable[tuple[Network, Origin]]:
        taken = 0
        for number, line in enumerate(lines):
            text = line.strip()
            if not text or text.startswith("#") or (not number and text.lower().startswith("prefix")):
                continue
            if taken >= MAX_ORIGINS:
                refused["too_many"] += 1
                continue
            try:
                found = _entry(text)
            except ValueError:
                refused["bad_line"] += 1
                continue
            taken += 1
            yield found

    table = OriginTable(entries())
    table.refused = refused
    return table


def _entry(line: str) -> tuple[Network, Origin]:
    prefix, asn, country = [*line[:MAX_LINE_CHARS].split("\t"), "", ""][:3]
    network = ip_network(prefix.strip(), strict=False)
    number = asn.strip().upper().removeprefix("AS")
    value = int(number) if number.isascii() and number.isdigit() else 0
    code = country_code(country.strip())
    if not (value or code) or value > MAX_ASN:
        raise ValueError(line)
    return network, Origin(value, code)


class Source(NamedTuple):
    """What rows hold of a source address."""

    key: int
    unkeyed_key: int
    """The key in the space of agents without a key: what they say may not move the counters of the real source."""
    network: str
    network_key: int
    kind: int
    country: int


NO_SOURCE = Source(0, 0, "", 0, 0, 0)


class SourceBook:
    """Sources with all that rows say of them. `use` changes the list of own networks."""

    __slots__ = ("_home", "_key", "_networks", "_origins", "_remembered")

    def __init__(self, key: bytes, *, home: str = "", origins: Sequence[OriginLookUp] = ()) -> None:
        self._key = key
        self._home = country_code(home)
        self._origins = tuple(origins)
        self._networks = OwnNetworks()
        self._remembered: dict[str, Source] = {"": NO_SOURCE}

    def use(self, networks: OwnNetworks) -> None:
        """Judge by another list from now on."""
        self._networks = networks
        self._remembered = {"": NO_SOURCE}

    def of(self, source_ip: str) -> Source:
        """What is known of an address; nothing for a text that is none."""
        found = self._remembered.get(source_ip)
        if found is None:
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered = {"": NO_SOURCE}
            found = self._remembered[source_ip] = self._look_up(source_ip)
        return found

    def _look_up(self, source_ip: str) -> Source:
        try:
            address: Address = ip_address(source_ip.partition("%")[0])
        except ValueError:
            return NO_SOURCE
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        kind = self._networks.kind_of(address)
        asn = country = 0
        for origins in self._origins:
            origin = origins(address)
            asn, country = asn or origin.asn, country or origin.country
        if kind in _AT_HOME and self._home:
            country = self._home
        network = f"AS{asn}" if asn else neighbourhood(address)
        named = source_name(address)
        return Source(
            keyed_hash(self._key, "source", named),
            keyed_hash(self._key, "unkeyed", "source", named),
            network,
            keyed_hash(self._key, "network", network),
            int(kind),
            country,
        )


def source_name(address: Address) -> str:
    """What counts as one source: an IPv4 address, or the /64 of an IPv6 one."""
    return str(address) if address.version == 4 else str(ip_network((int(address) >> 64 << 64, 64)))


def neighbourhood(address: Address) -> str:
    """The /24 or /48 of an address: what stands for its network when no table names one."""
    if address.version == 4:
        return str(ip_network((int(address) >> 8 << 8, 24)))
    return str(ip_network((int(address) >> 80 << 80, 48)))
