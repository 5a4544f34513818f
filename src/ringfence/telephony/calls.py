"""The state of one call and the rows it gives: attempt, answer, end.

A call exists here only once it is an account's (`dialogs` decides that). Its rows are made from its state alone, so the same call tells the
same whatever order and number its packets came in. The one thing to know: `answered_by` and `sent_to` remember on which hops a request was
seen, and an answer counts only from the far end of such a hop; what a stranger sends into the server from elsewhere is mirrored too.
"""

import msgspec

from ringfence.base.ids import slot_of
from ringfence.telephony.model import AccountRow, Direction, Flag, Kind
from ringfence.telephony.pricing import Priced
from ringfence.telephony.senders import NOBODY

MAX_HOPS = 6
"""Hops of one request that are remembered: forks and capture points."""
MAX_TAGS = 8
"""Answering forks of one call that are told apart."""
MAX_LEGS = 8
"""Legs of one call that forwarding made."""
MIN_SESSION_SECONDS = 90
"""RFC 4028, 4: the smallest session interval there is."""
SESSION_GRACE_MS = 32_000
"""64*T1: a refresh may be this late."""
SILENCE_MS = 4 * 3_600_000
"""A dialog without a session timer lives this long after its last sign of life."""
RING_MS = 300_000
"""An attempt without any answer is given up: RFC 3261 timer C (3 min) and room for announcements."""

_OUT = int(Direction.OUT)

Hop = tuple[str, int]
"""Address and port."""
Vias = tuple[str, ...]
"""Rows of the Via header field as they stand in a message, topmost first."""


class Call:
    """One call of an account, mutable, owned by `DialogTracker`."""

    __slots__ = (
        "account",
        "account_key",
        "answered_ms",
        "bye_before_ms",
        "bye_cseq",
        "bye_sent_to",
        "call_id",
        "call_key",
        "called",
        "caller",
        "credential",
        "cseq",
        "direction",
        "diverted",
        "edge",
        "ended_ms",
        "flags",
        "forwarded_by",
        "from_tag",
        "held",
        "inbound",
        "last_ms",
        "legs",
        "moved",
        "place",
        "priced",
        "refused",
        "request_uri",
        "sender",
        "sent_to",
        "session_ms",
        "shared",
        "slot",
        "source_ip",
        "source_port",
        "started_ms",
        "status_code",
        "tags",
        "user_agent",
        "vias",
    )

    def __init__(self, *, call_id: str, from_tag: str, cseq: int, request_uri: str, priced: Priced, started_ms: int) -> None:
        self.call_id = call_id
        self.from_tag = from_tag
        self.cseq = cseq
        self.request_uri = request_uri
        self.priced = priced
        self.started_ms = self.last_ms = started_ms
        self.place = call_id
        self.call_key = self.account_key = self.slot = 0
        self.account = self.credential = self.caller = self.edge = self.user_agent = self.source_ip = ""
        self.source_port = 0
        self.flags = priced.flags
        self.answered_ms = self.ended_ms = self.session_ms = 0
        self.status_code = 0
        self.held = False
        """Authenticated, and not yet known whether one of our blocks refuses it."""
        self.refused = False
        """Refused by our own block."""
        self.sent_to: list[Hop] = []
        """Where the INVITE was seen to go, first the server that authenticated it."""
        self.tags: list[str] = []
        """To-tags of the forks that answered and did not end."""
        self.sender = NOBODY
        self.direction = _OUT
        self.forwarded_by = ""
        self.inbound = False
        """Towards an account: nothing is told before it is over. `priced` is the caller, `called` the number that was called."""
        self.called = ""
        self.shared = False
        """Another call has the same Call-ID."""
        self.vias: tuple[Vias, ...] = ()
        """Of the INVITE on each hop: an ACK with a branch of these is for a refusal (RFC 3261, 17.1.1.3), with another for an answer."""
        self.diverted: tuple[str, ...] = ()
        """Forwardings that the caller itself wrote into the request."""
        self.moved: tuple[str, ...] = ()
        """Numbers that somebody who was called named in a 302."""
        self.legs: tuple[Call, ...] = ()
        """Legs that the server's forwarding made; they end with this call."""
        self.bye_before_ms = 0
        """Last sign of life before the first BYE."""
        self.bye_cseq = -1
        self.bye_sent_to: list[Hop] = []

    def deadline_ms(self, linger_ms: int) -> int:
        """When this call is given up, or forgotten after its end."""
        if self.ended_ms or self.refused:
            return self.last_ms + linger_ms
        if not self.answered_ms:
            return self.last_ms + RING_MS
        return self.last_ms + (self.session_ms + SESSION_GRACE_MS if self.session_ms else SILENCE_MS)

    def belongs(self, from_tag: str, to_tag: str) -> bool:
        """Whether a request with these tags is inside this dialog, from either side. One taken up from the log knows no tags."""
        if not self.from_tag:
            return True
        if from_tag == self.from_tag:
            return not self.tags or to_tag in self.tags
        return to_tag == self.from_tag and (not self.tags or from_tag in self.tags)

    def attempt(self, received_ms: int) -> AccountRow:
        """The ATTEMPT row."""
        return self._row(Kind.ATTEMPT, self.started_ms, received_ms, 0)

    def answer(self, received_ms: int) -> AccountRow:
        """The ANSWER row."""
        return self._row(Kind.ANSWER, self.answered_ms, received_ms, 200)

    def end(self, received_ms: int) -> AccountRow:
        """The END row."""
        return self._row(Kind.END, self.ended_ms, received_ms, self.status_code)

    def silent_end(self, received_ms: int) -> AccountRow:
        """The END row of a call that fell silent, back-dated to its last sign of life."""
        self.flags |= Flag.SILENT_END
        return self.end(received_ms)

    def blocked(self, status_code: int, block_id: str, at_ms: int, received_ms: int) -> AccountRow:
        """The BLOCKED row; `contact` names the block."""
        return self._row(Kind.BLOCKED, at_ms, received_ms, status_code, contact=block_id)

    def over(self, received_ms: int) -> AccountRow:
        """The INBOUND row: the whole call, with the caller's number as the one that would be called back."""
        rang_ms = (self.answered_ms or self.ended_ms) - self.started_ms
        return msgspec.structs.replace(
            self._row(Kind.INBOUND, self.started_ms, received_ms, self.status_code),
            slot=self.slot if self.account_key else slot_of(self.sender.source_key),
            callee=self.called,
            ring_seconds=max(0, rang_ms) // 1000,
        )

    def _row(self, kind: Kind, at_ms: int, received_ms: int, status_code: int, *, contact: str = "") -> AccountRow:
        priced = self.priced
        source_key, network_key, network_kind, source_country, network, family_key, flags = self.sender
        return AccountRow(
            kind=int(kind),
            at_ms=at_ms,
            received_ms=received_ms,
            account=self.account,
            account_key=self.account_key,
            slot=self.slot,
            call_id=self.call_id,
            call_key=self.call_key,
            caller=self.caller,
            callee=priced.callee,
            range_key=priced.range_key,
            number_tail=priced.number_tail,
            country=priced.country,
            destination_class=priced.destination_class,
            rate=priced.rate,
            connect_micro=priced.connect_micro,
            flags=int(self.flags) | flags,
            started_ms=self.started_ms,
            answered_ms=self.answered_ms,
            ended_ms=self.ended_ms,
            status_code=status_code,
            source_ip=self.source_ip,
            source_port=self.source_port,
            user_agent=self.user_agent,
            edge=self.edge,
            contact=contact,
            ring_seconds=max(0, self.answered_ms - self.started_ms) // 1000 if self.answered_ms else 0,
            credential=self.credential,
            direction=self.direction,
            source_key=source_key,
            network_key=network_key,
            network_kind=network_kind,
            source_country=source_country,
            family_key=family_key,
            network=network,
            forwarded_by=self.forwarded_by,
        )
