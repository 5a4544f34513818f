"""How values look to a person: times in the operator's zone, money with its unit, numbers grouped. Pure.

Everything here returns text that the templates escape. The one thing to know: a time always comes with `datetime` in UTC and a title that
names the zone, so two people in two countries cannot misread each other.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from ringfence.base.money import show_euro

MINUTE, HOUR, DAY = 60, 3600, 86_400


class Zone:
    """The operator's time zone, as every page shows it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.info = ZoneInfo(name)

    def local(self, at_ms: int) -> datetime:
        """Local time of an instant."""
        return datetime.fromtimestamp(at_ms / 1000, tz=self.info)

    def named(self, at_ms: int) -> str:
        """`CET (Europe/Berlin)`: what the clock on the page means."""
        return f"{self.local(at_ms).tzname()} ({self.name})"

    def clock(self, at_ms: int) -> str:
        """`23:41:07`."""
        return self.local(at_ms).strftime("%H:%M:%S")

    def moment(self, at_ms: int, now_ms: int) -> str:
        """`23:41:07` today, `Sat 21 Nov 23:41` within half a year, else with the year."""
        local, today = self.local(at_ms), self.local(now_ms)
        if local.date() == today.date():
            return local.strftime("%H:%M:%S")
        if abs(now_ms - at_ms) < 180 * DAY * 1000:
            return f"{local:%a} {local.day} {local:%b %H:%M}"
        return f"{local.day} {local:%b %Y %H:%M}"

    def full(self, at_ms: int) -> str:
        """`Sat 21 Nov 2026 23:41:07 CET`."""
        local = self.local(at_ms)
        return f"{local:%a} {local.day} {local:%b %Y %H:%M:%S} {local.tzname()}"

    def parse(self, text: str) -> int:
        """Milliseconds of what a `datetime-local` field holds; ValueError when it is none."""
        return int(datetime.fromisoformat(text).replace(tzinfo=self.info).timestamp() * 1000)


def iso(at_ms: int) -> str:
    """`2026-11-21T22:41:07Z`."""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def span(seconds: float) -> str:
    """A duration in at most two units: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    whole = max(0, round(seconds))
    if whole < 2 * MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min"
    if whole < DAY:
        hours, minutes = divmod(whole // MINUTE, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(whole // HOUR, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def euro(amount_micro: int) -> str:
    """`EUR 12.34`."""
    return show_euro(amount_micro)


def grouped(value: float) -> str:
    """`1,234` or `12.3`: whole numbers grouped, small fractions with one place."""
    if isinstance(value, int) or value >= 100 or value == int(value):
        return f"{round(value):,}"
    return f"{value:.1f}"


def number(digits: str) -> str:
    """An E.164 number with its plus; anything else as it came."""
    return f"+{digits}" if digits.isascii() and digits.isdigit() else digits
