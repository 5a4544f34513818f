"""Figures of a run: per scenario what was found, how soon and what it still cost; and who was wronged."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ringfence.apps.bench.quality.judge import Verdicts
from ringfence.apps.bench.quality.traffic import Case, Truth
from ringfence.detection.model import Alert
from ringfence.enforcement.model import Scope

HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a case. `seconds` None: nobody noticed."""

    case: Case
    seconds: float | None
    lost_micro: int
    total_micro: int


def outcomes(truth: Truth, verdicts: Verdicts) -> list[Outcome]:
    """Each case with the first alert about one of its accounts, ranges or sources between its first call and an hour after its last."""
    first: dict[tuple[str, str], list[int]] = defaultdict(list)
    for alert in verdicts.alerts:
        if alert.state != "close":
            first[alert.subject.kind, alert.subject.value].append(alert.at_ms)
            if alert.account:
                first["account", alert.account].append(alert.at_ms)
    found = []
    for case in truth.cases:
        until_ms = round(case.last_at.timestamp() * 1000) + HOUR_MS
        subjects = [("account", name) for name in (case.account, *case.accounts) if name]
        subjects += [("prefix", name) for name in (*case.ranges, *(number.removeprefix("+") for number in case.calling_numbers))]
        subjects += [("prefix", number.removeprefix("+")[:-3]) for number in case.calling_numbers]
        subjects += [("source", name) for name in case.sources]
        times = [at for subject in subjects for at in first.get(subject, ()) if case.first_ms <= at <= until_ms]
        found.append(
            Outcome(
                case=case,
                seconds=(min(times) - case.first_ms) / 1000 if times else None,
                lost_micro=verdicts.lost_micro.get(case.case_id, 0),
                total_micro=verdicts.total_micro.get(case.case_id, 0),
            )
        )
    return found


def by_scenario(found: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """Figures of each scenario, and of all together under `all`."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in found:
        groups[outcome.case.scenario].append(outcome)
    return {name: _figures(group) for name, group in (*sorted(groups.items()), ("all", list(found)))}


def _figures(group: Sequence[Outcome]) -> dict[str, Any]:
    seconds = sorted(outcome.seconds for outcome in group if outcome.seconds is not None)
    total = sum(outcome.total_micro for outcome in group)
    noticed = sum(outcome.total_micro for outcome in group if outcome.seconds is not None)
    lost = sum(outcome.lost_micro for outcome in group)
    return {
        "cases": len(group),
        "found": len(seconds),
        "found_share": _share(len(seconds), len(group)),
        "seconds_median": _rank(seconds, 0.5),
        "seconds_p90": _rank(seconds, 0.9),
        "eur_total": round(total / 1e6, 2),
        "eur_lost": round(lost / 1e6, 2),
        "money_of_found_share": _share(noticed, total),
        "money_saved_share": _share(total - lost, total),
    }


def wronged(truth: Truth, verdicts: Verdicts, *, account_days: int) -> dict[str, Any]:
    """Ordinary accounts that were alerted or refused something, also per 100,000 account-days."""
    alerted = {alert.account for alert in verdicts.alerts if alert.account} - truth.victims
    blocked = {block.value for block in verdicts.blocks if block.scope in (Scope.ACCOUNT, Scope.CLASS)} - truth.victims
    blocked |= {block.account for block in verdicts.blocks if block.scope is Scope.CALL and block.account} - truth.victims
    blocked |= set(verdicts.refused_calls.values()) - truth.victims
    return {
        "falsely_alerted_accounts": len(alerted),
        "falsely_blocked_accounts": len(blocked),
        "falsely_alerted_per_100k_account_days": round(len(alerted) * 100_000 / account_days, 3),
        "falsely_blocked_per_100k_account_days": round(len(blocked) * 100_000 / account_days, 3),
        "false_alerts_by_rule": _rules(alert for alert in verdicts.alerts if alert.account in alerted and alert.state == "open"),
        "false_blocks_by_rule": _count(block.origin for block in verdicts.blocks if block.value in blocked or block.account in blocked),
    }


def _rules(alerts: Iterable[Alert]) -> dict[str, int]:
    return _count(alert.rule for alert in alerts)


def _count(names: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for name in names:
        counts[name] += 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def _rank(values: Sequence[float], share: float) -> float | None:
    return round(values[min(int(len(values) * share), len(values) - 1)], 1) if values else None
