"""What a backtest finds and counts: the live form's alerts, whose money, and what would have been saved."""

from collections.abc import Sequence
from typing import Any

import pytest

from ringfence.detection.agent import built_in_rules
from ringfence.detection.backtest import Result, accounts_of, backtest
from ringfence.detection.lane import Lane
from ringfence.detection.layout import HOUR, MINUTE
from ringfence.detection.model import Alert, Evidence, Subject
from ringfence.detection.rules import read_rules
from ringfence.telephony.columns import batch_of, split_ref
from ringfence.telephony.model import AccountRow, Kind, country_code
from tests.unit.detection.lives import NOON, key_of, life

RULES = read_rules(built_in_rules())
RATE = 700_000


def whole(number: int, started_ms: int, *, account: str = "anna", level: int = 4, seconds: int = 300, **more: Any) -> AccountRow:
    """A call of an account to Sierra Leone, each to a number of its own."""
    call_id = f"{account}-{number}"
    facts: dict[str, Any] = {
        "kind": Kind.CALL,
        "at_ms": started_ms,
        "received_ms": started_ms,
        "account": account,
        "account_key": key_of(account),
        "call_id": call_id,
        "call_key": key_of(call_id),
        "callee": f"+2322255{number:04d}",
        "range_key": key_of("2322255"),
        "number_tail": number,
        "country": country_code("SL"),
        "destination_class": level,
        "rate": RATE,
        "started_ms": started_ms,
        "answered_ms": started_ms if seconds else 0,
        "ended_ms": started_ms + seconds * 1_000,
    }
    return AccountRow(**(facts | more))


def shown(rows: Sequence[AccountRow]) -> list[AccountRow]:
    """Each call by its moments, each row a message: the naive form of `in_order`."""
    found = []
    for row in rows:
        if row.kind != Kind.CALL:
            found.append(row)
            continue
        fields = {name: getattr(row, name) for name in row.__struct_fields__}
        found.append(AccountRow(**(fields | {"kind": Kind.ATTEMPT, "answered_ms": 0, "ended_ms": 0})))
        if row.answered_ms:
            found.append(AccountRow(**(fields | {"kind": Kind.ANSWER, "at_ms": row.answered_ms, "ended_ms": 0})))
        found.append(AccountRow(**(fields | {"kind": Kind.END, "at_ms": row.ended_ms})))
    return sorted(found, key=lambda row: row.at_ms)


def judged(rows: Sequence[AccountRow], **more: Any) -> Result:
    return backtest([batch_of(rows)], rules=RULES, time_zone="Europe/Berlin", key_of=key_of, **more)


@pytest.mark.parametrize("seconds", [0, 30, 900])
def test_a_backtest_names_the_alerts_of_the_live_lane(seconds: int) -> None:
    calls = [whole(number, NOON + 9 * HOUR + 57 * MINUTE + number * 20_000, seconds=seconds) for number in range(12)]
    calls += [whole(number, NOON + number * 600_000, account="bert", level=2) for number in range(40)]
    lane, rows, live = Lane.fresh(RULES, time_zone="Europe/Berlin"), shown(calls), []

    class Rows:
        def resolve(self, ref: int) -> AccountRow | None:
            return rows[split_ref(ref)[0] - 1]

    for sequence, row in enumerate(rows, 1):
        live += lane.settle(lane.rows(batch_of([row]), sequence), sequence, Rows(), closing=False).alerts
    result = judged(calls)
    mine = [alert for alert in result.alerts if alert.subject.kind == "account" and alert.state != "close"]
    told = {(alert.alert_id, alert.step, alert.state, alert.at, alert.reason) for alert in live if alert.state != "close"}
    assert told == {(alert.alert_id, alert.step, alert.state, alert.at, alert.reason) for alert in mine}
    assert {rule for _, rule in {(alert.account, alert.rule) for alert in mine}} >= ({"D07", "D14"} if seconds else {"D14"})


def test_figures_of_a_backtest() -> None:
    calls = [whole(number, NOON + number * 20_000) for number in range(10)]
    result = judged(calls, reaction_ms=60_000)
    assert (result.calls, result.inbound) == (10, 0)
    assert (result.first_ms, result.last_ms) == (NOON, NOON + 9 * 20_000 + 300_000)
    assert result.cost_micro == 10 * 5 * RATE
    by_rule = {figures.rule: figures for figures in result.rules}
    assert by_rule["D07"].accounts == 1
    assert by_rule["D07"].cost_seen_micro == result.cost_micro
    # The second call opens it; those that began more than a minute later would have been refused.
    assert by_rule["D07"].cost_after_micro == 5 * 5 * RATE
    assert result.total is not None
    assert result.total.cost_after_micro == 5 * 5 * RATE
    assert by_rule["D23"].alerts == by_rule["D23"].cost_seen_micro == 0


def test_nothing_is_judged_without_rows() -> None:
    result = backtest([], rules=RULES, time_zone="UTC", key_of=key_of)
    assert result.alerts == []
    assert result.total is not None
    assert (result.calls, result.total.alerts, result.total.cost_seen_micro) == (0, 0, 0)


def test_all_views_are_judged_and_every_rule_has_a_line() -> None:
    result = judged(life())
    assert {alert.subject.kind for alert in result.alerts} >= {"account", "source", "prefix"}
    assert {figures.rule for figures in result.rules if figures.alerts} >= {alert.rule for alert in result.alerts} - {"D00"}
    assert {figures.rule for figures in result.rules} >= {"D01", "D23", "N01", "N03", "E01"}


def test_calls_towards_an_account_are_nobodys_cost() -> None:
    inbound = whole(1, NOON, kind=Kind.INBOUND)
    result = judged([inbound, whole(2, NOON, account="bert", level=2)])
    assert (result.calls, result.inbound, result.cost_micro) == (1, 1, 5 * RATE)


def test_accounts_of_an_alert_are_its_own_or_those_of_its_evidence() -> None:
    def alert(account: str, **observed: Any) -> Alert:
        return Alert(
            alert_id="a",
            step=1,
            state="open",
            at="2026-09-22T10:00:00.000Z",
            rule="N01",
            rule_version=1,
            severity="warning",
            subject=Subject(kind="prefix", value="2322255"),
            account=account,
            score=40,
            cost_eur=0.0,
            reason="",
            evidence=Evidence(calls=(), thresholds={}, observed=observed),
        )

    assert accounts_of(alert("anna", accounts=["bert"])) == ("anna",)
    assert accounts_of(alert("", accounts=["bert", "cleo"])) == ("bert", "cleo")
    assert accounts_of(alert("", value=3)) == ()
