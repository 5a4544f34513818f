"""URIs as they are dialled: numbers with contexts, escapes, IPv6, urn, and never a password."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.errors import PeerError
from ringfence.protocols.sip import Uri
from ringfence.protocols.sip.uri import MAX_PARAMETERS, unescape, without_password


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("sip:alice@Example.COM:5070;transport=tcp;lr", Uri("sip", "alice", "example.com", 5070, (("transport", "tcp"), ("lr", "")))),
        ("SIPS:+4930123@[2001:DB8::1]:5061", Uri("sips", "+4930123", "2001:db8::1", 5061)),
        ("sip:[2001:db8::1]", Uri("sip", "", "2001:db8::1")),
        ("sip:alice:pa55@x?Subject=hi", Uri("sip", "alice", "x")),
        ("sip:110;phone-context=+49@x;user=phone", Uri("sip", "110", "x", 0, (("user", "phone"),), (("phone-context", "+49"),))),
        ("sip:%2B49%3030@x", Uri("sip", "+49030", "x")),
        ("sip:a%00b%0d%C3%A4@x", Uri("sip", "a%00b%0d%C3%A4", "x")),
        ("sip:sips%3Auser%40example.com@example.net", Uri("sip", "sips:user@example.com", "example.net")),
        ("sip:user;par=u%40example.net@example.com", Uri("sip", "user", "example.com", 0, (), (("par", "u@example.net"),))),
        ("sip:x:70000", Uri("sip", "", "x", 0)),
        ("sip:x:٣٣", Uri("sip", "", "x", 0)),
        ("tel:+49-30-123;ext=5", Uri("tel", "+49-30-123", parameters=(("ext", "5"),))),
        ("tel:112;phone-context=example.com", Uri("tel", "112", parameters=(("phone-context", "example.com"),))),
        ("urn:service:sos.police", Uri("urn", "service:sos.police")),
        ("soap.beep://192.0.2.103:3002", Uri("soap.beep", "//192.0.2.103:3002")),
        ("sip:", Uri("sip", "")),
    ],
)
def test_uris(text: str, uri: Uri) -> None:
    assert Uri.parse(text) == uri


def test_contexts_and_parameters() -> None:
    assert Uri.parse("sip:110;phone-context=+49@x").phone_context == "+49"
    assert Uri.parse("sip:110@x;phone-context=+49").phone_context == "+49"
    assert Uri.parse("tel:110;phone-context=+49").phone_context == "+49"
    assert Uri.parse("tel:110").phone_context == ""
    uri = Uri.parse("sip:a@x;lr;user=phone")
    assert (uri.parameter("lr"), uri.parameter("user"), uri.parameter("maddr")) == ("", "phone", None)
    assert len(Uri.parse("sip:a@x" + ";p" * 500).parameters) == MAX_PARAMETERS


@pytest.mark.parametrize("text", ["", "alice", ":alice", "<sip:alice@x>", "s p:x", "+4930123"])
def test_what_has_no_scheme_is_refused(text: str) -> None:
    with pytest.raises(PeerError) as caught:
        Uri.parse(text)
    assert caught.value.reason == "bad_uri"


def test_passwords() -> None:
    assert without_password("sip:a:b:c@x:5060") == "sip:a@x:5060"
    assert without_password("sip:a@x:5060") == "sip:a@x:5060"
    assert without_password("sip:x:5060") == "sip:x:5060"
    assert without_password("tel:+49") == "tel:+49"


@given(st.text(max_size=80).map(lambda text: "sip:" + text) | st.text(max_size=80))
def test_only_peer_errors_leave(text: str) -> None:
    try:
        uri = Uri.parse(text)
    except PeerError:
        return
    assert uri.scheme
    assert unescape(text) is not None
