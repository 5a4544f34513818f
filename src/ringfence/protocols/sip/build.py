"""SIP messages for simulators, benches and tests: made from values, written as RFC 3261 wants them.

`parse(build(message))` gives the message back. Text with a line end in it is our own mistake and stops with ValueError, so that no
value can smuggle in a header field.
"""

from collections.abc import Mapping

from ringfence.protocols.digest import Challenge, build_challenge, build_credentials
from ringfence.protocols.sip.messages import SipMessage

REASONS: Mapping[int, str] = {
    100: "Trying",
    180: "Ringing",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    302: "Moved Temporarily",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    486: "Busy Here",
    487: "Request Terminated",
    500: "Server Internal Error",
    503: "Service Unavailable",
    600: "Busy Everywhere",
    603: "Decline",
}
_SPELLINGS = {
    "via": "Via",
    "contact": "Contact",
    "expires": "Expires",
    "user-agent": "User-Agent",
    "server": "Server",
    "refer-to": "Refer-To",
    "www-authenticate": "WWW-Authenticate",
    "proxy-authenticate": "Proxy-Authenticate",
    "diversion": "Diversion",
    "history-info": "History-Info",
    "p-asserted-identity": "P-Asserted-Identity",
    "session-expires": "Session-Expires",
}


def request(
    method: str,
    request_uri: str,
    *,
    call_id: str,
    from_uri: str,
    from_tag: str,
    to_uri: str = "",
    to_tag: str = "",
    cseq: int = 1,
    via: str = "",
    contact: str = "",
    expires: int | None = None,
    user_agent: str = "",
) -> SipMessage:
    """A request as a value. `via` is a whole Via value, `contact` a bare URI; `to_uri` is the Request-URI when not given."""
    headers: dict[str, tuple[str, ...]] = {}
    if via:
        headers["via"] = (via,)
    if contact:
        headers["contact"] = (contact if contact == "*" else f"<{contact}>",)
    if expires is not None:
        headers["expires"] = (str(expires),)
    if user_agent:
        headers["user-agent"] = (user_agent,)
    return SipMessage(method, request_uri, 0, call_id, from_uri, from_tag, to_uri or request_uri, to_tag, cseq, headers)


def response(
    to: SipMessage,
    status_code: int,
    *,
    to_tag: str = "",
    contact: str = "",
    expires: int | None = None,
    challenge: Challenge | None = None,
    server: str = "",
) -> SipMessage:
    """The response to a request, with what RFC 3261 8.2.6.2 copies: Via, From, To, Call-ID, CSeq."""
    headers: dict[str, tuple[str, ...]] = {"via": to.headers["via"]} if "via" in to.headers else {}
    if contact:
        headers["contact"] = (f"<{contact}>" if expires is None else f"<{contact}>;expires={expires}",)
    elif expires is not None:
        headers["expires"] = (str(expires),)
    if challenge is not None:
        headers["proxy-authenticate" if status_code == 407 else "www-authenticate"] = (build_challenge(challenge),)
    if server:
        headers["server"] = (server,)
    tag = to.to_tag or to_tag
    return SipMessage(to.method, "", status_code, to.call_id, to.from_uri, to.from_tag, to.to_uri, tag, to.cseq, headers)


def build(
    message: SipMessage,
    *,
    body: bytes = b"",
    content_type: str = "application/sdp",
    authorization: str = "",
    extra: Mapping[str, str] | None = None,
) -> bytes:
    """Bytes of the message.

    `authorization` is a whole Digest value (`digest.answer`); without it the message's credentials are written without a response.
    It goes into Authorization for a REGISTER and into Proxy-Authorization otherwise. `extra` adds header fields as they are.
    """
    lines = [_start_line(message)]
    lines.extend(f"Via: {value}" for value in message.headers.get("via", ()))
    if message.is_request:
        lines.append("Max-Forwards: 70")
    lines.append(f"From: {_party(message.from_uri, message.from_tag)}")
    lines.append(f"To: {_party(message.to_uri, message.to_tag)}")
    lines.append(f"Call-ID: {message.call_id}")
    lines.append(f"CSeq: {message.cseq} {message.method}")
    for name, values in message.headers.items():
        if name != "via":
            lines.extend(f"{_SPELLINGS[name]}: {value}" for value in values)
    name = "Authorization" if message.method == "REGISTER" else "Proxy-Authorization"
    stated = [authorization] if authorization else [build_credentials(credentials) for credentials in message.credentials]
    lines.extend(f"{name}: {value}" for value in stated)
    lines.extend(f"{name}: {value}" for name, value in (extra or {}).items())
    if body:
        lines.append(f"Content-Type: {content_type}")
    lines.append(f"Content-Length: {len(body)}")
    for line in lines:
        if "\r" in line or "\n" in line:
            raise ValueError("a header field must not hold a line end")
    return "\r\n".join([*lines, "", ""]).encode() + body


def _start_line(message: SipMessage) -> str:
    if message.is_request:
        return f"{message.method} {message.request_uri} SIP/2.0"
    return f"SIP/2.0 {message.status_code} {REASONS.get(message.status_code, 'Unnamed')}"


def _party(uri: str, tag: str) -> str:
    return f"<{uri}>;tag={tag}" if tag else f"<{uri}>"
