"""Policy and figures of the quality bench."""

from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from ringfence.apps.bench.quality.judge import Verdicts
from ringfence.apps.bench.quality.policy import PERSON_MS, REACTION_MS, Policy
from ringfence.apps.bench.quality.score import by_scenario, outcomes, wronged
from ringfence.apps.bench.quality.traffic import Case, Truth
from ringfence.detection.model import Subject
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


def test_what_waits_for_a_person_for_another_reason_stays_a_proposal() -> None:
    policy = Policy(accounts=1_000, networks=())
    policy.take(replace(suspicion(1, T0), mode="propose"))
    assert (policy.proposed, policy.blocks) == (1, [])
    assert not refused(policy, T0 + PERSON_MS + REACTION_MS)


def test_numbers_ranges_and_sources_are_refused_to_everybody() -> None:
    def asked(policy: Policy, callee: str, source_ip: str = "203.0.113.7") -> bool:
        given = {"account": "u9", "destination_class": 4, "at_ms": T0 + 2 * REACTION_MS}
        return policy.refuses(callee=callee, source_ip=source_ip, **given) is not None  # type: ignore[arg-type]

    for scope, value, hits, misses in (
        ("number", "23276400111", ["+23276400111"], ["+232764001112", "+2327640011", "+23276400112"]),
        ("range", "23276400", ["+23276400", "+23276400111"], ["+2327640", "+23276401111"]),
    ):
        policy = Policy(accounts=1_000, networks=())
        policy.take(replace(suspicion(1, T0), measures=(Measure(scope=scope, value=value),)))  # type: ignore[arg-type]
        assert [block.value for block in policy.blocks] == [value]
        assert [asked(policy, callee) for callee in (*hits, *misses)] == [True] * len(hits) + [False] * len(misses), scope
    policy = Policy(accounts=1_000, networks=())
    policy.take(replace(suspicion(1, T0), measures=(Measure(scope="source", value="198.51.100.23"),)))
    assert [asked(policy, "+23276", source) for source in ("198.51.100.23", "198.51.100.24")] == [True, False]


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
    assert (found["falsely_alerted_per_100k_account_days"], found["falsely_blocked_per_100k_account_days"]) == (0.5, 0.5)


def test_a_case_is_found_by_what_is_about_it_while_it_goes_on() -> None:
    case = Case(
        "c1", "flood", START, START + timedelta(hours=1), 3, 2.0, account="thief",
        accounts=("second",), ranges=("23276400",), sources=("198.51.100.23",), calling_numbers=("+2290145111",),
    )  # fmt: skip
    truth = Truth(cases=(case,), case_of_call={}, victims=frozenset({"thief", "second"}))

    def seconds(kind: Any, value: str, at_ms: int = T0 + 90_000, **more: Any) -> float | None:
        about = replace(alert(1, at_ms, **more), account="", subject=Subject(kind=kind, value=value))
        return outcomes(truth, Verdicts(alerts=[about]))[0].seconds

    for kind, value in (
        ("account", "thief"), ("account", "second"), ("prefix", "23276400"), ("prefix", "2290145111"), ("prefix", "2290145"), ("source", "198.51.100.23"),
    ):  # fmt: skip
        assert seconds(kind, value) == 90.0, value
    for kind, value in (("account", "other"), ("prefix", "232764"), ("source", "198.51.100.24"), ("source", "thief")):
        assert seconds(kind, value) is None, value
    assert seconds("account", "thief", state="close") is None
    assert [seconds("account", "thief", at) for at in (T0 - 1, T0, T0 + 2 * HOUR, T0 + 2 * HOUR + 1)] == [None, 0.0, 7_200.0, None]
    early = [alert(n, T0 + at, account="thief") for n, at in ((1, 50_000), (2, 20_000))]
    assert outcomes(truth, Verdicts(alerts=early))[0].seconds == 20.0


def test_victims_are_not_wronged_and_others_are_by_any_block_or_refusal() -> None:
    truth = Truth(cases=(), case_of_call={}, victims=frozenset({"thief"}))
    policy = Policy(accounts=1_000, networks=())
    for number, account in enumerate(("thief", "honest")):
        policy.take(suspicion(number, T0, account))
    verdicts = Verdicts(alerts=[alert(1, account="thief")], blocks=policy.blocks, refused_calls={1: "thief", 2: "bystander"})
    found = wronged(truth, verdicts, account_days=1_000)
    assert (found["falsely_alerted_accounts"], found["falsely_blocked_accounts"]) == (0, 2)
    assert found["falsely_blocked_per_100k_account_days"] == 200.0
    assert found["false_blocks_by_rule"] == {"rule:D06@1": 1}


def test_the_ninetieth_percent_is_not_the_median() -> None:
    cases = tuple(Case(f"c{n}", "flood", START, START + timedelta(hours=1), 3, 2.0, account=f"u{n}") for n in range(10))
    alerts = [alert(n, T0 + (n + 1) * 10_000, account=f"u{n}") for n in range(10)]
    figures = by_scenario(outcomes(Truth(cases=cases, case_of_call={}, victims=frozenset()), Verdicts(alerts=alerts)))["all"]
    assert (figures["seconds_median"], figures["seconds_p90"]) == (60.0, 100.0)
