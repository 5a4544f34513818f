"""What a composed rule would have done in the last days: alerts, accounts, money caught and missed.

The archive's rows go through the live engine's own matcher and windows, so the alerts are those of the live system, ids included. DuckDB
leaves out what cannot count, and keys that cannot reach the limit are left out before rows are counted one by one. The one thing to know:
`money missed` is judged by what people and built-in rules know today.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from ringfence.archive.selection import Condition, Folder, RowSelection, Spent
from ringfence.base.clock import Clock, monotonic_seconds
from ringfence.base.errors import OperatorError, UnavailableError
from ringfence.base.ids import derived_id
from ringfence.detection.composed import FIELDS, KINDS, NUMBERED, ComposedRule, Event, Field, FieldType, folded
from ringfence.detection.composed_engine import MAX_KEPT_ROWS, ComposedEngine, InForce, Rise, finding_of
from ringfence.detection.composed_match import Matcher, Matches
from ringfence.detection.composed_text import write_rule
from ringfence.telephony.control import ComposedChanged
from ringfence.telephony.model import country_code

DAY_MS: Final = 86_400_000
DEFAULT_DAYS: Final = 30
MAX_DAYS: Final = 90
MAX_MATCHES: Final = 4_000_000
"""Rows that a preview holds (200 MB); a rule that matches more is too broad for one."""
MAX_SHOWN: Final = 500
"""Alerts that are put into words, the newest; all are counted."""
ASKS_FROM: Final = 1_000
"""One account in so many: a rule that would alert on more asks before it is activated."""
MAX_PEAK_ROWS: Final = MAX_KEPT_ROWS // 4
_TRIES: Final = 3

Words = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of accounts (by key): from feedback, and from alerts of built-in rules that nobody called wrong."""

    fraud: frozenset[int] = frozenset()
    not_fraud: frozenset[int] = frozenset()
    alerted: frozenset[int] = frozenset()
    accounts: int = 0
    """Accounts that were imported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An alert that the rule would have opened."""

    alert_id: str
    at_ms: int
    subject_kind: str
    subject: str
    reason: str
    severity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The figures. Money is micro-euro of calls to C2 and above."""

    rule_id: str
    from_ms: int
    to_ms: int
    rows: int
    """Rows that the rule counts."""
    alerts: int
    critical: int
    accounts: int
    """Accounts in the windows that alerted."""
    all_accounts: int
    seen_micro: int
    """All that the alerted accounts spent."""
    caught_micro: int
    """What they spent on calls that began after their first alert: what a block at once would have saved."""
    missed_micro: int
    missed_accounts: int
    """Accounts labelled fraud, or alerted by built-in rules, that this rule does not alert; and what they spent."""
    labelled_fraud: int
    labelled_not_fraud: int
    """Of the alerted accounts: those that people called fraud, and those that they called not fraud."""
    peak_rows: int
    """Rows that the live engine would have held at the most."""
    examples: tuple[Example, ...] = field(default=())
    seconds: float = 0.0

    @property
    def share(self) -> float:
        """Of all accounts, those it alerts."""
        return self.accounts / self.all_accounts if self.all_accounts else 0.0

    @property
    def asks(self) -> bool:
        """Whether it alerts on so many accounts that activating it must be confirmed."""
        return self.accounts * ASKS_FROM > self.all_accounts

    @property
    def too_broad(self) -> bool:
        """Whether the live engine could not hold what it counts."""
        return self.peak_rows > MAX_PEAK_ROWS


class _Found(NamedTuple):
    """All rows that count, in log order."""

    log: Words
    ref: Words
    at_ms: Words
    key: Words
    what: Words
    call: Words
    account: Words


class _Told(NamedTuple):
    opening: Rise
    log: int
    critical: bool


class ComposedPreviews:
    """Previews over the archive folder. `time_zone` is the operator's."""

    def __init__(self, selection: RowSelection, clock: Clock, *, time_zone: str) -> None:
        self._selection = selection
        self._clock = clock
        self._zone = time_zone

    async def preview(self, rule: ComposedRule, known: Known, *, days: int = DEFAULT_DAYS, version: int = 1) -> Preview:
        """The rule over the last days. OperatorError when it matches too much; UnavailableError when the archive takes too long."""
        if not 1 <= days <= MAX_DAYS:
            raise OperatorError(f"ask for 1 to {MAX_DAYS} days", reason="bad_days")
        now = self._clock()
        for turn in range(_TRIES):
            try:
                return await asyncio.to_thread(self.preview_span, rule, known, from_ms=now - days * DAY_MS, to_ms=now, version=version)
            except UnavailableError as error:
                if error.reason != "archive_unreadable" or turn == _TRIES - 1:
                    raise
        raise AssertionError("the last turn returns or raises")

    def preview_span(self, rule: ComposedRule, known: Known, *, from_ms: int, to_ms: int, version: int = 1) -> Preview:
        """The rule over a span, in the caller's thread."""
        started = monotonic_seconds()
        matcher = Matcher(rule, ZoneInfo(self._zone))
        found = self._matches(matcher, from_ms, to_ms)
        hopeful = _hopeful(rule, found)
        left = _Found(*(column[hopeful] for column in found))
        told = list(self._episodes(rule, left, version))
        first_ms = _first_alerts(rule, left, [rise for _, rises in told for rise in rises])
        episodes = [episode for episode, _ in told]
        seen = self._selection.spent(first_ms, from_ms=from_ms, to_ms=to_ms)
        missed = dict.fromkeys((known.fraud | known.alerted) - first_ms.keys(), to_ms)
        missed_spent = self._selection.spent(missed, from_ms=from_ms, to_ms=to_ms)
        return Preview(
            rule_id=rule.rule_id,
            from_ms=from_ms,
            to_ms=to_ms,
            rows=len(found.ref),
            alerts=len(episodes),
            critical=sum(episode.critical for episode in episodes),
            accounts=len(first_ms),
            all_accounts=max(known.accounts, self._selection.accounts(from_ms=from_ms, to_ms=to_ms)),
            seen_micro=_sum(seen, 0),
            caught_micro=_sum(seen, 1),
            missed_micro=_sum(missed_spent, 0),
            missed_accounts=sum(1 for spent in missed_spent.values() if spent.all_micro),
            labelled_fraud=len(known.fraud & first_ms.keys()),
            labelled_not_fraud=len(known.not_fraud & first_ms.keys()),
            peak_rows=_peak(rule, found),
            examples=tuple(self._in_words(rule, matcher, episodes, version, from_ms=from_ms, to_ms=to_ms)),
            seconds=monotonic_seconds() - started,
        )

    def _matches(self, matcher: Matcher, from_ms: int, to_ms: int) -> _Found:
        parts: list[_Found] = []
        rows = 0
        columns = sorted(matcher.columns | {"account_key"})
        pieces = self._selection.rows(
            folder_of(matcher.rule),
            conditions_of(matcher.rule),
            numeric=columns,
            text=sorted(matcher.texts),
            from_ms=from_ms,
            to_ms=to_ms,
        )
        for lane, log, refs, batch in pieces:
            chosen = matcher.match(batch)
            rows += len(chosen.place)
            if rows > MAX_MATCHES:
                raise OperatorError(
                    f"the rule matches more than {MAX_MATCHES:,} rows in this span; narrow it, or look at fewer days",
                    reason="rule_too_broad",
                )
            logs = np.full(len(chosen.place), lane * 1_000_000 + log, np.int64)
            account = batch.numeric["account_key"][chosen.place]
            parts.append(_Found(logs, refs[chosen.place], chosen.at_ms, chosen.key, chosen.what, chosen.call, account))
        if not parts:
            return _Found(*(np.zeros(0, np.int64) for _ in _Found._fields))
        whole = _Found(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
        order = np.lexsort((whole.ref, whole.log))
        return _Found(*(column[order] for column in whole))

    def _episodes(self, rule: ComposedRule, found: _Found, version: int) -> Iterator[tuple[_Told, list[Rise]]]:
        """The alerts of the live engine over these rows: each with all rises of its episode."""
        for log in np.unique(found.log).tolist():
            here = found.log == log
            engine = ComposedEngine(time_zone=self._zone)
            engine.control(ComposedChanged(rule_id=rule.rule_id, version=version, toml=write_rule(rule), state="active"))
            place = np.arange(np.count_nonzero(here))
            matches = Matches(place, found.at_ms[here], found.key[here], found.what[here], found.call[here], 0)
            running: dict[int, tuple[list[Rise], int]] = {}
            for rise in engine.count(rule.rule_id, matches, found.ref[here]):
                rises, last_ms = running.get(rise.key, ([], 0))
                if rises and rise.at_ms >= last_ms + rule.window_ms:
                    yield _told(rises, log), rises
                    rises, last_ms = [], 0
                rises.append(rise)
                running[rise.key] = (rises, max(last_ms, rise.at_ms))
            for rises, _ in running.values():
                yield _told(rises, log), rises

    def _in_words(
        self, rule: ComposedRule, matcher: Matcher, episodes: Sequence[_Told], version: int, *, from_ms: int, to_ms: int
    ) -> list[Example]:
        """The newest alerts, newest first."""
        newest = sorted(episodes, key=lambda episode: (-episode.opening.at_ms, episode.opening.ref))[:MAX_SHOWN]
        by_row = {(episode.log, episode.opening.ref): episode for episode in newest}
        if not by_row:
            return []
        force = InForce(rule=rule, version=version, probation=False)
        pieces = self._selection.rows(
            folder_of(rule),
            (),
            numeric=sorted(matcher.columns | {"account_key", "started_ms", "country"}),
            text=("account", "call_id", "callee", "source_ip", "network", "user_agent", "edge"),
            from_ms=from_ms,
            to_ms=to_ms,
            refs=sorted({episode.opening.ref for episode in newest}),
        )
        found = []
        for lane, log, refs, batch in pieces:
            for place, ref in enumerate(refs.tolist()):
                episode = by_row.get((lane * 1_000_000 + log, ref))
                if episode is None:
                    continue
                finding = finding_of(force, episode.opening, batch, place)
                parts = (finding.subject_kind, finding.subject, finding.opening_call_id, finding.opening_ms)
                found.append(
                    Example(
                        alert_id=derived_id("a", rule.rule_id, version, *parts),
                        at_ms=finding.at_ms,
                        subject_kind=finding.subject_kind,
                        subject=finding.subject,
                        reason=finding.reason,
                        severity="critical" if episode.critical else "warning",
                    )
                )
        return sorted(found, key=lambda example: (-example.at_ms, example.alert_id))


def folder_of(rule: ComposedRule) -> Folder:
    """Where the archive keeps the rows of a rule's event."""
    return "registrations" if rule.event in (Event.REGISTRATION, Event.AUTH_FAILURE) else "calls"


def conditions_of(rule: ComposedRule) -> list[Condition]:
    """What every row that the rule counts fulfils, as the archive can ask for it. Hours and networks are left to the matcher."""
    found = [Condition("kind", "in", tuple(int(kind) for kind in KINDS[rule.event]))]
    if rule.event in NUMBERED:
        found.append(Condition("destination_class", "between", low=1, high=255))
    for predicate in rule.where:
        asked = FIELDS[predicate.field]
        match asked.type:
            case FieldType.TEXT:
                test = {"is": "in", "not": "not_in"}.get(predicate.operator, predicate.operator)
                values = tuple(folded(asked.name, value) for value in predicate.values)
                found.append(Condition(asked.column, test, values, folded=asked.name == "user_agent"))  # type: ignore[arg-type]
            case FieldType.FLAG:
                bits = sum((asked.choices or {})[value] for value in predicate.values)
                found.append(Condition(asked.column, "any_bit" if predicate.operator == "is" else "no_bit", low=bits))
            case FieldType.COUNTRY | FieldType.CODE | FieldType.NUMBER if asked.column and predicate.operator != "between":
                codes = tuple(_code(asked, value) for value in predicate.values)
                found.append(Condition(asked.column, "in" if predicate.operator == "is" else "not_in", codes))
            case FieldType.NUMBER if asked.column:
                found.append(Condition(asked.column, "between", low=predicate.low, high=predicate.high))
            case _:
                pass
    return found


def _code(asked: Field, value: str) -> int:
    match asked.type:
        case FieldType.COUNTRY:
            return country_code(value)
        case FieldType.NUMBER:
            return int(value)
        case _:
            return (asked.choices or {})[value]


def _told(rises: Sequence[Rise], log: int) -> _Told:
    return _Told(rises[0], log, any(rise.critical for rise in rises))


def _hopeful(rule: ComposedRule, found: _Found) -> NDArray[np.bool_]:
    """Rows of keys that have some window in which the limit can be reached: others cannot alert, and most are others."""
    if not len(found.ref):
        return np.zeros(0, np.bool_)
    order = np.lexsort((found.at_ms, found.key))
    key, at_ms = found.key[order], found.at_ms[order]
    what = found.what[order] if rule.quantity in ("cost", "minutes") else np.ones(len(order), np.int64)
    first_of_key = np.searchsorted(key, key, "left")
    # Within a key times rise, so the start of each window is found by a search in numbers that rise over all keys.
    oldest, newest = int(at_ms.min()), int(at_ms.max())
    number_of_key = np.cumsum(np.concatenate(([0], (key[1:] != key[:-1]).astype(np.int64))))
    rising = number_of_key * (newest - oldest + rule.window_ms + 1) + at_ms - oldest
    start = np.maximum(np.searchsorted(rising, rising - rule.window_ms, "right"), first_of_key)
    # The window that ends at the last row of a time holds all rows of that time.
    end = np.searchsorted(rising, rising, "right")
    summed = np.concatenate(([0], np.cumsum(what)))
    reaches = summed[end] - summed[start] >= rule.warn
    hopeful = np.zeros(len(order), np.bool_)
    hopeful[order] = np.isin(key, np.unique(key[reaches]))
    return hopeful


def _first_alerts(rule: ComposedRule, found: _Found, rises: Sequence[Rise]) -> dict[int, int]:
    """When each account was first in a window that alerted."""
    order = np.lexsort((found.at_ms, found.key))
    key, at_ms, account = found.key[order], found.at_ms[order], found.account[order]
    first: dict[int, int] = {}
    for rise in sorted(rises, key=lambda rise: rise.at_ms):
        low, high = int(np.searchsorted(key, rise.key, "left")), int(np.searchsorted(key, rise.key, "right"))
        after, until = np.searchsorted(at_ms[low:high], [rise.at_ms - rule.window_ms, rise.at_ms], "right").tolist()
        for one in np.unique(account[low + after : low + until]).tolist():
            if one:
                first.setdefault(one, rise.at_ms)
    return first


def _peak(rule: ComposedRule, found: _Found) -> int:
    """Rows within the longest time that the engine keeps one."""
    if not len(found.ref):
        return 0
    at_ms = np.sort(found.at_ms)
    kept = rule.window_ms + 2 * 3_600_000
    return int((np.arange(len(at_ms)) - np.searchsorted(at_ms, at_ms - kept, "right")).max()) + 1


def _sum(spent: dict[int, Spent], place: int) -> int:
    return sum(one[place] for one in spent.values())
