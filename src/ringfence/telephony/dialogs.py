"""Calls of accounts out of what SIP servers saw: retransmitted, forked, captured twice, challenged, cancelled, and sometimes never ended.

Sans-IO: `receive_sip` for a mirrored message, `receive_event` for a verdict of our include, `handle_timeout` for silence; all return rows.
A call is opened only by a verdict (`trust`): an accepted credential at an `hlog` server, an answered challenge at a `challenge` server.
All else stays in the book of unproven INVITEs and becomes nobody's row. Every row leaves once: repeated packets change nothing. Memory
is bounded; what has to go early ends at its last sign of life and is counted. The one thing to know: an accepted INVITE is held for
`HOLD_MS`, because the include reports its own block just after, and an attempt that we refused ourselves must not count as one.
"""

import heapq
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable

from ringfence.base.ids import keyed_hash, slot_of
from ringfence.protocols.hep import HepPacket
from ringfence.protocols.sip import SipMessage
from ringfence.protocols.sip.fields import parameter, split_list
from ringfence.telephony.calls import MAX_HOPS, MAX_LEGS, MAX_TAGS, MIN_SESSION_SECONDS, Call, Hop, Vias
from ringfence.telephony.forwarding import MAX_MOVED, Referrals, diverted_of
from ringfence.telephony.hlog import HlogEvent
from ringfence.telephony.invites import INVITES, Invite, InviteBook
from ringfence.telephony.model import AccountRow, DestinationClass, Direction, Flag, Kind, NetworkKind, account_key_of
from ringfence.telephony.numbers import split_uri
from ringfence.telephony.pricing import Priced, Pricing
from ringfence.telephony.senders import Sender, Senders
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
FOLLOW_UP_MS = 2_000
"""A phone answers a challenge within a second; a request that is not repeated with credentials by then was nobody's."""
MAX_SERVERS = 64
"""Addresses of our own servers that are remembered."""

_PEER = int(NetworkKind.PEER)
_TRUSTED_KINDS = frozenset({int(NetworkKind.PEER), int(NetworkKind.MONITORING)})


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
        senders: Senders,
        account_named: Callable[[str, str], str],
        keyed: bool = True,
        calls_capacity: int = CALLS,
        invites_capacity: int = INVITES,
        seen_capacity: int = SEEN_CALLS,
    ) -> None:
        """`account_named` gives the account that a user part or a number means, empty when it is none of ours."""
        self._key = key
        self._pricing = pricing
        self._senders = senders
        self._account_named = account_named
        self._keyed = keyed
        self._capacity = calls_capacity
        self._calls: OrderedDict[str, Call] = OrderedDict()
        self._invites = InviteBook(invites_capacity)
        self._inbound = 0
        self._servers: dict[Hop, None] = {}
        self._referrals = Referrals()
        self._held: deque[tuple[int, Call]] = deque()
        self._challenged: deque[tuple[int, Invite, AccountRow]] = deque()
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

    def seen_inbound(self, call_id: str) -> bool:
        """Whether this call was seen on the wire as one towards an account."""
        return self._call_key(call_id, "inbound") in self._seen

    def waits_for_ack(self, call_id: str) -> bool:
        """Whether an ACK can be news: its call is known, and no answer to it was seen."""
        call = self._calls.get(call_id)
        return call is not None and (call.shared or not (call.answered_ms or call.ended_ms or call.refused))

    def note_seen(self, call_key: int) -> None:
        """Remember a call that a call record gave, so that the record counts once."""
        self._seen.add(call_key)

    def receive_sip(self, message: SipMessage, packet: HepPacket, agent: Agent, at_ms: int, now_ms: int) -> list[AccountRow]:
        """A mirrored message: event time `at_ms`, receipt `now_ms`."""
        method = message.method
        if not message.status_code:
            if method == "INVITE":
                self._invite(message, packet, agent, at_ms, now_ms)
            elif method == "BYE":
                self._bye(message, packet, at_ms)
            elif method == "ACK":
                self._ack(message, at_ms, now_ms)
            elif message.to_tag:
                if method == "REFER":
                    self._refer(message, at_ms)
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
        if self._challenged:
            pending.append(self._challenged[0][0])
        if self._seconds:
            pending.append(self._seconds[0] * 1000)
        return min(pending, default=None)

    def handle_timeout(self, now_ms: int) -> list[AccountRow]:
        """Release held attempts, end silent calls, forget ended ones."""
        while self._held and self._held[0][0] <= now_ms:
            self._release(self._held.popleft()[1], now_ms)
        while self._challenged and self._challenged[0][0] <= now_ms:
            _, invite, row = self._challenged.popleft()
            if not invite.with_credentials and row.call_id not in self._calls:
                self._out.append(row)
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
            first = self._calls.get(row.call_id)
            call = next((leg for leg in (first, *first.legs) if leg.call_key == row.call_key), None) if first is not None else None
            if row.kind == Kind.ATTEMPT:
                self._seen.add(row.call_key)
                self._take_up(row, first)
            elif row.kind == Kind.ANSWER and call is not None:
                call.answered_ms = row.answered_ms
                call.last_ms = max(call.last_ms, row.answered_ms)
            elif row.kind == Kind.END and call is not None and first is not None:
                if call is first:
                    del self._calls[row.call_id]
                else:
                    first.legs = tuple(leg for leg in first.legs if leg is not call)

    # ----- requests -----

    def _invite(self, message: SipMessage, packet: HepPacket, agent: Agent, at_ms: int, now_ms: int) -> None:
        call = self._find(message.call_id, message.from_tag, message.to_tag)
        if message.to_tag:
            if call is not None and call.belongs(message.from_tag, message.to_tag):
                _touch(call, at_ms)
            return
        if call is None or call.cseq < message.cseq or call.from_tag != message.from_tag:
            invite = self._invites.see(message, packet, at_ms)
            if (packet.source_ip, packet.source_port) == invite.sent_to:
                self._passed_on(invite, message, packet, agent, at_ms, now_ms)
            return
        if call.cseq > message.cseq:
            return
        hop = (packet.destination_ip, packet.destination_port)
        if hop not in call.sent_to and len(call.sent_to) < MAX_HOPS:
            call.sent_to.append(hop)
        if len(call.vias) < MAX_HOPS and (vias := message.headers.get("via", ())) not in call.vias:
            call.vias = (*call.vias, vias)
        if not call.caller:
            call.caller = self._pricing.number(message.from_uri)
        _touch(call, at_ms)
        if call.held and (packet.source_ip, packet.source_port) == call.sent_to[0]:
            # The server passed it on: no block of ours refused it.
            self._release(call, now_ms)
        if (call.moved or "diversion" in message.headers or "history-info" in message.headers) and (
            (packet.source_ip, packet.source_port) == call.sent_to[0] and agent.trust is not Trust.NONE
        ):
            self._forward(call, message, hop, agent, at_ms, now_ms)

    def _bye(self, message: SipMessage, packet: HepPacket, at_ms: int) -> None:
        call = self._find(message.call_id, message.from_tag, message.to_tag)
        if call is None or not call.belongs(message.from_tag, message.to_tag):
            return
        if call.bye_cseq < 0:
            call.bye_before_ms = call.last_ms
        _touch(call, at_ms)
        if call.bye_cseq != message.cseq:
            call.bye_cseq = message.cseq
            call.bye_sent_to = []
        hop = (packet.destination_ip, packet.destination_port)
        if hop not in call.bye_sent_to and len(call.bye_sent_to) < MAX_HOPS:
            call.bye_sent_to.append(hop)

    def _ack(self, message: SipMessage, at_ms: int, now_ms: int) -> None:
        """An ACK to an answer that was not seen says that there was one."""
        call = self._find(message.call_id, message.from_tag, message.to_tag)
        if call is None or call.answered_ms or call.ended_ms or call.refused or call.cseq != message.cseq:
            return
        if not message.to_tag or call.from_tag != message.from_tag:
            return
        branch = message.branch
        known = [branch_of(vias) for vias in call.vias]
        to_refusal = branch in known if branch and known else message.request_uri == call.request_uri
        if not to_refusal:
            self.counts["answer_inferred"] += 1
            self._answered(call, message.to_tag, at_ms, now_ms)

    def _refer(self, message: SipMessage, at_ms: int) -> None:
        """The other side of a call asks the account's phone to call a number: what that costs, the other side started."""
        call = self._find(message.call_id, message.from_tag, message.to_tag)
        if call is None or not call.account or not call.belongs(message.from_tag, message.to_tag):
            return
        by_caller = message.from_tag == call.from_tag
        if by_caller is call.inbound and (uri := message.refer_to):
            self._referrals.note(call.account, self._pricing.number(uri), at_ms)

    def _touch_dialog(self, message: SipMessage, at_ms: int) -> None:
        call = self._find(message.call_id, message.from_tag, message.to_tag)
        if call is not None and call.belongs(message.from_tag, message.to_tag):
            _touch(call, at_ms)
            if 200 <= message.status_code < 300:
                _take_session(call, message)

    # ----- responses -----

    def _invite_response(self, message: SipMessage, packet: HepPacket, agent: Agent, at_ms: int, now_ms: int) -> None:
        status = message.status_code
        call = self._call_of(message, packet, agent, at_ms, now_ms)
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
            self._answered(call, message.to_tag, at_ms, now_ms, hop)
        elif status >= 300 and not call.answered_ms and (not call.sent_to or hop == call.sent_to[0]):
            # From another hop it is one fork's refusal, which the server has not sent back.
            self._ended(call, status, at_ms, now_ms)
        elif status >= 300 and call.sent_to:
            self._fork_refused(call, message, hop, at_ms, now_ms)

    def _call_of(self, message: SipMessage, packet: HepPacket, agent: Agent, at_ms: int, now_ms: int) -> Call | None:
        """The call that a response belongs to, opened now when the response proves it one."""
        call = self._find(message.call_id, message.from_tag, message.to_tag)
        if call is not None and call.cseq == message.cseq and call.from_tag in (message.from_tag, ""):
            return call
        invite = self._invites.get(message.call_id, message.from_tag, message.cseq)
        if invite is None:
            # An answer that comes after the dialog went on.
            if call is not None and call.answered_ms and message.status_code < 300:
                self._touch_dialog(message, at_ms)
            return None
        call = self._proven(invite, message, packet, agent, now_ms)
        if call is None:
            self._nobodys(invite, message, packet, agent, now_ms)
        return call

    def _fork_refused(self, call: Call, message: SipMessage, hop: Hop, at_ms: int, now_ms: int) -> None:
        """Somebody whom the server asked said no, or named somebody else (RFC 3261, 21.3), which the server has not sent back."""
        if message.status_code < 400:
            call.moved = (*call.moved, *self._moved(message))[-MAX_MOVED:]
        for leg in call.legs:
            if leg.sent_to[:1] == [hop] and not leg.answered_ms:
                self._ended(leg, message.status_code, at_ms, now_ms)

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
        if not (call.answered_ms or call.ended_ms or call.refused) and message.to_tag:
            # Hung up, so it was answered, at the last sign of life before at the earliest: the dearest that the call can have been.
            self.counts["answer_inferred"] += 1
            self._answered(call, far_tag, call.bye_before_ms or call.last_ms, now_ms)
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
            call.sent_to += [hop for hop in invite.relays if hop not in call.sent_to]
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
        if self._referrals.take(call.account, call.priced.callee, at_ms):
            call.flags |= Flag.REFERRED
            self._mark_forwarded(call)
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
        refused.sender = self._senders.of(refused.source_ip, refused.user_agent, keyed=self._keyed)
        if not event.account:
            refused.slot = slot_of(refused.sender.source_key)
        self._out.append(refused.blocked(event.code, event.block_id, at_ms, now_ms))

    def _failure(self, message: SipMessage, invite: Invite, agent: Agent, now_ms: int) -> None:
        if self._repeated(message.call_id, message.cseq, "failure"):
            return
        self._out.append(
            auth_failure(
                keyed=self._keyed,
                sender=self._senders.of(invite.sent_from[0], invite.user_agent, keyed=self._keyed),
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
            old.shared = True
            place, call_key = f"{call_id}\0{from_tag}", self._call_key(call_id, from_tag)
            old = self._calls.get(place)
        if old is not None:
            if not (old.ended_ms or old.refused or old.answered_ms) and old.request_uri == request_uri and old.account == account:
                old.cseq = cseq
                self._invites.take(call_id)
                return None
            call_key = self._call_key(call_id, from_tag, str(cseq))
            self._forget(old)
            if not (old.ended_ms or old.refused):
                self._inbound += old.inbound
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
        call.vias = invite.vias
        call.diverted = invite.diverted
        if len(self._servers) < MAX_SERVERS:
            self._servers[invite.sent_to] = None
        call.started_ms = min(call.started_ms, invite.at_ms)
        call.user_agent = call.user_agent or invite.user_agent
        if invite.loop:
            call.flags |= Flag.FORWARD_LOOP
        if invite.forwarded:
            self._mark_forwarded(call)
        elif not call.inbound and not self._is_own_name(call, invite.from_uri):
            # Whoever forwards shows the first caller, so there it means nothing.
            call.flags |= Flag.USER_MISMATCH
        self._invites.take(call.call_id)

    def _is_own_name(self, call: Call, from_uri: str) -> bool:
        if f":{call.account}@" in from_uri:
            return True
        user = split_uri(from_uri)[0]
        return user.lower() == call.account.lower() or self._pricing.number(call.account) == call.caller

    def _mark_forwarded(self, call: Call) -> None:
        call.flags |= Flag.FORWARDED
        call.direction = int(Direction.FORWARDED)
        call.forwarded_by = call.account

    # ----- calls that nobody authenticated -----

    def _passed_on(self, invite: Invite, message: SipMessage, packet: HepPacket, agent: Agent, at_ms: int, now_ms: int) -> None:
        """The server sends on what nobody authenticated: a call from a trunk to an account, or one that an account forwards."""
        if agent.trust is Trust.NONE or invite.claimed or invite.with_credentials:
            return
        hop = (packet.destination_ip, packet.destination_port)
        if hop in self._servers:
            # A request that wears our own address as its source comes *to* a server; what a server sends on goes elsewhere.
            return
        sender = self._senders.of(invite.sent_from[0], invite.user_agent, keyed=self._keyed)
        if sender.network_kind == _PEER:
            call = self._open_inbound(invite, message, sender, agent, now_ms)
            if call is not None:
                call.sent_to += [relay for relay in invite.relays if relay not in call.sent_to]
                self._forward(call, message, hop, agent, at_ms, now_ms)
            return
        payer = self._payer(message, invite.diverted, invite.moved, invite.request_uri)
        if payer:
            call = self._open(
                message.call_id, message.from_tag, message.cseq, message.request_uri, payer, agent=agent, at_ms=invite.at_ms, now_ms=now_ms
            )
            if call is not None:
                call.source_ip, call.source_port = invite.sent_from
                call.user_agent = invite.user_agent
                self._complete(call, invite)
                call.sent_to += [relay for relay in invite.relays if relay not in call.sent_to]
                call.flags &= ~Flag.USER_MISMATCH
                self._mark_forwarded(call)
                self._publish(call, now_ms)

    def _open_inbound(self, invite: Invite, message: SipMessage, sender: Sender, agent: Agent, now_ms: int) -> Call | None:
        priced = self._pricing.price(invite.request_uri)
        if priced.destination_class == DestinationClass.C0:
            return None
        if self._inbound >= self._capacity // 2:
            self.counts["inbound_left_aside"] += 1
            return None
        account = self._account_named(split_uri(invite.request_uri)[0], priced.callee)
        call = self._open(
            message.call_id, message.from_tag, message.cseq, invite.request_uri, account, agent=agent, at_ms=invite.at_ms, now_ms=now_ms
        )
        if call is None:
            return None
        self._inbound += 1
        call.inbound = True
        call.direction = int(Direction.IN)
        call.called = priced.callee
        # What counts of an inbound call is the number that would be called back; a caller without one has no range.
        call.priced = self._pricing.price(invite.caller_uri)
        if not call.priced.callee.startswith("+"):
            call.priced = call.priced._replace(range_key=0, number_tail=0)
        call.flags = call.priced.flags | (0 if self._keyed else int(Flag.UNKEYED))
        call.call_key = self._call_key(call.call_id, "inbound")
        self._seen.add(call.call_key)
        call.source_ip, call.source_port = invite.sent_from
        call.user_agent = invite.user_agent
        call.sender = sender
        self._complete(call, invite)
        call.caller = call.priced.callee
        if invite.forwarded:
            call.flags &= ~Flag.FORWARDED
            call.direction, call.forwarded_by = int(Direction.IN), ""
        return call

    def _forward(self, call: Call, message: SipMessage, hop: Hop, agent: Agent, at_ms: int, now_ms: int) -> None:
        """The server sends a call on to where an account forwards it: a leg that this account pays."""
        if len(call.legs) >= MAX_LEGS or any(leg.request_uri == message.request_uri for leg in call.legs):
            return
        payer = self._payer(message, call.diverted, call.moved, call.request_uri)
        if not payer or message.request_uri == call.request_uri:
            return
        leg = Call(
            call_id=call.call_id,
            from_tag=call.from_tag,
            cseq=call.cseq,
            request_uri=message.request_uri,
            priced=self._pricing.price(message.request_uri),
            started_ms=at_ms,
        )
        leg.place = f"{call.place}\0leg"
        key = self._call_key(call.call_id, "leg", str(len(call.legs))) if call.legs or not call.inbound else self._call_key(call.call_id)
        self._identify(leg, payer, agent, key)
        leg.caller, leg.source_ip, leg.source_port, leg.user_agent = call.caller, call.source_ip, call.source_port, call.user_agent
        leg.sent_to = [hop]
        leg.flags |= call.flags & Flag.FORWARD_LOOP
        self._mark_forwarded(leg)
        call.legs = (*call.legs, leg)
        self._publish(leg, now_ms)

    def _payer(self, message: SipMessage, written: tuple[str, ...], moved: tuple[str, ...], request_uri: str) -> str:
        """The account that forwards, by what the server added to the request, or by the 302 of whom it called first; empty for nobody.

        `written` is what the caller itself wrote: anybody may claim that a victim forwarded a call, so that names no payer.
        """
        for uri in diverted_of(message):
            if uri not in written:
                return self._account_of(uri)
        if moved and self._pricing.number(message.request_uri) in moved:
            return self._account_of(request_uri)
        return ""

    def _account_of(self, uri: str) -> str:
        return self._account_named(split_uri(uri)[0], self._pricing.number(uri))

    def _moved(self, message: SipMessage) -> tuple[str, ...]:
        return tuple(self._pricing.number(contact.uri) for contact in message.contacts[:MAX_MOVED])

    def _nobodys(self, invite: Invite, message: SipMessage, packet: HepPacket, agent: Agent, now_ms: int) -> None:
        """An answer to an INVITE that is nobody's: a refusal by the server itself is a row of its source."""
        status, hop = message.status_code, (packet.source_ip, packet.source_port)
        if hop in invite.relays:
            if 300 <= status < 400:
                invite.moved = (*invite.moved, *self._moved(message))[-MAX_MOVED:]
            return
        if status < 400 or hop != invite.sent_to or invite.relays or invite.with_credentials or invite.told or agent.trust is Trust.NONE:
            return
        sender = self._senders.of(invite.sent_from[0], invite.user_agent, keyed=self._keyed)
        priced = self._pricing.price(invite.request_uri)
        if sender.network_kind in _TRUSTED_KINDS or priced.destination_class == DestinationClass.C0:
            return
        invite.told = True
        row = unauthenticated(
            sender=sender,
            keyed=self._keyed,
            at_ms=invite.at_ms,
            now_ms=now_ms,
            call_id=message.call_id,
            caller=self._pricing.number(invite.from_uri),
            priced=priced,
            status_code=status,
            source=invite.sent_from,
            user_agent=invite.user_agent,
            edge=agent.name,
            loop=invite.loop,
        )
        if status not in (401, 407):
            self._out.append(row)
        elif len(self._challenged) < self._invites.capacity:
            self._challenged.append((now_ms + FOLLOW_UP_MS, invite, row))
        else:
            self.counts["challenge_forgotten"] += 1

    def _release(self, call: Call, now_ms: int) -> None:
        if call.held:
            call.held = False
            self._publish(call, now_ms)

    def _publish(self, call: Call, now_ms: int) -> None:
        call.sender = self._senders.of(call.source_ip, call.user_agent, keyed=self._keyed)
        self._seen.add(call.call_key)
        self._out.append(call.attempt(now_ms))

    def _answered(self, call: Call, to_tag: str, at_ms: int, now_ms: int, hop: Hop | None = None) -> None:
        """`hop` is where the answer came from, when it was seen: of several legs it is that one's."""
        self._release(call, now_ms)
        for leg in call.legs:
            unseen = hop is None or not leg.sent_to
            if hop in leg.sent_to or (unseen and leg is call.legs[-1] and not (call.answered_ms or leg.ended_ms)):
                self._answered(leg, to_tag, at_ms, now_ms, hop)
        if to_tag not in call.tags and len(call.tags) < MAX_TAGS and not (call.ended_ms and call.answered_ms):
            call.tags.append(to_tag)
        if call.answered_ms or call.refused:
            return
        # A fork may answer after the refusal of another was already sent back: then the call lives.
        call.ended_ms = call.status_code = 0
        call.flags &= ~Flag.SILENT_END
        call.answered_ms = max(at_ms, call.started_ms)
        if not call.inbound:
            self._out.append(call.answer(now_ms))

    def _ended(self, call: Call, status_code: int, at_ms: int, now_ms: int) -> None:
        if call.ended_ms or call.refused:
            return
        self._release(call, now_ms)
        for leg in call.legs:
            self._ended(leg, status_code if leg.answered_ms or not call.answered_ms else 487, at_ms, now_ms)
        call.status_code = status_code
        call.ended_ms = max(at_ms, call.started_ms, call.answered_ms)
        call.last_ms = max(call.last_ms, call.ended_ms)
        self._out.append(call.over(now_ms) if call.inbound else call.end(now_ms))

    def _fall_silent(self, call: Call, now_ms: int) -> None:
        self._release(call, now_ms)
        for leg in call.legs:
            if not leg.ended_ms:
                leg.last_ms = max(leg.answered_ms, leg.started_ms, call.last_ms)
                self._fall_silent(leg, now_ms)
        call.status_code = 200 if call.answered_ms else SILENT_STATUS
        call.ended_ms = call.last_ms
        call.last_ms = now_ms
        if call.inbound:
            call.flags |= Flag.SILENT_END
            self._out.append(call.over(now_ms))
        else:
            self._out.append(call.silent_end(now_ms))

    def _check(self, call: Call, now_ms: int) -> None:
        if call.deadline_ms(LINGER_MS) <= now_ms:
            if call.ended_ms or call.refused:
                self._forget(call)
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

    def _forget(self, call: Call) -> None:
        del self._calls[call.place]
        self._inbound -= call.inbound

    def _evict(self, now_ms: int) -> None:
        oldest = self._calls[next(iter(self._calls))]
        self._forget(oldest)
        self.counts["call_evicted"] += 1
        if not (oldest.ended_ms or oldest.refused):
            self._fall_silent(oldest, now_ms)

    def _take_up(self, row: AccountRow, first: Call | None) -> None:
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
            "direction",
            "forwarded_by",
        ):
            setattr(call, name, getattr(row, name))
        call.sender = self._senders.of(row.source_ip, row.user_agent, keyed=self._keyed)
        if first is not None and first.call_key != call.call_key and row.direction == Direction.FORWARDED:
            # A leg of a call that is taken up as well.
            first.legs = (*first.legs, call)
        elif len(self._calls) < self._capacity:
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
    keyed: bool,
    sender: Sender,
    at_ms: int,
    now_ms: int,
    call_id: str,
    claimed: str,
    status_code: int,
    source_ip: str,
    source_port: int,
    user_agent: str,
    edge: str,
    flags: int = 0,
) -> AccountRow:
    """The AUTH_FAILURE row. It has no account: `caller` only repeats the name that was claimed, for a person to read."""
    return AccountRow(
        kind=int(Kind.AUTH_FAILURE),
        at_ms=at_ms,
        received_ms=now_ms,
        slot=slot_of(sender.source_key),
        call_id=call_id,
        caller=claimed,
        status_code=status_code,
        flags=flags | sender.flags | (0 if keyed else int(Flag.UNKEYED)),
        source_ip=source_ip,
        source_port=source_port,
        user_agent=user_agent,
        edge=edge,
        source_key=sender.source_key,
        network_key=sender.network_key,
        network_kind=sender.network_kind,
        source_country=sender.source_country,
        family_key=sender.family_key,
        network=sender.network,
    )


def unauthenticated(
    *,
    sender: Sender,
    keyed: bool,
    at_ms: int,
    now_ms: int,
    call_id: str,
    caller: str,
    priced: Priced | None,
    status_code: int,
    source: Hop,
    user_agent: str,
    edge: str,
    loop: bool = False,
) -> AccountRow:
    """The UNAUTHENTICATED row: a request that nobody's credentials stand behind. `caller` is what it called itself."""
    return AccountRow(
        kind=int(Kind.UNAUTHENTICATED),
        at_ms=at_ms,
        received_ms=now_ms,
        slot=slot_of(sender.source_key),
        call_id=call_id,
        caller=caller,
        callee=priced.callee if priced else "",
        range_key=priced.range_key if priced else 0,
        number_tail=priced.number_tail if priced else 0,
        country=priced.country if priced else 0,
        destination_class=priced.destination_class if priced else 0,
        status_code=status_code,
        flags=sender.flags
        | (priced.flags if priced else 0)
        | (0 if keyed else int(Flag.UNKEYED))
        | (int(Flag.FORWARD_LOOP) if loop else 0),
        source_ip=source[0],
        source_port=source[1],
        user_agent=user_agent,
        edge=edge,
        source_key=sender.source_key,
        network_key=sender.network_key,
        network_kind=sender.network_kind,
        source_country=sender.source_country,
        family_key=sender.family_key,
        network=sender.network,
    )


def branch_of(vias: Vias) -> str:
    """The branch of the topmost Via of these rows."""
    return parameter(split_list(vias[0])[0], "branch") if vias else ""


def _touch(call: Call, at_ms: int) -> None:
    if at_ms > call.last_ms and not call.ended_ms:
        call.last_ms = at_ms


def _take_session(call: Call, message: SipMessage) -> None:
    seconds = message.session_expires
    if seconds:
        call.session_ms = max(seconds, MIN_SESSION_SECONDS) * 1000
