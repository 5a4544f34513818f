"""Nights, weekends and public holidays as a list of instants, in the operator's time zone and right across its clock changes.

The kernel asks "is it off hours at this instant, and until when"; here the answer is compiled. Wall time is turned into instants day by
day, so a night has seven or nine hours when the clocks change.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np

from ringfence.detection.layout import DAY
from ringfence.detection.tables import Words

NIGHT_BEGINS = 22
NIGHT_ENDS = 6
MARGIN_DAYS = 40
"""Compiled before and after what is asked for."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_YEARS = 60


def compile_off_hours(days: Iterable[str], zone: ZoneInfo, from_ms: int, until_ms: int) -> Words:
    """Transitions between `from_ms` and `until_ms` and some weeks around: words of `instant_ms * 2 + flag`, ascending, first at 0.

    `days` are public holidays as `2026-12-25`. Spans beyond sixty years are cut at the end.
    """
    holidays = {date.fromisoformat(day) for day in days}
    first = _local_day(from_ms, zone) - timedelta(days=MARGIN_DAYS)
    last = min(_local_day(until_ms, zone) + timedelta(days=MARGIN_DAYS), first + timedelta(days=366 * MAX_YEARS))
    edges: list[tuple[int, int]] = [(0, 0)]
    day = first
    while day <= last:
        edges.append((_instant(day, 0, zone), 1))
        if day.weekday() < 5 and day not in holidays:
            edges += [(_instant(day, NIGHT_ENDS, zone), 0), (_instant(day, NIGHT_BEGINS, zone), 1)]
        day += timedelta(days=1)
    kept = [edges[0], *(after for before, after in pairwise(edges) if after[1] != before[1])]
    return np.array([instant * 2 + flag for instant, flag in kept], np.int64)


def compile_local_time(zone: ZoneInfo, from_ms: int, until_ms: int) -> Words:
    """Changes of local time in the same span: words of `(instant_ms << 18) | (seconds east of UTC + 131072)`, ascending, first at 0."""
    day = datetime.combine(_local_day(from_ms, zone) - timedelta(days=MARGIN_DAYS), time(0), tzinfo=UTC)
    last = min(_local_day(until_ms, zone) + timedelta(days=MARGIN_DAYS), day.date() + timedelta(days=366 * MAX_YEARS))
    east = _seconds_east(day, zone)
    words = [east + 131_072]
    while day.date() <= last:
        following = day + timedelta(days=1)
        if _seconds_east(following, zone) != east:
            low, high = 0, 86_400  # the change lies after `low` and not after `high` seconds of this day
            while high - low > 1:
                middle = (low + high) // 2
                if _seconds_east(day + timedelta(seconds=middle), zone) == east:
                    low = middle
                else:
                    high = middle
            east = _seconds_east(following, zone)
            words.append((((day - EPOCH) // timedelta(milliseconds=1) + high * 1_000) << 18) | (east + 131_072))
        day = following
    return np.array(words, np.int64)


def month_end(month_ms: int, zone: ZoneInfo) -> int:
    """When a billing month is over that began at an instant: the same local day of the next month, or its last day."""
    begin = (EPOCH + timedelta(milliseconds=month_ms)).astimezone(zone)
    year, month = begin.year + begin.month // 12, begin.month % 12 + 1
    following = date(year + month // 12, month % 12 + 1, 1)
    end = datetime.combine(min(date(year, month, 1) + timedelta(days=begin.day - 1), following - timedelta(days=1)), begin.time(), zone)
    return (end.astimezone(UTC) - EPOCH) // timedelta(milliseconds=1)


def occasion(at_ms: int, days: Iterable[str], zone: ZoneInfo) -> str:
    """Why limits are lower at an instant, for sentences: `at night`, `at the weekend`, `on a public holiday` or nothing."""
    local = (EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone)
    if local.date().isoformat() in set(days):
        return "on a public holiday"
    if local.hour < NIGHT_ENDS or local.hour >= NIGHT_BEGINS:
        return "at night"
    return "at the weekend" if local.weekday() >= 5 else ""


def _local_day(at_ms: int, zone: ZoneInfo) -> date:
    return (EPOCH + timedelta(milliseconds=max(at_ms, MARGIN_DAYS * 2 * DAY))).astimezone(zone).date()


def _instant(day: date, hour: int, zone: ZoneInfo) -> int:
    local = datetime.combine(day, time(hour), tzinfo=zone)
    return (local.astimezone(UTC) - EPOCH) // timedelta(milliseconds=1)


def _seconds_east(instant: datetime, zone: ZoneInfo) -> int:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())
