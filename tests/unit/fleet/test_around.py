"""Links, devices behind the device, coverage, and the table of orders."""

import io

import pytest

from ringfence.base.errors import OperatorError
from ringfence.base.secret import Secret
from ringfence.fleet.behind import BehindKind, Origin, behind_of
from ringfence.fleet.coverage import Registration, coverage_of
from ringfence.fleet.inventory.sheets import DeviceRow, read_devices
from ringfence.fleet.links import Reach, link_of, reach_of
from ringfence.fleet.model import Link
from ringfence.fleet.orders import MAX_COMMAND_KEY_CHARS, OrderState, may_move, purpose_of
from ringfence.protocols.cwmp.messages import Download, Reboot


@pytest.mark.parametrize(
    ("peer", "url", "hint", "link"),
    [
        ("192.0.2.1", "http://192.0.2.1:8089/x", None, Link.DIRECT),
        ("192.0.2.1", "http://192.168.1.1:8089/x", None, Link.NAT),
        ("100.64.3.4", "http://100.64.3.4/", None, Link.CGNAT),
        ("192.0.2.1", "http://100.70.0.1/", Link.DIRECT, Link.CGNAT),
        ("192.0.2.1", "http://192.0.2.1/", Link.MOBILE, Link.MOBILE),
        ("::ffff:192.0.2.1", "http://192.0.2.1/", None, Link.DIRECT),
        ("not an address", "http://[broken", None, Link.UNREACHABLE),
    ],
)
def test_links(peer: str, url: str, hint: Link | None, link: Link) -> None:
    assert link_of(peer, url, hint) is link


def test_ways_to_a_device() -> None:
    assert reach_of(Link.DIRECT, "http://x/", "") is Reach.HTTP
    assert reach_of(Link.NAT, "http://x/", "192.0.2.1:3478") is Reach.UDP
    assert reach_of(Link.CGNAT, "http://x/", "") is Reach.NEXT_INFORM
    assert reach_of(Link.UNREACHABLE, "http://x/", "192.0.2.1:3478") is Reach.NEXT_INFORM


def test_repeaters_are_read_off_the_tables() -> None:
    host = "InternetGatewayDevice.LANDevice.1.Hosts.Host."
    found = behind_of(
        {
            host + "1.MACAddress": "00:11:22:33:44:55",
            host + "1.HostName": "fritz-repeater",
            host + "2.MACAddress": "00-11-22-33-44-66",
            host + "2.HostName": "devolo dLAN 500",
            host + "3.MACAddress": "no mac",
            "Device.Hosts.Host.4.PhysAddress": "AA:11:22:33:44:77",
            "Device.WiFi.MultiAP.APDevice.1.MACAddress": "aa:11:22:33:44:77",
        }
    )
    assert [(entry.mac[-2:], entry.kind, entry.origin) for entry in found] == [
        ("55", BehindKind.REPEATER, Origin.HOSTS),
        ("66", BehindKind.POWERLINE, Origin.HOSTS),
        ("77", BehindKind.REPEATER, Origin.MULTIAP),
    ]


def test_coverage_lists_whose_phone_registers_and_whose_device_is_silent() -> None:
    rows = [
        Registration(account="a1", customer="C1", user_agent="AVM FRITZ!Box 7590 164.07.57", at_ms=1),
        Registration(account="a2", customer="C2", user_agent="AVM FRITZ!Box 7590 164.07.29", at_ms=1),
        Registration(account="a3", customer="C3", user_agent="", at_ms=5),
        Registration(account="a4", customer="", user_agent="x", at_ms=5),
    ]
    found = coverage_of(rows, frozenset({"C1"}))
    assert (found.customers, found.managed, found.nameless) == (3, 1, 1)
    assert found.by_model == (("AVM FRITZ!Box 7590", 1), ("unknown", 1))
    assert [entry.customer for entry in found.uncovered] == ["C2", "C3"]


def test_an_ended_order_moves_no_more_and_a_late_report_is_believed() -> None:
    assert not any(may_move(state, to) for state in (OrderState.DONE, OrderState.FAILED) for to in OrderState)
    assert may_move(OrderState.UNKNOWN, OrderState.DONE)
    assert not may_move(OrderState.UNKNOWN, OrderState.STARTED)
    assert not any(may_move(state, OrderState.COMMITTED) for state in OrderState)


def test_a_download_again_with_a_fresh_signature_is_the_same_purpose() -> None:
    first = Download(file_type="1 Firmware Upgrade Image", url="https://h/f/abc?sig=1")
    assert purpose_of(first) == purpose_of(Download(file_type="1 Firmware Upgrade Image", url="https://h/f/abc?sig=2"))
    assert purpose_of(first) != purpose_of(Download(file_type="1 Firmware Upgrade Image", url="https://h/f/def?sig=1"))
    assert purpose_of(Reboot()) == "Reboot"
    assert len(purpose_of(first)) <= MAX_COMMAND_KEY_CHARS


def test_a_list_of_devices_names_what_is_wrong_with_a_row() -> None:
    sheet = "oui,product_class,serial_number,state,line\n00040e,F,S1,,\nxyz,F,S2,,\n00040E,F,S3,shipped,L1\n00040E,F,S4,in_stock,L1\n00040E,F,,,\n"
    rows = [row for _, row in read_devices(io.StringIO(sheet))]
    assert [row.serial_number for row in rows if isinstance(row, DeviceRow)] == ["S1", "S3"]
    assert ["OUI" in rows[1], "no line" in rows[3], "serial" in rows[4]] == [True] * 3  # type: ignore[operator]
    with pytest.raises(OperatorError, match="columns"):
        list(read_devices(io.StringIO("mac\n1\n")))


def test_a_list_says_what_is_wrong_without_quoting_what_may_be_a_password() -> None:
    first = "oui,product_class,serial_number,state,password\n"
    good, shifted, long = list(
        read_devices(io.StringIO(first + f"00040E,F,S1,,planted-1\n00040E,F,S2,planted-2,\n00040E,F,S3,,{'x' * 257}\n"))
    )
    assert isinstance(good[1], DeviceRow)
    assert good[1].password == Secret("planted-1")
    assert "planted" not in repr(good)
    assert isinstance(shifted[1], str)
    assert "planted" not in shifted[1]
    assert isinstance(long[1], str)
