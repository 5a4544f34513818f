"""What the rules of OpenSIPS' module fraud_detection would have said about the same calls: the free software a user would pick instead.

A model of `modules/fraud_detection` (fraud_detection.c, frd_stats.h; version 3), written from its behaviour: counters per user and prefix
rule, a ring of sixty seconds, all of them reset when another rule matches or the day changes, sequential calls are calls to the same number
again, a call's duration is judged when it ends, and only the first threshold that is exceeded is said. Thresholds and hours are those of
the module's own tutorial. One thing is in its favour: each country is a rule's prefix, and every call that gets "critical" is refused.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

Level = Literal["", "warning", "critical"]
RING: Final = 60


@dataclass(frozen=True, slots=True)
class Limits:
    """A rule's thresholds, `(warning, critical)`: calls a minute, calls, at the same time, in a row; duration in seconds."""

    cpm: tuple[int, int]
    total: tuple[int, int]
    concurrent: tuple[int, int]
    sequential: tuple[int, int]
    duration: tuple[int, int]


# The tutorial's table (opensips.org, Tutorials-FraudDetection): working hours, evening, night, weekend.
TUTORIAL: Final = (
    Limits((3, 5), (16, 35), (3, 5), (6, 20), (7200, 13200)),
    Limits((3, 5), (21, 35), (3, 5), (8, 26), (9600, 16000)),
    Limits((3, 4), (10, 20), (3, 4), (5, 15), (4800, 9600)),
    Limits((3, 5), (24, 40), (3, 5), (12, 30), (11400, 17400)),
)


def rule_at(weekday: int, minute: int) -> int:
    """Which of the tutorial's rules holds: Monday is 0, minutes since midnight."""
    if weekday >= 5:
        return 3
    if 9 * 60 <= minute <= 17 * 60:
        return 0
    return 1 if minute > 17 * 60 else 2


@dataclass(slots=True)
class _Stats:
    day: int = -1
    rule: int = -1
    since: int = 0
    interval: int = 0
    cpm: int = 0
    total: int = 0
    concurrent: int = 0
    sequential: int = 0
    last_dialled: str = ""
    ring: list[int] = field(default_factory=lambda: [0] * RING)


class FraudDetection:
    """Counters of all users."""

    def __init__(self) -> None:
        self._stats: dict[tuple[int, int], _Stats] = {}

    def check(self, user: int, prefix: int, number: str, *, second: int, day: int, rule: int) -> tuple[Level, int]:
        """An INVITE at a Unix second of a local day: the first threshold exceeded, and the interval that `end` needs."""
        stats = self._stats.setdefault((user, prefix), _Stats())
        reset = stats.rule != rule or stats.day != day
        if reset:
            stats.cpm = stats.total = stats.concurrent = stats.sequential = 0
            stats.interval += 1
        stats.sequential = stats.sequential + 1 if stats.last_dialled == number else 1
        stats.last_dialled = number
        stats.rule, stats.day = rule, day
        stats.total += 1
        self._turn(stats, second, reset=reset)
        stats.cpm += 1
        stats.ring[second % RING] += 1
        stats.concurrent += 1
        limits = TUTORIAL[rule]
        pairs = (
            (stats.cpm, limits.cpm),
            (stats.total, limits.total),
            (stats.concurrent, limits.concurrent),
            (stats.sequential, limits.sequential),
        )
        for place, level in ((1, "critical"), (0, "warning")):
            if any(value >= limit[place] for value, limit in pairs):
                return ("critical" if level == "critical" else "warning"), stats.interval
        return "", stats.interval

    def end(self, user: int, prefix: int, *, interval: int, rule: int, seconds: int) -> Level:
        """A dialog ended after so many seconds of talk."""
        stats = self._stats[user, prefix]
        if stats.interval == interval and stats.concurrent > 0:
            stats.concurrent -= 1
        warning, critical = TUTORIAL[rule].duration
        return "critical" if seconds >= critical else "warning" if seconds >= warning else ""

    @staticmethod
    def _turn(stats: _Stats, second: int, *, reset: bool) -> None:
        """Forget calls that left the ring. Its start moves only when a minute has passed since, as in the module."""
        passed = second - stats.since
        if reset or passed >= 2 * RING:
            stats.cpm = 0
            stats.ring = [0] * RING
            stats.since = second
        elif passed >= RING:
            first, stats.since = stats.since, second - RING + 1
            for gone in range(first, stats.since):
                stats.cpm -= stats.ring[gone % RING]
                stats.ring[gone % RING] = 0
