"""`ComposedEngine`: the rules that analysts composed, over the rows of one lane.

A rule takes effect, changes and goes by its control record, where that stands in the log. The one thing to know: rules are judged in order
of their names, rows in order of the log, and levels rise and fall as the kernel's do (a crossing is a level that rose; a rule is armed
again when a row finds its window below warn), so equal logs give equal findings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from ringfence.base.errors import OperatorError
from ringfence.base.money import show_euro
from ringfence.detection.composed import KEYS, ComposedRule, Event
from ringfence.detection.composed_match import Matcher, Matches, network_of, source_of
from ringfence.detection.composed_text import MAX_RULES, read_one, show_window
from ringfence.detection.composed_windows import KeyRows, Limits, RuleRows, level_of
from ringfence.detection.engine import EngineState
from ringfence.detection.findings import ACT, Finding, SubjectKind, Unit
from ringfence.detection.layout import HOUR, MAX_EVIDENCE, MINUTE
from ringfence.telephony.columns import MAX_ROWS, RowBatch
from ringfence.telephony.control import ComposedChanged, ControlRecord, HolidaysChanged
from ringfence.telephony.model import DestinationClass, Flag, country_letters
from ringfence.telephony.suspicion import Measure, Mode
from ringfence.telephony.user_agents import family_of

MAX_KEPT_ROWS: Final = 1_000_000
"""Rows kept by all rules together; beyond, the rule with the most forgets the half of its keys that was silent longest (counted)."""
MAX_KEPT_KEYS: Final = 250_000
"""Keys of one rule at the most."""
SCORES: Final = (0, 40, 60, 80, 90, 95)
MAX_BLOCKED_DIGITS: Final = 15
_PREFIX_DIGITS: Final = 6

Matrix = NDArray[np.int64]
_SUBJECTS: Final[Mapping[str, SubjectKind]] = {
    "account": "account",
    "callee": "prefix",
    "range": "prefix",
    "source": "source",
    "source_net": "source",
    "edge": "edge",
}
_UNITS: Final[Mapping[str, Unit]] = {
    "account": "accounts",
    "callee": "numbers",
    "range": "numbers",
    "country": "countries",
    "source": "networks",
    "source_net": "networks",
    "network": "networks",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """A composed rule as it judges now."""

    rule: ComposedRule
    version: int
    probation: bool
    """Its alerts have severity info, and nothing follows from them."""

    @property
    def mode(self) -> Mode:
        """What may follow from act: nothing while on probation."""
        return "observe" if self.probation else self.rule.mode


class Rise(NamedTuple):
    """A rule's level for one key rose at a row."""

    place: int
    """Of the row among those that were counted together."""
    ref: int
    at_ms: int
    key: int
    level: int
    value: int
    rows: int
    """In the window."""
    refs: tuple[int, ...]
    """Of the newest rows of the window."""

    @property
    def critical(self) -> bool:
        """Whether act was reached."""
        return self.level >= ACT


class _Running:
    """A rule with what it counted."""

    __slots__ = ("force", "matcher", "record", "rows")

    def __init__(self, record: ComposedChanged, rule: ComposedRule, zone: ZoneInfo) -> None:
        self.record = record
        self.force = InForce(rule=rule, version=record.version, probation=record.state == "probation")
        self.matcher = Matcher(rule, zone)
        self.rows = RuleRows(Limits(rule.window_ms, rule.warn, rule.act, rule.quantity == "distinct"))


class ComposedEngine:
    """Create empty, or `restore` a state. Rules come by `control`."""

    def __init__(self, *, time_zone: str = "Europe/Berlin") -> None:
        self._zone = ZoneInfo(time_zone)
        self._running: dict[str, _Running] = {}
        self._now_ms = 0
        self._swept_ms = 0
        self._late = 0
        self._evicted = 0

    @property
    def now_ms(self) -> int:
        """The event clock: the latest event time seen; 0 before the first."""
        return self._now_ms

    def rule(self, rule_id: str) -> InForce | None:
        """The rule of an id as it judges now; None when it does not."""
        found = self._running.get(rule_id)
        return None if found is None else found.force

    def rules(self) -> tuple[InForce, ...]:
        """Every rule in force, by id."""
        return tuple(self._running[rule_id].force for rule_id in sorted(self._running))

    def figures(self) -> dict[str, float]:
        """Counters since the first row, and sizes, by a name that says the unit."""
        return {
            "composed_rules": float(len(self._running)),
            "composed_rows_kept": float(self._kept()),
            "composed_keys": float(sum(len(running.rows.keys) for running in self._running.values())),
            "composed_rows_late": float(self._late),
            "composed_rows_evicted": float(self._evicted),
        }

    # The log

    def feed(self, batch: RowBatch, sequence: int) -> list[Finding]:
        """Take a batch that stands at `sequence` of the lane. Findings in the order of its rows, then of the rules' ids."""
        if batch.length == 0:
            return []
        found: list[tuple[int, Finding]] = []
        for rule_id in sorted(self._running):
            running = self._running[rule_id]
            matches = running.matcher.match(batch)
            for rise in self.count(rule_id, matches, matches.place + sequence * MAX_ROWS):
                place = int(matches.place[rise.place])
                found.append((place, finding_of(running.force, rise, batch, place)))
        self._move(int(batch.numeric["at_ms"].max()))
        found.sort(key=lambda pair: pair[0])
        return [finding for _, finding in found]

    def count(self, rule_id: str, matches: Matches, refs: NDArray[np.int64]) -> list[Rise]:
        """Count rows that a rule's matcher chose, with their row references."""
        rows = self._running[rule_id].rows
        limits = rows.limits
        self._late += matches.late
        found: list[Rise] = []
        columns = (column.tolist() for column in (matches.at_ms, matches.key, matches.what, matches.call, refs))
        for place, (at_ms, key, what, call, ref) in enumerate(zip(*columns, strict=True)):
            counted = rows.add(key, at_ms, what, call, ref)
            if counted is None:
                continue
            held, (value, low, high) = counted
            level = level_of(value, limits.warn, limits.act)
            if level > held.level:
                held.level = level
                found.append(Rise(place, ref, at_ms, key, level, value, high - low, tuple(held.ref[low:high][-MAX_EVIDENCE:])))
            self._evicted += rows.bound(held)
        self._make_room()
        return found

    def tick(self, at_ms: int) -> list[Finding]:
        """Move the event clock in silence; nothing rises in silence."""
        self._move(at_ms)
        return []

    def control(self, record: ControlRecord) -> None:
        """Let a control record take effect. OperatorError for a rule that cannot be read: the one before it stays."""
        match record:
            case ComposedChanged():
                self._set_rule(record)
            case HolidaysChanged():
                self._zone = ZoneInfo(record.time_zone)
                for running in self._running.values():
                    running.matcher = Matcher(running.force.rule, self._zone)
            case _:
                pass

    def matcher(self, rule_id: str) -> Matcher:
        """What decides which rows the rule counts."""
        return self._running[rule_id].matcher

    # State

    def state(self) -> EngineState:
        """A copy to keep while the engine goes on."""
        keys: list[Any] = []
        rows: list[Matrix] = []
        for place, rule_id in enumerate(sorted(self._running)):
            more_keys, more_rows = self._running[rule_id].rows.matrices(place)
            keys += more_keys
            rows += more_rows
        return EngineState(
            arrays={
                "keys": np.array(keys, np.int64).reshape(-1),
                "rows": np.concatenate(rows).reshape(-1) if rows else np.zeros(0, np.int64),
            },
            scalars={
                "rules": [
                    [record.rule_id, record.version, record.toml, record.state]
                    for record in (self._running[rule_id].record for rule_id in sorted(self._running))
                ],
                "time_zone": self._zone.key,
                "now_ms": self._now_ms,
                "swept_ms": self._swept_ms,
                "late": self._late,
                "evicted": self._evicted,
            },
        )

    @classmethod
    def restore(cls, state: EngineState) -> "ComposedEngine":
        """An engine that goes on where the state was taken. OperatorError, KeyError or ValueError for a state that is none of ours."""
        scalars = state.scalars
        engine = cls(time_zone=scalars["time_zone"])
        for rule_id, version, toml, phase in scalars["rules"]:
            engine._set_rule(ComposedChanged(rule_id=rule_id, version=version, toml=toml, state=phase))
        engine._now_ms, engine._swept_ms = scalars["now_ms"], scalars["swept_ms"]
        engine._late, engine._evicted = scalars["late"], scalars["evicted"]
        running = [engine._running[rule_id] for rule_id in sorted(engine._running)]
        rows = np.asarray(state.arrays["rows"], np.int64).reshape(-1, 4)
        first = 0
        for place, key, level, count in np.asarray(state.arrays["keys"], np.int64).reshape(-1, 4).tolist():
            kept = running[place].rows
            kept.keys[key] = KeyRows.of(rows[first : first + count], level, kept.limits)
            kept.rows += count
            first += count
        return engine

    # Inside

    def _set_rule(self, record: ComposedChanged) -> None:
        if record.state == "retired":
            self._running.pop(record.rule_id, None)
            return
        rule = read_one(record.toml)
        if rule.rule_id != record.rule_id:
            raise OperatorError(f"the text of {record.rule_id} is that of {rule.rule_id}", reason="other_rule")
        before = self._running.get(record.rule_id)
        if before is None and len(self._running) >= MAX_RULES:
            raise OperatorError(f"{MAX_RULES} composed rules are in force; retire one before {record.rule_id}", reason="too_many_rules")
        running = _Running(record, rule, self._zone)
        if before is not None and before.force.rule.counted == rule.counted:
            limits, running.rows = running.rows.limits, before.rows
            running.rows.limits = limits
        self._running[record.rule_id] = running

    def _move(self, at_ms: int) -> None:
        self._now_ms = max(self._now_ms, at_ms)
        if self._now_ms >= self._swept_ms + HOUR:
            self._swept_ms = self._now_ms
            self._forget_silent()

    def _forget_silent(self) -> None:
        """Keys whose rows no window can hold any more. Changes no verdict."""
        for running in self._running.values():
            running.rows.forget_before(self._now_ms - running.rows.silent_ms())

    def _kept(self) -> int:
        return sum(running.rows.rows for running in self._running.values())

    def _make_room(self) -> None:
        """Stay within the bounds by event time: what was silent longest goes."""
        widest = [running for running in self._running.values() if len(running.rows.keys) > MAX_KEPT_KEYS]
        if not widest and self._kept() > MAX_KEPT_ROWS:
            widest = [max((self._running[rule_id] for rule_id in sorted(self._running)), key=lambda running: running.rows.rows)]
        for running in widest:
            newest = sorted(held.newest_ms for held in running.rows.keys.values())
            self._evicted += running.rows.forget_before(newest[len(newest) // 2])


def finding_of(force: InForce, rise: Rise, batch: RowBatch, place: int) -> Finding:
    """A rise in words; `place` is that of its row in the batch."""
    rule = force.rule
    subject = _subject(rule.per, batch, place)
    by_account = rule.per == "account"
    return Finding(
        rule=rule.rule_id,
        rule_version=force.version,
        mode=force.mode,
        probation=force.probation,
        level=rise.level,
        subject_kind=_SUBJECTS.get(rule.per, "network"),
        subject=subject,
        at_ms=rise.at_ms,
        observed=rise.value,
        warn=rule.warn,
        act=rule.act,
        unit=_unit(rule),
        score=0 if force.probation else SCORES[min(rise.level, len(SCORES) - 1)],
        account=subject if by_account else "",
        account_key=int(batch.numeric["account_key"][place]) if by_account else 0,
        keyed=not int(batch.numeric["flags"][place]) & Flag.UNKEYED,
        cost_micro=rise.value if rule.quantity == "cost" else 0,
        window_ms=rule.window_ms,
        opening_call_id=batch.text["call_id"][place],
        opening_ms=int(batch.numeric["started_ms"][place] or batch.numeric["at_ms"][place]),
        refs=rise.refs,
        reason=_reason(force, subject, rise),
        measures=() if force.probation else _measures(rule, batch, place, subject),
        observed_more={"rows": rise.rows, "window_seconds": rule.window_ms // 1000},
    )


def _subject(key: str, batch: RowBatch, place: int) -> str:  # noqa: PLR0911  # One line a key.
    text = batch.text
    match key:
        case "account":
            return text["account"][place]
        case "callee":
            return text["callee"][place].removeprefix("+")
        case "range":
            return text["callee"][place].removeprefix("+")[:-3]
        case "country":
            return f"calls to {country_letters(int(batch.numeric['country'][place]))}"
        case "source":
            return source_of(text["source_ip"][place])
        case "source_net":
            return network_of(text["source_ip"][place])
        case "network":
            return text["network"][place]
        case "family":
            return f"User-Agent {family_of(text['user_agent'][place]).lower()}"
        case "edge":
            return text["edge"][place]
        case _:
            return "all"


def _unit(rule: ComposedRule) -> Unit:
    match rule.quantity:
        case "cost":
            return "euro"
        case "minutes":
            return "minutes"
        case "calls":
            return "calls" if rule.event in (Event.ATTEMPT, Event.ANSWER, Event.END, Event.REFUSED, Event.INBOUND) else "attempts"
        case _:
            return _UNITS.get(rule.of, "calls")


def _reason(force: InForce, subject: str, rise: Rise) -> str:
    rule, value = force.rule, rise.value
    limit = rule.act if rise.level >= ACT else rule.warn
    match rule.quantity:
        case "cost":
            counted, shown = f"calls for {show_euro(value)}", show_euro(limit)
        case "minutes":
            counted, shown = f"calls of {value // MINUTE} min", f"{limit // MINUTE} min"
        case "distinct":
            key = KEYS[rule.of]
            counted, shown = f"{value} {key.one if value == 1 else key.many}", str(limit)
        case _:
            counted, shown = f"{value} {_rows_word(rule.event, value)}", str(limit)
    place = "" if rule.per == "all" else f" for {subject}"
    tried = " On probation: nothing follows from it." if force.probation else ""
    return f"{rule.title}: {counted}{place} within {show_window(rule.window_ms)} (limit {shown}).{tried}"


def _rows_word(event: Event, count: int) -> str:
    words = {
        Event.REGISTRATION: "registration change",
        Event.AUTH_FAILURE: "refused credential",
        Event.UNAUTHENTICATED: "unauthenticated request",
        Event.REFUSED: "refused call",
        Event.INBOUND: "inbound call",
    }
    word = words.get(event, "call")
    return word if count == 1 else f"{word}s"


def _measures(rule: ComposedRule, batch: RowBatch, place: int, subject: str) -> tuple[Measure, ...]:
    """What would stop it, by the key: national calls and what has no place at the edge are alerts only."""
    if rule.per in ("source", "source_net") and subject:
        return (Measure(scope="source", value=subject),)
    expensive = int(batch.numeric["destination_class"][place])
    if rule.event not in (Event.ATTEMPT, Event.ANSWER, Event.END) or expensive < DestinationClass.C2:
        return ()
    dialled = batch.text["callee"][place].startswith("+") and subject.isascii() and subject.isdigit()
    match rule.per:
        case "account":
            return (Measure(scope="class", value=subject, destination_class=expensive),)
        case "callee" if dialled and len(subject) <= MAX_BLOCKED_DIGITS:
            return (Measure(scope="number", value=subject),)
        case "range" if dialled and len(subject) >= _PREFIX_DIGITS:
            return (Measure(scope="range", value=subject),)
        case _:
            return ()
