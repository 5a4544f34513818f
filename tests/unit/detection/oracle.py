"""The kernel's promise in plain Python: every call is kept whole, every value is summed anew, every whole second is looked at.

Slow and obvious on purpose. It shares the constants and the limits with the product and nothing else.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from ringfence.detection.layout import (
    DAY,
    HEAVY_LATE,
    HOUR,
    LIGHT_LATE,
    LOOK_AHEAD,
    MAX_CALL,
    MAX_RINGING,
    MINUTE,
    NEW_ACCOUNT_DAYS,
    Detector,
)
from ringfence.detection.offhours import occasion
from ringfence.detection.rules import Profile, RuleSet, limit_of
from ringfence.telephony.model import AccountRow, Flag, Kind

D = Detector
LIGHT = (D.D08, D.D21)
NOBODY = Profile()
Values = dict[Detector, int]


@dataclass
class Call:
    key: int
    start: int
    answer: int
    end: int
    known: bool
    rate: int
    connect: int
    level: int
    number: tuple[int, int]
    country: int
    ref: int

    @property
    def stops(self) -> int:
        return self.end if self.known else self.answer + MAX_CALL if self.answer else self.start + MAX_RINGING


def cost(calls: Sequence[Call], t: int, window: int, look: int = LOOK_AHEAD) -> int:
    total = 0
    for call in calls:
        if call.answer and call.answer <= t:
            total += call.rate * max(0, min(call.stops, t + look) - max(call.answer, t - window))
            total += call.connect * MINUTE if call.answer > t - window else 0
    return total


def values(calls: Sequence[Call], t: int) -> Values:
    """Every C2+ value at an instant, as what is known now."""
    calls = [call for call in calls if call.start <= t]
    dear = [call for call in calls if call.level >= 3]
    hour = [call for call in dear if call.start > t - HOUR]
    newest = max(dear, key=lambda call: (call.start, call.key), default=None)
    minutes = (min(c.stops, t) - max(c.answer, t - HOUR) for c in dear if c.answer)
    return {
        D.D01: cost(calls, t, 5 * MINUTE),
        D.D02: cost(calls, t, HOUR),
        D.D03: cost(calls, t, DAY),
        D.D06: sum(call.stops > t for call in dear),
        D.D07: sum(call.stops > t for call in dear if call.level >= 4),
        D.D09: sum(call.start > t - 5 * MINUTE for call in dear),
        D.D10: len(hour),
        D.D11: len({call.number for call in hour}),
        D.D12: len({call.country for call in hour} - {0}),
        D.D14: len({c.number for c in dear if newest and c.start > t - 30 * MINUTE and c.number[0] == newest.number[0]}),
        D.D18: sum(length for length in minutes if length > 0),
    }


def light_values(calls: Sequence[Call], t: int) -> Values:
    return {
        D.D08: sum(call.start <= t < call.stops for call in calls),
        D.D21: sum(t - MINUTE < call.start <= t for call in calls),
    }


def evidence(calls: Sequence[Call], detector: Detector, t: int, newest_range: int | None) -> list[Call]:  # noqa: PLR0911
    calls = [call for call in calls if call.start <= t]
    dear = [call for call in calls if call.level >= 3]
    match detector:
        case D.D01 | D.D02 | D.D03:
            window = {D.D01: 5 * MINUTE, D.D02: HOUR, D.D03: DAY}[detector]
            return [call for call in calls if cost([call], t, window)]
        case D.D06:
            return [call for call in dear if call.stops > t]
        case D.D07:
            return [call for call in dear if call.stops > t and call.level >= 4]
        case D.D08:
            return [call for call in calls if call.stops > t]
        case D.D09:
            return [call for call in dear if call.start > t - 5 * MINUTE]
        case D.D14:
            return [call for call in dear if call.start > t - 30 * MINUTE and call.number[0] == newest_range]
        case D.D18:
            return [call for call in dear if call.answer and min(call.stops, t) > max(call.answer, t - HOUR)]
        case D.D21:
            return [call for call in calls if call.start > t - MINUTE]
        case _:
            return [call for call in dear if call.start > t - HOUR]


Verdict = tuple[Detector, int, int, int, int, int, int, tuple[int, ...]]
"""Detector, level, account, instant, value, warn, act, starts of the evidence."""


@dataclass
class Oracle:
    rules: RuleSet
    zone: ZoneInfo
    holidays: tuple[str, ...] = ()
    step: int = 1_000
    now: int = 0
    light: dict[int, dict[int, Call]] = field(default_factory=dict)
    heavy: dict[int, dict[int, Call]] = field(default_factory=dict)
    latch: dict[tuple[int, Detector], int] = field(default_factory=dict)
    profiles: dict[int, tuple[Profile, int]] = field(default_factory=dict)
    crossings: list[Verdict] = field(default_factory=list)

    def account(self, key: int, profile: Profile, since_ms: int) -> None:
        self.profiles[key] = (profile, since_ms)

    def limits(self, key: int, detector: Detector, t: int) -> tuple[int, int] | None:
        profile, since = self.profiles.get(key, (NOBODY, 0))
        rule = self.rules.rules.get(detector)
        if rule is None or t < profile.exempt_until_ms:
            return None
        off = bool(occasion(t, self.holidays, self.zone))
        new = bool(since // DAY) and t < (since // DAY + NEW_ACCOUNT_DAYS) * DAY
        variant = 2 * off + new
        return limit_of(rule, profile, 0, variant), limit_of(rule, profile, 1, variant)

    def levels(self, key: int, found: Values, t: int) -> Iterator[tuple[Detector, int, int, tuple[int, int] | None]]:
        for detector, value in found.items():
            limits = self.limits(key, detector, t)
            level = 0
            if limits is not None:
                warn, act = limits
                level = 0 if value < min(warn, act) else 1
                while level and level < 15 and value >= act << (level - 1):
                    level += 1
            yield detector, value, level, limits

    def arm(self, key: int, found: Values, t: int) -> None:
        for detector, _, level, _ in self.levels(key, found, t):
            if level == 0:
                self.latch.pop((key, detector), None)

    def judge(self, key: int, calls: Sequence[Call], found: Values, t: int) -> None:
        for detector, value, level, limits in sorted(self.levels(key, found, t), key=lambda told: told[0]):
            if limits is not None and level > self.latch.get((key, detector), 0):
                self.latch[key, detector] = level
                started = [call for call in calls if call.start <= t and call.level >= 3]
                newest = max(started, key=lambda call: (call.start, call.key), default=None)
                why = evidence(calls, detector, t, newest.number[0] if newest else None)
                starts = tuple(sorted(call.start for call in why))[-50:]
                self.crossings.append((detector, level, key, t, value, *limits, starts))

    def advance(self, at: int) -> None:
        if self.now == 0:
            self.now = at
        while self.now < at:
            second = (self.now // self.step + 1) * self.step
            self.now = min(second, at)
            if second > at:
                break
            self.forget()
            for key in sorted(self.heavy):
                calls = list(self.heavy[key].values())
                if any(call.start <= second < call.stops for call in calls):
                    self.judge(key, calls, values(calls, second), second)

    def forget(self) -> None:
        for calls in self.light.values():
            for call in list(calls.values()):
                if call.stops <= self.now - LIGHT_LATE and call.start <= self.now - LIGHT_LATE - MINUTE:
                    del calls[call.key]
        for calls in self.heavy.values():
            for call in list(calls.values()):
                if call.answer:
                    over = call.stops <= self.now - DAY - HEAVY_LATE
                else:
                    over = call.stops <= self.now - HEAVY_LATE and call.start <= self.now - HOUR - HEAVY_LATE
                if over:
                    del calls[call.key]

    def row(self, row: AccountRow, ref: int) -> None:
        self.advance(row.at_ms)
        if row.kind > Kind.CALL or row.destination_class == 0:
            return
        self.forget()
        key, at = row.account_key, row.at_ms
        start = row.started_ms if 0 < row.started_ms <= at else at
        answer = end = 0
        if row.kind == Kind.ANSWER:
            answer = max(row.answered_ms or at, start)
        if row.kind in (Kind.END, Kind.CALL):
            end = max(row.ended_ms or (at if row.kind == Kind.END else 0), start if row.ended_ms or row.kind == Kind.END else 0)
            answer = max(row.answered_ms, start) if row.answered_ms else 0
            answer = min(answer, end) if end else answer
        level = row.destination_class
        if row.flags & Flag.NATIONAL_VALUE:
            level = min(level, 2)
        said = Call(
            row.call_key,
            start,
            answer,
            end,
            bool(end),
            row.rate,
            row.connect_micro,
            level,
            (row.range_key, row.number_tail),
            row.country,
            ref,
        )
        own = [start] if row.kind == Kind.CALL else [at]
        self.bag(self.light.setdefault(key, {}), said, at, key, light_values, own, LIGHT_LATE)
        if row.destination_class >= 2:
            if row.kind == Kind.CALL and start < end:
                own.append(end)
            self.bag(self.heavy.setdefault(key, {}), said, at, key, values, own, HEAVY_LATE)

    def bag(
        self,
        calls: dict[int, Call],
        said: Call,
        at: int,
        key: int,
        measure: Callable[[Sequence[Call], int], Values],
        own: list[int],
        late: int,
    ) -> None:
        now = self.now
        before = measure(list(calls.values()), now)
        mine = calls.get(said.key)
        if mine is None:
            if max(at, said.end) <= now - late:
                return
            calls[said.key] = Call(**vars(said))
            self.arm(key, before, now)
        else:
            added = bool(said.answer and not mine.answer and (measure is values or not mine.known))
            ends = said.known and not mine.known
            if added or ends:
                self.arm(key, before, now)
            if added:
                mine.answer = min(max(said.answer, mine.start), mine.end) if mine.known else max(said.answer, mine.start)
            if ends:
                mine.end, mine.known = max(said.end, mine.start, mine.answer), True
            if not added or (ends and measure is not values):  # The end of a call adds nothing to the calls at the same time.
                return
        known = list(calls.values())
        for t in own:
            if now - late < t < now:
                self.judge(key, known, measure(known, t), t)
        self.judge(key, known, measure(known, now), now)
