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
from ringfence.telephony.call_records import CallRecord, RegistrationRecord, row_of_call
from ringfence.telephony.dialogs import CALLS, DialogTracker, auth_failure
from ringfence.telephony.emergency import EmergencyCalls
from ringfence.telephony.hlog import REFUSED_CODES, HlogEvent, decode_event
from ringfence.telephony.invites import INVITES
from ringfence.telephony.model import AccountRow
from ringfence.telephony.numbers import DialPlan
from ringfence.telephony.pricing import Pricing
from ringfence.telephony.rates import Deck
from ringfence.telephony.registrations import ACCOUNTS, RegistrationTracker
from ringfence.telephony.skew import AgentClock
from ringfence.telephony.trust import Agent, AgentDirectory, Trust

SOURCE_ROWS_PER_SECOND = 1_000
"""Rows that belong to no account (refused credentials, blocked sources) in a second; the rest of a flood is only counted."""

_STATUS_OF_CODE = {-2: 401, -3: 404, -8: 403}
"""Kamailio's verdicts as the status they mean: wrong password, unknown user, user that does not match."""

# Plain integers: a member is looked up and compared at several times the cost, and this happens for every packet.
_SIP = int(PayloadType.SIP)
_LOG = int(PayloadType.LOG)

_SETTLED = (
    b"SIP/2.0 100",
    b"ACK ",
    b"OPTIONS ",
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
    ) -> None:
        self._key = key
        self.directory = AgentDirectory(agents)
        self.pricing = Pricing(key=key, plan=plan, emergency=emergency, deck=deck)
        self._dialogs = tuple(
            DialogTracker(key=key, pricing=self.pricing, keyed=keyed, calls_capacity=calls_capacity, invites_capacity=invites_capacity)
            for keyed in (False, True)
        )
        self._registrations = tuple(RegistrationTracker(key=key, keyed=keyed, capacity=accounts_capacity) for keyed in (False, True))
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
        if self._dialogs[True].seen(record.call_id):
            self.refused["call_record_seen"] += 1
            return []
        row = row_of_call(record, self.pricing, key=self._key, now_ms=now_ms)
        if row is None:
            self.refused["call_record_not_charged"] += 1
            return []
        self._dialogs[True].note_seen(row.call_key)
        return [row]

    def next_timeout(self) -> int | None:
        """Unix milliseconds at which `handle_timeout` has something to do."""
        return min((due for tracker in self._trackers if (due := tracker.next_timeout()) is not None), default=None)

    def handle_timeout(self, now_ms: int) -> list[AccountRow]:
        """Rows of what time alone brings: released attempts, silent ends, lapsed registrations."""
        return [row for tracker in self._trackers for row in tracker.handle_timeout(now_ms)]

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
        else:
            matters = True
        if not matters:
            self.settled += 1
            return []
        message = parse(payload, credentials=self._credentials_matter)
        if message.method == "REGISTER":
            return self._registrations[agent.keyed].receive_sip(message, packet, agent, at_ms, now_ms)
        return self._dialogs[agent.keyed].receive_sip(message, packet, agent, at_ms, now_ms)

    def _receive_event(self, event: HlogEvent, agent: Agent, at_ms: int, now_ms: int) -> list[AccountRow]:
        if agent.trust is not Trust.HLOG:
            self.refused["event_without_trust"] += 1
            return []
        if event.event == "auth" and event.code in REFUSED_CODES:
            return self._refused_credentials(event, agent, at_ms, now_ms)
        if event.event == "auth" and event.method == "REGISTER":
            return self._registrations[agent.keyed].receive_event(event, agent, at_ms, now_ms)
        rows = self._dialogs[agent.keyed].receive_event(event, agent, at_ms, now_ms)
        if event.event == "blocked" and not event.account:
            return [row for row in rows if self._source_row(now_ms)]
        return rows

    def _refused_credentials(self, event: HlogEvent, agent: Agent, at_ms: int, now_ms: int) -> list[AccountRow]:
        """Wrong credentials count against their source. The account they claim is a name in somebody's mouth."""
        identity = (event.call_id, event.from_tag, event.cseq, event.method)
        if identity in self._events:
            return []
        if len(self._events) >= SOURCE_ROWS_PER_SECOND * 8:
            del self._events[next(iter(self._events))]
        self._events[identity] = None
        if not self._source_row(now_ms):
            return []
        return [
            auth_failure(
                key=self._key,
                keyed=agent.keyed,
                at_ms=at_ms,
                now_ms=now_ms,
                call_id=event.call_id,
                claimed=event.account,
                status_code=_STATUS_OF_CODE.get(event.code, event.code),
                source_ip=event.peer_ip,
                source_port=event.peer_port,
                user_agent=event.user_agent,
                edge=agent.name,
            )
        ]

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
