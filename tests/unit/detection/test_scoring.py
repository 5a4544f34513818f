"""Signals that combine: order, decay, limits, what the decision weighs; and that a restored scorer goes on alike."""

import itertools
import math
import random
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.detection.decision import doubted, weigh
from ringfence.detection.findings import Finding
from ringfence.detection.layout import HOUR, MINUTE
from ringfence.detection.rules import Profile, read_rules
from ringfence.detection.scoring import CAPACITY, SPENDING, Scorer, Signal, combined, decayed
from ringfence.telephony.suspicion import Measure
from tests.unit.detection.published import published_rules

NOON = 1_790_071_200_000
RULES = read_rules(published_rules())
EURO = 1_000_000


def signal(rule: str, score: int, at_ms: int = NOON, *, key: int = 7, part: str = "", measures: tuple[Measure, ...] = ()) -> Signal:
    return Signal(
        rule=rule,
        part=part or rule,
        score=score,
        at_ms=at_ms,
        account=f"account-{key}",
        account_key=key,
        keyed=True,
        opening_call_id=f"{rule}-{at_ms}",
        opening_ms=at_ms,
        calls=(f"{rule}-{at_ms}",),
        measures=measures,
        reason=f"what {rule} saw",
    )


def plain(_account_key: int) -> Profile:
    return Profile()


def take(scorer: Scorer, *signals: Signal, profile: Profile | None = None) -> list[Finding]:
    return scorer.take(signals, RULES, lambda _key: profile or Profile())


def test_two_weak_signals_make_an_alert_and_three_a_block_that_names_its_parts() -> None:
    scorer = Scorer()
    assert take(scorer, signal("D30", 25)) == []
    [opened] = take(scorer, signal("D31", 25, NOON + 1))
    assert (opened.rule, opened.level, opened.observed, opened.warn, opened.act) == ("D00", 1, 43, 40, 60)
    assert (opened.opening_call_id, opened.opening_ms) == (f"D31-{NOON + 1}", NOON + 1)
    [acted] = take(scorer, signal("D34", 40, NOON + 2))
    assert (acted.level, acted.score) == (3, 66)
    assert acted.observed_more["parts"] == [
        {"rule": "D34", "score": 40, "reason": "what D34 saw"},
        {"rule": "D30", "score": 25, "reason": "what D30 saw"},
        {"rule": "D31", "score": 25, "reason": "what D31 saw"},
    ]
    assert acted.calls == (f"D30-{NOON}", f"D31-{NOON + 1}", f"D34-{NOON + 2}")
    assert acted.measures == (Measure(scope="class", value="account-7", destination_class=3),)
    assert "D34 40 (what D34 saw)" in acted.reason


def test_at_lock_all_that_costs_is_refused_before_the_account() -> None:
    [locked] = take(Scorer(), signal("D38", 50), signal("D32", 45), signal("D15", 50))
    assert (locked.level, locked.observed) == (5, 86)
    assert [(each.scope, each.destination_class) for each in locked.measures] == [("class", 2), ("account", 0)]


def test_what_was_only_proposed_is_asked_again_when_acting_becomes_worth_it() -> None:
    scorer = Scorer()
    [proposed] = take(scorer, signal("D30", 40), signal("D34", 35))
    assert (proposed.level, proposed.observed) == (2, 61)
    [acted] = take(scorer, replace(signal("D01", 0, NOON + MINUTE, part=SPENDING), rate_micro=3 * EURO, cost_micro=5 * EURO))
    assert (acted.level, acted.rate_micro, acted.cost_micro) == (3, 3 * EURO, 5 * EURO)


def test_a_number_that_a_part_names_is_refused_before_a_class() -> None:
    number = Measure(scope="number", value="23222550001")
    [acted] = take(Scorer(), signal("D15", 50, measures=(number,)), signal("D30", 25))
    assert acted.measures[0] == number


def test_rules_about_spending_count_once_and_one_rule_counts_its_strongest() -> None:
    scorer = Scorer()
    assert take(scorer, *(signal(rule, 0, part=SPENDING) for rule in ("D01", "D02", "D06", "D09"))) == []
    [found] = take(scorer, signal("D30", 40), signal("D30", 15))
    assert found.observed == 55  # 1 - 0.75 x 0.60


def test_signals_fade_and_an_exempt_account_has_no_score() -> None:
    scorer = Scorer()
    take(scorer, signal("D30", 40))
    assert take(scorer, signal("D31", 15, NOON + 48 * HOUR)) == []
    assert take(Scorer(), signal("D38", 90), profile=Profile(exempt_until_ms=NOON + 1)) == []
    assert take(Scorer(), signal("D38", 90), profile=Profile(exempt_until_ms=NOON))


def test_sensitivity_takes_a_quarter_of_the_doubt() -> None:
    assert take(Scorer(), signal("D30", 25)) == []
    [found] = take(Scorer(), signal("D30", 25), profile=Profile(sensitivity=100))
    assert found.observed == 43
    assert doubted(600_000, 0, 25) == 600_000
    assert doubted(600_000, 100, 25) == 700_000


def test_without_the_rule_nothing_is_counted() -> None:
    rules = read_rules(published_rules().split("[rules.D00]")[0])
    scorer = Scorer()
    assert scorer.take([signal("D38", 99)], rules, plain) == []
    assert scorer.figures()["scored_accounts"] == 0


SIGNALS = st.lists(
    st.tuples(st.sampled_from(["D15", "D30", "D31", "D32", "D38"]), st.integers(0, 99), st.integers(1, 3)), min_size=1, max_size=7
)


@given(SIGNALS, st.randoms(use_true_random=False))
def test_within_an_instant_the_order_of_signals_does_not_matter(drawn: list[tuple[str, int, int]], chance: random.Random) -> None:
    signals = [signal(rule, score, key=key) for rule, score, key in drawn]
    shuffled = list(signals)
    chance.shuffle(shuffled)
    one, other = Scorer(), Scorer()
    assert [(f.account_key, f.level, f.observed) for f in one.take(signals, RULES, plain)] == [
        (f.account_key, f.level, f.observed) for f in other.take(shuffled, RULES, plain)
    ]
    assert one.state() == other.state()


@given(SIGNALS, SIGNALS, st.integers(0, 72 * HOUR))
def test_a_restored_scorer_goes_on_alike(before: list[tuple[str, int, int]], after: list[tuple[str, int, int]], pause: int) -> None:
    scorer = Scorer()
    scorer.take([signal(rule, score, key=key) for rule, score, key in before], RULES, plain)
    restored = Scorer.restore(msgspec.json.decode(msgspec.json.encode(scorer.state())))
    later = [signal(rule, score, NOON + pause, key=key) for rule, score, key in after]
    assert scorer.take(later, RULES, plain) == restored.take(later, RULES, plain)
    assert scorer.state() == restored.state()


@given(st.lists(st.integers(0, 990_000), max_size=12))
def test_noisy_or_is_the_same_in_every_order_and_close_to_the_real_one(chances: list[int]) -> None:
    assert len({combined(order) for order in itertools.islice(itertools.permutations(chances), 24)}) == 1
    exact = 1 - math.prod(1 - chance / 1_000_000 for chance in chances)
    assert abs(combined(chances) / 1_000_000 - exact) < 0.000_02


@given(st.integers(0, 1_000_000), st.integers(0, 30 * 24 * HOUR), st.integers(MINUTE, 7 * 24 * HOUR))
def test_decay_is_close_to_the_real_one_and_halves_exactly(ppm: int, age_ms: int, half_life: int) -> None:
    real = ppm * 2 ** (-age_ms / half_life)
    assert real - 1.5 <= decayed(ppm, age_ms, half_life) <= real * (2 ** (1 / 1024)) + 1.5
    assert decayed(ppm, half_life, half_life) == ppm // 2
    assert decayed(ppm, 0, half_life) == ppm


def test_strangers_cannot_fill_the_memory() -> None:
    scorer = Scorer()
    for key in range(CAPACITY + 10):
        take(scorer, signal("D30", 15, NOON + key, key=key + 1))
    assert scorer.figures() == {"scored_accounts": float(CAPACITY), "scores_evicted": 10.0}
    assert {score["account_key"] for score in scorer.state()["scores"]} == set(range(11, CAPACITY + 11))


@pytest.mark.parametrize(
    ("score", "rate", "segment", "acts"),
    [
        (60, 0, "residential", False),  # 60 % x 0.50 EUR x 30 min = 9 against 40 % x 25 = 10
        (70, 0, "residential", True),
        (60, 2 * EURO, "residential", True),
        (60, 2 * EURO, "business", False),  # 36 against 60
        (80, 2 * EURO, "trunk", True),  # 48 against 30
    ],
)
def test_acting_has_to_be_worth_the_risk_of_being_wrong(score: int, rate: int, segment: str, acts: bool) -> None:
    weighed = weigh(RULES, score=score, rate_micro=rate, segment=segment)  # type: ignore[arg-type]
    assert weighed.worth_acting is acts
    assert weighed.mode("act") == ("act" if acts else "propose")
    assert weighed.mode("observe") == "observe"


def test_both_sides_are_in_euro() -> None:
    weighed = weigh(RULES, score=60, rate_micro=2 * EURO, segment="residential")
    assert (weighed.loss_micro, weighed.false_block_micro) == (36 * EURO, 10 * EURO)


def test_what_one_rule_says_by_itself_is_that_rules_alert() -> None:
    scorer = Scorer()
    assert take(scorer, replace(signal("D38", 50), told=True)) == []
    [combined_now] = take(scorer, signal("D30", 15, NOON + MINUTE))
    assert combined_now.observed == 57
    [alone] = take(Scorer(), signal("D30", 40))
    assert alone.reason == "One signal says 40 of 100 (limit 40): D30 40 (what D30 saw)"
