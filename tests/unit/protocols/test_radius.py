"""RADIUS accounting: nothing is read before the secret is proven, what is read can be written again, nothing but PeerError leaves."""

import hashlib
import struct
from dataclasses import replace
from ipaddress import IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.errors import PeerError
from ringfence.base.secret import Secret
from ringfence.protocols import radius
from ringfence.protocols.radius import AccountingRequest, AcctStatus, check_response, decode_request, encode_request, encode_response

SECRET = Secret("xyzzy5461")

texts = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=60)
numbers = st.integers(0, 2**32 - 1)
prefixes = st.tuples(st.ip_addresses(v=6), st.integers(0, 128)).map(lambda pair: _network(f"{pair[0]}/{pair[1]}"))
requests = st.builds(
    AccountingRequest,
    identifier=st.integers(0, 255),
    status=numbers,
    session_id=texts,
    user_name=texts,
    nas_ip_address=st.just("") | st.ip_addresses(v=4).map(str),
    nas_ipv6_address=st.just("") | st.ip_addresses(v=6).map(str),
    nas_identifier=texts,
    nas_port_id=texts,
    framed_ip_address=st.just("") | st.ip_addresses(v=4).map(str),
    framed_ipv6_addresses=st.lists(st.ip_addresses(v=6).map(str), max_size=4).map(tuple),
    framed_ipv6_prefixes=st.lists(prefixes, max_size=4).map(tuple),
    delegated_ipv6_prefixes=st.lists(prefixes, max_size=4).map(tuple),
    event_timestamp=st.none() | numbers,
    delay_seconds=numbers,
    session_seconds=st.none() | numbers,
    terminate_cause=st.none() | numbers,
    calling_station_id=texts,
    called_station_id=texts,
    circuit_id=texts,
    remote_id=texts,
    proxy_states=st.lists(st.binary(max_size=40), max_size=4).map(tuple),
)


def _network(text: str) -> str:
    return str(IPv6Network(text, strict=False))


def signed(attributes: bytes, *, code: int = 4, secret: Secret = SECRET) -> bytes:
    """A packet with any attributes, and a right authenticator."""
    head = struct.pack(">BBH", code, 7, 20 + len(attributes))
    return head + hashlib.md5(head + bytes(16) + attributes + secret.open().encode()).digest() + attributes


def refused(datagram: bytes, secret: Secret = SECRET) -> str:
    with pytest.raises(PeerError) as failure:
        decode_request(datagram, secret)
    return failure.value.reason


START = b"\x28\x06\x00\x00\x00\x01"


@given(requests)
def test_what_is_written_is_read(request: AccountingRequest) -> None:
    packet = encode_request(request, SECRET)
    assert decode_request(packet, SECRET) == request
    assert refused(packet, Secret("another")) == "radius_authenticator"


@given(requests)
def test_an_answer_belongs_to_its_request_and_is_no_longer(request: AccountingRequest) -> None:
    packet = encode_request(request, SECRET)
    answer = encode_response(decode_request(packet, SECRET), SECRET)
    assert check_response(answer, packet, SECRET) == request.identifier
    assert len(answer) <= len(packet)
    for wrong in (answer[:-1] + bytes((answer[-1] ^ 1,)), packet, answer[:19], b""):
        with pytest.raises(PeerError):
            check_response(wrong, packet, SECRET)
    assert [value for kind, value in radius._walk(answer[20:]) if kind == 33] == list(request.proxy_states)


@given(st.binary(max_size=400).map(lambda attributes: signed(START + attributes)))
def test_what_is_accepted_can_be_written_again(packet: bytes) -> None:
    try:
        request = decode_request(packet, SECRET)
    except PeerError:
        return
    assert decode_request(encode_request(request, SECRET), SECRET) == request


@given(st.lists(st.tuples(st.sampled_from([1, 26, 30, 33, 44, 55, 95, 97, 123, 168]), st.binary(max_size=253)), max_size=15))
def test_attributes_of_any_content_leave_nothing_but_peer_error(attributes: list[tuple[int, bytes]]) -> None:
    body = b"".join(bytes((kind, len(value) + 2)) + value for kind, value in attributes)
    try:
        request = decode_request(signed(START + body), SECRET)
    except PeerError:
        return
    assert decode_request(encode_request(request, SECRET), SECRET) == request


@given(st.binary(max_size=80))
def test_strange_datagrams_are_refused(datagram: bytes) -> None:
    assert refused(datagram) in {"radius_length", "not_accounting", "radius_authenticator"}


@given(requests, st.data())
def test_one_changed_octet_is_seen(request: AccountingRequest, data: st.DataObject) -> None:
    packet = bytearray(encode_request(request, SECRET))
    place = data.draw(st.integers(0, len(packet) - 1))
    packet[place] ^= data.draw(st.integers(1, 255))
    assert refused(bytes(packet)) in {"radius_length", "not_accounting", "radius_authenticator"}


def test_nothing_is_read_before_the_secret_is_proven() -> None:
    broken = signed(b"\x28\x06\x00")
    assert refused(broken) == "radius_malformed"
    assert refused(broken, Secret("another")) == "radius_authenticator"


def test_lengths_are_those_of_the_standard() -> None:
    packet = encode_request(AccountingRequest(identifier=1, status=AcctStatus.START, session_id="s"), SECRET)
    assert decode_request(packet + b"padding", SECRET).session_id == "s", "octets beyond Length are padding"
    assert refused(packet[:-1]) == "radius_length"
    assert refused(packet[:19]) == "radius_length"
    assert refused(packet.ljust(4097, b"\0")) == "radius_length"
    assert refused(signed(START, code=1)) == "not_accounting"
    assert refused(signed(b"")) == "radius_malformed", "Acct-Status-Type must be there"


@pytest.mark.parametrize(
    "attribute",
    [
        b"\x01\x00", b"\x01\x01", b"\x01\x09short", b"\x01", b"\x08\x05\x01\x02\x03", b"\x37\x05\x01\x02\x03", b"\x61\x03\x00",
        b"\x61\x04\x00\x81", b"\xa8\x06abcd", b"\x1a\x0a\x00\x00\x0d\xe9\x01\x09ab", b"\x7b\x17" + bytes(21),
    ],
)  # fmt: skip
def test_attributes_that_do_not_fit_are_refused(attribute: bytes) -> None:
    assert refused(signed(START + attribute)) == "radius_malformed"


def test_too_many_prefixes_and_proxy_states_are_refused() -> None:
    request = AccountingRequest(identifier=1, status=1, framed_ipv6_prefixes=("2001:db8::/64",) * 16, proxy_states=(b"x",) * 16)
    assert decode_request(encode_request(request, SECRET), SECRET) == request
    for more in (replace(request, delegated_ipv6_prefixes=("2001:db8::/56",)), replace(request, proxy_states=(b"x",) * 17)):
        assert refused(encode_request(more, SECRET)) == "radius_too_many"


def test_a_packet_as_a_bng_sends_it() -> None:
    circuit = b"DSLAM-17 atm 1/1/03:1.32"
    agent = b"\x00\x00\x0d\xe9" + bytes((1, len(circuit) + 2)) + circuit + b"\x02\x06\x00\xff\x01\x02"
    attributes = (
        START
        + b"\x2c\x0aABC12345"
        + b"\x08\x06\xc0\x00\x02\x0a"
        + b"\x61\x0c\x00\x40\x20\x01\x0d\xb8\x00\x01\x00\x02"
        + b"\x7b\x0b\x00\x38\x20\x01\x0d\xb8\x00\x03\x00"
        + b"\x20\x08bng-1\x00"
        + b"\x01\x05\xff\xfe\xfd"
        + bytes((26, len(agent) + 2))
        + agent
        + b"\x1a\x0a\x00\x00\x00\x09\x01\x04ab"
        + b"\x37\x06\x65\x00\x00\x00"
        + b"\x2c\x05two"
    )
    request = decode_request(signed(attributes), SECRET)
    assert request == AccountingRequest(
        identifier=7,
        status=AcctStatus.START,
        session_id="ABC12345",
        framed_ip_address="192.0.2.10",
        framed_ipv6_prefixes=("2001:db8:1:2::/64",),
        delegated_ipv6_prefixes=("2001:db8:3::/56",),
        nas_identifier="bng-1",
        user_name="0xfffefd",
        circuit_id="DSLAM-17 atm 1/1/03:1.32",
        remote_id="0x00ff0102",
        event_timestamp=0x65000000,
    )


def test_a_request_that_does_not_fit_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        encode_request(AccountingRequest(identifier=1, status=1, proxy_states=(bytes(250),) * 17), SECRET)
    with pytest.raises(ValueError, match="253 bytes"):
        encode_request(AccountingRequest(identifier=1, status=1, user_name="x" * 254), SECRET)
