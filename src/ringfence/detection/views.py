"""Which engines judge which view of the log, and how each is made and restored.

Pure. An engine outside the kernel has one shape, `Judge`; a view is a list of them. The one thing to know: order matters, because it is the
order in which findings of one message leave.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol
from zoneinfo import ZoneInfo

from ringfence.detection.composed_engine import ComposedEngine
from ringfence.detection.engine import EngineState
from ringfence.detection.findings import Finding
from ringfence.detection.rules import RuleSet
from ringfence.telephony.control import ControlRecord

View = Literal["account", "range", "source", "network"]
VIEWS: Final[tuple[View, ...]] = ("account", "range", "source", "network")


@dataclass(slots=True, kw_only=True)
class Terms:
    """What every engine of a lane judges by; control records change it."""

    rules: RuleSet
    time_zone: ZoneInfo
    holidays: tuple[str, ...] = ()


class Judge(Protocol):
    """An engine outside the kernel: rows (or seconds of the network), ticks and control records in log order become findings."""

    @property
    def now_ms(self) -> int:
        """The event clock; 0 before the first event."""
        ...

    def feed(self, batch: Any, sequence: int) -> list[Finding]:
        """A `RowBatch` that stands at `sequence`; in the network view a `NetworkSecond`."""
        ...

    def tick(self, at_ms: int) -> list[Finding]:
        """Move the event clock in silence."""
        ...

    def control(self, record: ControlRecord) -> None:
        """Let a control record take effect; unknown kinds are ignored."""
        ...

    def state(self) -> EngineState:
        """A copy to keep, equal for replicas at the same position."""
        ...

    def figures(self) -> dict[str, float]:
        """Counters and sizes, by a name that says the unit."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """How an engine begins, and how it goes on from a state."""

    fresh: Callable[[Terms], Judge]
    restore: Callable[[EngineState, Terms], Judge]


_COMPOSED: Final = Maker(
    fresh=lambda terms: ComposedEngine(time_zone=terms.time_zone.key), restore=lambda state, _terms: ComposedEngine.restore(state)
)

JUDGES: Final[Mapping[View, Mapping[str, Maker]]] = {"account": {"composed": _COMPOSED}, "range": {}, "source": {}, "network": {}}
"""Beside the kernel, which belongs to the account view."""
