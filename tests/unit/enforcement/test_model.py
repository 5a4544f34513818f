"""One spelling for each value, one sentence for each refusal."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringfence.base.errors import OperatorError
from ringfence.enforcement.model import MAX_ACCOUNT_BYTES, Scope, cut, normal_network, normal_source, normal_text, normal_value


@pytest.mark.parametrize(
    ("scope", "given_value", "wanted"),
    [
        (Scope.NUMBER, "+23276123456", "23276123456"),
        (Scope.NUMBER, "23276123456", "23276123456"),
        (Scope.RANGE, "+232", "232"),
        (Scope.ACCOUNT, "alice", "alice"),
        (Scope.ACCOUNT, "+4930123@sip.example.net", "+4930123@sip.example.net"),
        (Scope.SOURCE, "192.0.2.1", "192.0.2.1"),
        (Scope.SOURCE, "192.0.2.1/32", "192.0.2.1"),
        (Scope.SOURCE, "::ffff:192.0.2.1", "192.0.2.1"),
        (Scope.SOURCE, "2001:DB8:1:2:3::4", "2001:db8:1:2::/64"),
        (Scope.SOURCE, "2001:db8:1:2::/64", "2001:db8:1:2::/64"),
        (Scope.SOURCE, "2001:db8::1", "2001:db8::/64"),
    ],
)
def test_a_value_has_one_spelling(scope: Scope, given_value: str, wanted: str) -> None:
    assert normal_value(scope, given_value) == wanted


@pytest.mark.parametrize(
    ("scope", "value", "destination_class", "reason"),
    [
        (Scope.NUMBER, "0049301234", 0, "not_e164"),
        (Scope.NUMBER, "٤٩٣٠١٢٣٤٥", 0, "not_e164"),
        (Scope.NUMBER, "1234", 0, "bad_length"),
        (Scope.NUMBER, "1" * 16, 0, "bad_length"),
        (Scope.RANGE, "49", 0, "bad_length"),
        (Scope.RANGE, "", 0, "not_e164"),
        (Scope.ACCOUNT, "", 0, "bad_account"),
        (Scope.ACCOUNT, "al ice", 0, "bad_account"),
        (Scope.ACCOUNT, "al\x00ice", 0, "bad_account"),
        (Scope.ACCOUNT, "\udcff", 0, "bad_account"),
        (Scope.ACCOUNT, "ä" * (MAX_ACCOUNT_BYTES // 2 + 1), 0, "bad_account"),
        (Scope.CLASS, "alice", 0, "class_not_blockable"),
        (Scope.CLASS, "alice", 1, "class_not_blockable"),
        (Scope.CLASS, "alice", 6, "class_not_blockable"),
        (Scope.ACCOUNT, "alice", 3, "class_without_scope"),
        (Scope.SOURCE, "192.0.2.0/24", 0, "network_too_wide"),
        (Scope.SOURCE, "2001:db8::/48", 0, "network_too_wide"),
        (Scope.SOURCE, "0.0.0.0", 0, "bad_address"),
        (Scope.SOURCE, "224.0.0.1", 0, "bad_address"),
        (Scope.SOURCE, "example.net", 0, "bad_address"),
    ],
)
def test_an_impossible_value_is_refused(scope: Scope, value: str, destination_class: int, reason: str) -> None:
    with pytest.raises(OperatorError) as refusal:
        normal_value(scope, value, destination_class)
    assert refusal.value.reason == reason
    assert len(str(refusal.value)) < 300


@given(st.text(max_size=200), st.sampled_from(Scope))
def test_a_normal_value_stays_as_it_is(value: str, scope: Scope) -> None:
    destination_class = 3 if scope is Scope.CLASS else 0
    try:
        normal = normal_value(scope, value, destination_class)
    except OperatorError:
        return
    assert normal_value(scope, normal, destination_class) == normal
    assert "|" not in normal or scope in {Scope.ACCOUNT, Scope.CLASS}


def somebodys(address: IPv4Address | IPv6Address) -> bool:
    """Whether a sender can have it; an IPv4 address inside an IPv6 one counts as what it is."""
    inner = (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
    return not inner.is_multicast and not inner.is_unspecified


@given(st.ip_addresses().filter(somebodys))
@example(IPv6Address("::ffff:192.0.2.1"))
def test_every_address_is_one_line(address: IPv4Address | IPv6Address) -> None:
    normal = normal_network(normal_source(str(address)))
    assert normal.prefixlen == (32 if normal.version == 4 else 64)


def test_texts_of_people_are_bounded_and_those_of_rules_are_cut() -> None:
    with pytest.raises(OperatorError):
        normal_text("x" * 101, what="name", limit=100)
    with pytest.raises(OperatorError):
        normal_text("  \n ", what="name", limit=100)
    assert normal_text("a\n  b", what="name", limit=10) == "a b"
    assert cut("a\nb" + "c" * 20, 10) == "a bcccccc…"
