from dataclasses import fields

import numpy as np
import pytest

from ringfence.simulators.traffic import population
from ringfence.simulators.traffic.population import Life, hard_lives, people

FIRST_MS = 1_765_148_400_000


@pytest.fixture(scope="module")
def who() -> population.Population:
    return people(40_000, seed=3, days=30, first_ms=FIRST_MS)


def test_the_same_seed_makes_the_same_people(who: population.Population) -> None:
    again = people(40_000, seed=3, days=30, first_ms=FIRST_MS)
    for field in fields(who):
        assert (getattr(who, field.name) == getattr(again, field.name)).all(), field.name
    assert (people(40_000, seed=4, days=30, first_ms=FIRST_MS).rate != who.rate).any()


def test_every_number_is_somebody_s_own(who: population.Population) -> None:
    assert len(np.unique(who.number)) == who.length
    trunks = np.sort(who.number[who.segment == population.TRUNK])
    assert len(trunks) > 50
    # The extensions of an exchange are nobody else's number.
    after = np.sort(who.number)[np.minimum(np.searchsorted(np.sort(who.number), trunks) + 1, who.length - 1)]
    assert ((after == trunks) | (after >= trunks + 100) | (after < trunks)).all()


def test_most_are_households_and_a_third_is_idle(who: population.Population) -> None:
    shares = np.bincount(who.segment, minlength=3) / who.length
    assert 0.90 < shares[0] < 0.95
    assert 0.05 < shares[1] < 0.08
    assert 0.25 < (who.life == Life.IDLE).mean() < 0.35
    assert (who.channels[who.life == Life.PRACTICE] == 4).all()
    centres = who.channels[who.life == Life.CALL_CENTRE]
    assert len(centres) >= 1
    assert ((centres >= 30) & (centres <= 100)).all()


def test_calls_are_heavy_tailed(who: population.Population) -> None:
    rates = np.sort(who.rate)[::-1]
    assert rates[: who.length // 10].sum() > 0.5 * rates.sum()
    assert np.median(rates) < 0.5 * rates.mean()


@pytest.mark.parametrize("count", [500, 40_000])
def test_every_hard_life_is_there(count: int) -> None:
    lives = hard_lives(people(count, seed=3, days=30, first_ms=FIRST_MS))
    wanted = {"expatriate", "practice", "alarm_line", "hotel", "call_shop", "relief", "exporter"}
    wanted |= (
        {"call_centre", "device_swap", "traveller", "nomad", "new_customer", "forwards_home", "forwards_abroad"} if count > 500 else set()
    )
    assert {life for life, places in lives.items() if len(places)} >= wanted
