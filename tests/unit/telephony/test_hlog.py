import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.errors import PeerError
from ringfence.protocols.sip import parse
from ringfence.telephony.hlog import MAX_EVENT_BYTES, MAX_TEXT_CHARS, HlogEvent, decode_event, encode_event

KAMAILIO = (
    b'{"v":1,"event":"auth","edge":"kamailio-1","at_s":1790000000,"at_us":123456,"code":1,"cseq":2,"peer_ip":"192.0.2.7","peer_port":5060,'
    b'"credential":"new","call_id":"abc@h","from_tag":"t1","method":"INVITE","account":"alice","realm":"example.net",'
    b'"request_uri":"sip:0023276123456@example.net","user_agent":"FRITZ!OS","future":{"x":[1,2]}}'
)


def test_the_includes_own_words_are_read_and_unknown_fields_ignored() -> None:
    event = decode_event(KAMAILIO)
    assert (event.event, event.account, event.cseq, event.peer_ip, event.at_ms) == ("auth", "alice", 2, "192.0.2.7", 1_790_000_000_123)
    assert event.authenticated
    assert decode_event(encode_event(event)) == event


@pytest.mark.parametrize("code", [-1, -2, -3, -4, -5, -8, 0, 401, 403, 404, 407])
def test_only_a_positive_verdict_authenticates(code: int) -> None:
    assert not decode_event(KAMAILIO.replace(b'"code":1', f'"code":{code}'.encode())).authenticated


def test_a_text_that_is_not_plain_comes_in_hexadecimal() -> None:
    event = decode_event(KAMAILIO.replace(b'"account":"alice"', b'"account_hex":"616cff69"'))
    assert event.account == "al\\xffi"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "hlog_malformed"),
        (b"[]", "hlog_malformed"),
        (b'{"v":1}', "hlog_malformed"),
        (b'{"v":1,"event":"dance"}', "hlog_malformed"),
        (b'{"v":2,"event":"auth"}', "hlog_version"),
        (b'{"v":1,"event":"auth","account":7}', "hlog_malformed"),
        (b'{"v":1,"event":"auth","account":"\xff"}', "hlog_malformed"),
        (b'{"v":1,"event":"auth","account_hex":"zz"}', "hlog_malformed"),
        (b'{"v":1,"event":"auth","at_s":-1}', "hlog_malformed"),
        (b'{"v":1,"event":"auth","at_s":99999999999999999999999}', "hlog_malformed"),
        (b"[" * 10_000, "hlog_malformed"),
        (b" " * (MAX_EVENT_BYTES + 1), "hlog_too_long"),
    ],
)
def test_what_is_no_event_is_refused_with_a_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(PeerError) as refusal:
        decode_event(payload)
    assert refusal.value.reason == reason


def test_a_long_call_id_is_the_same_call_on_the_wire_and_in_the_event() -> None:
    long = "x" * 400
    message = parse(f"BYE sip:a@b SIP/2.0\r\nCall-ID: {long}\r\nCSeq: 1 BYE\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n\r\n".encode())
    event = decode_event(encode_event(HlogEvent(v=1, event="auth", call_id=long, account="a" * 5000)))
    assert event.call_id == message.call_id
    assert len(event.account) == MAX_TEXT_CHARS


@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_refuse(payload: bytes) -> None:
    try:
        decode_event(payload)
    except PeerError as refusal:
        reason = refusal.reason
    else:
        reason = "hlog_"
    assert reason.startswith("hlog_")
