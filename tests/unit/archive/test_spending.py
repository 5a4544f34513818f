"""What accounts spend: whole local days, exact quarters of an hour, statistics against a naive count."""

from datetime import date, timedelta
from pathlib import Path
from statistics import median_low
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.archive.spending import Spending, local_day, median_and_mad, midnight_ms
from ringfence.telephony.control import AccountBaseline
from ringfence.telephony.model import AccountRow, Flag, Kind
from tests.unit.archive.test_calls import filled, row

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
TODAY = date(2025, 11, 24)  # a Monday


def call(day: date, hour: float, minutes: float, *, call: str, key: int = 64, cents: int = 60, **more: object) -> AccountRow:
    """A finished call answered at a local hour; the price is cents a minute."""
    answered = midnight_ms(day, BERLIN) + int(hour * HOUR)
    ended = answered + int(minutes * MINUTE)
    fields: dict[str, object] = {"answered_ms": answered, "ended_ms": ended, "account_key": key, "slot": key & 1023, "rate": cents * 10_000}
    return row(Kind.END, ended, call, f"u{key}", **(fields | {"connect_micro": 0} | more))


def spent(folder: Path, *rows: AccountRow, today: date = TODAY) -> dict[int, AccountBaseline]:
    filled(folder, *rows).close()
    spending = Spending(folder, zone=BERLIN)
    for day in spending.missing(today):
        spending.add_day(day)
    assert spending.missing(today) == []
    slots = list(spending.baselines(today))
    spending.close()
    assert [each.slot for each in slots] == list(range(1024))
    return {account.account_key: account for each in slots for account in each.accounts}


def test_months_countries_and_the_days_of_an_account(tmp_path: Path) -> None:
    rows = [call(TODAY - timedelta(days=n), 20, 10, call=f"c{n}") for n in range(1, 85)]
    rows.append(call(TODAY - timedelta(days=3), 9, 1, call="dear", connect_micro=500_000, country=7, destination_class=5))
    rows.append(call(TODAY, 9, 100, call="today"))
    found = spent(tmp_path, *rows)[64]
    assert found.month_micro == 23 * 6_000_000 + 600_000 + 500_000
    assert found.highest_month_micro == 31 * 6_000_000  # October
    assert (found.day_median_micro, found.day_mad_micro) == (6_000_000, 0)
    assert found.countries == (7, 0x534C)
    # Ten minutes of twelve Mondays' 20 o'clock are one quarter of four: not more often than not.
    assert found.bins == ()


def test_an_hour_that_is_ordinary_has_its_median_and_spread(tmp_path: Path) -> None:
    rows = [call(TODAY - timedelta(days=7 * n), 19, 60, call=f"c{n}", cents=10 if n % 2 else 20) for n in range(1, 13)]
    found = spent(tmp_path, *rows)[64]
    # Mondays, 19 o'clock: 48 quarters, half of them at 1.50 EUR, half at 3.00 EUR.
    assert found.bins == ((19, 1_500_000, 0),)
    assert found.highest_month_micro == 2 * 6_000_000 + 3 * 12_000_000  # September has five Mondays


def test_what_does_not_count(tmp_path: Path) -> None:
    day = TODAY - timedelta(days=1)
    rows = [
        call(day, 9, 10, call="cheap", destination_class=1),
        call(day, 10, 10, call="strange", flags=int(Flag.UNKEYED)),
        call(day, 11, 0, call="unanswered", answered_ms=0),
        row(Kind.ATTEMPT, midnight_ms(day, BERLIN) + 12 * HOUR, "running", "u64", account_key=64, slot=64),
    ]
    assert spent(tmp_path, *rows) == {}


def test_a_repeated_end_counts_once_and_a_call_over_midnight_belongs_to_the_day_of_its_end(tmp_path: Path) -> None:
    day = date(2025, 11, 1)
    one = call(day - timedelta(days=1), 23.5, 60, call="late", cents=10)
    found = spent(tmp_path, one, one, today=date(2025, 11, 3))[64]
    assert (found.month_micro, found.highest_month_micro) == (6_000_000, 0)


@pytest.mark.parametrize(("night", "hours"), [(date(2025, 10, 26), 25), (date(2025, 3, 30), 23)])
def test_a_night_of_the_clock_change_has_its_hours(tmp_path: Path, night: date, hours: int) -> None:
    assert midnight_ms(night + timedelta(days=1), BERLIN) - midnight_ms(night, BERLIN) == hours * HOUR
    # Sunday 22 o'clock by the clock on the wall, the change included.
    late = midnight_ms(night + timedelta(days=1), BERLIN) - 2 * HOUR
    rows = [call(night - timedelta(days=7 * n), 22, 60, call=f"c{n}") for n in range(1, 12)]
    rows.append(row(Kind.END, late + HOUR, "that", "u64", account_key=64, slot=64, answered_ms=late, ended_ms=late + HOUR, connect_micro=0))
    found = spent(tmp_path, *rows, today=night + timedelta(days=2))[64]
    assert [each[0] for each in found.bins] == [6 * 24 + 22]


def test_history_says_what_the_archive_can_tell_of(tmp_path: Path) -> None:
    filled(tmp_path, call(TODAY - timedelta(days=3), 9, 1, call="c")).close()
    spending = Spending(tmp_path, zone=BERLIN)
    assert spending.history(TODAY) is None
    for day in spending.missing(TODAY):
        spending.add_day(day)
    history = spending.history(TODAY)
    assert history is not None
    assert local_day(history.since_ms, BERLIN) == TODAY - timedelta(days=3)
    assert (history.month_ms, history.until_ms) == (midnight_ms(date(2025, 11, 1), BERLIN), midnight_ms(TODAY, BERLIN))
    spending.expire(TODAY + timedelta(days=400))
    assert spending.history(TODAY) is None


def test_a_quiet_day_is_added_up_once(tmp_path: Path) -> None:
    rows = [call(TODAY - timedelta(days=n), 9, 1, call=f"c{n}") for n in (1, 4)]
    filled(tmp_path, *rows).close()
    spending = Spending(tmp_path, zone=BERLIN)
    assert [spending.add_day(day) for day in spending.missing(TODAY)] == [1, 0, 0, 1]
    assert spending.missing(TODAY) == []


@given(st.lists(st.integers(1, 10**9), max_size=30), st.integers(0, 40))
def test_median_and_mad_are_those_of_all_samples(spent_micro: list[int], zeros: int) -> None:
    if not spent_micro and not zeros:
        return
    everything = [0] * zeros + spent_micro
    median = median_low(everything)
    assert median_and_mad(sorted(spent_micro), len(everything)) == (median, median_low([abs(each - median) for each in everything]))
