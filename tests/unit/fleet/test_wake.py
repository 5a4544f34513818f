"""The guard of connection requests, the way that is chosen, and the pace."""

from ipaddress import ip_address, ip_network
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.errors import PeerError
from ringfence.fleet.links import Reach
from ringfence.fleet.model import Link, Sleeper
from ringfence.fleet.wake import Ground, Pace, Plan, Target, Whereabouts, claimed, ground_of, guarded, guarded_udp, is_inside, plan

PEER = "192.0.2.9"
GROUND = ground_of(["192.0.2.0/24", "100.64.0.0/10", "2001:db8::/32"], frozenset({("192.0.2.9", 7547)}))
NOWHERE = Whereabouts()


def reason_of(url: str, peer: str = PEER, whereabouts: Whereabouts = NOWHERE, ground: Ground = GROUND) -> str:
    try:
        guarded(url, peer, whereabouts, ground)
    except PeerError as error:
        return error.reason
    return ""


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://192.0.2.9:8089/secret", ""),
        ("http://192.0.2.9", ""),
        ("HTTP://192.0.2.9:8089/a?b=c", ""),
        ("http://[::ffff:192.0.2.9]:8089/", ""),
        ("", "url_malformed"),
        ("http://192.0.2.9/" + "a" * 600, "url_malformed"),
        ("http://192.0.2.9/a b", "url_malformed"),
        ("http://192.0.2.9/a\r\nHost: x", "url_malformed"),
        ("http://192.0.2.9\\@192.0.2.10/", "url_malformed"),
        ("http://[192.0.2.9", "url_malformed"),
        ("http://192.0.2.9:port/", "url_malformed"),
        ("https://192.0.2.9/", "url_scheme"),
        ("file:///etc/passwd", "url_scheme"),
        ("gopher://192.0.2.9/", "url_scheme"),
        ("http://192.0.2.9@192.0.2.10/", "url_user"),
        ("http://192.0.2.9/" + "a" * 300, "url_path"),
        ('http://192.0.2.9/"', "url_path"),
        ("http://device.example/", "host_name"),
        ("http:///x", "host_name"),
        ("http://3221225993/", "host_name"),
        ("http://192.0.521/", "host_name"),
        ("http://0300.0.2.9/", "host_name"),
        ("http://[fe80::1%25eth0]/", "host_name"),
        ("http://192.0.2.9:0/", "port"),
        ("http://192.0.2.9:99999/", "url_malformed"),
        ("http://224.0.0.1/", "host_special"),
        ("http://0.0.0.0/", "host_special"),
        ("http://255.255.255.255/", "host_special"),
        ("http://[::]/", "host_special"),
        ("http://192.0.2.9:7547/", "host_ours"),
        ("http://192.0.2.10:8089/", "other_address"),
        ("http://192.168.178.1:8089/", "behind_nat"),
        ("http://100.64.1.1/", "other_address"),
        ("http://8.8.8.8/", "other_address"),
        ("http://127.0.0.1:5432/", "other_address"),
        ("http://169.254.169.254/latest/meta-data/", "other_address"),
    ],
)
def test_claims(url: str, reason: str) -> None:
    assert reason_of(url) == reason


def test_an_address_outside_the_ranges_is_refused_even_from_its_own_peer() -> None:
    assert reason_of("http://198.51.100.7/", "198.51.100.7") == "foreign_address"


def test_this_machine_is_woken_only_where_a_range_names_it() -> None:
    everything = ground_of(["0.0.0.0/0", "::/0"])
    for address in ("127.0.0.1", "169.254.1.1", "[fe80::1]"):
        assert reason_of(f"http://{address}/", address.strip("[]"), ground=everything) == "foreign_address"
    assert reason_of("http://[::1]/", "::1", ground=everything) == "host_special"
    assert reason_of("http://127.0.7.7/", "127.0.7.7", ground=ground_of(["127.0.0.0/8"])) == ""


def test_access_sessions_beat_the_address_last_seen() -> None:
    url = "http://192.0.2.9:8089/x"
    assert reason_of(url, whereabouts=Whereabouts(line="L1", holders={PEER: "L2"})) == "other_line"
    assert reason_of(url, whereabouts=Whereabouts(line="", holders={PEER: "L2"})) == "other_line"
    assert reason_of(url, whereabouts=Whereabouts(line="L1", holders={PEER: "L1"})) == ""
    # The same line's address in another network (a management address, IPv6 beside IPv4).
    six = Whereabouts(line="L1", holders={"2001:db8::7": "L1"})
    assert guarded("http://[2001:db8:0::7]:8089/x", PEER, six, GROUND) == Target(host="2001:db8::7", port=8089, path="/x")
    assert reason_of("http://[2001:db8::8]/", whereabouts=six) == "other_address"


@pytest.mark.parametrize(
    ("claim", "target"),
    [
        ("192.0.2.9:3478", Target(host=PEER, port=3478)),
        ("192.0.2.9", Target(host=PEER, port=80)),
        ("host.example:3478", None),
        ("192.0.2.9:3478 x", None),
        ("192.0.2.77:3478", None),
        ("8.8.8.8:53", None),
    ],
)
def test_udp_claims(claim: str, target: Target | None) -> None:
    if target is None:
        with pytest.raises(PeerError):
            guarded_udp(claim, PEER, NOWHERE, GROUND)
    else:
        assert guarded_udp(claim, PEER, NOWHERE, GROUND) == target


def test_a_signed_stun_request_shows_an_address_that_is_its_own() -> None:
    seen = Whereabouts(seen_udp="100.64.9.9:40000")
    assert guarded_udp("100.64.9.9:40000", PEER, seen, GROUND).host == "100.64.9.9"
    assert reason_of("http://100.64.9.9/", whereabouts=seen) == "other_address", "that a datagram came from there opens no HTTP"
    with pytest.raises(PeerError):
        guarded_udp("8.8.8.8:53", PEER, Whereabouts(seen_udp="8.8.8.8:53"), GROUND)


def sleeper(**changes: object) -> Sleeper:
    fields: dict[str, object] = {
        "device_id": 1,
        "tries": 1,
        "link": Link.DIRECT,
        "line": "",
        "peer_ip": PEER,
        "request_url": "",
        "udp_address": "",
    }
    return Sleeper(**(fields | changes))  # type: ignore[arg-type]


def test_plans() -> None:
    http, udp = "http://192.0.2.9:8089/x", "192.0.2.9:3478"
    both: dict[str, Any] = {"request_url": http, "udp_address": udp}

    def chosen(*, stun: bool = True, ground: Ground = GROUND, **changes: Any) -> Plan:
        return plan(sleeper(**changes), NOWHERE, ground, udp=stun)

    assert chosen(request_url=http).way is Reach.HTTP
    assert [chosen(**both, tries=tries).way for tries in (1, 2, 3)] == [Reach.HTTP, Reach.UDP, Reach.HTTP]
    assert chosen(request_url="http://192.168.1.1/", udp_address=udp, link=Link.NAT).way is Reach.UDP
    assert chosen(request_url="http://192.168.1.1/", udp_address=udp, stun=False) == Plan(way=Reach.NEXT_INFORM, reason="behind_nat")
    assert chosen(request_url="http://8.8.8.8/") == Plan(way=Reach.NEXT_INFORM, reason="other_address", suspicious=True)
    assert chosen() == Plan(way=Reach.NEXT_INFORM, reason="no_address")
    assert chosen(**both, link=Link.UNREACHABLE) == Plan(way=Reach.NEXT_INFORM, reason="unreachable")
    assert chosen(**both, ground=ground_of([])) == Plan(way=Reach.NEXT_INFORM, reason="no_own_ranges")


def test_who_holds_what_is_asked_of_every_address_that_is_named() -> None:
    named = sleeper(
        request_url="http://[2001:db8::1]:8089/x", udp_address="[2001:0db8::2]:1", seen_udp="100.64.0.1:2", peer_ip="::ffff:192.0.2.9"
    )
    assert claimed(named) == ("192.0.2.9", "2001:db8::1", "2001:db8::2", "100.64.0.1")
    assert claimed(sleeper(request_url="http://[broken", udp_address="name:1")) == (PEER,)
    assert claimed(sleeper(request_url="http://name/", peer_ip="")) == ()


def test_what_is_inside() -> None:
    assert is_inside("192.0.2.200", GROUND)
    assert is_inside("::ffff:192.0.2.200", GROUND)
    assert not is_inside("198.51.100.1", GROUND)
    assert not is_inside("name", GROUND)
    assert not is_inside("127.0.0.1", ground_of(["0.0.0.0/0"]))


addresses = st.one_of(
    st.ip_addresses(v=4),
    st.ip_addresses(v=6),
    st.ip_addresses(network="192.0.2.0/28"),
    st.sampled_from(["127.0.0.1", "::1", "169.254.169.254", "224.0.0.1", "::ffff:127.0.0.1", "::ffff:192.0.2.9"]).map(ip_address),
)
texts = st.one_of(
    addresses.map(lambda address: f"[{address}]" if address.version == 6 else str(address)),
    st.text(alphabet="0123456789.:[]@/\\abcx%#?", max_size=20),
)


@given(
    scheme=st.sampled_from(["http", "https", "HTTP", "ftp"]),
    host=texts,
    port=st.integers(-1, 70_000),
    tail=st.text(max_size=20),
    peer=addresses,
    line=st.sampled_from(["", "L1"]),
    holders=st.dictionaries(addresses.map(str), st.sampled_from(["L1", "L2"]), max_size=4),
)
def test_the_guard_lets_no_address_through_that_is_not_the_devices(
    scheme: str, host: str, port: int, tail: str, peer: object, line: str, holders: dict[str, str]
) -> None:
    whereabouts = Whereabouts(line=line, holders=holders)
    try:
        target = guarded(f"{scheme}://{host}:{port}/{tail}", str(peer), whereabouts, GROUND)
    except PeerError:
        return
    found = ip_address(target.host)
    seen = ip_address(str(peer))
    seen = getattr(seen, "ipv4_mapped", None) or seen
    assert found == seen or (line and holders.get(target.host) == line)
    assert holders.get(target.host, line) == line
    assert any(found in ip_network(prefix) for prefix in ("192.0.2.0/24", "100.64.0.0/10", "2001:db8::/32"))
    assert not any((found.is_loopback, found.is_multicast, found.is_link_local))
    assert (target.host, target.port) not in GROUND.own
    assert 1 <= target.port <= 65_535
    assert target.path.startswith("/")
    assert target.path.isascii()
    assert not set(target.path) & set(" \r\n\t\\#")


@given(
    per_second=st.integers(1, 200),
    per_node=st.integers(1, 50),
    spacing=st.integers(1, 5_000),
    asked=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 6), st.sampled_from(["", "n1", "n2"])), max_size=120),
)
def test_never_more_leave_than_the_limits(per_second: int, per_node: int, spacing: int, asked: list[tuple[int, int, str]]) -> None:
    pace, now = Pace(per_second=per_second, per_node=per_node, device_spacing_ms=spacing), 1_000_000
    left: list[tuple[int, int, str]] = []
    for step, device, node in asked:
        now += step
        wait = pace.take(now, device, node)
        assert wait >= 0
        if wait == 0:
            left.append((now, device, node))
    for start in range(len(left)):
        for end in range(start, len(left)):
            span = left[start : end + 1]
            seconds = (span[-1][0] - span[0][0]) / 1_000
            assert len(span) <= seconds * per_second + max(1, per_second // 10) + 1e-9
            for node in ("n1", "n2"):
                assert sum(1 for one in span if one[2] == node) <= seconds * per_node + max(1, per_node // 10) + 1e-9
    for device in range(7):
        moments = [moment for moment, one, _ in left if one == device]
        assert all(later - sooner >= spacing for sooner, later in pairwise(moments))


def test_a_burst_is_a_tenth_of_a_second() -> None:
    pace = Pace(per_second=50, per_node=30, device_spacing_ms=1_000)
    assert [pace.take(0, device, "n") == 0 for device in range(8)] == [True] * 3 + [False] * 5
    assert [pace.take(0, device, "other") == 0 for device in range(8, 16)] == [True] * 2 + [False] * 6
    assert sum(pace.take(1_000, device, f"n{device}") == 0 for device in range(16, 100)) == 5, "what was not used is not saved up"


def test_who_waits_as_long_as_was_said_may_go() -> None:
    pace, now = Pace(per_second=50, per_node=5, device_spacing_ms=1_000), 0
    for device in range(200):
        while wait := pace.take(now, device, "n"):
            now += wait
    assert 199 * 200 <= now <= 200 * 200
