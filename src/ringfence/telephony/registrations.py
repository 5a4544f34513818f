"""Registrations: published when something about them changes, counted otherwise.

A phone registers every few minutes for years; of interest are the first sight, a new source, User-Agent or Contact, lapse and return,
and refused credentials. Up to `BINDINGS` ways of registering are remembered for an account, so that two phones of one account do not take
turns in being news. Memory is bounded; an account that was forgotten is news again at its next REGISTER, so nothing is lost by it. The
one thing to know: who registers is decided by trust, as with calls: an `hlog` verdict, or a 2xx to an answered challenge of the server.
"""

import heapq
from collections import Counter, OrderedDict

from ringfence.base.ids import slot_of
from ringfence.protocols.hep import HepPacket
from ringfence.protocols.sip import SipMessage
from ringfence.telephony.call_records import RegistrationRecord
from ringfence.telephony.calls import Hop
from ringfence.telephony.dialogs import auth_failure
from ringfence.telephony.hlog import NONCE_REUSED_CODE, STATUS_OF_CODE, HlogEvent, flags_of_code
from ringfence.telephony.model import AccountRow, Flag, Kind, account_key_of
from ringfence.telephony.numbers import split_uri
from ringfence.telephony.senders import Senders
from ringfence.telephony.trust import Agent, Trust

ACCOUNTS = 1_000_000
"""Accounts whose registrations are remembered; beyond, the one that registered longest ago is forgotten."""
REQUESTS = 32_768
"""REGISTERs without a verdict that are remembered."""
REQUEST_MS = 32_000
BINDINGS = 4
DEFAULT_EXPIRES_SECONDS = 3_600
"""RFC 3261, 10.3: what a registrar may choose when none is asked for."""
LAPSE_GRACE_MS = 32_000
LAPSED_STATUS = 408
MAX_CONTACT_CHARS = 256

_REGISTRATION = int(Kind.REGISTRATION)
_USER_MISMATCH = int(Flag.USER_MISMATCH)


class _Request:
    """A REGISTER that waits for its verdict."""

    __slots__ = ("at_ms", "claimed", "contact", "cseq", "expires", "named", "nonces", "sent_from", "sent_to", "user_agent")

    def __init__(self, message: SipMessage, packet: HepPacket, at_ms: int, nonces: list[str]) -> None:
        self.at_ms = at_ms
        self.cseq = message.cseq
        self.named = message.from_uri
        contact, expires = message.binding
        self.contact = contact[:MAX_CONTACT_CHARS]
        self.expires = DEFAULT_EXPIRES_SECONDS if expires is None else expires
        self.sent_from: Hop = (packet.source_ip, packet.source_port)
        self.sent_to: Hop = (packet.destination_ip, packet.destination_port)
        self.user_agent = message.user_agent
        self.nonces = nonces
        self.claimed = next((given.username for given in message.credentials if given.nonce in nonces), "")


class _Bindings:
    """How an account registered lately: fingerprints of source, User-Agent and Contact, and when the last of them runs out."""

    __slots__ = ("edge", "expires_ms", "known")

    def __init__(self) -> None:
        self.known: tuple[int, ...] = ()
        self.expires_ms = 0
        self.edge = ""


class RegistrationTracker:
    """Follows the registrations at one kind of agents, those with a key or those without."""

    def __init__(
        self, *, key: bytes, senders: Senders, keyed: bool = True, capacity: int = ACCOUNTS, requests_capacity: int = REQUESTS
    ) -> None:
        self._key = key
        self._senders = senders
        self._keyed = keyed
        self._flags = 0 if keyed else int(Flag.UNKEYED)
        self._capacity = capacity
        self._requests_capacity = requests_capacity
        self._accounts: OrderedDict[str, _Bindings] = OrderedDict()
        self._requests: OrderedDict[str, _Request] = OrderedDict()
        self._lapses: dict[int, list[str]] = {}
        self._minutes: list[int] = []
        self.counts: Counter[str] = Counter()

    @property
    def known_accounts(self) -> int:
        """Accounts with a registration that is remembered."""
        return len(self._accounts)

    @property
    def waiting_requests(self) -> int:
        """REGISTERs without a verdict."""
        return len(self._requests)

    def account_named(self, user: str, number: str) -> str:
        """The registered account that a user part or a number means, by its name as it is or as a number; empty when there is none."""
        if user in self._accounts:
            return user
        if number.startswith("+"):
            for name in (number, number[1:], f"00{number[1:]}"):
                if name in self._accounts:
                    return name
        return ""

    def receive_sip(self, message: SipMessage, packet: HepPacket, agent: Agent, at_ms: int, now_ms: int) -> list[AccountRow]:
        """A mirrored REGISTER or its response: event time `at_ms`, receipt `now_ms`."""
        waiting = self._requests.get(message.call_id)
        if not message.status_code:
            if waiting is None and len(self._requests) >= self._requests_capacity:
                del self._requests[next(iter(self._requests))]
                self.counts["request_forgotten"] += 1
            if waiting is None or waiting.cseq < message.cseq:
                nonces = waiting.nonces if waiting is not None else []
                self._requests.pop(message.call_id, None)
                self._requests[message.call_id] = _Request(message, packet, at_ms, nonces)
            return []
        if waiting is None or waiting.cseq != message.cseq or agent.trust is not Trust.CHALLENGE:
            return []
        if (packet.source_ip, packet.source_port) != waiting.sent_to:
            return []
        return self._challenged(waiting, message, agent, now_ms)

    def receive_event(self, event: HlogEvent, agent: Agent, at_ms: int, now_ms: int) -> list[AccountRow]:
        """An accepted REGISTER, told by our include."""
        if agent.trust is not Trust.HLOG or not event.authenticated or not event.account:
            return []
        waiting = self._requests.pop(event.call_id, None)
        if waiting is not None and waiting.cseq != event.cseq:
            waiting = None
        return self._registered(
            event.account,
            agent.name,
            source=(event.peer_ip, event.peer_port),
            user_agent=event.user_agent,
            contact=waiting.contact if waiting else "",
            expires=waiting.expires if waiting else DEFAULT_EXPIRES_SECONDS,
            call_id=event.call_id,
            credential=event.credential,
            at_ms=at_ms,
            now_ms=now_ms,
            named=waiting.named if waiting else "",
        )

    def receive_record(self, record: RegistrationRecord, edge: str, now_ms: int) -> list[AccountRow]:
        """A REGISTER with its verdict, from a file; refused credentials charge no account here either."""
        if record.status_code != 200 or record.auth_code == NONCE_REUSED_CODE:
            return [
                auth_failure(
                    keyed=self._keyed,
                    sender=self._senders.of(record.source_ip, record.user_agent, keyed=self._keyed),
                    at_ms=record.at_ms,
                    now_ms=now_ms,
                    call_id="",
                    claimed=record.account,
                    status_code=STATUS_OF_CODE.get(record.auth_code, record.status_code),
                    source_ip=record.source_ip,
                    source_port=0,
                    user_agent=record.user_agent,
                    edge=edge,
                    flags=flags_of_code(record.auth_code),
                )
            ]
        return self._registered(
            record.account,
            edge,
            source=(record.source_ip, 0),
            user_agent=record.user_agent,
            contact=record.contact[:MAX_CONTACT_CHARS],
            expires=record.expires,
            call_id="",
            credential="",
            at_ms=record.at_ms,
            now_ms=now_ms,
        )

    def next_timeout(self) -> int | None:
        """Unix milliseconds at which registrations may lapse."""
        return self._minutes[0] * 60_000 if self._minutes else None

    def handle_timeout(self, now_ms: int) -> list[AccountRow]:
        """Publish registrations that lapsed; forget requests that got no verdict."""
        while self._requests:
            oldest = next(iter(self._requests))
            if self._requests[oldest].at_ms > now_ms - REQUEST_MS:
                break
            del self._requests[oldest]
        rows: list[AccountRow] = []
        while self._minutes and self._minutes[0] * 60_000 <= now_ms:
            for account in self._lapses.pop(heapq.heappop(self._minutes)):
                bindings = self._accounts.get(account)
                if bindings is not None and bindings.expires_ms + LAPSE_GRACE_MS <= now_ms:
                    del self._accounts[account]
                    self.counts["lapsed"] += 1
                    rows.append(self._lapsed(account, bindings, now_ms))
        return rows

    def _challenged(self, waiting: _Request, message: SipMessage, agent: Agent, now_ms: int) -> list[AccountRow]:
        """The server's own verdict about a REGISTER at a `challenge` agent."""
        status = message.status_code
        if status in (401, 407):
            challenges = message.challenges
            waiting.nonces = [*waiting.nonces, *(challenge.nonce for challenge in challenges)][-BINDINGS:]
            if not waiting.claimed or any(challenge.stale for challenge in challenges):
                return []
        if not waiting.claimed or status < 200:
            return []
        del self._requests[message.call_id]
        if status in (401, 403, 404, 407):
            return [
                auth_failure(
                    keyed=self._keyed,
                    sender=self._senders.of(waiting.sent_from[0], waiting.user_agent, keyed=self._keyed),
                    at_ms=waiting.at_ms,
                    now_ms=now_ms,
                    call_id=message.call_id,
                    claimed=waiting.claimed,
                    status_code=status,
                    source_ip=waiting.sent_from[0],
                    source_port=waiting.sent_from[1],
                    user_agent=waiting.user_agent,
                    edge=agent.name,
                )
            ]
        if status >= 300:
            return []
        return self._registered(
            waiting.claimed,
            agent.name,
            source=waiting.sent_from,
            user_agent=waiting.user_agent,
            contact=waiting.contact,
            expires=waiting.expires,
            call_id=message.call_id,
            credential="",
            at_ms=waiting.at_ms,
            now_ms=now_ms,
            named=waiting.named,
        )

    def _registered(
        self,
        account: str,
        edge: str,
        *,
        source: Hop,
        user_agent: str,
        contact: str,
        expires: int,
        call_id: str,
        credential: str,
        at_ms: int,
        now_ms: int,
        named: str = "",
    ) -> list[AccountRow]:
        self.counts["accepted"] += 1
        fingerprint = hash((source[0], user_agent, contact))
        bindings = self._accounts.pop(account, None)
        if not expires:
            if bindings is not None:
                bindings.known = tuple(known for known in bindings.known if known != fingerprint)
                if bindings.known:
                    self._accounts[account] = bindings
            news = True
        else:
            bindings = bindings if bindings is not None else self._new_bindings()
            news = fingerprint not in bindings.known
            self._renew(account, bindings, fingerprint, at_ms + expires * 1000)
            bindings.edge = edge
        if not news:
            return []
        account_key = account_key_of(self._key, account, keyed=self._keyed)
        source_key, network_key, network_kind, source_country, network, family_key, flags = self._senders.of(
            source[0], user_agent, keyed=self._keyed
        )
        if named and f":{account}@" not in named and split_uri(named)[0].lower() != account.lower():
            flags |= _USER_MISMATCH
        return [
            AccountRow(
                kind=_REGISTRATION,
                at_ms=at_ms,
                received_ms=now_ms,
                account=account,
                account_key=account_key,
                slot=slot_of(account_key),
                flags=self._flags | flags,
                status_code=200,
                edge=edge,
                source_ip=source[0],
                source_port=source[1],
                user_agent=user_agent,
                contact=contact,
                expires=expires,
                call_id=call_id,
                credential=credential,
                source_key=source_key,
                network_key=network_key,
                network_kind=network_kind,
                source_country=source_country,
                family_key=family_key,
                network=network,
            )
        ]

    def _new_bindings(self) -> _Bindings:
        if len(self._accounts) >= self._capacity:
            del self._accounts[next(iter(self._accounts))]
            self.counts["account_forgotten"] += 1
        return _Bindings()

    def _renew(self, account: str, bindings: _Bindings, fingerprint: int, expires_ms: int) -> None:
        if fingerprint not in bindings.known:
            bindings.known = (*bindings.known, fingerprint)[-BINDINGS:]
        # Accounts stand in the order of their last REGISTER: the first is the one to forget.
        self._accounts[account] = bindings
        before = _lapse_minute(bindings.expires_ms)
        bindings.expires_ms = max(expires_ms, bindings.expires_ms)
        minute = _lapse_minute(bindings.expires_ms)
        if minute != before or minute not in self._lapses:
            if minute not in self._lapses:
                self._lapses[minute] = []
                heapq.heappush(self._minutes, minute)
            self._lapses[minute].append(account)

    def _lapsed(self, account: str, bindings: _Bindings, now_ms: int) -> AccountRow:
        account_key = account_key_of(self._key, account, keyed=self._keyed)
        return AccountRow(
            kind=_REGISTRATION,
            at_ms=bindings.expires_ms,
            received_ms=now_ms,
            account=account,
            account_key=account_key,
            slot=slot_of(account_key),
            flags=self._flags,
            status_code=LAPSED_STATUS,
            edge=bindings.edge,
        )


def _lapse_minute(expires_ms: int) -> int:
    return (expires_ms + LAPSE_GRACE_MS) // 60_000 + 1
