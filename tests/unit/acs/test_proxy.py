"""The PROXY header of a trusted proxy."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.apps.acs.proxy import SIGNATURE, Proxied, read_proxy_header
from ringfence.base.errors import PeerError


def header(source: str, port: int = 5000, *, additions: bytes = b"", command: int = 0x21) -> bytes:
    address = ipaddress.ip_address(source)
    body = address.packed + address.packed + struct.pack("!HH", port, 7547) + additions
    return SIGNATURE + bytes([command, 0x11 if address.version == 4 else 0x21]) + struct.pack("!H", len(body)) + body


def addition(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


@given(st.ip_addresses(), st.integers(0, 65535), st.binary(max_size=20))
def test_addresses_of_both_kinds(source: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, rest: bytes) -> None:
    whole = header(str(source), port)
    assert read_proxy_header(whole + rest) == Proxied(address=str(source), port=port, tls=False, certificate_name="", used=len(whole))
    assert all(read_proxy_header(whole[:length]) is None for length in range(len(whole)))


def test_the_name_counts_only_when_the_proxy_verified_the_certificate() -> None:
    def tls(flags: int, verify: int) -> Proxied | None:
        return read_proxy_header(header("192.0.2.1", additions=addition(0x20, struct.pack("!BI", flags, verify) + addition(0x22, b"dev"))))

    assert [(one.tls, one.certificate_name) for one in (tls(0x07, 0), tls(0x07, 1), tls(0x01, 0), tls(0x00, 0)) if one] == [
        (True, "dev"),
        (True, ""),
        (True, ""),
        (False, ""),
    ]


def test_a_health_check_speaks_for_the_proxy_itself() -> None:
    found = read_proxy_header(header("192.0.2.1", command=0x20))
    assert found is not None
    assert found.address == ""


@pytest.mark.parametrize(
    "data",
    [
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"POST / HTTP/1.1",
        SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x12\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11\xff\xff",
        SIGNATURE + b"\x21\x11\x00\x04" + bytes(4),
        header("192.0.2.1", additions=b"\x20\x00\xff"),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        read_proxy_header(data)
    assert caught.value.reason == "proxy_header"
