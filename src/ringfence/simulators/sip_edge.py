"""A SIP edge in one process, for drills and tests on machines without Kamailio: it authenticates, enforces and tells.

INVITE and REGISTER are challenged (Digest), calls are answered by the edge itself with 200 or refused with 603 from its tables, and
everything is mirrored as HEP with verdict events, all as the Kamailio include does it. An emergency call passes before any look-up and
needs no password. It imports no capability: what it holds arrives as JSON-RPC, what it sees leaves as HEP.
"""

import asyncio
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from ringfence.base.clock import Clock
from ringfence.base.errors import PeerError
from ringfence.base.ids import new_token
from ringfence.base.secret import Secret
from ringfence.protocols import digest
from ringfence.protocols.hep import Family, HepPacket, PayloadType, encode
from ringfence.simulators.edge_tables import Dialogs, EdgeTables, RpcServer
from ringfence.simulators.wire import Message, parameter, read, uri_of, write
from ringfence.telephony.emergency import EmergencyCalls
from ringfence.telephony.hlog import HlogEvent, encode_event
from ringfence.telephony.numbers import DialPlan

MAX_NONCES = 100_000
MAX_DIALOGS = 100_000
"""Oldest forgotten first: a simulator that runs for days stays small."""

_RESPONSE = re.compile(r'[\s,]response="([0-9a-f]{32,64})"', re.IGNORECASE)
_COPIED = frozenset({"via", "from", "call-id", "cseq", "record-route"})
_PHRASES = {100: "Trying", 200: "OK", 401: "Unauthorized", 407: "Proxy Authentication Required", 481: "Call Does Not Exist"}

Address = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SipEdgePlan:
    """How the edge is set up."""

    accounts: Mapping[str, str]
    """Account -> password."""
    plan: DialPlan
    emergency: EmergencyCalls
    class_of: Callable[[str], int]
    """Destination class (0 to 5) of E.164 digits: the edge's own prefix table."""
    token: Secret
    name: str = "kamailio-1"
    realm: str = "edge.test"
    hep_target: Address | None = None
    hep_key: Secret | None = None
    capture_id: int = 1
    reason: str = 'SIP;cause=603;text="This call was blocked for your protection"'
    host: str = "127.0.0.1"
    sip_port: int = 0
    rpc_port: int = 0


@dataclass(slots=True)
class _Seen:
    """What must be remembered of a finished INVITE to answer its retransmission the same."""

    answers: OrderedDict[tuple[str, str], bytes] = field(default_factory=OrderedDict)

    def remember(self, key: tuple[str, str], data: bytes) -> None:
        self.answers[key] = data
        if len(self.answers) > MAX_DIALOGS:
            self.answers.popitem(last=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dialog:
    """A call that the edge answered, and what a BYE to its caller needs."""

    number: int
    local: str
    """The edge's own From: the call's To with our tag."""
    remote: str
    target: str
    peer: Address


class SipEdge(asyncio.DatagramProtocol):
    """Made by `open`; `sip_address` and `rpc_url` say where it listens."""

    def __init__(self, plan: SipEdgePlan, clock: Clock) -> None:
        self.plan = plan
        self.tables = EdgeTables(clock, Dialogs(find=self._find_dialog, end=self._end_dialog))
        self.sip_address: Address = ("", 0)
        self.rpc_url = ""
        self.answered: Counter[int] = Counter()
        """Final responses to INVITE by status code, retransmissions not counted."""
        self._clock = clock
        self._nonces: OrderedDict[str, None] = OrderedDict()
        self._seen = _Seen()
        self._dialogs: OrderedDict[str, _Dialog] = OrderedDict()
        self._next_dialog = 1
        self._connections: set[RpcServer] = set()
        self._sip: asyncio.DatagramTransport | None = None
        self._hep: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None

    @classmethod
    async def open(cls, plan: SipEdgePlan, clock: Clock) -> Self:
        """An edge that listens."""
        edge = cls(plan, clock)
        await edge.bind()
        return edge

    async def bind(self) -> None:
        """Bind the SIP and the JSON-RPC port (0: free ones) and the HEP sender."""
        loop = asyncio.get_running_loop()
        plan = self.plan
        self._sip, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(plan.host, plan.sip_port))
        host, port = self._sip.get_extra_info("sockname")[:2]
        self.sip_address = (host, port)
        await self.listen(plan.rpc_port)
        if plan.hep_target is not None:
            self._hep, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=plan.hep_target)

    async def listen(self, port: int) -> None:
        """Open the JSON-RPC listener (again)."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: RpcServer(self.tables, self.plan.token, self._connections), self.plan.host, port)
        bound = self._server.sockets[0].getsockname()[1]
        self.rpc_url = f"http://{self.plan.host}:{bound}/rpc"

    def hang_up_rpc(self) -> None:
        """Close the JSON-RPC listener and its connections: the edge cannot be reached, calls go on."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            if connection.transport is not None:
                connection.transport.abort()

    def restart(self) -> None:
        """As a restart looks from outside: empty tables, broken connections, the same ports."""
        self.tables.forget()
        for connection in list(self._connections):
            if connection.transport is not None:
                connection.transport.abort()

    def close(self) -> None:
        """Close everything."""
        self.hang_up_rpc()
        for transport in (self._sip, self._hep):
            if transport is not None:
                transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    # -- SIP -----------------------------------------------------------------------------------------------------------------------

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        """Answer one datagram and mirror it."""
        try:
            request = read(data)
        except PeerError:
            return
        peer = (str(addr[0]), int(addr[1]))
        self._mirror(data, peer, self.sip_address)
        if request.status_code:
            return
        known = self._seen.answers.get((request.branch, request.method))
        if known is not None:
            self._send(known, peer)
        elif request.method == "INVITE":
            self._invite(request, peer)
        elif request.method == "REGISTER":
            self._register(request, peer)
        elif request.method != "ACK":
            if request.method == "BYE":
                self._dialogs.pop(request.first("call-id"), None)
            self._answer(request, 200, peer)

    def _invite(self, request: Message, peer: Address) -> None:
        if self.plan.emergency.recognises(request.request_uri):
            self._accept(request, peer)
            return
        block_id = self.tables.blocked_source(peer[0])
        if block_id:
            self._refuse(request, peer, "", f"s:{peer[0]}", block_id)
            return
        if request.to_tag:
            self._answer(request, 200 if (request.first("call-id"), "") in self._seen.answers else 481, peer)
            return
        account = self._authenticated(request, peer, "proxy-authorization", 407)
        if account is None:
            return
        digits = self.plan.plan.of_uri(request.request_uri)
        block_id = self.tables.blocked_account(account, self.plan.class_of(digits)) if digits else ""
        key = f"a:{account}"
        if not block_id and digits:
            block_id, key = self.tables.blocked_number(digits)
        if block_id:
            self._refuse(request, peer, account, key, block_id)
        else:
            self._accept(request, peer)

    def _accept(self, request: Message, peer: Address) -> None:
        self._answer(request, 100, peer)
        self._seen.remember((request.first("call-id"), ""), b"")
        self._answer(request, 200, peer, contact=True)

    def _refuse(self, request: Message, peer: Address, account: str, key: str, block_id: str) -> None:
        self._tell(request, peer, "blocked", 603, account=account, key=key, block_id=block_id)
        self._answer(request, 603, peer, extra=(("Reason", self.plan.reason),))

    def _register(self, request: Message, peer: Address) -> None:
        if self._authenticated(request, peer, "authorization", 401) is not None:
            self._answer(request, 200, peer, extra=(("Contact", request.first("contact")), ("Expires", request.first("expires") or "3600")))

    def _authenticated(self, request: Message, peer: Address, name: str, challenge_code: int) -> str | None:
        """The account whose password the request proves; else None, after a challenge. The same challenge for all names."""
        text = request.first(name)
        verdict = -5
        if text:
            try:
                credentials = digest.parse_credentials(text)
                verdict = self._verdict(credentials, text, request.method)
            except PeerError:
                verdict = -1
            else:
                self._tell(request, peer, "auth", verdict, account=credentials.username)
                if verdict > 0:
                    return credentials.username
        challenge = digest.Challenge(self.plan.realm, self._new_nonce(), "MD5", ("auth",), "", stale=verdict == -4)
        header = "WWW-Authenticate" if challenge_code == 401 else "Proxy-Authenticate"
        self._answer(request, challenge_code, peer, extra=((header, digest.build_challenge(challenge)),))
        return None

    def _verdict(self, credentials: digest.Credentials, text: str, method: str) -> int:
        """In Kamailio's numbers: 1 good, -2 wrong password, -3 unknown user, -4 stale nonce."""
        if credentials.nonce not in self._nonces:
            return -4
        password = self.plan.accounts.get(credentials.username)
        if password is None:
            return -3
        algorithm = digest.algorithm_of(credentials.algorithm)
        ha1 = digest.hash_text(algorithm, f"{credentials.username}:{self.plan.realm}:{password}")
        given = _RESPONSE.search(text)
        expected = digest.expected_response(credentials, ha1=ha1, method=method)
        return 1 if given is not None and given.group(1).lower() == expected else -2

    def _new_nonce(self) -> str:
        nonce = new_token()
        self._nonces[nonce] = None
        if len(self._nonces) > MAX_NONCES:
            self._nonces.popitem(last=False)
        return nonce

    def _answer(
        self, request: Message, status_code: int, peer: Address, *, contact: bool = False, extra: tuple[tuple[str, str], ...] = ()
    ) -> None:
        headers = [(name.title(), value) for name, value in request.headers if name in _COPIED]
        to = request.first("to")
        headers.append(("To", to if request.to_tag or status_code == 100 else f"{to};tag={new_token()[:10]}"))
        if contact:
            self._begin_dialog(request, dict(headers)["To"], peer)
            headers.append(("Contact", f"<sip:gateway@{self.sip_address[0]}:{self.sip_address[1]}>"))
        data = write(f"SIP/2.0 {status_code} {_PHRASES.get(status_code, 'Decline')}", (*headers, *extra))
        if status_code >= 200:
            self._seen.remember((request.branch, request.method), data)
            if request.method == "INVITE":
                self.answered[status_code] += 1
        self._send(data, peer)

    def _begin_dialog(self, request: Message, local: str, peer: Address) -> None:
        call_id, target = request.first("call-id"), uri_of(request.first("contact")) or request.request_uri
        remote = request.first("from")
        self._dialogs[call_id] = _Dialog(number=self._next_dialog, local=local, remote=remote, target=target, peer=peer)
        self._next_dialog += 1
        if len(self._dialogs) > MAX_DIALOGS:
            self._dialogs.popitem(last=False)

    def _find_dialog(self, call_id: str) -> tuple[int, int] | None:
        dialog = self._dialogs.get(call_id)
        return (0, dialog.number) if dialog is not None else None

    def _end_dialog(self, entry: int, number: int) -> bool:
        """BYE to the caller, as the dialog module sends one to both sides."""
        call_id = next((call_id for call_id, dialog in self._dialogs.items() if (entry, number) == (0, dialog.number)), None)
        if call_id is None:
            return False
        dialog = self._dialogs.pop(call_id)
        headers = (
            ("Via", f"SIP/2.0/UDP {self.sip_address[0]}:{self.sip_address[1]};branch=z9hG4bK{new_token()[:16]}"),
            ("Max-Forwards", "70"),
            ("From", dialog.local),
            ("To", dialog.remote),
            ("Call-ID", call_id),
            ("CSeq", "1 BYE"),
        )
        self._send(write(f"BYE {dialog.target} SIP/2.0", headers), dialog.peer)
        return True

    def _send(self, data: bytes, peer: Address) -> None:
        if self._sip is not None:
            self._sip.sendto(data, peer)
            self._mirror(data, self.sip_address, peer)

    # -- HEP -----------------------------------------------------------------------------------------------------------------------

    def _tell(
        self, request: Message, peer: Address, event: str, code: int, *, account: str = "", key: str = "", block_id: str = ""
    ) -> None:
        """A verdict event, as the include's RF_TELL writes it."""
        if self._hep is None:
            return
        now_ms = self._clock()
        number = request.first("cseq").partition(" ")[0]
        told = HlogEvent(
            v=1,
            event="auth" if event == "auth" else "blocked",
            edge=self.plan.name,
            at_s=now_ms // 1000,
            at_us=now_ms % 1000 * 1000,
            call_id=request.first("call-id"),
            from_tag=parameter(request.first("from").rpartition(">")[2], "tag"),
            to_tag=request.to_tag,
            cseq=int(number) if number.isdigit() and len(number) < 10 else 0,
            method=request.method,
            account=account,
            realm=self.plan.realm,
            code=code,
            credential="new",
            peer_ip=peer[0],
            peer_port=peer[1],
            request_uri=uri_of(request.request_uri),
            user_agent=request.first("user-agent"),
            key=key,
            block_id=block_id,
        )
        self._capture(encode_event(told), self.sip_address, self.sip_address, PayloadType.LOG, correlation_id=told.call_id)

    def _mirror(self, data: bytes, source: Address, destination: Address) -> None:
        self._capture(data, source, destination, PayloadType.SIP)

    def _capture(self, payload: bytes, source: Address, destination: Address, kind: PayloadType, *, correlation_id: str = "") -> None:
        if self._hep is None:
            return
        now_ms = self._clock()
        packet = HepPacket(
            family=Family.IPV4,
            transport=17,
            source_ip=source[0],
            source_port=source[1],
            destination_ip=destination[0],
            destination_port=destination[1],
            seconds=now_ms // 1000,
            microseconds=now_ms % 1000 * 1000,
            payload_type=kind,
            payload=payload,
            capture_id=self.plan.capture_id,
            correlation_id=correlation_id,
            auth_key=self.plan.hep_key,
        )
        self._hep.sendto(encode(packet))
