"""What a call shows as its source is what the account registered from last."""

from datetime import date

import numpy as np
import pytest

from ringfence.simulators.traffic import sources
from ringfence.simulators.traffic.calendar import Day, days_from
from ringfence.simulators.traffic.columns import Calls, Registrations
from ringfence.simulators.traffic.lines import registrations_of_day
from ringfence.simulators.traffic.ordinary import calls_of_day
from ringfence.simulators.traffic.population import Population, people

ACCOUNTS = 12_000


@pytest.fixture(scope="module")
def days() -> tuple[Day, ...]:
    return days_from(date(2026, 3, 27), 4)


@pytest.fixture(scope="module")
def who(days: tuple[Day, ...]) -> Population:
    return people(ACCOUNTS, seed=5, days=4, first_ms=days[0].start_ms)


@pytest.fixture(scope="module")
def registrations(who: Population, days: tuple[Day, ...]) -> Registrations:
    return Registrations.joined([registrations_of_day(who, day, seed=5) for day in days])


def test_rows_are_in_order_of_time(registrations: Registrations) -> None:
    assert (np.diff(registrations.at_ms) >= 0).all()
    assert set(np.unique(registrations.status).tolist()) == {200, 401, 403}


def test_everybody_registers_once_and_a_third_changes_address_each_night(registrations: Registrations, days: tuple[Day, ...]) -> None:
    first = registrations.at_ms < days[0].start_ms + 1_800_000
    assert len(np.unique(registrations.account[first])) > 0.98 * ACCOUNTS
    night = (registrations.at_ms >= days[2].at(1)) & (registrations.at_ms < days[2].at(6)) & (registrations.status == 200)
    assert 0.22 < len(np.unique(registrations.account[night])) / ACCOUNTS < 0.5


def test_calls_come_from_where_the_line_registered_last(who: Population, days: tuple[Day, ...], registrations: Registrations) -> None:
    plain = who.number[~who.nomad & (who.away_from < 0)]
    calls = Calls.joined([calls_of_day(who, day, seed=5) for day in days[1:]])
    calls = calls.take(np.isin(calls.account, plain) & (calls.direction == 0))
    good = registrations.take((registrations.status == 200) & np.isin(registrations.account, plain))
    good = good.take(np.lexsort((good.at_ms, good.account)))
    # Two sorted keys in one: account in the high bits, minutes of time below.
    base = days[0].start_ms
    key = good.account * 2**20 + (good.at_ms - base) // 1_000
    place = np.searchsorted(key, calls.account * 2**20 + (calls.started_ms - base) // 1_000, side="right") - 1
    assert (good.account[place] == calls.account).mean() > 0.99
    same = (good.source[place] == calls.source) & (good.user_agent[place] == calls.user_agent)
    # A call in the seconds between a new address and its registration is the exception.
    assert same.mean() > 0.998


def test_own_lines_are_in_own_networks_or_on_a_mobile_link(who: Population, days: tuple[Day, ...]) -> None:
    calls = calls_of_day(who, days[0], seed=5)
    calls = calls.take(np.isin(calls.account, who.number[~who.nomad & (who.away_from < 0)]) & (calls.direction == 0))
    own = (*sources.OWN_POOLS, sources.STATIC_POOL, sources.CGNAT_POOL)
    inside = np.any([(calls.source >= block.first) & (calls.source < block.first + block.size) for block in own], axis=0)
    mobile = np.any([(calls.source >= block.first) & (calls.source < block.first + block.size) for block in sources.MOBILE_HOME], axis=0)
    assert (inside | mobile).all()
    assert 0 < mobile.mean() < 0.01


def test_travellers_register_abroad(who: Population, registrations: Registrations) -> None:
    travellers = registrations.take(np.isin(registrations.account, who.number[who.away_from >= 0]))
    abroad = [block for blocks in sources.LINES_ABROAD.values() for block in blocks]
    outside = np.any([(travellers.source >= block.first) & (travellers.source < block.first + block.size) for block in abroad], axis=0)
    assert outside.sum() > 50
    assert (travellers.user_agent[outside] >= sources.FIRST_SOFTPHONE).all()
    assert (travellers.user_agent[outside] < sources.FIRST_SCANNER).all()
