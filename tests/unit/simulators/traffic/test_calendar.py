from datetime import UTC, date, datetime
from itertools import pairwise

import numpy as np
import pytest

from ringfence.simulators.traffic.calendar import HOME, OFFICE, days_from, factor, is_holiday, rhythm


@pytest.mark.parametrize(
    "day", [date(2025, 12, 25), date(2026, 1, 1), date(2026, 4, 3), date(2026, 4, 6), date(2025, 6, 9), date(2024, 5, 9)]
)
def test_holidays(day: date) -> None:
    assert is_holiday(day)


def test_other_days_are_none() -> None:
    assert not any(is_holiday(date(2026, 2, day)) for day in range(1, 29))


def test_days_meet_at_local_midnight() -> None:
    days = days_from(date(2026, 3, 27), 5)
    assert days[0].start_ms == datetime(2026, 3, 26, 23, tzinfo=UTC).timestamp() * 1000
    assert all(one.end_ms == other.start_ms for one, other in pairwise(days))
    assert [day.kind for day in days] == [0, 1, 2, 0, 0]


@pytest.mark.parametrize(("start", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 2, 1), 24)])
def test_nights_of_the_clock_change(start: date, hours: int) -> None:
    (day,) = days_from(start, 1)
    assert (day.end_ms - day.start_ms) / 3_600_000 == hours
    assert day.at(12) == int(datetime(start.year, start.month, start.day, 10 if hours == 23 else 11, tzinfo=UTC).timestamp() * 1000)


def test_rhythm_has_a_noon_dip_and_a_quiet_night() -> None:
    shares = np.diff(rhythm(OFFICE, 0), prepend=0)
    hours = shares.reshape(24, 4).sum(axis=1)
    assert hours[12] < 0.75 * hours[10]
    assert hours[12] < 0.85 * hours[14]
    assert hours[3] < 0.02
    assert rhythm(HOME, 2)[-1] == pytest.approx(1)
    assert factor(OFFICE, 2) < 0.2 < factor(HOME, 2)
