"""What a RADIUS packet says about a session: the line, the access node, the time."""

from dataclasses import replace
from ipaddress import IPv6Address, ip_network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ringfence.base.errors import PeerError
from ringfence.protocols.radius import AccountingRequest, AcctStatus
from ringfence.subscribers.sessions.accounting import OLDEST_MS, LineFrom, report_of
from ringfence.subscribers.sessions.addresses import IPV6_LENGTHS, address_of, network_of_line
from ringfence.subscribers.sessions.model import ReportKind, SessionReport

NOW = 1_790_000_000_500

REQUEST = AccountingRequest(
    identifier=1, status=AcctStatus.START, session_id="s1", nas_identifier="bng-1", nas_ip_address="198.51.100.1",
    framed_ip_address="192.0.2.10", framed_ipv6_prefixes=("2001:db8:1:2::/64",), delegated_ipv6_prefixes=("2001:db8:3::/56",),
    framed_ipv6_addresses=("2001:db8:1:2::1",), circuit_id="DSLAM-17 atm 1/1/03:1.32", remote_id="0049301234", user_name="u@isp",
    nas_port_id="ge-0/0/1.7", calling_station_id="00-11-22-33-44-55",
)  # fmt: skip


def read(request: AccountingRequest, line_from: LineFrom = LineFrom.CIRCUIT_ID, client: str = "core") -> SessionReport:
    report = report_of(request, client=client, source="203.0.113.1", received_ms=NOW, line_from=line_from)
    assert report is not None
    return report


def test_a_start() -> None:
    assert read(REQUEST) == SessionReport(
        kind=ReportKind.START,
        nas="core/bng-1",
        session_id="s1",
        at_ms=NOW,
        started_ms=NOW,
        prefixes=("192.0.2.10/32", "2001:db8:1:2::1/128", "2001:db8:1:2::/64", "2001:db8:3::/56"),
        line="DSLAM-17 atm 1/1/03:1.32",
        access_node="DSLAM-17",
    )


@pytest.mark.parametrize(
    ("line_from", "line"),
    [("circuit_id", "DSLAM-17 atm 1/1/03:1.32"), ("remote_id", "0049301234"), ("user_name", "u@isp"), ("nas_port_id", "ge-0/0/1.7"),
     ("calling_station_id", "00-11-22-33-44-55")],
)  # fmt: skip
def test_the_line_stands_where_the_operator_says(line_from: str, line: str) -> None:
    assert read(REQUEST, LineFrom(line_from)).line == line


def test_the_nas_is_what_it_calls_itself_under_the_name_of_the_client() -> None:
    nameless = replace(REQUEST, nas_identifier="")
    assert read(nameless).nas == "core/198.51.100.1"
    assert read(replace(nameless, nas_ip_address="", nas_ipv6_address="2001:db8::1")).nas == "core/2001:db8::1"
    assert read(replace(nameless, nas_ip_address="")).nas == "core/203.0.113.1"
    assert read(REQUEST, client="other").nas != read(REQUEST).nas, "a client speaks for its own sessions only"


def test_the_access_node_is_the_first_word_of_a_circuit_id_of_tr_101() -> None:
    assert read(replace(REQUEST, circuit_id="OLT-3 eth 0/1/7:100")).access_node == "OLT-3"
    assert read(replace(REQUEST, circuit_id="0x00040102")).access_node == "bng-1"


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.none() | st.integers(0, 2**32 - 1))
def test_no_time_is_later_than_the_packet_or_older_than_a_week(stamp: int, delay: int, lasted: int | None) -> None:
    for request in (replace(REQUEST, event_timestamp=stamp, delay_seconds=delay), replace(REQUEST, delay_seconds=delay)):
        report = read(replace(request, status=AcctStatus.STOP, session_seconds=lasted))
        assert NOW - OLDEST_MS <= report.at_ms <= NOW
        assert 0 <= report.started_ms <= report.at_ms


def test_times() -> None:
    at = NOW // 1000 - 30
    assert read(replace(REQUEST, event_timestamp=at, delay_seconds=99)).at_ms == at * 1000, "the event's own time goes before the delay"
    assert read(replace(REQUEST, delay_seconds=5)).at_ms == NOW - 5_000
    assert read(replace(REQUEST, event_timestamp=3)).at_ms == NOW, "a clock that was not set"
    stopped = replace(REQUEST, status=AcctStatus.STOP, event_timestamp=at, session_seconds=60)
    assert (read(stopped).kind, read(stopped).started_ms) == (ReportKind.STOP, (at - 60) * 1000)
    assert read(replace(REQUEST, status=AcctStatus.INTERIM_UPDATE)).started_ms == 0


def test_a_restart_needs_no_session() -> None:
    for status in (AcctStatus.ACCOUNTING_ON, AcctStatus.ACCOUNTING_OFF):
        report = read(replace(REQUEST, status=status, session_id=""))
        assert (report.kind, report.nas) == (ReportKind.NAS_RESTART, "core/bng-1")
    with pytest.raises(PeerError, match="Acct-Session-Id"):
        read(replace(REQUEST, session_id=""))
    assert report_of(replace(REQUEST, status=9), client="c", source="s", received_ms=NOW, line_from=LineFrom.USER_NAME) is None


def test_addresses_that_no_line_has_are_left_out() -> None:
    odd = replace(
        REQUEST, framed_ip_address="255.255.255.254", framed_ipv6_addresses=("::",), framed_ipv6_prefixes=("2001:db8::/20", "2001:db8::/72"),
        delegated_ipv6_prefixes=("2001:db8:3::/56", "2001:db8:3::/56"),
    )  # fmt: skip
    assert read(odd).prefixes == ("2001:db8:3::/56",)


@given(st.ip_addresses(v=6), st.integers(0, 128))
def test_the_network_of_a_line_has_a_length_that_is_looked_up(address: IPv6Address, length: int) -> None:
    network = ip_network(f"{address}/{length}", strict=False)
    assume(int(network.network_address) >> 48)
    if length in IPV6_LENGTHS:
        assert network_of_line(str(network)) == str(network)
    else:
        with pytest.raises(PeerError):
            network_of_line(str(network))


def test_one_spelling_of_an_address() -> None:
    assert str(address_of("::ffff:192.0.2.1")) == "192.0.2.1"
    assert str(address_of("fe80::1%eth0")) == "fe80::1"
    assert network_of_line("::ffff:192.0.2.1") == network_of_line("192.0.2.1") == "192.0.2.1/32"
    for text in ("", "192.0.2.0/24", "192.0.2.1/33", "2001:db8::/31", "2001:db8::/65", "2001:db8::1/64", "0.0.0.0", "x", "1" * 5000):
        with pytest.raises(PeerError):
            network_of_line(text)
