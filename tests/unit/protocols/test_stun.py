"""STUN and UDP connection requests: the vector of RFC 5769, both ways, and nothing but PeerError."""

import hashlib
import hmac
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.errors import PeerError
from ringfence.base.secret import Secret
from ringfence.protocols import stun
from ringfence.protocols.stun import BindingRequest, BindingResponse, WakeRequest

_names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs"]), max_size=30)
_transactions = st.binary(min_size=12, max_size=12) | st.binary(min_size=16, max_size=16).filter(lambda raw: raw[:4] != b"\x21\x12\xa4\x42")
_requests = st.builds(BindingRequest, _transactions, _names, st.booleans(), st.booleans())

# RFC 5769 2.1: the sample request, with its password.
SAMPLE = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008932ff9b151263b36"
    "000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf"
)
SAMPLE_PASSWORD = Secret("VOkJxbRl1RmTxUk/WvJxBt")


def reason(call: object, *arguments: object, **named: object) -> str:
    with pytest.raises(PeerError) as caught:
        call(*arguments, **named)  # type: ignore[operator]
    return caught.value.reason


def test_the_sample_request_of_rfc_5769() -> None:
    request = stun.decode_request(SAMPLE)
    assert request.username == "evtj:h6vY"
    assert request.signed
    assert stun.is_signed_by(SAMPLE, SAMPLE_PASSWORD)
    assert not stun.is_signed_by(SAMPLE, Secret("another"))
    assert not stun.is_signed_by(SAMPLE[:40] + b"x" + SAMPLE[41:], SAMPLE_PASSWORD)


@given(_requests, st.booleans())
def test_requests_survive(request: BindingRequest, signed: bool) -> None:
    raw = stun.encode_request(request, password=Secret("p") if signed else None)
    read = stun.decode_request(raw)
    assert (read.transaction, read.username, read.connection_request, read.binding_change, read.signed) == (
        request.transaction, request.username, request.connection_request, request.binding_change, signed,
    )  # fmt: skip
    assert stun.is_signed_by(raw, Secret("p")) is signed
    assert not stun.is_signed_by(raw, Secret("q"))


@given(_transactions, st.ip_addresses().map(str), st.integers(0, 65_535))
def test_answers_survive(transaction: bytes, address: str, port: int) -> None:
    response = BindingResponse(transaction, address, port)
    assert stun.decode_response(stun.encode_response(response)) == response


@given(_transactions, st.integers(300, 699))
def test_errors_survive(transaction: bytes, code: int) -> None:
    response = BindingResponse(transaction, error_code=code)
    assert stun.decode_response(stun.encode_response(response)) == response


def test_the_sample_answer_of_rfc_5769_has_the_same_hidden_address() -> None:
    transaction = bytes.fromhex("b7e7a701bc34d686fa87dfae")
    assert bytes.fromhex("002000080001a147e112a643") in stun.encode_response(BindingResponse(transaction, "192.0.2.1", 32_853))


def test_an_answer_may_not_be_sent_elsewhere() -> None:
    raw = b"\0\1\0\x0c" + bytes(16) + b"\0\2\0\x08" + bytes(8)
    assert reason(stun.decode_request, raw) == "stun_reflected"


@given(st.binary(max_size=200) | st.binary(max_size=80).map(lambda raw: b"\0\1" + len(raw).to_bytes(2) + bytes(16) + raw))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for call in (stun.decode_request, stun.decode_response, lambda one: stun.is_signed_by(one, Secret("p"))):
        with suppress(PeerError):
            call(raw)


def test_oversize_is_refused() -> None:
    assert reason(stun.decode_request, bytes(1_501)) == "stun_oversized"


@given(st.builds(WakeRequest, st.integers(0, 2**40), st.integers(0, 2**32), _names, st.text("0123456789abcdef", max_size=20)))
def test_a_wake_survives_and_is_signed(wake: WakeRequest) -> None:
    raw = stun.build_wake(wake, host="192.0.2.1", port=3478, password=Secret("p"))
    assert stun.read_wake(raw, password=Secret("p")) == wake
    assert reason(stun.read_wake, raw, password=Secret("q")) == "wake_signature"


def test_a_wake_is_written_as_annex_g_says() -> None:
    raw = stun.build_wake(WakeRequest(1_700_000_000, 7, "acs & co", "c0"), host="2001:db8::1", port=40_000, password=Secret("p"))
    sig = hmac.new(b"p", b"17000000007acs & coc0", hashlib.sha1).hexdigest()
    line = f"GET http://[2001:db8::1]:40000?ts=1700000000&id=7&un=acs%20%26%20co&cn=c0&sig={sig} HTTP/1.1\r\n"
    assert raw == (line + "Host: [2001:db8::1]:40000\r\n\r\n").encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET http://a?ts=1&id=1&un=u&cn=c HTTP/1.1\r\n\r\n",
        b"GET http://a?ts=1&ts=1&id=1&un=u&cn=c&sig=0 HTTP/1.1\r\n\r\n",
        b"GET http://a?ts=x&id=1&un=u&cn=c&sig=0 HTTP/1.1\r\n\r\n",
        b"GET http://a?ts=01&id=1&un=u&cn=c&sig=0 HTTP/1.1\r\n\r\n",
        b"GET http://a?" + b"&".join(b"a%d=1" % count for count in range(17)) + b" HTTP/1.1\r\n\r\n",
        b"GET http://a?ts=1&id=1&un=" + b"u" * 300 + b"&cn=c&sig=0 HTTP/1.1\r\n\r\n",
        b"\xff" * 20,
        b"G" * 1_300,
    ],
)
def test_what_is_no_wake_is_refused(raw: bytes) -> None:
    assert reason(stun.read_wake, raw, password=Secret("p")) == "wake_malformed"


@given(st.binary(max_size=300))
def test_any_bytes_are_no_wake(raw: bytes) -> None:
    assert reason(stun.read_wake, raw, password=Secret("p")) == "wake_malformed"
