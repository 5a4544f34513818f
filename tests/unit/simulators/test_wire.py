import pytest

from ringfence.base.errors import PeerError
from ringfence.simulators.wire import parameter, read, uri_of, write


def test_what_is_written_is_read() -> None:
    headers = (("Via", "SIP/2.0/UDP 127.0.0.1:5;branch=z9hG4bKa;rport"), ("To", "<sip:b@x;tag=no>;tag=yes"), ("CSeq", "2 INVITE"))
    request = read(write("INVITE sip:b@x SIP/2.0", headers, b"body"))
    assert (request.method, request.request_uri, request.status_code) == ("INVITE", "sip:b@x", 0)
    assert (request.branch, request.to_tag, request.body) == ("z9hG4bKa", "yes", b"body")
    response = read(write("SIP/2.0 603 Decline", (*headers, ("Reason", "SIP;cause=603"))))
    assert (response.method, response.status_code, response.phrase, response.first("reason")) == ("INVITE", 603, "Decline", "SIP;cause=603")


def test_compact_and_repeated_fields() -> None:
    message = read(b"SIP/2.0 200 OK\r\nv: one;branch=b1\r\nVia: two\r\ni: call\r\nRecord-Route: <sip:a>\r\nrecord-route: <sip:b>\r\n\r\n")
    assert message.all("via") == ("one;branch=b1", "two")
    assert message.branch == "b1"
    assert message.first("call-id") == "call"
    assert message.all("record-route") == ("<sip:a>", "<sip:b>")
    assert message.first("nothing") == ""


@pytest.mark.parametrize("data", [b"", b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\xff\xfe"])
def test_what_is_no_sip_is_refused(data: bytes) -> None:
    with pytest.raises(PeerError):
        read(data)


def test_parameters_and_uris() -> None:
    assert parameter("SIP/2.0/UDP h;rport;branch=x", "branch") == "x"
    assert parameter("h;rport", "rport") == ""
    assert uri_of('"A" <sip:a@b;lr>;tag=1') == "sip:a@b;lr"
    assert uri_of("sip:a@b;tag=1") == "sip:a@b"
