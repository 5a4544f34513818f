"""One phone, one SIP server, one gateway, and what the server mirrors of them as HEP: the material of the dialog tests."""

from dataclasses import dataclass, field

from ringfence.base.secret import Secret
from ringfence.protocols.digest import Challenge, Credentials
from ringfence.protocols.hep import HepPacket, PayloadType, encode
from ringfence.protocols.sip import SipMessage, build, request, response
from ringfence.telephony.decks import default_deck_text
from ringfence.telephony.emergency import emergency_calls
from ringfence.telephony.hlog import HlogEvent, encode_event
from ringfence.telephony.model import AccountRow, Kind
from ringfence.telephony.numbers import plan_for
from ringfence.telephony.pipeline import Pipeline
from ringfence.telephony.rates import read_deck
from ringfence.telephony.trust import Agent, agent_of

NOW = 1_790_000_000_000
KEY = b"0123456789abcdef"
HEP_KEY = Secret("hep-key")
PHONE, SERVER, GATEWAY, STRANGER = ("198.51.100.7", 5060), ("192.0.2.1", 5060), ("192.0.2.9", 5080), ("203.0.113.66", 5060)
DECK = read_deck(default_deck_text(), home="DE", at_ms=NOW)
EMERGENCY = emergency_calls("49", ["30"], ["110", "112"])
PLAN = plan_for("DE", ["30"])

Hop = tuple[str, int]


def agent(name: str = "kamailio-1", *, trust: str = "hlog", key: Secret | None = HEP_KEY, source: str = SERVER[0]) -> Agent:
    return agent_of(name, [source], key=key, trust=trust)


def pipeline(*agents: Agent, calls: int = 1_000, invites: int = 1_000, accounts: int = 1_000) -> Pipeline:
    return Pipeline(
        key=KEY,
        agents=agents or (agent(),),
        plan=PLAN,
        emergency=EMERGENCY,
        deck=DECK,
        calls_capacity=calls,
        invites_capacity=invites,
        accounts_capacity=accounts,
    )


def kinds(rows: list[AccountRow]) -> list[str]:
    return [Kind(row.kind).name for row in rows]


@dataclass
class Wire:
    """Sends to a pipeline what a server mirrors, one millisecond after the other; `rows` are all rows that came out."""

    to: Pipeline
    key: Secret | None = HEP_KEY
    source: str = SERVER[0]
    now: int = NOW
    rows: list[AccountRow] = field(default_factory=list)
    sent: list[tuple[bytes, int]] = field(default_factory=list)

    def datagram(self, payload: bytes, source: Hop, destination: Hop, *, kind: int = PayloadType.SIP) -> list[AccountRow]:
        self.now += 1
        packet = HepPacket(
            2 if "." in source[0] else 10,
            17,
            *source,
            *destination,
            self.now // 1000,
            self.now % 1000 * 1000,
            kind,
            payload,
            1,
            "",
            self.key,
        )
        return self.raw(encode(packet), self.now)

    def raw(self, datagram: bytes, now: int) -> list[AccountRow]:
        self.sent.append((datagram, now))
        rows = self.to.receive(datagram, self.source, now)
        self.rows += rows
        return rows

    def sip(self, message: SipMessage, source: Hop, destination: Hop) -> list[AccountRow]:
        return self.datagram(build(message), source, destination)

    def event(self, event: HlogEvent) -> list[AccountRow]:
        return self.datagram(encode_event(event), SERVER, SERVER, kind=PayloadType.LOG)

    def pass_time(self, milliseconds: int) -> list[AccountRow]:
        self.now += milliseconds
        rows = self.to.handle_timeout(self.now)
        self.rows += rows
        return rows

    def kinds(self) -> list[str]:
        return kinds(self.rows)


def invite(
    number: str = "0023276123456", *, call_id: str = "c1@phone", tag: str = "f1", cseq: int = 2, account: str = "alice", to_tag: str = ""
) -> SipMessage:
    uri = f"sip:{number}@example.net"
    return request(
        "INVITE", uri, call_id=call_id, from_uri=f"sip:{account}@example.net", from_tag=tag, to_tag=to_tag, cseq=cseq, user_agent="Phone/1",
        contact=f"sip:{account}@{PHONE[0]}:5060",
    )  # fmt: skip


def bye(of: SipMessage, *, cseq: int = 3, to_tag: str = "t1", by_callee: bool = False) -> SipMessage:
    if by_callee:
        return request(
            "BYE", "sip:phone", call_id=of.call_id, from_uri=of.to_uri, from_tag=to_tag, to_uri=of.from_uri, to_tag=of.from_tag, cseq=cseq
        )
    return request(
        "BYE", of.request_uri, call_id=of.call_id, from_uri=of.from_uri, from_tag=of.from_tag, to_uri=of.to_uri, to_tag=to_tag, cseq=cseq
    )


def verdict(of: SipMessage, *, account: str = "alice", code: int = 1, event: str = "auth", **more: object) -> HlogEvent:
    values: dict[str, object] = {
        "v": 1, "event": event, "edge": "kamailio-1", "call_id": of.call_id, "from_tag": of.from_tag, "cseq": of.cseq, "method": of.method,
        "account": account, "code": code, "peer_ip": PHONE[0], "peer_port": PHONE[1], "request_uri": of.request_uri, "user_agent": "Phone/1",
        "credential": "new",
    } | more  # fmt: skip
    return HlogEvent(**values)  # type: ignore[arg-type]


def with_credentials(message: SipMessage, *, account: str, nonce: str) -> SipMessage:
    return _with(message, credentials=(Credentials(account, "example.net", nonce, message.request_uri),))


def challenged(message: SipMessage, nonce: str, *, status: int = 407, stale: bool = False) -> SipMessage:
    return response(message, status, to_tag="x", challenge=Challenge("example.net", nonce, stale=stale))


def _with(message: SipMessage, **fields: object) -> SipMessage:
    import msgspec

    return msgspec.structs.replace(message, **fields)


def answered_call(wire: Wire, message: SipMessage, *, account: str = "alice") -> None:
    """INVITE, verdict, relay, 180 and 200 back through the server, ACK."""
    wire.sip(message, PHONE, SERVER)
    wire.event(verdict(message, account=account))
    wire.sip(response(message, 100), SERVER, PHONE)
    wire.sip(message, SERVER, GATEWAY)
    for status in (180, 200):
        wire.sip(response(message, status, to_tag="t1"), GATEWAY, SERVER)
        wire.sip(response(message, status, to_tag="t1"), SERVER, PHONE)


def hang_up(wire: Wire, message: SipMessage, *, by_callee: bool = False, cseq: int = 3) -> None:
    """BYE through the server and its 200 back."""
    end = bye(message, by_callee=by_callee, cseq=cseq)
    near, far = (GATEWAY, PHONE) if by_callee else (PHONE, GATEWAY)
    wire.sip(end, near, SERVER)
    wire.sip(end, SERVER, far)
    wire.sip(response(end, 200), far, SERVER)
    wire.sip(response(end, 200), SERVER, near)
