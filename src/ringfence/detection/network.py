"""The network view: what everybody together spends on dear destinations (N03).

It holds no rows but a message a second and edge. The last fifteen minutes of C4+ cost are compared with the same hour of the week in the
last weeks; when nobody's own limits show anything, the sum still does. It pages a person and refuses nothing: no measure on a sum is small.
Windows are whole seconds, 0.1 % of the window.
"""

from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from ringfence.base.money import show_euro
from ringfence.detection.engine import EngineState
from ringfence.detection.findings import Finding, Parameter, RuleSpec
from ringfence.detection.layout import DAY, MINUTE
from ringfence.detection.offhours import EPOCH
from ringfence.detection.rules import RuleSet, read_rules
from ringfence.detection.sightings import level_of
from ringfence.detection.tables import Words
from ringfence.telephony.control import ControlRecord, HolidaysChanged, RuleSetChanged
from ringfence.telephony.network_second import NetworkSecond

WINDOW_SECONDS: Final = 900
SECONDS: Final = 2_048
"""Seconds that are remembered; one that comes later than that is not counted."""
WEEKS: Final = 8
HOURS: Final = 168
UNKNOWN_FACTOR: Final = 10
"""In the first day of the log nothing is ordinary: then so many times the floor counts."""
_COST, _ATTEMPTS, _FAILURES, _STRANGERS, _REGISTRATIONS, _BLOCKED = range(6)

RULES: Final = (
    RuleSpec(
        rule="N03",
        name="What the whole network spends on dear destinations",
        mode="observe",
        subject_kind="network",
        parameters=(
            Parameter(name="factor", default=5, unit="numbers", low=2, high=100, about="Times the same hour of the week"),
            Parameter(
                name="floor",
                default=500_000_000,
                unit="euro",
                low=1_000_000,
                high=10**12,
                about="C4+ cost in 15 minutes that is never too much",
            ),
        ),
    ),
)


class NetworkEngine:
    """The network view. Create with the rules in force, or `restore` a state."""

    def __init__(self, rules: RuleSet, *, time_zone: str = "Europe/Berlin") -> None:
        self.rules = rules
        self._zone = ZoneInfo(time_zone)
        self._now = 0
        self._began = 0
        self._latch = 0
        self._counted = 0
        self._late = 0
        self._stamps: Words = np.zeros(SECONDS, np.int64)
        self._totals: Words = np.zeros((SECONDS, 6), np.int64)
        self._peaks: Words = np.zeros((HOURS, WEEKS + 1), np.int64)
        self._weeks: Words = np.full((HOURS, WEEKS + 1), -1, np.int64)
        self._hour = (-1, 0, 0)

    @property
    def now_ms(self) -> int:
        """The event clock: the latest event time seen."""
        return self._now

    def feed(self, second: NetworkSecond, sequence: int) -> list[Finding]:  # noqa: ARG002  # The shape of every engine.
        """A second of an edge; what the last fifteen minutes of all edges show."""
        self._now = max(self._now, second.at_ms)
        self._began = self._began or self._now
        stamp = second.at_ms // 1000
        slot = stamp % SECONDS
        if stamp <= self._now // 1000 - SECONDS:
            self._late += 1
            return []
        if self._stamps[slot] != stamp:
            self._stamps[slot] = stamp
            self._totals[slot] = 0
        self._counted += 1
        self._totals[slot] += (
            sum(second.cost_micro[4:]),
            sum(second.attempts[4:]),
            second.auth_failures,
            second.unauthenticated,
            second.registrations,
            second.blocked,
        )
        return self._judge(second)

    def tick(self, at_ms: int) -> list[Finding]:
        """Move the event clock in silence; nothing is found by it."""
        self._now = max(self._now, at_ms)
        return []

    def control(self, record: ControlRecord) -> None:
        """Rules and the time zone take effect here. OperatorError for rules that cannot be read."""
        match record:
            case RuleSetChanged():
                self.rules = read_rules(record.toml, version=record.version)
            case HolidaysChanged():
                self._zone = ZoneInfo(record.time_zone)
                self._hour = (-1, 0, 0)
            case _:
                pass

    def figures(self) -> dict[str, float]:
        """Counters since the first second, and what is spent now."""
        return {
            "seconds_counted": float(self._counted),
            "seconds_late": float(self._late),
            "c4_micro_15_minutes": float(self._window()[_COST]),
            "state_bytes": float(self._totals.nbytes + self._stamps.nbytes + self._peaks.nbytes + self._weeks.nbytes),
        }

    # State

    def state(self) -> EngineState:
        """A copy to keep while the engine goes on; equal for replicas at the same position."""
        arrays = {"stamps": self._stamps, "totals": self._totals, "peaks": self._peaks, "weeks": self._weeks}
        scalars: dict[str, Any] = {
            "time_zone": self._zone.key,
            "now": self._now,
            "began": self._began,
            "latch": self._latch,
            "counted": self._counted,
            "late": self._late,
        }
        return EngineState(arrays={name: words.copy() for name, words in arrays.items()}, scalars=scalars)

    @classmethod
    def restore(cls, state: EngineState, rules: RuleSet) -> "NetworkEngine":
        """An engine that goes on where the state was taken. The arrays become its own."""
        scalars = state.scalars
        engine = cls(rules, time_zone=scalars["time_zone"])
        engine._now, engine._began, engine._latch = int(scalars["now"]), int(scalars["began"]), int(scalars["latch"])
        engine._counted, engine._late = int(scalars["counted"]), int(scalars["late"])
        engine._stamps, engine._totals = state.arrays["stamps"], state.arrays["totals"]
        engine._peaks, engine._weeks = state.arrays["peaks"], state.arrays["weeks"]
        return engine

    # What is ordinary

    def _judge(self, second: NetworkSecond) -> list[Finding]:
        totals = self._window()
        cost = int(totals[_COST])
        hour, week = self._local()
        ordinary, known = self._ordinary(hour, week)
        floor = self.rules.value("N03", "floor")
        limit = max(floor, ordinary * self.rules.value("N03", "factor")) if known else floor * UNKNOWN_FACTOR
        place = week % (WEEKS + 1)
        if self._weeks[hour, place] != week:
            self._weeks[hour, place] = week
            self._peaks[hour, place] = 0
        # What is ordinary may double in a week, so that what alarmed does not become ordinary.
        most = max(2 * ordinary, floor) if self._known(hour, week).any() else cost
        self._peaks[hour, place] = max(self._peaks[hour, place], min(cost, most))
        level = level_of(cost, limit + 1, limit + 1)
        before, self._latch = self._latch, level and max(self._latch, level)
        if level <= before or not self.rules.has("N03"):
            return []
        return [self._finding(second, totals.tolist(), level, limit, ordinary, known)]

    def _finding(self, second: NetworkSecond, totals: list[int], level: int, limit: int, ordinary: int, known: int) -> Finding:
        usual = {0: "there is nothing to compare with yet", 1: f"at this hour it is {show_euro(ordinary)} at the most"}[min(known, 1)]
        text = (
            f"The network spent {show_euro(totals[_COST])} on C4 and C5 destinations in 15 minutes, {totals[_ATTEMPTS]} attempts; {usual}. "
            f"Limit {show_euro(limit)}."
        )
        return Finding(
            rule="N03",
            level=level,
            subject_kind="network",
            subject="all",
            at_ms=second.at_ms,
            observed=totals[_COST],
            warn=limit,
            act=limit,
            unit="euro",
            score=80,
            cost_micro=totals[_COST],
            rate_micro=totals[_COST] // 15,
            window_ms=15 * MINUTE,
            opening_call_id="",
            opening_ms=second.at_ms,
            reason=text,
            observed_more={
                "usual_micro": ordinary,
                "attempts": totals[_ATTEMPTS],
                "auth_failures": totals[_FAILURES],
                "unauthenticated": totals[_STRANGERS],
                "registrations": totals[_REGISTRATIONS],
                "blocked": totals[_BLOCKED],
                "edge": second.edge,
            },
        )

    def _window(self) -> Words:
        """Sums of the last fifteen minutes."""
        last = self._now // 1000
        held = (self._stamps > last - WINDOW_SECONDS) & (self._stamps <= last)
        sums: Words = self._totals[held].sum(axis=0)
        return sums

    def _local(self) -> tuple[int, int]:
        """Hour of the week and number of the week, by the operator's clock."""
        hour = self._now // (60 * MINUTE)
        if self._hour[0] != hour:
            local = (EPOCH + timedelta(milliseconds=self._now)).astimezone(self._zone)
            days = (datetime(local.year, local.month, local.day) - datetime(1970, 1, 5)).days  # noqa: DTZ001  # Days of the wall.
            self._hour = (hour, days % 7 * 24 + local.hour, days // 7)
        return self._hour[1], self._hour[2]

    def _known(self, hour: int, week: int) -> Any:
        """Which places hold this hour of one of the last weeks."""
        return (self._weeks[hour] >= max(week - WEEKS, 0)) & (self._weeks[hour] < week)

    def _ordinary(self, hour: int, week: int) -> tuple[int, int]:
        """`(micro-euro of 15 minutes, weeks known)`: the median of this hour of the week, in the first week the highest hour so far."""
        past = self._known(hour, week)
        known = int(past.sum())
        if known:
            peaks = np.sort(self._peaks[hour][past])
            return int(peaks[(known - 1) // 2]), known
        if self._now - self._began < DAY:
            return 0, 0
        recent = (self._weeks >= max(week - 1, 0)) & (self._weeks <= week)
        recent[hour] = False
        return int(self._peaks[recent].max(initial=0)), 1
