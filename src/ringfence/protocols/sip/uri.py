"""URIs as they stand in SIP: sip, sips, tel, urn and whatever else a Request-URI may hold (RFC 3261 19.1, RFC 3966, RFC 5031).

A password in a URI is dropped when it is read. What a telephone number means (national, international, with a context) is the dial
plan's business in telephony; here it is the text as dialled, and the context beside it.
"""

import re
from typing import Self

import msgspec

from ringfence.base.errors import PeerError

MAX_PARAMETERS = 32

# RFC 3986 2.1:  pct-encoded = "%" HEXDIG HEXDIG
_escapes = re.compile(r"(?:%[0-9A-Fa-f]{2})+").sub


class Uri(msgspec.Struct, frozen=True):
    """A URI in parts. `parameters` and `user_parameters` have lower-case names; a parameter without a value has an empty one.

    sip and sips: `user` unescaped and without its `;` parameters, `host` in lower case (IPv6 without brackets), `port` 0 when not given.
    tel: the number in `user`. urn and others: everything after the scheme in `user`.
    """

    scheme: str
    user: str
    host: str = ""
    port: int = 0
    parameters: tuple[tuple[str, str], ...] = ()
    user_parameters: tuple[tuple[str, str], ...] = ()

    def parameter(self, name: str) -> str | None:
        """Value of a URI parameter, None when it is not there. `name` in lower case."""
        return dict(self.parameters).get(name)

    @property
    def phone_context(self) -> str:
        """The phone-context of a local number (RFC 3966 5.1.5), of the user part (`sip:110;phone-context=+49@host`) or of the URI."""
        return dict(self.user_parameters).get("phone-context") or dict(self.parameters).get("phone-context") or ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URI. PeerError (`bad_uri`) when it has no scheme; anything else is read as well as it can be."""
        scheme, colon, rest = text.partition(":")
        scheme = scheme.strip().lower()
        if not colon or not scheme.isascii() or not scheme.replace("+", "").replace("-", "").replace(".", "").isalnum():
            raise PeerError(f"{text[:40]!r} is not a URI.", reason="bad_uri")
        if scheme in {"sip", "sips"}:
            return cls._parse_sip(scheme, rest)
        if scheme == "tel":
            number, _, parameters = rest.partition(";")
            return cls(scheme, unescape(number.strip()), parameters=_parameters(parameters))
        return cls(scheme, rest.strip())

    @classmethod
    def _parse_sip(cls, scheme: str, rest: str) -> Self:
        """RFC 3261 25.1: `"sip:" [ userinfo ] hostport uri-parameters [ headers ]`, `userinfo = user [ ":" password ] "@"`."""
        userinfo, at, location = rest.partition("@")
        if not at:
            userinfo, location = "", rest
        # The user part may hold ; and ? unescaped, so it was cut off first. A colon starts the password.
        user, _, user_parameters = userinfo.partition(":")[0].partition(";")
        hostport, _, parameters = location.partition("?")[0].partition(";")
        host, port = _host_and_port(hostport.strip())
        return cls(scheme, unescape(user.strip()), host, port, _parameters(parameters), _parameters(user_parameters))


def without_password(uri: str) -> str:
    """The URI's text without `:password` in its userinfo; the same text when there is none."""
    at = uri.find("@")
    if at < 0:
        return uri
    scheme = uri.find(":")
    password = uri.find(":", scheme + 1, at)
    return uri if password < 0 else uri[:password] + uri[at:]


def unescape(text: str) -> str:
    """Percent escapes resolved as UTF-8, except those of control characters and of bytes that are no UTF-8: they stay as written."""
    if "%" not in text:
        return text

    def resolved(run: re.Match[str]) -> str:
        try:
            plain = bytes.fromhex(run[0].replace("%", "")).decode()
        except UnicodeDecodeError:
            return run[0]
        return plain if plain.isprintable() else run[0]

    return _escapes(resolved, text)


def _host_and_port(hostport: str) -> tuple[str, int]:
    if hostport.startswith("["):
        host, _, after = hostport[1:].partition("]")
        port = after.removeprefix(":")
    else:
        host, _, port = hostport.partition(":")
    number = int(port) if port.isascii() and port.isdecimal() and len(port) <= 5 else 0
    return host.lower(), number if number <= 65_535 else 0


def _parameters(text: str) -> tuple[tuple[str, str], ...]:
    if not text:
        return ()
    found = []
    for part in text.split(";", MAX_PARAMETERS)[:MAX_PARAMETERS]:
        name, _, value = part.partition("=")
        if name := name.strip().lower():
            found.append((unescape(name), unescape(value.strip())))
    return tuple(found)
