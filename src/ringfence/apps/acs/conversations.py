"""TR-069 sessions: which session a request belongs to, what the device says, what it is asked next.

Wires the conversation (`protocols.cwmp`), the proof, the room of devices (`fleet`) and the bus; decides nothing about devices itself.
The one thing to know: the connection is the session. The cookie is for devices that come back on another one, and every answer renews it.
"""

import asyncio
import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from ringfence.apps.acs.batch import Batcher
from ringfence.apps.acs.front import Caller
from ringfence.apps.acs.proof import Proven, Prover
from ringfence.apps.acs.seal import NAME, CookieSealer, Ticket, cookie_in
from ringfence.apps.acs.transcript import Transcript
from ringfence.apps.acs.wire import Post, RefusedError, Reply
from ringfence.base.clock import Clock
from ringfence.base.errors import ConflictError, PeerError, UnavailableError
from ringfence.base.ids import new_id
from ringfence.base.secret import Secret
from ringfence.fleet.model import Admitted, Errand, InformSeen, Lane, SessionDone, Standing
from ringfence.fleet.orders import MAX_GIVEN, ImageUrl, Move, Rpc, after_answer, after_transfer, ends_session
from ringfence.fleet.service import TOO_MANY, FleetService
from ringfence.fleet.session import Work, answered, next_request
from ringfence.protocols.cwmp import (
    AcsConnection,
    Ended,
    HandedOver,
    InformReceived,
    QuirkTable,
    RequestReceived,
    ResponseReceived,
    SecretNames,
)
from ringfence.protocols.cwmp.messages import (
    AcsRequest,
    AcsResponse,
    AutonomousTransferComplete,
    AutonomousTransferCompleteResponse,
    DeviceResponse,
    Download,
    FactoryReset,
    Fault,
    GetAllQueuedTransfers,
    GetAllQueuedTransfersResponse,
    GetParameterNames,
    GetParameterValues,
    GetQueuedTransfers,
    GetQueuedTransfersResponse,
    GetRPCMethods,
    GetRPCMethodsResponse,
    Inform,
    InformResponse,
    Reboot,
    RequestDownload,
    RequestDownloadResponse,
    ScheduleInform,
    SetParameterValues,
    TransferComplete,
    TransferCompleteResponse,
    Upload,
)
from ringfence.runtime.metrics import counter, gauge, histogram

METHODS = ("Inform", "GetRPCMethods", "TransferComplete", "AutonomousTransferComplete", "RequestDownload")
SESSION_MS = 30_000
"""So long a session waits for its device to come back on another connection."""
RETRY_LEAST_SECONDS, RETRY_SPREAD_SECONDS = 30, 270
"""Of Retry-After: spread evenly, so that those who were sent away do not come back together."""
STORM_BURST, STORM_REFILL_MS = 12, 5_000
"""Informs of one device: a dozen at once, then one in five seconds (a TD-W8980 was seen with one every five, retry count 1,490)."""
STORM_DEVICES = 200_000
ENDED = 100_000
"""Ended sessions that are remembered; at 2,000 a second that is longer than a cookie lives."""
SLOTS = 1024
_QUESTIONS = (GetAllQueuedTransfers(), GetQueuedTransfers())

_inform = re.compile(rb"<(?:[A-Za-z_][\w.-]{0,63}:)?Inform[\s/>]").search
"""The element, and no PeriodicInformInterval in an answer."""
_sessions = gauge("ringfence_acs_open_sessions", "Sessions that are open.")
_begun = counter("ringfence_acs_sessions_total", "Sessions and attempts that ended, by how.", ("how",))
_seconds = histogram(
    "ringfence_acs_session_seconds", "From Inform to the end of a session.", (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)
)


class InformTold(msgspec.Struct, frozen=True):
    """What is told on the bus of an ordinary Inform, as JSON on `inform.<slot>`."""

    device_id: int
    oui: str
    product_class: str
    serial_number: str
    peer_ip: str
    line: str
    standing: str
    events: tuple[str, ...]
    retry_count: int
    at_ms: int


@dataclass(slots=True, kw_only=True)
class Session:
    """One session. `caller` None: its connection is gone."""

    session_id: str
    connection: AcsConnection
    proven: Proven
    address: str
    began_ms: int
    caller: Caller | None
    transcript: Transcript
    device_id: int = 0
    """0 until its Inform was admitted."""
    believed: bool = False
    """What the device tells without a CommandKey is taken as its own."""
    work: Work | None = None
    errand: Errand | None = None
    step: int = 0
    left_ms: int = 0
    command_key: str = ""
    """Of the order that was given last."""
    given: int = 0
    """Orders of this session."""
    questions: int = 0
    """After the device's own list of transfers."""
    restarts: bool = False
    """It was told to: nothing is asked after that."""
    touched: bool = False
    """More than an Inform happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What the lanes of a process share."""

    fleet: FleetService
    admit: Batcher[InformSeen, Admitted]
    settle: Batcher[SessionDone, None]
    take_step: Batcher[tuple[str, int], bool]
    """Whether a step of a session was free: each is taken once, whichever process its cookie comes to."""
    announce: Callable[[str, bytes], Awaitable[None]]
    quirks: QuirkTable
    cookies: CookieSealer
    clock: Clock
    most: int
    sessions: dict[str, Session]
    storms: "Storms"
    image_url: ImageUrl | None = None
    """None: there is no host of firmware, and files wait."""
    secrets: SecretNames = field(default_factory=SecretNames)
    ended: OrderedDict[str, None] = field(default_factory=OrderedDict)
    """Sessions that ended here lately: their cookies are worth nothing."""
    refused: Callable[[str, str], None]


def settling(fleet: FleetService) -> Callable[[Sequence[SessionDone]], Awaitable[Sequence[None]]]:
    """`FleetService.settle` as a batch with one result each."""

    async def settle(done: Sequence[SessionDone]) -> Sequence[None]:
        await fleet.settle(done)
        return [None] * len(done)

    return settle


class Storms:
    """How often a device may inform. Bounded; what is pushed out begins anew."""

    def __init__(self) -> None:
        self._allowed: OrderedDict[tuple[str, str, str], tuple[float, int]] = OrderedDict()

    def take(self, key: tuple[str, str, str], now_ms: int) -> bool:
        """Whether one more Inform is borne now."""
        left, at_ms = self._allowed.get(key, (float(STORM_BURST), now_ms))
        left = min(float(STORM_BURST), left + (now_ms - at_ms) / STORM_REFILL_MS)
        self._allowed[key] = (max(left - 1, 0.0), now_ms)
        self._allowed.move_to_end(key)
        if len(self._allowed) > STORM_DEVICES:
            self._allowed.popitem(last=False)
        return left >= 1


class Conversations:
    """The sessions of one lane; `handle` is the front's handler."""

    def __init__(self, shared: Shared, prover: Prover, lane: Lane) -> None:
        self._shared = shared
        self._prover = prover
        self._lane = lane
        self.closing = False

    async def handle(self, caller: Caller, post: Post) -> Reply:
        """One request of a device."""
        session = caller.session
        if session is None:
            found = await self._find(caller, post)
            if isinstance(found, Reply):
                return found
            session = found
        assert isinstance(session, Session)
        try:
            reply = await self._turn(session, caller, post)
        except PeerError as error:
            await self._end(session, "refused")
            if isinstance(error, RefusedError):
                raise
            raise RefusedError(400, str(error), reason=error.reason) from error
        except (UnavailableError, ConflictError):
            self._drop(session, "unavailable")
            return self._later("unavailable")
        session.step += 1
        if session.session_id in self._shared.sessions:
            cookies = (self._cookie(session),) if session.connection.quirks.cookie else ()
            return Reply(status=reply.status, body=reply.body, headers=(*reply.headers, *cookies), close=reply.close)
        return reply

    def left(self, caller: Caller) -> None:
        """A connection ended: its session waits a while for its device."""
        session = caller.session
        if isinstance(session, Session) and session.caller is caller:
            session.caller = None
            session.left_ms = self._shared.clock()

    # Which session

    async def _find(self, caller: Caller, post: Post) -> Session | Reply:
        shared = self._shared
        cookie = cookie_in(post.headers.get("cookie", ""))
        ticket = self._ticket(cookie, caller) if cookie and not _opens(post.body) else None
        if ticket is None and (self.closing or len(shared.sessions) >= shared.most):
            return self._later("busy")
        try:
            proven = await self._prover.prove(caller, post)
        except UnavailableError:
            return self._later("unavailable")
        if isinstance(proven, Reply):
            return proven
        if ticket is not None:
            try:
                session = await self._resume(ticket, proven)
            except UnavailableError:
                return self._later("unavailable")
        else:
            session = self._open(proven, caller)
        session.caller, caller.session = caller, session
        return session

    def _ticket(self, cookie: str, caller: Caller) -> Ticket:
        """The cookie opened, and refused when it is used elsewhere than where it was made."""
        try:
            ticket = self._shared.cookies.open(cookie, self._shared.clock())
        except PeerError as error:
            raise RefusedError(400, str(error), reason=error.reason) from error
        if ticket.address != caller.address or ticket.lane != self._lane.value:
            raise RefusedError(403, "That cookie belongs to another device.", reason="cookie_stolen")
        return ticket

    async def _resume(self, ticket: Ticket, proven: Proven) -> Session:
        """The session of a cookie, whose step is taken once. One that another process held goes on without work: it can only end well."""
        if ticket.proven_name != proven.name:
            raise RefusedError(403, "That cookie belongs to another device.", reason="cookie_stolen")
        shared = self._shared
        session = shared.sessions.get(ticket.session_id)
        if session is None:
            if ticket.session_id in shared.ended:
                raise RefusedError(403, "That cookie was used before.", reason="cookie_replayed")
            if not ticket.frozen:
                raise RefusedError(400, "That session has ended.", reason="cookie_expired")
        elif session.step != ticket.step:
            raise RefusedError(403, "That cookie was used before.", reason="cookie_replayed")
        # PostgreSQL decides between processes: a copy of this cookie may be at another one at this moment.
        if not await shared.take_step.do((ticket.session_id, ticket.step)):
            raise RefusedError(403, "That cookie was used before.", reason="cookie_replayed")
        if session is None:
            connection = AcsConnection.thaw(shared.quirks, ticket.frozen)
            session = self._open(proven, None, connection=connection, session_id=ticket.session_id, address=ticket.address)
            session.step, session.device_id, session.believed = ticket.step, ticket.device_id, ticket.believed
            session.transcript.note("The session went on over another connection, at another process.")
        session.step += 1  # Taken: the same cookie on a third connection is a copy.
        if session.caller is not None:
            session.caller.session = None
        return session

    def _open(
        self, proven: Proven, caller: Caller | None, *, connection: AcsConnection | None = None, session_id: str = "", address: str = ""
    ) -> Session:
        shared = self._shared
        session = Session(
            session_id=session_id or new_id("s"),
            connection=connection or AcsConnection(shared.quirks),
            proven=proven,
            address=caller.address if caller is not None else address,
            began_ms=shared.clock(),
            caller=caller,
            transcript=Transcript(shared.secrets),
        )
        shared.sessions[session.session_id] = session
        _sessions.set(len(shared.sessions))
        return session

    def _cookie(self, session: Session) -> tuple[str, str]:
        shared = self._shared
        ticket = Ticket(
            session_id=session.session_id,
            step=session.step,
            lane=self._lane.value,
            address=session.address,
            proven_name=session.proven.name,
            device_id=session.device_id,
            believed=session.believed,
            until_ms=shared.clock() + SESSION_MS,
            frozen=session.connection.freeze(),
        )
        secure = "; Secure" if session.caller is not None and session.caller.tls else ""
        return "Set-Cookie", f"{NAME}={shared.cookies.seal(ticket)}; Path=/; HttpOnly{secure}"

    # What is said

    async def _turn(self, session: Session, caller: Caller, post: Post) -> Reply:
        connection = session.connection
        match connection.receive(post.body, post.charset):
            case InformReceived(inform=inform, version=version):
                return await self._informed(session, caller, inform, version)
            case RequestReceived(request=request):
                session.touched = True
                session.transcript.device(request)
                answer = await self._wanted(session, request)
                session.transcript.acs(answer)
                return Reply(status=200, body=connection.respond(answer))
            case ResponseReceived(request=request, response=response):
                session.touched = True
                session.transcript.device(response)
                await self._answered(session, request, response)
                return await self._next(session)
            case HandedOver():
                return await self._next(session)
            case Ended():
                return await self._finish(session)

    async def _informed(self, session: Session, caller: Caller, inform: Inform, version: str) -> Reply:
        shared, device, now = self._shared, inform.device_id, self._shared.clock()
        if not shared.storms.take((caller.address, device.oui, device.serial_number), now):
            shared.refused(caller.address, "inform_storm")
            self._drop(session, "storm")
            return self._later("storm")
        seen = InformSeen(
            device=device,
            peer_ip=caller.address,
            lane=self._lane,
            proof=session.proven.proof,
            proven_name=session.proven.name,
            proven_device=session.proven.device_id,
            events=tuple(inform.events),
            parameters=tuple(inform.parameters),
            retry_count=inform.retry_count,
            version=version,
            at_ms=now,
        )
        admitted = await shared.admit.do(seen)
        if admitted.standing is Standing.REFUSED and admitted.reason == TOO_MANY:
            shared.refused(caller.address, TOO_MANY)
            self._drop(session, "strangers")
            return self._later("strangers")
        if admitted.standing is Standing.REFUSED:
            raise RefusedError(403, "This device may not speak for that serial number.", reason=f"device_{admitted.reason}")
        session.device_id, session.believed = admitted.device_id, admitted.believed
        most = session.connection.quirks.batch_values
        session.work = replace(admitted.work, widest=most, width=most) if admitted.work is not None else None
        session.errand = admitted.errand
        session.transcript.opens(inform)
        if session.work is not None:
            session.transcript.hide(setting.value.open() for setting in session.work.settings if isinstance(setting.value, Secret))
        await self._tell(seen, admitted)
        return Reply(status=200, body=session.connection.respond(InformResponse()))

    async def _tell(self, seen: InformSeen, admitted: Admitted) -> None:
        """On the bus, where whoever misses it asks PostgreSQL: ordinary Informs are not stored there."""
        told = InformTold(
            device_id=admitted.device_id,
            oui=seen.device.oui,
            product_class=seen.device.product_class,
            serial_number=seen.device.serial_number,
            peer_ip=seen.peer_ip,
            line=admitted.line,
            standing=admitted.standing.value,
            events=tuple(event.event_code for event in seen.events),
            retry_count=seen.retry_count,
            at_ms=seen.at_ms,
        )
        try:
            await self._shared.announce(f"inform.{admitted.device_id % SLOTS}", msgspec.json.encode(told))
        except UnavailableError:
            _begun.labels("not_announced").inc()

    async def _wanted(self, session: Session, request: object) -> AcsResponse | Fault:
        match request:
            case TransferComplete(command_key=command_key, fault_code=code, fault_string=text):
                # Committed before it is answered: the device never tells again (TR-069 A.3.3.2).
                if command_key or session.believed:
                    await self._move(session, after_transfer(command_key, code, text))
                return TransferCompleteResponse()
            case AutonomousTransferComplete():
                return AutonomousTransferCompleteResponse()
            case GetRPCMethods():
                return GetRPCMethodsResponse(METHODS)
            case RequestDownload():
                return RequestDownloadResponse()
            case _:
                return Fault(8000, "Method not supported")

    async def _answered(self, session: Session, request: AcsRequest, response: DeviceResponse | Fault) -> None:
        """What the device's answer changes."""
        match request, response:
            case (GetAllQueuedTransfers() | GetQueuedTransfers(), GetAllQueuedTransfersResponse() | GetQueuedTransfersResponse()):
                session.questions = len(_QUESTIONS)
                await self._shared.fleet.queued(session.device_id, frozenset(transfer.command_key for transfer in response.transfers))
            case (GetAllQueuedTransfers() | GetQueuedTransfers(), _):
                pass  # It keeps no such list (9000): the next question, or the order's deadline, decides.
            case (Download() | Upload() | Reboot() | ScheduleInform() | FactoryReset(), _):
                key = session.command_key if isinstance(request, FactoryReset) else request.command_key
                if key:  # A process that took over does not know which FactoryReset it was: the device's bootstrap tells.
                    await self._move(session, after_answer(key, response))
            case (GetParameterNames() | GetParameterValues() | SetParameterValues(), _) if session.work is not None:
                session.work = answered(session.work, request, response)  # type: ignore[arg-type]  # The connection matched them.
            case _:
                pass

    async def _next(self, session: Session) -> Reply:
        """Ask on, or end: what is doubtful first, then settings, then orders, what restarts the device last."""
        if (question := self._question(session)) is not None:
            return self._ask(session, question)
        work = session.work
        request = next_request(work) if work is not None and not session.restarts else None
        if request is not None:
            return self._ask(session, request)
        if (order := await self._order(session)) is not None:
            return self._ask(session, order)
        return await self._finish(session)

    def _ask(self, session: Session, request: AcsRequest) -> Reply:
        session.touched = True
        session.transcript.acs(request)
        return Reply(status=200, body=session.connection.ask(request))

    def _question(self, session: Session) -> AcsRequest | None:
        """What became of a transfer when a process died? In CWMP 1.0 there is only the older of the two questions."""
        if session.errand is None or not session.errand.doubtful:
            return None
        if session.connection.version == "1-0" and not session.questions:
            session.questions = 1
        if session.questions >= len(_QUESTIONS):
            return None
        session.questions += 1
        return _QUESTIONS[session.questions - 1]

    async def _order(self, session: Session) -> AcsRequest | None:
        """The next order, committed; or the restart that a setting waits for."""
        fleet, errand, work = self._shared.fleet, session.errand, session.work
        if session.restarts or session.given >= MAX_GIVEN:
            return None
        if errand is not None and errand.waiting:
            given = await fleet.give(session.device_id, errand.methods, self._shared.image_url)
            if given is not None:
                return self._give(session, given.rpc, given.command_key)
        if work is not None and work.needs_reboot:
            try:
                command_key = await fleet.ordered(work.device_id, Reboot(""))
            except ConflictError:
                session.restarts = True
                session.transcript.note("A Reboot is under way already.")
            else:
                return self._give(session, Reboot(command_key), command_key)
        return None

    def _give(self, session: Session, rpc: Rpc, command_key: str) -> Rpc:
        session.given += 1
        session.command_key = command_key
        session.restarts = ends_session(rpc)
        return rpc

    async def _finish(self, session: Session) -> Reply:
        if session.touched:
            await self._settle(session)
        ending = session.connection.finish()
        if not ending.once_more:
            self._drop(session, "finished")
        return Reply(status=ending.status_code, body=ending.body)

    # The end

    async def _move(self, session: Session, move: Move) -> None:
        """Commit what became of an order, now."""
        if session.device_id:
            shown = replace(move, detail=session.transcript.shown(move.detail))
            now = self._shared.clock()
            done = SessionDone(device_id=session.device_id, session_id=session.session_id, work=None, at_ms=now, moves=(shown,))
            await self._shared.settle.do(done)

    async def _settle(self, session: Session) -> None:
        """Note what the session learnt, and what was said."""
        if session.device_id:
            done = SessionDone(
                device_id=session.device_id,
                session_id=session.session_id,
                work=session.work,
                at_ms=self._shared.clock(),
                transcript=session.transcript.taken(),
            )
            await self._shared.settle.do(done)
            session.touched = False

    async def _end(self, session: Session, how: str) -> None:
        """End a session before its time; what it learnt is kept."""
        self._drop(session, how)
        if session.touched and session.device_id:
            session.transcript.note(f"The session ended before its time: {how}.")
            try:
                await self._settle(session)
            except (UnavailableError, ConflictError):
                _begun.labels("not_settled").inc()

    def _drop(self, session: Session, how: str) -> None:
        if self._shared.sessions.pop(session.session_id, None) is not None:
            self._shared.ended[session.session_id] = None
            if len(self._shared.ended) > ENDED:
                self._shared.ended.popitem(last=False)
            _begun.labels(how).inc()
            _seconds.observe((self._shared.clock() - session.began_ms) / 1000)
            _sessions.set(len(self._shared.sessions))
        if session.caller is not None:
            session.caller.session = None

    async def sweep(self) -> None:
        """End the sessions whose device did not come back, for ever."""
        shared = self._shared
        while True:
            await asyncio.sleep(1.0)
            limit = shared.clock() - SESSION_MS
            for session in [one for one in shared.sessions.values() if one.caller is None and one.left_ms < limit]:
                await self._end(session, "left")

    async def end_all(self) -> None:
        """Note what the sessions learnt that this process will not see the end of. Their devices go on with another, or begin anew."""
        async with asyncio.TaskGroup() as group:
            for session in tuple(self._shared.sessions.values()):
                group.create_task(self._end(session, "stopped"))

    def _later(self, why: str) -> Reply:
        """503, and when to come back."""
        _begun.labels(why).inc()
        seconds = RETRY_LEAST_SECONDS + secrets.randbelow(RETRY_SPREAD_SECONDS)
        return Reply(status=503, headers=(("Retry-After", str(seconds)),), close=True)


def _opens(body: bytes) -> bool:
    """Whether a body looks like an Inform: a device that starts over sends the cookie of its last session with it."""
    return _inform(body, 0, 4096) is not None
