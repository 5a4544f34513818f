"""Signals over time as columns: what a value was in each hour or day. Pure; numbers for templates, never markup.

A chart has a title, a sentence for ears and a table that says the same. Positions are percent of the width and pixels of the height. The
one thing to know: buckets without a value are there too, so that a quiet night looks quiet.
"""

import bisect
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

HOUR_MS = 3_600_000
HEIGHT = 96
FOOT = 20
MAX_TICKS = 6
LEAST_PIXELS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One bucket. `x` and `width` in percent, `y` and `height` in pixels; `path` leads to what it is made of."""

    at_ms: int
    until_ms: int
    x: float
    width: float
    y: float
    height: float
    text: str
    value: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A named place of the axis, in percent."""

    x: float
    at_ms: int
    anchor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """The whole picture."""

    key: str
    title: str
    columns: tuple[Column, ...]
    labels: tuple[Label, ...]
    top: str
    total: str
    days: bool
    every: str
    """What a column stands for: `a day`, `an hour`, `in 5 minutes`."""
    height: int = HEIGHT + FOOT
    base: int = HEIGHT

    @property
    def filled(self) -> tuple[Column, ...]:
        """Buckets that hold something, newest first: the rows of the table."""
        return tuple(column for column in reversed(self.columns) if column.value)


def chart(
    key: str,
    title: str,
    values: Mapping[int, int],
    edges: Sequence[int],
    *,
    show: Callable[[int], str],
    path: Callable[[int, int], str] = lambda _start, _end: "",
) -> Chart:
    """Columns of the buckets between `edges` (ascending, one more than buckets); `values` by a bucket's start."""
    count = max(1, len(edges) - 1)
    top = max([values.get(start, 0) for start in edges[:-1]] or [0])
    width, step = 100 / count, edges[1] - edges[0] if len(edges) > 1 else HOUR_MS
    every = -(-count // MAX_TICKS)
    columns = tuple(
        _column(start, end, values.get(start, 0), top, place * width, width, show, path)
        for place, (start, end) in enumerate(itertools.pairwise(edges))
    )
    labels = tuple(
        Label(x=round(columns[place].x, 2), at_ms=columns[place].at_ms, anchor="start") for place in range(0, len(columns), every)
    )
    return Chart(
        key=key,
        title=title,
        columns=columns,
        labels=labels,
        top=show(top),
        total=show(sum(column.value for column in columns)),
        days=step > 4 * HOUR_MS,
        every="a day" if step > 4 * HOUR_MS else "an hour" if step == HOUR_MS else f"in {step // 60_000} minutes",
    )


def _column(
    start: int, end: int, value: int, top: int, x: float, width: float, show: Callable[[int], str], path: Callable[[int, int], str]
) -> Column:
    height = max((HEIGHT - 14) * value / top, LEAST_PIXELS) if value and top else 0.0
    return Column(
        at_ms=start,
        until_ms=end,
        x=round(x + width * 0.1, 3),
        width=round(width * 0.8, 3),
        y=round(HEIGHT - height, 1),
        height=round(height, 1),
        text=show(value),
        value=value,
        path=path(start, end) if value else "",
    )


def counted_in(moments: Sequence[int], edges: Sequence[int]) -> dict[int, int]:
    """How many of the moments lie in each bucket, by the bucket's start."""
    found: dict[int, int] = {}
    for moment in moments:
        place = bisect.bisect_right(edges, moment) - 1
        if 0 <= place < len(edges) - 1:
            found[edges[place]] = found.get(edges[place], 0) + 1
    return found
