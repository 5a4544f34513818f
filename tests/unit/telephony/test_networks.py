from ipaddress import ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.telephony.model import NetworkKind, country_code
from ringfence.telephony.networks import (
    MAX_REMEMBERED,
    NO_SOURCE,
    UNKNOWN,
    Origin,
    OriginTable,
    OwnNetworks,
    SourceBook,
    read_origins,
)

KEY = b"0123456789abcdef"
LISTED = (("198.51.100.0/24", "own_pool"), ("198.51.100.128/25", "cgnat"), ("192.0.2.9/32", "peer"), ("2001:db8::/32", "own_pool"))
TSV = "prefix\tasn\tcountry\n# comment\n203.0.113.0/24\tAS64500\tSL\n203.0.113.64/26\t64501\tLV\n2001:db8:f::/48\t64502\tCU\nbad\t1\tDE\n"


def book(**settings_: object) -> SourceBook:
    found = SourceBook(KEY, home="DE", **settings_)  # type: ignore[arg-type]
    found.use(OwnNetworks(LISTED))
    return found


def test_the_longest_own_network_wins() -> None:
    networks = OwnNetworks((*LISTED, ("nonsense", "peer"), ("10.0.0.0/8", "unheard")))
    kinds = [networks.kind_of(ip_address(text)) for text in ("198.51.100.5", "198.51.100.200", "192.0.2.9", "192.0.2.10", "2001:db8::1")]
    assert kinds == [NetworkKind.OWN_POOL, NetworkKind.CGNAT, NetworkKind.PEER, NetworkKind.FOREIGN, NetworkKind.OWN_POOL]
    assert networks.refused == 2


def test_an_origin_table_gives_network_and_country() -> None:
    table = read_origins(TSV.splitlines())
    assert (table.prefixes, table.refused["bad_line"]) == (3, 1)
    sources = book(origins=(table,))
    inner, outer, after = (sources.of(f"203.0.113.{last}") for last in (70, 1, 200))
    assert (inner.network, inner.country) == ("AS64501", country_code("LV"))
    assert (outer.network, outer.country, outer.kind) == ("AS64500", country_code("SL"), NetworkKind.FOREIGN)
    assert after.network_key == outer.network_key != inner.network_key
    assert sources.of("2001:db8:f::5").network == "AS64502"
    assert sources.of("2001:db8:f::5").country == country_code("DE"), "an own network is at home whatever the table says"


def test_without_a_table_the_neighbourhood_stands_for_the_network() -> None:
    sources = book()
    assert sources.of("203.0.113.7").network == "203.0.113.0/24"
    assert sources.of("2a00:1:2:3::4").network == "2a00:1:2::/48"
    assert sources.of("203.0.113.7").country == 0


def test_an_ipv6_household_is_one_source_and_a_mapped_address_its_ipv4() -> None:
    sources = book()
    assert sources.of("2a00:1:2:3::4").key == sources.of("2a00:1:2:3:ffff::1").key != sources.of("2a00:1:2:4::4").key
    assert sources.of("::ffff:203.0.113.7") == sources.of("203.0.113.7")
    assert sources.of("fe80::1%eth0").key != 0
    assert sources.of("203.0.113.7").key != sources.of("203.0.113.7").unkeyed_key
    assert sources.of("nobody") == sources.of("") == NO_SOURCE


def test_a_new_list_counts_at_once_and_memory_is_bounded() -> None:
    sources = book()
    assert sources.of("203.0.113.7").kind == NetworkKind.FOREIGN
    sources.use(OwnNetworks((("203.0.113.0/24", "own_pool"),)))
    assert sources.of("203.0.113.7").kind == NetworkKind.OWN_POOL
    for number in range(MAX_REMEMBERED + 10):
        sources.of(str(ip_address(0x0A000000 + number)))
    assert len(sources._remembered) <= MAX_REMEMBERED


_prefixes = st.builds(
    lambda address, length: ip_network((address >> (32 - length) << (32 - length), length)),
    st.integers(0, 2**32 - 1).map(lambda value: value & 0xFF00FFFF),
    st.integers(1, 32),
)


@settings(deadline=None)
@given(st.lists(_prefixes, max_size=20, unique=True), st.lists(st.integers(0, 2**32 - 1), max_size=10))
def test_a_laid_out_table_agrees_with_a_walk_over_all_prefixes(prefixes: list[object], addresses: list[int]) -> None:
    networks = [ip_network(str(prefix)) for prefix in prefixes]
    table = OriginTable((network, Origin(number + 1, 0)) for number, network in enumerate(networks))
    edges = [int(edge) for network in networks for edge in (network.network_address, network.broadcast_address)]
    for value in [*addresses, *edges, *(edge + 1 for edge in edges if edge < 2**32 - 1)]:
        address = ip_address(value)
        holding = [(network.prefixlen, number) for number, network in enumerate(networks) if address in network]
        assert table(address) == (Origin(max(holding)[1] + 1, 0) if holding else UNKNOWN)


@given(st.lists(st.text(max_size=60), max_size=20))
def test_no_line_raises(lines: list[str]) -> None:
    read_origins(lines)
