"""Who has an account: households, shops, practices, exchanges, and the lives among them that look like fraud and are none.

An account is a row of arrays; what it is follows from a hash of seed and place alone, so a larger population begins with the smaller one.
Rates are calls a day, answered or not; shares follow a German access operator: 8 million accounts of 3 million boxes, many numbers idle,
333 million answered calls a month. The one thing to know: lives carry no label, and nothing here knows of fraud.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from ringfence.simulators.traffic import calendar, sources
from ringfence.simulators.traffic.chance import mix, salt, unit, weighted
from ringfence.simulators.traffic.numbers import AREAS, COUNTRIES, COUNTRY_CODE, DEAR_HABITS, EXPATRIATE_HOMES, HOLIDAYS_IN

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Chance = Callable[[str], npt.NDArray[np.float64]]
"""One fraction an account, by purpose."""

COUNTRY_NAMES = tuple(COUNTRIES)
RESIDENTIAL, BUSINESS, TRUNK = range(3)
SEGMENTS = ("residential", "business", "trunk")


class Life(IntEnum):
    """How an account is used."""

    IDLE = 0
    HOUSEHOLD = 1
    ELDERLY = 2
    EXPATRIATE = 3
    FAX = 4
    ALARM_LINE = 5
    OFFICE = 6
    PRACTICE = 7
    EXPORTER = 8
    EXCHANGE = 9
    HOTEL = 10
    CALL_CENTRE = 11
    CALL_SHOP = 12
    RELIEF = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """A life in figures: share of accounts, mean calls a day, their spread, channels, rhythm, share and reach of international calls."""

    share: float
    rate: float
    spread: float
    segment: int
    channels: tuple[int, int]
    rhythm: int
    abroad: float
    talk: float = 1.0


KINDS: dict[Life, _Kind] = {
    Life.IDLE: _Kind(share=0.300, rate=0.04, spread=0.8, segment=RESIDENTIAL, channels=(2, 2), rhythm=calendar.HOME, abroad=0.005),
    Life.HOUSEHOLD: _Kind(share=0.401, rate=1.2, spread=0.95, segment=RESIDENTIAL, channels=(2, 2), rhythm=calendar.HOME, abroad=0.007),
    Life.ELDERLY: _Kind(
        share=0.095, rate=2.6, spread=0.7, segment=RESIDENTIAL, channels=(2, 2), rhythm=calendar.HOME, abroad=0.004, talk=1.4
    ),
    Life.EXPATRIATE: _Kind(share=0.120, rate=1.9, spread=0.8, segment=RESIDENTIAL, channels=(2, 2), rhythm=calendar.HOME, abroad=0.66),
    Life.FAX: _Kind(share=0.010, rate=1.2, spread=0.9, segment=RESIDENTIAL, channels=(2, 2), rhythm=calendar.OFFICE, abroad=0.02, talk=0.4),
    Life.ALARM_LINE: _Kind(share=0.004, rate=0.0, spread=0.0, segment=RESIDENTIAL, channels=(2, 2), rhythm=calendar.NIGHT, abroad=0.0),
    Life.OFFICE: _Kind(share=0.056, rate=7.5, spread=0.8, segment=BUSINESS, channels=(2, 4), rhythm=calendar.OFFICE, abroad=0.012),
    Life.PRACTICE: _Kind(
        share=0.005, rate=42.0, spread=0.35, segment=BUSINESS, channels=(4, 4), rhythm=calendar.OFFICE, abroad=0.0008, talk=0.75
    ),
    Life.EXPORTER: _Kind(share=0.004, rate=14.0, spread=0.7, segment=BUSINESS, channels=(4, 10), rhythm=calendar.OFFICE, abroad=0.30),
    Life.EXCHANGE: _Kind(share=0.0045, rate=55.0, spread=0.8, segment=TRUNK, channels=(8, 30), rhythm=calendar.OFFICE, abroad=0.03),
    Life.HOTEL: _Kind(share=0.0004, rate=30.0, spread=0.5, segment=TRUNK, channels=(8, 20), rhythm=calendar.SHOP, abroad=0.22),
    Life.CALL_CENTRE: _Kind(
        share=0.00003, rate=4300.0, spread=0.25, segment=TRUNK, channels=(30, 100), rhythm=calendar.OFFICE, abroad=0.004
    ),
    Life.CALL_SHOP: _Kind(share=0.00003, rate=90.0, spread=0.4, segment=BUSINESS, channels=(6, 10), rhythm=calendar.SHOP, abroad=0.93),
    Life.RELIEF: _Kind(share=0.00006, rate=18.0, spread=0.5, segment=BUSINESS, channels=(4, 10), rhythm=calendar.OFFICE, abroad=0.35),
}
RARE = (Life.CALL_CENTRE, Life.CALL_SHOP, Life.RELIEF, Life.HOTEL, Life.ALARM_LINE, Life.PRACTICE, Life.EXPORTER, Life.EXCHANGE)
"""Lives that even a population of `SMALL_POPULATION` has once."""
SMALL_POPULATION = 500
CALL_CENTRES_FROM = 5_000
"""Accounts below which there is no call centre, which would make most of the calls."""

NIGHTLY_MINUTES = 1_440
STATIC_MINUTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Population:
    """Accounts as columns. Days count from the first simulated day; -1 means never."""

    place: Integers
    number: Integers
    life: npt.NDArray[np.int8]
    segment: npt.NDArray[np.int8]
    channels: npt.NDArray[np.int16]
    rate: Floats
    rhythm: npt.NDArray[np.int8]
    abroad: Floats
    talk: Floats
    home: npt.NDArray[np.int8]
    """Place in `COUNTRY_NAMES` of the country where an expatriate's family lives."""
    user_agent: npt.NDArray[np.int16]
    next_agent: npt.NDArray[np.int16]
    swap_ms: Integers
    """From this moment on the telephone is `next_agent`: a new box, or its new firmware. 0 never."""
    swapped: npt.NDArray[np.bool_]
    """True for a new box, False for new firmware."""
    pool: npt.NDArray[np.int8]
    """Region 0 to 4, 5 fixed address, 6 shared address."""
    period: npt.NDArray[np.int32]
    """Minutes between two changes of address."""
    phase: npt.NDArray[np.int32]
    since_day: npt.NDArray[np.int16]
    """Days before the first simulated day when the contract began (negative), or the day of it."""
    away_from: npt.NDArray[np.int16]
    away_days: npt.NDArray[np.int16]
    away_country: npt.NDArray[np.int8]
    """A softphone abroad on holiday: first day, days, place in `AWAY_COUNTRIES`."""
    nomad: npt.NDArray[np.bool_]
    """A softphone in other networks at home, as well as the box."""
    forwards: npt.NDArray[np.int8]
    """Calls are forwarded: 0 no, 1 to a mobile at home, 2 to a mobile abroad."""

    @property
    def length(self) -> int:
        """Accounts."""
        return len(self.place)

    def part(self, first: int, last: int) -> "Population":
        """The accounts from `first` to before `last`."""
        return Population(*(getattr(self, field.name)[first:last] for field in fields(self)))


_HABITS = np.array([DEAR_HABITS.get(name, 1.0) for name in COUNTRY_NAMES], np.float32)
AWAY_COUNTRIES = tuple(sources.LINES_ABROAD)


def people(count: int, *, seed: int, days: int, first_ms: int) -> Population:
    """A population of `count` accounts for `days` days from the local midnight `first_ms`."""
    place = np.arange(count, dtype=np.int64)

    def chance(purpose: str) -> npt.NDArray[np.float64]:
        return unit(mix(place, seed, salt(purpose)))

    life = _lives(count, seed, chance("life"))
    kinds = [KINDS[each] for each in Life]
    spread = np.array([kind.spread for kind in kinds], np.float32)[life]
    normal = _normal(chance("rate"), chance("rate2"))
    rate = np.array([kind.rate for kind in kinds], np.float32)[life] * np.exp(spread * normal - spread * spread / 2)
    low = np.array([kind.channels[0] for kind in kinds])[life]
    high = np.array([kind.channels[1] for kind in kinds])[life]
    segment = np.array([kind.segment for kind in kinds], np.int8)[life]
    abroad = np.array([kind.abroad for kind in kinds], np.float32)[life] * (0.25 + 1.5 * chance("abroad")).astype(np.float32)
    agent, following, swap_ms, swapped = _telephones(segment, chance, days, first_ms)
    pool, period, phase = _lines(segment, chance)
    home = _homes(chance("home"))
    # Where a minute is dear, families call less often and hang up sooner.
    habit = np.where(life == Life.EXPATRIATE, _HABITS[home], np.float32(1))
    abroad = abroad * habit
    away_from, away_days, away_country = _journeys(life, home, chance, days)
    return Population(
        place=place,
        number=_numbers(count, seed, segment),
        life=life.astype(np.int8),
        segment=segment,
        channels=(low + chance("channels") * (high - low + 1)).astype(np.int16),
        rate=np.minimum(rate, 6_000).astype(np.float32),
        rhythm=np.array([kind.rhythm for kind in kinds], np.int8)[life],
        abroad=np.minimum(abroad, 0.97),
        talk=(
            np.array([kind.talk for kind in kinds], np.float32)[life]
            * np.sqrt(habit)
            * np.exp(0.3 * _normal(chance("talk"), chance("talk2")))
        ).astype(np.float32),
        home=home,
        user_agent=agent,
        next_agent=following,
        swap_ms=swap_ms,
        swapped=swapped,
        pool=pool,
        period=period,
        phase=phase,
        since_day=_beginnings(life, chance, days),
        away_from=away_from,
        away_days=away_days,
        away_country=away_country,
        nomad=((chance("nomad") < 0.009) & np.isin(life, (Life.HOUSEHOLD, Life.OFFICE, Life.EXPATRIATE))),
        forwards=np.where(chance("forwards") < 0.022, np.where(chance("forwards2") < 0.04, 2, 1), 0).astype(np.int8)
        * np.isin(life, (Life.HOUSEHOLD, Life.OFFICE, Life.PRACTICE, Life.EXPORTER)).astype(np.int8),
    )


def hard_lives(who: Population) -> dict[str, Integers]:
    """The lives that are hard to tell from fraud, and their places in the population."""
    named = {Life(each).name.lower(): np.flatnonzero(who.life == each) for each in range(Life.EXPATRIATE, len(Life)) if each != Life.OFFICE}
    named["elderly"] = np.flatnonzero(who.life == Life.ELDERLY)
    named["device_swap"] = np.flatnonzero(who.swapped)
    named["traveller"] = np.flatnonzero(who.away_from >= 0)
    named["nomad"] = np.flatnonzero(who.nomad)
    named["new_customer"] = np.flatnonzero(who.since_day > 0)
    named["forwards_home"] = np.flatnonzero(who.forwards == 1)
    named["forwards_abroad"] = np.flatnonzero(who.forwards == 2)
    return named


def _lives(count: int, seed: int, chance: npt.NDArray[np.float64]) -> Integers:
    life = weighted(chance, [KINDS[each].share for each in Life])
    if count < CALL_CENTRES_FROM:
        life[life == Life.CALL_CENTRE] = Life.OFFICE
    if count >= SMALL_POPULATION:
        rare = [each for each in RARE if count >= CALL_CENTRES_FROM or each is not Life.CALL_CENTRE]
        life[[int(mix([seed], rank, salt("rare"))[0] % np.uint64(count)) for rank in range(len(rare))]] = rare
    return life


def _numbers(count: int, seed: int, segment: npt.NDArray[np.int8]) -> Integers:
    """Subscriber numbers in real areas, each once. Exchanges have blocks of a hundred that begin with 8 or 9."""
    place = np.arange(count, dtype=np.int64)
    area = weighted(unit(mix(place, seed, salt("area"))), list(AREAS.values()))
    trunk = segment == TRUNK
    group = area * 2 + trunk
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group, minlength=2 * len(AREAS))
    rank = np.empty(count, np.int64)
    rank[order] = place - np.repeat(np.cumsum(sizes) - sizes, sizes)
    # Seven digits in large areas, six behind longer codes; a step without common divisor makes the walk through them one-to-one.
    unit_of = np.array([1_000_000 if len(code) < 4 else 100_000 for code in AREAS], np.int64)[area]
    local = np.where(trunk, 8 * unit_of + rank * 7_919 % (unit_of // 50) * 100, 2 * unit_of + rank * 2_621_441 % (6 * unit_of))
    codes = np.array([int(f"{COUNTRY_CODE}{code}") for code in AREAS], np.int64)
    return codes[area] * unit_of * 10 + local


def _telephones(segment: npt.NDArray[np.int8], draw: Chance, days: int, first_ms: int) -> tuple[npt.NDArray[Any], ...]:
    box = sources.FIRST_BOX + 2 * weighted(draw("box"), sources.BOX_SHARES)
    updated = draw("firmware")
    agent = box + (updated < 0.55)
    business = (segment == BUSINESS) & (draw("business phone") < 0.45)
    agent = np.where(business, sources.FIRST_PHONE + weighted(draw("phone"), [1] * len(sources.PHONES)), agent)
    trunk = segment == TRUNK
    agent = np.where(trunk, sources.FIRST_EXCHANGE + weighted(draw("exchange"), [1] * len(sources.EXCHANGES)), agent)
    following = np.where(~business & ~trunk & (updated >= 0.55), agent + 1, agent)
    # Firmware comes in waves of one box family: in a month about one box in five is updated, most in two nights.
    wave = (mix(box, salt("wave")) % np.uint64(60)).astype(np.int64)
    day = np.where((following != agent) & (draw("wave") < 0.8), wave + (draw("wave2") < 0.3), -1)
    swapped = draw("swap") < 0.006 * days / 30
    other = sources.FIRST_BOX + 2 * weighted(draw("new box"), sources.BOX_SHARES) + 1
    following = np.where(swapped & ~trunk, other, following)
    day = np.where(swapped & ~trunk, (draw("swap day") * days).astype(np.int64), day)
    swapped &= ~trunk & (other != agent)
    # Firmware at night; a new box when somebody is at home.
    hour = np.where(swapped, 9 + 11 * draw("swap hour"), 1.5 + 3 * draw("swap hour"))
    moment = np.where(day >= 0, first_ms + day * calendar.DAY_MS + (hour * 3_600_000).astype(np.int64), 0)
    return agent.astype(np.int16), following.astype(np.int16), moment, swapped


def _lines(segment: npt.NDArray[np.int8], draw: Chance) -> tuple[npt.NDArray[Any], ...]:
    kind = draw("line")
    fixed = np.where(segment == TRUNK, kind < 0.85, np.where(segment == BUSINESS, kind < 0.4, kind < 0.0))
    shared = ~fixed & (draw("shared") < np.where(segment == RESIDENTIAL, 0.12, 0.0))
    pool = np.where(fixed, 5, np.where(shared, 6, (draw("region") * 5).astype(np.int64)))
    change = draw("change")
    often = change < 0.33
    period = np.where(often, NIGHTLY_MINUTES, (NIGHTLY_MINUTES * (12 + 170 * draw("period"))).astype(np.int64))
    period = np.where(shared, 360 + (draw("period") * 2_520).astype(np.int64), np.where(fixed, STATIC_MINUTES, period))
    # A nightly reconnect comes between two and five in the morning, which is what the phase of a daily period is.
    phase = np.where(often & ~shared, NIGHTLY_MINUTES - 120 - 180 * draw("phase"), period * draw("phase"))
    return pool.astype(np.int8), period.astype(np.int32), np.where(fixed, 0, phase).astype(np.int32)


def _homes(chance: npt.NDArray[np.float64]) -> npt.NDArray[np.int8]:
    places = np.array([COUNTRY_NAMES.index(country) for country in EXPATRIATE_HOMES], np.int8)
    return places[weighted(chance, list(EXPATRIATE_HOMES.values()))]


def _journeys(life: Integers, home: npt.NDArray[np.int8], draw: Chance, days: int) -> tuple[npt.NDArray[Any], ...]:
    able = np.isin(life, (Life.HOUSEHOLD, Life.EXPATRIATE, Life.OFFICE, Life.EXPORTER))
    goes = able & (draw("journey") < 0.012 * max(1.0, days / 30))
    length = 3 + (draw("journey days") * 14).astype(np.int64)
    first = (draw("journey day") * max(1, days)).astype(np.int64)
    common = np.array([AWAY_COUNTRIES.index(country) for country in HOLIDAYS_IN])
    country = common[weighted(draw("journey to"), [28, 22, 16, 9, 7, 6, 5, 3, 2, 2])]
    # Expatriates go home: the family's country, called from there, on the family's own holiday.
    at_home = np.array([AWAY_COUNTRIES.index(name) if name in AWAY_COUNTRIES else -1 for name in COUNTRY_NAMES])[home]
    country = np.where((life == Life.EXPATRIATE) & (at_home >= 0), at_home, country)
    return np.where(goes, first, -1).astype(np.int16), np.where(goes, length, 0).astype(np.int16), country.astype(np.int8)


def _beginnings(life: Integers, draw: Chance, days: int) -> npt.NDArray[np.int16]:
    age = -(30 + 5_400 * draw("age") ** 1.3).astype(np.int64)
    fresh = draw("fresh") < 0.004
    return np.where(fresh & (life < Life.EXCHANGE), (draw("age") * (days + 20) - 20).astype(np.int64), age).astype(np.int16)


def _normal(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Box and Muller: two fractions make one normal deviate."""
    return (np.sqrt(-2.0 * np.log1p(-first)) * np.cos(2.0 * np.pi * second)).astype(np.float32)
