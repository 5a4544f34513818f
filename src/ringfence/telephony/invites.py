"""INVITEs that are nobody's yet: bounded memory of what was asked, until a server's verdict makes it an account's attempt.

Anybody may fill this book, so it is fixed in size and forgets the oldest first; losing an entry costs a caller's name or a hop, never a
verdict. At a `challenge` server it also holds what that server challenged. The one thing to know: a nonce counts only when the server
itself was seen to issue it, for this Call-ID, From and Request-URI, before it sent the request on, because a callee may challenge too,
and then anybody could lend a victim's name to a call.
"""

from collections import OrderedDict

from ringfence.protocols.hep import HepPacket
from ringfence.protocols.sip import SipMessage
from ringfence.telephony.calls import MAX_HOPS, Hop, Vias
from ringfence.telephony.forwarding import diverted_of, is_loop

INVITES = 65_536
"""Requests that are remembered."""
INVITE_MS = 180_000
"""How long: RFC 3261 timer C, the longest a server waits for a final answer."""
MAX_NONCES = 4
_CREDENTIALS = b"uthorization:"
"""Of `Authorization:` and `Proxy-Authorization:`: whether there are some, without reading them."""


class Invite:
    """One INVITE as it was seen first, and what its server demanded."""

    __slots__ = (
        "at_ms",
        "caller_uri",
        "challenged",
        "claimed",
        "cseq",
        "diverted",
        "forwarded",
        "from_tag",
        "from_uri",
        "loop",
        "moved",
        "nonces",
        "relayed",
        "relays",
        "request_uri",
        "sent_from",
        "sent_to",
        "told",
        "user_agent",
        "vias",
        "with_credentials",
    )

    def __init__(self, message: SipMessage, packet: HepPacket, at_ms: int) -> None:
        self.from_tag = message.from_tag
        self.nonces: list[str] = []
        self.told = False
        """Its row is written."""
        self.challenged: tuple[str, str] | None = None
        """From and Request-URI of the request that this server challenged."""
        self.see(message, packet, at_ms)

    def see(self, message: SipMessage, packet: HepPacket, at_ms: int) -> None:
        """Take in a new request of the same dialog attempt (a higher CSeq)."""
        self.cseq = message.cseq
        self.from_uri = message.from_uri
        asserted = message.asserted_identities if "p-asserted-identity" in message.headers else ()
        self.caller_uri = asserted[0] if asserted else message.from_uri
        """Who calls, as a trunk says it (RFC 3325)."""
        self.request_uri = message.request_uri
        self.at_ms = at_ms
        self.user_agent = message.user_agent
        self.forwarded = "diversion" in message.headers or "history-info" in message.headers
        self.diverted = diverted_of(message) if self.forwarded else ()
        self.loop = self.forwarded and is_loop(message)
        self.moved: tuple[str, ...] = ()
        self.vias: tuple[Vias, ...] = (message.headers.get("via", ()),)
        self.with_credentials = _CREDENTIALS in packet.payload
        self.sent_from: Hop = (packet.source_ip, packet.source_port)
        self.sent_to: Hop = (packet.destination_ip, packet.destination_port)
        self.relayed = False
        self.relays: tuple[Hop, ...] = ()
        """Where the server sent it on to."""
        self.claimed = ""
        """Account that answered this server's own challenge; its verdict is still out."""
        if message.credentials and self.challenged == (message.from_uri, message.request_uri):
            self.claimed = next((given.username for given in message.credentials if given.nonce in self.nonces), "")


class InviteBook:
    """Unproven INVITEs by Call-ID."""

    __slots__ = ("_book", "_capacity", "forgotten")

    def __init__(self, capacity: int = INVITES) -> None:
        # Not a plain dict: the first of one that is emptied from the front is found by a walk over all that was there.
        self._book: OrderedDict[str, Invite] = OrderedDict()
        self._capacity = capacity
        self.forgotten = 0
        """Entries that had to go before their time."""

    @property
    def capacity(self) -> int:
        """Requests that are remembered at the most."""
        return self._capacity

    def __len__(self) -> int:
        return len(self._book)

    def get(self, call_id: str, from_tag: str, cseq: int) -> Invite | None:
        """The INVITE of a response or an event, when it is exactly that one."""
        invite = self._book.get(call_id)
        if invite is None or invite.from_tag != from_tag or invite.cseq != cseq:
            return None
        return invite

    def see(self, message: SipMessage, packet: HepPacket, at_ms: int) -> Invite:
        """Remember a request outside any dialog, or where it went."""
        invite = self._book.get(message.call_id)
        if invite is None or invite.from_tag != message.from_tag:
            if invite is None and len(self._book) >= self._capacity:
                del self._book[next(iter(self._book))]
                self.forgotten += 1
            invite = self._book[message.call_id] = Invite(message, packet, at_ms)
        elif invite.cseq < message.cseq:
            invite.see(message, packet, at_ms)
        elif invite.cseq == message.cseq and invite.sent_to == (packet.source_ip, packet.source_port):
            invite.relayed = True
            hop = (packet.destination_ip, packet.destination_port)
            if hop not in invite.relays and len(invite.relays) < MAX_HOPS:
                invite.relays = (*invite.relays, hop)
                invite.vias = (*invite.vias, message.headers.get("via", ()))
        return invite

    def find(self, call_id: str) -> Invite | None:
        """The newest INVITE of a Call-ID."""
        return self._book.get(call_id)

    def take(self, call_id: str) -> None:
        """Forget an INVITE that became an account's."""
        self._book.pop(call_id, None)

    def challenge(self, invite: Invite, message: SipMessage, packet: HepPacket) -> None:
        """A 401 or 407 to the INVITE: remember its nonces when the server itself sends it back and has not passed the request on."""
        itself = (packet.source_ip, packet.source_port) == invite.sent_to
        if not itself:
            invite.relayed = True
        if invite.relayed:
            return
        asked = (invite.from_uri, invite.request_uri)
        if invite.challenged != asked:
            invite.challenged = asked
            invite.nonces = []
        for challenge in message.challenges:
            if challenge.nonce not in invite.nonces:
                invite.nonces = [*invite.nonces, challenge.nonce][-MAX_NONCES:]

    def expire(self, now_ms: int) -> None:
        """Forget what is older than `INVITE_MS`."""
        limit = now_ms - INVITE_MS
        while self._book:
            oldest = next(iter(self._book))
            if self._book[oldest].at_ms > limit:
                return
            del self._book[oldest]
