"""Days as a telephone network knows them: working days and the others, the rhythm of the hours, the two nights when clocks change.

Rhythms are weights a quarter of an hour of local time: the shape of published German access traffic, with a morning and an evening peak, a
dip at noon and a quiet night. The one thing to know: a day is local, so its calls lie between two local midnights in UTC.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

ZONE = ZoneInfo("Europe/Berlin")
QUARTERS = 96
QUARTER_MS = 900_000
DAY_MS = 86_400_000

HOME, OFFICE, NIGHT, EVEN, SHOP = range(5)
"""Rhythms: a household, working hours, machines at night, all around the clock, shops and hotels into the evening."""

_HOURS = {
    HOME: (
        (4, 2, 1, 1, 1, 3, 12, 30, 58, 78, 86, 82, 62, 60, 70, 78, 88, 100, 112, 116, 96, 62, 30, 12),
        (6, 3, 2, 1, 1, 2, 6, 16, 40, 76, 98, 100, 78, 66, 70, 76, 80, 86, 92, 90, 76, 54, 32, 15),
        (7, 4, 2, 1, 1, 2, 5, 12, 30, 66, 96, 98, 66, 60, 78, 86, 88, 92, 104, 106, 86, 58, 30, 12),
    ),
    OFFICE: (
        (1, 1, 1, 1, 1, 4, 14, 52, 104, 128, 132, 122, 70, 96, 120, 116, 92, 54, 24, 10, 5, 3, 2, 1),
        (2, 1, 1, 1, 2, 6, 14, 40, 80, 100, 108, 96, 60, 40, 30, 24, 20, 14, 10, 8, 5, 4, 3, 2),
        (2, 1, 1, 1, 1, 4, 8, 16, 24, 30, 32, 28, 20, 18, 20, 22, 22, 20, 16, 12, 8, 6, 4, 2),
    ),
    NIGHT: ((100, 100, 100, 100, 100, 60, *([8] * 15), 40, 80, 100),) * 3,
    EVEN: ((1,) * 24,) * 3,
    SHOP: ((8, 4, 2, 2, 2, 4, 14, 34, 60, 82, 94, 96, 84, 80, 86, 92, 100, 108, 110, 112, 108, 92, 56, 22),) * 3,
}
_FACTORS = {HOME: (1.0, 0.86, 0.92), OFFICE: (1.24, 0.30, 0.10), NIGHT: (1.0, 1.0, 1.0), EVEN: (1.0, 1.0, 1.0), SHOP: (1.0, 1.1, 0.9)}
"""Calls of a working day, a Saturday, a Sunday or holiday, against an ordinary day's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One local day. `kind` is 0 working day, 1 Saturday, 2 Sunday or holiday."""

    index: int
    date: date
    kind: int
    quarters_ms: npt.NDArray[np.int64]
    """UTC of each quarter of local time; the next midnight is the last of 97."""

    @property
    def start_ms(self) -> int:
        """UTC of the midnight that begins it."""
        return int(self.quarters_ms[0])

    @property
    def end_ms(self) -> int:
        """UTC of the midnight that ends it."""
        return int(self.quarters_ms[-1])

    def at(self, hour: float) -> int:
        """UTC of a local hour, for example 20.25."""
        quarter = min(int(hour * 4), QUARTERS - 1)
        return int(self.quarters_ms[quarter] + (hour * 4 - quarter) * QUARTER_MS)


def days_from(start: date, count: int) -> tuple[Day, ...]:
    """`count` local days."""
    return tuple(_day(place, start + timedelta(days=place)) for place in range(count))


def rhythm(shape: int, kind: int) -> npt.NDArray[np.float64]:
    """Cumulative shares of the 96 quarters, smoothed between the hours."""
    hours = np.asarray(_HOURS[shape][kind], np.float64)
    middles = np.arange(24) * 4 + 1.5
    around = np.concatenate([middles - 96, middles, middles + 96])
    weights = np.interp(np.arange(QUARTERS), around, np.tile(hours, 3))
    shares: npt.NDArray[np.float64] = np.cumsum(weights) / weights.sum()
    return shares


def factor(shape: int, kind: int) -> float:
    """How many calls such a day has, against the mean day."""
    return _FACTORS[shape][kind]


def is_holiday(day: date) -> bool:
    """Holidays of all German states."""
    return (day.month, day.day) in {(1, 1), (5, 1), (10, 3), (12, 25), (12, 26)} or (day - _easter(day.year)).days in {-2, 1, 39, 50}


def _day(index: int, day: date) -> Day:
    kind = 2 if day.weekday() == 6 or is_holiday(day) else 1 if day.weekday() == 5 else 0
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - local time, given its zone below.
    moments = [midnight + timedelta(minutes=15 * quarter) for quarter in range(QUARTERS + 1)]
    # An hour that does not exist in spring lies behind the gap (fold=0), so nothing of it is lost; one that comes twice is its first.
    utc = [int(moment.replace(tzinfo=ZONE).astimezone(UTC).timestamp() * 1000) for moment in moments]
    return Day(index=index, date=day, kind=kind, quarters_ms=np.array(utc, np.int64))


def _easter(year: int) -> date:
    """Gauss, in the form of Meeus and Jones."""
    century, in_century = divmod(year, 100)
    moon = (19 * (year % 19) + century - century // 4 - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    week = (32 + 2 * (century % 4) + 2 * (in_century // 4) - moon - in_century % 4) % 7
    shift = moon + week - 7 * ((year % 19 + 11 * moon + 22 * week) // 451) + 114
    return date(year, shift // 31, shift % 31 + 1)
