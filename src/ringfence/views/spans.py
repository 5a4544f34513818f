"""Hours and days as people mean them: they begin where the operator lives, so a day may have 23 or 25 hours. Pure."""

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from ringfence.base.errors import OperatorError

MAX_STARTS: Final = 10_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS


def starts(zone: ZoneInfo, since_ms: int, until_ms: int, *, days: bool) -> tuple[int, ...]:
    """Starts (Unix ms) of the local hours or days that cover a span, and the end of the last. OperatorError beyond `MAX_STARTS`."""
    if (until_ms - since_ms) / (DAY_MS if days else HOUR_MS) > MAX_STARTS:
        raise OperatorError("that span has too many hours; ask for days, or for a shorter span", reason="wide_span")
    local = datetime.fromtimestamp(since_ms / 1000, tz=zone).replace(minute=0, second=0, microsecond=0)
    found: list[int] = []
    if not days:
        first = round(local.timestamp() * 1000)
        first -= HOUR_MS if first > since_ms else 0
        return tuple(range(first, max(until_ms, since_ms) + HOUR_MS + 1, HOUR_MS))
    local = local.replace(hour=0)
    while True:
        found.append(round(local.timestamp() * 1000))
        if found[-1] > until_ms:
            return tuple(found)
        local += timedelta(days=1)  # On the wall clock: a day of 23 or 25 hours is one day.
