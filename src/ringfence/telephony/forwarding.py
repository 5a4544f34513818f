"""Who forwarded a call, from what SIP says of it: Diversion (RFC 5806), History-Info (RFC 7044), 302 and REFER (RFC 3515).

These fields are written by whoever sends the request, so they name a payer only where the server itself added them, or where the
account's own credentials stand behind them; `dialogs` keeps that apart. The one thing to know: anybody may write any history, so all that a
stranger's request can say here is that its history is one that no honest call has.
"""

from collections import OrderedDict

from ringfence.protocols.sip import SipMessage
from ringfence.telephony.numbers import split_uri

MAX_HISTORY = 5
"""Forwardings of an honest call at the most; with more it is a loop."""
MAX_READ = 16
"""Entries that are read."""
MAX_MOVED = 8
"""Contacts of a 302 that are remembered for a call."""
REFER_MS = 60_000
"""How long after a REFER the call that it asked for is known as such."""
MAX_REFERRED = 4_096
"""Requests of this kind that are remembered; beyond, the oldest is forgotten."""


def diverted_of(message: SipMessage) -> tuple[str, ...]:
    """URIs of those who forwarded this call, most recent first."""
    headers = message.headers
    if "diversion" in headers:
        return message.diversions[:MAX_READ]
    if "history-info" in headers:
        # In order, and the last is who is called now.
        return tuple(reversed(message.history[:MAX_READ][:-1]))
    return ()


def is_loop(message: SipMessage) -> bool:
    """Whether the history names a number twice, or more of them than an honest call has."""
    for uris in (message.diversions, message.history):
        if len(uris) > MAX_HISTORY:
            return True
        users = [split_uri(uri)[0].lower() for uri in uris]
        if len(set(users)) < len(users):
            return True
    return False


class Referrals:
    """Numbers that somebody else asked an account's phone to call, for a minute."""

    __slots__ = ("_asked",)

    def __init__(self) -> None:
        self._asked: OrderedDict[tuple[str, str], int] = OrderedDict()

    def note(self, account: str, number: str, at_ms: int) -> None:
        """The other side of a call sent a REFER to the account."""
        self._asked.pop((account, number), None)
        if len(self._asked) >= MAX_REFERRED:
            del self._asked[next(iter(self._asked))]
        self._asked[account, number] = at_ms + REFER_MS

    def take(self, account: str, number: str, at_ms: int) -> bool:
        """Whether this call was asked for; it is asked for once."""
        due = self._asked.pop((account, number), None) if self._asked else None
        return due is not None and at_ms <= due
