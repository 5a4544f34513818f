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
from ringfence.detection.forwarding import ForwardingEngine
from ringfence.detection.identity import IdentityEngine
from ringfence.detection.listed import ListedEngine
from ringfence.detection.network import NetworkEngine
from ringfence.detection.ranges import RangeEngine
from ringfence.detection.rules import RuleSet
from ringfence.detection.sources import SourceEngine
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
_IDENTITY: Final = Maker(
    fresh=lambda terms: IdentityEngine(terms.rules), restore=lambda state, terms: IdentityEngine.restore(state, terms.rules)
)
_LISTED: Final = Maker(fresh=lambda terms: ListedEngine(terms.rules), restore=lambda state, terms: ListedEngine.restore(state, terms.rules))
_FORWARDING: Final = Maker(
    fresh=lambda terms: ForwardingEngine(terms.rules), restore=lambda state, terms: ForwardingEngine.restore(state, terms.rules)
)
_RANGES: Final = Maker(fresh=lambda terms: RangeEngine(terms.rules), restore=lambda state, terms: RangeEngine.restore(state, terms.rules))
_SOURCES: Final = Maker(
    fresh=lambda terms: SourceEngine(terms.rules), restore=lambda state, terms: SourceEngine.restore(state, terms.rules)
)
_NETWORK: Final = Maker(
    fresh=lambda terms: NetworkEngine(terms.rules, time_zone=terms.time_zone.key),
    restore=lambda state, terms: NetworkEngine.restore(state, terms.rules),
)

JUDGES: Final[Mapping[View, Mapping[str, Maker]]] = {
    "account": {"identity": _IDENTITY, "listed": _LISTED, "forwarding": _FORWARDING, "composed": _COMPOSED},
    "range": {"ranges": _RANGES},
    "source": {"sources": _SOURCES},
    "network": {"network": _NETWORK},
}
"""Beside the kernel, which belongs to the account view."""
