"""Signals of an account become one number: how likely is it that somebody else is calling.

Noisy-OR with decay (FE 4.3): each signal is the chance of fraud that it alone speaks for, it halves every six hours, and of one rule only
the strongest counts. Rules about spending see the same calls, so all of them together are one signal. Pure, and in integers: replicas
agree, and within an instant the order of signals does not matter. The result is rule `D00`, whose alerts are episodes like any other's.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from math import isqrt
from typing import Any, Final

import msgspec

from ringfence.detection.decision import RULE, doubted, weigh
from ringfence.detection.findings import ACT, WARN, Finding, Parameter, RuleSpec
from ringfence.detection.rules import Profile, RuleSet
from ringfence.telephony.suspicion import Measure

CAPACITY: Final = 100_000
"""Accounts with signals; beyond, those whose newest signal is oldest go, because anybody can cause one."""
MAX_PARTS: Final = 24
"""Rules that count for one account."""
GONE_PPM: Final = 10_000
"""A signal below one percent is forgotten."""
SPENDING: Final = "spending"
"""The part that all rules with limits of their own share: they look at the same calls."""
LOCK: Final = 4
"""From this level on everything that costs is refused. One more when acting is worth it: what was only proposed is then asked again."""
MAX_CALLS: Final = 50

_FALSE_BLOCK: Final = {"residential": 25_000_000, "business": 150_000_000, "trunk": 150_000_000}
_MINUTES: Final = 60_000
_WEEK: Final = 604_800_000

RULES: Final[tuple[RuleSpec, ...]] = (
    RuleSpec(
        rule=RULE,
        name="Combined suspicion",
        mode="propose",
        parameters=(
            Parameter(name="open", default=55, unit="score", low=1, high=99, about="combined score that opens an alert"),
            Parameter(name="act", default=75, unit="score", low=1, high=99, about="combined score that asks for a block of C3 and above"),
            Parameter(name="lock", default=90, unit="score", low=1, high=99, about="combined score that asks to refuse all that costs"),
            Parameter(name="spending", default=25, unit="score", low=0, high=99, about="signal of any rule with limits of its own"),
            Parameter(name="sensitive", default=25, unit="percent", low=0, high=100, about="share of the doubt that sensitivity 100 takes"),
            Parameter(name="half_life", default=360 * _MINUTES, unit="minutes", low=_MINUTES, high=_WEEK, about="a signal halves"),
            Parameter(name="until_stop", default=30 * _MINUTES, unit="minutes", low=_MINUTES, high=_WEEK, about="fraud would go on"),
            Parameter(name="intruder", default=500_000, unit="euro", low=0, high=1_000_000_000, about="spent a minute, at the least"),
            Parameter(
                name="false_block",
                default=_FALSE_BLOCK,
                unit="euro",
                low=0,
                high=100_000_000_000,
                about="blocking an innocent one costs",
            ),
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """What one rule says of an account at an instant."""

    rule: str
    part: str
    """What it counts as: the rule itself, or `SPENDING`."""
    score: int
    """0 for `SPENDING`: the rule set says what it counts."""
    at_ms: int
    account: str
    account_key: int
    keyed: bool
    cost_micro: int = 0
    rate_micro: int = 0
    opening_call_id: str
    opening_ms: int
    calls: tuple[str, ...] = ()
    measures: tuple[Measure, ...] = ()
    reason: str = ""
    told: bool = False
    """Whether the rule has an alert of its own."""


class _Part(msgspec.Struct, kw_only=True):
    """The strongest signal of one rule."""

    part: str
    rule: str
    ppm: int
    at_ms: int
    calls: tuple[str, ...]
    measures: tuple[Measure, ...]
    reason: str
    cost_micro: int
    rate_micro: int
    told: bool


class _Score(msgspec.Struct, kw_only=True):
    """An account with signals."""

    account_key: int
    account: str
    keyed: bool
    last_ms: int
    parts: list[_Part]


class Scorer:
    """Signals in, findings of rule D00 out. `restore` goes on where `state` was taken."""

    def __init__(self) -> None:
        self._scores: dict[int, _Score] = {}
        self._oldest: list[tuple[int, int]] = []
        self.evicted = 0

    def take(self, signals: Sequence[Signal], rules: RuleSet, profile_of: Callable[[int], Profile]) -> list[Finding]:
        """Count signals, instant by instant; a finding wherever an account's combined score is enough for an alert then.

        So it does not matter how many of them came in one message of the log.
        """
        if not signals or not rules.has(RULE):
            return []
        found: list[Finding | None] = []
        for _, together in groupby(sorted(signals, key=_instant), key=_instant):
            touched: dict[int, Signal] = {}
            for signal in together:
                points = rules.value(RULE, "spending") if signal.part == SPENDING else signal.score
                if points > 0:
                    self._count(signal, points, rules)
                    touched[signal.account_key] = max(touched.get(signal.account_key, signal), signal, key=_telling)
            keys = sorted(touched.keys() & self._scores.keys())
            found += [self._judge(self._scores[key], touched[key], rules, profile_of(key)) for key in keys]
        return [finding for finding in found if finding is not None]

    def figures(self) -> dict[str, float]:
        """Sizes and counters, by a name that says the unit."""
        return {"scored_accounts": float(len(self._scores)), "scores_evicted": float(self.evicted)}

    # State

    def state(self) -> dict[str, Any]:
        """Everything as plain values, in an order that does not depend on how it came about."""
        scores = msgspec.to_builtins(sorted(self._scores.values(), key=lambda score: score.account_key))
        return {"scores": scores, "evicted": self.evicted}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> "Scorer":
        """A scorer that goes on. `msgspec.ValidationError` when it is no state of one."""
        scorer = cls()
        scorer.evicted = int(state["evicted"])
        for score in msgspec.convert(state["scores"], list[_Score]):
            scorer._scores[score.account_key] = score
            heapq.heappush(scorer._oldest, (score.last_ms, score.account_key))
        return scorer

    # Steps

    def _count(self, signal: Signal, points: int, rules: RuleSet) -> None:
        score = self._scores.get(signal.account_key)
        if score is None:
            self._make_room()
            score = _Score(account_key=signal.account_key, account=signal.account, keyed=signal.keyed, last_ms=signal.at_ms, parts=[])
            self._scores[signal.account_key] = score
            heapq.heappush(self._oldest, (score.last_ms, score.account_key))
        score.last_ms = max(score.last_ms, signal.at_ms)
        score.account = max(score.account, signal.account)  # Unknown ones are empty.
        half_life = rules.value(RULE, "half_life")
        fresh = _Part(
            part=signal.part,
            rule=signal.rule,
            ppm=points * 10_000,
            at_ms=signal.at_ms,
            calls=signal.calls[-MAX_CALLS:],
            measures=signal.measures,
            reason=signal.reason,
            cost_micro=signal.cost_micro,
            rate_micro=signal.rate_micro,
            told=signal.told,
        )
        parts = {each.part: each for each in score.parts if decayed(each.ppm, score.last_ms - each.at_ms, half_life) >= GONE_PPM}
        known = parts.get(fresh.part)
        parts[fresh.part] = fresh if known is None else max(known, fresh, key=lambda part: _strength(part, score.last_ms, half_life))
        if len(parts) > MAX_PARTS:
            del parts[min(parts, key=lambda name: _strength(parts[name], score.last_ms, half_life))]
        score.parts = [parts[name] for name in sorted(parts)]

    def _judge(self, score: _Score, newest: Signal, rules: RuleSet, profile: Profile) -> Finding | None:
        now_ms, half_life = score.last_ms, rules.value(RULE, "half_life")
        if now_ms < profile.exempt_until_ms:
            return None
        shares = [(part, decayed(part.ppm, now_ms - part.at_ms, half_life)) for part in score.parts]
        ppm = doubted(combined(share for _, share in shares), profile.sensitivity, rules.value(RULE, "sensitive"))
        percent = min(ppm // 10_000, 99)
        opens, acts, locks = (rules.value(RULE, name) for name in ("open", "act", "lock"))
        if percent < opens or (len(score.parts) == 1 and score.parts[0].told):
            return None  # What one rule says by itself is that rule's alert.
        level = LOCK if percent >= locks else ACT if percent >= acts else WARN
        # Only rules about spending know what was spent at their own instant; what others are told depends on how the log is cut.
        rate, cost = next(((part.rate_micro, part.cost_micro) for part in score.parts if part.part == SPENDING), (0, 0))
        if level >= ACT:
            level += weigh(rules, score=percent, rate_micro=rate, segment=profile.segment).worth_acting
        limit = locks if level >= LOCK else acts
        shares.sort(key=lambda each: (-each[1], each[0].part))
        calls = tuple(dict.fromkeys(call for part in _by_time(score.parts) for call in part.calls))[-MAX_CALLS:]
        return Finding(
            rule=RULE,
            level=level,
            subject_kind="account",
            subject=score.account,
            at_ms=now_ms,
            observed=percent,
            warn=opens,
            act=limit,
            unit="score",
            score=percent,
            account=score.account,
            account_key=score.account_key,
            keyed=score.keyed,
            cost_micro=cost,
            rate_micro=rate,
            window_ms=half_life,
            opening_call_id=newest.opening_call_id,
            opening_ms=newest.opening_ms,
            calls=calls,
            reason=_reason(percent, limit if level >= ACT else opens, shares),
            measures=_measures(score.account, [part for part, _ in shares], level),
            observed_more={
                "parts": [{"rule": part.rule, "score": share // 10_000, "reason": part.reason} for part, share in shares],
                "sensitivity": profile.sensitivity,
            },
        )

    def _make_room(self) -> None:
        while len(self._scores) >= CAPACITY:
            last_ms, key = heapq.heappop(self._oldest)
            score = self._scores.get(key)
            if score is None:
                continue
            if score.last_ms > last_ms:
                heapq.heappush(self._oldest, (score.last_ms, key))
                continue
            del self._scores[key]
            self.evicted += 1


def combined(shares: Any) -> int:
    """Noisy-OR of chances in millionths, whatever their order: the doubts multiply."""
    doubt = 1_000_000
    for ppm in sorted(shares, reverse=True):
        doubt = -(-doubt * (1_000_000 - ppm) // 1_000_000)
    return 1_000_000 - doubt


def decayed(ppm: int, age_ms: int, half_life_ms: int) -> int:
    """A signal after a time: half after each half-life, in steps of 1/1024 of one between, rounded down."""
    if age_ms <= 0:
        return ppm
    steps = age_ms * _STEPS // half_life_ms
    whole, part = divmod(steps, _STEPS)
    return (ppm * _powers()[part] >> _BITS) >> whole if whole < 64 else 0


_STEPS: Final = 1024
_BITS: Final = 60


@cache
def _powers() -> tuple[int, ...]:
    """2^(-n/1024) for n from 0 to 1023 with sixty binary places, from integer square roots: no float, so no machine differs."""
    one = 1 << _BITS
    roots, root = [], one >> 1
    for _ in range(10):
        root = isqrt(root << _BITS)
        roots.append(root)  # 2^(-1/2), 2^(-1/4), ... 2^(-1/1024)
    found = []
    for step in range(_STEPS):
        power = one
        for place, each in enumerate(roots):
            if step >> (9 - place) & 1:
                power = power * each >> _BITS
        found.append(power)
    return tuple(found)


def _instant(signal: Signal) -> int:
    return signal.at_ms


def _telling(signal: Signal) -> tuple[str, int, int, str]:
    """Of several signals of an instant the one that an alert opens with, whatever their order."""
    return signal.rule, signal.score, signal.opening_ms, signal.opening_call_id


def _by_time(parts: Sequence[_Part]) -> list[_Part]:
    return sorted(parts, key=lambda part: (part.at_ms, part.part))


def _strength(part: _Part, now_ms: int, half_life: int) -> tuple[int, int, int, str, tuple[str, ...], str]:
    return decayed(part.ppm, now_ms - part.at_ms, half_life), part.at_ms, part.rate_micro, part.rule, part.calls, part.reason


def _measures(account: str, parts: Sequence[_Part], level: int) -> tuple[Measure, ...]:
    """Smallest useful first: what a part's own rule would refuse, then C3 and above; at lock all that costs, then the account."""
    if not account:
        return ()
    own = dict.fromkeys(measure for part in parts for measure in part.measures if measure.scope in ("number", "range"))
    refused = [Measure(scope="class", value=account, destination_class=3)]
    if level >= LOCK:
        refused = [Measure(scope="class", value=account, destination_class=2), Measure(scope="account", value=account)]
    return tuple(refused) if level >= LOCK else (*own, *refused)


def _reason(percent: int, limit: int, shares: Sequence[tuple[_Part, int]]) -> str:
    told = "; ".join(f"{part.rule} {share // 10_000}" + (f" ({part.reason})" if part.reason else "") for part, share in shares[:5])
    who = "Several signals together say" if len(shares) > 1 else "One signal says"
    return f"{who} {percent} of 100 (limit {limit}): {told}"
