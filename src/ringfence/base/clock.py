"""The one place that reads the wall clock. Everything pure gets `now` as an argument; shells take a `Clock` and ask it."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Returns Unix time in milliseconds."""


def system_clock() -> int:
    """Unix time in milliseconds from the operating system."""
    return time.time_ns() // 1_000_000


def monotonic_seconds() -> float:
    """Seconds on a clock that never jumps, for deadlines and durations."""
    return time.monotonic()
