"""The range view: number ranges that many unrelated customers call at once (N01), and Wangiri (N02).

Rows come with C2+ calls by their range and inbound calls by the caller's number. What is counted lies in `kernel_range`; here rows are
chosen, crossings become findings, and call-backs to flagged numbers are followed. Pure, and equal for every cutting of the log into
batches. A forger cannot add to what proves something: rows of agents without a key count in a space of their own.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ringfence.detection import kernel_range as kernel
from ringfence.detection.chains import Chains
from ringfence.detection.engine import EngineState
from ringfence.detection.findings import ACT, WARN, Finding, Parameter, RuleSpec
from ringfence.detection.kernel_range import CROSSING, MAX_WALK, O_COUNT, O_PLACE, O_REFS, PARAMETERS, R_NOW
from ringfence.detection.layout import HOUR, MINUTE
from ringfence.detection.rules import RuleSet, read_rules
from ringfence.detection.tables import Words
from ringfence.detection.wangiri import REMEMBERED_MS, Baits, CalledBack
from ringfence.telephony.columns import RowBatch, row_ref
from ringfence.telephony.control import ControlRecord, RuleSetChanged
from ringfence.telephony.model import DestinationClass, Flag, Kind, NetworkKind, country_letters
from ringfence.telephony.suspicion import Measure

MAX_RANGES: Final = 1 << 20
MAX_RANGE_CALLS: Final = 1 << 20
MAX_CALLERS: Final = 1 << 18
MAX_INBOUND_CALLS: Final = 1 << 19
"""Places for ranges, C3+ calls of an hour, calling numbers and inbound calls of ten minutes: the largest size of each region."""
STRANGER: Final = np.int64(0x5DEECE66D1234567)
"""Turns the key of a row of an agent without a key into another one."""
LEAST_DIGITS: Final = 6
"""A range or number with fewer digits is nobody's; it is never refused."""

RULES: Final = (
    RuleSpec(
        rule="N01",
        name="Unrelated customers calling one number range",
        mode="propose",
        subject_kind="prefix",
        parameters=(
            Parameter(name="warn", default=5, unit="accounts", low=2, high=MAX_WALK, about="Customers within 60 minutes that warn"),
            Parameter(name="act", default=10, unit="accounts", low=2, high=MAX_WALK, about="Customers within 60 minutes that act"),
            Parameter(name="score", default=6, unit="score", low=1, high=100, about="Spreads above the ordinary highest hour of a day"),
            Parameter(name="learn_days", default=7, unit="days", low=0, high=30, about="First days of the log: only C4+ is judged"),
        ),
    ),
    RuleSpec(
        rule="N02",
        name="Wangiri: a moment's ring to many, and call-backs",
        mode="propose",
        subject_kind="prefix",
        parameters=(
            Parameter(name="calls", default=50, unit="calls", low=5, high=MAX_WALK, about="Inbound calls within 5 minutes that flag"),
            Parameter(name="share", default=80, unit="percent", low=1, high=100, about="Of them unanswered after a short ring"),
            Parameter(name="ring_seconds", default=6, unit="seconds", low=0, high=60, about="What is a short ring"),
            Parameter(name="warn", default=3, unit="accounts", low=1, high=200, about="Customers calling back within a day that warn"),
            Parameter(name="act", default=10, unit="accounts", low=1, high=200, about="Customers calling back within a day that act"),
        ),
    ),
)

_OUTGOING = (int(Kind.ATTEMPT), int(Kind.CALL))
_SCORES: Final = (0, 40, 70, 85, 90, 95)

Column = NDArray[Any]


class RangeEngine:
    """One lane of the range view. Create with the rules in force, or `restore` a state."""

    def __init__(self, rules: RuleSet, *, max_ranges: int = MAX_RANGES, max_range_calls: int = MAX_RANGE_CALLS) -> None:
        self.rules = rules
        self._ranges = Chains(max_keys=max_ranges, max_entries=max_range_calls, history=True)
        self._inbound = Chains(max_keys=min(MAX_CALLERS, max_ranges), max_entries=min(MAX_INBOUND_CALLS, max_range_calls), history=False)
        self._baits = Baits()
        self._rows = 0
        self._marks = (np.zeros((2 * MAX_WALK + 1, 2), np.int64), np.zeros((2 * MAX_WALK + 1, 2), np.int64))
        self._found: Words = np.zeros(128, np.int64)
        self._out: Words = np.zeros((256, CROSSING), np.int64)
        self._take_rules(rules)

    @property
    def now_ms(self) -> int:
        """The event clock: the latest event time seen."""
        return int(self._ranges.registers[R_NOW])

    def feed(self, batch: RowBatch, sequence: int) -> list[Finding]:
        """Rows at a sequence of the lane; what they prove, in order."""
        if batch.length == 0:
            return []
        clocks = np.maximum.accumulate(np.maximum(batch.numeric["at_ms"], self.now_ms))
        self._rows += batch.length
        found: list[tuple[int, int, list[Finding]]] = []
        if self.rules.has("N01"):
            found += [(place, 0, each) for place, each in self._see_ranges(batch, sequence, clocks)]
        if self.rules.has("N02"):
            found += [(place, 1, each) for place, each in self._see_inbound(batch, sequence, clocks)]
        self.tick(int(clocks[-1]))
        return [finding for _, _, findings in sorted(found, key=lambda each: each[:2]) for finding in findings]

    def tick(self, at_ms: int) -> list[Finding]:
        """Move the event clock in silence; nothing is found by it."""
        self._ranges.registers[R_NOW] = max(self.now_ms, at_ms)
        self._baits.expire(self.now_ms)
        return []

    def control(self, record: ControlRecord) -> None:
        """New rules take effect here. OperatorError for rules that cannot be read."""
        if isinstance(record, RuleSetChanged):
            self.rules = read_rules(record.toml, version=record.version)
            self._take_rules(self.rules)
            kernel.set_limits(self._ranges.table, self._ranges.registers, self._range_rules, self._found)

    def figures(self) -> dict[str, float]:
        """Counters since the first row, and sizes."""
        registers, inbound = self._ranges.registers, self._inbound.registers
        return {
            "rows_counted": float(self._rows),
            "rows_late": float(registers[kernel.R_LATE] + inbound[kernel.R_LATE]),
            "calls_evicted": float(registers[kernel.R_PUSHED_OUT] + inbound[kernel.R_PUSHED_OUT]),
            "keys_evicted": float(registers[kernel.R_KEYS_GONE] + inbound[kernel.R_KEYS_GONE] + self._baits.forgotten),
            "ranges": float(registers[kernel.R_KEYS]),
            "callers": float(inbound[kernel.R_KEYS]),
            "numbers_flagged": float(len(self._baits)),
            "state_bytes": float(self._ranges.nbytes() + self._inbound.nbytes()),
        }

    # State

    def state(self) -> EngineState:
        """A copy to keep while the engine goes on; equal for replicas at the same position."""
        arrays = {f"ranges.{name}": words for name, words in self._ranges.arrays().items()}
        arrays |= {f"inbound.{name}": words for name, words in self._inbound.arrays().items()}
        scalars: dict[str, Any] = {
            "rows": self._rows,
            "baits": self._baits.state(),
            "baits_forgotten": self._baits.forgotten,
        }
        return EngineState(arrays=arrays, scalars=scalars)

    @classmethod
    def restore(
        cls, state: EngineState, rules: RuleSet, *, max_ranges: int = MAX_RANGES, max_range_calls: int = MAX_RANGE_CALLS
    ) -> "RangeEngine":
        """An engine that goes on where the state was taken. The arrays become its own."""
        scalars, arrays = state.scalars, state.arrays
        engine = cls(rules, max_ranges=max_ranges, max_range_calls=max_range_calls)
        for name, chains in (("ranges", engine._ranges), ("inbound", engine._inbound)):
            chains.adopt(arrays[f"{name}.table"], arrays[f"{name}.ring"], arrays[f"{name}.registers"])
        engine._baits = Baits.restore(scalars["baits"])
        engine._baits.forgotten = int(scalars["baits_forgotten"])
        engine._rows = int(scalars["rows"])
        return engine

    # N01

    def _see_ranges(self, batch: RowBatch, sequence: int, clocks: Words) -> Iterator[tuple[int, list[Finding]]]:
        numeric = batch.numeric
        flags, kind = numeric["flags"], numeric["kind"]
        chosen = (kind == _OUTGOING[0]) | (kind == _OUTGOING[1])
        chosen &= (numeric["destination_class"] >= int(DestinationClass.C3)) & (flags & int(Flag.NATIONAL_VALUE) == 0)
        places = np.flatnonzero(chosen & (numeric["range_key"] != 0) & (numeric["account_key"] != 0))
        if not len(places):
            return
        account = numeric["account_key"][places]
        own_line = (numeric["network_kind"][places] == int(NetworkKind.OWN_POOL)) & (numeric["source_key"][places] != 0)
        columns = (
            clocks[places],
            _apart(numeric["range_key"][places], flags[places]),
            numeric["at_ms"][places],
            account,
            np.where(own_line, numeric["source_key"][places], account),
            row_ref(sequence, 0) + places,
            numeric["destination_class"][places].astype(np.int64),
        )
        row = 0
        while row < len(places):
            chains = self._ranges
            row, written = kernel.see_ranges(
                chains.table, chains.ring, chains.registers, self._range_rules, self._out, *self._marks, self._found, *columns, row
            )
            for words in self._out[:written].tolist():
                place = int(places[words[O_PLACE]])
                yield place, [self._crowd(words, batch, place)]
            chains.make_room(int(clocks[places[min(row, len(places) - 1)]]))

    def _crowd(self, words: list[int], batch: RowBatch, place: int) -> Finding:
        level, at_ms, observed, warn, act, calls, first, highest, days, surge = words[kernel.O_LEVEL : O_COUNT]
        callee = batch.text["callee"][place]
        digits = _digits(callee)[:-3]
        keyed = not int(batch.numeric["flags"][place]) & int(Flag.UNKEYED)
        country = country_letters(int(batch.numeric["country"][place]))
        limit = warn if level == WARN else act
        where, raised = _shown_range(callee), ", raised because everybody calls abroad now" if surge > 100 else ""
        text = f"{observed} customers called numbers in {where} within {_minutes(at_ms - first)}; {_ordinary(highest, days)}."
        text += f" Limit {limit}{raised}."
        return Finding(
            rule="N01",
            level=level,
            subject_kind="prefix",
            subject=digits or callee,
            at_ms=at_ms,
            observed=observed,
            warn=warn,
            act=act,
            unit="accounts",
            score=_SCORES[min(level, len(_SCORES) - 1)],
            keyed=keyed,
            window_ms=HOUR,
            opening_call_id=batch.text["call_id"][place],
            opening_ms=int(batch.numeric["at_ms"][place]),
            calls=(batch.text["call_id"][place],),
            refs=tuple(reversed(words[O_REFS : O_REFS + words[O_COUNT]])),
            reason=text,
            measures=(Measure(scope="range", value=digits),) if level >= ACT and len(digits) >= LEAST_DIGITS else (),
            observed_more={
                "ranges": [digits],
                "countries": [country] if country else [],
                "calls": calls,
                "highest_hour": highest,
                "days_known": days,
                "surge_percent": surge,
            },
        )

    # N02

    def _see_inbound(self, batch: RowBatch, sequence: int, clocks: Words) -> Iterator[tuple[int, list[Finding]]]:
        numeric = batch.numeric
        kind = numeric["kind"]
        inbound = np.flatnonzero((kind == int(Kind.INBOUND)) & (numeric["range_key"] != 0))
        flagged = list(self._ring_in(batch, sequence, inbound, clocks)) if len(inbound) else []
        if not flagged and not len(self._baits):
            return
        ranges = np.array([*self._baits.ranges(), *(int(numeric["range_key"][place]) for place, _ in flagged)], np.int64)
        outgoing = (kind == _OUTGOING[0]) | (kind == _OUTGOING[1])
        outgoing &= (numeric["account_key"] != 0) & (numeric["destination_class"] >= int(DestinationClass.C2))
        called = np.flatnonzero(outgoing & np.isin(numeric["range_key"], ranges))
        steps: list[tuple[int, list[int] | None]] = [*flagged, *((place, None) for place in called.tolist())]
        for place, words in sorted(steps, key=lambda step: step[0]):
            findings = self._called_back(batch, sequence, place) if words is None else self._bait(words, batch, place)
            if findings:
                yield place, findings

    def _ring_in(self, batch: RowBatch, sequence: int, places: NDArray[np.intp], clocks: Words) -> Iterator[tuple[int, list[int]]]:
        numeric = batch.numeric
        tail = numeric["number_tail"][places].astype(np.int64)
        number = numeric["range_key"][places] ^ (tail + 1) * np.int64(0x1E3779B97F4A7C15)
        short = (numeric["answered_ms"][places] == 0) & (numeric["ring_seconds"][places] <= self.rules.value("N02", "ring_seconds"))
        columns = (
            clocks[places],
            _apart(number, numeric["flags"][places]),
            numeric["at_ms"][places],
            numeric["call_key"][places],
            short.astype(np.int64),
            row_ref(sequence, 0) + places,
        )
        row = 0
        while row < len(places):
            chains = self._inbound
            row, written = kernel.see_inbound(
                chains.table, chains.ring, chains.registers, self._inbound_rules, self._out, self._found, *columns, row
            )
            for words in self._out[:written].tolist():
                yield int(places[words[O_PLACE]]), words
            chains.make_room(int(clocks[places[min(row, len(places) - 1)]]))

    def _bait(self, words: list[int], batch: RowBatch, place: int) -> list[Finding]:
        """A number rang many people: remembered, and said once."""
        at_ms, seen, lost = words[kernel.O_AT], words[kernel.O_OBSERVED], words[kernel.O_CALLS]
        caller = batch.text["caller"][place]
        keyed = not int(batch.numeric["flags"][place]) & int(Flag.UNKEYED)
        numeric = batch.numeric
        range_key, tail = int(numeric["range_key"][place]), int(numeric["number_tail"][place])
        self._baits.flag(range_key, tail, keyed=keyed, digits=_digits(caller), at_ms=at_ms, calls=seen)
        calls, share = self.rules.value("N02", "calls"), self.rules.value("N02", "share")
        text = (
            f"{caller or 'A number'} rang {seen} customers within five minutes and hung up on {lost} of them before they could answer "
            f"(limit {calls} calls, {share} % of them short). Nobody has to call back."
        )
        return [
            Finding(
                rule="N02",
                level=WARN,
                subject_kind="prefix",
                subject=_digits(caller) or caller,
                at_ms=at_ms,
                observed=seen,
                warn=calls,
                act=calls,
                unit="calls",
                score=30,
                keyed=keyed,
                window_ms=REMEMBERED_MS,
                opening_call_id=batch.text["call_id"][place],
                opening_ms=int(numeric["at_ms"][place]),
                calls=(batch.text["call_id"][place],),
                refs=tuple(reversed(words[O_REFS : O_REFS + words[O_COUNT]])),
                reason=text,
                observed_more={"ranges": [_digits(caller)[:-3]], "short_calls": lost},
            )
        ]

    def _called_back(self, batch: RowBatch, sequence: int, place: int) -> list[Finding]:
        numeric = batch.numeric
        keyed = not int(numeric["flags"][place]) & int(Flag.UNKEYED)
        number = (int(numeric["range_key"][place]), int(numeric["number_tail"][place]), keyed)
        back = self._baits.call_back(number, int(numeric["account_key"][place]), int(numeric["at_ms"][place]), row_ref(sequence, place))
        if back is None:
            return []
        findings = [self._back(back, batch, place, back.flagged.digits, "number", back.number, back.refs)]
        if back.range > back.number:
            findings.append(self._back(back, batch, place, back.flagged.digits[:-3], "range", back.range, back.range_refs))
        return [finding for finding in findings if finding is not None]

    def _back(
        self, back: CalledBack, batch: RowBatch, place: int, digits: str, scope: str, accounts: int, refs: tuple[int, ...]
    ) -> Finding | None:
        """A finding at the limits and at each doubling, not at every call-back between."""
        warn, act = self.rules.value("N02", "warn"), self.rules.value("N02", "act")
        level = int(kernel.level_of(accounts, warn, act))
        if level == int(kernel.level_of(accounts - 1, warn, act)):
            return None
        least = LEAST_DIGITS + (scope == "number")
        measure = Measure(scope="number" if scope == "number" else "range", value=digits)
        what = f"+{digits}" if scope == "number" else f"numbers in +{digits}xxx"
        text = (
            f"{accounts} customers called back {what}, which rang {back.flagged.calls} customers for a moment. "
            f"Limit {warn if level == WARN else act}."
        )
        return Finding(
            rule="N02",
            level=level,
            subject_kind="prefix",
            subject=digits,
            at_ms=int(batch.numeric["at_ms"][place]),
            observed=accounts,
            warn=warn,
            act=act,
            unit="accounts",
            score=_SCORES[min(level, len(_SCORES) - 1)],
            keyed=back.flagged.keyed,
            window_ms=REMEMBERED_MS,
            opening_call_id=batch.text["call_id"][place],
            opening_ms=int(batch.numeric["at_ms"][place]),
            calls=(batch.text["call_id"][place],),
            refs=refs,
            reason=text,
            measures=(measure,) if level >= ACT and len(digits) >= least else (),
            observed_more={"ranges": [back.flagged.digits[:-3]], "inbound_calls": back.flagged.calls},
        )

    def _take_rules(self, rules: RuleSet) -> None:
        self._range_rules: Words = np.zeros(PARAMETERS, np.int64)
        self._inbound_rules: Words = np.zeros(PARAMETERS, np.int64)
        self._range_rules[:4] = [rules.value("N01", name) for name in ("warn", "act", "score", "learn_days")]
        self._inbound_rules[kernel.P_WARN] = rules.value("N02", "calls")
        self._inbound_rules[kernel.P_SHARE] = rules.value("N02", "share")


def _apart(keys: Column, flags: Column) -> Words:
    """Keys of unkeyed rows in a space of their own; never 0, which is an empty place."""
    apart: Words = np.where(flags & int(Flag.UNKEYED), keys ^ STRANGER, keys)
    return np.where(apart == 0, np.int64(1), apart)


def _digits(number: str) -> str:
    """Digits of a number in E.164 form; empty for one that is not."""
    digits = number.removeprefix("+")
    return digits if number.startswith("+") and digits.isascii() and digits.isdigit() else ""


def _shown_range(callee: str) -> str:
    return f"{callee[:-3]}xxx" if _digits(callee) else "one range"


def _minutes(milliseconds: int) -> str:
    minutes = max(-(-milliseconds // MINUTE), 1)
    return f"{minutes} minute{'' if minutes == 1 else 's'}"


def _ordinary(highest: int, days: int) -> str:
    if highest == 0:
        return f"nobody did in the last {days} days" if days > 1 else "nobody is known to have called there before"
    span = f"in the last {days} days" if days > 1 else "before"
    return f"{span} at most {highest} an hour did"
