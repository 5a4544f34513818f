"""The kernel's promise in plain Python: every call is kept whole, every value is summed anew, every whole second is looked at.

Slow and obvious on purpose. It shares the constants and the limits with the product and nothing else.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from ringfence.detection.layout import (
    BASELINE_UNIT,
    DAY,
    FIRST_DAYS,
    HEAVY_LATE,
    HOUR,
    LIGHT_LATE,
    LOOK_AHEAD,
    MAX_CALL,
    MAX_RINGING,
    MINUTE,
    MONTH_OVERDUE,
    NEW_ACCOUNT_DAYS,
    SECOND,
    USUAL_DAYS,
    Detector,
)
from ringfence.detection.offhours import month_end, occasion
from ringfence.detection.rules import Profile, RuleSet, limit_of
from ringfence.telephony.control import AccountBaseline, BaselinesChanged
from ringfence.telephony.model import AccountRow, Flag, Kind

D = Detector
NO_BASELINES = BaselinesChanged(version=0, slot=0, since_ms=0, month_ms=0, until_ms=0, accounts=())
LIGHT = (D.D08, D.D21)
AT_END = (D.D16, D.D22)
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
    forwarded: bool = False
    first: bool = False

    @property
    def stops(self) -> int:
        return self.end if self.known else self.answer + MAX_CALL if self.answer else self.start + MAX_RINGING


def cost(calls: Sequence[Call], t: int, window: int, look: int = LOOK_AHEAD) -> int:
    return cost_since(calls, t, t - window, look)


def cost_since(calls: Sequence[Call], t: int, since: int, look: int = LOOK_AHEAD) -> int:
    total = 0
    for call in calls:
        if call.answer and call.answer <= t:
            total += call.rate * max(0, min(call.stops, t + look) - max(call.answer, since))
            total += call.connect * MINUTE if call.answer > since else 0
    return total


def trials(dear: Sequence[Call], t: int) -> list[Call]:
    """The latest call that was answered in ten minutes, and the short or unanswered ones that were over before that."""
    answered = [call for call in dear if t - 10 * MINUTE < call.answer <= t]
    if not answered:
        return []
    pivot = max(answered, key=lambda call: (call.answer, call.key))
    tried = [c for c in dear if c is not pivot and c.start > pivot.answer - 10 * MINUTE and c.stops <= pivot.answer]
    return [pivot, *(c for c in tried if not c.answer or c.stops - c.answer <= 30 * SECOND)]


def short(call: Call, t: int) -> bool:
    return call.stops <= t and (not call.answer or call.stops - call.answer <= 3 * SECOND)


def values(calls: Sequence[Call], t: int) -> Values:
    """Every C2+ value at an instant, as what is known now."""
    calls = [call for call in calls if call.start <= t]
    dear = [call for call in calls if call.level >= 3]
    hour = [call for call in dear if call.start > t - HOUR]
    newest = max(dear, key=lambda call: (call.start, call.key), default=None)
    minutes = (min(c.stops, t) - max(c.answer, t - HOUR) for c in dear if c.answer)
    anything = [call for call in calls if call.start > t - HOUR]
    return {
        D.D05: sum(call.level >= 5 for call in hour),
        D.D13: sum(call.number == newest.number and call.start > t - 15 * MINUTE for call in dear) if newest else 0,
        D.D16: len({call.number for call in trials(dear, t)[1:]}),
        D.D17: max((t - call.answer for call in dear if call.level >= 4 and 0 < call.answer <= t < call.stops), default=0),
        D.D19: sum(call.first and call.start > t - DAY for call in dear),
        D.D22: len(anything) if sum(short(call, t) for call in anything) * 100 >= 80 * len(anything) else 0,
        D.D25: sum(call.stops > t and call.forwarded for call in dear),
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


def evidence(calls: Sequence[Call], detector: Detector, t: int, newest: tuple[int, int], reached: int) -> list[Call]:  # noqa: PLR0911
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
            return [call for call in dear if call.start > t - 30 * MINUTE and call.number[0] == newest[0]]
        case D.D05:
            return [call for call in dear if call.start > t - HOUR and call.level >= 5]
        case D.D13:
            return [call for call in dear if call.start > t - 15 * MINUTE and call.number == newest]
        case D.D16:
            return trials(dear, t)
        case D.D17:
            return [call for call in dear if call.level >= 4 and call.answer and t < call.stops and t - call.answer >= reached]
        case D.D19:
            return [call for call in dear if call.first and call.start > t - DAY]
        case D.D22:
            return [call for call in calls if call.start > t - HOUR and short(call, t)]
        case D.D25:
            return [call for call in dear if call.stops > t and call.forwarded]
        case D.D18:
            return [call for call in dear if call.answer and min(call.stops, t) > max(call.answer, t - HOUR)]
        case D.D21:
            return [call for call in calls if call.start > t - MINUTE]
        case _:
            return [call for call in dear if call.start > t - HOUR]


def level_of(value: int, warn: int, act: int) -> int:
    level = 0 if value < min(warn, act) else 1
    while level and level < 15 and value >= act << (level - 1):
        level += 1
    return level


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
    told: BaselinesChanged = NO_BASELINES
    usual: dict[int, AccountBaseline] = field(default_factory=dict)
    gone: dict[int, list[Call]] = field(default_factory=dict)

    @property
    def history(self) -> int:
        return (self.told.until_ms - self.told.since_ms) // DAY

    def baselines(self, record: BaselinesChanged) -> None:
        """Of all accounts at once, whatever their slots."""
        self.told = record
        self.usual = {account.account_key: account for account in record.accounts}

    def first_ever(self, key: int, call: Call) -> bool:
        if call.level < 4 or not call.country or self.history < FIRST_DAYS:
            return False
        _, since = self.profiles.get(key, (NOBODY, 0))
        if key in self.usual:
            known = call.country in self.usual[key].countries
        else:
            known = bool(since // DAY) and self.now // DAY < since // DAY + FIRST_DAYS
        return not known and all(other.country != call.country or other.level < 4 for other in self.heavy[key].values())

    def account(self, key: int, profile: Profile, since_ms: int) -> None:
        self.profiles[key] = (profile, since_ms)

    def limits(self, key: int, detector: Detector, t: int) -> tuple[int, int] | None:
        profile, since = self.profiles.get(key, (NOBODY, 0))
        rule = self.rules.rules.get(detector)
        if t < profile.exempt_until_ms:
            return None
        if detector is D.D19:
            return (1, self.rules.value("D19", "score", profile.segment)) if self.rules.has("D19") else None
        if rule is None:
            return None
        off = bool(occasion(t, self.holidays, self.zone))
        new = bool(since // DAY) and t < (since // DAY + NEW_ACCOUNT_DAYS) * DAY
        if detector in (D.D04, D.D20) and (new or key not in self.usual or self.history < USUAL_DAYS):
            return None
        variant = 2 * off + new
        return limit_of(rule, profile, 0, variant), limit_of(rule, profile, 1, variant)

    def own(self, key: int, detector: Detector, t: int) -> list[tuple[int, int, int]]:
        """Value, warn and act of D04, and of both windows of D20."""
        limits = self.limits(key, detector, t)
        if limits is None:
            return []
        account, calls = self.usual[key], [*self.heavy[key].values(), *self.gone.get(key, ())]
        floor = self.rules.value(detector.name, "floor", self.profiles.get(key, (NOBODY, 0))[0].segment) * MINUTE
        if detector is D.D04:
            month_ends = month_end(self.told.month_ms, self.zone)
            spent, since = account.month_micro * MINUTE, self.told.until_ms
            if t >= month_ends:
                spent, since = 0, month_ends
            value = spent + cost_since(calls, t, since) if t < month_ends + MONTH_OVERDUE else 0
            warn, act = (max(floor, account.highest_month_micro * factor * MINUTE // 100) for factor in limits)
            return [(value, warn, act)]
        local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=t)).astimezone(self.zone)
        bins = {hour: rest for hour, *rest in account.bins}
        found = []
        for window, (median, deviation) in (
            (15 * MINUTE, bins.get(local.weekday() * 24 + local.hour, (0, 0))),
            (DAY, (account.day_median_micro, account.day_mad_micro)),
        ):
            middle, spread = (micro // BASELINE_UNIT * BASELINE_UNIT for micro in (median, deviation))
            warn, act = (max(floor, middle * MINUTE + spread * k * 14_826 * MINUTE // 1_000_000) for k in limits)
            found.append((cost(calls, t, window), warn, act))
        return found

    def levels(self, key: int, found: Values, t: int) -> Iterator[tuple[Detector, int, int, tuple[int, int] | None]]:
        for detector, value in found.items():
            limits = self.limits(key, detector, t)
            yield detector, value, level_of(value, *limits) if limits is not None else 0, limits
        if found.keys() != set(LIGHT):
            for detector in (D.D04, D.D20):
                if own := self.own(key, detector, t):
                    value, warn, act = max(own, key=lambda each: level_of(*each))  # the first of equals
                    yield detector, value, level_of(value, warn, act), (warn, act)

    def arm(self, key: int, found: Values, t: int) -> None:
        levels = {detector: (value, level) for detector, value, level, _ in self.levels(key, found, t)}
        for detector in D if found.keys() != set(LIGHT) else LIGHT:
            if found.keys() != set(LIGHT) and detector in LIGHT:
                continue
            value, level = levels.get(detector, (0, 0))
            if detector is D.D19 and level:
                self.latch[key, detector] = min(value, self.latch.get((key, detector), 0))
            elif level == 0:
                self.latch.pop((key, detector), None)

    def judge(self, key: int, calls: Sequence[Call], found: Values, t: int, who: Sequence[Detector] = tuple(D)) -> None:
        for detector, value, risen, limits in sorted(self.levels(key, found, t), key=lambda told: told[0]):
            level = min(value, 15) if detector is D.D19 else risen
            if detector in who and limits is not None and level > self.latch.get((key, detector), 0):
                self.latch[key, detector] = level
                started = [call for call in calls if call.start <= t and call.level >= 3]
                newest = max(started, key=lambda call: (call.start, call.key), default=None)
                why = evidence(calls, detector, t, newest.number if newest else (0, 0), limits[level > 1])
                starts = tuple(sorted(call.start for call in why))[-50:] if detector not in (D.D04, D.D20) else ()
                self.crossings.append((detector, 0 if detector is D.D19 else level, key, t, value, *limits, starts))

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
                    self.judge(key, calls, values(calls, second), second, [each for each in D if each is not D.D22])

    def forget(self) -> None:
        for calls in self.light.values():
            for call in list(calls.values()):
                if call.stops <= self.now - LIGHT_LATE and call.start <= self.now - LIGHT_LATE - MINUTE:
                    del calls[call.key]
        for key, calls in self.heavy.items():
            for call in list(calls.values()):
                if call.answer:
                    over = call.stops <= self.now - DAY - HEAVY_LATE
                else:
                    over = call.stops <= self.now - HEAVY_LATE and call.start <= self.now - HOUR - HEAVY_LATE
                if over and not (call.first and call.start > self.now - DAY - HEAVY_LATE):
                    del calls[call.key]
                    self.gone.setdefault(key, []).append(call)

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
            bool(row.flags & Flag.FORWARDED),
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
        who: Sequence[Detector] = tuple(D)
        if mine is None:
            if max(at, said.end) <= now - late:
                return
            self.arm(key, before, now)
            if measure is values:
                said.first = self.first_ever(key, said)
            calls[said.key] = Call(**vars(said))
        else:
            added = bool(said.answer and not mine.answer and (measure is values or not mine.known))
            ends = said.known and not mine.known
            if added or ends:
                self.arm(key, before, now)
            if added:
                mine.answer = min(max(said.answer, mine.start), mine.end) if mine.known else max(said.answer, mine.start)
            if ends:
                mine.end, mine.known = max(said.end, mine.start, mine.answer), True
            if not added and ends and measure is values:  # An end says how short the call was, and nothing else.
                who, own = AT_END, [at]
            elif not added or (ends and measure is not values):  # The end of a call adds nothing to the calls at the same time.
                return
        known = list(calls.values())
        for t in own:
            if now - late < t < now:
                self.judge(key, known, measure(known, t), t, who)
        self.judge(key, known, measure(known, now), now, who)
