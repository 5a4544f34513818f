"""Fraud on one account at a time: stolen credentials, the customer's own device, drips, premium numbers, forwarding, hacked exchanges.

Loudness is drawn for each case: published ones (5,000 calls to 200 numbers in ten hours, 12,000 calls at once, 1,500 numbers, EUR 7 a
minute for a day, four numbers over a weekend) stand beside quiet ones, of which no newspaper writes.
"""

import numpy as np

from ringfence.simulators.traffic import numbers, ordinary
from ringfence.simulators.traffic.chance import mix
from ringfence.simulators.traffic.columns import FORWARDED, IN
from ringfence.simulators.traffic.fraud.case import HOUR_MS, MINUTE_MS, Case, Hideout, Numbers, Talk
from ringfence.simulators.traffic.population import COUNTRY_NAMES, Life
from ringfence.simulators.traffic.sources import PEER_POOL

_PRIVATE = (Life.IDLE, Life.HOUSEHOLD, Life.ELDERLY, Life.EXPATRIATE, Life.OFFICE)
_OFFICES = (Life.OFFICE, Life.PRACTICE, Life.EXPORTER)
_KINDS = {"island": 3.0, "africa": 4.0, "baltic": 2.0, "personal": 1.0, "satellite": 2.0, "cuba": 1.0, "unallocated": 1.0, "middle": 1.0}
_DEAR_HOMES = ("TR", "RS", "XK", "BA", "MK", "UA", "RU", "SY", "AF", "IQ", "MA", "TN", "GH")


def stolen_abroad(case: Case) -> None:
    """Credentials read out of a box, used from a server or a line abroad."""
    _stolen(case, {"hosting": 0.6, "botnet": 0.4}, {"softphone": 0.45, "exchange": 0.25, "imitated": 0.25, "scanner": 0.05})


def home_vpn(case: Case) -> None:
    """Credentials read out of a box, used from the home country, mostly with the box's own User-Agent."""
    _stolen(case, {"vpn": 0.45, "mobile": 0.3, "neighbour": 0.25}, {"imitated": 0.7, "softphone": 0.3})


def own_device(case: Case) -> None:
    """A second telephone on the customer's own box, which was taken over: own address, mostly own User-Agent."""
    victim = case.victim(*_PRIVATE)
    kind = case.choose(_KINDS)
    targets = case.targets(kind, int(case.rng.integers(1, 4)), int(case.rng.integers(1, 6)))
    start = case.night(weekend=0.4) if case.chance(0.7) else case.daytime(9, 19)
    loudness = case.choose({"loud": 0.35, "middle": 0.4, "quiet": 0.25})
    hours, lines = {"loud": (case.between(2, 8), 2), "middle": (case.between(0.7, 2.5), 1), "quiet": (case.between(0.2, 0.7), 1)}[loudness]
    agent = case.agent("softphone") if case.chance(0.25) else None
    test = case.single([start - int(case.between(3, 90) * MINUTE_MS)], [case.between(0.05, 0.4)])
    burst = case.lanes(start, start + int(hours * HOUR_MS), lines, minutes=case.between(2, 12))
    for when, callee in ((test, targets[:1]), (burst, case.rng.choice(targets, burst.count))):
        address, own = case.own_line(victim, when.started)
        case.call(victim, callee, when, address, own if agent is None else agent)
    if agent is not None:
        moments = np.array([start - int(case.between(100, 300) * MINUTE_MS)])
        case.register(victim, moments, case.own_line(victim, moments)[0], agent)


def slow_drip(case: Case) -> None:
    """One to three calls a night of 20 to 60 minutes to destinations of middle price, for weeks."""
    victim = case.victim(*_PRIVATE)
    kind = case.choose({"middle": 0.7, "africa": 0.2, "cuba": 0.1})
    targets = case.targets(kind, 2, int(case.rng.integers(1, 4)))
    days = case.world.days
    nights = min(len(days), int(case.rng.integers(7, 29)))
    first = int(case.rng.integers(0, len(days) - nights + 1))
    hour = case.between(0.3, 4.5)
    moments: list[int] = []
    for day in days[first : first + nights]:
        at = day.at(max(0.05, hour + float(case.rng.normal(0, 0.5))))
        for _ in range(int(case.rng.integers(0 if nights > 2 else 1, 4))):
            moments.append(at)
            at += int(case.between(62, 110) * MINUTE_MS)
    when = case.single(moments or [days[first].at(hour)], case.rng.uniform(20, 60, max(1, len(moments))))
    _make(
        case,
        victim,
        case.rng.choice(targets, when.count),
        when,
        case.choose({"own": 0.45, "vpn": 0.2, "mobile": 0.15, "hosting": 0.2}),
        "imitated",
    )


def premium(case: Case) -> None:
    """Premium and personal numbers, at home (0900) or of other countries."""
    victim = case.victim(*_PRIVATE)
    kind = case.choose({"premium": 0.45, "personal": 0.3, "national": 0.25})
    if kind == "national":
        patterns = numbers.Patterns(numbers.PREMIUM)
        count = int(case.rng.integers(2, 9))
        targets = patterns.fill(np.zeros(count, np.int64), mix(case.rng.integers(0, 1 << 62, count)))
    else:
        targets = case.targets(kind, int(case.rng.integers(1, 4)), int(case.rng.integers(2, 10)))
    start = case.night(weekend=0.5)
    when = case.lanes(
        start, start + int(case.between(1, 7) * HOUR_MS), int(case.rng.integers(1, 3)), minutes=case.between(3, 20), gap_seconds=30
    )
    _make(case, victim, case.rng.choice(targets, when.count), when, case.choose({"own": 0.5, "hosting": 0.3, "vpn": 0.2}), "softphone")


def forwarding(case: Case) -> None:
    """A forwarding set up by a stranger: calls that come in cheaply go out to dear numbers at the customer's cost."""
    victim = case.victim(*_PRIVATE, *_OFFICES)
    targets = case.targets(case.choose(_KINDS), int(case.rng.integers(1, 3)), int(case.rng.integers(1, 5)))
    start = case.night(weekend=0.7)
    lines = {"loud": int(case.rng.integers(5, 16)), "quiet": int(case.rng.integers(1, 4))}[case.choose({"loud": 0.5, "quiet": 0.5})]
    when = case.lanes(start, start + int(case.between(0.8, 7) * HOUR_MS), lines, minutes=case.between(3, 15), gap_seconds=20)
    callers = ordinary.home_mobiles(mix(case.rng.integers(0, 1 << 62, 1 + lines // 2)))
    caller = case.rng.choice(callers, when.count)
    inbound = Talk(when.started - 300, when.ring + 300, when.talk, when.status)
    peer = PEER_POOL.addresses(mix(np.full(when.count, case.serial), 3) % np.uint64(64))
    case.call(victim, case.world.who.number[[victim]], inbound, peer, 0, caller=caller, direction=IN)
    address, agent = case.own_line(victim, when.started)
    case.call(victim, case.rng.choice(targets, when.count), when, address, agent, caller=caller, direction=FORWARDED, forwarded=True)


def pbx_weekend(case: Case) -> None:
    """A small company's exchange, hacked and used from Friday evening to Monday morning, with its own address and User-Agent."""
    victim = case.victim(Life.EXCHANGE, *_OFFICES, least_channels=4)
    fridays = [day for day in case.world.days if day.date.weekday() == 4] or list(case.world.days)
    friday = fridays[int(case.rng.integers(len(fridays)))]
    start = friday.at(case.between(19, 23.5))
    channels = int(case.world.who.channels[victim])
    style = case.choose({"town hall": 0.25, "four numbers": 0.25, "whole weekend": 0.3, "quiet": 0.2})
    lines, hours, ranges, each, minutes = {
        "town hall": (98 if channels >= 16 else max(channels, 10), 10.0, 20, 10, 11.8),
        "four numbers": (4, case.between(30, 55), 1, 4, 25.0),
        "whole weekend": (max(2, int(channels * 0.6)), case.between(20, 55), 6, 8, 8.0),
        "quiet": (2, case.between(3, 12), 2, 3, 6.0),
    }[style]
    targets = case.targets(case.choose(_KINDS), ranges, each)
    test = case.single([start - int(case.between(20, 4_000) * MINUTE_MS)], [case.between(0.05, 0.5)])
    burst = case.lanes(start, start + int(hours * HOUR_MS), lines, minutes=minutes * 0.85)
    extension = case.world.who.number[victim] + case.rng.integers(0, 60)
    for when, callee in ((test, targets[:1]), (burst, case.rng.choice(targets, burst.count))):
        address, agent = case.own_line(victim, when.started)
        case.call(victim, callee, when, address, agent, caller=np.full(when.count, extension))


def flood(case: Case) -> None:
    """Twelve thousand calls in a few hours through one exchange, more than EUR 50,000."""
    _exchange(case, hours=case.between(2.5, 6), calls=12_000, minutes=case.between(4, 8), ranges=12, each=12)


def spread(case: Case) -> None:
    """Fifteen hundred foreign and satellite numbers, for days, through one exchange."""
    victim = case.victim(Life.EXCHANGE, *_OFFICES, least_channels=4)
    start = case.night(weekend=0.8, latest_share=0.6)
    lines = int(case.rng.integers(6, 22))
    targets = np.concatenate([case.targets(kind, 50, 10) for kind in ("africa", "satellite", "island")])
    when = case.lanes(start, start + int(case.between(24, 120) * HOUR_MS), lines, minutes=12)
    address, agent = case.own_line(victim, when.started)
    case.call(victim, case.rng.choice(targets, when.count), when, address, agent)


def consumer_day(case: Case) -> None:
    """A household's account for a day on satellite numbers: EUR 7 a minute, more than EUR 10,000 in 24 hours."""
    victim = case.victim(*_PRIVATE)
    targets = case.targets("maritime", int(case.rng.integers(1, 4)), int(case.rng.integers(2, 6)))
    start = case.night(weekend=0.7, latest_share=0.8)
    when = case.lanes(start, start + int(case.between(19, 24) * HOUR_MS), 2, minutes=case.between(8, 25), answered=0.92)
    _make(case, victim, case.rng.choice(targets, when.count), when, case.choose({"own": 0.3, "hosting": 0.5, "botnet": 0.2}), "softphone")


def short_calls(case: Case) -> None:
    """Thousands of calls of some seconds into one range: each is paid from its first second."""
    victim = case.victim(*_OFFICES, Life.EXCHANGE, least_channels=2)
    targets = case.targets(case.choose({"africa": 1, "personal": 1, "baltic": 1, "unallocated": 1}), 1, int(case.rng.integers(20, 200)))
    start = case.night()
    when = case.lanes(
        start, start + int(case.between(1.5, 7) * HOUR_MS), int(case.rng.integers(2, 7)), minutes=case.between(0.05, 0.2), gap_seconds=3
    )
    _make(case, victim, case.rng.choice(targets, when.count), when, case.choose({"own": 0.4, "hosting": 0.6}), "exchange")


def careful(case: Case) -> None:
    """Somebody who calls a few expensive minutes only, once or once a week."""
    victim = case.victim(*_PRIVATE)
    targets = case.targets(case.choose({"satellite": 0.4, "island": 0.3, "premium": 0.3}), 1, 2)
    first = case.daytime(7, 22, latest_share=0.5 if len(case.world.days) > 14 else 0.9)
    calls = int(case.rng.integers(1, 4))
    weekly = case.chance(0.5)
    moments = [first + turn * (7 * 24 * HOUR_MS if weekly else int(22 * MINUTE_MS)) for turn in range(calls)]
    when = case.single(moments, case.rng.uniform(3, 8, calls))
    where = case.choose({"own": 0.5, "vpn": 0.2, "mobile": 0.1, "hosting": 0.2})
    _make(case, victim, case.rng.choice(targets, when.count), when, where, "imitated")


def mimic(case: Case) -> None:
    """A thief who calls the victim's own home country, in its evenings, only longer, more, and other numbers."""
    who = case.world.who
    dear = np.array([COUNTRY_NAMES.index(name) for name in _DEAR_HOMES])
    able = case.cell_accounts[np.isin(who.home[case.cell_accounts], dear) & (who.life[case.cell_accounts] == Life.EXPATRIATE)]
    if len(able):
        case.cell_accounts = np.concatenate([able, np.setdiff1d(case.cell_accounts, able)])
    victim = case.victim(Life.EXPATRIATE)
    home = np.full(int(case.rng.integers(2, 7)), who.home[victim], np.int64)
    targets = ordinary.abroad_numbers(home, mix(case.rng.integers(0, 1 << 62, len(home))), 1.0)
    days = case.world.days
    nights = min(len(days), int(case.rng.integers(1, 8)))
    first = int(case.rng.integers(0, len(days) - nights + 1))
    where = case.choose({"own": 0.45, "vpn": 0.25, "mobile": 0.15, "hosting": 0.15})
    for day in days[first : first + nights]:
        start = day.at(case.between(17, 21))
        when = case.lanes(start, start + int(case.between(2, 5) * HOUR_MS), int(case.rng.integers(1, 3)), minutes=case.between(15, 35))
        _make(case, victim, case.rng.choice(targets, when.count), when, where, "imitated")


def brute_force(case: Case) -> None:
    """A password guessed from abroad, a test call, and the burst later, often from another address."""
    victim = case.victim(*_PRIVATE, *_OFFICES)
    guesser = case.hideout(case.choose({"hosting": 0.8, "botnet": 0.2}))
    guesses = int(case.rng.integers(40, 2_500))
    slow = case.choose({"fast": 0.75, "slow": 0.25}) == "slow"
    start = case.night(weekend=0.3, latest_share=0.6)
    pace = case.between(20_000, 90_000) if slow else case.between(60, 900)
    moments = start + np.cumsum(pace * (0.3 + 1.4 * case.rng.random(guesses))).astype(np.int64)
    scanner = case.agent("scanner")
    status = np.full(guesses, 401, np.int16)
    status[-1] = 200
    case.register(victim, moments, guesser.at(moments), scanner, status=status, expires=60)
    found = int(moments[-1])
    _burst(case, victim, found, guesser, scanner if case.chance(0.4) else case.agent("softphone"), later_hours=case.between(0.1, 40))


def _stolen(case: Case, places: dict[str, float], agents: dict[str, float]) -> None:
    victim = case.victim(*_PRIVATE)
    hideout = case.hideout(case.choose(places))
    word = case.choose(agents)
    start = case.night() if case.chance(0.75) else case.daytime(9, 20)
    moment = np.array([start])
    agent = int(case.own_line(victim, moment)[1][0]) if word == "imitated" else case.agent(word)
    if case.chance(0.7):
        case.register(victim, moment, hideout.at(moment), agent)
    _burst(case, victim, start + 60_000, hideout, agent, later_hours=case.between(0.02, 3) if case.chance(0.7) else case.between(3, 48))


def _burst(case: Case, victim: int, from_ms: int, hideout: Hideout, agent: int, *, later_hours: float) -> None:
    """A test call, and after some time what it was for."""
    targets = case.targets(case.choose(_KINDS), int(case.rng.integers(1, 4)), int(case.rng.integers(1, 9)))
    loudness = case.choose({"loud": 0.4, "middle": 0.35, "quiet": 0.25})
    lines, hours = {
        "loud": (int(case.rng.integers(2, 7)), case.between(2, 10)),
        "middle": (int(case.rng.integers(1, 3)), case.between(0.8, 3)),
        "quiet": (1, case.between(0.25, 0.9)),
    }[loudness]
    test = case.single([from_ms + int(case.between(0.3, 10) * MINUTE_MS)], [case.between(0.05, 0.5)])
    case.call(victim, targets[:1], test, hideout.at(test.started), agent)
    start = from_ms + int(later_hours * HOUR_MS) + 11 * MINUTE_MS
    when = case.lanes(start, start + int(hours * HOUR_MS), lines, minutes=case.between(1.5, 14))
    case.call(victim, case.rng.choice(targets, when.count), when, hideout.at(when.started), agent)


def _exchange(case: Case, *, hours: float, calls: int, minutes: float, ranges: int, each: int) -> None:
    victim = case.victim(Life.EXCHANGE, *_OFFICES, least_channels=8)
    targets = case.targets(case.choose(_KINDS), ranges, each)
    start = case.night(weekend=0.8)
    lines = max(2, int(calls * (minutes * 60 * 0.85 * 1.2 + 16) / (hours * 3_600)))
    when = case.lanes(start, start + int(hours * HOUR_MS), lines, minutes=minutes)
    _make(case, victim, case.rng.choice(targets, when.count), when, case.choose({"own": 0.6, "hosting": 0.4}), "exchange")


def _make(case: Case, victim: int, callee: Numbers, when: Talk, where: str, agents: str) -> None:
    """Calls from the victim's own line, or from a hideout that registers first."""
    address, own = case.own_line(victim, when.started)
    if where == "own":
        case.call(victim, callee, when, address, own)
        return
    hideout = case.hideout(where)
    agent = int(own[0]) if agents == "imitated" else case.agent(agents)
    first = when.started[:1] - int(case.between(0.2, 30) * MINUTE_MS)
    case.register(victim, first, hideout.at(first), agent)
    case.call(victim, callee, when, hideout.at(when.started), agent)
