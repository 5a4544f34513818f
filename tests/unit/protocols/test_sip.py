"""The SIP reader: what servers forgive is read, what has no identity is refused, and nothing secret or large stays."""

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringfence.base.errors import PeerError
from ringfence.base.secret import Secret
from ringfence.protocols import digest
from ringfence.protocols.digest import Challenge, Credentials
from ringfence.protocols.sip import Contact, SipMessage, build, parse, request, response
from ringfence.protocols.sip.messages import MAX_AGENT_CHARS, MAX_URI_CHARS
from ringfence.protocols.sip.parse import MAX_HEADERS, MAX_IDENTIFIER_CHARS, MAX_MESSAGE_BYTES

INVITE = request(
    "INVITE",
    "sip:+23222333444@example.com;user=phone",
    call_id="abc@192.0.2.1",
    from_uri="sip:4930123456@example.com",
    from_tag="f1",
    cseq=7,
    via="SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx;rport",
    contact="sip:4930123456@192.0.2.1:5060",
    user_agent="FRITZ!OS",
)
PLAIN = build(INVITE)


def reading(*lines: str, drop: str = "", body: bytes = b"") -> SipMessage:
    """The INVITE without the rows that start with `drop`, with more rows, read."""
    rows = [row for row in PLAIN.decode().split("\r\n")[:-2] if not (drop and row.startswith(drop))]
    return parse("\r\n".join([*rows, *lines, "", ""]).encode("utf-8", "surrogateescape") + body)


def refusal(payload: bytes) -> str:
    with pytest.raises(PeerError) as caught:
        parse(payload)
    return caught.value.reason


_word = st.text(string.ascii_letters + string.digits + "-._~", min_size=1, max_size=20)
_uris = st.builds("sip:{}@{}".format, _word, _word) | st.builds("tel:+{}".format, st.integers(1, 10**14)) | st.just("urn:service:sos")
_display = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20).map(str.strip)
_headers = st.fixed_dictionaries(
    {},
    optional={
        "via": st.lists(st.builds("SIP/2.0/UDP {};branch=z9hG4bK{}".format, _word, _word), min_size=1, max_size=3).map(tuple),
        "contact": st.lists(st.builds("<{}>".format, _uris), min_size=1, max_size=3).map(tuple),
        "expires": st.integers(0, 10**6).map(lambda value: (str(value),)),
        "user-agent": _display.map(lambda value: (value,)),
        "diversion": st.lists(st.builds("<{}>;reason=unconditional".format, _uris), min_size=1, max_size=2).map(tuple),
    },
)
_credentials = st.lists(st.builds(Credentials, _display, _word, _word, _uris, _word, _word, _word, _word), max_size=2).map(tuple)
_methods = st.sampled_from(["INVITE", "REGISTER", "BYE", "ACK", "CANCEL", "X-OTHER"])
_requests = st.builds(
    SipMessage, _methods, _uris, st.just(0), _word, _uris, _word, _uris, _word, st.integers(0, 2**32 - 1), _headers, _credentials
)
_responses = st.builds(
    SipMessage, _methods, st.just(""), st.integers(100, 699), _word, _uris, _word, _uris, _word, st.integers(0, 2**31), _headers
)


@given(_requests | _responses, st.binary(max_size=50))
def test_what_is_built_reads_to_the_same(message: SipMessage, body: bytes) -> None:
    assert parse(build(message, body=body)) == message


def test_an_invite() -> None:
    assert parse(PLAIN) == INVITE
    assert INVITE.is_request
    assert (INVITE.branch, INVITE.contact, INVITE.user_agent, INVITE.expires) == (
        "z9hG4bKx",
        "sip:4930123456@192.0.2.1:5060",
        "FRITZ!OS",
        None,
    )


def test_responses_copy_what_they_must() -> None:
    busy = parse(build(response(INVITE, 486, to_tag="t9", server="PBX")))
    assert (busy.status_code, busy.method, busy.is_request, busy.to_tag, busy.cseq) == (486, "INVITE", False, "t9", 7)
    assert (busy.vias, busy.user_agent) == (INVITE.vias, "PBX")
    challenged = parse(build(response(INVITE, 407, to_tag="t9", challenge=Challenge("example.com", "n0nce", "MD5", ("auth",)))))
    assert challenged.challenges == (Challenge("example.com", "n0nce", "MD5", ("auth",)),)
    register = request("REGISTER", "sip:example.com", call_id="r", from_uri="sip:1@x", from_tag="t", contact="sip:1@192.0.2.9", expires=300)
    bound = parse(build(response(register, 200, to_tag="t", contact="sip:1@192.0.2.9", expires=280)))
    assert (bound.expires, bound.contacts) == (280, (Contact("sip:1@192.0.2.9", 280),))
    assert parse(build(response(register, 200, expires=77))).expires == 77
    assert parse(build(register)).expires == 300


def test_credentials_are_read_and_their_response_is_gone() -> None:
    challenge = Challenge("example.com", "n0nce", "MD5", ("auth",))
    value = digest.answer(challenge, username="4930123456", password=Secret("pw"), method="INVITE", uri="sip:x", cnonce="c")
    payload = build(INVITE, authorization=value)
    answer = value.split('response="')[1][:32]
    assert answer.encode() in payload
    message = parse(payload)
    assert message.credentials == (Credentials("4930123456", "example.com", "n0nce", "sip:x", "00000001", "c", "auth", "MD5"),)
    assert answer not in repr(message)
    unread = parse(payload, credentials=False)
    assert unread.credentials == ()
    assert "n0nce" not in repr(unread)
    assert unread.headers == message.headers


def test_credentials_that_two_readers_could_read_differently_name_nobody() -> None:
    message = reading('Proxy-Authorization: Digest username="eve", nonce="n", username="victim"', "Authorization: Basic dmljdGltOng=")
    assert message.credentials == ()
    assert "victim" not in repr(message)


def test_at_most_four_credentials() -> None:
    rows = [f'Authorization: Digest username="u{i}", nonce="n"' for i in range(9)]
    assert [credentials.username for credentials in reading(*rows).credentials] == ["u0", "u1", "u2", "u3"]


def test_bodies_and_keys_are_dropped() -> None:
    body = b"v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n\r\nCall-ID: other\r\n\x00\xff"
    message = reading("Content-Type: application/sdp", body=body)
    assert message == INVITE
    assert "inline" not in repr(message)


def test_a_body_behind_bare_line_feeds_is_no_header() -> None:
    payload = PLAIN.replace(b"\r\n", b"\n") + b"Diversion: <sip:victim@x>\n\nP-Asserted-Identity: <sip:victim@x>\r\n\r\n"
    assert parse(payload) == INVITE
    mixed = PLAIN[:-4] + b"\n\nDiversion: <sip:victim@x>\r\n\r\n"
    assert parse(mixed) == INVITE
    assert parse(PLAIN[:-4] + b"\n\r\nDiversion: <sip:victim@x>\r\n\r\n") == INVITE


def test_without_an_empty_line_the_head_is_the_datagram() -> None:
    assert parse(PLAIN[:-2]) == INVITE
    assert parse(PLAIN[:-4]) == INVITE


@pytest.mark.parametrize("payload", [b"", b"\r\n\r\n", b"\0\0\0\0", b"  \r\n"])
def test_keep_alives(payload: bytes) -> None:
    assert refusal(payload) == "keep_alive"
    assert parse(payload + PLAIN) == INVITE


def test_compact_names_case_and_order() -> None:
    payload = b"INVITE sip:1@x SIP/2.0\r\ni:c\r\nCSEQ:1 INVITE\r\nx: 1800;refresher=uac\r\nt:<sip:2@x>\r\nM : <sip:3@y>\r\nf:sip:4@x;tag=a\r\nv:SIP/2.0/UDP h;BRANCH=b\r\n\r\n"
    message = parse(payload)
    assert (message.call_id, message.to_uri, message.from_uri, message.from_tag) == ("c", "sip:2@x", "sip:4@x", "a")
    assert (message.contact, message.branch, message.session_expires) == ("sip:3@y", "b", 1800)


def test_folded_lines_are_one() -> None:
    message = reading("Diversion: <sip:a@x>,", "\t<sip:b@x>", "  ;reason=unknown", "Expires:", " 60", "Contact: ", "  ", drop="Contact")
    assert (message.diversions, message.expires) == (("sip:a@x", "sip:b@x"), 60)
    assert parse(PLAIN.replace(b"Call-ID: ", b"Call-ID:\r\n ")) == INVITE
    assert parse(PLAIN.replace(b"Call-ID: ", b"Call-ID:\n\t")) == INVITE


def test_of_repeated_identities_the_first_counts() -> None:
    message = reading("Call-ID: second", "CSeq: 9 BYE", "From: <sip:other@x>;tag=o", "To: <sip:other@x>;tag=o")
    assert message == INVITE


def test_lists_of_rows_and_commas() -> None:
    message = reading(
        'Contact: <sip:b@x>;expires=60, "a,b" <sip:c@x;p=1,2>;q=0.1 , <sip:d@x>',
        'P-Asserted-Identity: "x" <sip:+4930@x>, <tel:+4930>',
        "History-Info: <sip:1@x?Reason=SIP%3Bcause%3D302>;index=1, <sip:2@x>;index=1.1",
        "Via: SIP/2.0/UDP b, SIP/2.0/UDP c",
    )  # fmt: skip
    assert [contact.uri for contact in message.contacts] == ["sip:4930123456@192.0.2.1:5060", "sip:b@x", "sip:c@x;p=1,2", "sip:d@x"]
    assert message.asserted_identities == ("sip:+4930@x", "tel:+4930")
    assert message.history == ("sip:1@x?Reason=SIP%3Bcause%3D302", "sip:2@x")
    assert len(message.vias) == 3


@pytest.mark.parametrize(
    ("party", "uri", "tag"),
    [
        ("<sip:a@x>;tag=1", "sip:a@x", "1"),
        ("sip:a@x;tag=1", "sip:a@x", "1"),
        ('"A <sip:evil@x>;tag=9" <sip:a@x>;tag=1', "sip:a@x", "1"),
        (r'"A \" <sip:evil@x>" <sip:a@x>;tag=1', "sip:a@x", "1"),
        ('<sip:a@x>;x=";tag=9";tag=1', "sip:a@x", "1"),
        ("<sip:a@x> ; Tag = 1 ;y", "sip:a@x", "1"),
        ("<sip:a@x>;stag=9;tag=1;z=2", "sip:a@x", "1"),
        ("<sip:a@x;tag=9>", "sip:a@x", ""),
        ("Bell, Alexander <sip:a@x>;tag=1", "sip:a@x", "1"),
        ("<sip:alice:s3cret@x>;tag=1", "sip:alice@x", "1"),
        ("<tel:110;phone-context=+49>;tag=1", "tel:110;phone-context=+49", "1"),
    ],
)
def test_from_in_many_shapes(party: str, uri: str, tag: str) -> None:
    expected = uri if uri != "sip:a@x;tag=9" else "sip:a@x"
    message = reading(f"From: {party}", drop="From")
    if party == "<sip:a@x;tag=9>":
        expected = "sip:a@x;tag=9"
    assert (message.from_uri, message.from_tag) == (expected, tag)


_odd = st.text('ab:@;=<>" \t%1', max_size=12)


@given(st.builds("<sip{}:{}@{}>{}".format, st.sampled_from(["", "s"]), _odd, _odd, _odd | st.builds(";tag={}".format, _odd)))
@example('<sip:a@x>;tag="1"')
@example("<sip:a@x>;tag=1 ;x")
@example("<sip:a:b@x>;tag=1")
@example("<sip:a@b@x>;tag=1")
def test_the_short_way_to_read_a_party_is_the_long_way(party: str) -> None:
    def read(value: str) -> object:
        try:
            message = reading(f"From: {value}", drop="From")
        except PeerError as error:
            return error.reason
        return message.from_uri, message.from_tag

    # A display name of one letter is all that is needed to be read the long way.
    assert read(party) == read(f"x {party}")


def test_passwords_in_uris_are_dropped() -> None:
    message = parse(PLAIN.replace(b"sip:+23222333444@", b"sip:+23222333444:pa55@"))
    assert message.request_uri == "sip:+23222333444@example.com;user=phone"
    assert "pa55" not in repr(message)


def test_odd_bytes_are_replaced() -> None:
    message = parse(PLAIN.replace(b"abc@192", b"a\x00b\xffc\x7f@192"))
    assert message.call_id == "a?b\ufffdc?@192.0.2.1"
    assert parse(PLAIN.replace(b"abc@192", b"a\rb@192")).call_id == "a b@192.0.2.1"


def test_overlong_identifiers_stay_distinct_and_short() -> None:
    long = "x" * 5000
    one, two = (reading(f"Call-ID: {long}{end}", drop="Call-ID").call_id for end in "12")
    assert one != two
    assert len(one) == len(two) == MAX_IDENTIFIER_CHARS
    assert len(reading(f"From: <sip:a@x>;tag={long}", drop="From").from_tag) == MAX_IDENTIFIER_CHARS
    assert len(parse(PLAIN.replace(b"example.com;user", b"example.com;" + b"y" * 5000)).request_uri) == MAX_URI_CHARS
    message = reading(f"User-Agent: {long}", f"Contact: <sip:{long}@x>", drop="User-Agent")
    assert len(message.user_agent) == MAX_AGENT_CHARS
    assert len(message.contacts[1].uri) == MAX_URI_CHARS


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ((b"Call-ID", b"X-Call-ID"), "no_call_id"),
        ((b"Call-ID: abc@192.0.2.1", b"Call-ID: "), "no_call_id"),
        ((b"CSeq: 7 INVITE", b""), "no_cseq"),
        ((b"CSeq: 7 INVITE", b"CSeq: 7"), "no_cseq"),
        ((b"CSeq: 7 INVITE", b"CSeq: x INVITE"), "bad_cseq"),
        ((b"CSeq: 7 INVITE", b"CSeq: -7 INVITE"), "bad_cseq"),
        ((b"CSeq: 7 INVITE", "CSeq: ٣ INVITE".encode()), "bad_cseq"),
        ((b"CSeq: 7 INVITE", b"CSeq: 4294967296 INVITE"), "bad_cseq"),
        ((b"CSeq: 7 INVITE", b"CSeq: " + b"9" * 5000 + b" INVITE"), "bad_cseq"),
        ((b"CSeq: 7 INVITE", b"CSeq: 7 IN(VITE"), "bad_cseq"),
        ((b"From:", b"X-From:"), "no_from"),
        ((b"To:", b"X-To:"), "no_to"),
        ((b"From: <sip:4930123456@example.com>", b"From: <sip:4930123456@example.com"), "bad_from"),
        ((b"From: <sip:4930123456@example.com>", b'From: "x <sip:4930123456@example.com>'), "bad_from"),
        ((b"INVITE sip", b"INV(ITE sip"), "bad_method"),
        ((b"INVITE sip", b"I" * 65 + b" sip"), "bad_method"),
        ((b" SIP/2.0\r\n", b" SIP/3.0\r\n"), "bad_version"),
        ((b" SIP/2.0\r\n", b" HTTP/1.1\r\n"), "bad_start_line"),
        ((b" SIP/2.0\r\n", b"\r\n"), "bad_start_line"),
        ((b"INVITE sip:+23222333444@example.com;user=phone SIP/2.0", b"SIP/2.0 99 Low"), "bad_start_line"),
        ((b"INVITE sip:+23222333444@example.com;user=phone SIP/2.0", b"SIP/2.0 700 High"), "bad_start_line"),
        ((b"INVITE sip:+23222333444@example.com;user=phone SIP/2.0", b"SIP/2.0"), "bad_start_line"),
        ((b"INVITE sip:+23222333444@example.com;user=phone SIP/2.0", b"SIP/1.0 200 OK"), "bad_version"),
        ((b"\r\n\r\n", b"\r\nX: y" * MAX_HEADERS + b"\r\n\r\n"), "too_many_headers"),
        ((b"\r\n\r\n", b"\r\n\r\n" + bytes(MAX_MESSAGE_BYTES)), "oversized"),
    ],
)
def test_every_refusal_has_its_reason(change: tuple[bytes, bytes], reason: str) -> None:
    assert change[0] in PLAIN
    assert refusal(PLAIN.replace(*change)) == reason


def test_rare_fields_that_cannot_be_read_are_absent() -> None:
    message = reading(
        "Expires: soon", "Session-Expires: ", "WWW-Authenticate: Negotiate", "WWW-Authenticate: Digest realm", 'Contact: "x', "no colon here", drop="Contact"
    )  # fmt: skip
    assert (message.expires, message.session_expires, message.challenges, message.contacts, message.contact) == (None, None, (), (), "")
    assert reading("Expires: 99999999999999999999999").expires == 2**31 - 1
    bare = SipMessage("BYE", "sip:x", 0, "c", "sip:a", "", "sip:b", "", 1)
    assert (bare.branch, bare.user_agent, bare.vias, bare.diversions) == ("", "", (), ())


def test_a_line_end_cannot_be_smuggled_in() -> None:
    with pytest.raises(ValueError, match="line end"):
        build(INVITE, extra={"X": "a\r\nDiversion: <sip:victim@x>"})


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: PLAIN[:-2] + tail))
def test_only_peer_errors_leave(payload: bytes) -> None:
    try:
        message = parse(payload)
    except PeerError:
        return
    assert message.call_id
    touched = (message.branch, message.contacts, message.expires, message.challenges, message.history, message.session_expires)
    assert len(touched) == 6
