"""One CWMP session as the ACS sees it (TR-069 3.7): one HTTP request in, exactly one reply out. Sans-IO.

The table of transitions is the whole of the conversation: what is not in it is the peer's error and ends the session, or, where the ACS
itself speaks out of turn, a bug. The one thing to know: only an empty body (or an empty envelope) hands the turn over. A body that cannot
be read raises, and the session is over; it never moves on by mistake.
"""

from enum import Enum
from typing import Any, Final, TypeAlias

import msgspec

from ringfence.base.errors import PeerError
from ringfence.protocols.cwmp.build import build
from ringfence.protocols.cwmp.layout import BY_NAME, FROM_DEVICE, RESPONSES
from ringfence.protocols.cwmp.messages import (
    AcsRequest,
    AcsResponse,
    DeviceId,
    DeviceRequest,
    DeviceResponse,
    Envelope,
    Fault,
    Inform,
    Message,
    NoMessage,
    UnknownMessage,
)
from ringfence.protocols.cwmp.parse import parse
from ringfence.protocols.cwmp.quirks import EndingStyle, Quirks, QuirkTable

MAX_EXCHANGES = 4_096
"""HTTP requests of one session (`endless`): a device that goes on for ever gets its session closed."""
MAX_FROZEN_BYTES = 2_400
"""Of a frozen session. A cookie of 4,096 bytes holds it sealed and in base64; what is larger stays on its connection."""
_SOFTWARE_VERSION = ".DeviceInfo.SoftwareVersion"


class State(int, Enum):
    """Whose turn it is."""

    WAITING = 0
    """For the Inform."""
    INFORMED = 1
    """The ACS answers the Inform."""
    DEVICE_TURN = 2
    """The device may send requests of its own, or hand over."""
    ANSWERING = 3
    """The ACS answers a request of the device."""
    ACS_TURN = 4
    """The ACS asks, or ends."""
    ASKED = 5
    """The device answers."""
    ENDED = 6


class Step(Enum):
    """What can happen, from either side."""

    INFORM = "Inform"
    REQUEST = "request of the device"
    RESPONSE = "response"
    EMPTY = "empty body"
    RESPOND = "respond"
    ASK = "ask"
    FINISH = "finish"


# An Inform opens a session wherever it comes: a device that lost an answer starts over, often on the same connection.
TRANSITIONS: Final[dict[tuple[State, Step], State]] = {
    **{(state, Step.INFORM): State.INFORMED for state in State},
    (State.INFORMED, Step.RESPOND): State.DEVICE_TURN,
    (State.DEVICE_TURN, Step.REQUEST): State.ANSWERING,
    (State.DEVICE_TURN, Step.EMPTY): State.ACS_TURN,
    (State.ANSWERING, Step.RESPOND): State.DEVICE_TURN,
    (State.ACS_TURN, Step.ASK): State.ASKED,
    (State.ACS_TURN, Step.FINISH): State.ENDED,
    (State.ASKED, Step.RESPONSE): State.ACS_TURN,
    # The old ending, empty-empty-empty: the device says so once more, and is told so once more.
    (State.ENDED, Step.EMPTY): State.ENDED,
    (State.ENDED, Step.FINISH): State.ENDED,
}

_REFUSALS: Final = {
    State.WAITING: ("inform_expected", "A session starts with an Inform."),
    State.ASKED: ("answer_expected", "The device was asked and sent something else than the answer."),
    State.ENDED: ("ended", "The session has ended."),
}


class InformReceived(msgspec.Struct, frozen=True):
    """A session opens (or starts over: judge it anew). Answer with InformResponse, or with a Fault."""

    inform: Inform
    version: str
    quirks: Quirks


class RequestReceived(msgspec.Struct, frozen=True):
    """The device wants something. Answer with its response, or a Fault; 8000 for an UnknownMessage."""

    request: DeviceRequest | UnknownMessage


class ResponseReceived(msgspec.Struct, frozen=True):
    """The answer to what was asked. Ask on, or finish."""

    request: AcsRequest
    response: DeviceResponse | Fault


class HandedOver(msgspec.Struct, frozen=True):
    """The device has no more requests. Ask, or finish."""


class Ended(msgspec.Struct, frozen=True):
    """The old ending: say once more that it is over (`finish`)."""


SessionEvent: TypeAlias = InformReceived | RequestReceived | ResponseReceived | HandedOver | Ended


class Ending(msgspec.Struct, frozen=True):
    """The last HTTP reply of a session. `once_more`: the device answers it with one more empty POST."""

    status_code: int
    body: bytes = b""
    once_more: bool = False


class _Frozen(msgspec.Struct, frozen=True, array_like=True):
    state: int
    version: str
    oui: str
    product_class: str
    software_version: str
    peer_id: str
    own_id: int
    exchanges: int
    asked: str
    request: msgspec.Raw


class AcsConnection:
    """The conversation with one device. `receive`, then exactly one of `respond`, `ask` and `finish`, and so on."""

    __slots__ = ("_asked", "_device_id", "_exchanges", "_own_id", "_peer_id", "_software_version", "_table", "quirks", "state", "version")

    def __init__(self, quirks: QuirkTable) -> None:
        self._table = quirks
        self._asked: Any = None
        self._device_id = DeviceId()
        self._software_version = ""
        self._exchanges = 0
        self._own_id = 0
        self._peer_id = ""
        self.quirks = Quirks()
        """Of this device; known from the Inform on."""
        self.state = State.WAITING
        self.version = "1-0"
        """The end of the namespace that the device speaks, and is answered in."""

    def receive(self, body: bytes, charset: str = "") -> SessionEvent:
        """Take the body of one HTTP request. PeerError when it cannot be read or is out of turn: the session has ended then."""
        try:
            return self._received(body, charset)
        except PeerError:
            self.state = State.ENDED
            raise

    def respond(self, message: AcsResponse | Fault, *, hold_requests: bool = False) -> bytes:
        """The body that answers the device's request."""
        self._step(Step.RESPOND)
        return build(Envelope(message, self._peer_id, self.version, hold_requests), self.quirks)

    def ask(self, request: AcsRequest, *, hold_requests: bool = False) -> bytes:
        """The body that asks the device. OperatorError when the request breaks the schema: it is still the ACS's turn."""
        body = build(Envelope(request, str(self._own_id + 1), self.version, hold_requests), self.quirks)
        self._step(Step.ASK)
        self._own_id += 1
        self._asked = request
        return body

    def finish(self) -> Ending:
        """The last reply."""
        again = self.state is State.ENDED
        self._step(Step.FINISH)
        old = self.quirks.ending is EndingStyle.EMPTY
        return Ending(200 if old or self.quirks.ending is EndingStyle.OK_EMPTY else 204, once_more=old and not again)

    def freeze(self) -> bytes:
        """The state as bytes to be sealed, so that any process goes on. It holds the request that is open, passwords included.

        Empty when that is larger than MAX_FROZEN_BYTES: only this connection can go on then.
        """
        asked = type(self._asked).__name__ if self.state is State.ASKED else ""
        frozen = _Frozen(
            self.state,
            self.version,
            self._device_id.oui,
            self._device_id.product_class,
            self._software_version,
            self._peer_id,
            self._own_id,
            self._exchanges,
            asked,
            msgspec.Raw(msgspec.msgpack.encode(self._asked if asked else None)),
        )
        raw = msgspec.msgpack.encode(frozen)
        return raw if len(raw) <= MAX_FROZEN_BYTES else b""

    @classmethod
    def thaw(cls, quirks: QuirkTable, frozen: bytes) -> "AcsConnection":
        """Go on where `freeze` was called. PeerError when the bytes are no such state (of an older version, say)."""
        connection = cls(quirks)
        try:
            read = msgspec.msgpack.decode(frozen, type=_Frozen)
            connection.state = State(read.state)
            if connection.state is State.ASKED:
                connection._asked = msgspec.msgpack.decode(read.request, type=BY_NAME[read.asked])
        except (msgspec.MsgspecError, ValueError, KeyError):
            raise PeerError("The cookie holds no session that can go on.", reason="bad_state") from None
        connection.version = read.version
        connection._identify(DeviceId(oui=read.oui, product_class=read.product_class), read.software_version)
        connection._peer_id, connection._own_id, connection._exchanges = read.peer_id, read.own_id, read.exchanges
        return connection

    def _received(self, body: bytes, charset: str) -> SessionEvent:
        self._exchanges += 1
        if self._exchanges > MAX_EXCHANGES:
            raise PeerError(f"A session of more than {MAX_EXCHANGES} requests.", reason="endless")
        if not body:
            return self._handed_over()
        envelope = parse(body, charset)
        message: Message = envelope.message
        match message:
            case NoMessage():
                return self._handed_over()
            case Inform():
                return self._informed(message, envelope)
            case _ if type(message) in FROM_DEVICE or (isinstance(message, UnknownMessage) and not message.method.endswith("Response")):
                return self._requested(message, envelope)
            case _:
                return self._answered(message, envelope)

    def _informed(self, inform: Inform, envelope: Envelope) -> InformReceived:
        self._step(Step.INFORM)
        version = next((parameter.value for parameter in inform.parameters if parameter.name.endswith(_SOFTWARE_VERSION)), "")
        self.version = envelope.version
        self._identify(inform.device_id, version[:256])
        self._peer_id, self._asked, self._exchanges = envelope.id[:256], None, 1
        return InformReceived(inform, envelope.version, self.quirks)

    def _identify(self, device_id: DeviceId, software_version: str) -> None:
        self._device_id, self._software_version = device_id, software_version
        self.quirks = self._table.of(device_id.oui, device_id.product_class, software_version)

    def _requested(self, request: Any, envelope: Envelope) -> RequestReceived:
        self._step(Step.REQUEST)
        self._peer_id = envelope.id[:256]
        return RequestReceived(request)

    def _answered(self, response: Any, envelope: Envelope) -> ResponseReceived:
        if self.state is State.ASKED and not isinstance(response, Fault) and type(response) is not RESPONSES[type(self._asked)]:
            raise PeerError("The device answered another question than the one that was asked.", reason="wrong_response")
        # A device that leaves the ID out can only mean the one question; one that names another means another.
        if self.state is State.ASKED and envelope.id and envelope.id != str(self._own_id):
            raise PeerError("The device answered under another ID than it was asked.", reason="wrong_id")
        self._step(Step.RESPONSE)
        request, self._asked = self._asked, None
        return ResponseReceived(request, response)

    def _handed_over(self) -> HandedOver | Ended:
        self._step(Step.EMPTY)
        return Ended() if self.state is State.ENDED else HandedOver()

    def _step(self, step: Step) -> None:
        following = TRANSITIONS.get((self.state, step))
        if following is not None:
            self.state = following
            return
        assert step not in {Step.RESPOND, Step.ASK, Step.FINISH}, f"the ACS may not {step.value} in {self.state.name}"
        reason, text = _REFUSALS.get(self.state, ("out_of_turn", f"The device sent this out of turn: {step.value}."))
        raise PeerError(text, reason=reason)
