"""The whole way from a HEP datagram to rows of the log, without a socket or a clock: the door that ingest, benches, drills and tests use.

Decode, identify the agent, correct its clock, look whether the payload matters, read it, follow dialogs and registrations. Nothing that a
peer sends raises: what is refused or left aside is counted by reason. The one thing to know: agents with and without a key have trackers of
their own, so that a forger of unkeyed packets neither adds to nor ends anything of the real calls.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence

from ringfence.base.errors import PeerError
from ringfence.protocols.hep import HepPacket, PayloadType, decode
from ringfence.protocols.sip import parse
from ringfence.telephony.call_records import CallRecord, Direction, RegistrationRecord, row_of_call
from ringfence.telephony.dialogs import CALLS, DialogTracker, auth_failure, unauthenticated
from ringfence.telephony.emergency import EmergencyCalls
from ringfence.telephony.hlog import NONCE_REUSED_CODE, REFUSED_CODES, STATUS_OF_CODE, HlogEvent, decode_event, flags_of_code
from ringfence.telephony.hot_numbers import HotNumbers
from ringfence.telephony.invites import INVITES
from ringfence.telephony.model import AccountRow, Kind
from ringfence.telephony.networks import OriginLookUp, OwnNetworks, SourceBook
from ringfence.telephony.numbers import DialPlan
from ringfence.telephony.pricing import Pricing
from ringfence.telephony.rates import Deck
from ringfence.telephony.registrations import ACCOUNTS, RegistrationTracker
from ringfence.telephony.senders import Senders
from ringfence.telephony.skew import AgentClock
from ringfence.telephony.trust import Agent, AgentDirectory, Trust
from ringfence.telephony.user_agents import AgentFamilies, is_scanner

SOURCE_ROWS_PER_SECOND = 1_000
"""Rows that belong to no account (refused credentials, blocked sources) in a second; the rest of a flood is only counted."""

MAX_AGENT_TEXTS = 8_192
"""User-Agents of requests that are otherwise not read, for which it is remembered whether they are a scanner's."""
_SOURCE_KINDS = frozenset({int(Kind.AUTH_FAILURE), int(Kind.UNAUTHENTICATED)})

# Plain integers: a member is looked up and compared at several times the cost, and this happens for every packet.
_SIP = int(PayloadType.SIP)
_LOG = int(PayloadType.LOG)

_SETTLED = (
    b"SIP/2.0 100",
    b"NOTIFY ",
    b"SUBSCRIBE ",
    b"PUBLISH ",
    b"PRACK ",
    b"MESSAGE ",
    b"CANCEL ",
)
"""Nothing in these changes a row: they are counted by their first bytes and not read."""
_PADDING = b"\r\n\0 \t"
"""A keep-alive is nothing but these. Kamailio skips them before a message and mirrors them with it, so a message behind them is read."""


class Pipeline:
    """From datagrams to rows. One for a process; not for several threads at once.

    `key` is the installation's key for account, call and range hashes; `agents` are the known SIP servers.
    """

    def __init__(
        self,
        *,
        key: bytes,
        agents: Sequence[Agent],
        plan: DialPlan,
        emergency: EmergencyCalls,
        deck: Deck,
        calls_capacity: int = CALLS,
        invites_capacity: int = INVITES,
        accounts_capacity: int = ACCOUNTS,
        hot: HotNumbers | None = None,
        origins: Sequence[OriginLookUp] = (),
    ) -> None:
        self._key = key
        self.directory = AgentDirectory(agents)
        self.pricing = Pricing(key=key, plan=plan, emergency=emergency, deck=deck, hot=hot)
        self.senders = Senders(SourceBook(key, home=plan.country, origins=origins), AgentFamilies(key))
        self._registrations = tuple(
            RegistrationTracker(key=key, senders=self.senders, keyed=keyed, capacity=accounts_capacity) for keyed in (False, True)
        )
        self._dialogs = tuple(
            DialogTracker(
                key=key,
                pricing=self.pricing,
                senders=self.senders,
                account_named=self._registrations[keyed].account_named,
                keyed=keyed,
                calls_capacity=calls_capacity,
                invites_capacity=invites_capacity,
            )
            for keyed in (False, True)
        )
        self._agent_texts: dict[bytes, bool] = {}
        self._trackers: tuple[DialogTracker | RegistrationTracker, ...] = (*self._dialogs, *self._registrations)
        # Only a server's own challenge makes an answer to it worth reading.
        self._credentials_matter = any(agent.trust is Trust.CHALLENGE for agent in agents)
        self._clocks = {agent.name: AgentClock() for agent in agents}
        self._events: OrderedDict[tuple[str, str, int, str], None] = OrderedDict()
        self._source_second = 0
        self._source_rows = 0
        self.messages = 0
        """Packets of known agents."""
        self.refused: Counter[str] = Counter()
        """Packets that were refused, by reason."""
        self.settled = 0
        """Messages that were counted and not read, because nothing in them changes a row."""

    def receive(self, datagram: bytes, peer_ip: str, now_ms: int) -> list[AccountRow]:
        """One datagram from `peer_ip`, received at `now_ms`. Never raises for what a peer sends."""
        try:
            packet = decode(datagram)
        except PeerError as error:
            # Whether the source is known is asked first by nobody: a packet that cannot be read names no key.
            self.refused[error.reason if self.directory.known(peer_ip) else "unknown_agent"] += 1
            return []
        return self.receive_packet(packet, peer_ip, now_ms)

    def receive_packet(self, packet: HepPacket, peer_ip: str, now_ms: int) -> list[AccountRow]:
        """One decoded packet (from a stream) of `peer_ip`, received at `now_ms`."""
        try:
            agent = self.directory.identify(peer_ip, packet.auth_key)
        except PeerError as error:
            self.refused[error.reason] += 1
            return []
        self.messages += 1
        at_ms = self._clocks[agent.name].event_time(packet.at_ms, now_ms)
        try:
            if packet.payload_type == _SIP:
                return self._receive_sip(packet, agent, at_ms, now_ms)
            if packet.payload_type == _LOG:
                return self._receive_event(decode_event(packet.payload), agent, at_ms, now_ms)
        except PeerError as error:
            self.refused[error.reason] += 1
            return []
        self.refused["other_payload"] += 1
        return []

    def receive_call_record(self, record: CallRecord, now_ms: int) -> list[AccountRow]:
        """A call record of a call that was not seen on the wire gives one whole row; all others give none and are counted.

        Seen by an agent with a key: what one without says may not suppress the operator's own record.
        """
        tracker = self._dialogs[True]
        if tracker.seen_inbound(record.call_id) if record.direction is Direction.IN else tracker.seen(record.call_id):
            self.refused["call_record_seen"] += 1
            return []
        row = row_of_call(record, self.pricing, key=self._key, now_ms=now_ms, senders=self.senders)
        if row is None:
            self.refused["call_record_not_charged"] += 1
            return []
        tracker.note_seen(row.call_key)
        return [row]

    def next_timeout(self) -> int | None:
        """Unix milliseconds at which `handle_timeout` has something to do."""
        return min((due for tracker in self._trackers if (due := tracker.next_timeout()) is not None), default=None)

    def handle_timeout(self, now_ms: int) -> list[AccountRow]:
        """Rows of what time alone brings: released attempts, silent ends, lapsed registrations."""
        return self._within_budget([row for tracker in self._trackers for row in tracker.handle_timeout(now_ms)], now_ms)

    def receive_registration_record(self, record: RegistrationRecord, edge: str, now_ms: int) -> list[AccountRow]:
        """A registration record of a system that sends no HEP: rows as for a REGISTER of `edge` with that verdict."""
        return self._registrations[True].receive_record(record, edge, now_ms)

    def restore(self, rows: Sequence[AccountRow], seen: Iterable[int] = ()) -> None:
        """Take up running calls from rows of the log after a restart, in order; `seen` are keys of calls whose records add nothing."""
        for call_key in seen:
            self._dialogs[True].note_seen(call_key)
        for tracker in self._dialogs:
            tracker.restore(rows)

    def use_deck(self, deck: Deck) -> None:
        """Price what begins from now on by another deck."""
        self.pricing.use_deck(deck)

    def use_networks(self, networks: OwnNetworks) -> None:
        """Judge sources by another list of own networks from now on."""
        self.senders.use_networks(networks)

    @property
    def open_calls(self) -> int:
        """Calls that are followed."""
        return sum(tracker.open_calls for tracker in self._dialogs)

    def figures(self) -> dict[str, float]:
        """What the heartbeat says, by name: totals since the start, and sizes now."""
        found: dict[str, float] = {
            "messages_total": self.messages,
            "settled_total": self.settled,
            "open_calls": self.open_calls,
            "unproven_invites": sum(tracker.unproven_invites for tracker in self._dialogs),
            "known_registrations": sum(tracker.known_accounts for tracker in self._registrations),
        }
        counts: Counter[str] = Counter()
        for tracker in self._trackers:
            counts.update(tracker.counts)
        found.update({f"{name}_total": count for name, count in counts.items()})
        found.update({f"refused_{reason}_total": count for reason, count in self.refused.items()})
        for name, clock in self._clocks.items():
            found[f"skew_ms:{name}"] = clock.skew_ms
            found[f"clock_jumps:{name}"] = clock.jumps
        return found

    def _receive_sip(self, packet: HepPacket, agent: Agent, at_ms: int, now_ms: int) -> list[AccountRow]:
        payload = packet.payload
        if payload.startswith(_SETTLED) or (payload[0] in _PADDING and not payload.strip(_PADDING)):
            self.settled += 1
            return []
        # Eight million phones register all day: only what can lead to a row is read.
        if payload.startswith(b"SIP/2.0"):
            matters = agent.trust is Trust.CHALLENGE or b" REGISTER\r" not in payload
        elif payload.startswith(b"REGISTER "):
            matters = agent.trust is Trust.CHALLENGE or (agent.trust is Trust.HLOG and b"uthorization" in payload)
            if not matters and self._from_scanner(payload):
                return self._scan(packet, agent, at_ms, now_ms)
        elif payload.startswith(b"ACK "):
            matters = self._dialogs[agent.keyed].waits_for_ack(_call_id_of(payload))
        elif payload.startswith(b"OPTIONS "):
            if self._from_scanner(payload):
                return self._scan(packet, agent, at_ms, now_ms)
            matters = False
        else:
            matters = True
        if not matters:
            self.settled += 1
            return []
        message = parse(payload, credentials=self._credentials_matter)
        if message.method == "REGISTER":
            rows = self._registrations[agent.keyed].receive_sip(message, packet, agent, at_ms, now_ms)
        else:
            rows = self._dialogs[agent.keyed].receive_sip(message, packet, agent, at_ms, now_ms)
        return self._within_budget(rows, now_ms) if rows else rows

    def _from_scanner(self, payload: bytes) -> bool:
        """Whether a request that is otherwise not read names itself a scanner: one look for its User-Agent, one into a dictionary."""
        place = payload.find(b"\nUser-Agent:")
        if place < 0:
            return False
        text = payload[place + 12 : payload.find(b"\r", place + 12, place + 140)]
        found = self._agent_texts.get(text)
        if found is None:
            if len(self._agent_texts) >= MAX_AGENT_TEXTS:
                self._agent_texts = {}
            found = self._agent_texts[text] = is_scanner(text.decode("utf-8", "replace"))
        return found

    def _scan(self, packet: HepPacket, agent: Agent, at_ms: int, now_ms: int) -> list[AccountRow]:
        """A scanner's request is a row of its source, whatever the server says to it."""
        message = parse(packet.payload, credentials=False)
        identity = (message.call_id, message.from_tag, message.cseq, message.method)
        if agent.trust is Trust.NONE or self._remembered(identity) or not self._source_row(now_ms):
            return []
        row = unauthenticated(
            sender=self.senders.of(packet.source_ip, message.user_agent, keyed=agent.keyed),
            keyed=agent.keyed,
            at_ms=at_ms,
            now_ms=now_ms,
            call_id=message.call_id,
            caller=self.pricing.number(message.from_uri),
            priced=None,
            status_code=0,
            source=(packet.source_ip, packet.source_port),
            user_agent=message.user_agent,
            edge=agent.name,
        )
        return [row]

    def _receive_event(self, event: HlogEvent, agent: Agent, at_ms: int, now_ms: int) -> list[AccountRow]:
        if agent.trust is not Trust.HLOG:
            self.refused["event_without_trust"] += 1
            return []
        if event.event == "auth" and (event.code in REFUSED_CODES or event.code == NONCE_REUSED_CODE):
            return self._refused_credentials(event, agent, at_ms, now_ms)
        if event.event == "auth" and event.method == "REGISTER":
            return self._registrations[agent.keyed].receive_event(event, agent, at_ms, now_ms)
        rows = self._dialogs[agent.keyed].receive_event(event, agent, at_ms, now_ms)
        if event.event == "blocked" and not event.account:
            return [row for row in rows if self._source_row(now_ms)]
        return rows

    def _refused_credentials(self, event: HlogEvent, agent: Agent, at_ms: int, now_ms: int) -> list[AccountRow]:
        """Wrong credentials count against their source. The account they claim is a name in somebody's mouth."""
        if self._remembered((event.call_id, event.from_tag, event.cseq, event.method)) or not self._source_row(now_ms):
            return []
        return [
            auth_failure(
                keyed=agent.keyed,
                sender=self.senders.of(event.peer_ip, event.user_agent, keyed=agent.keyed),
                at_ms=at_ms,
                now_ms=now_ms,
                call_id=event.call_id,
                claimed=event.account,
                status_code=STATUS_OF_CODE.get(event.code, event.code),
                source_ip=event.peer_ip,
                source_port=event.peer_port,
                user_agent=event.user_agent,
                edge=agent.name,
                flags=flags_of_code(event.code),
            )
        ]

    def _remembered(self, identity: tuple[str, str, int, str]) -> bool:
        """Whether a request of nobody's was told of before; from now on it was."""
        if identity in self._events:
            return True
        if len(self._events) >= SOURCE_ROWS_PER_SECOND * 8:
            del self._events[next(iter(self._events))]
        self._events[identity] = None
        return False

    def _within_budget(self, rows: list[AccountRow], now_ms: int) -> list[AccountRow]:
        """Without the rows of sources that are beyond this second's budget."""
        for row in rows:
            if row.kind in _SOURCE_KINDS:
                return [row for row in rows if row.kind not in _SOURCE_KINDS or self._source_row(now_ms)]
        return rows

    def _source_row(self, now_ms: int) -> bool:
        second = now_ms // 1000
        if second != self._source_second:
            self._source_second = second
            self._source_rows = 0
        self._source_rows += 1
        if self._source_rows > SOURCE_ROWS_PER_SECOND:
            self.refused["source_rows_shed"] += 1
            return False
        return True


def _call_id_of(payload: bytes) -> str:
    """The Call-ID of a message by its usual spelling, without reading the rest; empty when it is spelled otherwise."""
    place = payload.find(b"\nCall-ID:")
    if place < 0:
        return ""
    return payload[place + 9 : payload.find(b"\r", place + 9)].strip().decode("utf-8", "replace")
