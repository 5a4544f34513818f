"""Crossings become alerts as episodes, and suspicions for whoever acts.

An episode opens at warn, is updated when its level rises, and closes by the event clock one window after its last crossing. Its id comes
from the rule and the call that opened it, never from a position or an instant of evaluation, so replicas, replays and backtests agree.
Pure: text comes through a `Resolver`, time from crossings and ticks.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol
from zoneinfo import ZoneInfo

import msgspec

from ringfence.base.ids import derived_id
from ringfence.base.money import as_euro
from ringfence.detection.engine import Crossing
from ringfence.detection.layout import HEAVY_LATE, MAX_EVIDENCE, MINUTE, WINDOW_24H, WINDOW_OF, Detector
from ringfence.detection.model import Alert, Evidence, Severity, State, Subject, iso_time
from ringfence.detection.offhours import occasion
from ringfence.detection.rules import UNIT_OF, Rule, RuleSet, plain_value
from ringfence.detection.sentences import sentence
from ringfence.telephony.model import AccountRow
from ringfence.telephony.suspicion import Measure, Mode, Suspicion

REMEMBERED_MS: Final = WINDOW_24H + HEAVY_LATE
"""A closed episode is remembered this long: the same call cannot open a second one under the same id later than that."""

SCORES: Final = (0, 40, 60, 80, 90, 95)
"""Score by level; the last for every higher one."""

CLASS_OF: Final[dict[Detector, int]] = {
    Detector.D01: 3,
    Detector.D02: 3,
    Detector.D03: 2,
    Detector.D06: 3,
    Detector.D07: 4,
    Detector.D09: 3,
    Detector.D10: 3,
    Detector.D11: 3,
    Detector.D12: 3,
    Detector.D14: 3,
    Detector.D18: 3,
}
"""The destination class an account would be refused from; detectors that are not here only alert."""


class Resolver(Protocol):
    """Where the text of a row is found."""

    def resolve(self, row_ref: int) -> AccountRow | None:
        """The row, or None when the log does not hold it any more."""
        ...


class Episode(msgspec.Struct, kw_only=True):
    """An alert that goes on, or one that closed lately (`closed_ms` not 0)."""

    alert_id: str
    account_key: int
    unkeyed: bool
    detector: int
    account: str
    rule_version: int
    level: int
    step: int
    opened_ms: int
    last_ms: int
    closed_ms: int = 0
    cost_micro: int
    reason: str
    evidence: Evidence


@dataclass(slots=True, kw_only=True)
class Output:
    """What has to be published, in order."""

    alerts: list[Alert] = field(default_factory=list)
    suspicions: list[Suspicion] = field(default_factory=list)


class AlertBook:
    """The episodes of one lane. `mode` overrides the mode of every rule unless it is empty."""

    def __init__(self, *, mode: Mode | Literal[""] = "") -> None:
        self._mode = mode
        self._open: dict[tuple[int, int], Episode] = {}
        self._closed: dict[str, Episode] = {}
        self._due: list[tuple[int, str, int, int]] = []
        self._forget: list[tuple[int, str]] = []

    def wanted(self, crossings: Sequence[Crossing]) -> set[int]:
        """Row references that `apply` will ask for: the caller can fetch them first."""
        return {ref for crossing in crossings if self._tells(crossing) for ref in (*crossing.evidence, crossing.opening) if ref >= 0}

    def apply(self, crossings: Sequence[Crossing], rules: RuleSet, zone: ZoneInfo, holidays: Sequence[str], resolver: Resolver) -> Output:
        """Turn crossings, in order, into what has to be published."""
        output = Output()
        for crossing in crossings:
            episode = self._open.get((crossing.account_key, crossing.detector))
            if episode is not None and crossing.at_ms >= episode.last_ms + WINDOW_OF[crossing.detector]:
                output.alerts.append(self._close(episode))
                episode = None
            if episode is not None and crossing.level <= episode.level:
                self._prolong(episode, crossing.at_ms)
                continue
            rule = rules.rules.get(crossing.detector)
            if rule is None:
                continue
            calls = [row for ref in crossing.evidence if (row := resolver.resolve(ref)) is not None]
            opening = resolver.resolve(crossing.opening) if crossing.opening >= 0 else None
            why = sentence(crossing, rule, calls, occasion(crossing.at_ms, holidays, zone))
            if episode is None:
                episode, state = self._start(crossing, rules.version, opening or (calls[-1] if calls else None)), "open"
            else:
                state = "update"
            self._raise(episode, crossing, why, calls)
            output.alerts.append(_alert(episode, "open" if state == "open" else "update", crossing.at_ms))
            suspicion = self._suspicion(episode, crossing, rule, calls)
            if suspicion is not None:
                output.suspicions.append(suspicion)
        return output

    def tick(self, now_ms: int) -> list[Alert]:
        """Close what has been silent for its window."""
        closed = []
        while self._due and self._due[0][0] <= now_ms:
            _, alert_id, key, detector = heapq.heappop(self._due)
            episode = self._open.get((key, detector))
            if episode is None or episode.alert_id != alert_id:
                continue
            due = episode.last_ms + WINDOW_OF[Detector(detector)]
            if due <= now_ms:
                closed.append(self._close(episode))
            else:
                heapq.heappush(self._due, (due, alert_id, key, detector))
        while self._forget and self._forget[0][0] <= now_ms:
            _, alert_id = heapq.heappop(self._forget)
            episode = self._closed.get(alert_id)
            if episode is not None and episode.closed_ms + REMEMBERED_MS <= now_ms:
                del self._closed[alert_id]
        return closed

    def running(self) -> list[Episode]:
        """Open episodes."""
        return list(self._open.values())

    # State

    def state(self) -> list[dict[str, Any]]:
        """Everything as plain values, for a snapshot; in an order that does not depend on how it came about."""
        episodes = sorted((*self._open.values(), *self._closed.values()), key=lambda episode: (episode.alert_id, episode.closed_ms))
        plain: list[dict[str, Any]] = msgspec.to_builtins(episodes)
        return plain

    @classmethod
    def restore(cls, state: Sequence[Any], *, mode: Mode | Literal[""] = "") -> "AlertBook":
        """A book that goes on where `state` was taken. `msgspec.ValidationError` when it is none."""
        book = cls(mode=mode)
        for episode in msgspec.convert(state, list[Episode]):
            if episode.closed_ms:
                book._closed[episode.alert_id] = episode
                heapq.heappush(book._forget, (episode.closed_ms + REMEMBERED_MS, episode.alert_id))
            else:
                book._keep(episode)
        return book

    # Steps

    def _tells(self, crossing: Crossing) -> bool:
        episode = self._open.get((crossing.account_key, crossing.detector))
        return episode is None or crossing.level > episode.level or crossing.at_ms >= episode.last_ms + WINDOW_OF[crossing.detector]

    def _start(self, crossing: Crossing, rule_version: int, opening: AccountRow | None) -> Episode:
        """A new episode, or the one that this very call opened before and that closed since."""
        account = opening.account if opening is not None else f"unknown ({crossing.account_key & 0xFFFFFFFFFFFFFFFF:016x})"
        call_id = opening.call_id if opening is not None else ""
        started_ms = (opening.started_ms or opening.at_ms) if opening is not None else crossing.at_ms
        alert_id = derived_id("a", crossing.detector.name, rule_version, "account", account, call_id, started_ms)
        episode = self._closed.pop(alert_id, None)
        if episode is None:
            episode = Episode(
                alert_id=alert_id,
                account_key=crossing.account_key,
                unkeyed=crossing.unkeyed,
                detector=int(crossing.detector),
                account=account,
                rule_version=rule_version,
                level=0,
                step=0,
                opened_ms=crossing.at_ms,
                last_ms=crossing.at_ms,
                cost_micro=0,
                reason="",
                evidence=Evidence(calls=(), thresholds={}, observed={}),
            )
        episode.closed_ms = 0
        episode.last_ms = max(episode.last_ms, crossing.at_ms)
        self._keep(episode)
        return episode

    def _keep(self, episode: Episode) -> None:
        detector = Detector(episode.detector)
        self._open[episode.account_key, detector] = episode
        heapq.heappush(self._due, (episode.last_ms + WINDOW_OF[detector], episode.alert_id, episode.account_key, int(detector)))

    def _prolong(self, episode: Episode, at_ms: int) -> None:
        episode.last_ms = max(episode.last_ms, at_ms)

    def _raise(self, episode: Episode, crossing: Crossing, why: str, calls: Sequence[AccountRow]) -> None:
        self._prolong(episode, crossing.at_ms)
        episode.level = crossing.level
        episode.step += 1
        episode.cost_micro = max(episode.cost_micro, crossing.cost_micro)
        episode.reason = why
        episode.evidence = Evidence(
            calls=tuple(dict.fromkeys(row.call_id for row in calls if row.call_id))[-MAX_EVIDENCE:],
            thresholds={
                "unit": UNIT_OF[crossing.detector],
                "warn": _shown(crossing.detector, crossing.threshold_warn),
                "act": _shown(crossing.detector, crossing.threshold_act),
                "off_hours": crossing.off_hours,
                "new_account": crossing.new_account,
            },
            observed={
                "unit": UNIT_OF[crossing.detector],
                "value": _shown(crossing.detector, crossing.observed),
                "calls": crossing.count,
                "eur_per_minute": as_euro(crossing.rate_micro),
                "proven": not crossing.unkeyed,
            },
        )

    def _close(self, episode: Episode) -> Alert:
        detector = Detector(episode.detector)
        del self._open[episode.account_key, detector]
        episode.closed_ms = episode.last_ms + WINDOW_OF[detector]
        episode.step += 1
        alert = _alert(episode, "close", episode.closed_ms)
        episode.level = 0
        self._closed[episode.alert_id] = episode
        heapq.heappush(self._forget, (episode.closed_ms + REMEMBERED_MS, episode.alert_id))
        return alert

    def _suspicion(self, episode: Episode, crossing: Crossing, rule: Rule, calls: Sequence[AccountRow]) -> Suspicion | None:
        mode = self._mode or rule.mode
        measures = _measures(crossing.detector, episode.account, calls)
        if crossing.level < 2 or crossing.unkeyed or mode == "observe" or not measures or not calls:
            return None
        return Suspicion(
            suspicion_id=f"{episode.alert_id}.{crossing.level}",
            alert_id=episode.alert_id,
            rule=crossing.detector.name,
            rule_version=episode.rule_version,
            mode=mode,
            account=episode.account,
            measures=measures,
            level=crossing.level,
            score=_score(crossing.level),
            observed=plain_value(crossing.detector, crossing.observed),
            threshold=plain_value(crossing.detector, crossing.threshold_act),
            cost_micro=crossing.cost_micro,
            calls=episode.evidence.calls,
            reason=episode.reason,
            at_ms=crossing.at_ms,
        )


def _measures(detector: Detector, account: str, calls: Sequence[AccountRow]) -> tuple[Measure, ...]:
    """Smallest useful measure first."""
    least = CLASS_OF.get(detector)
    if least is None:
        return ()
    refused = Measure(scope="class", value=account, destination_class=least)
    if detector is Detector.D14 and calls:
        digits = calls[-1].callee.removeprefix("+")
        if calls[-1].callee.startswith("+") and len(digits) >= 6 and digits.isascii() and digits.isdigit():
            return Measure(scope="range", value=digits[:-3]), refused
    return (refused,)


def _alert(episode: Episode, state: State, at_ms: int) -> Alert:
    severity: Severity = "critical" if episode.level >= 2 else "warning"
    return Alert(
        alert_id=episode.alert_id,
        step=episode.step,
        state=state,
        at=iso_time(at_ms),
        rule=Detector(episode.detector).name,
        rule_version=episode.rule_version,
        severity=severity,
        subject=Subject(kind="account", value=episode.account),
        account=episode.account,
        score=_score(episode.level),
        cost_eur=as_euro(episode.cost_micro),
        reason=episode.reason,
        evidence=episode.evidence,
    )


def _score(level: int) -> int:
    return SCORES[min(level, len(SCORES) - 1)]


def _shown(detector: Detector, value: int) -> float | int:
    plain = plain_value(detector, value)
    match UNIT_OF[detector]:
        case "euro":
            return as_euro(plain)
        case "minutes":
            return round(plain / MINUTE, 1)
        case _:
            return plain
