"""Orders to a device: what a person may want, which comes next, what became of an attempt, and when there is another.

Tables that every change consults; no clock, no database. The one thing to know: an attempt is one CommandKey and is sent once. When nobody
knows what became of it (a crash, a deadline), it becomes UNKNOWN, and only a new attempt with a new key may follow, as `follow_up` says.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import TypeAlias

from ringfence.base.ids import derived_id
from ringfence.protocols.cwmp.faults import Remedy, meaning_of
from ringfence.protocols.cwmp.messages import (
    Download,
    DownloadResponse,
    Event,
    FactoryReset,
    FactoryResetResponse,
    Fault,
    Reboot,
    RebootResponse,
    ScheduleInform,
    ScheduleInformResponse,
    Upload,
)

MAX_COMMAND_KEY_CHARS = 32
"""TR-069 A.3.2.8."""
MAX_WAITING = 16
"""Orders that wait for one device."""
MAX_GIVEN = 8
"""Orders of one session."""
MAX_DELAY_SECONDS = 604_800
"""Of a ScheduleInform."""

_HOUR = 3_600_000
DEADLINES_MS: dict[str, int] = {
    "Download": 4 * _HOUR,
    "Upload": 2 * _HOUR,
    "Reboot": _HOUR,
    "FactoryReset": 2 * _HOUR,
    "ScheduleInform": _HOUR,  # And its own delay.
}
ATTEMPTS: dict[str, int] = {"Download": 4, "Reboot": 3, "FactoryReset": 1, "ScheduleInform": 3}
"""Attempts of one wish. A factory reset costs its owner everything: a second one is a person's decision."""
PAUSE_MS = 600_000
"""Before another attempt after a fault that calls for a pause, doubling."""
LONGEST_PAUSE_MS = 24 * _HOUR

TRANSFERS = frozenset({"Download", "Upload"})
_TURN = {"ScheduleInform": 0, "Download": 1, "Reboot": 2, "FactoryReset": 3}
"""Which goes first. What ends the device's work goes last, and alone."""
_ALONE = frozenset({"Reboot", "FactoryReset"})
_BOOT, _BOOTSTRAP = "1 BOOT", "0 BOOTSTRAP"


@unique
class OrderState(StrEnum):
    """How far an attempt came."""

    COMMITTED = "committed"
    """In the database; its RPC leaves, or left, or was lost with the process."""
    STARTED = "started"
    """The device accepted it and will report (DownloadResponse with Status 1)."""
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


OPEN = frozenset({OrderState.COMMITTED, OrderState.STARTED})

MOVES: dict[OrderState, frozenset[OrderState]] = {
    OrderState.COMMITTED: frozenset({OrderState.STARTED, OrderState.DONE, OrderState.FAILED, OrderState.UNKNOWN}),
    OrderState.STARTED: frozenset({OrderState.DONE, OrderState.FAILED, OrderState.UNKNOWN}),
    # A device that reports after its deadline is believed: the truth is worth more than our patience.
    OrderState.UNKNOWN: frozenset({OrderState.DONE, OrderState.FAILED}),
    OrderState.DONE: frozenset(),
    OrderState.FAILED: frozenset(),
}


@unique
class WantedState(StrEnum):
    """How far a wanted order came."""

    WAITING = "waiting"
    """For the device, or for its next attempt."""
    GIVEN = "given"
    """An attempt is under way."""
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """Nobody knows whether the last attempt was carried out, and there is no other by itself."""
    CANCELED = "canceled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadFirmware:
    """Install a file of the catalogue. Its URL is made when the order leaves, for this device and a few hours."""

    sha256: str


Order: TypeAlias = DownloadFirmware | Reboot | FactoryReset | ScheduleInform
"""What may be wanted. A CommandKey in it is left aside: each attempt has its own."""
ImageUrl: TypeAlias = Callable[[int, str, int], str]
"""Device, SHA-256 and bytes -> the URL of a file, signed for that device for a few hours."""
Rpc: TypeAlias = Download | Upload | Reboot | FactoryReset | ScheduleInform


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A wanted order whose turn may have come."""

    wanted_id: int
    method: str
    argument: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt. Times in milliseconds; `fault_code` 0: none."""

    command_key: str
    wanted_id: int
    """0: the ACS ordered it by itself, to let a setting apply."""
    method: str
    purpose: str
    attempt: int
    state: OrderState
    fault_code: int
    detail: str
    committed_ms: int
    changed_ms: int
    deadline_ms: int

    @property
    def fault_text(self) -> str:
        """What its fault means, in the standard's words."""
        return meaning_of(self.fault_code).text if self.fault_code else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedOrder:
    """A wanted order with its attempts, the newest first. `argument`: a Download's SHA-256, a ScheduleInform's seconds."""

    wanted_id: int
    device_id: int
    method: str
    argument: str
    state: WantedState
    asked_by: str
    asked_ms: int
    not_before_ms: int
    expires_ms: int
    changed_ms: int
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """Everything a device was ordered lately. `own`: attempts that no person wanted."""

    wanted: tuple[WantedOrder, ...]
    own: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A change of an attempt's state and why."""

    command_key: str
    to: OrderState
    fault_code: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An attempt that was committed: send its RPC now, once."""

    command_key: str
    rpc: Rpc


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """What becomes of a wanted order after an attempt."""

    state: WantedState
    pause_ms: int = 0


def may_move(state: OrderState, to: OrderState) -> bool:
    """Whether an order in one state may get into the other."""
    return to in MOVES[state]


def purpose_of(request: Rpc) -> str:
    """What an order is for: two of the same purpose are attempts of one thing. A URL's signature and expiry do not matter."""
    match request:
        case Download() | Upload():
            place = request.url.partition("?")[0]
            return derived_id("p", type(request).__name__, request.file_type, place)
        case _:
            return type(request).__name__


def purpose_of_wanted(method: str, argument: str) -> str:
    """The same for a wanted order, whose URL changes with each attempt."""
    return derived_id("p", method, argument) if method in TRANSFERS else method


def written(order: Order) -> tuple[str, str]:
    """An order as method and argument, to be kept."""
    match order:
        case DownloadFirmware(sha256=sha256):
            return "Download", sha256
        case ScheduleInform(delay_seconds=seconds):
            return "ScheduleInform", str(seconds)
        case _:
            return type(order).__name__, ""


def next_of(waiting: Iterable[Waiting], under_way: Collection[str], purposes: Collection[str]) -> Waiting | None:
    """The order whose turn it is, None when none may leave now.

    `under_way` and `purposes` are methods and purposes of the attempts that are open. A device that loads a file is not restarted and gets
    no second file; one that restarts gets nothing.
    """
    if not _ALONE.isdisjoint(under_way):
        return None
    ready = [
        order
        for order in waiting
        if purpose_of_wanted(order.method, order.argument) not in purposes
        and not (order.method in TRANSFERS | _ALONE and not TRANSFERS.isdisjoint(under_way))
    ]
    return min(ready, key=lambda order: (_TURN[order.method], order.wanted_id), default=None)


def after_transfer(key: str, fault_code: int, text: str) -> Move:
    """What a TransferComplete means. Success says that the file was taken, not that it runs."""
    state = OrderState.FAILED if fault_code else OrderState.DONE
    return Move(command_key=key, to=state, fault_code=fault_code, detail=text)


def ends_session(request: Rpc) -> bool:
    """Whether nothing is asked after it: the device restarts once the session is over."""
    return type(request).__name__ in _ALONE


def after_answer(key: str, response: object) -> Move:
    """What the device's answer to an order means (DownloadResponse: Status 0 is fetched and applied, 1 is not yet)."""
    match response:
        case Fault(fault_code=code, fault_string=text):
            return Move(command_key=key, to=OrderState.FAILED, fault_code=code or 9002, detail=text)
        case DownloadResponse(status=0):
            return Move(command_key=key, to=OrderState.DONE, detail="applied at once")
        case DownloadResponse() | RebootResponse() | FactoryResetResponse() | ScheduleInformResponse():
            return Move(command_key=key, to=OrderState.STARTED)
        case _:
            return Move(command_key=key, to=OrderState.UNKNOWN, detail="answered with something else")


def told_by(events: Sequence[Event], attempts: Iterable[Attempt], *, believed: bool) -> tuple[Move, ...]:
    """What an Inform says of the orders that are open, or unknown.

    An `M` event names its CommandKey. Without one, a boot answers an open Reboot (some devices forget the key, and the wish is fulfilled
    either way) and a bootstrap a FactoryReset. What is still only COMMITTED was lost with its session, for the device opened another
    one: UNKNOWN. A transfer is left: its fate is the device's queue's to tell.
    """
    codes = {event.event_code for event in events}
    keyed = {(event.event_code, event.command_key) for event in events if event.command_key}
    found = []
    for attempt in attempts:
        if attempt.method in TRANSFERS:
            continue
        is_open = attempt.state in OPEN
        if (f"M {attempt.method}", attempt.command_key) in keyed:
            found.append(Move(command_key=attempt.command_key, to=OrderState.DONE, detail=f"M {attempt.method}"))
        elif believed and is_open and (sign := {"Reboot": _BOOT, "FactoryReset": _BOOTSTRAP}.get(attempt.method, "")) in codes:
            found.append(Move(command_key=attempt.command_key, to=OrderState.DONE, detail=sign))
        elif believed and attempt.state is OrderState.COMMITTED:
            found.append(Move(command_key=attempt.command_key, to=OrderState.UNKNOWN, detail="the device came back without it"))
    return tuple(found)


def told_by_queue(attempts: Iterable[Attempt], queued: Collection[str]) -> tuple[Move, ...]:
    """What the device's own list of transfers says: one it names goes on, one it does not name never began.

    A device that lists a transfer without its key means the one that is open, if there is only one.
    """
    doubtful = [attempt for attempt in attempts if attempt.method in TRANSFERS and attempt.state is OrderState.COMMITTED]
    nameless = "" in queued and len(doubtful) == 1
    return tuple(
        Move(command_key=attempt.command_key, to=OrderState.STARTED, detail="in the device's queue")
        if attempt.command_key in queued or nameless
        else Move(command_key=attempt.command_key, to=OrderState.UNKNOWN, detail="not in the device's queue")
        for attempt in doubtful
    )


def follow_up(method: str, state: OrderState, fault_code: int, attempts: int) -> FollowUp:
    """What becomes of the wanted order when its attempt number `attempts` got into a state; another attempt waits for `pause_ms`."""
    if state in OPEN:
        return FollowUp(state=WantedState.GIVEN)
    if state is OrderState.DONE:
        return FollowUp(state=WantedState.DONE)
    spent = attempts >= ATTEMPTS[method]
    if state is OrderState.UNKNOWN:
        return FollowUp(state=WantedState.UNKNOWN if spent else WantedState.WAITING)
    pause = min(LONGEST_PAUSE_MS, PAUSE_MS << min(attempts - 1, 20))
    match meaning_of(fault_code).remedy:
        case Remedy.RETRY_LATER | Remedy.SLOW_DOWN if not spent:
            return FollowUp(state=WantedState.WAITING, pause_ms=pause)
        case Remedy.RETRY_ONCE if attempts == 1 and not spent:
            return FollowUp(state=WantedState.WAITING, pause_ms=pause)
        case _:
            return FollowUp(state=WantedState.FAILED)
