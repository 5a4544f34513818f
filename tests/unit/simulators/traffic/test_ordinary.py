"""Ordinary traffic has the size and the rhythm of a German access operator's, and no label."""

from datetime import date

import numpy as np
import pytest

from ringfence.simulators.traffic.calendar import Day, days_from
from ringfence.simulators.traffic.columns import IN, Calls
from ringfence.simulators.traffic.ordinary import calls_of_day
from ringfence.simulators.traffic.population import Life, Population, people
from ringfence.telephony.decks import default_deck_text
from ringfence.telephony.rates import read_deck

ACCOUNTS = 30_000
START = date(2025, 12, 29)
MONDAY, TUESDAY, NEW_YEARS_EVE, NEW_YEAR, FRIDAY, SATURDAY, SUNDAY = range(7)


@pytest.fixture(scope="module")
def days() -> tuple[Day, ...]:
    return days_from(START, 7)


@pytest.fixture(scope="module")
def who(days: tuple[Day, ...]) -> Population:
    return people(ACCOUNTS, seed=11, days=7, first_ms=days[0].start_ms)


@pytest.fixture(scope="module")
def week(who: Population, days: tuple[Day, ...]) -> list[Calls]:
    return [calls_of_day(who, day, seed=11) for day in days]


def outgoing(calls: Calls) -> Calls:
    return calls.take(calls.direction != IN)


def test_a_week_is_a_quarter_of_333_million_calls_of_8_million_accounts(week: list[Calls]) -> None:
    """1.39 answered calls an account and day, three minutes each; holidays in this week take some off."""
    working = outgoing(Calls.joined([week[MONDAY], week[TUESDAY], week[FRIDAY]]))
    answered = working.talk_ms >= 0
    assert 1.2 < answered.sum() / ACCOUNTS / 3 < 2.3
    assert 0.58 < answered.mean() < 0.74
    assert 2.4 < working.talk_ms[answered].mean() / 60_000 < 3.6
    assert np.median(working.talk_ms[answered]) < 0.5 * working.talk_ms[answered].mean()


def test_weekends_are_quieter(week: list[Calls]) -> None:
    assert week[SATURDAY].length < 0.7 * week[MONDAY].length
    assert week[SUNDAY].length < 0.65 * week[MONDAY].length


def test_the_day_has_two_peaks_and_a_dip_at_noon(week: list[Calls], days: tuple[Day, ...]) -> None:
    calls = outgoing(week[TUESDAY])
    hours = np.bincount((calls.started_ms - days[TUESDAY].start_ms) // 3_600_000, minlength=24) / calls.length
    assert hours[12] < 0.9 * hours[10]
    assert hours[12] < hours[14]
    assert hours[2:5].sum() < 0.02
    assert hours[8:20].sum() > 0.8


def test_destinations_are_mixed_as_everywhere(week: list[Calls]) -> None:
    deck = read_deck(default_deck_text(), home="DE", at_ms=1_765_000_000_000)
    calls = outgoing(week[TUESDAY])
    known, counts = np.unique(calls.callee, return_counts=True)
    classes = np.array([int(deck.look_up(str(number)).destination_class) if number > 1_000_000 else 0 for number in known.tolist()])
    share = np.bincount(classes, weights=counts, minlength=6) / calls.length
    assert 0.90 < share[1] < 0.96
    assert 0.015 < share[3:].sum() < 0.045
    assert share[5] < 0.002
    mobile = ((calls.callee // 10**9 == 4915) | (calls.callee // 10**8 == 49_16) | (calls.callee // 10**8 == 4917)).mean()
    assert mobile > 0.1


def test_rows_are_sorted_within_their_day_and_unlabelled(week: list[Calls], days: tuple[Day, ...]) -> None:
    for calls, day in zip(week, days, strict=True):
        assert (np.diff(calls.started_ms) >= 0).all()
        assert day.start_ms <= calls.started_ms[0]
        assert calls.started_ms[-1] < day.end_ms
        assert (calls.case == -1).all()
        assert len(np.unique(calls.call_id)) == calls.length
        assert ((calls.talk_ms >= 0) == (calls.status == 200)).all()
        assert (calls.ring_ms >= 0).all()


def test_a_household_talks_on_one_line_at_a_time(who: Population, week: list[Calls]) -> None:
    calls = week[MONDAY]
    quiet = ~(who.nomad | (who.forwards > 0) | (who.away_from >= 0)) & (who.channels <= 2)
    calls = calls.take(np.isin(calls.account, who.number[quiet]) & (calls.direction == 0))
    calls = calls.take(np.lexsort((calls.started_ms, calls.account)))
    ends = calls.started_ms + calls.ring_ms + np.maximum(calls.talk_ms, 0)
    same = calls.account[1:] == calls.account[:-1]
    assert same.sum() > 5_000
    assert (calls.started_ms[1:][same] >= ends[:-1][same]).all()


def test_people_call_the_same_people_again(who: Population, week: list[Calls]) -> None:
    calls = outgoing(Calls.joined(week))
    old = calls.take(np.isin(calls.account, who.number[who.life == Life.ELDERLY]))
    pairs = np.unique(np.stack([old.account, old.callee]), axis=1).shape[1]
    assert pairs < 0.75 * old.length


def test_expatriates_call_one_country_in_the_evening(who: Population, week: list[Calls], days: tuple[Day, ...]) -> None:
    calls = outgoing(week[TUESDAY])
    theirs = calls.take(np.isin(calls.account, who.number[who.life == Life.EXPATRIATE]))
    abroad = theirs.take((theirs.callee > 10**9) & (theirs.callee.astype(str).astype("U2") != "49"))
    assert abroad.length > 500
    hour = (abroad.started_ms - days[TUESDAY].start_ms) / 3_600_000
    assert ((hour > 16) & (hour < 23)).mean() > 0.45
    answered = abroad.talk_ms[abroad.talk_ms >= 0] / 60_000
    assert 3 < np.median(answered) < 12


def test_alarm_lines_call_their_station_for_half_a_minute(who: Population, week: list[Calls]) -> None:
    calls = outgoing(Calls.joined(week))
    alarms = calls.take(np.isin(calls.account, who.number[(who.life == Life.ALARM_LINE) & (who.since_day <= 0)]) & (calls.direction == 0))
    assert alarms.length > 7 * (who.life == Life.ALARM_LINE).sum() * 0.8
    assert (alarms.talk_ms < 60_000).all()
    one = alarms.account[0]
    assert len(np.unique(alarms.callee[alarms.account == one])) == 1


def test_call_centres_call_thousands_of_numbers(who: Population, week: list[Calls]) -> None:
    centre = who.number[who.life == Life.CALL_CENTRE][0]
    calls = week[MONDAY].take(week[MONDAY].account == centre)
    assert calls.length > 1_500
    assert len(np.unique(calls.callee)) > 0.6 * calls.length


def test_new_year_s_eve_is_loudest_after_midnight(week: list[Calls], days: tuple[Day, ...]) -> None:
    def first_hour(place: int) -> int:
        return int((outgoing(week[place]).started_ms < days[place].start_ms + 3_600_000).sum())

    assert first_hour(NEW_YEAR) > 20 * first_hour(TUESDAY)


def test_saturday_evening_votes(week: list[Calls]) -> None:
    assert (week[SATURDAY].callee // 1_000_000 == 491_378).sum() > 50
    assert (week[MONDAY].callee // 1_000_000 == 491_378).sum() == 0


def test_a_day_does_not_depend_on_the_days_before(who: Population, week: list[Calls], days: tuple[Day, ...]) -> None:
    again = calls_of_day(who, days[FRIDAY], seed=11)
    assert (again.call_id == week[FRIDAY].call_id).all()
    assert (again.callee == week[FRIDAY].callee).all()
