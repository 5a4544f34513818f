"""Orders to a device: Download, Upload, Reboot, FactoryReset, each with the CommandKey its RPC carries, and the states one goes through.

The table is consulted by every change of state. The one thing to know: an attempt is one CommandKey and is sent once. When nobody knows
what became of it (a crash, a deadline), it becomes UNKNOWN and stays it, and only a new attempt with a new key may follow.
"""

from enum import StrEnum, unique

from ringfence.base.ids import derived_id
from ringfence.protocols.cwmp.messages import Download, FactoryReset, Reboot, Upload

MAX_COMMAND_KEY_CHARS = 32
"""TR-069 A.3.2.8."""

_HOUR = 3_600_000
DEADLINES_MS: dict[str, int] = {"Download": 4 * _HOUR, "Upload": 2 * _HOUR, "Reboot": _HOUR, "FactoryReset": 2 * _HOUR}


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


MOVES: dict[OrderState, frozenset[OrderState]] = {
    OrderState.COMMITTED: frozenset({OrderState.STARTED, OrderState.DONE, OrderState.FAILED, OrderState.UNKNOWN}),
    OrderState.STARTED: frozenset({OrderState.DONE, OrderState.FAILED, OrderState.UNKNOWN}),
    # A device that reports after its deadline is believed: the truth is worth more than our patience.
    OrderState.UNKNOWN: frozenset({OrderState.DONE, OrderState.FAILED}),
    OrderState.DONE: frozenset(),
    OrderState.FAILED: frozenset(),
}


def may_move(state: OrderState, to: OrderState) -> bool:
    """Whether an order in one state may get into the other."""
    return to in MOVES[state]


def purpose_of(request: Download | Upload | Reboot | FactoryReset) -> str:
    """What an order is for: two of the same purpose are attempts of one thing. A URL's signature and expiry do not matter."""
    match request:
        case Download() | Upload():
            place = request.url.partition("?")[0]
            return derived_id("p", type(request).__name__, request.file_type, place)
        case _:
            return type(request).__name__
