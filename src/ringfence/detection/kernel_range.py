"""The hot part of the range view: calls by number range and inbound calls by number, over memory alone.

Two tables of keys share one shape. A key's record holds its place in a ring of entries; the entries of a key are linked in order of time,
so a window is a walk from the newest back to the first that is too old. The ring forgets in order of arrival, which bounds memory
whatever keys are invented. Ranges also keep what was ordinary: the highest hour of each of the last days, in a byte a day.

Windows are `(t - W, t]`, exact to the millisecond. A key is judged at each of its rows, at the event clock, and for a row later than
`SKEW` at its own time too. What is cheap comes first: a range with fewer calls than its limit is not walked, and after a walk that found
`n` callers the next one waits for as many rows as are missing. Integers only, so replicas agree byte for byte.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ringfence.detection.layout import DAY, HOUR, MINUTE, NEVER

F = TypeVar("F", bound=Callable[..., Any])
Words = NDArray[np.int64]

WINDOW_RANGE: Final = HOUR
WINDOW_INBOUND: Final = 5 * MINUTE
LATE: Final = 5 * MINUTE
"""A row later than this is not counted (but said in the figures). Rows within it count in the windows of their own time."""
SKEW: Final = 2_000
"""Clocks of agents differ by so much: rows within it are judged at the event clock alone."""
KEEP_RANGE: Final = WINDOW_RANGE + LATE
KEEP_INBOUND: Final = WINDOW_INBOUND + LATE
MAX_WALK: Final = 1_024
"""Entries of a window that are looked at, newest first: a count never comes to more."""
EVIDENCE: Final = 50
MAX_REPEATS: Final = 64
"""A repeated inbound call is known by its Call-ID among so many newest ones of its number."""

# Records of keys, words.
KEY: Final = 0
HEAD: Final = 1  # sequence of the newest entry, 0: none
FIRST: Final = 2  # sequence at which the key came in: older entries of it belong to a forgotten record
LIVE: Final = 3  # entries in the ring
LAST: Final = 4  # latest event time
LATCH: Final = 5  # level that was said; 16: it was said within the hour that is counted
NEED: Final = 6  # rows until the next walk can find anything new; 0: walk
STAMP: Final = 7  # hour that the bits below count
BITS: Final = 8  # four words: callers of the hour, one bit each; of an inbound number the three words below
TAIL: Final = 8  # oldest entry that is counted
SEEN: Final = 9
LOST: Final = 10
LIMITS: Final = 12  # warn and act in force, and the median they come from: twenty bits each
DAYS: Final = 13  # 32 bytes in four words: the highest hour of each day, coded; ends at word 16
RECORD: Final = 17

# Entries of the ring, words.
TIME: Final = 0
WHO: Final = 1  # account, or the call of an inbound one
ORIGIN: Final = 2  # source address of an own line, else the account; inbound: 1 when it rang shortly and nobody answered
REF: Final = 3
BEFORE: Final = 4  # sequences of the neighbours of the same key in order of time, 0: none
AFTER: Final = 5
OF: Final = 6  # key
DEAR: Final = 7  # destination class
ENTRY: Final = 8

# Registers.
R_NOW: Final = 0
R_KEYS: Final = 1
R_MAX_KEYS: Final = 2
R_NEXT: Final = 3  # sequence of the next entry; starts at 1
R_OLDEST: Final = 4  # sequence of the oldest entry in the ring
R_LATE: Final = 5
R_PUSHED_OUT: Final = 6  # entries that had to go before their time
R_KEYS_GONE: Final = 7
R_BEGAN: Final = 8  # day of the first row
R_DAY: Final = 9
R_BREADTH: Final = 10  # sum over ranges of their entries in the ring, two at the most each
R_HIGHEST_TODAY: Final = 11
R_ORDINARY: Final = 12  # median of the daily highest breadth
R_WALKS: Final = 13
R_STATUS: Final = 14
R_FORCE: Final = 15  # the ring is as large as it may get: push out
R_BREADTHS: Final = 16  # 32 words: highest breadth by day
REGISTERS: Final = 48

# Parameters.
P_WARN: Final = 0
P_ACT: Final = 1
P_SCORE: Final = 2
P_LEARN: Final = 3
P_SHARE: Final = 4
PARAMETERS: Final = 8

DONE: Final = 0
TABLE_FULL: Final = 1
RING_FULL: Final = 2
OUT_FULL: Final = 3

# A crossing as it is written, words.
O_PLACE: Final = 0
O_KEY: Final = 1
O_LEVEL: Final = 2
O_AT: Final = 3
O_OBSERVED: Final = 4
O_WARN: Final = 5
O_ACT: Final = 6
O_CALLS: Final = 7
O_FIRST: Final = 8
O_HIGHEST: Final = 9
O_DAYS: Final = 10
O_SURGE: Final = 11
O_COUNT: Final = 12
O_REFS: Final = 13
CROSSING: Final = 64

HISTORY_DAYS: Final = 30
MOST: Final = 2_160
"""A range with so many callers in an hour is ordinary by itself; its history cannot say more."""
BREADTH_FLOOR: Final = 200
"""Of how widely people call abroad: below this nothing counts as a surge, so a few stolen accounts cannot make one."""
BREADTH_SHARE: Final = 2
LATCH_SAID: Final = 16
LIMIT: Final = (1 << 20) - 1
"""The highest limit: one that no count reaches."""


def compiled(function: F) -> F:
    """Compile at the first call and keep the result beside the source, per processor."""
    return cast(F, njit(cache=True, error_model="numpy")(function))


def _callers_by_bits() -> Words:
    """How many callers so many of 256 bits stand for: the sum of 256 / (256 - i), in integers."""
    found, thousandths = [0], 0
    for bits in range(256):
        thousandths += 256_000 // (256 - bits)
        found.append(thousandths // 1000)
    found[256] = MOST
    return np.array(found, np.int64)


CALLERS: Final = _callers_by_bits()


@compiled
def _find(table: Words, key: int) -> int:
    """Place of a key's record, or `-1 - place` of the empty one where it belongs."""
    mask = table.shape[0] - 1
    place: int = ((key * -7046029254386353131) >> 32) & mask
    while True:
        found = table[place, KEY]
        if found == key:
            return place
        if found == 0:
            return -1 - place
        place = (place + 1) & mask


@compiled
def _bits(word: int) -> int:
    count = 0
    while word != 0:
        word &= word - 1
        count += 1
    return count


@compiled
def _root(value: int) -> int:
    """Whole square root."""
    if value < 2:
        return value
    guess = value
    better = (guess + 1) >> 1
    while better < guess:
        guess = better
        better = (guess + value // guess) >> 1
    return guess


@compiled
def level_of(value: int, warn: int, act: int) -> int:
    """0 below warn, 1 from warn, 2 from act, one more at each doubling of act, 15 at the most."""
    if value < warn:
        return 0
    if value < act:
        return 1
    level, reach = 2, act * 2
    while value >= reach and level < 15:
        level += 1
        reach *= 2
    return level


@compiled
def _code(value: int) -> int:
    """A count in a byte: exact below 128, then in steps of 16."""
    return value if value < 128 else min(128 + (value - 128) // 16, 255)


@compiled
def _plain(code: int) -> int:
    return code if code < 128 else 128 + (code - 128) * 16


@compiled
def _median(values: Words, count: int) -> int:
    """The lower one of the first `count` values, which it sorts; 0 of none."""
    for right in range(1, count):
        value = values[right]
        left = right - 1
        while left >= 0 and values[left] > value:
            values[left + 1] = values[left]
            left -= 1
        values[left + 1] = value
    return values[(count - 1) // 2] if count else 0


@compiled
def _day_code(table: Words, place: int, day: int) -> int:
    code: int = (table[place, DAYS + ((day & 31) >> 3)] >> ((day & 7) * 8)) & 255
    return code


@compiled
def _set_day_code(table: Words, place: int, day: int, code: int) -> None:
    word, shift = DAYS + ((day & 31) >> 3), (day & 7) * 8
    table[place, word] = (table[place, word] & ~(255 << shift)) | (code << shift)


@compiled
def _limits(table: Words, place: int, day: int, began: int, rules: Words, values: Words) -> None:
    """What is too much for a range now, from its own last days; a day without a call counts as zero."""
    count = min(HISTORY_DAYS, day - began)
    highest = _plain(_day_code(table, place, day))
    any_day = highest
    for back in range(1, count + 1):
        values[back - 1] = _plain(_day_code(table, place, day - back))
        any_day += values[back - 1]
        highest = max(highest, values[back - 1])
    if any_day == 0:
        median, spread = 0, 800
    else:
        median = _median(values, count)
        for back in range(count):
            values[back] = abs(values[back] - median)
        spread = max(1_483 * _median(values, count), _root(median * 1_000_000), 800)
    warn = max(rules[P_WARN], median + (rules[P_SCORE] * spread + 999) // 1_000, highest + 1)
    act = max(rules[P_ACT], warn + warn // 2 if highest else warn)
    if highest >= MOST:
        warn = act = LIMIT
    table[place, LIMITS] = (median << 40) | (min(act, LIMIT) << 20) | min(warn, LIMIT)


@compiled
def _roll(table: Words, place: int, hour: int, began: int, rules: Words, values: Words) -> None:
    """Close the hour that was counted: what alarmed does not become ordinary."""
    stamp = table[place, STAMP]
    if stamp:
        bits = 0
        for word in range(4):
            bits += _bits(table[place, BITS + word])
            table[place, BITS + word] = 0
        counted = CALLERS[bits]
        if table[place, LATCH] & LATCH_SAID:
            counted = min(counted, max(table[place, LIMITS] >> 40, rules[P_WARN] - 1))
        day = stamp // 24
        code = _code(counted)
        if code > _day_code(table, place, day):
            _set_day_code(table, place, day, code)
        for passed in range(day + 1, min(hour // 24, day + 32) + 1):
            _set_day_code(table, place, passed, 0)
    table[place, STAMP] = hour
    table[place, LATCH] &= LATCH_SAID - 1
    if table[place, LATCH]:
        table[place, LATCH] |= LATCH_SAID
    table[place, NEED] = 0
    _limits(table, place, hour // 24, began, rules, values)


@compiled
def _new_day(regs: Words, day: int, values: Words) -> None:
    """How widely the whole network calls abroad: close the day."""
    if regs[R_BEGAN] == 0:
        regs[R_BEGAN] = regs[R_DAY] = day
    while regs[R_DAY] < day:
        regs[R_BREADTHS + (regs[R_DAY] & 31)] = regs[R_HIGHEST_TODAY]
        regs[R_HIGHEST_TODAY] = regs[R_BREADTH]
        regs[R_DAY] = max(regs[R_DAY] + 1, day - 32)
    count = min(HISTORY_DAYS, day - regs[R_BEGAN])
    for back in range(count):
        values[back] = regs[R_BREADTHS + ((day - 1 - back) & 31)]
    regs[R_ORDINARY] = max(_median(values, count), BREADTH_FLOOR) if count else 0


@compiled
def _surge(regs: Words) -> int:
    """By how many percent limits are raised while everybody calls abroad at once (New Year's Eve); 100 at ordinary times."""
    ordinary = regs[R_ORDINARY]
    if ordinary == 0:
        return 100
    percent = min(regs[R_BREADTH] * 100 // ordinary, 300)
    return 100 if percent <= 125 else percent * percent // 100


@compiled
def _forget(table: Words, ring: Words, regs: Words, until: int, one: bool, counting: bool) -> None:
    """Drop the oldest entries that are too old; `one`: one whatever its age; `counting`: records count their entries."""
    mask = ring.shape[0] - 1
    while regs[R_OLDEST] < regs[R_NEXT]:
        sequence = regs[R_OLDEST]
        entry = sequence & mask
        if ring[entry, TIME] > until:
            if not one:
                return
            regs[R_PUSHED_OUT] += 1
        one = False
        before, after = ring[entry, BEFORE], ring[entry, AFTER]
        place = _find(table, ring[entry, OF])
        if place >= 0 and sequence >= table[place, FIRST]:
            if table[place, LIVE] <= BREADTH_SHARE:
                regs[R_BREADTH] -= 1
            table[place, LIVE] -= 1
            if table[place, HEAD] == sequence:
                table[place, HEAD] = before
            if counting and table[place, SEEN] > 0 and ring[entry, TIME] >= ring[table[place, TAIL] & mask, TIME]:
                table[place, SEEN] -= 1
                table[place, LOST] -= ring[entry, ORIGIN]
                if table[place, TAIL] == sequence:
                    table[place, TAIL] = after
        if before:
            ring[before & mask, AFTER] = after
        if after:
            ring[after & mask, BEFORE] = before
        for word in range(ENTRY):
            ring[entry, word] = 0
        regs[R_OLDEST] = sequence + 1


@compiled
def _room(table: Words, ring: Words, regs: Words, key: int, until: int, counting: bool) -> int:
    """Place of the key's record, made if need be; -1 when a region is full (said in R_STATUS)."""
    _forget(table, ring, regs, until, False, counting)
    if regs[R_NEXT] - regs[R_OLDEST] >= ring.shape[0]:
        if regs[R_FORCE] == 0:
            regs[R_STATUS] = RING_FULL
            return -1
        _forget(table, ring, regs, until, True, counting)
    place = _find(table, key)
    if place < 0:
        if regs[R_KEYS] >= regs[R_MAX_KEYS]:
            regs[R_STATUS] = TABLE_FULL
            return -1
        place = -1 - place
        table[place, KEY] = key
        table[place, FIRST] = regs[R_NEXT]
        regs[R_KEYS] += 1
    return place


@compiled
def _append(table: Words, ring: Words, regs: Words, place: int, at: int, who: int, origin: int, ref: int, dear: int) -> int:
    """Put an entry where its time belongs; its sequence."""
    sequence: int = regs[R_NEXT]
    mask = ring.shape[0] - 1
    entry = sequence & mask
    before, after = table[place, HEAD], 0
    while before != 0 and ring[before & mask, TIME] > at:
        after, before = before, ring[before & mask, BEFORE]
    ring[entry, TIME] = at
    ring[entry, WHO] = who
    ring[entry, ORIGIN] = origin
    ring[entry, REF] = ref
    ring[entry, BEFORE] = before
    ring[entry, AFTER] = after
    ring[entry, OF] = table[place, KEY]
    ring[entry, DEAR] = dear
    if before != 0:
        ring[before & mask, AFTER] = sequence
    if after != 0:
        ring[after & mask, BEFORE] = sequence
    else:
        table[place, HEAD] = sequence
    table[place, LIVE] += 1
    table[place, LAST] = max(table[place, LAST], at)
    regs[R_NEXT] = sequence + 1
    if table[place, LIVE] <= BREADTH_SHARE:
        regs[R_BREADTH] += 1
        regs[R_HIGHEST_TODAY] = max(regs[R_HIGHEST_TODAY], regs[R_BREADTH])
    return sequence


@compiled
def _into(marks: Words, turn: int, value: int) -> int:
    """1 when the value is new in this turn's set."""
    mask = marks.shape[0] - 2  # The last row holds the turn.
    place = ((value * -7046029254386353131) >> 32) & mask
    while marks[place, 0] == turn:
        if marks[place, 1] == value:
            return 0
        place = (place + 1) & mask
    marks[place, 0] = turn
    marks[place, 1] = value
    return 1


@compiled
def _walk_range(
    ring: Words, regs: Words, head: int, newest: int, at: int, least: int, accounts: Words, origins: Words, found: Words
) -> None:
    """Unrelated callers in `(at - W, at]`: `found` = without entry `newest`, with it, calls, earliest time, evidence, references."""
    turn = accounts[accounts.shape[0] - 1, 0] + 1
    accounts[accounts.shape[0] - 1, 0] = turn
    regs[R_WALKS] += 1
    mask = ring.shape[0] - 1
    people = places = calls = told = 0
    earliest = NEVER
    with_newest = False
    sequence = head
    for _ in range(MAX_WALK):
        entry = sequence & mask
        if sequence == 0 or ring[entry, TIME] <= at - WINDOW_RANGE:
            break
        if ring[entry, TIME] <= at and ring[entry, DEAR] >= least:
            calls += 1
            earliest = min(earliest, ring[entry, TIME])
            if told < EVIDENCE:
                found[5 + told] = ring[entry, REF]
                told += 1
            if sequence == newest:
                with_newest = True
            else:
                people += _into(accounts, turn, ring[entry, WHO])
                places += _into(origins, turn, ring[entry, ORIGIN])
        sequence = ring[entry, BEFORE]
    found[0] = min(people, places)
    if with_newest:
        entry = newest & mask
        people += _into(accounts, turn, ring[entry, WHO])
        places += _into(origins, turn, ring[entry, ORIGIN])
    found[1] = min(people, places)
    found[2] = calls
    found[3] = earliest
    found[4] = told


@compiled
def _write(out: Words, written: int, row: int, key: int, level: int, at: int, found: Words, warn: int, act: int) -> None:
    out[written, O_PLACE] = row
    out[written, O_KEY] = key
    out[written, O_LEVEL] = level
    out[written, O_AT] = at
    out[written, O_OBSERVED] = found[1]
    out[written, O_WARN] = warn
    out[written, O_ACT] = act
    out[written, O_CALLS] = found[2]
    out[written, O_FIRST] = found[3]
    out[written, O_COUNT] = found[4]
    for ref in range(found[4]):
        out[written, O_REFS + ref] = found[5 + ref]


@compiled
def see_ranges(
    table: Words,
    ring: Words,
    regs: Words,
    rules: Words,
    out: Words,
    accounts: Words,
    origins: Words,
    found: Words,
    clocks: Words,
    keys: Words,
    times: Words,
    who: Words,
    whence: Words,
    refs: Words,
    dear: Words,
    row: int,
) -> tuple[int, int]:
    """Take calls from `row` on. `(next row, crossings written)`; R_STATUS says why it stopped before the last."""
    written = 0
    regs[R_STATUS] = DONE
    values = found[64:]
    while row < keys.shape[0]:
        if written + 2 > out.shape[0]:
            regs[R_STATUS] = OUT_FULL
            return row, written
        now, at = clocks[row], times[row]
        if now // DAY != regs[R_DAY]:
            _new_day(regs, now // DAY, values)
        if at <= now - LATE:
            regs[R_LATE] += 1
            row += 1
            continue
        place = _room(table, ring, regs, keys[row], now - KEEP_RANGE, False)
        if place < 0:
            return row, written
        hour = at // HOUR
        if hour > table[place, STAMP]:
            _roll(table, place, hour, regs[R_BEGAN], rules, values)
        if hour == table[place, STAMP]:
            bit = ((who[row] * -7046029254386353131) >> 40) & 255
            table[place, BITS + (bit >> 6)] |= np.int64(1) << (bit & 63)
        newest = _append(table, ring, regs, place, at, who[row], whence[row], refs[row], dear[row])
        warn, act = table[place, LIMITS] & LIMIT, (table[place, LIMITS] >> 20) & LIMIT
        if table[place, LIVE] < warn:
            table[place, LATCH] &= LATCH_SAID
            table[place, NEED] = 0
        elif table[place, NEED] > 1 and at > now - SKEW:
            table[place, NEED] -= 1
        else:
            surge = _surge(regs)
            least = 4 if now // DAY - regs[R_BEGAN] < rules[P_LEARN] else 3
            high_warn, high_act = (warn * surge + 99) // 100, (act * surge + 99) // 100
            for late in range(1 + (at <= now - SKEW)):
                moment = at if late else now
                _walk_range(ring, regs, table[place, HEAD], newest, moment, least, accounts, origins, found)
                if not late:
                    if found[0] < high_warn:
                        table[place, LATCH] &= LATCH_SAID
                    table[place, NEED] = max(warn - found[1], 0)
                level = level_of(found[1], high_warn, high_act)
                if level > table[place, LATCH] & 15:
                    table[place, LATCH] = LATCH_SAID | level
                    table[place, NEED] = 0
                    _write(out, written, row, keys[row], level, moment, found, high_warn, high_act)
                    day = table[place, STAMP] // 24
                    highest = 0
                    for back in range(min(HISTORY_DAYS, day - regs[R_BEGAN]) + 1):
                        highest = max(highest, _plain(_day_code(table, place, day - back)))
                    out[written, O_HIGHEST] = highest
                    out[written, O_DAYS] = min(HISTORY_DAYS, day - regs[R_BEGAN])
                    out[written, O_SURGE] = surge
                    written += 1
        row += 1
    return row, written


@compiled
def _twice(ring: Words, head: int, call: int) -> bool:
    """Whether the call is among the newest of its number: the same row again changes nothing."""
    sequence = head
    for _ in range(MAX_REPEATS):
        if sequence == 0:
            return False
        entry = sequence & (ring.shape[0] - 1)
        if ring[entry, WHO] == call:
            return True
        sequence = ring[entry, BEFORE]
    return False


@compiled
def _advance(table: Words, ring: Words, place: int, until: int) -> None:
    """Leave out of the count what is too old."""
    mask = ring.shape[0] - 1
    while table[place, SEEN] > 0 and ring[table[place, TAIL] & mask, TIME] <= until:
        table[place, SEEN] -= 1
        table[place, LOST] -= ring[table[place, TAIL] & mask, ORIGIN]
        table[place, TAIL] = ring[table[place, TAIL] & mask, AFTER]


@compiled
def _walk_inbound(ring: Words, head: int, at: int, found: Words) -> None:
    """Calls in `(at - W, at]`, short ones of them, and references."""
    mask = ring.shape[0] - 1
    seen = lost = told = 0
    sequence = head
    for _ in range(MAX_WALK):
        entry = sequence & mask
        if sequence == 0 or ring[entry, TIME] <= at - WINDOW_INBOUND:
            break
        if ring[entry, TIME] <= at:
            seen += 1
            lost += ring[entry, ORIGIN]
            if told < EVIDENCE:
                found[5 + told] = ring[entry, REF]
                told += 1
        sequence = ring[entry, BEFORE]
    found[1], found[2], found[3], found[4] = seen, lost, at, told


@compiled
def see_inbound(
    table: Words,
    ring: Words,
    regs: Words,
    rules: Words,
    out: Words,
    found: Words,
    clocks: Words,
    keys: Words,
    times: Words,
    calls: Words,
    short: Words,
    refs: Words,
    row: int,
) -> tuple[int, int]:
    """Take inbound calls by the number that called: many in five minutes, most of them hung up before anybody could answer."""
    written = 0
    regs[R_STATUS] = DONE
    mask = ring.shape[0] - 1
    while row < keys.shape[0]:
        if written + 2 > out.shape[0]:
            regs[R_STATUS] = OUT_FULL
            return row, written
        now, at = clocks[row], times[row]
        if at <= now - LATE:
            regs[R_LATE] += 1
            row += 1
            continue
        place = _room(table, ring, regs, keys[row], now - KEEP_INBOUND, True)
        if place < 0:
            return row, written
        if calls[row] != 0 and _twice(ring, table[place, HEAD], calls[row]):
            row += 1
            continue
        _advance(table, ring, place, now - WINDOW_INBOUND)
        if table[place, SEEN] < rules[P_WARN]:
            table[place, LATCH] = 0
        newest = _append(table, ring, regs, place, at, calls[row], short[row], refs[row], 0)
        if at > now - WINDOW_INBOUND:
            if table[place, SEEN] == 0 or at < ring[table[place, TAIL] & mask, TIME]:
                table[place, TAIL] = newest
            table[place, SEEN] += 1
            table[place, LOST] += short[row]
        for late in range(1 + (at <= now - SKEW)):
            seen, lost, moment = table[place, SEEN], table[place, LOST], now
            if late:
                if table[place, LIVE] < rules[P_WARN]:
                    break
                _walk_inbound(ring, table[place, HEAD], at, found)
                seen, lost, moment = found[1], found[2], at
            level = level_of(seen, rules[P_WARN], NEVER) if lost * 100 >= seen * rules[P_SHARE] else 0
            if level > table[place, LATCH]:
                table[place, LATCH] = level
                if not late:
                    _walk_inbound(ring, table[place, HEAD], moment, found)
                    found[1], found[2] = seen, lost
                _write(out, written, row, keys[row], level, moment, found, rules[P_WARN], rules[P_WARN])
                written += 1
        row += 1
    return row, written


@compiled
def copy_keys(old: Words, new: Words, regs: Words, cut: int, idle: bool) -> int:
    """Copy what is kept: records that were used at or after `cut`, and with `idle` also those that hold entries. Returns how many."""
    kept = breadth = 0
    for place in range(old.shape[0]):
        if old[place, KEY] == 0 or not (old[place, LAST] >= cut or (idle and old[place, LIVE] > 0)):
            continue
        target = -1 - _find(new, old[place, KEY])
        for word in range(RECORD):
            new[target, word] = old[place, word]
        kept += 1
        breadth += min(old[place, LIVE], BREADTH_SHARE)
    regs[R_KEYS] = kept
    regs[R_BREADTH] = breadth
    return kept


@compiled
def copy_ring(old: Words, new: Words, regs: Words) -> None:
    """Lay the entries out in a larger ring."""
    for sequence in range(regs[R_OLDEST], regs[R_NEXT]):
        for word in range(ENTRY):
            new[sequence & (new.shape[0] - 1), word] = old[sequence & (old.shape[0] - 1), word]


@compiled
def set_limits(table: Words, regs: Words, rules: Words, found: Words) -> None:
    """Work out the limits of every range again, for new rules."""
    for place in range(table.shape[0]):
        if table[place, KEY] != 0 and table[place, STAMP] != 0:
            table[place, NEED] = 0
            _limits(table, place, table[place, STAMP] // 24, regs[R_BEGAN], rules, found[64:])
