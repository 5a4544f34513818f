"""Exact sliding windows of composed rules: one key's rows, and all keys of one rule.

A window ends at a row and is `(t - W, t]`, to the millisecond. A late row counts in every window that holds its own time; a call counts
once in a window. The one thing to know: what is kept depends on the rows alone, never on when somebody swept, so replicas and replays
agree.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ringfence.detection.layout import HEAVY_LATE, MINUTE

LATE_MS: Final = HEAVY_LATE
"""A row that arrives this much after its event is not judged."""
SLACK_MS: Final = 2 * MINUTE
"""How far rows of several ingests may be out of order, besides being late."""
MAX_KEY_ROWS: Final = 16_384
"""Rows kept of one key; beyond, its oldest go (counted)."""
_TRIMMED_TOGETHER: Final = 64
MAX_LEVEL: Final = 15


class Limits(NamedTuple):
    """What a window is judged by."""

    window_ms: int
    warn: int
    act: int
    distinct: bool


class Reached(NamedTuple):
    """The highest window that a row is in: its value, and which rows of the key it holds (`low` included, `high` not)."""

    value: int
    low: int
    high: int


def level_of(value: int, warn: int, act: int) -> int:
    """1 from warn, 2 from act, one more at each doubling of act, 15 at the most."""
    if value < act:
        return 1 if value >= warn else 0
    return min(MAX_LEVEL, 1 + (value // act).bit_length())


class KeyRows:
    """The rows of one key by event time, and the trailing window as running figures."""

    __slots__ = ("_calls", "_seen", "_start", "_total", "at", "call", "level", "ref", "what")

    def __init__(self) -> None:
        self.at = array("q")
        self.what = array("q")
        self.call = array("q")
        self.ref = array("q")
        self.level = 0
        """The level that was told and not yet left."""
        self._start = 0
        self._total = 0
        self._seen: dict[int, int] = {}
        self._calls: dict[int, int] = {}

    @classmethod
    def of(cls, columns: NDArray[np.int64], level: int, limits: Limits) -> "KeyRows":
        """From stored columns at, what, call, ref (rows of the matrix are entries)."""
        rows = cls()
        rows.at, rows.what, rows.call, rows.ref = (array("q", np.ascontiguousarray(columns[:, place]).tobytes()) for place in range(4))
        rows.level = level
        rows._calls = {call: at_ms for at_ms, call in zip(rows.at, rows.call, strict=True) if call}
        rows._recount(limits)
        return rows

    @property
    def newest_ms(self) -> int:
        """Event time of the newest row."""
        return self.at[-1]

    def add(self, at_ms: int, what: int, call: int, ref: int, limits: Limits) -> Reached | None:
        """Count a row; the highest window it is in, None when the same call is in it already. `call` 0: every row is its own."""
        if call:
            known = self._calls.get(call, at_ms - limits.window_ms)
            if abs(known - at_ms) < limits.window_ms:
                return None
            self._calls[call] = max(known, at_ms)
        if self.at and at_ms < self.at[-1]:
            return self._add_late(at_ms, what, call, ref, limits)
        self._slide(at_ms - limits.window_ms, limits)
        if self._value(limits) < limits.warn:
            self.level = 0
        self._trim(at_ms - limits.window_ms - LATE_MS - SLACK_MS)
        self.at.append(at_ms)
        self.what.append(what)
        self.call.append(call)
        self.ref.append(ref)
        self._count_in(what, limits)
        return Reached(self._value(limits), self._start, len(self.at))

    def too_many(self, limits: Limits) -> int:
        """Let the oldest rows go when there are more than `MAX_KEY_ROWS`; how many went."""
        excess = len(self.at) - MAX_KEY_ROWS
        if excess <= 0:
            return 0
        self._drop(excess + MAX_KEY_ROWS // 16)
        self._recount(limits)
        return excess + MAX_KEY_ROWS // 16

    def _value(self, limits: Limits) -> int:
        return len(self._seen) if limits.distinct else self._total

    def _count_in(self, what: int, limits: Limits) -> None:
        if limits.distinct:
            self._seen[what] = self._seen.get(what, 0) + 1
        else:
            self._total += what

    def _slide(self, after_ms: int, limits: Limits) -> None:
        """Let the trailing window begin after a time."""
        at, what, start = self.at, self.what, self._start
        while start < len(at) and at[start] <= after_ms:
            if limits.distinct:
                left = self._seen[what[start]] - 1
                if left:
                    self._seen[what[start]] = left
                else:
                    del self._seen[what[start]]
            else:
                self._total -= what[start]
            start += 1
        self._start = start

    def _trim(self, before_ms: int) -> None:
        """Forget rows that no window can hold any more."""
        if len(self.at) < _TRIMMED_TOGETHER or self.at[_TRIMMED_TOGETHER - 1] > before_ms:
            return
        self._drop(bisect_right(self.at, before_ms))

    def _drop(self, count: int) -> None:
        for at_ms, call in zip(self.at[:count], self.call[:count], strict=True):
            if self._calls.get(call) == at_ms:
                del self._calls[call]
        for column in (self.at, self.what, self.call, self.ref):
            del column[:count]
        self._start = max(0, self._start - count)

    def _recount(self, limits: Limits) -> None:
        """The trailing window anew, from the rows."""
        self._start = bisect_right(self.at, self.at[-1] - limits.window_ms)
        self._seen.clear()
        self._total = 0
        for what in self.what[self._start :]:
            self._count_in(what, limits)

    def _add_late(self, at_ms: int, what: int, call: int, ref: int, limits: Limits) -> Reached:
        """Put a row where it belongs and look at each window that ends at it or at a later row it is in."""
        place = bisect_right(self.at, at_ms)
        for column, value in ((self.at, at_ms), (self.what, what), (self.call, call), (self.ref, ref)):
            column.insert(place, value)
        best = max(self._windows(place, bisect_left(self.at, at_ms + limits.window_ms), limits), key=lambda reached: reached.value)
        self._recount(limits)
        return best

    def _windows(self, first: int, after: int, limits: Limits) -> Iterator[Reached]:
        """The windows that end at each of the rows `first` to `after`, in order of time."""
        low = bisect_right(self.at, self.at[first] - limits.window_ms)
        seen: dict[int, int] = {}
        total = 0
        for high in range(low, after):
            seen[self.what[high]] = seen.get(self.what[high], 0) + 1
            total += self.what[high]
            if high < first:
                continue
            while self.at[low] <= self.at[high] - limits.window_ms:
                total -= self.what[low]
                seen[self.what[low]] -= 1
                if not seen[self.what[low]]:
                    del seen[self.what[low]]
                low += 1
            yield Reached(len(seen) if limits.distinct else total, low, high + 1)


class RuleRows:
    """All keys of one rule. `rows` is how many rows they hold together."""

    __slots__ = ("keys", "limits", "rows")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.keys: dict[int, KeyRows] = {}
        self.rows = 0

    def add(self, key: int, at_ms: int, what: int, call: int, ref: int) -> tuple[KeyRows, Reached] | None:
        """Count a row for a key; None when its call is counted already."""
        held = self.keys.get(key)
        if held is None:
            held = self.keys[key] = KeyRows()
        before = len(held.at)
        reached = held.add(at_ms, what, call, ref, self.limits)
        self.rows += len(held.at) - before
        return None if reached is None else (held, reached)

    def bound(self, held: KeyRows) -> int:
        """Keep one key within its bounds, after it was judged; how many rows went."""
        gone = held.too_many(self.limits)
        self.rows -= gone
        return gone

    def forget_before(self, at_ms: int) -> int:
        """Forget keys whose newest row is not after a time; how many rows went."""
        gone = 0
        for key in [key for key, held in self.keys.items() if held.newest_ms <= at_ms]:
            gone += len(self.keys.pop(key).at)
        self.rows -= gone
        return gone

    def silent_ms(self) -> int:
        """How long after its newest row a key is of no use."""
        return self.limits.window_ms + LATE_MS + SLACK_MS

    def matrices(self, place: int) -> tuple[list[Any], list[Any]]:
        """Keys as `(rule, key, level, rows)` and their rows as `(at, what, call, ref)`, in order of keys."""
        keys, rows = [], []
        for key in sorted(self.keys):
            held = self.keys[key]
            keys.append((place, key, held.level, len(held.at)))
            rows.append(np.column_stack([np.frombuffer(column, np.int64) for column in (held.at, held.what, held.call, held.ref)]))
        return keys, rows
