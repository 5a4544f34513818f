"""Calls of accounts out of what SIP servers saw: retransmitted, forked, captured twice, challenged, cancelled, and sometimes never ended.

Sans-IO: `receive_sip` for a mirrored message, `receive_event` for a verdict of our include, `handle_timeout` for silence; all return rows.
A call is opened only by a verdict (`trust`): an accepted credential at an `hlog` server, an answered challenge at a `challenge` server.
All else stays in the book of unproven INVITEs and becomes nobody's row. Every row leaves once: repeated packets change nothing. Memory
is bounded; what has to go early ends at its last sign of life and is counted. The one thing to know: an accepted INVITE is held for
`HOLD_MS`, because the include reports its own block just after, and an attempt that we refused ourselves must not count as one.
"""

import heapq
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable

from ringfence.base.ids import keyed_hash, slot_of
from ringfence.protocols.hep import HepPacket
from ringfence.protocols.sip import SipMessage
from ringfence.telephony.calls import MAX_HOPS, MAX_TAGS, MIN_SESSION_SECONDS, Call
from ringfence.telephony.hlog import HlogEvent
from ringfence.telephony.invites import INVITES, Invite, InviteBook
from ringfence.telephony.model import AccountRow, Flag, Kind, account_key_of
from ringfence.telephony.pricing import Priced, Pricing
from ringfence.telephony.trust import Agent, Trust

CALLS = 400_000
"""Calls of accounts that are followed at once, those that just ended among them. Beyond, the oldest ends silently."""
SEEN_CALLS = 1_000_000
"""Call keys that are remembered so that a call record of a call seen on the wire adds nothing."""
HOLD_MS = 20
LINGER_MS = 32_000
"""An ended call is remembered this long (64*T1), so that what comes late finds it ended."""
CHECK_MS = 32_000
"""How often a call's silence is looked at."""
SILENT_STATUS = 408
MAX_EVENTS_REMEMBERED = 16_384


class SeenCalls:
    """Call keys seen lately, in two generations of half the capacity each."""

    __slots__ = ("_half", "_new", "_old")

    def __init__(self, capacity: int = SEEN_CALLS) -> None:
        self._half = capacity // 2
        self._new: set[int] = set()
        self._old: set[int] = set()

    def add(self, call_key: int) -> None:
        """Remember a call."""
        if len(self._new) >= self._half:
            self._old = self._new
            self._new = set()
        self._new.add(call_key)

    def __contains__(self, call_key: int) -> bool:
        return call_key in self._new or call_key in self._old


class DialogTracker:
    """Follows the calls of one kind of agents: those with a key, or those without. Never both: a forger ends nothing of the real ones."""

    def __init__(
        self,
        *,
        key: bytes,
        pricing: Pricing,
        keyed: bool = True,
        calls_capacity: int = CALLS,
        invites_capacity: int = INVITES,
        seen_capacity: int = SEEN_CALLS,
    ) -> None:
        self._key = key
        self._pricing = pricing
        self._keyed = keyed
        self._capacity = calls_capacity
        self._calls: OrderedDict[str, Call] = OrderedDict()
        self._invites = InviteBook(invites_capacity)
        self._held: deque[tuple[int, Call]] = deque()
        self._wheel: dict[int, list[Call]] = {}
        self._seconds: list[int] = []
        self._events: OrderedDict[tuple[str, int, str], None] = OrderedDict()
        self._seen = SeenCalls(seen_capacity)
        self._out: list[AccountRow] = []
        self.counts: Counter[str] = Counter()
        """What was left aside or had to be forgotten, by reason."""

    @property
    def open_calls(self) -> int:
        """Calls in memory, those that just ended among them."""
        return len(self._calls)

    @property
    def unproven_invites(self) -> int:
        """INVITEs that are nobody's yet."""
        return len(self._invites)

    def seen(self, call_id: str) -> bool:
        """Whether this call was seen on the wire lately: its call record then adds nothing."""
        return self._call_key(call_id) in self._seen

    def note_seen(self, call_key: int) -> None:
        """Remember a call that a call record gave, so that the record counts once."""
        self._seen.add(call_key)

    def receive_sip(self, message: SipMessage, packet: HepPacket, agent: Agent, at_ms: int, now_ms: int) -> list[AccountRow]:
        """A mirrored message: event time `at_ms`, receipt `now_ms`."""
        method = message.method
        if not message.status_code:
            if method == "INVITE":
                self._invite(message, packet, at_ms, now_ms)
            elif method == "BYE":
                self._bye(message, packet, at_ms)
            elif message.to_tag:
                self._touch_dialog(message, at_ms)
        elif method == "INVITE":
            self._invite_response(message, packet, agent, at_ms, now_ms)
        elif method == "BYE":
            self._bye_response(message, packet, at_ms, now_ms)
        elif method == "UPDATE":
            self._touch_dialog(message, at_ms)
        return self._drain()

    def receive_event(self, event: HlogEvent, agent: Agent, at_ms: int, now_ms: int) -> list[AccountRow]:
        """A verdict of our include about an INVITE or a dialog. Only agents of trust `hlog` have a say."""
        if agent.trust is not Trust.HLOG:
            self.counts["event_without_trust"] += 1
            return []
        match event.event:
            case "auth":
                if event.authenticated and event.method == "INVITE":
                    self._accepted(event, agent, at_ms, now_ms)
            case "blocked":
                self._blocked(event, agent, at_ms, now_ms)
            case "dialog_start":
                call = self._find(event.call_id, event.from_tag, event.to_tag)
                if call is not None and call.from_tag in (event.from_tag, ""):
                    self._answered(call, event.to_tag, at_ms, now_ms)
            case "dialog_end":
                call = self._find(event.call_id, event.from_tag, event.to_tag)
                if call is not None and call.belongs(event.from_tag, event.to_tag):
                    self._ended(call, 200 if call.answered_ms else event.code or SILENT_STATUS, at_ms, now_ms)
        return self._drain()

    def next_timeout(self) -> int | None:
        """Unix milliseconds at which `handle_timeout` has something to do; None when nothing is pending."""
        pending = [self._held[0][0]] if self._held else []
        if self._seconds:
            pending.append(self._seconds[0] * 1000)
        return min(pending, default=None)

    def handle_timeout(self, now_ms: int) -> list[AccountRow]:
        """Release held attempts, end silent calls, forget ended ones."""
        while self._held and self._held[0][0] <= now_ms:
            self._release(self._held.popleft()[1], now_ms)
        while self._seconds and self._seconds[0] * 1000 <= now_ms:
            for call in self._wheel.pop(heapq.heappop(self._seconds)):
                if self._calls.get(call.place) is call:
                    self._check(call, now_ms)
        self._invites.expire(now_ms)
        return self._drain()

    def restore(self, rows: Iterable[AccountRow]) -> None:
        """Take up calls from rows of the log, in order, after a restart: those that run go on, those that ended are known as seen."""
        for row in rows:
            if not row.account or bool(row.flags & Flag.UNKEYED) is self._keyed:
                continue
            call = self._calls.get(row.call_id)
            if row.kind == Kind.ATTEMPT:
                self._seen.add(row.call_key)
                self._take_up(row)
            elif row.kind == Kind.ANSWER and call is not None:
                call.answered_ms = row.answered_ms
                call.last_ms = max(call.last_ms, row.answered_ms)
            elif row.kind == Kind.END and call is not None:
                del self._calls[row.call_id]

    # ----- requests -----

    def _invite(self, message: SipMessage, packet: HepPacket, at_ms: int, now_ms: int) -> None:
        call = self._find(message.call_id, message.from_tag, message.to_tag)
        if message.to_tag:
            if call is not None and call.belongs(message.from_tag, message.to_tag):
                _touch(call, at_ms)
            return
        if call is None or call.cseq < message.cseq or call.from_tag != message.from_tag:
            self._invites.see(message, packet, at_ms)
            return
        if call.cseq > message.cseq:
            return
        hop = (packet.destination_ip, packet.destination_port)
        if hop not in call.sent_to and len(call.sent_to) < MAX_HOPS:
            call.sent_to.append(hop)
        if not call.caller:
            call.caller = self._pricing.number(message.from_uri)
        _touch(call, at_ms)
        if call.held and (packet.source_ip, packet.source_port) == call.sent_to[0]:
            # The server passed it on: no block of ours refused it.
            self._release(call, now_ms)

    def _bye(self, message: SipMessage, packet: HepPacket, at_ms: int) -> None:
        call = self._find(message.call_id, message.from_tag, message.to_tag)
        if call is None or not call.belongs(message.from_tag, message.to_tag):
            return
        _touch(call, at_ms)
        if call.bye_cseq != message.cseq:
            call.bye_cseq = message.cseq
            call.bye_sent_to = []
        hop = (packet.destination_ip, packet.destination_port)
        if hop not in call.bye_sent_to and len(call.bye_sent_to) < MAX_HOPS:
            call.bye_sent_to.append(hop)

    def _touch_dialog(self, message: SipMessage, at_ms: int) -> None:
        call = self._find(message.call_id, message.from_tag, message.to_tag)
        if call is not None and call.belongs(message.from_tag, message.to_tag):
            _touch(call, at_ms)
            if 200 <= message.status_code < 300:
                _take_session(call, message)

    # ----- responses -----

    def _invite_response(self, message: SipMessage, packet: HepPacket, agent: Agent, at_ms: int, now_ms: int) -> None:
        status = message.status_code
        call = self._find(message.call_id, message.from_tag, message.to_tag)
        if call is None or call.cseq != message.cseq or call.from_tag not in (message.from_tag, ""):
            invite = self._invites.get(message.call_id, message.from_tag, message.cseq)
            if invite is None:
                if call is not None and call.answered_ms and status < 300:
                    self._touch_dialog(message, at_ms)
                return
            call = self._proven(invite, message, packet, agent, now_ms)
            if call is None:
                return
        hop = (packet.source_ip, packet.source_port)
        if status <= 100 or status in (401, 407) or call.refused:
            return
        if call.sent_to and hop not in call.sent_to:
            # Somebody else than where the request went: a stranger can send a response into any server.
            self.counts["answer_from_elsewhere"] += 1
            return
        if call.held and status != 603:
            self._release(call, now_ms)
        _touch(call, at_ms)
        if 200 <= status < 300:
            _take_session(call, message)
            self._answered(call, message.to_tag, at_ms, now_ms)
        elif status >= 300 and not call.answered_ms and (not call.sent_to or hop == call.sent_to[0]):
            # From another hop it is one fork's refusal, which the server has not sent back.
            self._ended(call, status, at_ms, now_ms)

    def _bye_response(self, message: SipMessage, packet: HepPacket, at_ms: int, now_ms: int) -> None:
        call = self._find(message.call_id, message.from_tag, message.to_tag)
        if call is None or call.bye_cseq != message.cseq or not 200 <= message.status_code < 300:
            return
        if (packet.source_ip, packet.source_port) not in call.bye_sent_to:
            self.counts["answer_from_elsewhere"] += 1
            return
        far_tag = message.to_tag if message.from_tag == call.from_tag else message.from_tag
        if far_tag in call.tags and len(call.tags) > 1:
            call.tags.remove(far_tag)
            return
        self._ended(call, 200 if call.answered_ms else 487, at_ms, now_ms)

    def _proven(self, invite: Invite, message: SipMessage, packet: HepPacket, agent: Agent, now_ms: int) -> Call | None:
        """At a `challenge` server: a call when this response shows that the server accepted the answer to its own challenge."""
        status = message.status_code
        if agent.trust is not Trust.CHALLENGE or status <= 100:
            return None
        if status in (401, 403, 407):
            refused = (packet.source_ip, packet.source_port) == invite.sent_to and invite.claimed
            if refused and not (status != 403 and any(challenge.stale for challenge in message.challenges)):
                self._failure(message, invite, agent, now_ms)
            if status != 403:
                self._invites.challenge(invite, message, packet)
            return None
        if not invite.claimed or (packet.source_ip, packet.source_port) != invite.sent_to:
            return None
        call = self._open(
            message.call_id,
            message.from_tag,
            message.cseq,
            invite.request_uri,
            invite.claimed,
            agent=agent,
            at_ms=invite.at_ms,
            now_ms=now_ms,
        )
        if call is not None:
            call.source_ip, call.source_port = invite.sent_from
            call.user_agent = invite.user_agent
            self._complete(call, invite)
            self._publish(call, now_ms)
        return call

    # ----- verdicts -----

    def _accepted(self, event: HlogEvent, agent: Agent, at_ms: int, now_ms: int) -> None:
        if not event.account or not event.call_id:
            self.counts["event_incomplete"] += 1
            return
        call = self._find(event.call_id, event.from_tag, event.to_tag)
        if event.to_tag:
            if call is not None and call.belongs(event.from_tag, event.to_tag):
                _touch(call, at_ms)
            return
        if call is not None and call.from_tag in (event.from_tag, "") and event.cseq <= call.cseq:
            return
        call = self._open(
            event.call_id, event.from_tag, event.cseq, event.request_uri, event.account, agent=agent, at_ms=at_ms, now_ms=now_ms
        )
        invite = self._invites.get(event.call_id, event.from_tag, event.cseq)
        if call is None:
            return
        call.source_ip = event.peer_ip
        call.source_port = event.peer_port
        call.user_agent = event.user_agent
        call.credential = event.credential
        if invite is not None:
            self._complete(call, invite)
        call.held = True
        self._held.append((now_ms + HOLD_MS, call))

    def _blocked(self, event: HlogEvent, agent: Agent, at_ms: int, now_ms: int) -> None:
        if event.method != "INVITE":
            return
        call = self._find(event.call_id, event.from_tag, "")
        if call is not None and call.from_tag == event.from_tag and call.cseq == event.cseq:
            if call.refused:
                return
            self._out.append(call.blocked(event.code, event.block_id, at_ms, now_ms))
            if call.held:
                call.held = False
                call.last_ms = max(call.last_ms, at_ms)
            else:
                self._ended(call, event.code, at_ms, now_ms)
            call.refused = True
            return
        if self._repeated(event.call_id, event.cseq, "blocked"):
            return
        refused = Call(
            call_id=event.call_id,
            from_tag=event.from_tag,
            cseq=event.cseq,
            request_uri=event.request_uri,
            priced=self._pricing.price(event.request_uri),
            started_ms=at_ms,
        )
        self._identify(refused, event.account, agent, self._call_key(event.call_id))
        refused.source_ip, refused.source_port, refused.user_agent = event.peer_ip, event.peer_port, event.user_agent
        self._out.append(refused.blocked(event.code, event.block_id, at_ms, now_ms))

    def _failure(self, message: SipMessage, invite: Invite, agent: Agent, now_ms: int) -> None:
        if self._repeated(message.call_id, message.cseq, "failure"):
            return
        self._out.append(
            auth_failure(
                key=self._key,
                keyed=self._keyed,
                at_ms=invite.at_ms,
                now_ms=now_ms,
                call_id=message.call_id,
                claimed=invite.claimed,
                status_code=message.status_code,
                source_ip=invite.sent_from[0],
                source_port=invite.sent_from[1],
                user_agent=invite.user_agent,
                edge=agent.name,
            )
        )

    # ----- calls -----

    def _find(self, call_id: str, from_tag: str, to_tag: str) -> Call | None:
        call = self._calls.get(call_id)
        if call is None or call.from_tag in (from_tag, "") or call.from_tag == to_tag:
            return call
        return self._calls.get(f"{call_id}\0{from_tag}") or (self._calls.get(f"{call_id}\0{to_tag}") if to_tag else None)

    def _open(
        self, call_id: str, from_tag: str, cseq: int, request_uri: str, account: str, *, agent: Agent, at_ms: int, now_ms: int
    ) -> Call | None:
        """A new call, or None when this is an attempt already open that only authenticated again.

        One Call-ID may serve several calls, one after another or at once: phones do it by mistake, fraudsters to hide. Each is a call.
        """
        place, call_key = call_id, self._call_key(call_id)
        old = self._calls.get(place)
        if old is not None and old.from_tag not in (from_tag, ""):
            place, call_key = f"{call_id}\0{from_tag}", self._call_key(call_id, from_tag)
            old = self._calls.get(place)
        if old is not None:
            if not (old.ended_ms or old.refused or old.answered_ms) and old.request_uri == request_uri and old.account == account:
                old.cseq = cseq
                self._invites.take(call_id)
                return None
            call_key = self._call_key(call_id, from_tag, str(cseq))
            del self._calls[place]
            if not (old.ended_ms or old.refused):
                old.place = f"{place}\0{old.cseq}"
                self._calls[old.place] = old
        if len(self._calls) >= self._capacity:
            self._evict(now_ms)
        call = Call(
            call_id=call_id,
            from_tag=from_tag,
            cseq=cseq,
            request_uri=request_uri,
            priced=self._pricing.price(request_uri),
            started_ms=at_ms,
        )
        call.place = place
        self._identify(call, account, agent, call_key)
        self._calls[place] = call
        self._schedule(call, now_ms)
        return call

    def _identify(self, call: Call, account: str, agent: Agent, call_key: int) -> None:
        call.account = account
        call.call_key = call_key
        call.edge = agent.name
        if account:
            call.account_key = account_key_of(self._key, account, keyed=self._keyed)
            call.slot = slot_of(call.account_key)
        if not self._keyed:
            call.flags |= Flag.UNKEYED

    def _complete(self, call: Call, invite: Invite) -> None:
        """What the verdict does not say and the mirrored INVITE does."""
        call.caller = self._pricing.number(invite.from_uri)
        call.sent_to = [invite.sent_to]
        call.started_ms = min(call.started_ms, invite.at_ms)
        call.user_agent = call.user_agent or invite.user_agent
        if invite.forwarded:
            call.flags |= Flag.FORWARDED
        self._invites.take(call.call_id)

    def _release(self, call: Call, now_ms: int) -> None:
        if call.held:
            call.held = False
            self._publish(call, now_ms)

    def _publish(self, call: Call, now_ms: int) -> None:
        self._seen.add(call.call_key)
        self._out.append(call.attempt(now_ms))

    def _answered(self, call: Call, to_tag: str, at_ms: int, now_ms: int) -> None:
        self._release(call, now_ms)
        if to_tag not in call.tags and len(call.tags) < MAX_TAGS and not (call.ended_ms and call.answered_ms):
            call.tags.append(to_tag)
        if call.answered_ms or call.refused:
            return
        # A fork may answer after the refusal of another was already sent back: then the call lives.
        call.ended_ms = call.status_code = 0
        call.flags &= ~Flag.SILENT_END
        call.answered_ms = max(at_ms, call.started_ms)
        self._out.append(call.answer(now_ms))

    def _ended(self, call: Call, status_code: int, at_ms: int, now_ms: int) -> None:
        if call.ended_ms or call.refused:
            return
        self._release(call, now_ms)
        call.status_code = status_code
        call.ended_ms = max(at_ms, call.started_ms, call.answered_ms)
        call.last_ms = max(call.last_ms, call.ended_ms)
        self._out.append(call.end(now_ms))

    def _fall_silent(self, call: Call, now_ms: int) -> None:
        self._release(call, now_ms)
        call.status_code = 200 if call.answered_ms else SILENT_STATUS
        call.ended_ms = call.last_ms
        call.last_ms = now_ms
        self._out.append(call.silent_end(now_ms))

    def _check(self, call: Call, now_ms: int) -> None:
        if call.deadline_ms(LINGER_MS) <= now_ms:
            if call.ended_ms or call.refused:
                del self._calls[call.place]
                return
            self.counts["silent_end"] += 1
            self._fall_silent(call, now_ms)
        self._schedule(call, now_ms)

    def _schedule(self, call: Call, now_ms: int) -> None:
        due = min(call.deadline_ms(LINGER_MS), now_ms + CHECK_MS)
        second = max(due, now_ms) // 1000 + 1
        waiting = self._wheel.get(second)
        if waiting is None:
            waiting = self._wheel[second] = []
            heapq.heappush(self._seconds, second)
        waiting.append(call)

    def _evict(self, now_ms: int) -> None:
        oldest = self._calls.pop(next(iter(self._calls)))
        self.counts["call_evicted"] += 1
        if not (oldest.ended_ms or oldest.refused):
            self._fall_silent(oldest, now_ms)

    def _take_up(self, row: AccountRow) -> None:
        priced = Priced(
            row.callee, row.range_key, row.number_tail, row.country, row.destination_class, row.rate, row.connect_micro, row.flags
        )
        call = Call(call_id=row.call_id, from_tag="", cseq=0, request_uri="", priced=priced, started_ms=row.started_ms)
        for name in (
            "account",
            "account_key",
            "slot",
            "call_key",
            "caller",
            "source_ip",
            "source_port",
            "user_agent",
            "edge",
            "credential",
        ):
            setattr(call, name, getattr(row, name))
        if len(self._calls) < self._capacity:
            self._calls[call.place] = call
            self._schedule(call, row.received_ms)

    def _call_key(self, *parts: str) -> int:
        return keyed_hash(self._key, *parts) if self._keyed else keyed_hash(self._key, "unkeyed", *parts)

    def _repeated(self, call_id: str, cseq: int, event: str) -> bool:
        identity = (call_id, cseq, event)
        if identity in self._events:
            return True
        if len(self._events) >= MAX_EVENTS_REMEMBERED:
            del self._events[next(iter(self._events))]
        self._events[identity] = None
        return False

    def _drain(self) -> list[AccountRow]:
        rows = self._out
        if rows:
            self._out = []
        return rows


def auth_failure(
    *,
    key: bytes,
    keyed: bool,
    at_ms: int,
    now_ms: int,
    call_id: str,
    claimed: str,
    status_code: int,
    source_ip: str,
    source_port: int,
    user_agent: str,
    edge: str,
) -> AccountRow:
    """The AUTH_FAILURE row. It has no account: `caller` only repeats the name that was claimed, for a person to read."""
    return AccountRow(
        kind=int(Kind.AUTH_FAILURE),
        at_ms=at_ms,
        received_ms=now_ms,
        slot=slot_of(keyed_hash(key, "source", source_ip)),
        call_id=call_id,
        caller=claimed,
        status_code=status_code,
        flags=0 if keyed else int(Flag.UNKEYED),
        source_ip=source_ip,
        source_port=source_port,
        user_agent=user_agent,
        edge=edge,
    )


def _touch(call: Call, at_ms: int) -> None:
    if at_ms > call.last_ms and not call.ended_ms:
        call.last_ms = at_ms


def _take_session(call: Call, message: SipMessage) -> None:
    seconds = message.session_expires
    if seconds:
        call.session_ms = max(seconds, MIN_SESSION_SECONDS) * 1000
