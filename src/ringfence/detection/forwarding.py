"""Forwarding turned into a way out (D24, D26, D27): a fresh forward to a dear number, a loop, a call that a stranger transferred.

A forwarded leg is a row of the account that pays for it, so its cost counts in every cost rule anyway; here its shape is judged, within
minutes of the first leg. Loops of live calls only: call records do not tell in which order legs arose.
"""

from typing import Any, Final

import numpy as np

from ringfence.detection.engine import EngineState
from ringfence.detection.findings import ACT, WARN, Finding, Parameter, RuleSpec, Unit
from ringfence.detection.layout import DAY, HOUR, MAX_EVIDENCE, MINUTE
from ringfence.detection.rules import RuleSet, read_rules
from ringfence.detection.sightings import Said, Sighting, Sightings, count_within, level_of, moments, within
from ringfence.telephony.columns import RowBatch, row_ref
from ringfence.telephony.control import AccountChanged, ControlRecord, RuleSetChanged, Segment
from ringfence.telephony.model import DestinationClass, Flag, Kind, country_letters
from ringfence.telephony.suspicion import Measure

MAX_TARGETS: Final = 131_072
"""Forward targets of accounts that are remembered; beyond, the half that was not used for longest goes."""
EACH: Final = 64
LATE_MS: Final = 5 * MINUTE
TARGET_MS: Final = 30 * DAY
"""A target that was not used for so long is new again."""
LEAST_DIGITS: Final = 7
_C3 = int(DestinationClass.C3)
_SHAPES = int(Flag.FORWARDED | Flag.FORWARD_LOOP | Flag.REFERRED)
_SCORES: Final = (0, 50, 80, 90, 95)

RULES: Final = (
    RuleSpec(
        rule="D24",
        name="A fresh forward to a dear number",
        mode="propose",
        parameters=(
            Parameter(name="warn", default=2, unit="calls", low=1, high=EACH, about="Legs to it within 10 minutes that warn"),
            Parameter(name="act", default=4, unit="calls", low=1, high=EACH, about="Legs to it within 10 minutes that act"),
            Parameter(name="fresh_hours", default=24, unit="numbers", low=1, high=720, about="Hours for which a target is fresh"),
        ),
    ),
    RuleSpec(
        rule="D26",
        name="Calls forwarded in a circle",
        mode="propose",
        parameters=(Parameter(name="loops", default=1, unit="calls", low=1, high=EACH, about="Loops within 10 minutes"),),
    ),
    RuleSpec(
        rule="D27",
        name="Dear calls that an inbound caller started",
        mode="propose",
        parameters=(
            Parameter(name="warn", default=1, unit="calls", low=1, high=EACH, about="Such legs within 60 minutes that warn"),
            Parameter(
                name="act",
                default={"residential": 1, "business": 10, "trunk": 10},
                unit="calls",
                low=1,
                high=EACH,
                about="Such legs within 60 minutes that act",
            ),
        ),
    ),
)


class ForwardingEngine:
    """D24, D26 and D27 for one account lane. Create with the rules in force, or `restore` a state."""

    def __init__(self, rules: RuleSet, *, max_targets: int = MAX_TARGETS) -> None:
        self.rules = rules
        self._now = 0
        self._legs_seen = 0
        self._segments: dict[int, Segment] = {}
        self._targets = Sightings(keys=max_targets, each=2, keep_ms=TARGET_MS)
        self._tables = {
            "legs": Sightings(keys=max_targets, each=EACH, keep_ms=10 * MINUTE + LATE_MS),
            "loops": Sightings(keys=max_targets, each=EACH, keep_ms=10 * MINUTE + LATE_MS),
            "chains": Sightings(keys=max_targets, each=EACH, keep_ms=MINUTE + LATE_MS),
            "referred": Sightings(keys=max_targets, each=EACH, keep_ms=HOUR + LATE_MS),
        }
        self._said = Said(keys=max_targets)

    @property
    def now_ms(self) -> int:
        """The event clock: the latest event time seen."""
        return self._now

    def feed(self, batch: RowBatch, sequence: int) -> list[Finding]:
        """Rows at a sequence of the lane; what they prove, in order."""
        if batch.length == 0:
            return []
        numeric = batch.numeric
        clocks = np.maximum.accumulate(np.maximum(numeric["at_ms"], self._now))
        shaped = numeric["flags"] & _SHAPES
        findings: list[Finding] = []
        if shaped.any():
            kind = numeric["kind"]
            chosen = (shaped != 0) & ((kind == int(Kind.ATTEMPT)) | (kind == int(Kind.CALL))) & (numeric["account_key"] != 0)
            for place in np.flatnonzero(chosen).tolist():
                self._now = int(clocks[place])
                findings += self._leg(_Leg(batch, place, sequence))
        self._now = int(clocks[-1])
        return findings

    def tick(self, at_ms: int) -> list[Finding]:
        """Move the event clock in silence; nothing is found by it."""
        self._now = max(self._now, at_ms)
        return []

    def control(self, record: ControlRecord) -> None:
        """Rules and segments take effect here. OperatorError for rules that cannot be read."""
        match record:
            case AccountChanged():
                if record.removed or record.segment == "residential":
                    self._segments.pop(record.account_key, None)
                else:
                    self._segments[record.account_key] = record.segment
            case RuleSetChanged():
                self.rules = read_rules(record.toml, version=record.version)
            case _:
                pass

    def figures(self) -> dict[str, float]:
        """Counters since the first row."""
        forgotten = self._targets.forgotten + sum(table.forgotten for table in self._tables.values())
        return {"legs_forwarded": float(self._legs_seen), "targets": float(len(self._targets)), "keys_evicted": float(forgotten)}

    # State

    def state(self) -> EngineState:
        """A copy to keep while the engine goes on; equal for replicas at the same position."""
        scalars: dict[str, Any] = {
            "now": self._now,
            "legs": self._legs_seen,
            "said": self._said.state(),
            "targets": [self._targets.forgotten, self._targets.state()],
            "tables": [[name, table.forgotten, table.state()] for name, table in self._tables.items()],
        }
        names = ("residential", "business", "trunk")
        held = sorted(self._segments.items())
        arrays = {
            "segment_keys": np.array([key for key, _ in held], np.int64),
            "segments": np.array([names.index(segment) for _, segment in held], np.int64),
        }
        return EngineState(arrays=arrays, scalars=scalars)

    @classmethod
    def restore(cls, state: EngineState, rules: RuleSet, *, max_targets: int = MAX_TARGETS) -> "ForwardingEngine":
        """An engine that goes on where the state was taken."""
        scalars = state.scalars
        engine = cls(rules, max_targets=max_targets)
        engine._now, engine._legs_seen = int(scalars["now"]), int(scalars["legs"])
        engine._said.adopt(scalars["said"])
        engine._targets.adopt(scalars["targets"][1], int(scalars["targets"][0]))
        for name, forgotten, seen in scalars["tables"]:
            engine._tables[name].adopt(seen, int(forgotten))
        names: tuple[Segment, ...] = ("residential", "business", "trunk")
        pairs = zip(state.arrays["segment_keys"].tolist(), state.arrays["segments"].tolist(), strict=True)
        engine._segments = {key: names[segment] for key, segment in pairs}
        return engine

    # Legs

    def _leg(self, leg: "_Leg") -> list[Finding]:
        self._legs_seen += 1
        findings: list[Finding] = []
        if leg.flags & Flag.FORWARDED and leg.destination_class >= _C3:
            findings += self._judge_fresh(leg)
        if leg.flags & Flag.FORWARD_LOOP or (leg.flags & Flag.FORWARDED and leg.live and self._came_back(leg)):
            findings += self._judge_loop(leg)
        if leg.flags & Flag.REFERRED and leg.destination_class >= _C3:
            findings += self._judge_referred(leg)
        return findings

    def _judge_fresh(self, leg: "_Leg") -> list[Finding]:
        """D24: the target is remembered with its first and its latest leg."""
        key = f"{leg.account_key} {leg.callee}"
        known = self._targets.of(key)
        since = leg.at_ms
        if known and known[-1].at_ms > leg.at_ms - TARGET_MS:
            since = min(known[0].mark, leg.at_ms)
        self._targets.drop(key)
        self._targets.add(key, Sighting(max(leg.at_ms, known[-1].at_ms if known else 0), since, "", leg.ref), self._now)
        seen = self._tables["legs"].add(key, leg.sighting(), self._now)
        if not seen or not self.rules.has("D24") or since <= leg.at_ms - self.rules.value("D24", "fresh_hours") * HOUR:
            return []
        warn, act = (
            self.rules.value("D24", "warn", leg.segment(self._segments)),
            self.rules.value("D24", "act", leg.segment(self._segments)),
        )
        findings = []
        for moment in moments(leg.at_ms, self._now):
            count = count_within(seen, moment, 10 * MINUTE)
            level = level_of(count, warn, act)
            if self._said.again(f"D24 {key}", level, moment, HOUR):
                hours = -(-(leg.at_ms - since) // HOUR)
                age = "for the first time" if since == leg.at_ms else f"since {hours} hour{'' if hours == 1 else 's'}"
                text = (
                    f"{leg.account} forwards calls to {leg.callee}{leg.land}, {age}: {count} within 10 minutes. "
                    f"Limit {act if level >= ACT else warn}."
                )
                window = within(seen, moment, 10 * MINUTE)
                findings.append(leg.finding("D24", level, moment, count, warn, act, "calls", text, window, 10 * MINUTE))
        return findings

    def _came_back(self, leg: "_Leg") -> bool:
        """A forwards to B and B to A within a minute, for one caller: seen as A's number, or as A's leg once more after B's."""
        chain = self._tables["chains"].add(f"{leg.caller}", leg.sighting(f"{leg.account}\n{leg.callee}"), self._now)
        if not chain or not leg.caller:
            return False
        others = False
        for sighting in reversed(within(chain, leg.at_ms, MINUTE)):
            account, _, callee = sighting.who.partition("\n")
            if account != leg.account:
                others = True
                if _names(leg.callee, account):
                    return True
            elif others and callee == leg.callee:
                return True
        return False

    def _judge_loop(self, leg: "_Leg") -> list[Finding]:
        seen = self._tables["loops"].add(str(leg.account_key), leg.sighting(), self._now)
        if not seen or not self.rules.has("D26"):
            return []
        limit = self.rules.value("D26", "loops")
        count = count_within(seen, self._now, 10 * MINUTE)
        level = level_of(count, limit, limit)
        if not self._said.again(f"D26 {leg.account_key}", level, self._now, HOUR):
            return []
        text = f"{leg.account} forwards to {leg.callee}{leg.land} in a circle: {count} within 10 minutes. Limit {limit}."
        return [leg.finding("D26", level, self._now, count, limit, limit, "calls", text, seen, 10 * MINUTE)]

    def _judge_referred(self, leg: "_Leg") -> list[Finding]:
        seen = self._tables["referred"].add(str(leg.account_key), leg.sighting(), self._now)
        if not seen or not self.rules.has("D27"):
            return []
        segment = leg.segment(self._segments)
        warn, act = self.rules.value("D27", "warn", segment), self.rules.value("D27", "act", segment)
        findings = []
        for moment in moments(leg.at_ms, self._now):
            count = count_within(seen, moment, HOUR)
            level = level_of(count, warn, act)
            if self._said.again(f"D27 {leg.account_key}", level, moment, HOUR):
                text = (
                    f"An inbound caller made {leg.account} call {leg.callee}{leg.land} (transfer or call-back from the mailbox): "
                    f"{count} within 60 minutes. Limit {act if level >= ACT else warn}."
                )
                window = within(seen, moment, HOUR)
                findings.append(leg.finding("D27", level, moment, count, warn, act, "calls", text, window, HOUR))
        return findings


class _Leg:
    """What the rules ask of a row, read once."""

    def __init__(self, batch: RowBatch, place: int, sequence: int) -> None:
        numeric, text = batch.numeric, batch.text
        self.at_ms = int(numeric["at_ms"][place])
        self.account_key = int(numeric["account_key"][place])
        self.destination_class = int(numeric["destination_class"][place])
        self.flags = int(numeric["flags"][place])
        self.rate = int(numeric["rate"][place])
        self.live = int(numeric["kind"][place]) == Kind.ATTEMPT
        self.mark = int(numeric["call_key"][place])
        self.ref = row_ref(sequence, place)
        self.account, self.caller, self.callee = text["account"][place], text["caller"][place], text["callee"][place]
        self.call_id = text["call_id"][place]
        self.country = country_letters(int(numeric["country"][place]))

    @property
    def land(self) -> str:
        return f" ({self.country})" if self.country else ""

    def segment(self, segments: dict[int, Segment]) -> Segment:
        return segments.get(self.account_key, "residential")

    def sighting(self, who: str = "") -> Sighting:
        return Sighting(self.at_ms, self.mark, who, self.ref)

    def finding(
        self, rule: str, level: int, at_ms: int, observed: int, warn: int, act: int, unit: Unit, reason: str, seen: Any, window_ms: int
    ) -> Finding:
        digits = self.callee.removeprefix("+")
        measures = []
        if level >= ACT and self.destination_class >= _C3:
            if self.callee.startswith("+") and digits.isdecimal() and len(digits) >= LEAST_DIGITS:
                measures.append(Measure(scope="number", value=digits))
            measures.append(Measure(scope="class", value=self.account, destination_class=_C3))
        return Finding(
            rule=rule,
            level=level,
            subject_kind="account",
            subject=self.account,
            at_ms=at_ms,
            observed=observed,
            warn=warn,
            act=act,
            unit=unit,
            score=_SCORES[min(max(level, WARN), len(_SCORES) - 1)],
            account=self.account,
            account_key=self.account_key,
            keyed=not self.flags & int(Flag.UNKEYED),
            rate_micro=self.rate * observed,
            window_ms=window_ms,
            opening_call_id=self.call_id,
            opening_ms=self.at_ms,
            calls=(self.call_id,),
            refs=tuple(sighting.ref for sighting in seen[-MAX_EVIDENCE:]),
            reason=reason,
            measures=tuple(measures),
            observed_more={"ranges": [digits[:-3]], "countries": [self.country] if self.country else []},
        )


def _names(callee: str, account: str) -> bool:
    """Whether a number is an account's, where accounts are named by their numbers."""
    digits = account.lstrip("+0")
    return len(digits) >= 6 and digits.isdecimal() and callee.endswith(digits)
