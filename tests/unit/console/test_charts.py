"""Columns over time: a quiet hour is there, the highest column is the highest, nothing is counted outside its bucket."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ringfence.apps.console.charts import HEIGHT, HOUR_MS, chart, counted_in


def test_every_bucket_has_its_column_and_the_table_names_the_filled_ones() -> None:
    edges = [HOUR_MS * place for place in range(5)]
    picture = chart("k", "Calls", {0: 10, 2 * HOUR_MS: 5}, edges, show=str, path=lambda start, end: f"/{start}-{end}")
    assert [(column.at_ms, column.value) for column in picture.columns] == [(0, 10), (HOUR_MS, 0), (2 * HOUR_MS, 5), (3 * HOUR_MS, 0)]
    assert [column.path for column in picture.filled] == [f"/{2 * HOUR_MS}-{3 * HOUR_MS}", f"/0-{HOUR_MS}"]
    assert (picture.total, picture.top, picture.every) == ("15", "10", "an hour")
    assert picture.columns[0].height == 2 * picture.columns[2].height <= HEIGHT
    assert picture.columns[1].height == 0


def test_nothing_to_draw_is_no_fault() -> None:
    assert chart("k", "Calls", {}, [], show=str).columns == ()
    assert chart("k", "Calls", {}, [0, HOUR_MS], show=str).filled == ()


@given(st.lists(st.integers(-HOUR_MS, 6 * HOUR_MS)))
def test_moments_are_counted_in_their_bucket(moments: list[int]) -> None:
    edges = [HOUR_MS * place for place in range(6)]
    naive = {start: n for start, end in pairwise(edges) if (n := sum(start <= moment < end for moment in moments))}
    assert counted_in(moments, edges) == naive
