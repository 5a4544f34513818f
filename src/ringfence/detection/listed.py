"""Calls to numbers that only fraud dials (D15): revenue-share test numbers, their neighbours, ranges that nobody was given.

A signal for the account, never an alarm of its own: such lists hold mistakes. The same range counts once in a day for an account, so that
redialling adds nothing. Ingest compares the numbers with the lists; here only its flags are read.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ringfence.detection.engine import EngineState
from ringfence.detection.findings import SIGNAL, Finding, Parameter, RuleSpec
from ringfence.detection.layout import DAY, HOUR
from ringfence.detection.rules import RuleSet, read_rules
from ringfence.detection.sightings import Said
from ringfence.telephony.columns import RowBatch, row_ref
from ringfence.telephony.control import ControlRecord, RuleSetChanged
from ringfence.telephony.model import Flag, Kind, country_letters

MAX_HITS: Final = 65_536
"""Accounts with a listed range that are remembered for a day."""
HALF_LIFE: Final = 6 * HOUR

_KINDS: Final[Sequence[tuple[Flag, str, str]]] = (
    (Flag.LISTED_NUMBER, "number", "is on a list of revenue-share test numbers"),
    (Flag.LISTED_RANGE, "range", "lies among revenue-share test numbers"),
    (Flag.UNALLOCATED, "unallocated", "lies in a range that is allocated to nobody"),
)
_LISTED = int(Flag.LISTED_NUMBER | Flag.LISTED_RANGE | Flag.UNALLOCATED)

RULES: Final = (
    RuleSpec(
        rule="D15",
        name="Calls to listed or unallocated numbers",
        mode="propose",
        parameters=(
            Parameter(name="number", default=50, unit="score", low=0, high=100, about="Score of a number that is on a list"),
            Parameter(name="range", default=25, unit="score", low=0, high=100, about="Score of a thousand with two listed numbers"),
            Parameter(name="unallocated", default=20, unit="score", low=0, high=100, about="Score of a range that nobody was given"),
        ),
    ),
)


class ListedEngine:
    """D15 for one account lane. Create with the rules in force, or `restore` a state."""

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self._now = 0
        self._hits = 0
        self._said = Said(keys=MAX_HITS)

    @property
    def now_ms(self) -> int:
        """The event clock: the latest event time seen."""
        return self._now

    def feed(self, batch: RowBatch, sequence: int) -> list[Finding]:
        """Rows at a sequence of the lane; signals of accounts, in order."""
        if batch.length == 0:
            return []
        numeric = batch.numeric
        self._now = max(self._now, int(numeric["at_ms"].max()))
        listed = numeric["flags"] & _LISTED
        if not listed.any() or not self.rules.has("D15"):
            return []
        kind = numeric["kind"]
        chosen = (listed != 0) & ((kind == int(Kind.ATTEMPT)) | (kind == int(Kind.CALL))) & (numeric["account_key"] != 0)
        found = (self._signal(batch, place, sequence) for place in np.flatnonzero(chosen).tolist())
        return [finding for finding in found if finding is not None]

    def tick(self, at_ms: int) -> list[Finding]:
        """Move the event clock in silence; nothing is found by it."""
        self._now = max(self._now, at_ms)
        return []

    def control(self, record: ControlRecord) -> None:
        """New rules take effect here. OperatorError for rules that cannot be read."""
        if isinstance(record, RuleSetChanged):
            self.rules = read_rules(record.toml, version=record.version)

    def figures(self) -> dict[str, float]:
        """Counters since the first row."""
        return {"listed_calls": float(self._hits)}

    def state(self) -> EngineState:
        """A copy to keep while the engine goes on; equal for replicas at the same position."""
        scalars: dict[str, Any] = {
            "now": self._now,
            "hits": self._hits,
            "said": self._said.state(),
        }
        return EngineState(arrays={}, scalars=scalars)

    @classmethod
    def restore(cls, state: EngineState, rules: RuleSet) -> "ListedEngine":
        """An engine that goes on where the state was taken."""
        engine = cls(rules)
        engine._now, engine._hits = int(state.scalars["now"]), int(state.scalars["hits"])
        engine._said.adopt(state.scalars["said"])
        return engine

    def _signal(self, batch: RowBatch, place: int, sequence: int) -> Finding | None:
        numeric, text = batch.numeric, batch.text
        flags = int(numeric["flags"][place])
        at_ms, account_key = int(numeric["at_ms"][place]), int(numeric["account_key"][place])
        self._hits += 1
        name, what = next((name, what) for flag, name, what in _KINDS if flags & flag)
        score = self.rules.value("D15", name)
        if score == 0 or not self._said.again(f"{account_key} {int(numeric['range_key'][place])}", score, at_ms, DAY):
            return None
        callee, country = text["callee"][place], country_letters(int(numeric["country"][place]))
        return Finding(
            rule="D15",
            level=SIGNAL,
            subject_kind="account",
            subject=text["account"][place],
            at_ms=at_ms,
            observed=score,
            warn=score,
            act=score,
            unit="score",
            score=score,
            hard=False,
            account=text["account"][place],
            account_key=account_key,
            keyed=not flags & int(Flag.UNKEYED),
            window_ms=HALF_LIFE,
            opening_call_id=text["call_id"][place],
            opening_ms=at_ms,
            calls=(text["call_id"][place],),
            refs=(row_ref(sequence, place),),
            reason=f"Called {callee}, which {what}.",
            observed_more={"ranges": [callee.removeprefix("+")[:-3]], "countries": [country] if country else [], "listed": name},
        )
