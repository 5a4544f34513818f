"""Rows in, crossings out: the windows of every account, over memory alone.

`run` takes rows in log order, moves the event clock, fires due wake-ups, adds what a row says of its call, and writes a crossing for
each detector whose level rises. It never allocates, reads no clock and knows no text: when a region is full it stops before the row,
says which, and is called again. Integers only, so replicas agree byte for byte whatever the batches, the processor or the compiler.

What a verdict means, exactly. A call is the join of all rows with its `call_key`: the first start, the first answer, the first end. An
account is judged at each of its rows that adds something (at the event clock and, for a late row, at the row's own time too), and
at each whole second while a C2+ call of its own runs. A level that rose since it was last below warn is a crossing. Levels fall only
when a row adds something: then every detector below warn is armed again before the row counts. So a repeated row changes nothing.

Compiled, memory is raw addresses: numba keeps reference counts of array arguments in helpers, which costs three times the work itself.
With `NUMBA_DISABLE_JIT=1` the same source runs on the arrays, where NumPy checks every index; the tests do both.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from ringfence.detection.layout import (
    B_COUNTS,
    B_DAY,
    B_FROM,
    B_HIGHEST,
    B_KEY,
    B_NEXT,
    B_SPENT,
    B_UNTIL,
    BAG_CALLS,
    BASELINE_RECORD,
    BASELINE_UNIT,
    BIN_BITS,
    BLOCK_HEADER,
    BLOCK_HISTORY,
    BLOCK_PLACES,
    BLOCKS,
    C_ACT,
    C_AT,
    C_COST,
    C_COUNT,
    C_DETECTOR,
    C_EVIDENCE,
    C_FIRST,
    C_KEY,
    C_LAST,
    C_LEVEL,
    C_OBSERVED,
    C_OPENING,
    C_RATE,
    C_VARIANT,
    C_WARN,
    CLOSED_CURSOR,
    CLOSED_FIRST,
    CLOSED_HEADER,
    CLOSED_PIECE,
    CLOSED_SUM,
    CROSSING_WORDS,
    DAY,
    DETECTORS,
    E_ANSWER,
    E_CALL,
    E_END,
    E_FACTS,
    E_PRICE,
    E_RANGE,
    E_REF,
    E_START,
    EVIDENCE,
    FACT_CLASS,
    FACT_COUNTRY,
    FACT_FIRST,
    FACT_FORWARDED,
    FACT_KNOWN,
    FACT_LAND,
    FACT_NUMBER,
    FIRST_DAYS,
    FORGOTTEN,
    HEAVY_ENTRY,
    HEAVY_HEADER,
    HEAVY_LATE,
    HOT_KEY,
    HOT_SLOTS,
    HOT_TAG,
    HOT_TIMES,
    HOT_WORDS,
    HOUR,
    LARGE_LATE,
    LIGHT_ENTRY,
    LIGHT_HEADER,
    LIGHT_LATE,
    LIMIT_MONTH_FLOOR,
    LIMIT_USUAL_FLOOR,
    LOOK_AHEAD,
    MAX_AGE,
    MAX_CALL,
    MAX_CLASS,
    MAX_CROSSINGS_A_ROW,
    MAX_EVIDENCE,
    MAX_PRICE,
    MAX_RINGING,
    MAX_TRIALS,
    MINUTE,
    MONTH_OVERDUE,
    NEVER,
    NEW_ACCOUNT_DAYS,
    NO_REF,
    PIECE,
    PROFILE_WORDS,
    R_ACCOUNTS,
    R_ARENA_CLASS,
    R_ARENA_TOP,
    R_ARENA_UNITS,
    R_BASELINES,
    R_CALENDAR,
    R_CAPACITY,
    R_EPOCH,
    R_EVICTED,
    R_FREE,
    R_HEAP_CAPACITY,
    R_HEAP_SIZE,
    R_JUDGED,
    R_LATE,
    R_LIVE_UNITS,
    R_MAX_ACCOUNTS,
    R_MAX_HEAVY,
    R_MAX_LIGHT,
    R_NEXT_DUE,
    R_NEXT_SWEEP,
    R_NOW,
    R_OUT,
    R_OUT_CAPACITY,
    R_ROWS,
    R_SPILLED,
    R_STATUS,
    R_VARIANT,
    R_VARIANT_FROM,
    R_VARIANT_UNTIL,
    R_WAKES,
    SECOND,
    SETTLED,
    SHORT,
    SHORT_PERCENT,
    SLOT_BASELINE,
    SLOT_CLOSED,
    SLOT_COUNT,
    SLOT_EPOCH,
    SLOT_LATCHES,
    SLOT_LATCHES_2,
    SLOT_TENDED,
    SLOT_WAKE,
    THRESHOLD_ROW,
    TRIAL,
    UNIT,
    USUAL_DAYS,
    V_ANSWER,
    V_COST,
    V_DAILY,
    V_DAY_ACT,
    V_DAY_WARN,
    V_GROWTH,
    V_HOUR,
    V_HOUR_FROM,
    V_HOUR_UNTIL,
    V_LONG,
    V_MINUTES,
    V_MONTH_ACT,
    V_MONTH_WARN,
    V_PIVOT,
    V_POTENTIAL,
    V_RANGE,
    V_RATE,
    V_REACHED,
    V_RECORD,
    V_RUNNING,
    V_SINCE,
    V_SOON,
    V_SOON_ACT,
    V_SOON_WARN,
    V_TAIL,
    V_UNTIL,
    V_ZONES,
    WINDOW_5M,
    WINDOW_10M,
    WINDOW_15M,
    WINDOW_24H,
    WINDOW_30M,
    WINDOW_60M,
    Detector,
    Status,
    V,
)

COMPILED: Final = not config.DISABLE_JIT  # type: ignore[attr-defined]  # made at run time from the environment

Memory = Any
"""An address when compiled, an array when not."""

Load = Callable[[Memory, int], int]

F = TypeVar("F", bound=Callable[..., Any])


_OPTIONS: Final[dict[str, Any]] = {"cache": True, "error_model": "numpy", "no_cfunc_wrapper": True}
"""Kept beside the source, per processor. Nothing calls the kernel from C: not making it callable saves a quarter of the compilation."""


def compiled(function: F) -> F:
    """Compile at the first call."""
    return cast(F, njit(**_OPTIONS)(function))


def inlined(function: F) -> F:
    """The same for helpers that LLVM must not leave as calls: a call of numba's convention costs more than they do."""
    return cast(F, njit(**_OPTIONS, forceinline=True)(function))


LOW: Final = 0xFFFFFFFF
BLOCK: Final = 16
"""Rows whose records are found together, ahead of their turn; their places lie in the last crossing of the output. 64 were slower."""
AHEAD_SWEEP: Final = 16

D01: Final = int(Detector.D01)
D02: Final = int(Detector.D02)
D03: Final = int(Detector.D03)
D06: Final = int(Detector.D06)
D07: Final = int(Detector.D07)
D08: Final = int(Detector.D08)
D09: Final = int(Detector.D09)
D10: Final = int(Detector.D10)
D11: Final = int(Detector.D11)
D12: Final = int(Detector.D12)
D14: Final = int(Detector.D14)
D18: Final = int(Detector.D18)
D21: Final = int(Detector.D21)
D13: Final = int(Detector.D13)
D16: Final = int(Detector.D16)
D17: Final = int(Detector.D17)
D22: Final = int(Detector.D22)
D25: Final = int(Detector.D25)
D05: Final = int(Detector.D05)
D04: Final = int(Detector.D04)
D20: Final = int(Detector.D20)
D19: Final = int(Detector.D19)

HEAVY: Final = (1 << DETECTORS) - 1 - (1 << D08) - (1 << D21)
"""Who judges C2+ calls, as bits: all; at a second between rows (a share can rise because old calls leave: that is no event); at an end."""
BETWEEN: Final = HEAVY - (1 << D22)
AT_END: Final = (1 << D16) | (1 << D22)
LATCHES_A_WORD: Final = 15

ATTEMPT: Final = 1
ANSWER: Final = 2
END: Final = 3
CALL: Final = 4
UNKEYED: Final = 2
FORWARDED: Final = 4
NATIONAL_VALUE: Final = 8

DONE: Final = int(Status.DONE)
OUTPUT_FULL: Final = int(Status.OUTPUT_FULL)
TABLE_FULL: Final = int(Status.TABLE_FULL)
ARENA_FULL: Final = int(Status.ARENA_FULL)
HEAP_FULL: Final = int(Status.HEAP_FULL)
CALENDAR_ENDS: Final = int(Status.CALENDAR_ENDS)


def _loader(bits: int, *, signed: bool) -> Any:
    """An intrinsic that loads an integer of so many bits at `address + index`, widened to 64."""

    @intrinsic
    def load(_typing: Any, _base: Any, _index: Any) -> Any:
        def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            word = ir.IntType(64)
            place = builder.add(args[0], builder.mul(args[1], ir.Constant(word, bits // 8)))
            value = builder.load(builder.inttoptr(place, ir.IntType(bits).as_pointer()))
            if bits == 64:
                return value
            return builder.sext(value, word) if signed else builder.zext(value, word)

        return types.int64(types.int64, types.int64), build

    return load


@intrinsic
def _raw_store(_typing: Any, _base: Any, _index: Any, _value: Any) -> Any:
    """Store a word at `address + 8 * index`."""

    def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        place = builder.add(args[0], builder.mul(args[1], ir.Constant(word, 8)))
        builder.store(args[2], builder.inttoptr(place, word.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), build


@intrinsic
def _raw_prefetch(_typing: Any, _base: Any, _index: Any) -> Any:
    """Ask for the cache line of the word at `address + 8 * index`, to read: asking to write took 18 ns a line instead of 11."""

    def build(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        word, byte, flag = ir.IntType(64), ir.IntType(8), ir.IntType(32)
        place = builder.add(args[0], builder.mul(args[1], ir.Constant(word, 8)))
        kind = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), flag, flag, flag])
        insert: Any = cgutils.get_or_insert_function
        function = insert(builder.module, kind, "llvm.prefetch.p0i8")
        pointer = builder.inttoptr(place, byte.as_pointer())
        builder.call(function, [pointer, ir.Constant(flag, 0), ir.Constant(flag, 3), ir.Constant(flag, 1)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), build


@intrinsic
def _raw_rare(_typing: Any, _flag: Any) -> Any:
    """Tell LLVM that a condition hardly ever holds, so that what follows neither takes registers nor is inlined."""

    def build(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        bit = ir.IntType(1)
        insert: Any = cgutils.get_or_insert_function
        function = insert(builder.module, ir.FunctionType(bit, [bit, bit]), "llvm.expect.i1")
        return builder.call(function, [args[0], ir.Constant(bit, 0)])

    return types.boolean(types.boolean), build


def _checked_load(array: Any, index: int) -> int:
    """Load a word; NumPy checks the upper bound, we the lower."""
    assert index >= 0
    return int(array[index])


def _checked_store(array: Any, index: int, value: int) -> None:
    """Store a word."""
    assert index >= 0
    array[index] = value


def _no_prefetch(_array: Any, _index: int) -> None:
    """Nothing to fetch from an array."""


def _flag(flag: bool) -> bool:
    """The condition itself."""
    return flag


def _itself(array: Any) -> Any:
    return array


def _address(array: Any) -> Any:
    """Address of an array's first element."""
    return array.ctypes.data


ld: Load = _loader(64, signed=True) if COMPILED else _checked_load
ld_u8: Load = _loader(8, signed=False) if COMPILED else _checked_load
ld_u16: Load = _loader(16, signed=False) if COMPILED else _checked_load
ld_i16: Load = _loader(16, signed=True) if COMPILED else _checked_load
st: Any = _raw_store if COMPILED else _checked_store
prefetch: Any = _raw_prefetch if COMPILED else _no_prefetch
rare: Any = _raw_rare if COMPILED else _flag
base: Any = njit(inline="always")(_address) if COMPILED else _itself


# --- arena ---------------------------------------------------------------------------------------------------------------------------


@compiled
def _take(arena: Memory, regs: Memory, size_class: int) -> int:
    """A zeroed slot of `2^size_class` units, as its first unit. The caller made sure that there is room."""
    head = ld(regs, R_FREE + size_class)
    if head != 0:
        following = ld(arena, head * UNIT)
        prefetch(arena, following * UNIT)
        prefetch(arena, following * UNIT + UNIT)
        st(regs, R_FREE + size_class, following)
        st(arena, head * UNIT, 0)
    else:
        head = ld(regs, R_ARENA_TOP)
        st(regs, R_ARENA_TOP, head + (1 << size_class))
        if size_class > ld(regs, R_ARENA_CLASS):
            st(regs, R_ARENA_CLASS, size_class)
    st(regs, R_LIVE_UNITS, ld(regs, R_LIVE_UNITS) + (1 << size_class))
    st(arena, head * UNIT + SLOT_COUNT, size_class << 32)
    return head


@compiled
def _give(arena: Memory, regs: Memory, slot: int) -> None:
    """Zero a slot and put it on its free list, last in first out."""
    size_class = ld(arena, slot * UNIT + SLOT_COUNT) >> 32
    for word in range(slot * UNIT, (slot + (1 << size_class)) * UNIT):
        st(arena, word, 0)
    st(arena, slot * UNIT, ld(regs, R_FREE + size_class))
    st(regs, R_FREE + size_class, slot)
    st(regs, R_LIVE_UNITS, ld(regs, R_LIVE_UNITS) - (1 << size_class))


@compiled
def _bigger(arena: Memory, regs: Memory, slot: int) -> int:
    """Move a slot into one of twice its size; returns the new one."""
    count = ld(arena, slot * UNIT + SLOT_COUNT)
    size_class = count >> 32
    new = _take(arena, regs, size_class + 1)
    for word in range(1, UNIT << size_class):
        st(arena, new * UNIT + word, ld(arena, slot * UNIT + word))
    st(arena, new * UNIT + SLOT_COUNT, (count & LOW) | ((size_class + 1) << 32))
    _give(arena, regs, slot)
    return new


# --- table of accounts ---------------------------------------------------------------------------------------------------------------


@inlined
def _home(key: int, capacity: int) -> int:
    """Where the probing for a key starts: by its high half, as the low bits choose the lane, and at a cache line, which holds two records."""
    return ((((key >> 32) & LOW) * (capacity >> 1)) >> 32) << 1


@inlined
def _find(hot: Memory, capacity: int, key: int) -> int:
    """Word of the record of a key, or `-1 - word` of the empty record where it belongs."""
    word = _home(key, capacity) * HOT_WORDS
    while True:  # A line at a time. Which of its two records it is must be no branch: nobody could predict it.
        first, second = ld(hot, word + HOT_KEY), ld(hot, word + HOT_WORDS + HOT_KEY)
        if (first == key) | (second == key):
            return word + HOT_WORDS * (second == key)
        if (first == 0) | (second == 0):
            return -1 - word - HOT_WORDS * (first != 0)
        word += 2 * HOT_WORDS
        if word == capacity * HOT_WORDS:
            word = 0


@inlined
def _pack(low: int, high: int) -> int:
    """Two 32-bit values as one signed word."""
    return (low & LOW) | ((((high & LOW) ^ 0x80000000) - 0x80000000) << 32)


@inlined
def _signed(now: int, low: int) -> int:
    """Milliseconds from `now` to a time of which the low 32 bits are kept; within 24 days either way."""
    return ((low - now + 0x80000000) & LOW) - 0x80000000


# --- time ----------------------------------------------------------------------------------------------------------------------------


@inlined
def _variant_at(regs: Memory, calendar: Memory, at: int) -> int:
    """1 when night, weekend or holiday covers an instant. Looks again only when `at` leaves the interval found last."""
    if ld(regs, R_VARIANT_FROM) <= at < ld(regs, R_VARIANT_UNTIL):
        return ld(regs, R_VARIANT)
    low, high = 0, ld(regs, R_CALENDAR)  # calendar: words of (transition << 1) | flag, ascending
    while high - low > 1:
        middle = (low + high) >> 1
        if ld(calendar, middle) >> 1 <= at:
            low = middle
        else:
            high = middle
    flag = ld(calendar, low) & 1
    st(regs, R_VARIANT, flag)
    st(regs, R_VARIANT_FROM, ld(calendar, low) >> 1)
    until = NEVER
    if low + 1 < ld(regs, R_CALENDAR):
        until = ld(calendar, low + 1) >> 1
    st(regs, R_VARIANT_UNTIL, until)
    return flag


# --- heap of wake-ups ----------------------------------------------------------------------------------------------------------------


@compiled
def _before(heap: Memory, a: int, b: int) -> bool:
    """Whether item `a` comes before item `b`: by time, then key."""
    time_a, time_b = ld(heap, 2 * a), ld(heap, 2 * b)
    return time_a < time_b or (time_a == time_b and ld(heap, 2 * a + 1) < ld(heap, 2 * b + 1))


@compiled
def _swap(heap: Memory, a: int, b: int) -> None:
    time, key = ld(heap, 2 * a), ld(heap, 2 * a + 1)
    st(heap, 2 * a, ld(heap, 2 * b))
    st(heap, 2 * a + 1, ld(heap, 2 * b + 1))
    st(heap, 2 * b, time)
    st(heap, 2 * b + 1, key)


@compiled
def _push(heap: Memory, regs: Memory, at: int, key: int) -> None:
    """Add a wake-up. The caller made sure that there is room."""
    place = ld(regs, R_HEAP_SIZE)
    st(regs, R_HEAP_SIZE, place + 1)
    st(heap, 2 * place, at)
    st(heap, 2 * place + 1, key)
    while place > 0:
        parent = (place - 1) >> 1
        if not _before(heap, place, parent):
            break
        _swap(heap, place, parent)
        place = parent


@compiled
def _pop(heap: Memory, regs: Memory) -> None:
    """Remove the first wake-up."""
    size = ld(regs, R_HEAP_SIZE) - 1
    st(regs, R_HEAP_SIZE, size)
    st(heap, 0, ld(heap, 2 * size))
    st(heap, 1, ld(heap, 2 * size + 1))
    st(heap, 2 * size, 0)
    st(heap, 2 * size + 1, 0)
    place = 0
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and _before(heap, child + 1, child):
            child += 1
        if not _before(heap, child, place):
            break
        _swap(heap, child, place)
        place = child


@compiled
def _set_due(heap: Memory, regs: Memory) -> None:
    """Note the next instant at which something besides a row must happen."""
    due = ld(regs, R_NEXT_SWEEP)
    if ld(regs, R_HEAP_SIZE) > 0 and ld(heap, 0) < due:
        due = ld(heap, 0)
    st(regs, R_NEXT_DUE, due)


# --- bags ----------------------------------------------------------------------------------------------------------------------------


@inlined
def _light_over(start: int, end: int, now: int) -> bool:
    return end <= now - LIGHT_LATE and start <= now - LIGHT_LATE - MINUTE


@compiled
def _trim_light(arena: Memory, slot: int, now: int) -> int:
    """Drop expired entries of an all-calls slot; returns how many are left."""
    head = slot * UNIT
    count = ld(arena, head + SLOT_COUNT) & LOW
    place = 0
    while place < count:
        entry = head + LIGHT_HEADER + place * LIGHT_ENTRY
        if _light_over(ld(arena, entry), ld(arena, entry + 1), now):
            count -= 1
            last = head + LIGHT_HEADER + count * LIGHT_ENTRY
            for word in range(LIGHT_ENTRY):
                st(arena, entry + word, ld(arena, last + word))
                st(arena, last + word, 0)
        else:
            place += 1
    st(arena, head + SLOT_COUNT, (ld(arena, head + SLOT_COUNT) & ~LOW) | count)
    return count


@inlined
def _heavy_over(start: int, answer: int, end: int, facts: int, now: int) -> bool:
    if facts & FACT_FIRST != 0 and start > now - WINDOW_24H - HEAVY_LATE:
        return False
    if answer != 0:
        return end <= now - WINDOW_24H - HEAVY_LATE
    return end <= now - HEAVY_LATE and start <= now - WINDOW_60M - HEAVY_LATE


@compiled
def _remove(arena: Memory, head: int, entry: int, count: int) -> None:
    """Take an entry out of a C2+ bag: the last one gets its place. `count` is what is left."""
    last = head + HEAVY_HEADER + count * HEAVY_ENTRY
    for word in range(HEAVY_ENTRY):
        st(arena, entry + word, ld(arena, last + word))
        st(arena, last + word, 0)


@compiled
def _trim_heavy(arena: Memory, regs: Memory, slot: int, key: int, now: int) -> int:
    """Drop expired entries of a C2+ slot; returns how many are left. Recalls the account's baseline."""
    _recall(arena, regs, slot, key)
    head = slot * UNIT
    count = ld(arena, head + SLOT_COUNT) & LOW
    place = 0
    while place < count:
        entry = head + HEAVY_HEADER + place * HEAVY_ENTRY
        answer = ld(arena, entry + E_ANSWER)
        if _heavy_over(ld(arena, entry + E_START), answer, ld(arena, entry + E_END), ld(arena, entry + E_FACTS), now):
            if answer != 0:
                _leave(arena, regs, entry)
            count -= 1
            _remove(arena, head, entry, count)
        else:
            place += 1
    st(arena, head + SLOT_COUNT, (ld(arena, head + SLOT_COUNT) & ~LOW) | count)
    if ld(arena, head + SLOT_CLOSED) != 0:
        _trim_closed(arena, regs, head, now)
    return count


@compiled
def _tend(arena: Memory, regs: Memory, slot: int, key: int, now: int) -> int:
    """Before a row: drop what is over; a large bag once a minute, and what only the 24 hours still need becomes closed cost."""
    head = slot * UNIT
    count = ld(arena, head + SLOT_COUNT) & LOW
    if count <= BAG_CALLS:
        return _trim_heavy(arena, regs, slot, key, now)
    if now < ld(arena, head + SLOT_TENDED) + MINUTE:
        _recall(arena, regs, slot, key)
        return count
    st(arena, head + SLOT_TENDED, now)
    count = _trim_heavy(arena, regs, slot, key, now)
    if count > BAG_CALLS:
        _settle(arena, regs, slot, now)
        count = ld(arena, head + SLOT_COUNT) & LOW
    return count


@compiled
def _give_heavy(arena: Memory, regs: Memory, slot: int) -> None:
    """Free a C2+ slot with all that belongs to it."""
    closed = ld(arena, slot * UNIT + SLOT_CLOSED)
    if closed != 0:
        _give(arena, regs, closed)
    _give(arena, regs, slot)


# --- closed cost: what the 24 hours still need of calls that are long over --------------------------------------------------------------


@inlined
def _piece(closed: int, number: int) -> int:
    return closed * UNIT + CLOSED_HEADER + number * CLOSED_PIECE


@inlined
def _piece_cost(arena: Memory, piece: int, edge: int) -> int:
    """What a piece adds to a window that begins at `edge`."""
    start = ld(arena, piece)
    price = ld(arena, piece + 2)
    cost = (price & LOW) * max(ld(arena, piece + 1) - max(start, edge), 0)
    if start > edge:
        cost += (price >> 32) * MINUTE
    return cost


@compiled
def _closed_cost(arena: Memory, closed: int, edge: int) -> int:
    """Closed cost after an instant, exactly: the running sum, corrected for the pieces around the edge."""
    head = closed * UNIT
    count = ld(arena, head + SLOT_COUNT) & LOW
    cursor = ld(arena, head + CLOSED_CURSOR)
    cost = ld(arena, head + CLOSED_SUM)
    number = cursor
    while number < count:
        piece = _piece(closed, number)
        if ld(arena, piece + 1) > edge + PIECE:
            break
        cost += _piece_cost(arena, piece, edge) - _piece_cost(arena, piece, 0)
        number += 1
    number = cursor - 1
    while number >= ld(arena, head + CLOSED_FIRST):
        piece = _piece(closed, number)
        if ld(arena, piece + 1) <= edge:
            break
        cost += _piece_cost(arena, piece, edge)
        number -= 1
    return cost


@compiled
def _trim_closed(arena: Memory, regs: Memory, head: int, now: int) -> None:
    """Move the running sum on and drop the pieces that no instant needs any more."""
    closed = ld(arena, head + SLOT_CLOSED)
    block = closed * UNIT
    count = ld(arena, block + SLOT_COUNT) & LOW
    cursor = ld(arena, block + CLOSED_CURSOR)
    total = ld(arena, block + CLOSED_SUM)
    while cursor < count and ld(arena, _piece(closed, cursor) + 1) <= now - WINDOW_24H:
        total -= _piece_cost(arena, _piece(closed, cursor), 0)
        cursor += 1
    first = ld(arena, block + CLOSED_FIRST)
    while first < cursor and ld(arena, _piece(closed, first) + 1) <= now - WINDOW_24H - HEAVY_LATE:
        for word in range(CLOSED_PIECE):
            st(arena, _piece(closed, first) + word, 0)
        first += 1
    st(arena, block + CLOSED_CURSOR, cursor)
    st(arena, block + CLOSED_SUM, total)
    st(arena, block + CLOSED_FIRST, first)
    if first == count:
        _give(arena, regs, closed)
        st(arena, head + SLOT_CLOSED, 0)


@compiled
def _close_up(arena: Memory, closed: int) -> None:
    """Move the pieces to the front of their slot."""
    block = closed * UNIT
    count = ld(arena, block + SLOT_COUNT)
    first = ld(arena, block + CLOSED_FIRST)
    if first == 0:
        return
    for number in range(first, count & LOW):
        for word in range(CLOSED_PIECE):
            st(arena, _piece(closed, number - first) + word, ld(arena, _piece(closed, number) + word))
            st(arena, _piece(closed, number) + word, 0)
    st(arena, block + SLOT_COUNT, count - first)
    st(arena, block + CLOSED_CURSOR, ld(arena, block + CLOSED_CURSOR) - first)
    st(arena, block + CLOSED_FIRST, 0)


@compiled
def _add_piece(arena: Memory, closed: int, start: int, end: int, price: int) -> None:
    """Put a piece where its end belongs; calls mostly close in order, so that is near the end. The caller made sure that there is room."""
    block = closed * UNIT
    count = ld(arena, block + SLOT_COUNT)
    place = count & LOW
    while place > ld(arena, block + CLOSED_FIRST) and ld(arena, _piece(closed, place - 1) + 1) > end:
        for word in range(CLOSED_PIECE):
            st(arena, _piece(closed, place) + word, ld(arena, _piece(closed, place - 1) + word))
        place -= 1
    piece = _piece(closed, place)
    st(arena, piece, start)
    st(arena, piece + 1, end)
    st(arena, piece + 2, price)
    st(arena, block + SLOT_COUNT, count + 1)
    if place < ld(arena, block + CLOSED_CURSOR):
        st(arena, block + CLOSED_CURSOR, ld(arena, block + CLOSED_CURSOR) + 1)
    else:
        st(arena, block + CLOSED_SUM, ld(arena, block + CLOSED_SUM) + _piece_cost(arena, piece, 0))


@compiled
def _settle(arena: Memory, regs: Memory, slot: int, now: int) -> None:
    """Move calls that only the 24 hours still need from a large bag to its closed cost. One slot is made or doubled at the most."""
    head = slot * UNIT
    count = ld(arena, head + SLOT_COUNT) & LOW
    doubled = False
    place = 0
    while place < count and count > BAG_CALLS:
        entry = head + HEAVY_HEADER + place * HEAVY_ENTRY
        answer = ld(arena, entry + E_ANSWER)
        end = ld(arena, entry + E_END)
        if answer == 0 or end > now - SETTLED or ld(arena, entry + E_FACTS) & (FACT_KNOWN | FACT_FIRST) != FACT_KNOWN:
            place += 1
            continue
        closed = ld(arena, head + SLOT_CLOSED)
        if closed == 0:
            closed = _take(arena, regs, 2)
            st(arena, head + SLOT_CLOSED, closed)
        pieces = max((end - answer + PIECE - 1) // PIECE, 1)
        size = ld(arena, closed * UNIT + SLOT_COUNT)
        if CLOSED_HEADER + ((size & LOW) + pieces) * CLOSED_PIECE > UNIT << (size >> 32):
            _close_up(arena, closed)
            size = ld(arena, closed * UNIT + SLOT_COUNT)
            if CLOSED_HEADER + ((size & LOW) + pieces) * CLOSED_PIECE > UNIT << (size >> 32):
                if doubled or size >> 32 >= MAX_CLASS:
                    break
                doubled = True
                closed = _bigger(arena, regs, closed)
                st(arena, head + SLOT_CLOSED, closed)
                size = ld(arena, closed * UNIT + SLOT_COUNT)
                if CLOSED_HEADER + ((size & LOW) + pieces) * CLOSED_PIECE > UNIT << (size >> 32):
                    break
        price = ld(arena, entry + E_PRICE)
        start = answer
        for _ in range(pieces):
            _add_piece(arena, closed, start, min(start + PIECE, end), price)
            price &= LOW  # The connect fee belongs to the answer.
            start += PIECE
        _leave(arena, regs, entry)
        count -= 1
        _remove(arena, head, entry, count)
    st(arena, head + SLOT_COUNT, (ld(arena, head + SLOT_COUNT) & ~LOW) | count)


# --- baselines -----------------------------------------------------------------------------------------------------------------------


@compiled
def _record_of(arena: Memory, regs: Memory, key: int) -> int:
    """Word of an account's baseline, 0 when it has none."""
    block = ld(arena, (ld(regs, R_BASELINES) + 1) * UNIT + (key & (BLOCKS - 1))) * UNIT
    if block == 0:
        return 0
    places = ld(arena, block + BLOCK_PLACES)
    place = (((key >> 32) & LOW) * places) >> 32
    while True:
        offset = ld(arena, block + BLOCK_HEADER + place)
        if offset == 0:
            return 0
        if ld(arena, block + offset + B_KEY) == key:
            return block + offset
        place += 1
        if place == places:
            place = 0


@inlined
def _recall(arena: Memory, regs: Memory, slot: int, key: int) -> None:
    """Note the account's baseline for what follows; looked up anew only when the baselines changed."""
    record = 0
    if ld(regs, R_BASELINES) != 0:
        head = slot * UNIT
        if ld(arena, head + SLOT_EPOCH) != ld(regs, R_EPOCH):
            st(arena, head + SLOT_BASELINE, _record_of(arena, regs, key))
            st(arena, head + SLOT_EPOCH, ld(regs, R_EPOCH))
        record = ld(arena, head + SLOT_BASELINE)
    st(regs, V_RECORD, record)


@inlined
def _cost_between(answer: int, end: int, price: int, after: int, until: int) -> int:
    """What a call cost in `(after, until]`."""
    cost = (price & LOW) * max(min(end, until) - max(answer, after), 0)
    if after < answer <= until:
        cost += (price >> 32) * MINUTE
    return cost


@compiled
def _leave(arena: Memory, regs: Memory, entry: int) -> None:
    """A call that is over leaves the bag: the billing month keeps what it cost."""
    record = ld(regs, V_RECORD)
    if record != 0:
        answer, end, price = ld(arena, entry + E_ANSWER), ld(arena, entry + E_END), ld(arena, entry + E_PRICE)
        until = ld(arena, record + B_UNTIL)
        st(arena, record + B_SPENT, ld(arena, record + B_SPENT) + _cost_between(answer, end, price, ld(arena, record + B_FROM), until))
        st(arena, record + B_NEXT, ld(arena, record + B_NEXT) + _cost_between(answer, end, price, until, NEVER))


@compiled
def _hour_of_week(regs: Memory, calendar: Memory, at: int) -> int:
    """Hour of the local week, Monday 0 o'clock is 0. Local time may change at any instant, an hour may come twice or not at all."""
    if ld(regs, V_HOUR_FROM) <= at < ld(regs, V_HOUR_UNTIL):
        return ld(regs, V_HOUR)
    low = ld(regs, R_CALENDAR)  # behind the calendar: words of (instant << 18) | (seconds east of UTC + 131072), ascending
    high = past = low + ld(regs, V_ZONES)
    while high - low > 1:
        middle = (low + high) >> 1
        if ld(calendar, middle) >> 18 <= at:
            low = middle
        else:
            high = middle
    east = ((ld(calendar, low) & 0x3FFFF) - 131_072) * 1_000
    hour = (at + east) // HOUR
    until = hour * HOUR + HOUR - east
    if low + 1 < past:
        until = min(until, ld(calendar, low + 1) >> 18)
    st(regs, V_HOUR, (hour + 3 * 24) % 168)  # 1970 began on a Thursday.
    st(regs, V_HOUR_FROM, max(hour * HOUR - east, ld(calendar, low) >> 18))
    st(regs, V_HOUR_UNTIL, until)
    return ld(regs, V_HOUR)


@inlined
def _unusual(median: int, deviation: int, factor: int) -> int:
    """Median and `factor` percent of 1.4826 deviations, in micro-euro milliseconds per minute. From BASELINE_UNIT."""
    return median * (BASELINE_UNIT * MINUTE) + deviation * factor * (14_826 * BASELINE_UNIT * MINUTE // 1_000_000)


@compiled
def _usual(arena: Memory, regs: Memory, profiles: Memory, calendar: Memory, limits: int, at: int) -> None:
    """The account's own limits for D04 and D20 at an instant, and which window D20 speaks of. The values must be scanned."""
    record = ld(regs, V_RECORD)
    for place in range(V_SOON_WARN, V_MONTH_ACT + 1):
        st(regs, place, NEVER)
    st(regs, V_DAILY, 0)
    st(regs, V + D20, 0)
    counts = ld(arena, record + B_COUNTS)
    if limits < 0 or counts >> 32 < USUAL_DAYS or (limits // (THRESHOLD_ROW * 2)) & 1 != 0:  # An odd row is a new account's.
        return
    for place in range(2):
        factor = ld(profiles, limits + 2 * D04 + place)
        if factor < NEVER:
            st(regs, V_MONTH_WARN + place, max(ld(profiles, limits + LIMIT_MONTH_FLOOR), ld(arena, record + B_HIGHEST) * factor * 600))
    hour = _hour_of_week(regs, calendar, at)
    median = deviation = 0
    first = record + BASELINE_RECORD + ((counts & 0xFFFF) + 3) // 4
    for place in range(first, first + ((counts >> 16) & 0xFFFF)):
        word = ld(arena, place)
        if word & 0xFF == hour:
            median = (word >> 8) & ((1 << BIN_BITS) - 1)
            deviation = (word >> (8 + BIN_BITS)) & ((1 << BIN_BITS) - 1)
    day = ld(arena, record + B_DAY)
    floor = ld(profiles, limits + LIMIT_USUAL_FLOOR)
    for place in range(2):
        factor = ld(profiles, limits + 2 * D20 + place)
        if factor < NEVER:
            st(regs, V_SOON_WARN + place, max(floor, _unusual(median, deviation, factor)))
            st(regs, V_DAY_WARN + place, max(floor, _unusual(day & LOW, (day >> 32) & LOW, factor)))
    soon = _level(ld(regs, V_SOON), ld(regs, V_SOON_WARN), ld(regs, V_SOON_ACT))
    if _level(ld(regs, V + D03), ld(regs, V_DAY_WARN), ld(regs, V_DAY_ACT)) > soon:
        st(regs, V_DAILY, 1)
        st(regs, V + D20, ld(regs, V + D03))
    else:
        st(regs, V + D20, ld(regs, V_SOON))


@inlined
def _own_limit(regs: Memory, detector: int, place: int) -> int:
    """Limit of D04 or D20 for the account that was scanned: `place` 0 warn, 1 act."""
    if detector == D04:
        return ld(regs, V_MONTH_WARN + place)
    if ld(regs, V_DAILY) != 0:
        return ld(regs, V_DAY_WARN + place)
    return ld(regs, V_SOON_WARN + place)


@compiled
def _first_ever(arena: Memory, regs: Memory, slot: int, found: int, key: int, since_day: int, country: int) -> bool:
    """Whether a C4+ call is the first to its country that a history of sixty days or more knows of, and the first in the bag."""
    record = ld(regs, V_RECORD)
    if record != 0:
        counts = ld(arena, record + B_COUNTS)
        if counts >> 32 < FIRST_DAYS:
            return False
        for place in range(counts & 0xFFFF):
            if (ld(arena, record + BASELINE_RECORD + place // 4) >> (16 * (place % 4))) & 0xFFFF == country:
                return False
    else:
        if ld(regs, R_BASELINES) == 0:
            return False
        block = ld(arena, (ld(regs, R_BASELINES) + 1) * UNIT + (key & (BLOCKS - 1))) * UNIT
        if block == 0 or ld(arena, block + BLOCK_HISTORY) < FIRST_DAYS:
            return False
        if since_day != 0 and ld(regs, R_NOW) // DAY < since_day + FIRST_DAYS:
            return False
    entry = slot * UNIT + HEAVY_HEADER
    for _ in range(ld(arena, slot * UNIT + SLOT_COUNT) & LOW):
        facts = ld(arena, entry + E_FACTS)
        if entry != found and (facts >> FACT_CLASS) & 7 >= 4 and (facts >> FACT_COUNTRY) & 0xFFFF == country:
            return False
        entry += HEAVY_ENTRY
    return True


# --- values --------------------------------------------------------------------------------------------------------------------------


@compiled
def _entry_cost(arena: Memory, entry: int, at: int, window: int, look: int) -> int:
    """Micro-euro milliseconds per minute that one call adds to a window that ends at `at`, running calls `look` further."""
    answer = ld(arena, entry + E_ANSWER)
    if answer == 0 or answer > at:
        return 0
    price = ld(arena, entry + E_PRICE)
    high = min(ld(arena, entry + E_END), at + look)
    low = max(answer, at - window)
    cost = 0
    if high > low:
        cost = (price & LOW) * (high - low)
    if answer > at - window:
        cost += (price >> 32) * MINUTE
    return cost


@compiled
def _scan_heavy(arena: Memory, regs: Memory, slot: int, at: int) -> None:
    """All values of the C2+ detectors at an instant, into the scratch registers. The baseline must be recalled."""
    now = ld(regs, R_NOW)
    head = slot * UNIT
    first = head + HEAVY_HEADER
    count = ld(arena, head + SLOT_COUNT) & LOW
    past = first + count * HEAVY_ENTRY
    cost5 = cost15 = cost60 = cost24 = month = 0
    potential5 = potential15 = potential60 = potential24 = month_potential = 0
    together3 = together4 = together_forwarded = attempts5 = attempts15 = attempts20 = attempts60 = numbers = lands = 0
    dearest = calls60 = short60 = first24 = 0
    minutes = minutes_potential = minutes_running = 0
    longest = long_potential = long_running = 0
    growth = rate_running = 0
    until = 0
    next_answer = NEVER
    running = 0
    latest = -1
    latest_start = 0
    latest_call = 0
    pivot = 0
    pivot_answer = at - WINDOW_10M
    pivot_call = 0
    since = NEVER
    record = ld(regs, V_RECORD)
    if record != 0:
        month_ends = ld(arena, record + B_UNTIL)
        if at < month_ends:
            since = ld(arena, record + B_FROM)
            month = ld(arena, record + B_SPENT)
        elif at < month_ends + MONTH_OVERDUE:
            since = month_ends
            month = ld(arena, record + B_NEXT)
        month_potential = month
    if ld(arena, head + SLOT_CLOSED) != 0:
        cost24 = potential24 = _closed_cost(arena, ld(arena, head + SLOT_CLOSED), at - WINDOW_24H)
    entry = first
    while entry < past:
        start = ld(arena, entry + E_START)
        if start <= at:
            answer = ld(arena, entry + E_ANSWER)
            end = ld(arena, entry + E_END)
            facts = ld(arena, entry + E_FACTS)
            level = (facts >> FACT_CLASS) & 7
            age = at - start
            runs = end > at
            if runs:
                running += 1
                until = max(until, end)
            if age < WINDOW_60M:
                calls60 += 1
                if not runs and (answer == 0 or end - answer <= SHORT):
                    short60 += 1
            if answer != 0:
                price = ld(arena, entry + E_PRICE)
                rate = price & LOW
                connect = (price >> 32) * MINUTE
                if answer <= at:
                    high = min(end, at + LOOK_AHEAD)
                    add5 = rate * max(high - max(answer, at - WINDOW_5M), 0)
                    add15 = rate * max(high - max(answer, at - WINDOW_15M), 0)
                    add60 = rate * max(high - max(answer, at - WINDOW_60M), 0)
                    add24 = rate * max(high - max(answer, at - WINDOW_24H), 0)
                    add_month = rate * max(high - max(answer, since), 0)
                    if connect != 0:
                        if answer > at - WINDOW_5M:
                            add5 += connect
                        if answer > at - WINDOW_15M:
                            add15 += connect
                        if answer > at - WINDOW_60M:
                            add60 += connect
                        if answer > at - WINDOW_24H:
                            add24 += connect
                        if answer > since:
                            add_month += connect
                    cost5 += add5
                    cost15 += add15
                    cost60 += add60
                    cost24 += add24
                    month += add_month
                    add_minutes = 0
                    if level >= 3:
                        add_minutes = max(min(end, at) - max(answer, at - WINDOW_60M), 0)
                        minutes += add_minutes
                        if answer >= pivot_answer and answer > at - WINDOW_10M:
                            call = ld(arena, entry + E_CALL)
                            if answer > pivot_answer or call > pivot_call:
                                pivot, pivot_answer, pivot_call = entry, answer, call
                    if runs:
                        rate_running += rate
                        if end > at + LOOK_AHEAD:
                            growth += rate
                        if level >= 3:
                            minutes_running += 1
                            if level >= 4:
                                long_running = 1
                                longest = max(longest, at - answer)
                    else:
                        potential5 += add5
                        potential15 += add15
                        potential60 += add60
                        potential24 += add24
                        month_potential += add_month
                        minutes_potential += add_minutes
                else:
                    next_answer = min(next_answer, answer)
                if runs:
                    length = end - answer
                    potential5 += rate * min(length, WINDOW_5M + LOOK_AHEAD) + connect
                    potential15 += rate * min(length, WINDOW_15M + LOOK_AHEAD) + connect
                    potential60 += rate * min(length, WINDOW_60M + LOOK_AHEAD) + connect
                    potential24 += rate * min(length, WINDOW_24H + LOOK_AHEAD) + connect
                    month_potential += rate * length + connect
                    if level >= 3:
                        minutes_potential += min(length, WINDOW_60M)
                        if level >= 4:
                            long_potential = max(long_potential, length)
            if level >= 3:
                if runs:
                    together3 += 1
                    if level >= 4:
                        together4 += 1
                    if facts & FACT_FORWARDED != 0:
                        together_forwarded += 1
                if facts & FACT_FIRST != 0 and age < WINDOW_24H:
                    first24 += 1
                if age < WINDOW_60M:
                    attempts60 += 1
                    if level >= 5:
                        dearest += 1
                    if age < WINDOW_10M + WINDOW_10M:
                        attempts20 += 1
                        if age < WINDOW_15M:
                            attempts15 += 1
                            if age < WINDOW_5M:
                                attempts5 += 1
                    if at == now:
                        numbers += (facts >> 30) & 1
                        lands += (facts >> 31) & 1
                    call = ld(arena, entry + E_CALL)
                    if latest < 0 or start > latest_start or (start == latest_start and call > latest_call):
                        latest, latest_start, latest_call = entry, start, call
        entry += HEAVY_ENTRY
    if at != now and attempts60 > 0:
        numbers, lands = _distinct_then(arena, first, past, at)
    sequential = 0
    same = 0
    range_key = 0
    tail = 0
    if latest >= 0:
        range_key = ld(arena, latest + E_RANGE)
        tail = ld(arena, latest + E_FACTS) & 0x3FF
        if latest_start > at - WINDOW_30M:
            sequential = 1
            if numbers > 1:
                sequential = _sequential(arena, first, past, at, range_key)
            if attempts15 > 0:
                same = attempts15
                if numbers > 1:
                    same = _same_number(arena, first, past, at, range_key, tail)
    trials = 0
    if pivot != 0 and attempts20 > 1:
        trials = _trials(arena, first, past, pivot)
    st(regs, V + D01, cost5)
    st(regs, V + D02, cost60)
    st(regs, V + D03, cost24)
    st(regs, V + D04, month)
    st(regs, V + D05, dearest)
    st(regs, V + D06, together3)
    st(regs, V + D07, together4)
    st(regs, V + D09, attempts5)
    st(regs, V + D10, attempts60)
    st(regs, V + D11, numbers)
    st(regs, V + D12, lands)
    st(regs, V + D13, same)
    st(regs, V + D14, sequential)
    st(regs, V + D16, trials)
    st(regs, V + D17, longest)
    st(regs, V + D18, minutes)
    st(regs, V + D19, first24)
    st(regs, V + D20, 0)
    st(regs, V + D22, calls60 if short60 * 100 >= calls60 * SHORT_PERCENT else 0)
    st(regs, V + D25, together_forwarded)
    st(regs, V_SOON, cost15)
    st(regs, V_POTENTIAL + D01, potential5)
    st(regs, V_POTENTIAL + D02, potential60)
    st(regs, V_POTENTIAL + D03, potential24)
    st(regs, V_POTENTIAL + D04, month_potential)
    st(regs, V_POTENTIAL + D16, numbers)
    st(regs, V_POTENTIAL + D17, long_potential)
    st(regs, V_POTENTIAL + D18, minutes_potential)
    st(regs, V_POTENTIAL + D20, potential15)
    st(regs, V_GROWTH, growth)
    st(regs, V_MINUTES, minutes_running)
    st(regs, V_LONG, long_running)
    st(regs, V_UNTIL, until)
    st(regs, V_ANSWER, next_answer)
    st(regs, V_RATE, rate_running)
    st(regs, V_RANGE, range_key)
    st(regs, V_TAIL, tail)
    st(regs, V_PIVOT, pivot)
    st(regs, V_SINCE, since)
    st(regs, V_RUNNING, running)


@compiled
def _distinct_then(arena: Memory, first: int, past: int, at: int) -> tuple[int, int]:
    """Distinct C3+ numbers and countries of the hour up to an earlier instant, where the flags of "latest" do not hold."""
    numbers = 0
    lands = 0
    entry = first
    while entry < past:
        facts = ld(arena, entry + E_FACTS)
        start = ld(arena, entry + E_START)
        if (facts >> FACT_CLASS) & 7 >= 3 and at - WINDOW_60M < start <= at:
            new_number = 1
            new_land = 1 if (facts >> FACT_COUNTRY) & 0xFFFF != 0 else 0
            other = first
            while other < entry:
                facts_other = ld(arena, other + E_FACTS)
                if (facts_other >> FACT_CLASS) & 7 >= 3 and at - WINDOW_60M < ld(arena, other + E_START) <= at:
                    if (facts_other ^ facts) & 0x3FF == 0 and ld(arena, other + E_RANGE) == ld(arena, entry + E_RANGE):
                        new_number = 0
                    if (facts_other ^ facts) & (0xFFFF << FACT_COUNTRY) == 0:
                        new_land = 0
                other += HEAVY_ENTRY
            numbers += new_number
            lands += new_land
        entry += HEAVY_ENTRY
    return numbers, lands


@compiled
def _sequential(arena: Memory, first: int, past: int, at: int, range_key: int) -> int:
    """Distinct C3+ numbers of one range in the half hour up to an instant. A bitmap would need memory; the range bounds it to 1,000."""
    total = 0
    entry = first
    while entry < past:
        if ld(arena, entry + E_RANGE) == range_key:
            facts = ld(arena, entry + E_FACTS)
            start = ld(arena, entry + E_START)
            if (facts >> FACT_CLASS) & 7 >= 3 and at - WINDOW_30M < start <= at:
                new = 1
                other = first
                while other < entry:
                    if ld(arena, other + E_RANGE) == range_key and at - WINDOW_30M < ld(arena, other + E_START) <= at:
                        facts_other = ld(arena, other + E_FACTS)
                        if (facts_other ^ facts) & 0x3FF == 0 and (facts_other >> FACT_CLASS) & 7 >= 3:
                            new = 0
                            break
                    other += HEAVY_ENTRY
                total += new
        entry += HEAVY_ENTRY
    return total


@compiled
def _same_number(arena: Memory, first: int, past: int, at: int, range_key: int, tail: int) -> int:
    """C3+ attempts to one number in the quarter of an hour up to an instant."""
    total = 0
    entry = first
    while entry < past:
        if ld(arena, entry + E_RANGE) == range_key and at - WINDOW_15M < ld(arena, entry + E_START) <= at:
            facts = ld(arena, entry + E_FACTS)
            if facts & 0x3FF == tail and (facts >> FACT_CLASS) & 7 >= 3:
                total += 1
        entry += HEAVY_ENTRY
    return total


@inlined
def _tried(arena: Memory, entry: int, pivot: int) -> bool:
    """Whether a C3+ call was over before another was answered, within ten minutes, and talked half a minute at the most."""
    by = ld(arena, pivot + E_ANSWER)
    end = ld(arena, entry + E_END)
    answer = ld(arena, entry + E_ANSWER)
    if entry == pivot or end > by or ld(arena, entry + E_START) <= by - WINDOW_10M:
        return False
    return (ld(arena, entry + E_FACTS) >> FACT_CLASS) & 7 >= 3 and (answer == 0 or end - answer <= TRIAL)


@compiled
def _trials(arena: Memory, first: int, past: int, pivot: int) -> int:
    """Distinct numbers that were tried before the call `pivot` was answered, counted to MAX_TRIALS."""
    total = 0
    entry = first
    while entry < past and total < MAX_TRIALS:
        if _tried(arena, entry, pivot):
            new = 1
            other = first
            while other < entry:
                same = (ld(arena, other + E_FACTS) ^ ld(arena, entry + E_FACTS)) & 0x3FF
                if same == 0 and ld(arena, other + E_RANGE) == ld(arena, entry + E_RANGE) and _tried(arena, other, pivot):
                    new = 0
                    break
                other += HEAVY_ENTRY
            total += new
        entry += HEAVY_ENTRY
    return total


@compiled
def _scan_light(arena: Memory, regs: Memory, slot: int, at: int) -> None:
    """Values of the all-calls detectors at an instant, into the scratch registers."""
    head = slot * UNIT
    count = ld(arena, head + SLOT_COUNT) & LOW
    together = attempts = 0
    for place in range(count):
        entry = head + LIGHT_HEADER + place * LIGHT_ENTRY
        start = ld(arena, entry)
        if start <= at:
            if ld(arena, entry + 1) > at:
                together += 1
            if at - start < MINUTE:
                attempts += 1
    st(regs, V + D08, together)
    st(regs, V + D21, attempts)


# --- judgement -----------------------------------------------------------------------------------------------------------------------


@inlined
def _limits(hot: Memory, regs: Memory, profiles: Memory, calendar: Memory, word: int, at: int) -> int:
    """Word of the account's row of thresholds in force at an instant; -1 when it is exempt then."""
    facts = ld(hot, word + HOT_TAG)
    profile = (facts >> 32) & 0xFFFF
    if at < ld(profiles, profile * PROFILE_WORDS + THRESHOLD_ROW * 2 - 1):  # the last word of the first row: exempt until
        return -1
    since = (facts >> 48) & 0xFFFF
    new = 1 if since != 0 and at < (since + NEW_ACCOUNT_DAYS) * DAY else 0
    variant = 2 * _variant_at(regs, calendar, at) + new
    return profile * PROFILE_WORDS + variant * THRESHOLD_ROW * 2


@inlined
def _level(value: int, warn: int, act: int) -> int:
    """0 below warn, 1 from warn, 2 from act, one more at each doubling of act; 15 at the most."""
    if value < warn and value < act:
        return 0
    level = 1
    while level < 15 and value >= act << (level - 1):
        level += 1
    return level


@inlined
def _next_limit(latch: int, warn: int, act: int) -> int:
    """The value at which the level rises above the latch."""
    if latch == 0:
        return min(warn, act)
    if act >= NEVER or latch >= 15:
        return NEVER
    return act << (latch - 1)


@inlined
def _latch(arena: Memory, head: int, detector: int) -> int:
    """The level that a slot's detector is latched at."""
    if detector < LATCHES_A_WORD:
        return (ld(arena, head + SLOT_LATCHES) >> (4 * detector)) & 15
    return (ld(arena, head + SLOT_LATCHES_2) >> (4 * (detector - LATCHES_A_WORD))) & 15


@inlined
def _set_latch(arena: Memory, head: int, detector: int, level: int) -> None:
    word = head + SLOT_LATCHES
    shift = 4 * detector
    if detector >= LATCHES_A_WORD:
        word = head + SLOT_LATCHES_2
        shift -= 4 * LATCHES_A_WORD
    st(arena, word, (ld(arena, word) & ~(15 << shift)) | (level << shift))


@compiled
def _arm_light(hot: Memory, arena: Memory, regs: Memory, profiles: Memory, calendar: Memory, word: int, slot: int) -> None:
    """Before a row adds to an all-calls slot: arm every detector again whose value is below warn."""
    head = slot * UNIT
    if ld(arena, head + SLOT_LATCHES) != 0:
        now = ld(regs, R_NOW)
        _scan_light(arena, regs, slot, now)
        limits = _limits(hot, regs, profiles, calendar, word, now)
        for detector in (D08, D21):
            if limits < 0 or ld(regs, V + detector) < min(ld(profiles, limits + 2 * detector), ld(profiles, limits + 2 * detector + 1)):
                _set_latch(arena, head, detector, 0)


@compiled
def _arm_heavy(hot: Memory, arena: Memory, regs: Memory, profiles: Memory, calendar: Memory, word: int, slot: int) -> bool:
    """Before a row adds to a C2+ slot: arm every detector again whose value is below warn. Returns whether one was.

    A large bag is looked at once a row: there a detector is armed when its value is below warn with the row.
    """
    head = slot * UNIT
    if ld(arena, head + SLOT_LATCHES) == 0 and ld(arena, head + SLOT_LATCHES_2) == 0:
        return False
    if ld(arena, head + SLOT_COUNT) & LOW > BAG_CALLS:
        return False
    _scan_heavy(arena, regs, slot, ld(regs, R_NOW))
    return _arm_scanned(hot, arena, regs, profiles, calendar, word, slot)


@compiled
def _arm_scanned(hot: Memory, arena: Memory, regs: Memory, profiles: Memory, calendar: Memory, word: int, slot: int) -> bool:
    """Arm every detector again whose value, scanned at the event clock, is below warn. Returns whether one was."""
    head = slot * UNIT
    now = ld(regs, R_NOW)
    limits = _limits(hot, regs, profiles, calendar, word, now)
    if ld(regs, V_RECORD) != 0:
        _usual(arena, regs, profiles, calendar, limits, now)
    armed = False
    for detector in range(DETECTORS):
        latch = _latch(arena, head, detector)
        if latch == 0:
            continue
        level = 0
        if limits >= 0:
            value = ld(regs, V + detector)
            warn = ld(profiles, limits + 2 * detector)
            act = ld(profiles, limits + 2 * detector + 1)
            if detector >= D04:
                if detector == D19:
                    level = min(value, latch)
                    warn = act = NEVER
                elif ld(regs, V_RECORD) != 0:
                    warn = _own_limit(regs, detector, 0)
                    act = _own_limit(regs, detector, 1)
            if value >= warn or value >= act:
                level = latch
        if level != latch:
            armed = True
            _set_latch(arena, head, detector, level)
    return armed


@compiled
def _note(regs: Memory, count: int, start: int, ref: int) -> int:
    """Insert a call into the evidence, ascending by start, keeping the newest MAX_EVIDENCE; returns the new count."""
    if count == MAX_EVIDENCE:
        if start < ld(regs, EVIDENCE):
            return count
        place = 0
        while place + 1 < count and ld(regs, EVIDENCE + 2 * (place + 1)) <= start:
            st(regs, EVIDENCE + 2 * place, ld(regs, EVIDENCE + 2 * (place + 1)))
            st(regs, EVIDENCE + 2 * place + 1, ld(regs, EVIDENCE + 2 * (place + 1) + 1))
            place += 1
        st(regs, EVIDENCE + 2 * place, start)
        st(regs, EVIDENCE + 2 * place + 1, ref)
        return count
    place = count
    while place > 0 and ld(regs, EVIDENCE + 2 * (place - 1)) > start:
        st(regs, EVIDENCE + 2 * place, ld(regs, EVIDENCE + 2 * (place - 1)))
        st(regs, EVIDENCE + 2 * place + 1, ld(regs, EVIDENCE + 2 * (place - 1) + 1))
        place -= 1
    st(regs, EVIDENCE + 2 * place, start)
    st(regs, EVIDENCE + 2 * place + 1, ref)
    return count + 1


@compiled
def _concerns(arena: Memory, regs: Memory, entry: int, detector: int, at: int) -> bool:
    """Whether a C2+ call is evidence for a detector at an instant."""
    start = ld(arena, entry + E_START)
    if start > at:
        return False
    if detector == D01:
        return _entry_cost(arena, entry, at, WINDOW_5M, LOOK_AHEAD) > 0
    if detector == D02:
        return _entry_cost(arena, entry, at, WINDOW_60M, LOOK_AHEAD) > 0
    if detector == D03:
        return _entry_cost(arena, entry, at, WINDOW_24H, LOOK_AHEAD) > 0
    if detector == D04:
        return _entry_cost(arena, entry, at, at - ld(regs, V_SINCE), LOOK_AHEAD) > 0
    if detector == D20:
        return _entry_cost(arena, entry, at, WINDOW_15M if ld(regs, V_DAILY) == 0 else WINDOW_24H, LOOK_AHEAD) > 0
    end = ld(arena, entry + E_END)
    answer = ld(arena, entry + E_ANSWER)
    if detector == D22:
        return at - start < WINDOW_60M and end <= at and (answer == 0 or end - answer <= SHORT)
    facts = ld(arena, entry + E_FACTS)
    level = (facts >> FACT_CLASS) & 7
    if level < 3:
        return False
    if detector == D06:
        return end > at
    if detector == D07:
        return end > at and level >= 4
    if detector == D25:
        return end > at and facts & FACT_FORWARDED != 0
    if detector == D09:
        return at - start < WINDOW_5M
    if detector == D13:
        return at - start < WINDOW_15M and ld(arena, entry + E_RANGE) == ld(regs, V_RANGE) and facts & 0x3FF == ld(regs, V_TAIL)
    if detector == D14:
        return at - start < WINDOW_30M and ld(arena, entry + E_RANGE) == ld(regs, V_RANGE)
    if detector == D16:
        return entry == ld(regs, V_PIVOT) or _tried(arena, entry, ld(regs, V_PIVOT))
    if detector == D17:
        return level >= 4 and end > at and 0 < answer <= at - ld(regs, V_REACHED)
    if detector == D18:
        return answer != 0 and min(end, at) > max(answer, at - WINDOW_60M)
    if detector == D19:
        return facts & FACT_FIRST != 0 and at - start < WINDOW_24H
    if detector == D05 and level < 5:
        return False
    return at - start < WINDOW_60M


@compiled
def _gather_heavy(arena: Memory, regs: Memory, slot: int, detector: int, at: int) -> int:
    """Evidence of a C2+ crossing and what it has cost in a day, without look-ahead, into the scratch registers; returns its length."""
    head = slot * UNIT
    count = ld(arena, head + SLOT_COUNT) & LOW
    noted = 0
    cost = 0
    if ld(arena, head + SLOT_CLOSED) != 0:
        cost = _closed_cost(arena, ld(arena, head + SLOT_CLOSED), at - WINDOW_24H)
    for place in range(count):
        entry = head + HEAVY_HEADER + place * HEAVY_ENTRY
        cost += _entry_cost(arena, entry, at, WINDOW_24H, 0)
        if _concerns(arena, regs, entry, detector, at):
            noted = _note(regs, noted, ld(arena, entry + E_START), ld(arena, entry + E_REF))
    st(regs, V_COST, cost)
    return noted


@compiled
def _gather_light(arena: Memory, regs: Memory, slot: int, detector: int, at: int) -> int:
    """Evidence of an all-calls crossing into the scratch registers; returns its length."""
    head = slot * UNIT
    count = ld(arena, head + SLOT_COUNT) & LOW
    noted = 0
    for place in range(count):
        entry = head + LIGHT_HEADER + place * LIGHT_ENTRY
        start = ld(arena, entry)
        if start <= at and (ld(arena, entry + 1) > at if detector == D08 else at - start < MINUTE):
            noted = _note(regs, noted, start, ld(arena, entry + 3))
    st(regs, V_COST, 0)
    st(regs, V_RATE, 0)
    return noted


@compiled
def _emit(regs: Memory, out: Memory, key: int, detector: int, level: int, at: int, warn: int, act: int, variant: int, noted: int) -> None:
    """Write a crossing. `run` made sure that there is room."""
    count = ld(regs, R_OUT)
    st(regs, R_OUT, count + 1)
    word = count * CROSSING_WORDS
    st(out, word + C_DETECTOR, detector)
    st(out, word + C_LEVEL, level)
    st(out, word + C_KEY, key)
    st(out, word + C_AT, at)
    st(out, word + C_OBSERVED, ld(regs, V + detector))
    st(out, word + C_WARN, warn)
    st(out, word + C_ACT, act)
    st(out, word + C_COST, ld(regs, V_COST))
    st(out, word + C_RATE, ld(regs, V_RATE))
    st(out, word + C_VARIANT, variant)
    st(out, word + C_COUNT, noted)
    first = last = 0
    opening = NO_REF
    if noted > 0:
        first = ld(regs, EVIDENCE)
        last = ld(regs, EVIDENCE + 2 * (noted - 1))
    for place in range(MAX_EVIDENCE):
        ref = 0
        if place < noted:
            ref = ld(regs, EVIDENCE + 2 * place + 1)
            if ref != NO_REF:
                opening = ref
        st(out, word + C_EVIDENCE + place, ref)
    st(out, word + C_FIRST, first)
    st(out, word + C_LAST, last)
    st(out, word + C_OPENING, opening)


@compiled
def _judge_light(
    hot: Memory, arena: Memory, regs: Memory, profiles: Memory, calendar: Memory, out: Memory, word: int, slot: int, at: int
) -> None:
    """Raise the latches of an all-calls slot to the levels at an instant, a crossing for each that rose. Values must be scanned."""
    limits = _limits(hot, regs, profiles, calendar, word, at)
    if limits < 0:
        return
    st(regs, R_JUDGED, ld(regs, R_JUDGED) + 1)
    head = slot * UNIT
    for detector in (D08, D21):
        value = ld(regs, V + detector)
        warn = ld(profiles, limits + 2 * detector)
        act = ld(profiles, limits + 2 * detector + 1)
        if value < warn and value < act:
            continue
        level = _level(value, warn, act)
        if level > _latch(arena, head, detector):
            _set_latch(arena, head, detector, level)
            noted = _gather_light(arena, regs, slot, detector, at)
            variant = (limits % PROFILE_WORDS) // (THRESHOLD_ROW * 2)
            _emit(regs, out, ld(hot, word + HOT_KEY), detector, level, at, warn, act, variant, noted)


@compiled
def _judge_heavy(
    hot: Memory, arena: Memory, regs: Memory, profiles: Memory, calendar: Memory, out: Memory, word: int, slot: int, at: int, who: int
) -> None:
    """The same for a C2+ slot, by the detectors whose bits are set in `who`."""
    limits = _limits(hot, regs, profiles, calendar, word, at)
    if limits < 0:
        return
    st(regs, R_JUDGED, ld(regs, R_JUDGED) + 1)
    record = ld(regs, V_RECORD)
    if record != 0:
        _usual(arena, regs, profiles, calendar, limits, at)
    head = slot * UNIT
    for detector in range(DETECTORS):
        if (who >> detector) & 1 == 0:
            continue
        value = ld(regs, V + detector)
        warn = ld(profiles, limits + 2 * detector)
        act = ld(profiles, limits + 2 * detector + 1)
        if detector >= D04 and record != 0 and detector != D19:
            warn = _own_limit(regs, detector, 0)
            act = _own_limit(regs, detector, 1)
        if value < warn and value < act:
            continue
        level = _level(value, warn, act)
        told = level
        if detector == D19:  # Its act word is a score; each further country is one more signal.
            level = min(value, 15) if value >= warn else 0
            told = 0
        if level > _latch(arena, head, detector):
            _set_latch(arena, head, detector, level)
            st(regs, V_REACHED, act if level >= 2 else min(warn, act))
            noted = _gather_heavy(arena, regs, slot, detector, at)
            variant = (limits % PROFILE_WORDS) // (THRESHOLD_ROW * 2)
            if detector == D20:
                variant |= ld(regs, V_DAILY) << 2
            _emit(regs, out, ld(hot, word + HOT_KEY), detector, told, at, warn, act, variant, noted)


@inlined
def _when(now: int, value: int, potential: int, limit: int, gain: int) -> int:
    """When growth brings a value to a limit: NEVER when it is out of reach, one less when only an answer could bring it nearer."""
    if potential < limit:
        return NEVER
    if gain <= 0:
        return NEVER - 1
    return now + (limit - value + gain - 1) // gain


@compiled
def _plan_wake(hot: Memory, arena: Memory, heap: Memory, regs: Memory, profiles: Memory, calendar: Memory, word: int, slot: int) -> None:
    """After a judgement at the event clock: wake at the first whole second at which a level of the slot could rise without a row."""
    if ld(regs, V_RUNNING) == 0:
        return
    now = ld(regs, R_NOW)
    until = ld(regs, V_UNTIL)
    wake = NEVER
    head = slot * UNIT
    limits = _limits(hot, regs, profiles, calendar, word, now)
    profile = (ld(hot, word + HOT_TAG) >> 32) & 0xFFFF
    change = ld(regs, R_VARIANT_UNTIL)
    if limits < 0:
        change = ld(profiles, profile * PROFILE_WORDS + THRESHOLD_ROW * 2 - 1)
    if change < until:
        wake = change
    if limits >= 0:
        growth = ld(regs, V_GROWTH)
        soonest = NEVER
        for place in range(6):
            which = (D01, D02, D03, D18, D17, D16)[place]
            gain = growth
            if place == 3:
                gain = ld(regs, V_MINUTES)
            elif place == 4:
                gain = ld(regs, V_LONG)
            elif place == 5:
                gain = 0
            limit = _next_limit(_latch(arena, head, which), ld(profiles, limits + 2 * which), ld(profiles, limits + 2 * which + 1))
            soonest = min(soonest, _when(now, ld(regs, V + which), ld(regs, V_POTENTIAL + which), limit, gain))
        if ld(regs, V_RECORD) != 0:
            limit = _next_limit(_latch(arena, head, D04), ld(regs, V_MONTH_WARN), ld(regs, V_MONTH_ACT))
            soonest = min(soonest, _when(now, ld(regs, V + D04), ld(regs, V_POTENTIAL + D04), limit, growth))
            latch = _latch(arena, head, D20)
            limit = _next_limit(latch, ld(regs, V_DAY_WARN), ld(regs, V_DAY_ACT))
            soonest = min(soonest, _when(now, ld(regs, V + D03), ld(regs, V_POTENTIAL + D03), limit, growth))
            limit = _next_limit(latch, ld(regs, V_SOON_WARN), ld(regs, V_SOON_ACT))
            soonest = min(soonest, _when(now, ld(regs, V_SOON), ld(regs, V_POTENTIAL + D20), limit, growth))
            _hour_of_week(regs, calendar, now)
            wake = min(wake, ld(regs, V_HOUR_UNTIL))  # Another hour may be usual for less.
        wake = min(wake, soonest)
        if soonest < NEVER and ld(regs, V_ANSWER) < until:
            wake = min(wake, ld(regs, V_ANSWER))
    if wake < until:
        _wake_at(hot, arena, heap, regs, word, slot, wake)


@compiled
def _wake_at(hot: Memory, arena: Memory, heap: Memory, regs: Memory, word: int, slot: int, wake: int) -> None:
    """Put a wake-up at the first whole second from an instant on, unless one comes before."""
    now = ld(regs, R_NOW)
    wake = max((wake + SECOND - 1) // SECOND * SECOND, now // SECOND * SECOND + SECOND)
    pending = ld(arena, slot * UNIT + SLOT_WAKE)
    if pending > now and pending <= wake:
        return
    st(arena, slot * UNIT + SLOT_WAKE, wake)
    _push(heap, regs, wake, ld(hot, word + HOT_KEY))
    if wake < ld(regs, R_NEXT_DUE):
        st(regs, R_NEXT_DUE, wake)


# --- the event clock -----------------------------------------------------------------------------------------------------------------


@compiled
def _sweep(hot: Memory, arena: Memory, regs: Memory, hour: int) -> None:
    """Forget what is over in one twenty-fourth of the table, so that silence frees memory and old times stay unambiguous.

    An empty record is all zeros, and a call that is over is left in its record for two weeks: nearly every place is passed without a
    branch that could go either way and without a store.
    """
    capacity = ld(regs, R_CAPACITY)
    now = ld(regs, R_NOW)
    part = hour % 24
    for place in range(capacity * part // 24, capacity * (part + 1) // 24):
        word = place * HOT_WORDS
        coming = ld(hot, min(word + AHEAD_SWEEP * HOT_WORDS, (capacity - 1) * HOT_WORDS) + HOT_SLOTS)
        prefetch(arena, (coming & LOW) * UNIT)
        times = ld(hot, word + HOT_TIMES)
        facts = ld(hot, word + HOT_TAG)
        start = now + _signed(now, times & LOW)
        old = (facts & LOW != 0) & (start <= now - FORGOTTEN)
        if rare(old) and _light_over(start, now + _signed(now, (times >> 32) & LOW), now):
            st(hot, word + HOT_TIMES, 0)
            st(hot, word + HOT_TAG, facts & ~LOW)
        slots = ld(hot, word + HOT_SLOTS)
        if rare(slots != 0):
            heavy = slots & LOW
            light = (slots >> 32) & LOW
            if light != 0 and _trim_light(arena, light, now) == 0:
                _give(arena, regs, light)
                light = 0
            if heavy != 0:
                left = _trim_heavy(arena, regs, heavy, ld(hot, word + HOT_KEY), now)
                if left == 0 and ld(arena, heavy * UNIT + SLOT_CLOSED) == 0:
                    _give(arena, regs, heavy)
                    heavy = 0
            st(hot, word + HOT_SLOTS, heavy | (light << 32))


@compiled
def _advance(hot: Memory, arena: Memory, heap: Memory, regs: Memory, profiles: Memory, calendar: Memory, out: Memory, at: int) -> int:
    """Move the event clock to `at`: sweeps and wake-ups that are due, in time order. Returns a status; not DONE: call again."""
    if ld(regs, R_NOW) == 0:
        st(regs, R_NOW, at)
        st(regs, R_NEXT_SWEEP, (at // HOUR + 1) * HOUR)
    swept = 0
    while True:
        due = ld(regs, R_NEXT_SWEEP)
        wake = False
        if ld(regs, R_HEAP_SIZE) > 0 and ld(heap, 0) <= due:
            due = ld(heap, 0)
            wake = True
        if due > at:
            break
        st(regs, R_NOW, max(due, ld(regs, R_NOW)))
        if wake:
            if ld(regs, R_OUT) + MAX_CROSSINGS_A_ROW > ld(regs, R_OUT_CAPACITY):
                return OUTPUT_FULL
            if ld(regs, R_HEAP_SIZE) + 2 > ld(regs, R_HEAP_CAPACITY):
                return HEAP_FULL
            key = ld(heap, 1)
            _pop(heap, regs)
            _fire(hot, arena, heap, regs, profiles, calendar, out, key, due)
        else:
            _sweep(hot, arena, regs, due // HOUR)
            swept += 1
            following = due + HOUR
            if swept > 600 and following < at:  # 25 days of silence: every call is over and swept, the rest of the time is skipped
                following = max(following, at // HOUR * HOUR)
            st(regs, R_NEXT_SWEEP, following)
    _set_due(heap, regs)
    st(regs, R_NOW, at)
    return DONE


@compiled
def _fire(
    hot: Memory, arena: Memory, heap: Memory, regs: Memory, profiles: Memory, calendar: Memory, out: Memory, key: int, due: int
) -> None:
    """A wake-up: judge the account at this second if a C2+ call of it runs."""
    word = _find(hot, ld(regs, R_CAPACITY), key)
    if word < 0:
        return
    slot = ld(hot, word + HOT_SLOTS) & LOW
    if slot == 0 or ld(arena, slot * UNIT + SLOT_WAKE) != due:
        return
    st(regs, R_WAKES, ld(regs, R_WAKES) + 1)
    st(arena, slot * UNIT + SLOT_WAKE, 0)
    _recall(arena, regs, slot, key)
    _scan_heavy(arena, regs, slot, due)
    if ld(regs, V_RUNNING) > 0:
        _judge_heavy(hot, arena, regs, profiles, calendar, out, word, slot, due, BETWEEN)
        _plan_wake(hot, arena, heap, regs, profiles, calendar, word, slot)


# --- rows ----------------------------------------------------------------------------------------------------------------------------


@compiled
def _light_row(
    hot: Memory,
    arena: Memory,
    regs: Memory,
    profiles: Memory,
    calendar: Memory,
    out: Memory,
    word: int,
    kind: int,
    call: int,
    start: int,
    answered: int,
    ended: int,
    at: int,
    ref: int,
) -> None:
    """What a row of any class says to the all-calls detectors. Times are consistent; `ended` 0 means that it is not known."""
    now = ld(regs, R_NOW)
    tag = (max(call & 0x7FFFFFFF, 1) << 1) | (1 if ended != 0 else 0)  # 0 is an empty place
    end = ended if ended != 0 else (answered + MAX_CALL if answered != 0 else start + MAX_RINGING)
    fresh = max(at, ended) > now - LIGHT_LATE
    facts = ld(hot, word + HOT_TAG)
    slots = ld(hot, word + HOT_SLOTS)
    light = (slots >> 32) & LOW
    if light == 0:
        mine = facts & LOW
        if mine != 0:
            times = ld(hot, word + HOT_TIMES)
            start_mine = now + _signed(now, times & LOW)
            end_mine = now + _signed(now, (times >> 32) & LOW)
            if _light_over(start_mine, end_mine, now):
                mine = 0
            elif mine >> 1 == tag >> 1:
                if mine & 1 == 0 and (ended != 0 or (answered != 0 and end_mine == start_mine + MAX_RINGING)):
                    st(hot, word + HOT_TIMES, _pack(times, end))
                    st(hot, word + HOT_TAG, (facts & ~LOW) | tag)
                return
        if not fresh:
            st(regs, R_LATE, ld(regs, R_LATE) + 1)
            return
        if mine == 0:
            st(hot, word + HOT_TIMES, _pack(start, end))
            st(hot, word + HOT_TAG, (facts & ~LOW) | tag)
            return
        st(regs, R_SPILLED, ld(regs, R_SPILLED) + 1)
        light = _take(arena, regs, 1)
        entry = light * UNIT + LIGHT_HEADER
        st(arena, entry, start_mine)
        st(arena, entry + 1, end_mine)
        st(arena, entry + 2, mine)
        st(arena, entry + 3, NO_REF)
        st(arena, light * UNIT + SLOT_COUNT, (1 << 32) | 1)
        st(hot, word + HOT_TIMES, 0)
        st(hot, word + HOT_TAG, facts & ~LOW)
        st(hot, word + HOT_SLOTS, (slots & LOW) | (light << 32))
    elif _trim_light(arena, light, now) == 0:
        _give(arena, regs, light)
        st(hot, word + HOT_SLOTS, slots & LOW)
        if fresh:
            st(hot, word + HOT_TIMES, _pack(start, end))
            st(hot, word + HOT_TAG, (facts & ~LOW) | tag)
        else:
            st(regs, R_LATE, ld(regs, R_LATE) + 1)
        return
    head = light * UNIT
    count = ld(arena, head + SLOT_COUNT) & LOW
    found = -1
    for place in range(count):
        if ld(arena, head + LIGHT_HEADER + place * LIGHT_ENTRY + 2) >> 1 == tag >> 1:
            found = head + LIGHT_HEADER + place * LIGHT_ENTRY
            break
    if found >= 0:
        mine = ld(arena, found + 2)
        start_mine = ld(arena, found)
        if ld(arena, found + 3) == NO_REF:
            st(arena, found + 3, ref)
        if mine & 1 != 0 or (ended == 0 and (answered == 0 or ld(arena, found + 1) != start_mine + MAX_RINGING)):
            return
        _arm_light(hot, arena, regs, profiles, calendar, word, light)
        st(arena, found + 1, end)
        st(arena, found + 2, tag)
        if ended != 0:
            return
    else:
        if not fresh:
            st(regs, R_LATE, ld(regs, R_LATE) + 1)
            return
        _arm_light(hot, arena, regs, profiles, calendar, word, light)
        if count >= ld(regs, R_MAX_LIGHT):
            st(regs, R_EVICTED, ld(regs, R_EVICTED) + 1)
            victim = head + LIGHT_HEADER
            for place in range(1, count):
                entry = head + LIGHT_HEADER + place * LIGHT_ENTRY
                if ld(arena, entry) < ld(arena, victim):
                    victim = entry
            found = victim
        else:
            size_class = ld(arena, head + SLOT_COUNT) >> 32
            if LIGHT_HEADER + (count + 1) * LIGHT_ENTRY > UNIT << size_class:
                light = _bigger(arena, regs, light)
                head = light * UNIT
                st(hot, word + HOT_SLOTS, (slots & LOW) | (light << 32))
            found = head + LIGHT_HEADER + count * LIGHT_ENTRY
            st(arena, head + SLOT_COUNT, ld(arena, head + SLOT_COUNT) + 1)
        st(arena, found, start)
        st(arena, found + 1, end)
        st(arena, found + 2, tag)
        st(arena, found + 3, ref)
    own = start if kind == CALL else at
    if now - LIGHT_LATE < own < now:
        _scan_light(arena, regs, light, own)
        _judge_light(hot, arena, regs, profiles, calendar, out, word, light, own)
    _scan_light(arena, regs, light, now)
    _judge_light(hot, arena, regs, profiles, calendar, out, word, light, now)


@compiled
def _mark_latest(arena: Memory, slot: int, entry: int) -> None:
    """Set the flags of "latest attempt to its number, to its country" of a new C3+ entry, and clear those it supersedes."""
    facts = ld(arena, entry + E_FACTS)
    start = ld(arena, entry + E_START)
    range_key = ld(arena, entry + E_RANGE)
    head = slot * UNIT
    count = ld(arena, head + SLOT_COUNT) & LOW
    facts |= FACT_NUMBER
    if (facts >> FACT_COUNTRY) & 0xFFFF != 0:
        facts |= FACT_LAND
    other = head + HEAVY_HEADER
    past = other + count * HEAVY_ENTRY
    while other < past:
        facts_other = ld(arena, other + E_FACTS)
        if other != entry and facts_other & (FACT_NUMBER | FACT_LAND) != 0:
            later = ld(arena, other + E_START) > start
            same = facts_other ^ facts
            if facts_other & FACT_NUMBER != 0 and same & 0x3FF == 0 and ld(arena, other + E_RANGE) == range_key:
                if later:
                    facts &= ~FACT_NUMBER
                else:
                    facts_other &= ~FACT_NUMBER
            if facts_other & FACT_LAND != 0 and same & (0xFFFF << FACT_COUNTRY) == 0:
                if later:
                    facts &= ~FACT_LAND
                else:
                    facts_other &= ~FACT_LAND
            st(arena, other + E_FACTS, facts_other)
        other += HEAVY_ENTRY
    st(arena, entry + E_FACTS, facts)


@compiled
def _heavy_row(
    hot: Memory,
    arena: Memory,
    heap: Memory,
    regs: Memory,
    profiles: Memory,
    calendar: Memory,
    out: Memory,
    word: int,
    kind: int,
    level: int,
    call: int,
    range_key: int,
    facts: int,
    price: int,
    start: int,
    answered: int,
    ended: int,
    at: int,
    ref: int,
) -> None:
    """What a row of class C2 and up says to the C2+ detectors."""
    now = ld(regs, R_NOW)
    slots = ld(hot, word + HOT_SLOTS)
    slot = slots & LOW
    fresh = max(at, ended) > now - HEAVY_LATE
    found = -1
    count = 0
    key = ld(hot, word + HOT_KEY)
    if slot != 0:
        count = _tend(arena, regs, slot, key, now)
        for place in range(count):
            if ld(arena, slot * UNIT + HEAVY_HEADER + place * HEAVY_ENTRY + E_CALL) == call:
                found = slot * UNIT + HEAVY_HEADER + place * HEAVY_ENTRY
                break
    exempt = _limits(hot, regs, profiles, calendar, word, now) < 0
    large = count > BAG_CALLS
    if found >= 0:
        known = ld(arena, found + E_FACTS) & FACT_KNOWN != 0
        if (answered == 0 or ld(arena, found + E_ANSWER) != 0) and (ended == 0 or known):
            return
        armed = not exempt and _arm_heavy(hot, arena, regs, profiles, calendar, word, slot)
        changed = False
        if answered != 0 and ld(arena, found + E_ANSWER) == 0:
            answer = max(answered, ld(arena, found + E_START))
            if known:
                answer = min(answer, ld(arena, found + E_END))
            st(arena, found + E_ANSWER, answer)
            changed = True
            if not known:
                st(arena, found + E_END, answer + MAX_CALL)
        if ended != 0 and not known:
            st(arena, found + E_END, max(ended, ld(arena, found + E_START), ld(arena, found + E_ANSWER)))
            st(arena, found + E_FACTS, ld(arena, found + E_FACTS) | FACT_KNOWN)
        if exempt:
            _pass_over(hot, arena, heap, regs, profiles, word, slot)
            return
        if not changed:
            _heavy_end(hot, arena, heap, regs, profiles, calendar, out, word, slot, at, armed)
            return
    else:
        if not fresh:
            st(regs, R_LATE, ld(regs, R_LATE) + 1)
            return
        if slot != 0 and not exempt:
            _arm_heavy(hot, arena, regs, profiles, calendar, word, slot)
        if slot == 0:
            slot = _take(arena, regs, 1)
            st(hot, word + HOT_SLOTS, (slots & (LOW << 32)) | slot)
            _recall(arena, regs, slot, key)
        elif count >= ld(regs, R_MAX_HEAVY):
            st(regs, R_EVICTED, ld(regs, R_EVICTED) + 1)
            found = slot * UNIT + HEAVY_HEADER
            for place in range(1, count):
                entry = slot * UNIT + HEAVY_HEADER + place * HEAVY_ENTRY
                if ld(arena, entry + E_END) < ld(arena, found + E_END):
                    found = entry
            if ld(arena, found + E_ANSWER) != 0 and ld(arena, found + E_END) <= now:
                _leave(arena, regs, found)
        elif HEAVY_HEADER + (count + 1) * HEAVY_ENTRY > UNIT << (ld(arena, slot * UNIT + SLOT_COUNT) >> 32):
            slot = _bigger(arena, regs, slot)
            st(hot, word + HOT_SLOTS, (slots & (LOW << 32)) | slot)
        if found < 0:
            found = slot * UNIT + HEAVY_HEADER + count * HEAVY_ENTRY
            st(arena, slot * UNIT + SLOT_COUNT, ld(arena, slot * UNIT + SLOT_COUNT) + 1)
        end = ended if ended != 0 else (answered + MAX_CALL if answered != 0 else start + MAX_RINGING)
        st(arena, found + E_START, start)
        st(arena, found + E_ANSWER, answered)
        st(arena, found + E_END, end)
        st(arena, found + E_PRICE, price)
        st(arena, found + E_CALL, call)
        st(arena, found + E_RANGE, range_key)
        st(arena, found + E_REF, ref)
        st(arena, found + E_FACTS, facts | (FACT_KNOWN if ended != 0 else 0))
        if level >= 3:
            _mark_latest(arena, slot, found)
            country = (facts >> FACT_COUNTRY) & 0xFFFF
            if level >= 4 and country != 0:
                since_day = (ld(hot, word + HOT_TAG) >> 48) & 0xFFFF
                if _first_ever(arena, regs, slot, found, key, since_day, country):
                    st(arena, found + E_FACTS, ld(arena, found + E_FACTS) | FACT_FIRST)
        if exempt:
            _pass_over(hot, arena, heap, regs, profiles, word, slot)
            return
    late = LARGE_LATE if large else HEAVY_LATE
    if kind == CALL:
        if now - late < start < now:
            _scan_heavy(arena, regs, slot, start)
            _judge_heavy(hot, arena, regs, profiles, calendar, out, word, slot, start, HEAVY)
        if start < ended and now - late < ended < now:
            _scan_heavy(arena, regs, slot, ended)
            _judge_heavy(hot, arena, regs, profiles, calendar, out, word, slot, ended, HEAVY)
    elif now - late < at < now:
        _scan_heavy(arena, regs, slot, at)
        _judge_heavy(hot, arena, regs, profiles, calendar, out, word, slot, at, HEAVY)
    _scan_heavy(arena, regs, slot, now)
    if large:
        _arm_scanned(hot, arena, regs, profiles, calendar, word, slot)
    _judge_heavy(hot, arena, regs, profiles, calendar, out, word, slot, now, HEAVY)
    _plan_wake(hot, arena, heap, regs, profiles, calendar, word, slot)


@compiled
def _pass_over(hot: Memory, arena: Memory, heap: Memory, regs: Memory, profiles: Memory, word: int, slot: int) -> None:
    """A row of an account that is exempt: nothing is judged, every detector is armed, and it is looked at when that ends."""
    st(arena, slot * UNIT + SLOT_LATCHES, 0)
    st(arena, slot * UNIT + SLOT_LATCHES_2, 0)
    until = ld(profiles, ((ld(hot, word + HOT_TAG) >> 32) & 0xFFFF) * PROFILE_WORDS + THRESHOLD_ROW * 2 - 1)
    if until < ld(regs, R_NOW) + MAX_AGE:
        _wake_at(hot, arena, heap, regs, word, slot, until)


@compiled
def _heavy_end(
    hot: Memory,
    arena: Memory,
    heap: Memory,
    regs: Memory,
    profiles: Memory,
    calendar: Memory,
    out: Memory,
    word: int,
    slot: int,
    at: int,
    armed: bool,
) -> None:
    """An end adds nothing but how short the call was. Where it armed a detector, time alone can now raise that again."""
    now = ld(regs, R_NOW)
    count = ld(arena, slot * UNIT + SLOT_COUNT) & LOW
    limits = _limits(hot, regs, profiles, calendar, word, now)
    judged = armed
    large = count > BAG_CALLS
    if limits >= 0:
        shape = min(ld(profiles, limits + 2 * D16), ld(profiles, limits + 2 * D16 + 1))
        share = min(ld(profiles, limits + 2 * D22), ld(profiles, limits + 2 * D22 + 1))
        judged = judged or count > shape or count >= share
    if not judged:
        return
    if now - (LARGE_LATE if large else HEAVY_LATE) < at < now:
        _scan_heavy(arena, regs, slot, at)
        _judge_heavy(hot, arena, regs, profiles, calendar, out, word, slot, at, AT_END)
    _scan_heavy(arena, regs, slot, now)
    if large:
        armed = _arm_scanned(hot, arena, regs, profiles, calendar, word, slot)
    _judge_heavy(hot, arena, regs, profiles, calendar, out, word, slot, now, AT_END)
    if armed:
        _plan_wake(hot, arena, heap, regs, profiles, calendar, word, slot)


@inlined
def _account(hot: Memory, regs: Memory, key: int) -> int:
    """Word of an account's record, made when it is new. The caller made sure that there is room."""
    word = _find(hot, ld(regs, R_CAPACITY), key)
    if word < 0:
        word = -1 - word
        st(hot, word + HOT_KEY, key)
        st(regs, R_ACCOUNTS, ld(regs, R_ACCOUNTS) + 1)
    return word


@inlined
def _room(regs: Memory) -> int:
    """Whether a row can need more than there is: a status."""
    if ld(regs, R_OUT) + MAX_CROSSINGS_A_ROW > ld(regs, R_OUT_CAPACITY):
        return OUTPUT_FULL
    if ld(regs, R_ACCOUNTS) >= ld(regs, R_MAX_ACCOUNTS):
        return TABLE_FULL
    if ld(regs, R_ARENA_TOP) + (8 << ld(regs, R_ARENA_CLASS)) > ld(regs, R_ARENA_UNITS):
        return ARENA_FULL
    if ld(regs, R_HEAP_SIZE) + 2 > ld(regs, R_HEAP_CAPACITY):
        return HEAP_FULL
    return DONE


@compiled
def _ask(hot: Memory, keys: Memory, capacity: int, row: int, past: int) -> None:
    """Ask for the home lines of some rows."""
    while row < past:
        prefetch(hot, _home(ld(keys, row), capacity) * HOT_WORDS)
        row += 1


@compiled
def _prepare(
    hot: Memory,
    arena: Memory,
    found: Memory,
    place: int,
    keys: Memory,
    classes: Memory,
    ranges: Memory,
    tails: Memory,
    countries: Memory,
    prices: Memory,
    connects: Memory,
    capacity: int,
    row: int,
    past: int,
    rows: int,
) -> None:
    """Find the records of a block of rows, keep where they are, and ask for what comes next.

    In blocks, not row by row: that was measured to be faster, and is not understood (docs/rooms/detection.md, "What limits the kernel").
    """
    for ahead in range(row, past):
        key = ld(keys, ahead)
        word = _home(key, capacity) * HOT_WORDS
        if rare((ld(hot, word + HOT_KEY) != key) & (ld(hot, word + HOT_WORDS + HOT_KEY) != key)):
            for line in range(1, 4):  # One record in eight is not at home, and those are often several lines away.
                prefetch(hot, word + 2 * HOT_WORDS * line)
    _ask(hot, keys, capacity, past, min(past + BLOCK, rows))
    for ahead in range(row, past):
        word = _find(hot, capacity, ld(keys, ahead))
        st(found, place + ahead - row, word)
        slots = ld(hot, max(word, 0) + HOT_SLOTS)
        if ld_u8(classes, ahead) >= 2:
            prefetch(arena, (slots & LOW) * UNIT)
            prefetch(arena, (slots & LOW) * UNIT + UNIT)
            prefetch(ranges, ahead)
            prefetch(prices, ahead)
            prefetch(connects, ahead)
            prefetch(tails, ahead >> 2)
            prefetch(countries, ahead >> 2)
        if rare(slots >> 32 != 0):
            prefetch(arena, ((slots >> 32) & LOW) * UNIT)
            prefetch(arena, ((slots >> 32) & LOW) * UNIT + UNIT)


@compiled
def run(
    hot_: Memory,
    arena_: Memory,
    heap_: Memory,
    regs_: Memory,
    profiles_: Memory,
    calendar_: Memory,
    out_: Memory,
    kinds_: Memory,
    at_: Memory,
    keys_: Memory,
    calls_: Memory,
    ranges_: Memory,
    tails_: Memory,
    countries_: Memory,
    classes_: Memory,
    rates_: Memory,
    connects_: Memory,
    flags_: Memory,
    started_: Memory,
    answered_: Memory,
    ended_: Memory,
    first: int,
    rows: int,
    ref: int,
    unkeyed: int,
) -> int:
    """Take rows `first` to `rows`; returns the row to go on with, and R_STATUS says why. `ref` is the reference of row 0.

    Rows whose UNKEYED flag differs from `unkeyed` only move the clock. Emergency calls (class 0) and rows that are no calls count nothing.
    """
    hot = base(hot_)
    arena = base(arena_)
    heap = base(heap_)
    regs = base(regs_)
    profiles = base(profiles_)
    calendar = base(calendar_)
    out = base(out_)
    kinds = base(kinds_)
    ats = base(at_)
    keys = base(keys_)
    calls = base(calls_)
    ranges = base(ranges_)
    tails = base(tails_)
    countries = base(countries_)
    classes = base(classes_)
    rates = base(rates_)
    connects = base(connects_)
    flagss = base(flags_)
    starteds = base(started_)
    answereds = base(answered_)
    endeds = base(ended_)
    capacity = ld(regs, R_CAPACITY)
    now = ld(regs, R_NOW)
    due = ld(regs, R_NEXT_DUE)
    counted = 0
    room = False
    status = DONE
    found = ld(regs, R_OUT_CAPACITY) * CROSSING_WORDS
    row = first
    block = past = first
    _ask(hot, keys, capacity, first, min(first + BLOCK, rows))
    while row < rows:
        if row == past:
            block = past
            past = min(past + BLOCK, rows)
            _prepare(hot, arena, out, found, keys, classes, ranges, tails, countries, rates, connects, capacity, block, past, rows)
        at = ld(ats, row)
        if at > now:
            if rare(at >= due):
                status = _advance(hot, arena, heap, regs, profiles, calendar, out, at)
                if status != DONE:
                    break
                due = ld(regs, R_NEXT_DUE)
                room = False
            else:
                st(regs, R_NOW, at)
            now = at
        kind = ld_u8(kinds, row)
        level = ld_u8(classes, row)
        flags = ld_u16(flagss, row)
        key = ld(keys, row)
        if (kind >= 1) & (kind <= CALL) & (level >= 1) & (key != 0) & (((flags & UNKEYED) != 0) == (unkeyed != 0)):
            if rare(not room):  # Only what is rare below takes room.
                status = _room(regs)
                if status != DONE:
                    break
                room = True
            counted += 1
            # No branches here: kinds, answers and what an account remembers are as good as random.
            said = ld(starteds, row)
            start = max(at if (said <= 0) | (said > at) else said, at - MAX_AGE)
            said = ld(answereds, row)
            answered = min(max(said, start), start + MAX_AGE) if said != 0 else (at if kind == ANSWER else 0)
            answered = 0 if kind == ATTEMPT else answered
            said = ld(endeds, row)
            said = at if (said == 0) & (kind == END) else said
            ended = min(max(said, start), start + MAX_AGE) if (said != 0) & (kind >= END) else 0
            answered = min(answered, ended) if ended != 0 else answered
            call = ld(calls, row)
            word = ld(out, found + row - block)
            if rare(word < 0):
                word = _account(hot, regs, key)
                room = False
            slots = ld(hot, word + HOT_SLOTS)
            times = ld(hot, word + HOT_TIMES)
            facts = ld(hot, word + HOT_TAG)
            mine = facts & LOW
            start_mine = now + _signed(now, times & LOW)
            end_mine = now + _signed(now, (times >> 32) & LOW)
            alive = (mine != 0) & ((end_mine > now - LIGHT_LATE) | (start_mine > now - LIGHT_LATE - MINUTE))
            tag = (max(call & 0x7FFFFFFF, 1) << 1) | (ended != 0)  # 0 is an empty place
            same = alive & (mine >> 1 == tag >> 1)
            opens = (not alive) & (max(at, ended) > now - LIGHT_LATE)
            if rare((slots >> 32 != 0) | (not (same | opens))):
                _light_row(hot, arena, regs, profiles, calendar, out, word, kind, call, start, answered, ended, at, ref + row)
                room = False
            else:
                end = ended if ended != 0 else (answered + MAX_CALL if answered != 0 else start + MAX_RINGING)
                adds = (mine & 1 == 0) & ((ended != 0) | ((answered != 0) & (end_mine == start_mine + MAX_RINGING)))
                writes = opens | adds
                st(hot, word + HOT_TIMES, _pack(start if opens else times, end) if writes else times)
                st(hot, word + HOT_TAG, (facts & ~LOW) | tag if writes else facts)
            if level >= 2:
                if level > 2 and flags & NATIONAL_VALUE != 0:
                    level = 2
                level = min(level, 5)
                tail = min(max(ld_i16(tails, row), 0), 1023)
                facts = tail | (ld_u16(countries, row) << FACT_COUNTRY) | (level << FACT_CLASS)
                if flags & FORWARDED != 0:
                    facts |= FACT_FORWARDED
                rate = min(max(ld(rates, row), 0), MAX_PRICE)
                connect = min(max(ld(connects, row), 0), MAX_PRICE)
                price = rate | (connect << 32)
                _heavy_row(
                    hot,
                    arena,
                    heap,
                    regs,
                    profiles,
                    calendar,
                    out,
                    word,
                    kind,
                    level,
                    call,
                    ld(ranges, row),
                    facts,
                    price,
                    start,
                    answered,
                    ended,
                    at,
                    ref + row,
                )
                due = ld(regs, R_NEXT_DUE)
                room = False
        row += 1
    st(regs, R_ROWS, ld(regs, R_ROWS) + counted)
    st(regs, R_STATUS, status)
    return row


# --- between rows --------------------------------------------------------------------------------------------------------------------


@compiled
def advance(hot_: Memory, arena_: Memory, heap_: Memory, regs_: Memory, profiles_: Memory, calendar_: Memory, out_: Memory, at: int) -> int:
    """Move the event clock by a tick; returns a status, and is called again unless it is DONE."""
    regs = base(regs_)
    if at <= ld(regs, R_NOW):
        return DONE
    if at < ld(regs, R_NEXT_DUE):
        st(regs, R_NOW, at)
        return DONE
    return _advance(base(hot_), base(arena_), base(heap_), regs, base(profiles_), base(calendar_), base(out_), at)


@compiled
def set_attributes(hot_: Memory, arena_: Memory, heap_: Memory, regs_: Memory, key: int, profile: int, since_day: int) -> int:
    """Give an account its profile and age; returns a status. Its running calls are judged anew at the next whole second."""
    hot, arena, heap, regs = base(hot_), base(arena_), base(heap_), base(regs_)
    word = _find(hot, ld(regs, R_CAPACITY), key)
    if word < 0 and profile == 0 and since_day == 0:
        return DONE
    status = _room(regs)
    if status != DONE:
        return status
    word = _account(hot, regs, key)
    st(hot, word + HOT_TAG, (ld(hot, word + HOT_TAG) & LOW) | (profile << 32) | (_short(since_day) << 48))
    _wake_soon(hot, arena, heap, regs, word)
    return DONE


@compiled
def settle_in(hot_: Memory, regs_: Memory, keys_: Memory, first: int, count: int) -> int:
    """Make a record for each key; returns where to go on when the table is full."""
    hot, regs, keys = base(hot_), base(regs_), base(keys_)
    for row in range(first, count):
        if ld(regs, R_ACCOUNTS) >= ld(regs, R_MAX_ACCOUNTS):
            return row
        _account(hot, regs, ld(keys, row))
    return count


@inlined
def _short(value: int) -> int:
    """A 16-bit number as it must look to fill the sign bit of a word: 32,768 and above become negative."""
    return value - 0x10000 if value >= 0x8000 else value


@compiled
def _wake_soon(hot: Memory, arena: Memory, heap: Memory, regs: Memory, word: int) -> None:
    slot = ld(hot, word + HOT_SLOTS) & LOW
    if slot == 0:
        return
    wake = ld(regs, R_NOW) // SECOND * SECOND + SECOND
    pending = ld(arena, slot * UNIT + SLOT_WAKE)
    if pending == wake:
        return
    st(arena, slot * UNIT + SLOT_WAKE, wake)
    _push(heap, regs, wake, ld(hot, word + HOT_KEY))
    if wake < ld(regs, R_NEXT_DUE):
        st(regs, R_NEXT_DUE, wake)


@compiled
def wake_all(hot_: Memory, arena_: Memory, heap_: Memory, regs_: Memory, first: int) -> int:
    """After new rules or holidays: judge every account with C2+ calls at the next whole second. Returns where to go on, -1 at the end."""
    hot, arena, heap, regs = base(hot_), base(arena_), base(heap_), base(regs_)
    for place in range(first, ld(regs, R_CAPACITY)):
        if ld(regs, R_HEAP_SIZE) + 2 > ld(regs, R_HEAP_CAPACITY):
            return place
        if ld(hot, place * HOT_WORDS + HOT_KEY) != 0:
            _wake_soon(hot, arena, heap, regs, place * HOT_WORDS)
    return -1


@compiled
def reserve(arena_: Memory, regs_: Memory, size_class: int) -> int:
    """A zeroed slot for baselines, as its first unit; 0 when the arena must grow first."""
    arena, regs = base(arena_), base(regs_)
    largest = max(size_class, ld(regs, R_ARENA_CLASS))
    if ld(regs, R_ARENA_TOP) + (1 << size_class) + (8 << largest) > ld(regs, R_ARENA_UNITS):
        return 0
    return _take(arena, regs, size_class)


@compiled
def release(arena_: Memory, regs_: Memory, slot: int) -> None:
    """Give back a slot of baselines."""
    _give(base(arena_), base(regs_), slot)


@compiled
def rebase(hot_: Memory, arena_: Memory, heap_: Memory, regs_: Memory, keys_: Memory, first: int, count: int) -> int:
    """After new baselines: closed cost since then counts, and running calls of these accounts are judged anew. Returns where to go on."""
    hot, arena, heap, regs, keys = base(hot_), base(arena_), base(heap_), base(regs_), base(keys_)
    for place in range(first, count):
        if ld(regs, R_HEAP_SIZE) + 2 > ld(regs, R_HEAP_CAPACITY):
            return place
        key = ld(keys, place)
        word = _find(hot, ld(regs, R_CAPACITY), key)
        if word < 0 or ld(hot, word + HOT_SLOTS) & LOW == 0:
            continue
        record = _record_of(arena, regs, key)
        closed = ld(arena, (ld(hot, word + HOT_SLOTS) & LOW) * UNIT + SLOT_CLOSED)
        if record != 0 and closed != 0:
            after, until = ld(arena, record + B_FROM), ld(arena, record + B_UNTIL)
            spent, following = ld(arena, record + B_SPENT), ld(arena, record + B_NEXT)
            for number in range(ld(arena, closed * UNIT + CLOSED_FIRST), ld(arena, closed * UNIT + SLOT_COUNT) & LOW):
                piece = _piece(closed, number)
                start, end, price = ld(arena, piece), ld(arena, piece + 1), ld(arena, piece + 2)
                spent += _cost_between(start, end, price, after, until)
                following += _cost_between(start, end, price, until, NEVER)
            st(arena, record + B_SPENT, spent)
            st(arena, record + B_NEXT, following)
        _wake_soon(hot, arena, heap, regs, word)
    return count


@compiled
def copy_table(old_: Memory, capacity_old: int, hot_: Memory, arena_: Memory, regs_: Memory, cut: int) -> None:
    """Fill a new table with the records of the old one; those with nothing to remember, or last active before `cut`, are left out."""
    old, hot, arena, regs = base(old_), base(hot_), base(arena_), base(regs_)
    capacity = ld(regs, R_CAPACITY)
    now = ld(regs, R_NOW)
    kept = 0
    for place in range(capacity_old):
        word = place * HOT_WORDS
        key = ld(old, word + HOT_KEY)
        if key == 0:
            continue
        slots = ld(old, word + HOT_SLOTS)
        facts = ld(old, word + HOT_TAG)
        if slots == 0 and facts >> 32 == 0:
            if facts & LOW == 0:
                continue
            times = ld(old, word + HOT_TIMES)
            if _light_over(now + _signed(now, times & LOW), now + _signed(now, (times >> 32) & LOW), now):
                continue
        if cut > 0 and _active(old, arena, now, word) < cut:
            if slots & LOW != 0:
                _give_heavy(arena, regs, slots & LOW)
            if (slots >> 32) & LOW != 0:
                _give(arena, regs, (slots >> 32) & LOW)
            st(regs, R_EVICTED, ld(regs, R_EVICTED) + 1)
            continue
        target = -1 - _find(hot, capacity, key)
        for offset in range(HOT_WORDS):
            st(hot, target + offset, ld(old, word + offset))
        kept += 1
    st(regs, R_ACCOUNTS, kept)


@compiled
def _active(hot: Memory, arena: Memory, now: int, word: int) -> int:
    """Start of the last call of an account; 0 when there is none."""
    latest = 0
    if ld(hot, word + HOT_TAG) & LOW != 0:
        latest = now + _signed(now, ld(hot, word + HOT_TIMES) & LOW)
    slots = ld(hot, word + HOT_SLOTS)
    heavy = (slots & LOW) * UNIT
    light = ((slots >> 32) & LOW) * UNIT
    if heavy != 0:
        for place in range(ld(arena, heavy + SLOT_COUNT) & LOW):
            latest = max(latest, ld(arena, heavy + HEAVY_HEADER + place * HEAVY_ENTRY + E_START))
    if light != 0:
        for place in range(ld(arena, light + SLOT_COUNT) & LOW):
            latest = max(latest, ld(arena, light + LIGHT_HEADER + place * LIGHT_ENTRY))
    return latest


@compiled
def activity(hot_: Memory, arena_: Memory, regs_: Memory, times_: Memory) -> int:
    """Start of the last call of every account into `times_`; returns how many."""
    hot, arena, regs, times = base(hot_), base(arena_), base(regs_), base(times_)
    count = 0
    for place in range(ld(regs, R_CAPACITY)):
        if ld(hot, place * HOT_WORDS + HOT_KEY) != 0:
            st(times, count, _active(hot, arena, ld(regs, R_NOW), place * HOT_WORDS))
            count += 1
    return count


@compiled
def measure(hot_: Memory, arena_: Memory, regs_: Memory, key: int) -> tuple[int, int]:
    """`(price per minute of running C2+ calls, cost of the day so far)` of one account at the event clock; micro-euro and unscaled."""
    hot, arena, regs = base(hot_), base(arena_), base(regs_)
    word = _find(hot, ld(regs, R_CAPACITY), key)
    if word < 0:
        return 0, 0
    slot = ld(hot, word + HOT_SLOTS) & LOW
    if slot == 0:
        return 0, 0
    now = ld(regs, R_NOW)
    rate = cost = 0
    if ld(arena, slot * UNIT + SLOT_CLOSED) != 0:
        cost = _closed_cost(arena, ld(arena, slot * UNIT + SLOT_CLOSED), now - WINDOW_24H)
    for place in range(ld(arena, slot * UNIT + SLOT_COUNT) & LOW):
        entry = slot * UNIT + HEAVY_HEADER + place * HEAVY_ENTRY
        cost += _entry_cost(arena, entry, now, WINDOW_24H, 0)
        answer = ld(arena, entry + E_ANSWER)
        if answer != 0 and answer <= now < ld(arena, entry + E_END):
            rate += ld(arena, entry + E_PRICE) & LOW
    return rate, cost


@compiled
def profile_of(hot_: Memory, regs_: Memory, key: int) -> int:
    """The profile of an account; 0, the plain one, for an account that is not known."""
    hot, regs = base(hot_), base(regs_)
    word = _find(hot, ld(regs, R_CAPACITY), key)
    return (ld(hot, word + HOT_TAG) >> 32) & 0xFFFF if word >= 0 else 0


def zeros(words: int) -> Any:
    """Zeroed words of kernel memory."""
    return np.zeros(words, dtype=np.int64)
