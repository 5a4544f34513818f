"""Ordinary numbers are numbers that a numbering plan knows; abused ones have a price that hurts."""

import numpy as np
import phonenumbers
import pytest

from ringfence.simulators.traffic import numbers
from ringfence.simulators.traffic.chance import mix
from ringfence.simulators.traffic.numbers import Patterns
from ringfence.telephony.decks import default_deck_text
from ringfence.telephony.rates import read_deck

ORDINARY = [pattern for pair in numbers.COUNTRIES.values() for patterns in pair for pattern in patterns]
SERVICES = [*numbers.HOME_MOBILE, *numbers.FREEPHONE, *numbers.SHARED_COST, *numbers.PREMIUM, *numbers.TELEVOTE]
AREAS = [f"49{code}{'nxxxxxx' if len(code) < 4 else 'nxxxxx'}" for code in numbers.AREAS]


def sample(pattern: str, count: int = 40) -> list[int]:
    return [int(n) for n in Patterns([pattern]).fill(np.zeros(count, np.int64), mix(np.arange(count), 5))]


def test_places_are_filled_within_the_pattern() -> None:
    for number in sample("49151nxx", 400):
        assert str(number).startswith("49151")
        assert len(str(number)) == 8
        assert str(number)[5] >= "2"
    assert len(set(sample("49151xxxxxxx", 400))) > 395


@pytest.mark.parametrize(
    "patterns", [ORDINARY, SERVICES, AREAS, numbers.SATELLITE, numbers.EXOTIC], ids=["abroad", "services", "areas", "satellite", "exotic"]
)
def test_ordinary_numbers_are_valid(patterns: list[str]) -> None:
    bad = {p for p in patterns for n in sample(p) if not phonenumbers.is_valid_number(phonenumbers.parse(f"+{n}"))}
    assert len(patterns) > 2
    assert bad == set()


def test_countries_are_what_the_patterns_say() -> None:
    for country, pair in numbers.COUNTRIES.items():
        for pattern in (*pair[0], *pair[1]):
            region = phonenumbers.region_code_for_number(phonenumbers.parse(f"+{sample(pattern, 1)[0]}"))
            assert region == country, pattern


def test_abused_ranges_cost_more_than_a_call_to_a_neighbour() -> None:
    deck = read_deck(default_deck_text(), home="DE", at_ms=1_765_000_000_000)
    for kind, patterns in numbers.ABUSED.items():
        for pattern in patterns:
            assert deck.look_up(str(sample(pattern, 1)[0])).rate >= 100_000, (kind, pattern)


def test_weights_name_countries_that_have_numbers() -> None:
    for weights in (numbers.EXPATRIATE_HOMES, numbers.OCCASIONAL, numbers.TRADE, numbers.DEAR_HABITS):
        assert set(weights) <= set(numbers.COUNTRIES)
