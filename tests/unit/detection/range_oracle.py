"""What the range view's rules mean, in plain lists: every row is kept and every window is counted anew."""

from collections import defaultdict
from collections.abc import Iterator
from math import isqrt

from ringfence.detection.kernel_range import BREADTH_FLOOR, CALLERS, LATE, SKEW
from ringfence.detection.layout import DAY, HOUR, MINUTE


def level_of(value: int, warn: int, act: int) -> int:
    if value < warn:
        return 0
    level = 1
    while level < 15 and value >= act * 2 ** (level - 1):
        level += 1
    return level


def bit_of(who: int) -> int:
    wrapped = (who * -7046029254386353131) % 2**64
    return (wrapped >> 40) & 255


def median(values: list[int]) -> int:
    return sorted(values)[(len(values) - 1) // 2] if values else 0


class RangeOracle:
    """N01 without a surge and without a first week, for few rows."""

    def __init__(self, *, warn: int, act: int, score: int) -> None:
        self.warn, self.act, self.score = warn, act, score
        self.now = self.began = 0
        self.rows: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        self.latch: dict[int, int] = defaultdict(int)
        self.hour: dict[int, int] = {}
        self.limits: dict[int, tuple[int, int]] = {}
        self.medians: dict[int, int] = {}
        self.callers: dict[int, set[int]] = defaultdict(set)
        self.said: dict[int, bool] = defaultdict(bool)
        self.days: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))

    def see(self, clock: int, key: int, at: int, account: int, origin: int) -> Iterator[tuple[int, int, int, int, int]]:
        """`(level, judged at, observed, warn, act)` of each crossing."""
        assert sum(min(len(rows), 2) for rows in self.rows.values()) <= BREADTH_FLOOR
        self.now = max(self.now, clock)
        self.began = self.began or self.now // DAY
        if at <= self.now - LATE:
            return
        hour = at // HOUR
        if hour > self.hour.get(key, 0):
            self.close_hour(key, hour)
        if hour == self.hour[key]:
            self.callers[key].add(bit_of(account))
        before = list(self.rows[key])
        self.rows[key].append((at, account, origin))
        warn, act = self.limits[key]
        if self.distinct(before, self.now) < warn:
            self.latch[key] = 0
        for moment in (self.now, at) if at <= self.now - SKEW else (self.now,):
            observed = self.distinct(self.rows[key], moment)
            level = level_of(observed, warn, act)
            if level > self.latch[key]:
                self.latch[key] = level
                self.said[key] = True
                yield level, moment, observed, warn, act

    @staticmethod
    def distinct(rows: list[tuple[int, int, int]], at: int) -> int:
        held = [row for row in rows if at - HOUR < row[0] <= at]
        return min(len({account for _, account, _ in held}), len({origin for _, _, origin in held}))

    def close_hour(self, key: int, hour: int) -> None:
        known = self.hour.get(key)
        if known is not None:
            counted = int(CALLERS[len(self.callers[key])])
            if self.said[key]:
                counted = min(counted, max(self.medians[key], self.warn - 1))
            self.days[key][known // 24] = max(self.days[key][known // 24], counted)
        self.hour[key], self.callers[key] = hour, set()
        self.said[key] = self.latch[key] > 0
        today = hour // 24
        past = [self.days[key][today - back] for back in range(1, min(30, today - self.began) + 1)]
        middle = median(past)
        spread = max(1_483 * median([abs(day - middle) for day in past]), isqrt(middle * 1_000_000), 800)
        highest = max([*past, self.days[key][today]])
        if not any(past) and not highest:
            middle, spread = 0, 800
        warn = max(self.warn, middle + -(-self.score * spread // 1_000), highest + 1)
        self.medians[key] = middle
        self.limits[key] = warn, max(self.act, warn + warn // 2 if highest else warn)


class InboundOracle:
    """The flags of N02."""

    def __init__(self, *, calls: int, share: int) -> None:
        self.calls, self.share = calls, share
        self.now = 0
        self.rows: dict[int, list[tuple[int, int, bool]]] = defaultdict(list)
        self.latch: dict[int, int] = defaultdict(int)

    def see(self, key: int, at: int, call: int, short: bool) -> Iterator[tuple[int, int, int]]:
        """`(judged at, calls, short ones)` of each crossing."""
        self.now = max(self.now, at)
        if at <= self.now - LATE or any(known == call for _, known, _ in self.rows[key]):
            return
        if self.counted(key, self.now)[0] < self.calls:
            self.latch[key] = 0
        self.rows[key].append((at, call, short))
        for moment in (self.now, at) if at <= self.now - SKEW else (self.now,):
            seen, lost = self.counted(key, moment)
            level = level_of(seen, self.calls, 10**9) if lost * 100 >= seen * self.share else 0
            if level > self.latch[key]:
                self.latch[key] = level
                yield moment, seen, lost

    def counted(self, key: int, at: int) -> tuple[int, int]:
        held = [row for row in self.rows[key] if at - 5 * MINUTE < row[0] <= at]
        return len(held), sum(short for _, _, short in held)
