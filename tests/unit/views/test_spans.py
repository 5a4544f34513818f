"""Hours and days begin where people live, and cover what was asked."""

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.errors import OperatorError
from ringfence.views.spans import HOUR_MS, MAX_STARTS, starts

BERLIN = ZoneInfo("Europe/Berlin")


def local(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, tz=BERLIN)


@given(st.integers(1_700_000_000_000, 1_800_000_000_000), st.integers(0, 40 * 24 * HOUR_MS))
def test_days_begin_at_local_midnight_and_cover_the_span(since: int, long: int) -> None:
    """Also on days of 23 and 25 hours."""
    edges = starts(BERLIN, since, since + long, days=True)
    assert edges[0] <= since
    assert edges[-1] > since + long
    assert all((local(edge).hour, local(edge).minute) == (0, 0) for edge in edges)
    assert all(23 * HOUR_MS <= end - start <= 25 * HOUR_MS for start, end in pairwise(edges))


@given(st.integers(1_700_000_000_000, 1_800_000_000_000), st.integers(0, 400 * HOUR_MS))
def test_hours_cover_the_span(since: int, long: int) -> None:
    edges = starts(BERLIN, since, since + long, days=False)
    assert edges[0] <= since < edges[1]
    assert edges[-1] > since + long
    assert all(end - start == HOUR_MS for start, end in pairwise(edges))


def test_a_span_without_end_is_refused() -> None:
    with pytest.raises(OperatorError, match="too many hours"):
        starts(BERLIN, 0, (MAX_STARTS + 1) * HOUR_MS, days=False)
