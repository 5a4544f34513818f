"""One CWMP session as a device sees it: for simulators and for tests of the other side. Sans-IO.

`start`, then for each HTTP reply `receive` and exactly one of `send`, `hand_over` and `answer`, until an event says that it is over.
What a device does between sessions (retries, reboots, what it answers) is the simulator's.
"""

from enum import Enum
from typing import Any, Final, TypeAlias

import msgspec

from ringfence.base.errors import PeerError
from ringfence.protocols.cwmp.build import build
from ringfence.protocols.cwmp.layout import RESPONSES
from ringfence.protocols.cwmp.messages import (
    AcsRequest,
    AcsResponse,
    DeviceRequest,
    DeviceResponse,
    Envelope,
    Fault,
    Inform,
    NoMessage,
    UnknownMessage,
)
from ringfence.protocols.cwmp.parse import parse
from ringfence.protocols.cwmp.quirks import DEFAULT, EndingStyle, Quirks

_ASKABLE = frozenset(AcsRequest.__args__)


class DeviceState(Enum):
    """Whose turn it is, seen from the device."""

    IDLE = 0
    INFORMING = 1
    """The Inform is out."""
    OWN_TURN = 2
    """Requests of its own, or the empty POST."""
    SENT = 3
    """A request of its own is out."""
    LISTENING = 4
    """The ACS asks, or ends."""
    ASKED = 5
    """The device answers."""
    LEAVING = 6
    """The old ending: the last empty POST is due."""
    ENDED = 7


class DeviceStep(Enum):
    """What can happen."""

    START = "start"
    ANSWERED = "a response"
    REFUSED = "a fault"
    SEND = "send"
    HAND_OVER = "hand over"
    QUESTION = "a request"
    ANSWER = "answer"
    EMPTY = "an empty body"
    LAST = "the first of two empty bodies"


DEVICE_TRANSITIONS: Final[dict[tuple[DeviceState, DeviceStep], DeviceState]] = {
    (DeviceState.IDLE, DeviceStep.START): DeviceState.INFORMING,
    (DeviceState.INFORMING, DeviceStep.ANSWERED): DeviceState.OWN_TURN,
    (DeviceState.INFORMING, DeviceStep.REFUSED): DeviceState.ENDED,
    (DeviceState.INFORMING, DeviceStep.EMPTY): DeviceState.ENDED,
    (DeviceState.OWN_TURN, DeviceStep.SEND): DeviceState.SENT,
    (DeviceState.OWN_TURN, DeviceStep.HAND_OVER): DeviceState.LISTENING,
    (DeviceState.SENT, DeviceStep.ANSWERED): DeviceState.OWN_TURN,
    (DeviceState.SENT, DeviceStep.REFUSED): DeviceState.OWN_TURN,
    (DeviceState.LISTENING, DeviceStep.QUESTION): DeviceState.ASKED,
    (DeviceState.ASKED, DeviceStep.ANSWER): DeviceState.LISTENING,
    (DeviceState.LISTENING, DeviceStep.EMPTY): DeviceState.ENDED,
    (DeviceState.LISTENING, DeviceStep.LAST): DeviceState.LEAVING,
    (DeviceState.LEAVING, DeviceStep.HAND_OVER): DeviceState.LEAVING,
    (DeviceState.LEAVING, DeviceStep.EMPTY): DeviceState.ENDED,
}


class Informed(msgspec.Struct, frozen=True):
    """The Inform is delivered with its events. Send requests unless `hold_requests`, or hand over."""

    hold_requests: bool


class Answered(msgspec.Struct, frozen=True):
    """The ACS's answer to a request of the device; a Fault 8005 asks to repeat it."""

    request: DeviceRequest
    response: AcsResponse | Fault


class Asked(msgspec.Struct, frozen=True):
    """The ACS asks. Answer, with a Fault 9000 for an UnknownMessage."""

    request: AcsRequest | UnknownMessage


class OneMore(msgspec.Struct, frozen=True):
    """The old ending: hand over once more."""


class SessionEnded(msgspec.Struct, frozen=True):
    """It is over; `fault` when the ACS refused the Inform."""

    fault: Fault | None = None


DeviceEvent: TypeAlias = Informed | Answered | Asked | OneMore | SessionEnded


class DeviceConnection:
    """The conversation with an ACS. `quirks` are the habits of this device."""

    __slots__ = ("_asked_id", "_holding", "_own_id", "_quirks", "_sent", "_version", "state")

    def __init__(self, *, version: str = "1-0", quirks: Quirks = DEFAULT) -> None:
        self._version = version
        self._quirks = quirks
        self._sent: Any = None
        self._own_id = 0
        self._asked_id = ""
        self._holding = False
        self.state = DeviceState.IDLE

    def start(self, inform: Inform) -> bytes:
        """The first body."""
        self._step(DeviceStep.START)
        return self._ask(inform)

    def send(self, request: DeviceRequest) -> bytes:
        """A request of the device's own."""
        assert not self._holding, "the ACS holds requests"
        self._step(DeviceStep.SEND)
        return self._ask(request)

    def hand_over(self) -> bytes:
        """The empty body."""
        self._step(DeviceStep.HAND_OVER)
        return b""

    def answer(self, response: DeviceResponse | Fault) -> bytes:
        """The answer to what the ACS asked, under its ID."""
        self._step(DeviceStep.ANSWER)
        return build(Envelope(response, self._asked_id, self._version), self._quirks)

    def receive(self, body: bytes, charset: str = "") -> DeviceEvent:
        """Take the body of a 200 or 204. PeerError when it cannot be read or is out of turn: the session has ended then."""
        try:
            return self._received(body, charset)
        except PeerError:
            self.state = DeviceState.ENDED
            raise

    def _received(self, body: bytes, charset: str) -> DeviceEvent:
        envelope = parse(body, charset) if body else Envelope(NoMessage())
        message: Any = envelope.message
        if isinstance(message, NoMessage):
            return self._ended()
        self._holding = envelope.hold_requests
        if type(message) in _ASKABLE or isinstance(message, UnknownMessage):
            self._step(DeviceStep.QUESTION)
            self._asked_id = envelope.id
            return Asked(message)
        if self._sent is None or not (isinstance(message, Fault) or type(message) is RESPONSES[type(self._sent)]):
            raise PeerError("The ACS answered another request than the one that was sent.", reason="wrong_response")
        if envelope.id and envelope.id != str(self._own_id):
            raise PeerError("The ACS answered under another ID than it was asked.", reason="wrong_id")
        informing = self.state is DeviceState.INFORMING
        self._step(DeviceStep.REFUSED if isinstance(message, Fault) else DeviceStep.ANSWERED)
        request, self._sent = self._sent, None
        if informing:
            return SessionEnded(message) if isinstance(message, Fault) else Informed(self._holding)
        return Answered(request, message)

    def _ended(self) -> OneMore | SessionEnded:
        old = self._quirks.ending is EndingStyle.EMPTY and self.state is DeviceState.LISTENING
        self._step(DeviceStep.LAST if old else DeviceStep.EMPTY)
        return OneMore() if old else SessionEnded()

    def _ask(self, request: DeviceRequest) -> bytes:
        body = build(Envelope(request, str(self._own_id + 1), self._version), self._quirks)
        self._own_id += 1
        self._sent = request
        return body

    def _step(self, step: DeviceStep) -> None:
        following = DEVICE_TRANSITIONS.get((self.state, step))
        if following is not None:
            self.state = following
            return
        ours = {DeviceStep.START, DeviceStep.SEND, DeviceStep.HAND_OVER, DeviceStep.ANSWER}
        assert step not in ours, f"the device may not {step.value} in {self.state.name}"
        raise PeerError(f"The ACS sent {step.value} out of turn.", reason="out_of_turn")
