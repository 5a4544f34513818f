"""Where a line is and what telephone stands behind it at any moment: nightly addresses, shared ones, fallback over a mobile link, swaps.

All of it is a function of account and time, so that a call and a registration of the same minute show the same, without a memory. The one
thing to know: the epoch of a line counts its changes of address, and a registration is made at each.
"""

import numpy as np
import numpy.typing as npt

from ringfence.simulators.traffic import population, sources
from ringfence.simulators.traffic.calendar import DAY_MS, Day
from ringfence.simulators.traffic.chance import generator, mix, salt, unit
from ringfence.simulators.traffic.columns import Registrations
from ringfence.simulators.traffic.population import AWAY_COUNTRIES, Population

EPOCH_ZERO_MS = 1_577_836_800_000
"""Minutes of address periods count from here: the year 2020, an hour before local midnight."""
FALLBACK_SHARE = 0.0006
"""Lines a day that lose their cable for some hours and go over a mobile link."""
BOX_EXPIRES, SOFTPHONE_EXPIRES = 1_800, 600
REBOOT_SHARE = 0.004

Places = npt.NDArray[np.int64]


def epoch_of(who: Population, whose: Places, at_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many addresses a line has had."""
    return ((at_ms - EPOCH_ZERO_MS) // 60_000 + 60 + who.phase[whose]) // who.period[whose]


def address_of(who: Population, whose: Places, at_ms: npt.NDArray[np.int64], *, seed: int) -> npt.NDArray[np.uint32]:
    """The address of each account's line at a moment."""
    hashes = mix(who.place[whose], epoch_of(who, whose, at_ms), seed, salt("address"))
    pool = who.pool[whose]
    address = np.zeros(len(whose), np.uint32)
    for place, block in enumerate((*sources.OWN_POOLS, sources.STATIC_POOL, sources.CGNAT_POOL)):
        mine = pool == place
        address[mine] = block.addresses(hashes[mine])
    # A line on its mobile link: which ones, and for how long, is a function of line and day.
    day = (at_ms - EPOCH_ZERO_MS) // DAY_MS
    begins, ends = _fallback(who, whose, day, seed=seed)
    down = (begins >= 0) & (at_ms >= begins) & (at_ms < ends)
    address[down] = mobile_link(who.place[whose[down]], day[down], seed=seed)
    return address


def agent_of(who: Population, whose: Places, at_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.int16]:
    """The User-Agent of each account's own telephone at a moment."""
    swap_ms = who.swap_ms[whose]
    return np.where((swap_ms > 0) & (at_ms >= swap_ms), who.next_agent[whose], who.user_agent[whose])


def mobile_link(place: Places, day: npt.NDArray[np.int64], *, seed: int) -> npt.NDArray[np.uint32]:
    """Addresses in the mobile operators' translation."""
    hashes = mix(place, day, seed, salt("mobile link"))
    return np.choose(
        (hashes >> np.uint64(50)).astype(np.int64) % 3, [block.addresses(hashes % np.uint64(2_000)) for block in sources.MOBILE_HOME]
    ).astype(np.uint32)


def away_on(who: Population, day: int) -> Places:
    """Accounts whose softphone is abroad on a day."""
    return np.flatnonzero((who.away_from >= 0) & (who.away_from <= day) & (day < who.away_from + who.away_days))


def softphone_address(
    who: Population, whose: Places, day: int, *, seed: int
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int16], npt.NDArray[np.uint32]]:
    """`(address, User-Agent, host in the Contact)` of each account's softphone on a day."""
    away = np.isin(whose, away_on(who, day))
    # Two or three networks on a holiday; a nomad is in a mobile network, a café, an office by turns.
    spell = np.where(away, day // 6, day)
    hashes = mix(who.place[whose], spell, seed, salt("softphone"))
    address = np.choose(
        (hashes >> np.uint64(52)).astype(np.int64) % 6,
        [block.addresses(hashes) for block in (*sources.MOBILE_HOME, *sources.OTHER_HOME)],
    ).astype(np.uint32)
    for place, country in enumerate(AWAY_COUNTRIES):
        there = away & (who.away_country[whose] == place)
        if there.any():
            blocks = sources.LINES_ABROAD[country]
            pick = (hashes[there] >> np.uint64(45)).astype(np.int64) % len(blocks)
            address[there] = np.choose(pick, [block.addresses(hashes[there]) for block in blocks]).astype(np.uint32)
    kind = mix(who.place[whose], seed, salt("softphone kind")) % np.uint64(len(sources.SOFTPHONES))
    agent = (sources.FIRST_SOFTPHONE + kind.astype(np.int64)).astype(np.int16)
    return address, agent, private_host(hashes)


def private_host(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]:
    """A telephone's address in a private network, as its Contact shows it."""
    return (np.uint64(192 << 24 | 168 << 16) + hashes % np.uint64(3) * np.uint64(256) + np.uint64(20) + hashes % np.uint64(180)).astype(
        np.uint32
    )


def registrations_of_day(who: Population, day: Day, *, seed: int) -> Registrations:
    """REGISTERs of a day that changed something: new addresses, reboots, swaps, links, softphones; and mistyped passwords."""
    rng = generator(seed, "registrations", day.index)
    active = who.since_day <= day.index
    everyone = np.arange(who.length)
    whose: list[Places] = []
    at: list[npt.NDArray[np.int64]] = []

    def add(places: Places, moments: npt.NDArray[np.int64]) -> None:
        whose.append(places)
        at.append(moments)

    if day.index == 0:
        known = everyone[active & (who.since_day < 0)]
        add(known, day.start_ms + rng.integers(0, BOX_EXPIRES * 1_000, len(known)))
    begun = everyone[(who.since_day == day.index) & (who.since_day >= 0)]
    add(begun, day.start_ms + (3_600_000 * (8 + 10 * rng.random(len(begun)))).astype(np.int64))
    # Each change of address between the two midnights.
    last = epoch_of(who, everyone, np.full(who.length, day.end_ms - 1))
    changes = (last - epoch_of(who, everyone, np.full(who.length, day.start_ms - 1))) * active
    changed = np.repeat(everyone, changes)
    turn = np.arange(len(changed)) - np.repeat(np.cumsum(changes) - changes, changes)
    epoch = last[changed] - turn
    moment = (epoch * who.period[changed].astype(np.int64) - who.phase[changed] - 60) * 60_000 + EPOCH_ZERO_MS
    add(changed, moment + rng.integers(1_000, 50_000, len(changed)))
    reboots = everyone[active & (rng.random(who.length) < REBOOT_SHARE)]
    add(reboots, day.start_ms + (DAY_MS * rng.random(len(reboots))).astype(np.int64))
    swapping = everyone[active & (who.swap_ms >= day.start_ms) & (who.swap_ms < day.end_ms)]
    add(swapping, who.swap_ms[swapping] + rng.integers(0, 20_000, len(swapping)))
    begins, ends = _fallback(who, everyone, np.full(who.length, (day.start_ms + 7_200_000 - EPOCH_ZERO_MS) // DAY_MS), seed=seed)
    down = everyone[active & (begins >= 0)]
    add(down, begins[down] + rng.integers(500, 8_000, len(down)))
    add(down, ends[down] + rng.integers(500, 8_000, len(down)))
    places, moments = np.concatenate(whose), np.concatenate(at)
    boxes = _registered(who, places, moments, address_of(who, places, moments, seed=seed), agent_of(who, places, moments), BOX_EXPIRES)
    rows = Registrations.joined([boxes, _softphone_registrations(who, day, rng, seed), _mistyped(who, day, rng, seed)])
    return rows.take((rows.at_ms >= day.start_ms) & (rows.at_ms < day.end_ms)).sorted()


def _fallback(
    who: Population, whose: Places, day: npt.NDArray[np.int64], *, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """When a line is on its mobile link on a day (counted in UTC from `EPOCH_ZERO_MS`), or -1."""
    hashes = mix(who.place[whose], day, seed, salt("fallback"))
    chosen = (unit(hashes) < FALLBACK_SHARE) & (who.segment[whose] != population.TRUNK)
    fraction = unit(mix(hashes, 1))
    begins = EPOCH_ZERO_MS + day * DAY_MS + (fraction * 0.6 * DAY_MS).astype(np.int64)
    return np.where(chosen, begins, -1), begins + (1_200_000 + unit(mix(hashes, 2)) * 0.28 * DAY_MS).astype(np.int64)


def _registered(
    who: Population,
    places: Places,
    moments: npt.NDArray[np.int64],
    address: npt.NDArray[np.uint32],
    agent: npt.NDArray[np.int16],
    expires: int,
    host: npt.NDArray[np.uint32] | None = None,
) -> Registrations:
    count = len(places)
    return Registrations(
        at_ms=moments,
        account=who.number[places],
        source=address,
        user_agent=agent,
        contact_host=address if host is None else host,
        contact_port=np.full(count, 5060, np.uint16),
        expires=np.full(count, expires, np.int32),
        status=np.full(count, 200, np.int16),
    )


def _softphone_registrations(who: Population, day: Day, rng: np.random.Generator, seed: int) -> Registrations:
    users = np.union1d(away_on(who, day.index), np.flatnonzero(who.nomad & (who.since_day <= day.index)))
    moments = day.at(7) + (rng.random(len(users)) * 3_600_000).astype(np.int64)
    address, agent, host = softphone_address(who, users, day.index, seed=seed)
    return _registered(who, users, moments, address, agent, SOFTPHONE_EXPIRES, host)


def _mistyped(who: Population, day: Day, rng: np.random.Generator, seed: int) -> Registrations:
    """Somebody sets up a telephone and mistypes the password, or a forgotten one goes on with an old one."""
    wrong = np.flatnonzero(rng.random(who.length) < 0.0006)
    tries = rng.integers(1, 9, len(wrong))
    whose = np.repeat(wrong, tries)
    turn = np.arange(len(whose)) - np.repeat(np.cumsum(tries) - tries, tries)
    base = day.at(8) + (rng.random(len(wrong)) * 40_000_000).astype(np.int64)
    moments = np.repeat(base, tries) + turn * rng.integers(15_000, 90_000, len(whose))
    rows = _registered(who, whose, moments, address_of(who, whose, moments, seed=seed), agent_of(who, whose, moments), BOX_EXPIRES)
    rows.status[:] = np.where(rng.random(len(whose)) < 0.9, 401, 403)
    return rows
