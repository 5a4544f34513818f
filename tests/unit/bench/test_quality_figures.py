"""Policy and figures of the quality bench."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from ringfence.apps.bench.quality.judge import Verdicts
from ringfence.apps.bench.quality.policy import PERSON_MS, REACTION_MS, Policy
from ringfence.apps.bench.quality.score import by_scenario, outcomes, wronged
from ringfence.apps.bench.quality.traffic import Case, Truth
from ringfence.telephony.suspicion import Measure, Suspicion
from tests.unit.detection.test_attacks import alert

T0 = 1_790_000_000_000
HOUR = 3_600_000
START = datetime.fromtimestamp(T0 / 1000, UTC)


def suspicion(number: int, at_ms: int, account: str = "u1") -> Suspicion:
    return Suspicion(
        suspicion_id=f"a-{number}.2",
        alert_id=f"a-{number}",
        rule="D06",
        rule_version=1,
        mode="act",
        account=account,
        measures=(Measure(scope="class", value=account, destination_class=3),),
        level=2,
        score=60,
        observed=3,
        threshold=3,
        cost_micro=0,
        calls=(f"c{number}",),
        reason="r",
        at_ms=at_ms,
    )


def refused(policy: Policy, at_ms: int, *, account: str = "u1", destination_class: int = 4) -> bool:
    block = policy.refuses(account=account, callee="+23276", destination_class=destination_class, source_ip="203.0.113.7", at_ms=at_ms)
    return block is not None


def test_a_block_holds_from_a_second_on_for_an_hour_for_its_class_and_account() -> None:
    policy = Policy(accounts=1_000, networks=())
    policy.take(suspicion(1, T0))
    assert [refused(policy, T0 + at) for at in (REACTION_MS - 1, REACTION_MS, HOUR - 1, HOUR)] == [False, True, True, False]
    assert not refused(policy, T0 + 5_000, destination_class=2)
    assert not refused(policy, T0 + 5_000, account="u2")


def test_the_third_time_a_person_answers_after_a_quarter_of_an_hour() -> None:
    policy = Policy(accounts=1_000, networks=())
    for number, at_ms in enumerate((T0, T0 + 2 * HOUR, T0 + 30 * HOUR)):
        policy.take(suspicion(number, at_ms))
    assert policy.proposed == 1
    assert [block.author for block in policy.blocks[2:]] == ["person", "rule:D06@1"]
    assert refused(policy, T0 + 30 * HOUR + REACTION_MS)
    assert refused(policy, T0 + 53 * HOUR + PERSON_MS)
    assert not refused(policy, T0 + 54 * HOUR + PERSON_MS)


def test_calls_that_a_block_ends_are_named_with_their_instant() -> None:
    policy = Policy(accounts=1_000, networks=())
    ends = (Measure(scope="call", value="c1", destination_class=4), Measure(scope="call", value="stranger", destination_class=4))
    assert policy.take(replace(suspicion(1, T0), ends=ends)) == ["c1"]
    assert policy.ended == {"c1": T0 + REACTION_MS}


def test_figures_of_a_scenario_and_of_those_who_are_wronged() -> None:
    cases = (
        Case("c1", "flood", START, START + timedelta(hours=1), 3, 2.0, account="thief"),
        Case("c2", "flood", START, START + timedelta(hours=1), 3, 2.0, account="quiet"),
    )
    truth = Truth(cases=cases, case_of_call={}, victims=frozenset({"thief", "quiet"}))
    verdicts = Verdicts(
        alerts=[alert(1, T0 + 30_000, account="thief"), alert(2, T0, account="honest")], refused_calls={5: "poor", 6: "thief"}
    )
    verdicts.total_micro.update(c1=10_000_000, c2=10_000_000)
    verdicts.lost_micro.update(c1=1_000_000, c2=10_000_000)
    figures = by_scenario(outcomes(truth, verdicts))["flood"]
    assert (figures["cases"], figures["found"], figures["seconds_median"]) == (2, 1, 30.0)
    assert (figures["eur_lost"], figures["money_saved_share"], figures["money_of_found_share"]) == (11.0, 0.45, 0.5)
    found = wronged(truth, verdicts, account_days=200_000)
    assert (found["falsely_alerted_accounts"], found["falsely_blocked_accounts"]) == (1, 1)
    assert found["falsely_blocked_per_100k_account_days"] == 0.5
