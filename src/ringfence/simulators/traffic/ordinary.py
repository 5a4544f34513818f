"""What everybody's calls are on an ordinary day: who calls when, whom, for how long, and what becomes of it.

Drawn a day at a time over arrays: a number of calls for each account, then time, destination, contact, outcome. Contacts are hashes of the
caller and a rank, so the same people are called again without a memory. The one thing to know: an account never talks on more lines than
it has, because a detector would see at once what no telephone can do.
"""

import numpy as np
import numpy.typing as npt

from ringfence.simulators.traffic import calendar, numbers, population, sources
from ringfence.simulators.traffic.calendar import Day
from ringfence.simulators.traffic.chance import Hashes, call_identities, generator, mix, salt, unit, weighted
from ringfence.simulators.traffic.columns import FORWARDED, IN, OUT, Calls
from ringfence.simulators.traffic.lines import EPOCH_ZERO_MS, address_of, agent_of, away_on, softphone_address
from ringfence.simulators.traffic.population import COUNTRY_NAMES, Life, Population

BLOCK = 1 << 20
"""Accounts that are drawn at once; more would need more memory and no less time."""

LOCAL, FAR, MOBILE, ON_NET, HOME_COUNTRY, ELSEWHERE, FREE, SHARED, DIRECTORY, PREMIUM, EMERGENCY, TELEVOTE, MISTAKE, SATELLITE, EXOTIC = (
    range(15)
)
"""Where a call goes."""

_PRIVATE, _WORK, _CENTRE = range(3)
_MIXES = np.cumsum(
    [
        #  local  far   mobile onnet free  0180   118    0900   112    wrong
        (0.365, 0.205, 0.245, 0.130, 0.030, 0.011, 0.0022, 0.0006, 0.0004, 0.0108),
        (0.290, 0.270, 0.335, 0.060, 0.018, 0.008, 0.0020, 0.0001, 0.0002, 0.0167),
        (0.210, 0.330, 0.340, 0.060, 0.002, 0.001, 0.0000, 0.0000, 0.0000, 0.0570),
    ],
    axis=1,
)
_MIX_KINDS = np.array([LOCAL, FAR, MOBILE, ON_NET, FREE, SHARED, DIRECTORY, PREMIUM, EMERGENCY, MISTAKE], np.int8)
_MIX_OF_LIFE = np.array([_PRIVATE] * 6 + [_WORK] * 5 + [_CENTRE] + [_PRIVATE, _WORK], np.int8)

_MEDIAN_SECONDS = np.array([72, 82, 46, 85, 400, 170, 230, 200, 80, 200, 70, 22, 14, 240, 130], np.float32)
_SIGMA = np.array([1.25, 1.25, 1.15, 1.30, 0.95, 1.10, 0.95, 0.90, 0.70, 0.95, 0.60, 0.25, 0.60, 0.90, 0.80], np.float32)
_ANSWERED = np.array([0.71, 0.70, 0.64, 0.72, 0.60, 0.66, 0.97, 0.96, 0.98, 0.97, 0.995, 0.93, 0.18, 0.62, 0.60], np.float32)
_CONTACTS = np.array([14, 9, 10, 5, 7, 3, 4, 4, 2, 2, 2, 1, 1_000_000, 5, 1], np.int64)
"""How many numbers of a kind somebody calls; rank 0 most."""
_BUSY_LIVES = np.array([1, 1, 1, 1, 1, 1, 7, 40, 12, 30, 60, 20_000, 400, 6], np.int64)
"""By how much a life's phone book is larger than a household's."""
_EVENING = np.array([0.7] * 6 + [0.4, 0.4, 0.5, 0.6, 0.6, 0.6, 0.7, 0.7, 0.8, 0.9, 1.0, 1.3, 1.6, 1.8, 1.9, 1.9, 1.7, 1.1], np.float32)
"""Calls home to another country are made in the evening."""
MAX_TALK_MS = 4 * 3_600_000

_fixed = numbers.Patterns([pattern for fixed, _ in numbers.COUNTRIES.values() for pattern in fixed])
_mobile = numbers.Patterns([pattern for _, mobile in numbers.COUNTRIES.values() for pattern in mobile])
_fixed_sizes = np.array([len(fixed) for fixed, _ in numbers.COUNTRIES.values()], np.int64)
_mobile_sizes = np.array([len(mobile) for _, mobile in numbers.COUNTRIES.values()], np.int64)
_fixed_first = np.cumsum(_fixed_sizes) - _fixed_sizes
_mobile_first = np.cumsum(_mobile_sizes) - _mobile_sizes
_home_mobile = numbers.Patterns(numbers.HOME_MOBILE)
_services = {
    FREE: numbers.Patterns(numbers.FREEPHONE),
    SHARED: numbers.Patterns(numbers.SHARED_COST),
    PREMIUM: numbers.Patterns(numbers.PREMIUM),
    TELEVOTE: numbers.Patterns(numbers.TELEVOTE),
    SATELLITE: numbers.Patterns(numbers.SATELLITE),
    EXOTIC: numbers.Patterns(numbers.EXOTIC),
}
_SHARED_BY_ALL = (FREE, SHARED, PREMIUM, TELEVOTE)
"""Services have few numbers that many call; nobody else calls the same ship."""
_occasional = np.array([COUNTRY_NAMES.index(name) for name in numbers.OCCASIONAL], np.int64)
_trade = np.array([COUNTRY_NAMES.index(name) for name in numbers.TRADE], np.int64)
_everywhere = np.arange(len(COUNTRY_NAMES))
_areas = np.array([int(f"49{code}") for code in numbers.AREAS], np.int64)
_area_units = np.array([1_000_000 if len(code) < 4 else 100_000 for code in numbers.AREAS], np.int64)


def calls_of_day(who: Population, day: Day, *, seed: int) -> Calls:
    """All ordinary calls of a day, by time."""
    parts = []
    for first in range(0, who.length, BLOCK):
        some = who.part(first, first + BLOCK)
        parts.append(_block(some, who, day, seed, first // BLOCK))
    return Calls.merged(parts)


def abroad_numbers(country: npt.NDArray[np.int64], hashes: Hashes, mobile_share: float = 0.6) -> npt.NDArray[np.int64]:
    """A number in each country, fixed or mobile."""
    pick = hashes >> np.uint64(20)
    fixed = _fixed.fill(_fixed_first[country] + (pick % _fixed_sizes[country].astype(np.uint64)).astype(np.int64), hashes)
    mobile = _mobile.fill(_mobile_first[country] + (pick % _mobile_sizes[country].astype(np.uint64)).astype(np.int64), hashes)
    return np.where(unit(mix(hashes, salt("mobile"))) < mobile_share, mobile, fixed)


def home_mobiles(hashes: Hashes) -> npt.NDArray[np.int64]:
    """Mobile numbers of the home country."""
    return _home_mobile.fill((mix(hashes, 3) % np.uint64(len(_home_mobile))).astype(np.int64), hashes)


def home_fixed(hashes: Hashes) -> npt.NDArray[np.int64]:
    """Fixed numbers of the home country, of whichever operator."""
    area = weighted(unit(mix(hashes, 5)), list(numbers.AREAS.values()))
    return _in_area(area, hashes)


def outcome(
    rng: np.random.Generator, median_seconds: npt.NDArray[np.float32], sigma: npt.NDArray[np.float32], answered: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int16]]:
    """`(ring_ms, talk_ms, status)`: answered after some seconds and talked heavy-tailed, or not, as telephones fail."""
    count = len(answered)
    is_answered = rng.random(count) < answered
    talk = median_seconds * 1000 * np.exp(sigma * rng.standard_normal(count, dtype=np.float32))
    talk_ms = np.where(is_answered, np.clip(talk, 1_000, MAX_TALK_MS), -1).astype(np.int32)
    why = rng.choice(np.array([487, 486, 480, 404, 408, 503], np.int16), count, p=[0.60, 0.19, 0.12, 0.04, 0.03, 0.02])
    status = np.where(is_answered, 200, why).astype(np.int16)
    rings = rng.random(count, dtype=np.float32)
    patience = np.where(status == 487, 9_000 + 34_000 * rings, np.where(status == 408, 60_000, 400 + 3_000 * rings))
    ring = np.where(is_answered, 2_000 + 9_000 * rng.standard_exponential(count, dtype=np.float32), patience)
    return np.minimum(ring, 120_000).astype(np.int32), talk_ms, status


def _block(who: Population, everybody: Population, day: Day, seed: int, block: int) -> Calls:
    rng = generator(seed, "ordinary calls", day.index, block)
    whose, started = _when(who, day, rng)
    extra_whose, extra_started, extra_kind = _special_evenings(who, day, rng)
    kind = np.concatenate([_whereto(who, whose, started, day, rng), extra_kind])
    whose, started = np.concatenate([whose, extra_whose]), np.concatenate([started, extra_started])
    # Old people call the same two or three numbers; everybody else has favourites.
    favour = np.where(who.life[whose] == Life.ELDERLY, 4.0, 2.2)
    rank = (_CONTACTS[kind] * _BUSY_LIVES[who.life[whose]] * rng.random(len(whose)) ** favour).astype(np.int64)
    callee = _numbers(who, everybody, whose, kind, rank, rng, seed)
    answered = _ANSWERED[kind] * np.where(who.life[whose] == Life.CALL_CENTRE, np.float32(0.6), np.float32(1))
    ring, talk, status = outcome(rng, _MEDIAN_SECONDS[kind] * who.talk[whose] * _pace(who.life[whose]), _SIGMA[kind], answered)
    again = np.flatnonzero((talk < 0) & (rng.random(len(whose)) < np.where(who.life[whose] == Life.ELDERLY, 0.45, 0.22)))
    later = started[again] + ring[again] + (20_000 + 170_000 * rng.random(len(again))).astype(np.int64)
    ring_again, talk_again, status_again = outcome(
        rng, _MEDIAN_SECONDS[kind[again]] * who.talk[whose[again]], _SIGMA[kind[again]], answered[again] * np.float32(0.55)
    )
    whose = np.concatenate([whose, whose[again]])
    calls = _rows(
        who,
        whose,
        np.concatenate([started, later]),
        np.concatenate([callee, callee[again]]),
        (np.concatenate([ring, ring_again]), np.concatenate([talk, talk_again]), np.concatenate([status, status_again])),
        seed,
    )
    calls, whose = untangled(calls, whose, who.channels[whose], rng)
    more = (
        _alarms(who, day, rng, seed),
        _arrivals(who, day, rng, seed),
        _forwarded(who, day, rng, seed),
        _softphones(who, day, rng, seed),
    )
    calls = Calls.joined([calls, *more])
    calls = calls.take((calls.started_ms >= day.start_ms) & (calls.started_ms < day.end_ms))
    counter = (np.uint64(day.index) << np.uint64(40)) + (np.uint64(block) << np.uint64(28)) + np.arange(calls.length, dtype=np.uint64)
    calls.call_id[:] = call_identities(counter, seed)
    return calls


def _when(who: Population, day: Day, rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Whose calls there are and when they start."""
    factors = np.array([calendar.factor(shape, day.kind) for shape in range(5)], np.float32)[who.rhythm]
    moods = np.exp(0.35 * rng.standard_normal(who.length, dtype=np.float32) - 0.06)
    rate = who.rate * factors * moods * (who.since_day <= day.index)
    away = (who.away_from >= 0) & (who.away_from <= day.index) & (day.index < who.away_from + who.away_days)
    rate[away & (who.segment == population.RESIDENTIAL)] *= 0.05
    count = rng.poisson(rate)
    whose = np.repeat(np.arange(who.length), count)
    started = np.empty(len(whose), np.int64)
    for shape in np.unique(who.rhythm):
        mine = np.flatnonzero(who.rhythm[whose] == shape)
        quarter = np.searchsorted(calendar.rhythm(int(shape), day.kind), rng.random(len(mine)), side="right")
        started[mine] = day.quarters_ms[np.minimum(quarter, calendar.QUARTERS - 1)]
    started += (rng.random(len(whose)) * calendar.QUARTER_MS).astype(np.int64)
    return whose, started


def _special_evenings(who: Population, day: Day, rng: np.random.Generator) -> tuple[npt.NDArray[np.int64], ...]:
    """New Year's wishes around midnight, and on Saturdays a vote by telephone."""
    homes = np.flatnonzero((who.life >= Life.HOUSEHOLD) & (who.life <= Life.EXPATRIATE))
    whose: list[npt.NDArray[np.int64]] = []
    started: list[npt.NDArray[np.int64]] = []
    kinds: list[npt.NDArray[np.int64]] = []
    if (day.date.month, day.date.day) in {(12, 31), (1, 1)}:
        eve = day.date.month == 12
        callers = homes[rng.random(len(homes)) < (0.06 if eve else 0.34)]
        callers = np.repeat(callers, rng.integers(1, 5, len(callers)))
        middle = day.end_ms - 900_000 if eve else day.start_ms
        after = (np.abs(rng.standard_normal(len(callers))) * 2_400_000).astype(np.int64)
        abroad = rng.random(len(callers))
        far = np.where(who.life[callers] == Life.EXPATRIATE, abroad < 0.6, False)
        kinds.append(np.where(far, HOME_COUNTRY, np.where(abroad > 0.94, ELSEWHERE, np.where(abroad > 0.6, MOBILE, LOCAL))))
        whose.append(callers)
        started.append(middle - after if eve else middle + after)
    if day.date.weekday() == 5:
        voters = homes[rng.random(len(homes)) < 0.0035]
        voters = np.repeat(voters, rng.integers(1, 7, len(voters)))
        whose.append(voters)
        started.append(day.at(20.5) + (rng.random(len(voters)) * 5_400_000).astype(np.int64))
        kinds.append(np.full(len(voters), TELEVOTE))
    nothing = np.empty(0, np.int64)
    return np.concatenate([*whose, nothing]), np.concatenate([*started, nothing]), np.concatenate([*kinds, nothing])


def _whereto(
    who: Population, whose: npt.NDArray[np.int64], started: npt.NDArray[np.int64], day: Day, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    hour = np.clip((started - day.start_ms) // 3_600_000, 0, 23)
    life = who.life[whose]
    chance = who.abroad[whose] * np.where(life == Life.EXPATRIATE, _EVENING[hour], np.float32(1))
    abroad = rng.random(len(whose), dtype=np.float32) < chance
    fraction = rng.random(len(whose))
    mixes = _MIXES[_MIX_OF_LIFE[life]]
    kind: npt.NDArray[np.int64] = _MIX_KINDS[np.minimum((fraction[:, None] > mixes).sum(axis=1), len(_MIX_KINDS) - 1)].astype(np.int64)
    other = rng.random(len(whose))
    kind[abroad] = np.where((life[abroad] == Life.EXPATRIATE) & (other[abroad] < 0.93), HOME_COUNTRY, ELSEWHERE)
    kind[abroad & (life <= Life.OFFICE) & (other > 0.985)] = EXOTIC
    kind[abroad & (life == Life.RELIEF) & (other < 0.3)] = SATELLITE
    return kind


def _numbers(
    who: Population,
    everybody: Population,
    whose: npt.NDArray[np.int64],
    kind: npt.NDArray[np.int64],
    rank: npt.NDArray[np.int64],
    rng: np.random.Generator,
    seed: int,
) -> npt.NDArray[np.int64]:
    contact = mix(who.place[whose], kind, rank, seed, salt("contact"))
    callee = np.zeros(len(whose), np.int64)

    def fill(which: int, make: object) -> None:
        places = np.flatnonzero(kind == which)
        if len(places):
            assert callable(make)
            callee[places] = make(places)

    fill(LOCAL, lambda at: _neighbours(who.number[whose[at]], contact[at]))
    fill(FAR, lambda at: home_fixed(contact[at]))
    fill(MOBILE, lambda at: home_mobiles(contact[at]))
    fill(ON_NET, lambda at: everybody.number[(contact[at] % np.uint64(everybody.length)).astype(np.int64)])
    fill(HOME_COUNTRY, lambda at: abroad_numbers(who.home[whose[at]].astype(np.int64), contact[at], 0.68))
    fill(ELSEWHERE, lambda at: abroad_numbers(_countries(who, whose[at], rank[at], seed), contact[at], 0.4))
    for which, patterns in _services.items():
        shared = mix(contact % np.uint64(40 if which in _SHARED_BY_ALL else 1 << 40), which)
        fill(
            which,
            lambda at, patterns=patterns, shared=shared: patterns.fill(
                (shared[at] % np.uint64(len(patterns))).astype(np.int64), shared[at]
            ),
        )
    fill(DIRECTORY, lambda at: np.array([49 * 100_000 + code for code in numbers.DIRECTORY])[contact[at] % np.uint64(3)])
    fill(EMERGENCY, lambda at: np.array(numbers.SHORT)[contact[at] % np.uint64(2)])
    fill(MISTAKE, lambda at: home_fixed(mix(rng.integers(0, 1 << 62, len(at)))))
    return callee


def _neighbours(own: npt.NDArray[np.int64], hashes: Hashes) -> npt.NDArray[np.int64]:
    """Numbers that begin as the caller's does: the same area, the first digit any."""
    return own // 1_000_000 * 1_000_000 + ((np.uint64(200_000) + hashes % np.uint64(799_000)).astype(np.int64))


def _countries(who: Population, whose: npt.NDArray[np.int64], rank: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """Each account has its own few countries; a call shop and a hotel have all of them."""
    life = who.life[whose]
    choice = unit(mix(who.place[whose], rank % 3, seed, salt("country")))
    country = _occasional[weighted(choice, list(numbers.OCCASIONAL.values()))]
    work = np.isin(life, (Life.OFFICE, Life.EXPORTER, Life.EXCHANGE, Life.CALL_CENTRE))
    country[work] = _trade[weighted(unit(mix(who.place[whose[work]], rank[work] % 6, seed, 9)), list(numbers.TRADE.values()))]
    guests = np.isin(life, (Life.HOTEL, Life.CALL_SHOP, Life.RELIEF))
    country[guests] = _everywhere[(mix(who.place[whose[guests]], rank[guests], seed, 11) % np.uint64(len(_everywhere))).astype(np.int64)]
    return country


def _in_area(area: npt.NDArray[np.int64], hashes: Hashes) -> npt.NDArray[np.int64]:
    size = _area_units[area]
    return _areas[area] * size * 10 + 2 * size + (hashes % (7 * size).astype(np.uint64)).astype(np.int64)


def _pace(life: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """How long people talk in an office against at home."""
    return np.where((life >= Life.OFFICE) & (life != Life.CALL_SHOP), np.float32(0.85), np.float32(1))


def _rows(
    who: Population,
    whose: npt.NDArray[np.int64],
    started: npt.NDArray[np.int64],
    callee: npt.NDArray[np.int64],
    outcomes: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int16]],
    seed: int,
) -> Calls:
    """Outgoing calls from the account's own line. Call-IDs are set when the block is whole."""
    count = len(whose)
    number = who.number[whose]
    # An exchange shows the extension that calls; everybody else the number of the line.
    extension = (mix(started, number) % np.uint64(60)).astype(np.int64)
    return Calls(
        call_id=np.zeros(count, np.uint64),
        account=number,
        caller=np.where(who.segment[whose] == population.TRUNK, number + extension, number),
        callee=callee,
        source=address_of(who, whose, started, seed=seed),
        user_agent=agent_of(who, whose, started),
        edge=(mix(number) % np.uint64(len(sources.EDGES))).astype(np.int8),
        started_ms=started,
        ring_ms=outcomes[0],
        talk_ms=outcomes[1],
        status=outcomes[2],
        direction=np.full(count, OUT, np.int8),
        forwarded_by=np.zeros(count, np.int64),
        authenticated=np.ones(count, np.bool_),
        case=np.full(count, -1, np.int32),
    )


def untangled(
    calls: Calls, whose: npt.NDArray[np.int64], channels: npt.NDArray[np.int16], rng: np.random.Generator
) -> tuple[Calls, npt.NDArray[np.int64]]:
    """Households talk on one line at a time: a call that would begin in another begins after it, or not at all."""
    single = channels <= 2
    for _ in range(3):
        order = np.lexsort((calls.started_ms, whose))
        calls, whose, single = calls.take(order), whose[order], single[order]
        busy_until = _busy_until(calls, whose)
        late = np.flatnonzero(single & (calls.started_ms < busy_until))
        calls.started_ms[late] = busy_until[late] + 4_000 + (60_000 * rng.random(len(late))).astype(np.int64)
    order = np.lexsort((calls.started_ms, whose))
    calls, whose, single = calls.take(order), whose[order], single[order]
    free = ~(single & (calls.started_ms < _busy_until(calls, whose)))
    return calls.take(free), whose[free]


def _busy_until(calls: Calls, whose: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """When the calls before each one, of the same account, are over. Rows by account and start; 0 for the first of an account."""
    ends = calls.started_ms + calls.ring_ms + np.maximum(calls.talk_ms, 0)
    # The running maximum must not cross from one account to the next, so each account has a height of its own.
    height = whose * (1 << 42)
    latest = np.maximum.accumulate(ends - EPOCH_ZERO_MS + height) - height + EPOCH_ZERO_MS
    until = np.zeros(len(ends), np.int64)
    until[1:] = np.where(whose[1:] == whose[:-1], latest[:-1], 0)
    return until


def _alarms(who: Population, day: Day, rng: np.random.Generator, seed: int) -> Calls:
    """Alarm lines call their station at fixed times: once a night, every six hours, or every hour."""
    lines = np.flatnonzero((who.life == Life.ALARM_LINE) & (who.since_day <= day.index))
    every = np.array([24, 24, 24, 6, 1])[(mix(who.place[lines], seed, salt("every")) % np.uint64(5)).astype(np.int64)]
    whose = np.repeat(lines, 24 // every)
    turn = np.arange(len(whose)) - np.repeat(np.cumsum(24 // every) - 24 // every, 24 // every)
    minute = (mix(who.place[whose], seed, salt("minute")) % np.uint64(60 * 4)).astype(np.int64)
    step = np.repeat(every, 24 // every)
    started = day.start_ms + np.minimum(minute, step * 60 - 1) * 60_000 + turn * step * 3_600_000 + rng.integers(0, 4_000, len(whose))
    station = home_fixed(mix(mix(who.place[whose], seed) % np.uint64(60), salt("station")))
    count = len(whose)
    talk = (18_000 + 24_000 * unit(mix(who.place[whose], 5)) + 4_000 * rng.random(count)).astype(np.int32)
    rings = np.full(count, 2_000, np.int32)
    return _rows(who, whose, started, station, (rings, talk, np.full(count, 200, np.int16)), seed)


def _arrivals(who: Population, day: Day, rng: np.random.Generator, seed: int) -> Calls:
    """Inbound calls from abroad: families, business partners, and sales calls that ring through whole towns."""
    rate = who.rate * who.abroad * np.float32(0.55) * (who.since_day <= day.index)
    whose = np.repeat(np.arange(who.length), rng.poisson(rate))
    rank = (7 * rng.random(len(whose)) ** 2).astype(np.int64)
    home = who.life[whose] == Life.EXPATRIATE
    kind = np.where(home, HOME_COUNTRY, ELSEWHERE)
    contact = mix(who.place[whose], kind, rank, seed, salt("contact"))
    country = np.where(home, who.home[whose].astype(np.int64), _countries(who, whose, rank, seed))
    caller = abroad_numbers(country, contact)
    median = _MEDIAN_SECONDS[kind]
    answer = np.full(len(whose), 0.62, np.float32)
    quarter = np.searchsorted(calendar.rhythm(calendar.HOME, day.kind), rng.random(len(whose)), side="right")
    started = day.quarters_ms[np.minimum(quarter, 95)] + (rng.random(len(whose)) * calendar.QUARTER_MS).astype(np.int64)
    # Sales calls: one number of a neighbouring country tries many homes in working hours; few of them talk.
    hunted = np.flatnonzero(rng.random(who.length) < (0.004 if day.kind == 0 else 0.0005))
    campaign = mix(np.full(len(hunted), day.index // 5), rng.integers(0, 6, len(hunted)), seed, salt("campaign"))
    seller = abroad_numbers(_occasional[(campaign % np.uint64(8)).astype(np.int64)], campaign, 0.3)
    calling = day.at(9) + (rng.random(len(hunted)) * 36_000_000).astype(np.int64)
    whose = np.concatenate([whose, hunted])
    medians = np.concatenate([median, np.full(len(hunted), 25, np.float32)])
    answers = np.concatenate([answer, np.full(len(hunted), 0.4, np.float32)])
    outcomes = outcome(rng, medians, np.full(len(whose), 1.0, np.float32), answers)
    return _inbound(who.number[whose], np.concatenate([caller, seller]), np.concatenate([started, calling]), outcomes)


def _inbound(
    called: npt.NDArray[np.int64],
    caller: npt.NDArray[np.int64],
    started: npt.NDArray[np.int64],
    outcomes: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int16]],
) -> Calls:
    count = len(called)
    return Calls(
        call_id=np.zeros(count, np.uint64),
        account=called,
        caller=caller,
        callee=called,
        source=sources.PEER_POOL.addresses(mix(caller // 1_000_000) % np.uint64(64)),
        user_agent=np.zeros(count, np.int16),
        edge=(mix(called) % np.uint64(len(sources.EDGES))).astype(np.int8),
        started_ms=started,
        ring_ms=outcomes[0],
        talk_ms=outcomes[1],
        status=outcomes[2],
        direction=np.full(count, IN, np.int8),
        forwarded_by=np.zeros(count, np.int64),
        authenticated=np.ones(count, np.bool_),
        case=np.full(count, -1, np.int32),
    )


def _forwarded(who: Population, day: Day, rng: np.random.Generator, seed: int) -> Calls:
    """Legs of calls that an account forwards to its owner's mobile, some of them abroad."""
    able = np.flatnonzero((who.forwards > 0) & (who.since_day <= day.index))
    whose = np.repeat(able, rng.poisson(np.where(who.segment[able] == population.RESIDENTIAL, 0.4, 2.2)))
    quarter = np.searchsorted(calendar.rhythm(calendar.OFFICE, day.kind), rng.random(len(whose)), side="right")
    started = day.quarters_ms[np.minimum(quarter, 95)] + (rng.random(len(whose)) * calendar.QUARTER_MS).astype(np.int64)
    owner = mix(who.place[whose], seed, salt("owner's mobile"))
    abroad = abroad_numbers(_trade[(owner % np.uint64(len(_trade))).astype(np.int64)], owner, 1.0)
    target = np.where(who.forwards[whose] == 2, abroad, home_mobiles(owner))
    count = len(whose)
    outcomes = outcome(rng, np.full(count, 70, np.float32), np.full(count, 1.0, np.float32), np.full(count, 0.68, np.float32))
    calls = _rows(who, whose, started, target, outcomes, seed)
    calls.direction[:] = FORWARDED
    calls.forwarded_by[:] = calls.account
    calls.caller[:] = home_mobiles(mix(rng.integers(0, 1 << 62, count)))
    return calls


def _softphones(who: Population, day: Day, rng: np.random.Generator, seed: int) -> Calls:
    """Calls from a softphone on holiday, and from those who carry theirs about at home."""
    away = away_on(who, day.index)
    users = np.concatenate([away, np.setdiff1d(np.flatnonzero(who.nomad & (who.since_day <= day.index)), away)])
    whose = np.repeat(users, rng.poisson(np.where(np.arange(len(users)) < len(away), 1.6, 0.9)))
    quarter = np.searchsorted(calendar.rhythm(calendar.HOME, day.kind), rng.random(len(whose)), side="right")
    started = day.quarters_ms[np.minimum(quarter, 95)] + (rng.random(len(whose)) * calendar.QUARTER_MS).astype(np.int64)
    rank = (12 * rng.random(len(whose)) ** 2).astype(np.int64)
    is_away = np.isin(whose, away)
    kind = np.where(rng.random(len(whose)) < 0.5, MOBILE, np.where(rng.random(len(whose)) < 0.6, FAR, LOCAL))
    country = np.array([COUNTRY_NAMES.index(name) if name in COUNTRY_NAMES else 0 for name in population.AWAY_COUNTRIES])[
        who.away_country[whose]
    ]
    there = is_away & (rng.random(len(whose)) < 0.25)
    contact = mix(who.place[whose], kind, rank, seed, salt("contact"))
    callee = np.where(there, abroad_numbers(country, mix(contact, 1)), np.where(kind == MOBILE, home_mobiles(contact), home_fixed(contact)))
    count = len(whose)
    outcomes = outcome(rng, np.full(count, 90, np.float32), np.full(count, 1.1, np.float32), np.full(count, 0.68, np.float32))
    calls = _rows(who, whose, started, callee, outcomes, seed)
    source, agent, _ = softphone_address(who, whose, day.index, seed=seed)
    calls.source[:] = source
    calls.user_agent[:] = agent
    return calls
