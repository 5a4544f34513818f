"""A SIP message as an observer needs it: who, to whom, which dialog, which verdict. Never its body, never a password, never a response.

What every message needs is read at once; rarer header fields stay as text in `headers` and are read by the properties when asked for.
A property never raises: what cannot be read is absent (empty text, empty tuple or None).
"""

from typing import NamedTuple

import msgspec

from ringfence.base.errors import PeerError
from ringfence.protocols import digest
from ringfence.protocols.digest import Challenge, Credentials
from ringfence.protocols.sip.fields import parameter, split_list, split_name_addr
from ringfence.protocols.sip.uri import without_password

MAX_EXPIRES = 2**31 - 1
"""RFC 3261 20.19 allows up to 2^32 - 1 seconds; larger values count as this one."""
MAX_AGENT_CHARS = 256
MAX_URI_CHARS = 1_024
"""A longer URI is cut; its user and host stand at its start."""


class Contact(NamedTuple):
    """One Contact: URI and its own `expires`, None when it has none. The URI `*` means all of them (REGISTER)."""

    uri: str
    expires: int | None


class SipMessage(msgspec.Struct, frozen=True):
    """A request (`status_code` 0) or a response (`request_uri` empty, `method` from its CSeq).

    `headers` holds the kept header fields that have no attribute of their own: lower-case long name to the values of its rows, in
    order. `credentials` are those of Authorization and Proxy-Authorization that could be read, without their response.
    """

    method: str
    request_uri: str
    status_code: int
    call_id: str
    from_uri: str
    from_tag: str
    to_uri: str
    to_tag: str
    cseq: int
    headers: dict[str, tuple[str, ...]] = {}
    credentials: tuple[Credentials, ...] = ()

    @property
    def is_request(self) -> bool:
        """True for a request."""
        return not self.status_code

    @property
    def vias(self) -> tuple[str, ...]:
        """Via values, topmost first."""
        return self._values("via")

    @property
    def branch(self) -> str:
        """The branch of the topmost Via; empty when there is none (RFC 2543 peers)."""
        rows = self.headers.get("via")
        return parameter(split_list(rows[0])[0], "branch") if rows else ""

    @property
    def contacts(self) -> tuple[Contact, ...]:
        """All Contacts; those that cannot be read are left out."""
        found = []
        for value in self._values("contact"):
            uri, parameters = split_name_addr(value)
            if uri:
                found.append(Contact(_bounded(uri), seconds(parameter(parameters, "expires")) if parameters else None))
        return tuple(found)

    @property
    def contact(self) -> str:
        """URI of the first Contact."""
        contacts = self.contacts
        return contacts[0].uri if contacts else ""

    @property
    def expires(self) -> int | None:
        """Seconds of the first Contact's own `expires`, else of the Expires header field (RFC 3261 10.2.1.1), else None."""
        return self.binding[1]

    @property
    def binding(self) -> tuple[str, int | None]:
        """`(contact, expires)` of a REGISTER, read at once."""
        contacts = self.contacts
        if not contacts:
            return "", seconds(self._first("expires"))
        contact, expires = contacts[0]
        return contact, seconds(self._first("expires")) if expires is None else expires

    @property
    def session_expires(self) -> int | None:
        """Seconds of the session timer (RFC 4028), None without one."""
        return seconds(self._first("session-expires").partition(";")[0])

    @property
    def user_agent(self) -> str:
        """The User-Agent, else Server (responses); cut after `MAX_AGENT_CHARS`."""
        return (self._first("user-agent") or self._first("server"))[:MAX_AGENT_CHARS]

    @property
    def challenges(self) -> tuple[Challenge, ...]:
        """Digest challenges of WWW-Authenticate and Proxy-Authenticate; other schemes and unreadable ones are left out."""
        found = []
        for name in ("www-authenticate", "proxy-authenticate"):
            # Not a comma list: each row is one challenge (RFC 3261 7.3.1 keeps these out of the comma rule).
            for value in self.headers.get(name, ()):
                try:
                    found.append(digest.parse_challenge(value))
                except PeerError:
                    continue
        return tuple(found)

    @property
    def asserted_identities(self) -> tuple[str, ...]:
        """URIs of P-Asserted-Identity (RFC 3325)."""
        return self._uris("p-asserted-identity")

    @property
    def diversions(self) -> tuple[str, ...]:
        """URIs of Diversion (RFC 5806), most recent first: who forwarded the call."""
        return self._uris("diversion")

    @property
    def history(self) -> tuple[str, ...]:
        """URIs of History-Info (RFC 7044), in order."""
        return self._uris("history-info")

    @property
    def refer_to(self) -> str:
        """URI of Refer-To (RFC 3515): whom the receiver of a REFER is to call."""
        return next(iter(self._uris("refer-to")), "")

    def _values(self, name: str) -> tuple[str, ...]:
        rows = self.headers.get(name, ())
        if len(rows) == 1 and "," not in rows[0]:
            return rows
        return tuple(value for row in rows for value in split_list(row))

    def _uris(self, name: str) -> tuple[str, ...]:
        return tuple(_bounded(uri) for value in self._values(name) if (uri := split_name_addr(value)[0]))

    def _first(self, name: str) -> str:
        rows = self.headers.get(name)
        return rows[0] if rows else ""


def _bounded(uri: str) -> str:
    return without_password(uri[:MAX_URI_CHARS])


def seconds(text: str) -> int | None:
    """A delta-seconds value (RFC 3261 25.1: 1*DIGIT), None when it is none."""
    digits = text.strip()
    if not digits.isdecimal() or not digits.isascii():
        return None
    return min(int(digits[:20]), MAX_EXPIRES)
