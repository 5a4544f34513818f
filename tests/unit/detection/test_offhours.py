"""Nights, weekends and holidays, across clock changes."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.base.errors import OperatorError
from ringfence.detection.offhours import compile_off_hours, occasion
from ringfence.detection.public_holidays import public_holidays

BERLIN = ZoneInfo("Europe/Berlin")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("at", "why"),
    [
        ("2026-09-22T12:00:00+02:00", ""),
        ("2026-09-22T21:59:59.999+02:00", ""),
        ("2026-09-22T22:00:00+02:00", "at night"),
        ("2026-09-23T05:59:59.999+02:00", "at night"),
        ("2026-09-23T06:00:00+02:00", ""),
        ("2026-09-26T12:00:00+02:00", "at the weekend"),
        ("2026-12-25T12:00:00+01:00", "on a public holiday"),
        ("2026-10-25T02:30:00+01:00", "at night"),
    ],
)
def test_occasions(at: str, why: str) -> None:
    assert occasion(ms(at), ("2026-12-25",), BERLIN) == why


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(["Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "UTC"]),
    st.lists(st.integers(0, 400 * 86_400), min_size=1, max_size=50),
)
def test_the_compiled_list_says_the_same_as_the_wall_clock(zone: str, seconds: list[int]) -> None:
    start = ms("2026-01-01T00:00:00+00:00")
    words = compile_off_hours(("2026-12-25",), ZoneInfo(zone), start, start + 400 * 86_400_000)
    assert np.all(np.diff(words >> 1) > 0)
    assert np.all(np.diff(words & 1) != 0)
    for second in seconds:
        at = start + second * 1_000
        place = int(np.searchsorted(words >> 1, at, side="right")) - 1
        assert bool(words[place] & 1) == bool(occasion(at, ("2026-12-25",), ZoneInfo(zone)))


def test_the_nights_of_the_clock_changes_have_seven_and_nine_hours() -> None:
    words = compile_off_hours((), BERLIN, ms("2026-03-01T00:00:00+00:00"), ms("2026-12-01T00:00:00+00:00"))
    ends = {int(word >> 1): int(before >> 1) for before, word in pairwise(words) if not word & 1}
    assert ms("2026-03-30T06:00:00+02:00") in ends, "the weekend of the change ends on Monday at six"
    assert datetime.fromtimestamp(ends[ms("2026-03-30T06:00:00+02:00")] / 1000, UTC) == datetime(2026, 3, 27, 21, tzinfo=UTC)


def test_public_holidays() -> None:
    days = public_holidays("DE", "BE", (2026,))
    assert "2026-12-25" in days
    assert "2026-03-08" in days
    assert "2026-03-08" not in public_holidays("DE", "", (2026,))
    with pytest.raises(OperatorError, match="XX"):
        public_holidays("XX", "", (2026,))
