"""Rules against the past: the detectors of every view over traffic that is over, and what the rules would have saved.

Judging is `Replay`'s, so alert ids are those of the live system for the same rows. Here only money is counted: for every account that a
rule named, the C2+ calls that began after the first alert and the reaction time would have been refused. Pure.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ringfence.detection.layout import DAY, MINUTE
from ringfence.detection.model import Alert
from ringfence.detection.replay import Replay, in_order
from ringfence.detection.rules import RuleSet
from ringfence.telephony.columns import RowBatch
from ringfence.telephony.control import ControlRecord
from ringfence.telephony.model import Kind
from ringfence.telephony.suspicion import Mode, Suspicion


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

    calls: int = 0
    """Calls that accounts paid for."""
    inbound: int = 0
    first_ms: int = 0
    last_ms: int = 0
    cost_micro: int = 0
    alerts: list[Alert] = field(default_factory=list)
    suspicions: list[Suspicion] = field(default_factory=list)
    rules: list[RuleFigures] = field(default_factory=list)
    total: RuleFigures | None = None


def backtest(
    pieces: Iterable[RowBatch],
    *,
    rules: RuleSet,
    time_zone: str,
    key_of: Callable[[str], int],
    control: Sequence[ControlRecord] = (),
    accounts: int = 0,
    mode: Mode | Literal[""] = "",
    reaction_ms: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Result:
    """Judge whole calls and other rows, in pieces that follow each other in time (`in_order`).

    `key_of` gives the account key that rows hold of an account's name, `accounts` is about how many there are, `progress` is told the calls
    so far.
    """
    replay = Replay(rules, time_zone=time_zone, mode=mode, control=control, accounts=accounts)
    result, bills = Result(), _Bills()

    def counted() -> Iterator[RowBatch]:
        for piece in pieces:
            _count(piece, result)
            bills.add(piece)
            yield piece
            if progress is not None:
                progress(result.calls + result.inbound)

    for batch in in_order(counted()):
        output = replay.feed(batch)
        result.alerts += output.alerts
        result.suspicions += output.suspicions
    if replay.now_ms:
        # Far enough for every window to run out: what is open ends.
        output = replay.finish(replay.now_ms + 2 * DAY)
        result.alerts += output.alerts
        result.suspicions += output.suspicions
    result.alerts.sort(key=lambda alert: alert.at)
    result.cost_micro = bills.total()
    told = [alert for alert in result.alerts if alert.state != "close"]
    named = dict.fromkeys((*(detector.name for detector in rules.rules), *rules.chosen))
    result.rules = [
        bills.figures(rule, rules.name(rule), [alert for alert in told if alert.rule == rule], key_of, reaction_ms)
        for rule in sorted(named)
    ]
    result.total = bills.figures("all", "Any rule", told, key_of, reaction_ms)
    return result


def accounts_of(alert: Alert) -> tuple[str, ...]:
    """Accounts that an alert names: its own; else those of its evidence, where it is about a range, a source or a network."""
    if alert.account:
        return (alert.account,)
    return tuple(name for name in alert.evidence.observed.get("accounts", ()) if isinstance(name, str))


def _count(piece: RowBatch, result: Result) -> None:
    if not piece.length:
        return
    kind, at = piece.numeric["kind"], piece.numeric["at_ms"]
    result.calls += int(np.count_nonzero(kind == Kind.CALL))
    result.inbound += int(np.count_nonzero(kind == Kind.INBOUND))
    result.first_ms = min(int(at.min()), result.first_ms or int(at.min()))
    result.last_ms = max(result.last_ms, int(at.max()), int(piece.numeric["ended_ms"].max()))


class _Bills:
    """What each C2+ call cost, by account."""

    def __init__(self) -> None:
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
        self._sorted: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]] | None = None

    def add(self, piece: RowBatch) -> None:
        """The answered C2+ calls of a piece: account key, start, whole cost in micro-euro."""
        numeric = piece.numeric
        answered = numeric["answered_ms"]
        counts = np.flatnonzero((numeric["kind"] == Kind.CALL) & (answered > 0) & (numeric["destination_class"] >= 2))
        lengths = np.maximum(numeric["ended_ms"][counts] - answered[counts], 0)
        costs = numeric["rate"][counts] * lengths // MINUTE + numeric["connect_micro"][counts]
        self._parts.append((numeric["account_key"][counts], numeric["started_ms"][counts], costs))
        self._sorted = None

    def total(self) -> int:
        """Of all calls."""
        return sum(int(costs.sum()) for _, _, costs in self._parts)

    def figures(self, rule: str, name: str, alerts: list[Alert], key_of: Callable[[str], int], reaction_ms: int) -> RuleFigures:
        """The line of a rule that raised these alerts, ascending by time."""
        first: dict[str, int] = {}
        for alert in alerts:
            for account in accounts_of(alert):
                first.setdefault(account, alert.at_ms)
        seen = after = 0
        for account, at_ms in first.items():
            started, costs = self._of(key_of(account))
            seen += int(costs.sum())
            after += int(costs[started > at_ms + reaction_ms].sum())
        return RuleFigures(
            rule=rule,
            name=name,
            alerts=len({alert.alert_id for alert in alerts}),
            critical=len({alert.alert_id for alert in alerts if alert.severity == "critical"}),
            accounts=len(first),
            cost_seen_micro=seen,
            cost_after_micro=after,
        )

    def _of(self, key: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if self._sorted is None:
            keys, started, costs = (np.concatenate(column) for column in zip(*self._parts, strict=True))
            order = np.argsort(keys, kind="stable")
            self._sorted = keys[order], started[order], costs[order]
        keys, started, costs = self._sorted
        mine = slice(*np.searchsorted(keys, (key, key + 1)))
        return started[mine], costs[mine]
