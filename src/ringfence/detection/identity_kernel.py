# ruff: noqa: C901, PLR0912, PLR0915, PLR1714, SIM108, SIM109
"""What is new about an account's sources and devices: rows in, events out, over memory alone.

Most rows are a phone at home that was there yesterday: one look at one word says so. Only an account that is used from a foreign network,
by a second kind of device or oddly has a slot, in which this finds networks, families and bindings, learns and forgets them, and writes an
event where something is new. Integers only, no allocation, no text, no clock: replicas agree byte for byte. Memory is raw addresses when
compiled and arrays otherwise (`kernel` says why); `tests/unit/detection/identity_oracle.py` is the specification.
"""

from typing import Any, Final

from ringfence.detection.identity_layout import (
    BINDING,
    BINDING_SECONDS,
    CONFIRM_DAYS,
    COUNTRIES_A_DAY,
    DAY,
    DAY_MASK,
    E_COUNTRY,
    E_DAYS,
    E_ENDED,
    E_FACTS,
    E_KEY,
    E_KNOWN,
    E_LAST,
    E_REGISTERED,
    E_SCORE,
    E_SINCE,
    E_TOLD,
    ENTRY,
    EPOCH,
    EVENT,
    F_CHANNELS,
    F_DEAR,
    F_EXEMPT,
    FAMILY,
    FAMILY_MASK,
    GROUP_MASK,
    H_COUNT,
    H_DAYS,
    H_FACTS,
    H_HOME,
    H_ODD,
    H_SUSPECT,
    H_TOLD,
    H_TRAVEL,
    HEADER,
    HOME_MASK,
    HOME_STEP,
    HOT,
    HOUR,
    L_BINDINGS_ACT,
    L_BINDINGS_WARN,
    L_EUROPE,
    L_FAMILY,
    L_FIRST_CALL,
    L_FORGET,
    L_JOURNEY,
    L_LEARNING,
    L_ODD,
    L_OTHER,
    L_QUIET,
    L_SAME,
    L_SCANNER,
    L_SEQUENCE_ACT,
    L_SEQUENCE_MS,
    L_SPEED,
    L_STABLE,
    L_STRANGE,
    L_STRANGE_MS,
    LIMITS,
    MAX_BINDING_SECONDS,
    MAX_BINDINGS,
    MAX_CLASS,
    MAX_EVENTS_A_ROW,
    MAX_FAMILIES,
    MAX_NETWORKS,
    MINUTE,
    NEAR_KM,
    NETWORK,
    NOMADIC_NETWORKS,
    ODD_MINUTES,
    OUTPUT_EVENTS,
    PERIOD_DAYS,
    PERIODS,
    R_ACCOUNTS,
    R_ARENA_TOP,
    R_ARENA_UNITS,
    R_CAPACITY,
    R_EVICTED,
    R_FREE,
    R_HOME_COUNTRY,
    R_LIVE_UNITS,
    R_LOOKED,
    R_MAX_ACCOUNTS,
    R_NEXT_SWEEP,
    R_NOW,
    R_OUT,
    R_ROWS,
    R_SLOTS,
    R_STATUS,
    SEQUENCE_REST,
    SLOT_MASK,
    SWEEPS_A_DAY,
    TRUST_WITHDRAWN,
    UNIT,
    W_DAY,
    W_DEAR,
    W_FAMILY,
    W_HOME,
    W_REGISTERS,
    W_SEGMENT,
    W_SLOT,
    X_A,
    X_AT,
    X_B,
    X_C,
    X_KEY,
    X_LEVEL,
    X_ROW,
    X_RULE,
    X_SCORE,
    X_SEGMENT,
    Said,
    Status,
)
from ringfence.detection.identity_places import CELLS, PLACE
from ringfence.detection.kernel import COMPILED, Memory, base, compiled, inlined, ld, ld_u8, ld_u16, prefetch, st

LOW: Final = 0xFFFFFFFF
AHEAD: Final = 24
AHEAD_SLOT: Final = 8

ATTEMPT: Final = 1
CALL: Final = 4
REGISTRATION: Final = 5
LAPSED: Final = 408
UNKEYED: Final = 2
FORWARDED: Final = 4 | 64  # forwarded or referred: the source is not the account's device
NATIONAL_VALUE: Final = 8
NONCE_REUSED: Final = 256
USER_MISMATCH: Final = 512
SCANNER: Final = 1024
ODD: Final = NONCE_REUSED | USER_MISMATCH
SCORE_MASK: Final = 0x7F
NOBODY: Final = -1

D30: Final = int(Said.D30)
D31: Final = int(Said.D31)
D32: Final = int(Said.D32)
D33: Final = int(Said.D33)
D34: Final = int(Said.D34)
D36: Final = int(Said.D36)
D37: Final = int(Said.D37)

DONE: Final = int(Status.DONE)
OUTPUT_FULL: Final = int(Status.OUTPUT_FULL)
TABLE_FULL: Final = int(Status.TABLE_FULL)
ARENA_FULL: Final = int(Status.ARENA_FULL)


def _address_on(memory: Any, words: int) -> Any:
    return memory + 8 * words


def _array_on(memory: Any, words: int) -> Any:
    return memory[words:]


onward: Any = inlined(_address_on) if COMPILED else _array_on
"""Memory from a word on."""


# --- table and arena -----------------------------------------------------------------------------------------------------------------


@inlined
def _home_of(key: int, capacity: int) -> int:
    """Where the probing for a key starts: by its high half, as the low bits choose the lane, at a cache line of four records."""
    return ((((key >> 32) & LOW) * (capacity >> 2)) >> 32) << 2


@inlined
def _find(hot: Memory, capacity: int, key: int) -> int:
    """Word of the record of a key, or `-1 - word` of the empty record where it belongs."""
    place = _home_of(key, capacity)
    while True:
        found = ld(hot, place * HOT)
        if found == key:
            return place * HOT
        if found == 0:
            return -1 - place * HOT
        place += 1
        if place == capacity:
            place = 0


@compiled
def _take(arena: Memory, regs: Memory, size_class: int) -> int:
    """A zeroed slot of `2^size_class` units. The caller made sure that there is room."""
    head = ld(regs, R_FREE + size_class)
    if head != 0:
        st(regs, R_FREE + size_class, ld(arena, head * UNIT))
        st(arena, head * UNIT, 0)
    else:
        head = ld(regs, R_ARENA_TOP)
        st(regs, R_ARENA_TOP, head + (1 << size_class))
    st(regs, R_LIVE_UNITS, ld(regs, R_LIVE_UNITS) + (1 << size_class))
    st(arena, head * UNIT + H_COUNT, size_class << 32)
    return head


@compiled
def _give(arena: Memory, regs: Memory, slot: int) -> None:
    """Zero a slot and put it on its free list, last in first out."""
    size_class = ld(arena, slot * UNIT + H_COUNT) >> 32
    for word in range(slot * UNIT, (slot + (1 << size_class)) * UNIT):
        st(arena, word, 0)
    st(arena, slot * UNIT, ld(regs, R_FREE + size_class))
    st(regs, R_FREE + size_class, slot)
    st(regs, R_LIVE_UNITS, ld(regs, R_LIVE_UNITS) - (1 << size_class))


@inlined
def _count(arena: Memory, slot: int) -> int:
    return ld(arena, slot * UNIT + H_COUNT) & LOW


@inlined
def _entry(slot: int, place: int) -> int:
    """Word of an entry."""
    return slot * UNIT + HEADER + place * ENTRY


@compiled
def _drop(arena: Memory, slot: int, place: int) -> None:
    """Remove an entry; the last one takes its place."""
    last = _count(arena, slot) - 1
    for word in range(ENTRY):
        st(arena, _entry(slot, place) + word, ld(arena, _entry(slot, last) + word))
        st(arena, _entry(slot, last) + word, 0)
    st(arena, slot * UNIT + H_COUNT, ld(arena, slot * UNIT + H_COUNT) - 1)


@compiled
def _resize(hot: Memory, arena: Memory, regs: Memory, word: int, size_class: int) -> int:
    """Move an account's slot into one of another size; returns the new one."""
    old = (ld(hot, word + 1) >> 8) & SLOT_MASK
    count = _count(arena, old)
    new = _take(arena, regs, size_class)
    for each in range(1, HEADER + count * ENTRY):
        st(arena, new * UNIT + each, ld(arena, old * UNIT + each))
    st(arena, new * UNIT + H_COUNT, count | (size_class << 32))
    _give(arena, regs, old)
    st(hot, word + 1, (ld(hot, word + 1) & 0xFF) | (new << 8))
    return new


@compiled
def _add(hot: Memory, arena: Memory, regs: Memory, word: int, kind: int, most: int) -> int:
    """A new, zeroed entry of a kind, as its word; when there are `most` already, one of them goes. May move the slot."""
    slot = (ld(hot, word + 1) >> 8) & SLOT_MASK
    held, worst, least = 0, -1, 0
    for place in range(_count(arena, slot)):
        entry = _entry(slot, place)
        facts = ld(arena, entry + E_FACTS)
        if facts & 3 == kind:
            held += 1
            worth = ld(arena, entry + E_LAST) + (facts & E_KNOWN) * (1 << 56)
            if worst < 0 or worth < least or (worth == least and ld(arena, entry + E_KEY) < ld(arena, _entry(slot, worst) + E_KEY)):
                worst, least = place, worth
    if held >= most:
        _drop(arena, slot, worst)
        st(regs, R_EVICTED, ld(regs, R_EVICTED) + 1)
    count = _count(arena, slot)
    size_class = ld(arena, slot * UNIT + H_COUNT) >> 32
    if HEADER + (count + 1) * ENTRY > UNIT << size_class:
        slot = _resize(hot, arena, regs, word, size_class + 1)
    st(arena, slot * UNIT + H_COUNT, ld(arena, slot * UNIT + H_COUNT) + 1)
    entry = _entry(slot, count)
    st(arena, entry + E_FACTS, kind)
    return entry


@inlined
def _lookup(arena: Memory, slot: int, kind: int, key: int) -> int:
    """Word of the entry of a kind and key, -1 when there is none."""
    for place in range(_count(arena, slot)):
        entry = _entry(slot, place)
        if ld(arena, entry + E_KEY) == key and ld(arena, entry + E_FACTS) & 3 == kind:
            return entry
    return -1


# --- time ----------------------------------------------------------------------------------------------------------------------------


@inlined
def _day(at: int) -> int:
    return (at - EPOCH) // DAY


@inlined
def _home_time(step: int) -> int:
    return EPOCH + step * HOME_STEP


@inlined
def _period(at: int) -> int:
    """The period of a C3+ call as it is kept: 1 to PERIODS."""
    return _day(at) // PERIOD_DAYS % PERIODS + 1


@inlined
def _has_habit(kept: int, at: int) -> bool:
    """Whether the last C3+ call was in this period or the one before."""
    return kept != 0 and (_period(at) - kept) % PERIODS <= 1


@inlined
def _without_old_habit(word: int, bit: int, now: int) -> int:
    """`word` without the C3+ period at `bit` once that is over, for late rows too, and long before its number comes round again."""
    kept = (word >> bit) & 15
    return word & ~(15 << bit) if kept != 0 and (_period(now) - kept) % PERIODS > 2 else word


# --- from the packed word to a slot and back -----------------------------------------------------------------------------------------


@compiled
def _unpack(hot: Memory, arena: Memory, regs: Memory, word: int) -> int:
    """Give an account a slot that says what its word said."""
    packed = ld(hot, word + 1)
    slot = _take(arena, regs, 1)
    header = slot * UNIT
    day = (packed >> W_DAY) & DAY_MASK
    home = (packed >> W_HOME) & HOME_MASK
    st(arena, header + H_DAYS, day | (day << 32))
    st(arena, header + H_HOME, home)
    facts = ((packed & W_REGISTERS) >> 1) | (((packed >> W_DEAR) & 15) << F_DEAR) | (1 << F_CHANNELS)
    st(arena, header + H_FACTS, facts)
    family = (packed >> W_FAMILY) & FAMILY_MASK
    if family != 0:
        entry = _entry(slot, 0)
        st(arena, header + H_COUNT, ld(arena, header + H_COUNT) + 1)
        st(arena, entry + E_KEY, family)
        st(arena, entry + E_FACTS, FAMILY | E_KNOWN | (1 << E_DAYS))
        st(arena, entry + E_SINCE, EPOCH + day * DAY)
        st(arena, entry + E_LAST, max(EPOCH + day * DAY, _home_time(home)))
    st(hot, word + 1, W_SLOT | (packed & (3 << W_SEGMENT)) | (slot << 8))
    st(regs, R_SLOTS, ld(regs, R_SLOTS) + 1)
    return slot


@compiled
def _fits_the_word(arena: Memory, slot: int, limits: Memory, now: int) -> bool:
    """Whether the packed word can say all that the slot says."""
    header = slot * UNIT
    count = _count(arena, slot)
    days = ld(arena, header + H_DAYS)
    if count > 1 or ld(arena, header + H_FACTS) >> F_CHANNELS != 1 or days & LOW == 0:
        return False
    if ld(arena, header + H_SUSPECT) | ld(arena, header + H_TRAVEL) | ld(arena, header + H_ODD) | ld(arena, header + H_TOLD) != 0:
        return False
    day = max(days & LOW, days >> 32)
    exact = days & LOW == days >> 32
    if count == 1:
        entry = _entry(slot, 0)
        if ld(arena, entry + E_FACTS) & (3 | E_KNOWN) != FAMILY | E_KNOWN:
            return False
        exact = exact and ld(arena, entry + E_SINCE) == EPOCH + day * DAY
    # The word has one day for first sight and change: both must be that day, or too long ago for the difference to matter.
    return exact or _day(now) - day > max(ld(limits, L_LEARNING), 2)


@compiled
def _repack(hot: Memory, arena: Memory, regs: Memory, limits: Memory, word: int, now: int) -> None:
    """Back to the word when a slot says no more than it can; else into the smallest slot that holds it."""
    packed = ld(hot, word + 1)
    slot = (packed >> 8) & SLOT_MASK
    header = slot * UNIT
    count = _count(arena, slot)
    if not _fits_the_word(arena, slot, limits, now):
        size_class = 1
        while HEADER + count * ENTRY > UNIT << size_class:
            size_class += 1
        if size_class < ld(arena, header + H_COUNT) >> 32:
            _resize(hot, arena, regs, word, size_class)
        return
    family = ld(arena, _entry(slot, 0) + E_KEY) if count == 1 else 0
    facts = ld(arena, header + H_FACTS)
    days = ld(arena, header + H_DAYS)
    day = max(days & LOW, days >> 32)
    kept = (packed & (3 << W_SEGMENT)) | ((facts & 1) << 1) | (((facts >> F_DEAR) & 15) << W_DEAR)
    home = ld(arena, header + H_HOME)
    home = (home ^ ((HOME_MASK + 1) >> 1)) - ((HOME_MASK + 1) >> 1)  # As a signed number, or the word would not fit.
    st(hot, word + 1, kept | (family << W_FAMILY) | (day << W_DAY) | (home << W_HOME))
    _give(arena, regs, slot)
    st(regs, R_SLOTS, ld(regs, R_SLOTS) - 1)


@compiled
def _forget(arena: Memory, slot: int, now: int, days: int) -> None:
    """Drop what was not seen for so long, and latches that say nothing any more. The family seen last stays."""
    header = slot * UNIT
    newest, best = -1, -1
    for place in range(_count(arena, slot)):
        entry = _entry(slot, place)
        last, tag = ld(arena, entry + E_LAST), ld(arena, entry + E_KEY)
        if ld(arena, entry + E_FACTS) & 3 == FAMILY and (last > newest or (last == newest and tag > best)):
            newest, best = last, tag
    place = _count(arena, slot) - 1
    while place >= 0:
        entry = _entry(slot, place)
        kind = ld(arena, entry + E_FACTS) & 3
        last = ld(arena, entry + E_LAST)
        if kind == BINDING:
            over = last <= now
        else:
            over = last + days * DAY <= now and not (kind == FAMILY and ld(arena, entry + E_KEY) == best)
        if over:
            _drop(arena, slot, place)
        place -= 1
    st(arena, header + H_FACTS, _without_old_habit(ld(arena, header + H_FACTS), F_DEAR, now))
    long_ago = now - days * DAY
    if ld(arena, header + H_SUSPECT) <= long_ago:
        st(arena, header + H_SUSPECT, 0)
    if ld(arena, header + H_TRAVEL) <= long_ago:
        st(arena, header + H_TRAVEL, 0)
    if ld(arena, header + H_TOLD) >> 8 <= long_ago and ld(arena, header + H_TOLD) & 0xF0 == 0:
        st(arena, header + H_TOLD, 0)
    odd = ld(arena, header + H_ODD)
    mismatch, nonce = odd & LOW, odd >> 32
    minute = (now - EPOCH) // MINUTE
    if mismatch + days * 1440 <= minute:
        mismatch = 0
    if nonce + days * 1440 <= minute:
        nonce = 0
    st(arena, header + H_ODD, mismatch | (nonce << 32))


@inlined
def _refresh_only_family(arena: Memory, slot: int, now: int) -> None:
    """The only family of an account is as fresh as the account: the packed word has no time of its own for it, and rows without a
    User-Agent are taken to come from it. So packing and unpacking change nothing, and a second family does not make the first one new.
    """
    only = -1
    for place in range(_count(arena, slot)):
        entry = _entry(slot, place)
        if ld(arena, entry + E_FACTS) & 3 == FAMILY:
            if only >= 0:
                return
            only = entry
    if only >= 0 and ld(arena, only + E_FACTS) & E_KNOWN:
        st(arena, only + E_LAST, max(ld(arena, only + E_LAST), now - (now - EPOCH) % HOME_STEP))


@compiled
def _sweep(hot: Memory, arena: Memory, regs: Memory, limits: Memory, now: int) -> None:
    """Tidy the next part of the table. What is dropped here would have been dropped at the account's next row."""
    capacity = ld(regs, R_CAPACITY)
    part = now // HOUR % SWEEPS_A_DAY
    for place in range(capacity * part // SWEEPS_A_DAY, capacity * (part + 1) // SWEEPS_A_DAY):
        packed = ld(hot, place * HOT + 1)
        if packed & W_SLOT:
            _forget(arena, (packed >> 8) & SLOT_MASK, now, ld(limits, L_FORGET))
            _repack(hot, arena, regs, limits, place * HOT, now)
        elif packed != 0:
            st(hot, place * HOT + 1, _without_old_habit(packed, W_DEAR, now))


@compiled
def _clock(hot: Memory, arena: Memory, regs: Memory, limits: Memory, at: int) -> None:
    """Move the event clock; every hour a part of the table is tidied. After a longer silence once over the table is enough."""
    if at <= ld(regs, R_NOW):
        return
    due = ld(regs, R_NEXT_SWEEP)
    if due != 0 and ld(regs, R_ACCOUNTS) != 0:
        due = max(due, (at // HOUR - SWEEPS_A_DAY + 1) * HOUR)
        while due <= at:
            _sweep(hot, arena, regs, limits, due)
            due += HOUR
    st(regs, R_NEXT_SWEEP, (at // HOUR + 1) * HOUR)
    st(regs, R_NOW, at)


# --- judging -------------------------------------------------------------------------------------------------------------------------


@compiled
def _say(
    regs: Memory, out: Memory, rule: int, level: int, key: int, at: int, row: int, score: int, a: int, b: int, c: int, segment: int
) -> None:
    """Write an event."""
    word = ld(regs, R_OUT) * EVENT
    st(regs, R_OUT, ld(regs, R_OUT) + 1)
    st(out, word + X_RULE, rule)
    st(out, word + X_LEVEL, level)
    st(out, word + X_KEY, key)
    st(out, word + X_AT, at)
    st(out, word + X_ROW, row)
    st(out, word + X_SCORE, score)
    st(out, word + X_A, a)
    st(out, word + X_B, b)
    st(out, word + X_C, c)
    st(out, word + X_SEGMENT, segment)


@compiled
def _suspect(arena: Memory, slot: int, at: int) -> None:
    """Note a suspicion: what became known shortly before is provisional again, and nothing becomes known soon."""
    header = slot * UNIT
    st(arena, header + H_SUSPECT, max(ld(arena, header + H_SUSPECT), at))
    for place in range(_count(arena, slot)):
        entry = _entry(slot, place)
        facts = ld(arena, entry + E_FACTS)
        if facts & 3 != BINDING and facts & E_KNOWN and ld(arena, entry + E_SINCE) > at - TRUST_WITHDRAWN:
            st(arena, entry + E_FACTS, (facts & ~(E_KNOWN | (0xFF << E_DAYS))) | (1 << E_DAYS))


@compiled
def _seen(arena: Memory, slot: int, entry: int, at: int, noted: int, limits: Memory) -> None:
    """An entry was seen again: count its days, and believe it when it was quiet long enough. `noted`: the time that is kept."""
    facts = ld(arena, entry + E_FACTS)
    last = ld(arena, entry + E_LAST)
    if _day(at) > _day(last):
        if (facts >> E_DAYS) & 0xFF < 255:
            facts += 1 << E_DAYS
        facts &= ~(1 << E_TOLD)
    scanner = (facts & 3) == FAMILY and (facts >> E_SCORE) & SCORE_MASK >= ld(limits, L_SCANNER) > 0
    if facts & E_KNOWN == 0 and (facts >> E_DAYS) & 0xFF >= CONFIRM_DAYS and not scanner:
        quiet_since = max(ld(arena, entry + E_SINCE), ld(arena, slot * UNIT + H_SUSPECT))
        if at - quiet_since >= ld(limits, L_QUIET) * DAY:
            facts |= E_KNOWN
            st(arena, entry + E_SINCE, at)
            if (facts & 3) == FAMILY:
                days = ld(arena, slot * UNIT + H_DAYS)
                st(arena, slot * UNIT + H_DAYS, (days & LOW) | (max(days >> 32, _day(at)) << 32))
    st(arena, entry + E_FACTS, facts)
    st(arena, entry + E_LAST, max(last, noted))


@compiled
def _foreign_score(arena: Memory, regs: Memory, places: Memory, limits: Memory, slot: int, country: int) -> int:
    """What a network says that was never seen: little where the account was before, more in Europe, most elsewhere."""
    home = ld(regs, R_HOME_COUNTRY)
    been = country == home
    known_there = 0
    for place in range(_count(arena, slot)):
        entry = _entry(slot, place)
        facts = ld(arena, entry + E_FACTS)
        if facts & (3 | E_KNOWN) == NETWORK | E_KNOWN and (facts >> E_COUNTRY) & 0xFFFF == country:
            been = True
            known_there += 1
    if known_there >= NOMADIC_NETWORKS:
        return 0
    if country == 0:
        # Without a table of origins nobody knows the country; it is news only for an account that has a home.
        return ld(limits, L_SAME) if ld(arena, slot * UNIT + H_HOME) != 0 else 0
    if been:
        return ld(limits, L_SAME)
    cell = _cell(country)
    if cell >= 0 and ld(places, cell + 4) != 0:
        return ld(limits, L_EUROPE)
    return ld(limits, L_OTHER)


@inlined
def _cell(country: int) -> int:
    """Word of a country's place, -1 for none."""
    first, second = (country >> 8) - 65, (country & 255) - 65
    if 0 <= first < 26 and 0 <= second < 26 and (first * 26 + second) < CELLS:
        return (first * 26 + second) * PLACE
    return -1


@inlined
def _impossible(places: Memory, one: int, other: int, elapsed: int, speed: int) -> bool:
    """Whether nobody travels from one country to the other in so many milliseconds."""
    a, b = _cell(one), _cell(other)
    if a < 0 or b < 0 or ld(places, a + 3) == 0 or ld(places, b + 3) == 0:
        return False
    x, y, z = ld(places, a) - ld(places, b), ld(places, a + 1) - ld(places, b + 1), ld(places, a + 2) - ld(places, b + 2)
    reach = ld(places, a + 3) + ld(places, b + 3) + max(NEAR_KM, speed * elapsed // HOUR)
    return x * x + y * y + z * z > reach * reach


@compiled
def _journey(
    arena: Memory,
    regs: Memory,
    places: Memory,
    limits: Memory,
    out: Memory,
    slot: int,
    key: int,
    row: int,
    at: int,
    own: bool,
    here: int,
    country: int,
    known: bool,
    segment: int,
) -> None:
    """D32: two places that nobody travels between in time, or too many countries in a day. Two known places say nothing."""
    header = slot * UNIT
    score = ld(limits, L_JOURNEY)
    if score == 0 or country == 0 or at - ld(arena, header + H_TRAVEL) < DAY:
        return
    countries, doubtful = 1, not known
    other, elapsed = 0, 0
    home_country = ld(regs, R_HOME_COUNTRY)
    home = ld(arena, header + H_HOME)
    if not own and home != 0 and home_country != 0 and home_country != country:
        gap = abs(at - _home_time(home))
        if gap < DAY:
            countries += 1
            if not known and _impossible(places, country, home_country, gap, ld(limits, L_SPEED)):
                other, elapsed = home_country, gap
    for place in range(_count(arena, slot)):
        entry = _entry(slot, place)
        facts = ld(arena, entry + E_FACTS)
        there = (facts >> E_COUNTRY) & 0xFFFF
        gap = abs(at - ld(arena, entry + E_LAST))
        if facts & 3 != NETWORK or entry == here or there == 0 or there == country or gap >= DAY:
            continue
        trusted = facts & E_KNOWN != 0
        fresh = there != home_country or home == 0 or own or abs(at - _home_time(home)) >= DAY
        for before in range(place):
            earlier = _entry(slot, before)
            if (
                earlier != here
                and ld(arena, earlier + E_FACTS) & 3 == NETWORK
                and (ld(arena, earlier + E_FACTS) >> E_COUNTRY) & 0xFFFF == there
                and abs(at - ld(arena, earlier + E_LAST)) < DAY
            ):
                fresh = False
        if fresh:
            countries += 1
        doubtful = doubtful or not trusted
        if other == 0 and not (known and trusted) and _impossible(places, country, there, gap, ld(limits, L_SPEED)):
            other, elapsed = there, gap
    if other == 0 and (countries < COUNTRIES_A_DAY or not doubtful):
        return
    st(arena, header + H_TRAVEL, at)
    _suspect(arena, slot, at)
    _say(regs, out, D32, 0, key, at, row, score, other, elapsed, countries, segment)


@compiled
def _network(
    hot: Memory,
    arena: Memory,
    regs: Memory,
    places: Memory,
    limits: Memory,
    out: Memory,
    word: int,
    key: int,
    row: int,
    at: int,
    network: int,
    country: int,
    segment: int,
) -> int:
    """Find or learn a foreign network (D30); returns its entry."""
    slot = (ld(hot, word + 1) >> 8) & SLOT_MASK
    entry = _lookup(arena, slot, NETWORK, network)
    if entry >= 0:
        _seen(arena, slot, entry, at, at, limits)
        return entry
    header = slot * UNIT
    learning = _day(at) - (ld(arena, header + H_DAYS) & LOW) < ld(limits, L_LEARNING)
    learning = learning and ld(arena, header + H_HOME) == 0 and ld(arena, header + H_SUSPECT) == 0
    score = 0 if learning else _foreign_score(arena, regs, places, limits, slot, country)
    entry = _add(hot, arena, regs, word, NETWORK, MAX_NETWORKS)
    facts = NETWORK | (country << E_COUNTRY) | (1 << E_DAYS) | (score << E_SCORE)
    if learning:
        facts |= E_KNOWN
    st(arena, entry + E_KEY, network)
    st(arena, entry + E_FACTS, facts)
    st(arena, entry + E_SINCE, at)
    st(arena, entry + E_LAST, at)
    if score != 0:
        _say(regs, out, D30, 0, key, at, row, score, country, 0, 0, segment)
    return entry


@compiled
def _family(
    hot: Memory,
    arena: Memory,
    regs: Memory,
    limits: Memory,
    out: Memory,
    word: int,
    key: int,
    row: int,
    at: int,
    family: int,
    scanner: bool,
    segment: int,
) -> None:
    """Find or learn a User-Agent family (D31)."""
    noted = at - (at - EPOCH) % HOME_STEP
    slot = (ld(hot, word + 1) >> 8) & SLOT_MASK
    header = slot * UNIT
    entry = _lookup(arena, slot, FAMILY, family)
    if entry >= 0:
        again = _day(at) > _day(ld(arena, entry + E_LAST))
        _seen(arena, slot, entry, at, noted, limits)
        if scanner and ld(limits, L_SCANNER) != 0:
            facts = ld(arena, entry + E_FACTS)
            first = (facts >> E_SCORE) & SCORE_MASK < ld(limits, L_SCANNER)
            if first:
                facts = (facts & ~((SCORE_MASK << E_SCORE) | E_KNOWN)) | (ld(limits, L_SCANNER) << E_SCORE)
                st(arena, entry + E_FACTS, facts)
                st(arena, entry + E_SINCE, at)
            if first or again:
                _suspect(arena, slot, at)
                _say(regs, out, D31, 0, key, at, row, ld(limits, L_SCANNER), 1, 0, 0, segment)
        return
    days = ld(arena, header + H_DAYS)
    stable = _day(at) - (days >> 32)
    alone = True
    for place in range(_count(arena, slot)):
        alone = alone and ld(arena, _entry(slot, place) + E_FACTS) & 3 != FAMILY
    score, learned = 0, False
    if scanner and ld(limits, L_SCANNER) != 0:
        score = ld(limits, L_SCANNER)
    elif alone:
        learned = True  # Nothing is known of its devices so far, so nothing is new.
    elif _day(at) - (days & LOW) < ld(limits, L_LEARNING) and ld(arena, header + H_SUSPECT) == 0:
        learned = True
    elif stable >= ld(limits, L_STABLE):
        score = ld(limits, L_FAMILY)
    entry = _add(hot, arena, regs, word, FAMILY, MAX_FAMILIES)
    header = ((ld(hot, word + 1) >> 8) & SLOT_MASK) * UNIT
    st(arena, entry + E_KEY, family)
    facts = FAMILY | (1 << E_DAYS) | (score << E_SCORE)
    if learned:
        facts |= E_KNOWN
    st(arena, entry + E_FACTS, facts)
    st(arena, entry + E_SINCE, at)
    st(arena, entry + E_LAST, noted)
    if learned:
        changed = max(days >> 32, _day(at))
        st(arena, entry + E_SINCE, EPOCH + changed * DAY)
        st(arena, header + H_DAYS, (changed if alone else days & LOW) | (changed << 32))
    if score != 0:
        if scanner:
            _suspect(arena, header // UNIT, at)
        _say(regs, out, D31, 0, key, at, row, score, int(scanner), stable, 0, segment)


@compiled
def _bindings(
    hot: Memory,
    arena: Memory,
    regs: Memory,
    limits: Memory,
    out: Memory,
    word: int,
    key: int,
    row: int,
    at: int,
    contact: int,
    expires: int,
    group: int,
    source: int,
    own: bool,
    segment: int,
) -> None:
    """D33: how many devices are registered at once. A new address of the same network and family is the same device, moved."""
    slot = (ld(hot, word + 1) >> 8) & SLOT_MASK
    place = _count(arena, slot) - 1
    while place >= 0:
        entry = _entry(slot, place)
        facts = ld(arena, entry + E_FACTS)
        if facts & 3 == BINDING:
            moved = (facts >> 4) & GROUP_MASK == group and (facts >> 28) & GROUP_MASK != source
            if moved or ld(arena, entry + E_KEY) == contact or ld(arena, entry + E_LAST) <= at:
                _drop(arena, slot, place)
        place -= 1
    if expires > 0:
        entry = _add(hot, arena, regs, word, BINDING, MAX_BINDINGS)
        slot = (ld(hot, word + 1) >> 8) & SLOT_MASK
        lasts = min(max(expires, BINDING_SECONDS), MAX_BINDING_SECONDS)
        st(arena, entry + E_KEY, contact)
        st(arena, entry + E_FACTS, BINDING | (group << 4) | (source << 28) | (int(own) << 52))
        st(arena, entry + E_SINCE, at)
        st(arena, entry + E_LAST, at + lasts * 1000)
    header = slot * UNIT
    held, at_home = 0, False
    for each in range(_count(arena, slot)):
        facts = ld(arena, _entry(slot, each) + E_FACTS)
        if facts & 3 == BINDING:
            held += 1
            at_home = at_home or (facts >> 52) & 1 != 0
    facts = ld(arena, header + H_FACTS)
    if not at_home and facts & 1 != 0 and ld(arena, header + H_HOME) != 0:
        held += 1  # The phone at home registers silently; a packed word remembers no contact.
    more = 0 if segment == 0 else (facts >> F_CHANNELS) & 0xFFF
    warn, act = ld(limits, L_BINDINGS_WARN) + more, ld(limits, L_BINDINGS_ACT) + more
    level = 2 if held >= act else 1 if held >= warn else 0
    if ld(limits, L_BINDINGS_ACT) == 0:
        level = 0
    told = ld(arena, header + H_TOLD)
    if level > (told >> 4) & 15:
        _say(regs, out, D33, level, key, at, row, 60 if level == 2 else 40, held, warn, act, segment)
        if level == 2:
            _suspect(arena, slot, at)
    st(arena, header + H_TOLD, (told & ~0xF0) | (level << 4))


@compiled
def _sequence(
    hot: Memory,
    arena: Memory,
    regs: Memory,
    limits: Memory,
    out: Memory,
    word: int,
    key: int,
    row: int,
    at: int,
    own: bool,
    network: int,
    family: int,
    habit: bool,
    segment: int,
) -> None:
    """D36: an expensive call from what was never seen before. At once within half an hour, a warning while it is not trusted yet."""
    slot = (ld(hot, word + 1) >> 8) & SLOT_MASK
    header = slot * UNIT
    window = ld(limits, L_SEQUENCE_MS)
    points, parts, since = 0, 0, at
    fresh = False
    if not own and network != 0:
        entry = _lookup(arena, slot, NETWORK, network)
        facts = ld(arena, entry + E_FACTS)
        if facts & E_KNOWN == 0 and (facts >> E_SCORE) & SCORE_MASK:
            points += (facts >> E_SCORE) & SCORE_MASK
            parts |= 1
            since = min(since, ld(arena, entry + E_SINCE))
            fresh = fresh or at - ld(arena, entry + E_SINCE) <= window
    if family != 0:
        entry = _lookup(arena, slot, FAMILY, family)
        facts = ld(arena, entry + E_FACTS)
        if facts & E_KNOWN == 0 and (facts >> E_SCORE) & SCORE_MASK:
            points += (facts >> E_SCORE) & SCORE_MASK
            parts |= 2
            since = min(since, ld(arena, entry + E_SINCE))
            fresh = fresh or at - ld(arena, entry + E_SINCE) <= window
    travel = ld(arena, header + H_TRAVEL)
    if not own and travel != 0 and abs(at - travel) <= window:
        points += ld(limits, L_JOURNEY)
        parts |= 4
        since = min(since, travel)
        fresh = True
    act = ld(limits, L_SEQUENCE_ACT)
    if points == 0 or act == 0:
        return
    first = ld(limits, L_FIRST_CALL) if not habit else 0
    level = 0
    if fresh:
        points += first
        level = 2 if points >= act else 1
    elif points >= act:
        level = 1
    told = ld(arena, header + H_TOLD)
    if level == 0 or (level <= told & 15 and at - (told >> 8) < SEQUENCE_REST):
        return
    st(arena, header + H_TOLD, (max(at, told >> 8) << 8) | (told & 0xF0) | level)
    _suspect(arena, slot, at)
    if not habit:
        parts |= 8
    _say(regs, out, D36, level, key, at, row, min(points, 99), parts, max(at - since, 0), points, segment)


@compiled
def _oddities(
    arena: Memory, regs: Memory, limits: Memory, out: Memory, slot: int, key: int, row: int, at: int, flags: int, segment: int
) -> None:
    """D37: credentials with an old nonce, or a From header of somebody else. What an account always does is no news."""
    header = slot * UNIT
    odd = ld(arena, header + H_ODD)
    mismatch, nonce = odd & LOW, odd >> 32
    minute = (at - EPOCH) // MINUTE
    score = ld(limits, L_ODD)
    kind = 0
    if flags & USER_MISMATCH:
        if mismatch == 0 or minute - mismatch > ODD_MINUTES:
            kind |= 1
        mismatch = max(mismatch, minute)
    if flags & NONCE_REUSED:
        if nonce == 0 or minute - nonce > ODD_MINUTES:
            kind |= 2
        nonce = max(nonce, minute)
    st(arena, header + H_ODD, mismatch | (nonce << 32))
    if kind != 0 and score != 0:
        _say(regs, out, D37, 0, key, at, row, score, kind, 0, 0, segment)


@compiled
def _lapse(arena: Memory, slot: int, at: int) -> None:
    """All registrations of the account ran out."""
    place = _count(arena, slot) - 1
    while place >= 0:
        entry = _entry(slot, place)
        facts = ld(arena, entry + E_FACTS)
        if facts & 3 == BINDING:
            _drop(arena, slot, place)
        elif facts & 3 == NETWORK and (facts >> E_REGISTERED) & 1 and facts >> E_ENDED == 0:
            st(arena, entry + E_FACTS, facts | (max((at - EPOCH) // HOME_STEP, 1) << E_ENDED))
        place -= 1


@compiled
def _registration_there(
    arena: Memory,
    regs: Memory,
    limits: Memory,
    out: Memory,
    slot: int,
    entry: int,
    key: int,
    row: int,
    at: int,
    kind: int,
    expires: int,
    segment: int,
) -> None:
    """Note a registration from a foreign network; D34 for a call from one where the account is not registered."""
    facts = ld(arena, entry + E_FACTS)
    if kind == REGISTRATION:
        facts &= (1 << E_ENDED) - 1
        facts |= 1 << E_REGISTERED
        if expires <= 0:
            facts |= max((at - EPOCH) // HOME_STEP, 1) << E_ENDED
        st(arena, entry + E_FACTS, facts)
        return
    header = slot * UNIT
    score = ld(limits, L_STRANGE)
    if score == 0 or ld(arena, header + H_FACTS) & 1 == 0 or _day(at) == ld(arena, header + H_DAYS) & LOW:
        return
    ended = facts >> E_ENDED
    there = (facts >> E_REGISTERED) & 1 != 0 and (ended == 0 or at - _home_time(ended) <= ld(limits, L_STRANGE_MS))
    if there or (facts >> E_TOLD) & 1:
        return
    st(arena, entry + E_FACTS, facts | (1 << E_TOLD))
    _say(regs, out, D34, 0, key, at, row, score, (facts >> E_COUNTRY) & 0xFFFF, ended, 0, segment)


# --- rows ----------------------------------------------------------------------------------------------------------------------------


@inlined
def _status(regs: Memory) -> int:
    """DONE when there is room for whatever one row may need."""
    if ld(regs, R_OUT) + MAX_EVENTS_A_ROW > OUTPUT_EVENTS:
        return OUTPUT_FULL
    if ld(regs, R_ACCOUNTS) >= ld(regs, R_MAX_ACCOUNTS):
        return TABLE_FULL
    if ld(regs, R_ARENA_TOP) + (4 << MAX_CLASS) > ld(regs, R_ARENA_UNITS):
        return ARENA_FULL
    return DONE


@inlined
def _place(hot: Memory, regs: Memory, key: int) -> int:
    """Word of an account's record, made when it has none. The caller made sure that there is room."""
    word = _find(hot, ld(regs, R_CAPACITY), key)
    if word >= 0:
        return word
    word = -1 - word
    st(hot, word, key)
    st(regs, R_ACCOUNTS, ld(regs, R_ACCOUNTS) + 1)
    return word


@compiled
def _look(
    hot: Memory,
    arena: Memory,
    regs: Memory,
    places: Memory,
    all_limits: Memory,
    out: Memory,
    word: int,
    key: int,
    row: int,
    at: int,
    kind: int,
    level: int,
    flags: int,
    own: bool,
    network: int,
    country: int,
    family: int,
    expires: int,
    source: int,
    contact: int,
) -> None:
    """A row of an account that has, or now needs, a slot."""
    st(regs, R_LOOKED, ld(regs, R_LOOKED) + 1)
    packed = ld(hot, word + 1)
    segment = (packed >> W_SEGMENT) & 3
    limits = onward(all_limits, segment * LIMITS)
    slot = (packed >> 8) & SLOT_MASK if packed & W_SLOT else _unpack(hot, arena, regs, word)
    header = slot * UNIT
    _forget(arena, slot, ld(regs, R_NOW), ld(limits, L_FORGET))
    _refresh_only_family(arena, slot, ld(regs, R_NOW))
    facts = ld(arena, header + H_FACTS)
    days = ld(arena, header + H_DAYS)
    if days & LOW == 0:
        st(arena, header + H_DAYS, _day(at) | (max(days >> 32, _day(at)) << 32))
    exempt = _home_time(facts >> F_EXEMPT) > at
    said = ld(regs, R_OUT)
    if kind == REGISTRATION:
        st(arena, header + H_FACTS, facts | 1)
    entry, known = -1, own
    if not own and network != 0:
        entry = _network(hot, arena, regs, places, limits, out, word, key, row, at, network, country, segment)
        known = ld(arena, entry + E_FACTS) & E_KNOWN != 0
    if family != 0:
        _family(hot, arena, regs, limits, out, word, key, row, at, family, flags & SCANNER != 0, segment)
    slot = (ld(hot, word + 1) >> 8) & SLOT_MASK
    if own or entry >= 0:
        if entry >= 0:
            entry = _lookup(arena, slot, NETWORK, network)
        _journey(arena, regs, places, limits, out, slot, key, row, at, own, entry, country, known, segment)
    if entry >= 0:
        _registration_there(arena, regs, limits, out, slot, entry, key, row, at, kind, expires, segment)
    if flags & ODD:
        _oddities(arena, regs, limits, out, slot, key, row, at, flags, segment)
    # Registrations are kept exactly when the word cannot say all: asked anew, or it would depend on when the slot was tidied last.
    if kind == REGISTRATION and contact != 0 and not _fits_the_word(arena, slot, limits, ld(regs, R_NOW)):
        group = (1 if own else network ^ (network >> 24)) * 31 + family
        _bindings(
            hot, arena, regs, limits, out, word, key, row, at, contact, expires, group & GROUP_MASK, source & GROUP_MASK, own, segment
        )
        slot = (ld(hot, word + 1) >> 8) & SLOT_MASK
    header = slot * UNIT
    if own:
        st(arena, header + H_HOME, max(ld(arena, header + H_HOME), (at - EPOCH) // HOME_STEP))
    if level >= 3:
        facts = ld(arena, header + H_FACTS)
        habit = _has_habit((facts >> F_DEAR) & 15, at)
        _sequence(hot, arena, regs, limits, out, word, key, row, at, own, network, family, habit, segment)
        st(arena, header + H_FACTS, (facts & ~(15 << F_DEAR)) | (_period(at) << F_DEAR))
    if exempt:
        st(regs, R_OUT, said)  # What it does is learned; nothing is said of it.


@inlined
def _plain_row(hot: Memory, word: int, at: int, kind: int, level: int, flags: int, own: bool, network: int, family: int) -> bool:
    """Take a row that the packed word can hold; False when it needs more. This is the way of nearly all rows."""
    packed = ld(hot, word + 1)
    if packed & W_SLOT or (not own and network != 0) or flags & (ODD | SCANNER):
        return False
    tag = (packed >> W_FAMILY) & FAMILY_MASK
    if family != 0 and tag != 0 and tag != family:
        return False
    fresh = packed
    day = (packed >> W_DAY) & DAY_MASK
    if day == 0 or (tag == 0 and family != 0):
        fresh = (fresh & ~(DAY_MASK << W_DAY)) | (max(_day(at), day) << W_DAY)
        if family != 0:
            fresh = (fresh & ~(FAMILY_MASK << W_FAMILY)) | (family << W_FAMILY)
    if own:
        step = (at - EPOCH) // HOME_STEP
        if step > (packed >> W_HOME) & HOME_MASK:
            half = (HOME_MASK + 1) >> 1
            fresh = (fresh & ((1 << W_HOME) - 1)) | (((step ^ half) - half) << W_HOME)
    if kind == REGISTRATION:
        fresh |= W_REGISTERS
    if level >= 3:
        fresh = (fresh & ~(15 << W_DEAR)) | (_period(at) << W_DEAR)
    if fresh != packed:
        st(hot, word + 1, fresh)
    return True


@compiled
def run(
    hot_: Memory,
    arena_: Memory,
    regs_: Memory,
    limits_: Memory,
    places_: Memory,
    out_: Memory,
    kinds_: Memory,
    at_: Memory,
    keys_: Memory,
    classes_: Memory,
    flags_: Memory,
    started_: Memory,
    statuses_: Memory,
    expires_: Memory,
    directions_: Memory,
    sources_: Memory,
    networks_: Memory,
    network_kinds_: Memory,
    countries_: Memory,
    families_: Memory,
    contacts_: Memory,
    first: int,
    rows: int,
    unkeyed: int,
) -> int:
    """Take rows `first` to `rows`; returns the row to go on with, and R_STATUS says why.

    Only authenticated INVITEs, whole calls and accepted or lapsed registrations count, and only those whose UNKEYED flag is `unkeyed`;
    all rows move the clock. A forwarded leg says nothing about its account's devices.
    """
    hot = base(hot_)
    arena = base(arena_)
    regs = base(regs_)
    limits = base(limits_)
    places = base(places_)
    out = base(out_)
    kinds = base(kinds_)
    ats = base(at_)
    keys = base(keys_)
    classes = base(classes_)
    flagss = base(flags_)
    starteds = base(started_)
    statuses = base(statuses_)
    expiress = base(expires_)
    directions = base(directions_)
    sources = base(sources_)
    networks = base(networks_)
    network_kinds = base(network_kinds_)
    countries = base(countries_)
    families = base(families_)
    contacts = base(contacts_)
    capacity = ld(regs, R_CAPACITY)
    row = first
    status = DONE
    counted = 0
    while row < rows:
        if row + AHEAD < rows:
            prefetch(hot, _home_of(ld(keys, row + AHEAD), capacity) * HOT)
            place = _home_of(ld(keys, row + AHEAD_SLOT), capacity) * HOT
            if ld(hot, place) == ld(keys, row + AHEAD_SLOT) and ld(hot, place + 1) & W_SLOT:
                prefetch(arena, ((ld(hot, place + 1) >> 8) & SLOT_MASK) * UNIT)
                prefetch(arena, ((ld(hot, place + 1) >> 8) & SLOT_MASK) * UNIT + UNIT)
        at = ld(ats, row)
        if at > ld(regs, R_NOW):
            if at >= ld(regs, R_NEXT_SWEEP):
                _clock(hot, arena, regs, limits, at)
            else:
                st(regs, R_NOW, at)
        kind = ld_u8(kinds, row)
        key = ld(keys, row)
        flags = ld_u16(flagss, row)
        counts = (kind == ATTEMPT or kind == CALL or kind == REGISTRATION) and key != 0
        if not counts or ((flags & UNKEYED) != 0) != (unkeyed != 0) or flags & FORWARDED or ld_u8(directions, row) != 0:
            row += 1
            continue
        if kind == CALL and ld(starteds, row) > 0:
            at = min(at, ld(starteds, row))
        at = max(at, EPOCH + DAY)
        level = 0
        if kind == REGISTRATION:
            code = ld_u16(statuses, row)
            if code != 200:
                if code == LAPSED:
                    word = _find(hot, capacity, key)
                    if word >= 0 and ld(hot, word + 1) & W_SLOT:
                        _lapse(arena, (ld(hot, word + 1) >> 8) & SLOT_MASK, at)
                row += 1
                continue
        else:
            level = ld_u8(classes, row)
            if flags & NATIONAL_VALUE:
                level = min(level, 2)
        own = ld_u8(network_kinds, row) != 0
        network = ld(networks, row)
        country = ld_u16(countries, row)
        family = ld(families, row)
        if family != 0:
            family = max((family >> 20) & FAMILY_MASK, 1)
        if own and country != 0 and country != ld(regs, R_HOME_COUNTRY):
            st(regs, R_HOME_COUNTRY, country)
        word = _find(hot, capacity, key)
        if word < 0:
            status = _status(regs)
            if status != DONE:
                break
            word = _place(hot, regs, key)
        if not _plain_row(hot, word, at, kind, level, flags, own, network, family):
            status = _status(regs)
            if status != DONE:
                break
            _look(
                hot,
                arena,
                regs,
                places,
                limits,
                out,
                word,
                key,
                row,
                at,
                kind,
                level,
                flags,
                own,
                network,
                country,
                family,
                ld(expiress, row),
                ld(sources, row),
                ld(contacts, row),
            )
        counted += 1
        row += 1
    st(regs, R_ROWS, ld(regs, R_ROWS) + counted)
    st(regs, R_STATUS, status)
    return row


@compiled
def advance(hot_: Memory, arena_: Memory, regs_: Memory, limits_: Memory, at: int) -> int:
    """Move the event clock in silence."""
    _clock(base(hot_), base(arena_), base(regs_), base(limits_), at)
    return 0


@compiled
def set_account(hot_: Memory, arena_: Memory, regs_: Memory, key: int, segment: int, channels: int, exempt: int, removed: int) -> int:
    """What the operator says of an account; `removed` forgets all that was learned. Returns a status."""
    hot = base(hot_)
    arena = base(arena_)
    regs = base(regs_)
    word = _find(hot, ld(regs, R_CAPACITY), key)
    if word < 0:
        if removed != 0 or (segment == 0 and channels == 1 and exempt == 0):
            return DONE
        status = _status(regs)
        if status != DONE:
            return status
        word = _place(hot, regs, key)
    packed = ld(hot, word + 1)
    if removed != 0:
        if packed & W_SLOT:
            _give(arena, regs, (packed >> 8) & SLOT_MASK)
            st(regs, R_SLOTS, ld(regs, R_SLOTS) - 1)
        st(hot, word + 1, 0)
        return DONE
    st(hot, word + 1, (packed & ~(3 << W_SEGMENT)) | (segment << W_SEGMENT))
    if not packed & W_SLOT and channels == 1 and exempt == 0:
        return DONE
    status = _status(regs)
    if status != DONE:
        return status
    slot = (packed >> 8) & SLOT_MASK if packed & W_SLOT else _unpack(hot, arena, regs, word)
    facts = ld(arena, slot * UNIT + H_FACTS) & ((1 << F_CHANNELS) - 1)
    st(arena, slot * UNIT + H_FACTS, facts | (channels << F_CHANNELS) | (exempt << F_EXEMPT))
    return DONE


@compiled
def suspect(hot_: Memory, arena_: Memory, regs_: Memory, key: int, at: int) -> int:
    """Another detector suspects an account: what was learned lately is not trusted. Returns a status; unknown accounts are left alone."""
    hot = base(hot_)
    arena = base(arena_)
    regs = base(regs_)
    word = _find(hot, ld(regs, R_CAPACITY), key)
    if word < 0:
        return DONE
    status = _status(regs)
    if status != DONE:
        return status
    packed = ld(hot, word + 1)
    slot = (packed >> 8) & SLOT_MASK if packed & W_SLOT else _unpack(hot, arena, regs, word)
    _suspect(arena, slot, at)
    return DONE


@compiled
def trust(hot_: Memory, arena_: Memory, regs_: Memory, key: int) -> int:
    """A person says that the account is all right: what it used so far is known now, scanners apart."""
    hot = base(hot_)
    arena = base(arena_)
    regs = base(regs_)
    word = _find(hot, ld(regs, R_CAPACITY), key)
    if word < 0 or ld(hot, word + 1) & W_SLOT == 0:
        return DONE
    slot = (ld(hot, word + 1) >> 8) & SLOT_MASK
    header = slot * UNIT
    for place in range(_count(arena, slot)):
        entry = _entry(slot, place)
        facts = ld(arena, entry + E_FACTS)
        if facts & 3 != BINDING and facts & E_KNOWN == 0 and (facts >> E_SCORE) & SCORE_MASK < 50:
            st(arena, entry + E_FACTS, facts | E_KNOWN)
            st(arena, entry + E_SINCE, ld(arena, entry + E_LAST))
    st(arena, header + H_SUSPECT, 0)
    return DONE


@compiled
def settle_in(hot_: Memory, regs_: Memory, keys_: Memory, first: int, count: int) -> int:
    """Give accounts their places before they are seen; returns the one to go on with. Changes no verdict."""
    hot = base(hot_)
    regs = base(regs_)
    keys = base(keys_)
    while first < count and ld(regs, R_ACCOUNTS) < ld(regs, R_MAX_ACCOUNTS):
        _place(hot, regs, ld(keys, first))
        first += 1
    return first


@compiled
def copy_table(old_: Memory, capacity_old: int, hot_: Memory, arena_: Memory, regs_: Memory, cut: int) -> None:
    """Move all accounts into another table; those not active since `cut` (0: all stay) give up their place and slot."""
    old = base(old_)
    hot = base(hot_)
    arena = base(arena_)
    regs = base(regs_)
    st(regs, R_ACCOUNTS, 0)
    for place in range(capacity_old):
        key = ld(old, place * HOT)
        if key == 0:
            continue
        packed = ld(old, place * HOT + 1)
        if cut > 0 and _active(arena, packed) < cut:
            if packed & W_SLOT:
                _give(arena, regs, (packed >> 8) & SLOT_MASK)
                st(regs, R_SLOTS, ld(regs, R_SLOTS) - 1)
            st(regs, R_EVICTED, ld(regs, R_EVICTED) + 1)
            continue
        word = _place(hot, regs, key)
        st(hot, word + 1, packed)


@compiled
def _active(arena: Memory, packed: int) -> int:
    """When an account was seen last, as exactly as that is known."""
    if packed & W_SLOT == 0:
        return max(EPOCH + ((packed >> W_DAY) & DAY_MASK) * DAY, _home_time((packed >> W_HOME) & HOME_MASK))
    slot = (packed >> 8) & SLOT_MASK
    newest = max(_home_time(ld(arena, slot * UNIT + H_HOME)), ld(arena, slot * UNIT + H_SUSPECT))
    for place in range(_count(arena, slot)):
        newest = max(newest, ld(arena, _entry(slot, place) + E_LAST))
    return newest


@compiled
def activity(hot_: Memory, arena_: Memory, regs_: Memory, times_: Memory) -> int:
    """Write when each account was seen last; returns how many there are."""
    hot = base(hot_)
    arena = base(arena_)
    regs = base(regs_)
    times = base(times_)
    count = 0
    for place in range(ld(regs, R_CAPACITY)):
        if ld(hot, place * HOT) != 0:
            st(times, count, _active(arena, ld(hot, place * HOT + 1)))
            count += 1
    return count
