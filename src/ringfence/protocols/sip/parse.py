"""Bytes of one SIP message to a `SipMessage`: tolerant, because the server it was copied from was, and bounded, because anybody sent it.

A message that a server forgives and this reader refuses would be a call that nobody watches. So: of repeated header fields the first
counts (as in Kamailio), overlong identifiers are shortened to a form that stays distinct, odd bytes are replaced, and the body is not
looked at at all. Refused is only what has no dialog identity or no start line. Bodies, SDES keys in them, passwords in URIs and
Digest responses are dropped here and reach nothing else.
"""

import hashlib
import re

from ringfence.base.errors import PeerError
from ringfence.protocols.digest import Credentials, is_digest, parse_credentials
from ringfence.protocols.sip.fields import parameter, split_name_addr
from ringfence.protocols.sip.messages import MAX_URI_CHARS, SipMessage
from ringfence.protocols.sip.uri import without_password

MAX_MESSAGE_BYTES = 65_535
"""A UDP datagram, and Kamailio's own buffer. Larger: `oversized`."""
MAX_HEADERS = 512
"""Rows of the head. More: `too_many_headers`."""
MAX_METHOD_CHARS = 64
MAX_IDENTIFIER_CHARS = 256
"""Call-ID, tags. A longer one becomes its first characters, `~` and a hash of the whole."""
MAX_CREDENTIALS = 4
"""Authorization rows that are read; one a realm is usual."""
MAX_CSEQ = 2**32 - 1

# Kept header fields by every spelling that is worth a direct hit; others are looked up again in lower case. None: known and not kept.
_COMPACT = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "x": "session-expires",
    "r": "refer-to",
}  # RFC 3261 7.3.3, 4028, 3515
_KEPT = (
    *("From", "To", "Call-ID", "CSeq", "Via", "Contact", "Expires", "User-Agent", "Server", "Authorization", "Proxy-Authorization"),
    *("WWW-Authenticate", "Proxy-Authenticate", "Diversion", "History-Info", "P-Asserted-Identity", "Session-Expires", "Refer-To"),
)
_DROPPED = (
    *("Max-Forwards", "Content-Length", "Content-Type", "Allow", "Supported", "Route", "Record-Route", "Accept", "Require", "Subject"),
    *("Allow-Events", "Min-SE", "Date", "Organization", "Accept-Language", "P-Preferred-Identity", "Privacy", "k", "l", "c", "s", "e", "u"),
)
NAMES: dict[str, str | None] = {
    **{spelling: name.lower() for name in _KEPT for spelling in (name, name.lower(), name.title(), name.upper())},
    **_COMPACT,
    **dict.fromkeys(_DROPPED),
}

_METHODS = frozenset(
    {
        "INVITE",
        "ACK",
        "BYE",
        "CANCEL",
        "REGISTER",
        "OPTIONS",
        "PRACK",
        "UPDATE",
        "INFO",
        "SUBSCRIBE",
        "NOTIFY",
        "REFER",
        "MESSAGE",
        "PUBLISH",
    }
)
# RFC 3261 25.1:  token = 1*(alphanum / "-" / "." / "!" / "%" / "*" / "_" / "+" / "`" / "'" / "~" )
_token = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+").fullmatch
_line_ends = re.compile(r"\r?\n").split
_empty_line = re.compile(r"\n\r?\n").split
_BLANKS = frozenset(" \t")
# Control characters other than tab, CR and LF become question marks: one pass, and no NUL reaches a database.
_PRINTABLE = bytes(byte if (byte >= 32 and byte != 127) or byte in b"\t\r\n" else ord("?") for byte in range(256))


# Nearly every From and To: an address in brackets without a password, and a tag or nothing. One match instead of a dozen searches; whatever
# looks different is read the long way, and both readings of one text are equal (a test holds them together).
_plain_party = re.compile(r'<(sips?:[^:@<>"\s]*+@[^@<>"\s]++)>(?:;tag=([^;"\s]++))?').fullmatch


def parse(payload: bytes, *, credentials: bool = True) -> SipMessage:
    """Read one message. PeerError with a reason when it has no readable start line, Call-ID, CSeq, From or To, or is too large.

    Without `credentials` they are dropped unread: a third of the work on a request that has some.
    """
    if len(payload) > MAX_MESSAGE_BYTES:
        raise PeerError(f"The message has more than {MAX_MESSAGE_BYTES} bytes.", reason="oversized")
    lines = _head_lines(payload)
    headers = _read_headers(lines)
    method, request_uri, status_code = _read_start_line(lines[0])
    cseq, cseq_method = _read_cseq(headers.pop("cseq", None))
    call_id = headers.pop("call-id", ("",))[0]
    if not call_id:
        raise PeerError("The message has no Call-ID.", reason="no_call_id")
    from_uri, from_tag = _read_party(headers.pop("from", None), "from")
    to_uri, to_tag = _read_party(headers.pop("to", None), "to")
    given: tuple[Credentials, ...] = ()
    if "authorization" in headers or "proxy-authorization" in headers:
        rows = headers.pop("authorization", ()) + headers.pop("proxy-authorization", ())
        if credentials:
            given = _read_credentials(rows)
    return SipMessage(
        method or cseq_method,
        request_uri,
        status_code,
        call_id if len(call_id) <= MAX_IDENTIFIER_CHARS else _shortened(call_id),
        from_uri,
        from_tag,
        to_uri,
        to_tag,
        cseq,
        headers,
        given,
    )


def _head_lines(payload: bytes) -> list[str]:
    """Start line and header fields, unfolded. The head ends at the first empty line, or with the datagram."""
    if payload[:1] in b"\r\n\0 \t":
        # RFC 3261 7.5: empty lines before the start line are ignored; Kamailio 5.6.3 takes an INVITE behind blanks and NULs as well.
        # Nothing but them is a keep-alive (RFC 5626 3.5.1).
        payload = payload.lstrip(b"\r\n\0 \t")
        if not payload:
            raise PeerError("A keep-alive, not a message.", reason="keep_alive")
    end = payload.find(b"\r\n\r\n")
    head = (payload[:end] if end >= 0 else payload).translate(_PRINTABLE).decode("utf-8", "replace")
    lines = head.split("\r\n")
    ends = len(lines) - 1
    if head.count("\n") != ends or head.count("\r") != ends:
        # Line ends other than CRLF. The first empty line of any kind ends the head: a body must never be read as header fields.
        head = _empty_line(head, 1)[0]
        lines = [line.replace("\r", " ") for line in _line_ends(head)]
    if len(lines) > MAX_HEADERS:
        raise PeerError(f"The message has more than {MAX_HEADERS} header fields.", reason="too_many_headers")
    return lines


def _read_headers(lines: list[str]) -> dict[str, tuple[str, ...]]:
    headers: dict[str, tuple[str, ...]] = {}
    names = NAMES.get
    for line in lines[1:]:
        spelling, colon, value = line.partition(":")
        name = names(spelling, "")
        if name is None:
            continue
        if not name:
            if line[:1] in _BLANKS:
                return _read_headers(_unfolded(lines))
            name = names(spelling.strip().lower())
        if not name or not colon:
            continue
        if name in headers:
            headers[name] = (*headers[name], value.strip())
        else:
            headers[name] = (value.strip(),)
    return headers


def _unfolded(lines: list[str]) -> list[str]:
    """RFC 3261 7.3.1: a line that starts with a blank continues the one before."""
    whole: list[list[str]] = []
    for line in lines:
        if whole and line[:1] in _BLANKS:
            whole[-1].append(line.lstrip())
        else:
            whole.append([line])
    return [" ".join(pieces) for pieces in whole if pieces != [""]]


def _read_start_line(line: str) -> tuple[str, str, int]:
    """`(method, request_uri, 0)` or `("", "", status_code)`."""
    parts = line.split()
    version = parts[0].upper() if parts else ""
    if version.startswith("SIP/"):
        if version != "SIP/2.0":
            raise PeerError("The message is not of SIP version 2.0.", reason="bad_version")
        code = parts[1] if len(parts) > 1 else ""
        if len(code) != 3 or not code.isascii() or not code.isdecimal() or not "100" <= code <= "699":
            raise PeerError("The status line has no status code.", reason="bad_start_line")
        return "", "", int(code)
    if len(parts) != 3:
        raise PeerError("The first line is neither a request line nor a status line.", reason="bad_start_line")
    method, request_uri, version = parts
    if version != "SIP/2.0" and version.upper() != "SIP/2.0":
        reason = "bad_version" if version[:4].upper() == "SIP/" else "bad_start_line"
        raise PeerError("The request line does not end in SIP/2.0.", reason=reason)
    if method not in _METHODS and (len(method) > MAX_METHOD_CHARS or not _token(method)):
        raise PeerError("The method is not a token.", reason="bad_method")
    return method, _bounded_uri(request_uri), 0


def _read_cseq(rows: tuple[str, ...] | None) -> tuple[int, str]:
    """RFC 3261 25.1: `CSeq = "CSeq" HCOLON 1*DIGIT LWS Method`."""
    parts = rows[0].split() if rows else []
    if len(parts) != 2:
        raise PeerError("The message has no CSeq.", reason="no_cseq")
    number, method = parts
    if not number.isascii() or not number.isdecimal() or len(number) > 20 or (cseq := int(number)) > MAX_CSEQ:
        raise PeerError("The CSeq is not a number of 32 bits.", reason="bad_cseq")
    if method not in _METHODS and (len(method) > MAX_METHOD_CHARS or not _token(method)):
        raise PeerError("The CSeq's method is not a token.", reason="bad_cseq")
    return cseq, method


def _read_party(rows: tuple[str, ...] | None, name: str) -> tuple[str, str]:
    """`(URI, tag)` of From or To."""
    if rows is None:
        raise PeerError(f"The message has no {name.title()}.", reason=f"no_{name}")
    value = rows[0]
    # Short enough that neither part is longer than its bound.
    if len(value) <= MAX_IDENTIFIER_CHARS and (plain := _plain_party(value)):
        uri, tag = plain.groups("")
        return uri, tag
    uri, parameters = split_name_addr(value)
    if not uri:
        raise PeerError(f"The {name.title()} holds no URI.", reason=f"bad_{name}")
    tag = parameter(parameters, "tag") if parameters else ""
    return _bounded_uri(uri), tag if len(tag) <= MAX_IDENTIFIER_CHARS else _shortened(tag)


def _read_credentials(rows: tuple[str, ...]) -> tuple[Credentials, ...]:
    """Those that can be read in exactly one way; others name nobody."""
    found = []
    for row in rows[:MAX_CREDENTIALS]:
        if is_digest(row):
            try:
                found.append(parse_credentials(row))
            except PeerError:
                continue
    return tuple(found)


def _bounded_uri(uri: str) -> str:
    return without_password(uri if len(uri) <= MAX_URI_CHARS else uri[:MAX_URI_CHARS])


def _shortened(identifier: str) -> str:
    whole = hashlib.blake2b(identifier.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
    return f"{identifier[: MAX_IDENTIFIER_CHARS - 25]}~{whole}"
