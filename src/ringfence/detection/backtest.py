"""Rules against the past: whole calls become the rows that the wire would have given, and the same engine and book judge them.

Alert ids are those of the live system for the same calls. Cost columns say what a rule would have saved: for every account it alerted, the
C2+ calls that began after the first alert and the reaction time would have been refused. Pure.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ringfence.detection.alerts import AlertBook
from ringfence.detection.engine import Engine
from ringfence.detection.layout import DAY, MINUTE
from ringfence.detection.model import Alert
from ringfence.detection.rules import RuleSet
from ringfence.telephony.columns import MAX_ROWS
from ringfence.telephony.control import AccountChanged
from ringfence.telephony.model import AccountRow, Flag, Kind
from ringfence.telephony.suspicion import Mode, Suspicion

_COLUMNS: tuple[tuple[str, str], ...] = (
    ("account_key", "i8"),
    ("call_key", "i8"),
    ("range_key", "i8"),
    ("number_tail", "i2"),
    ("country", "u2"),
    ("destination_class", "u1"),
    ("rate", "i8"),
    ("connect_micro", "i8"),
    ("flags", "u2"),
    ("started_ms", "i8"),
    ("answered_ms", "i8"),
    ("ended_ms", "i8"),
)
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFigures:
    """One line of the table. `cost_after_micro` is the loss that the rule would have avoided."""

    rule: str
    name: str
    alerts: int
    critical: int
    accounts: int
    cost_seen_micro: int
    cost_after_micro: int


@dataclass(slots=True, kw_only=True)
class Result:
    """What a backtest found. `total` counts each account once, at its first alert by any rule."""

    calls: int
    first_ms: int
    last_ms: int
    cost_micro: int
    alerts: list[Alert] = field(default_factory=list)
    suspicions: list[Suspicion] = field(default_factory=list)
    rules: list[RuleFigures] = field(default_factory=list)
    total: RuleFigures | None = None


class _Calls:
    """Resolves row references to the calls they came from."""

    def __init__(self, calls: Sequence[AccountRow], source: NDArray[np.int64]) -> None:
        self._calls = calls
        self._source = source

    def resolve(self, row_ref: int) -> AccountRow | None:
        return self._calls[int(self._source[row_ref])]


def backtest(
    calls: Sequence[AccountRow],
    *,
    rules: RuleSet,
    accounts: Sequence[AccountChanged] = (),
    time_zone: str,
    holidays: tuple[str, ...] = (),
    mode: Mode | Literal[""] = "",
    reaction_ms: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Judge whole calls (rows of kind CALL). `progress(done, all)` is called now and then."""
    columns = {name: np.array([getattr(call, name) for call in calls], dtype) for name, dtype in _COLUMNS}
    source, kinds, times = _events(columns)
    engine = Engine(rules, time_zone=time_zone, holidays=holidays, accounts=len(calls) // 8)
    book = AlertBook(mode=mode)
    resolver = _Calls(calls, source)
    for account in accounts:
        engine.control(account)
    answered = columns["answered_ms"]
    started = columns["started_ms"]
    costs = _costs(columns)
    result = Result(
        calls=len(calls),
        first_ms=int(started.min()) if len(calls) else 0,
        last_ms=int(times[-1]) if len(calls) else 0,
        cost_micro=int(costs.sum()),
    )
    for first in range(0, len(source), MAX_ROWS):
        places = source[first : first + MAX_ROWS]
        part = {name: array[places] for name, array in columns.items()}
        kind, at = kinds[first : first + MAX_ROWS], times[first : first + MAX_ROWS]
        part["answered_ms"] = np.where(kind >= Kind.ANSWER, answered[places], 0)
        part["ended_ms"] = np.where(kind == Kind.END, at, 0)
        given = [kind, at, *(np.ascontiguousarray(part[name]) for name, _ in _COLUMNS)]
        unkeyed = bool(np.any(part["flags"] & np.uint16(Flag.UNKEYED)))
        crossings = engine.feed_columns(given, len(places), first, strangers=unkeyed)
        output = book.apply(crossings, engine.rules, engine.time_zone, engine.holidays, resolver)
        result.alerts += output.alerts + book.tick(engine.now_ms)
        result.suspicions += output.suspicions
        if progress is not None:
            progress(min(first + MAX_ROWS, len(source)), len(source))
    result.alerts += book.tick(result.last_ms + 2 * DAY)
    result.alerts.sort(key=lambda alert: alert.at)
    _measure(result, calls, columns, costs, rules, reaction_ms)
    return result


def _events(columns: Arrays) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
    """Place of the call, kind and time of each row, in the order in which the wire would have shown them."""
    started, answered, ended = columns["started_ms"], columns["answered_ms"], columns["ended_ms"]
    every, talked = np.arange(len(started)), np.flatnonzero(answered)
    source = np.concatenate((every, talked, every))
    lengths = (len(every), len(talked), len(every))
    kinds = np.repeat(np.array([Kind.ATTEMPT, Kind.ANSWER, Kind.END], np.uint8), lengths)
    times = np.concatenate((started, answered[talked], np.maximum(ended, np.maximum(started, answered))))
    order = np.lexsort((source, kinds, times))
    return source[order], kinds[order], times[order]


def _costs(columns: Arrays) -> NDArray[np.int64]:
    """Whole cost of each C2+ call in micro-euro; 0 for the others and for calls that were not answered."""
    counts = (columns["answered_ms"] > 0) & (columns["destination_class"] >= 2)
    lengths = np.maximum(columns["ended_ms"] - columns["answered_ms"], 0)
    costs: NDArray[np.int64] = np.where(counts, columns["rate"] * lengths // MINUTE + columns["connect_micro"], 0)
    return costs


def _measure(
    result: Result, calls: Sequence[AccountRow], columns: Arrays, costs: NDArray[np.int64], rules: RuleSet, reaction_ms: int
) -> None:
    started = columns["started_ms"]
    places: dict[str, list[int]] = {}
    for place in np.flatnonzero(costs).tolist():
        places.setdefault(calls[place].account, []).append(place)

    def figures(rule: str, name: str, alerts: list[Alert]) -> RuleFigures:
        first: dict[str, int] = {}
        for alert in alerts:
            first.setdefault(alert.account, alert.at_ms)
        seen = after = 0
        for account, at_ms in first.items():
            mine = np.array(places.get(account, ()), np.int64)
            seen += int(costs[mine].sum())
            after += int(costs[mine][started[mine] > at_ms + reaction_ms].sum())
        return RuleFigures(
            rule=rule,
            name=name,
            alerts=len({alert.alert_id for alert in alerts}),
            critical=len({alert.alert_id for alert in alerts if alert.severity == "critical"}),
            accounts=len(first),
            cost_seen_micro=seen,
            cost_after_micro=after,
        )

    told = [alert for alert in result.alerts if alert.state != "close"]
    result.rules = [
        figures(detector.name, rule.name, [alert for alert in told if alert.rule == detector.name])
        for detector, rule in rules.rules.items()
    ]
    result.total = figures("all", "Any rule", told)
