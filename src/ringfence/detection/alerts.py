"""Crossings and findings become alerts as episodes, suspicions for whoever acts, and signals for the score of an account.

An episode opens at warn, is updated when its level rises, and closes by the event clock one window after its last crossing. Its id comes
from the rule and the event that opened it, never from a position or an instant of evaluation, so replicas, replays and backtests agree.
Pure: text comes through a `Resolver`, time from crossings, findings and ticks.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Protocol
from zoneinfo import ZoneInfo

import msgspec

from ringfence.base.ids import derived_id
from ringfence.base.money import as_euro
from ringfence.detection.decision import RULE, weigh
from ringfence.detection.engine import Crossing
from ringfence.detection.findings import ACT, SIGNAL, WARN, Finding, SubjectKind
from ringfence.detection.layout import HEAVY_LATE, MAX_EVIDENCE, MINUTE, WINDOW_24H, WINDOW_OF, Detector
from ringfence.detection.model import Alert, Evidence, Severity, State, Subject, iso_time
from ringfence.detection.offhours import occasion
from ringfence.detection.relapse import Relapses
from ringfence.detection.rules import UNIT_OF, Profile, RuleSet, plain_value
from ringfence.detection.scoring import SPENDING, Signal
from ringfence.detection.sentences import sentence
from ringfence.telephony.model import AccountRow, country_letters
from ringfence.telephony.suspicion import Measure, Mode, Suspicion
from ringfence.telephony.user_agents import family_of

REMEMBERED_MS: Final = WINDOW_24H + HEAVY_LATE
"""A closed episode is remembered this long: the same event cannot open a second one under the same id later than that."""

SCORES: Final = (0, 40, 60, 80, 90, 95)
"""Score by level; the last for every higher one. Findings may say their own."""

MAX_FACETS: Final = 20
"""Ranges, networks, families and countries that the evidence names at the most; the most frequent stay."""

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
    Detector.D04: 2,
    Detector.D05: 5,
    Detector.D13: 3,
    Detector.D16: 3,
    Detector.D17: 4,
    Detector.D25: 3,
}
"""The destination class an account would be refused from; detectors that are not here only alert."""


SOFT: Final[dict[str, tuple[int, ...]]] = {"D20": (0, 20, 40)}
"""Detectors of the kernel that act only together with others: their score by level, the last for every higher one."""
SIGNALS: Final = frozenset({"D19"})
"""Detectors of the kernel that open no alert; their limit is their score."""


EVERYDAY: Final = frozenset({"D10", "D11", "D12", "D13"})
"""Detectors whose warning proves nothing even after a rule acted: families and call shops reach it on any Sunday."""

LONG_CALL: Final = "D17"
"""Detector of running calls that last too long: it asks to end them."""
ENDED_CLASS: Final = 4
"""A block because of an account's calls also ends those of the evidence that run and are at least this dear: a hacked exchange has a
hundred of them open when the block comes, and each goes on for twenty minutes."""


class Resolver(Protocol):
    """Where the text of a row is found."""

    def resolve(self, row_ref: int) -> AccountRow | None:
        """The row, or None when the log does not hold it any more."""
        ...


class Episode(msgspec.Struct, kw_only=True):
    """An alert that goes on, or one that closed lately (`closed_ms` not 0)."""

    alert_id: str
    rule: str
    rule_version: int
    subject_kind: SubjectKind
    subject: str
    account: str
    account_key: int
    keyed: bool
    critical: bool
    """Whether its rule may call itself critical: not on probation, and not one that only counts with others."""
    info: bool
    level: int
    score: int
    step: int
    window_ms: int
    opened_ms: int
    last_ms: int
    closed_ms: int = 0
    cost_micro: int
    reason: str
    evidence: Evidence


class Key(NamedTuple):
    """What makes two crossings one episode. A kernel's crossing has no name for its subject, only the key."""

    rule: str
    subject_kind: SubjectKind
    subject: str
    account_key: int
    keyed: bool
    """What agents without a key report is an episode of its own: a forger must not hide a proven one behind it."""


@dataclass(slots=True, kw_only=True)
class Output:
    """What has to be published, in order; and what counts for scores."""

    alerts: list[Alert] = field(default_factory=list)
    suspicions: list[Suspicion] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)
    held: list[Suspicion] = field(default_factory=list)
    """Warnings that are suspicions where a rule acted on the account lately: `AlertBook.relapse` decides."""

    def add(self, other: "Output") -> None:
        """Append what follows from something later."""
        self.alerts += other.alerts
        self.suspicions += other.suspicions
        self.signals += other.signals
        self.held += other.held


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """A crossing in the words of a finding, with its episode's key."""

    key: Key
    finding: Finding
    evidence: Evidence


def _plain_profile(_account_key: int) -> Profile:
    return Profile()


class AlertBook:
    """The episodes of one lane. `mode` overrides the mode of every rule unless it is empty."""

    def __init__(self, *, mode: Mode | Literal[""] = "") -> None:
        self._mode = mode
        self._open: dict[Key, Episode] = {}
        self._closed: dict[str, Episode] = {}
        self._due: list[tuple[int, str, Key]] = []
        self._forget: list[tuple[int, str]] = []
        self.relapses = Relapses()

    def wanted(self, crossings: Sequence[Crossing], findings: Sequence[Finding] = ()) -> set[int]:
        """Row references that `apply` and `note` will ask for: the caller can fetch them first."""
        refs = {ref for each in crossings if self._tells(_key_of(each), each.level, each.at_ms) for ref in (*each.evidence, each.opening)}
        refs.update(ref for each in findings if self._tells(_subject_of(each), each.level, each.at_ms) for ref in each.refs)
        return {ref for ref in refs if ref >= 0}

    def apply(
        self,
        crossings: Sequence[Crossing],
        rules: RuleSet,
        zone: ZoneInfo,
        holidays: Sequence[str],
        resolver: Resolver,
        profile_of: Callable[[int], Profile] = _plain_profile,
    ) -> Output:
        """Turn the kernel's crossings, in order, into what has to be published."""
        output = Output()
        for crossing in crossings:
            key = _key_of(crossing)
            if not rules.has(crossing.detector.name):
                continue
            if not self._tells(key, crossing.level, crossing.at_ms):
                self._prolong(self._open[key], crossing.at_ms)
                continue
            told = _told(crossing, key, rules, occasion(crossing.at_ms, holidays, zone), resolver)
            if told.finding.level == SIGNAL:
                output.signals += _signals(told.finding)
            else:
                self._raise(told, rules, profile_of, output)
        return output

    def note(
        self, findings: Sequence[Finding], rules: RuleSet, resolver: Resolver, profile_of: Callable[[int], Profile] = _plain_profile
    ) -> Output:
        """The same for findings of the engines outside the kernel."""
        output = Output()
        for finding in findings:
            key = _subject_of(finding)
            if finding.mode is None and not rules.has(finding.rule):
                continue
            if finding.level == SIGNAL:
                output.signals += _signals(finding)
            elif self._tells(key, finding.level, finding.at_ms):
                self._raise(_Told(key=key, finding=finding, evidence=_evidence(finding, resolver)), rules, profile_of, output)
            else:
                self._prolong(self._open[key], finding.at_ms)
        return output

    def relapse(self, output: Output) -> None:
        """What of a whole message's held warnings is a suspicion.

        By time and after everything else of the message, because its findings are made one engine after the other.
        """
        for suspicion in sorted((*output.suspicions, *output.held), key=_moment):
            if suspicion.level < ACT:
                if not self.relapses.holds(suspicion.account, suspicion.at_ms):
                    continue
                output.suspicions.append(suspicion)
            if suspicion.mode == "act" and suspicion.account:
                self.relapses.note(suspicion.account, suspicion.at_ms)
        output.held.clear()

    def tick(self, now_ms: int) -> list[Alert]:
        """Close what has been silent for its window."""
        closed = []
        while self._due and self._due[0][0] <= now_ms:
            _, alert_id, key = heapq.heappop(self._due)
            episode = self._open.get(key)
            if episode is None or episode.alert_id != alert_id:
                continue
            due = episode.last_ms + episode.window_ms
            if due <= now_ms:
                closed.append(self._close(key, episode))
            else:
                heapq.heappush(self._due, (due, alert_id, key))
        while self._forget and self._forget[0][0] <= now_ms:
            _, alert_id = heapq.heappop(self._forget)
            episode = self._closed.get(alert_id)
            if episode is not None and episode.closed_ms + REMEMBERED_MS <= now_ms:
                del self._closed[alert_id]
        self.relapses.expire(now_ms)
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
    def restore(cls, state: Sequence[Any], *, mode: Mode | Literal[""] = "", relapses: Sequence[tuple[str, int, int]] = ()) -> "AlertBook":
        """A book that goes on where `state` and `relapses.state` were taken. `msgspec.ValidationError` when it is none."""
        book = cls(mode=mode)
        book.relapses = Relapses(msgspec.convert(relapses, list[tuple[str, int, int]]))
        for episode in msgspec.convert(state, list[Episode]):
            if episode.closed_ms:
                book._closed[episode.alert_id] = episode
                heapq.heappush(book._forget, (episode.closed_ms + REMEMBERED_MS, episode.alert_id))
            else:
                book._keep(_key_of_episode(episode), episode)
        return book

    # Steps

    def _tells(self, key: Key, level: int, at_ms: int) -> bool:
        episode = self._open.get(key)
        return episode is None or level > episode.level or at_ms >= episode.last_ms + episode.window_ms

    def _raise(self, told: _Told, rules: RuleSet, profile_of: Callable[[int], Profile], output: Output) -> None:
        """A level that is news: an alert, and where the rule acts a suspicion."""
        finding, episode, state = told.finding, self._open.get(told.key), "update"
        if episode is not None and finding.at_ms >= episode.last_ms + episode.window_ms:
            output.alerts.append(self._close(told.key, episode))
            episode = None
        if episode is None:
            episode, state = self._start(told, rules), "open"
        self._prolong(episode, finding.at_ms)
        episode.level = finding.level
        episode.score = finding.score or SCORES[min(finding.level, len(SCORES) - 1)]
        episode.step += 1
        episode.cost_micro = max(episode.cost_micro, finding.cost_micro)
        episode.reason = finding.reason
        episode.evidence = told.evidence
        output.alerts.append(_alert(episode, "open" if state == "open" else "update", finding.at_ms))
        suspicion = self._suspicion(episode, finding, rules, profile_of)
        if suspicion is not None:
            (output.suspicions if finding.level >= ACT else output.held).append(suspicion)
        if finding.rule != RULE and not finding.probation:
            output.signals += _signals(finding)

    def _start(self, told: _Told, rules: RuleSet) -> Episode:
        """A new episode, or the one that this very event opened before and that closed since."""
        finding = told.finding
        version = finding.rule_version or rules.version
        alert_id = derived_id(
            "a", finding.rule, version, finding.subject_kind, finding.subject, finding.opening_call_id, finding.opening_ms
        )
        episode = self._closed.pop(alert_id, None)
        if episode is None:
            episode = Episode(
                alert_id=alert_id,
                rule=finding.rule,
                rule_version=version,
                subject_kind=finding.subject_kind,
                subject=finding.subject,
                account=finding.account,
                account_key=finding.account_key,
                keyed=finding.keyed,
                critical=finding.hard,
                info=finding.probation,
                level=0,
                score=0,
                step=0,
                window_ms=finding.window_ms,
                opened_ms=finding.at_ms,
                last_ms=finding.at_ms,
                cost_micro=0,
                reason="",
                evidence=told.evidence,
            )
        episode.closed_ms = 0
        episode.last_ms = max(episode.last_ms, finding.at_ms)
        self._keep(told.key, episode)
        return episode

    def _keep(self, key: Key, episode: Episode) -> None:
        self._open[key] = episode
        heapq.heappush(self._due, (episode.last_ms + episode.window_ms, episode.alert_id, key))

    def _prolong(self, episode: Episode, at_ms: int) -> None:
        episode.last_ms = max(episode.last_ms, at_ms)

    def _close(self, key: Key, episode: Episode) -> Alert:
        del self._open[key]
        episode.closed_ms = episode.last_ms + episode.window_ms
        episode.step += 1
        alert = _alert(episode, "close", episode.closed_ms)
        episode.level = 0
        self._closed[episode.alert_id] = episode
        heapq.heappush(self._forget, (episode.closed_ms + REMEMBERED_MS, episode.alert_id))
        return alert

    def _suspicion(self, episode: Episode, finding: Finding, rules: RuleSet, profile_of: Callable[[int], Profile]) -> Suspicion | None:
        mode = self._mode or finding.mode or rules.mode(finding.rule)
        barred = not finding.keyed or not finding.hard or finding.probation or mode == "observe"
        relapsed = finding.level < ACT
        if finding.level < WARN or barred or not finding.measures or (relapsed and finding.rule in EVERYDAY):
            return None
        segment = profile_of(finding.account_key).segment if finding.account_key else "residential"
        weighed = weigh(rules, score=episode.score, rate_micro=finding.rate_micro, segment=segment)
        mode = weighed.mode(mode) if episode.rule == RULE else mode
        return Suspicion(
            suspicion_id=f"{episode.alert_id}.{finding.level}",
            alert_id=episode.alert_id,
            rule=episode.rule,
            rule_version=episode.rule_version,
            mode=mode,
            account=episode.account,
            measures=finding.measures,
            level=finding.level,
            score=episode.score,
            observed=finding.observed,
            threshold=finding.warn if relapsed else finding.act,
            cost_micro=finding.cost_micro,
            calls=episode.evidence.calls,
            reason=f"{episode.reason}; a rule acted on this account within the last week, so a warning is enough"
            if relapsed
            else episode.reason,
            at_ms=finding.at_ms,
            loss_micro=weighed.loss_micro,
            false_block_micro=weighed.false_block_micro,
            ends=tuple(each for each in finding.ends if each.value in episode.evidence.calls),
        )


def _moment(suspicion: Suspicion) -> int:
    return suspicion.at_ms


def _key_of(crossing: Crossing) -> Key:
    return Key(crossing.detector.name, "account", "", crossing.account_key, not crossing.unkeyed)


def _subject_of(finding: Finding) -> Key:
    return Key(finding.rule, finding.subject_kind, finding.subject, finding.account_key, finding.keyed)


def _key_of_episode(episode: Episode) -> Key:
    of_kernel = episode.rule in Detector.__members__
    return Key(episode.rule, episode.subject_kind, "" if of_kernel else episode.subject, episode.account_key, episode.keyed)


def _told(crossing: Crossing, key: Key, rules: RuleSet, occasion: str, resolver: Resolver) -> _Told:
    """What the kernel saw, with the words of the log."""
    rule, detector = rules.rules.get(crossing.detector), crossing.detector
    rows = [row for ref in crossing.evidence if (row := resolver.resolve(ref)) is not None]
    opening = resolver.resolve(crossing.opening) if crossing.opening >= 0 else None
    opening = opening or (rows[-1] if rows else None)
    account = opening.account if opening is not None else f"unknown ({crossing.account_key & 0xFFFFFFFFFFFFFFFF:016x})"
    calls = tuple(dict.fromkeys(row.call_id for row in rows if row.call_id))[-MAX_EVIDENCE:]
    weights = SOFT.get(detector.name, ())
    finding = Finding(
        rule=detector.name,
        level=SIGNAL if detector.name in SIGNALS else crossing.level,
        subject_kind="account",
        subject=account,
        at_ms=crossing.at_ms,
        observed=plain_value(detector, crossing.observed),
        warn=plain_value(detector, crossing.threshold_warn),
        act=plain_value(detector, crossing.threshold_act),
        unit=UNIT_OF[detector],
        score=crossing.threshold_act if detector.name in SIGNALS else weights[min(crossing.level, len(weights) - 1)] if weights else 0,
        hard=detector.name not in SOFT,
        account=account,
        account_key=crossing.account_key,
        keyed=not crossing.unkeyed,
        cost_micro=crossing.cost_micro,
        rate_micro=crossing.rate_micro,
        window_ms=WINDOW_OF[detector],
        opening_call_id=opening.call_id if opening is not None else "",
        opening_ms=(opening.started_ms or opening.at_ms) if opening is not None else crossing.at_ms,
        calls=calls,
        reason=sentence(crossing, rule, rows, occasion),
        measures=_measures(detector, account, rows) if rows else (),
        ends=_running(rows) if crossing.rate_micro and detector in CLASS_OF and detector.name != LONG_CALL else (),
    )
    thresholds = {**_thresholds(finding), "off_hours": crossing.off_hours, "new_account": crossing.new_account}
    observed = {**_observed(finding), "calls": crossing.count, **facets(rows)}
    return _Told(key=key, finding=finding, evidence=Evidence(calls=calls, thresholds=thresholds, observed=observed))


def _evidence(finding: Finding, resolver: Resolver) -> Evidence:
    rows = [row for ref in finding.refs if (row := resolver.resolve(ref)) is not None]
    calls = tuple(dict.fromkeys((*finding.calls, *(row.call_id for row in rows if row.call_id))))[-MAX_EVIDENCE:]
    observed = {**_observed(finding), "calls": len(calls), **facets(rows), **finding.observed_more}
    return Evidence(calls=calls, thresholds=_thresholds(finding), observed=observed)


def _thresholds(finding: Finding) -> dict[str, Any]:
    return {"unit": finding.unit, "warn": _shown(finding.unit, finding.warn), "act": _shown(finding.unit, finding.act)}


def _observed(finding: Finding) -> dict[str, Any]:
    return {
        "unit": finding.unit,
        "value": _shown(finding.unit, finding.observed),
        "eur_per_minute": as_euro(finding.rate_micro),
        "proven": finding.keyed,
    }


def facets(rows: Iterable[AccountRow]) -> dict[str, list[str]]:
    """What alerts of one attack have in common, as far as the rows know it: number ranges, networks, User-Agent families, countries."""
    rows = list(rows)
    told = {
        "ranges": (row.callee.removeprefix("+")[:-3] for row in rows if row.callee.startswith("+") and len(row.callee) > 6),
        "networks": (row.network for row in rows if row.network),
        "families": (family_of(row.user_agent) for row in rows if row.user_agent),
        "countries": (country_letters(row.country) for row in rows if row.country),
    }
    counted = {name: sorted(Counter(filter(None, values)).items(), key=lambda item: (-item[1], item[0])) for name, values in told.items()}
    return {name: [value for value, _ in values[:MAX_FACETS]] for name, values in counted.items() if values}


def _signals(finding: Finding) -> list[Signal]:
    """What a finding counts for its account's score; nothing where there is no account, or on probation."""
    if not finding.account_key or finding.probation or (finding.level == SIGNAL and not finding.score):
        return []
    return [
        Signal(
            rule=finding.rule,
            part=finding.rule if finding.score else SPENDING,
            score=finding.score,
            at_ms=finding.at_ms,
            account=finding.account,
            account_key=finding.account_key,
            keyed=finding.keyed,
            cost_micro=finding.cost_micro,
            rate_micro=finding.rate_micro,
            opening_call_id=finding.opening_call_id,
            opening_ms=finding.opening_ms,
            calls=finding.calls,
            measures=finding.measures,
            reason=finding.reason,
            told=finding.level != SIGNAL,
        )
    ]


def _measures(detector: Detector, account: str, calls: Sequence[AccountRow]) -> tuple[Measure, ...]:
    """Smallest useful measure first."""
    if detector.name == LONG_CALL:
        return (*_running(calls), Measure(scope="class", value=account, destination_class=ENDED_CLASS))
    least = CLASS_OF.get(detector)
    if least is None:
        return ()
    refused = Measure(scope="class", value=account, destination_class=least)
    if detector in (Detector.D13, Detector.D14) and calls:
        digits = calls[-1].callee.removeprefix("+")
        if calls[-1].callee.startswith("+") and len(digits) >= 6 and digits.isascii() and digits.isdigit():
            if detector is Detector.D13:
                return Measure(scope="number", value=digits), refused
            return Measure(scope="range", value=digits[:-3]), refused
    return (refused,)


def _running(calls: Sequence[AccountRow]) -> tuple[Measure, ...]:
    """The calls to C4 and above that may still run, oldest first. An edge that does not find one ends nothing."""
    dear = {
        row.call_id: row.destination_class for row in calls if row.destination_class >= ENDED_CLASS and row.call_id and not row.ended_ms
    }
    return tuple(Measure(scope="call", value=call_id, destination_class=each) for call_id, each in dear.items() if call_id)


def _alert(episode: Episode, state: State, at_ms: int) -> Alert:
    severity: Severity = "info" if episode.info else "critical" if episode.level >= ACT and episode.critical else "warning"
    kind, value = episode.subject_kind, episode.subject
    return Alert(
        alert_id=episode.alert_id,
        step=episode.step,
        state=state,
        at=iso_time(at_ms),
        rule=episode.rule,
        rule_version=episode.rule_version,
        severity=severity,
        subject=Subject(kind=kind, value=value),
        account=value if kind == "account" else episode.account,
        prefix=value if kind == "prefix" else "",
        source_ip=value if kind == "source" else "",
        score=episode.score,
        cost_eur=as_euro(episode.cost_micro),
        reason=episode.reason,
        evidence=episode.evidence,
    )


def _shown(unit: str, value: int) -> float | int:
    """A value in a unit that people read: euro, minutes with one decimal, else as it is."""
    match unit:
        case "euro":
            return as_euro(value)
        case "minutes":
            return round(value / MINUTE, 1)
        case _:
            return value
