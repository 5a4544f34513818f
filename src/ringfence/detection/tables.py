"""The kernel's memory: made, grown, copied, compared.

Regions grow where the kernel stopped, before a row, so growth happens at the same row in every replica. The table of strangers
(accounts that an agent without a key names, so anybody can invent them) never grows: when it is full, the half that was silent longest
in event time goes.
"""

import contextlib
import hashlib
import mmap
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringfence.base.errors import OperatorError
from ringfence.detection.layout import (
    CROSSING_WORDS,
    HOT_WORDS,
    MAX_CROSSINGS_A_ROW,
    PROFILE_WORDS,
    R_ARENA_CLASS,
    R_ARENA_TOP,
    R_ARENA_UNITS,
    R_CALENDAR,
    R_CAPACITY,
    R_HEAP_CAPACITY,
    R_MAX_ACCOUNTS,
    R_MAX_HEAVY,
    R_MAX_LIGHT,
    R_OUT,
    R_OUT_CAPACITY,
    R_VARIANT,
    R_VARIANT_FROM,
    R_VARIANT_UNTIL,
    REGISTERS,
    SCRATCH,
    UNIT,
    V_HOUR_UNTIL,
    V_ZONES,
)

Words = NDArray[np.int64]

LOAD_PERCENT = 72
"""A table with more accounts than this share of its places grows. Probing then looks into one cache line for most accounts."""
GROWTH_PERCENT = 130
FIRST_PLACES = 4_096
FIRST_UNITS = 4_096
FIRST_WAKES = 1_024
MAX_PLACES = 1 << 31
MAX_UNITS = 1 << 31
OUTPUT_CROSSINGS = 1_024

MAX_HEAVY_CALLS = 16_383
MAX_LIGHT_CALLS = 16_383
"""Calls one account can hold in a bag; beyond, the oldest goes and is counted."""
STRANGER_PLACES = 65_536
STRANGER_CALLS = 127


HUGE_BYTES = 8 * 1024 * 1024


def zeroed(words: int) -> Words:
    """Zeroed memory, in huge pages where the system has them: with small ones every random access walks the page tables too."""
    if words * 8 < HUGE_BYTES:
        return np.zeros(words, np.int64)
    memory = mmap.mmap(-1, words * 8, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # A kernel without them says so here.
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, np.int64)


@dataclass(slots=True, kw_only=True)
class Tables:
    """One table of accounts with all it needs. `profiles` and `calendar` are derived from rules and holidays and are no state."""

    hot: Words
    arena: Words
    heap: Words
    registers: Words
    strangers: bool
    profiles: Words = field(default_factory=lambda: np.zeros(PROFILE_WORDS, np.int64))
    calendar: Words = field(default_factory=lambda: np.zeros(1, np.int64))
    zones: int = 0
    """How many words at the end of `calendar` are changes of local time."""
    out: Words = field(default_factory=lambda: np.zeros((OUTPUT_CROSSINGS + MAX_CROSSINGS_A_ROW + 1) * CROSSING_WORDS, np.int64))

    @classmethod
    def fresh(cls, *, strangers: bool, accounts: int = 0) -> "Tables":
        """Empty memory with room for so many accounts before it grows."""
        places = STRANGER_PLACES if strangers else max(FIRST_PLACES, (accounts * 101 // LOAD_PERCENT + 2) & ~1)
        units = max(FIRST_UNITS, accounts // 8)
        registers = np.zeros(REGISTERS, np.int64)
        registers[R_CAPACITY] = places
        registers[R_MAX_ACCOUNTS] = places * LOAD_PERCENT // 100
        registers[R_ARENA_UNITS] = units
        registers[R_ARENA_TOP] = 1
        registers[R_ARENA_CLASS] = 1
        registers[R_HEAP_CAPACITY] = FIRST_WAKES
        registers[R_MAX_HEAVY] = STRANGER_CALLS if strangers else MAX_HEAVY_CALLS
        registers[R_MAX_LIGHT] = STRANGER_CALLS if strangers else MAX_LIGHT_CALLS
        tables = cls(
            hot=zeroed(places * HOT_WORDS),
            arena=zeroed(units * UNIT),
            heap=np.zeros(2 * FIRST_WAKES, np.int64),
            registers=registers,
            strangers=strangers,
        )
        tables.bind()
        return tables

    def bind(self) -> None:
        """After a restore: the output is empty and the calendar unknown."""
        self.registers[R_OUT] = 0
        self.registers[R_OUT_CAPACITY] = len(self.out) // CROSSING_WORDS - 1  # The last one's words are the kernel's to scribble on.
        self.forget_calendar()

    def forget_calendar(self) -> None:
        """The cached interval of the calendar does not hold any more."""
        self.registers[R_VARIANT : R_VARIANT_UNTIL + 1] = 0
        self.registers[R_VARIANT_FROM] = 1
        self.registers[R_CALENDAR] = len(self.calendar) - self.zones
        self.registers[V_ZONES] = self.zones
        self.registers[V_HOUR_UNTIL] = 0

    def grow_table(self, kernel: Any) -> None:
        """Make room for accounts: a larger table, or for strangers the same one without the half that was silent longest."""
        old, places = self.hot, int(self.registers[R_CAPACITY])
        cut = 0
        if self.strangers:
            times = np.zeros(places, np.int64)
            count = kernel.activity(self.hot, self.arena, self.registers, times)
            cut = int(np.partition(times[:count], count // 2)[count // 2]) + 1 if count else 0
        else:
            grown = (places * GROWTH_PERCENT // 100) & ~1
            if grown > MAX_PLACES:
                raise OperatorError("A detector lane holds no more accounts; spread the slots over more lanes.", reason="lane_full")
            self.registers[R_CAPACITY] = grown
            self.registers[R_MAX_ACCOUNTS] = grown * LOAD_PERCENT // 100
        self.hot = zeroed(int(self.registers[R_CAPACITY]) * HOT_WORDS)
        kernel.copy_table(old, places, self.hot, self.arena, self.registers, cut)

    def grow_arena(self) -> None:
        """Half as much again, and at least what the largest slot may need."""
        units = int(self.registers[R_ARENA_UNITS])
        grown = max(units * 3 // 2, units + (8 << int(self.registers[R_ARENA_CLASS])))
        if grown > MAX_UNITS:
            raise OperatorError("A detector lane holds no more calls; spread the slots over more lanes.", reason="lane_full")
        larger = zeroed(grown * UNIT)
        larger[: len(self.arena)] = self.arena
        self.arena = larger
        self.registers[R_ARENA_UNITS] = grown

    def grow_heap(self) -> None:
        """Twice the wake-ups."""
        self.heap = np.concatenate((self.heap, np.zeros_like(self.heap)))
        self.registers[R_HEAP_CAPACITY] = len(self.heap) // 2

    def state(self) -> dict[str, Words]:
        """Copies of everything a verdict depends on, with scratch and caches cleared."""
        registers = self.registers.copy()
        registers[SCRATCH:] = 0
        registers[R_OUT] = registers[R_OUT_CAPACITY] = registers[R_CALENDAR] = 0
        registers[R_VARIANT : R_VARIANT_UNTIL + 1] = 0
        return {"hot": self.hot.copy(), "arena": self.arena.copy(), "heap": self.heap.copy(), "registers": registers}

    def digest(self, hasher: "hashlib.blake2b") -> None:
        """Feed the state into a hash without copying it."""
        registers = self.registers.copy()
        registers[SCRATCH:] = 0
        registers[R_OUT] = registers[R_OUT_CAPACITY] = registers[R_CALENDAR] = 0
        registers[R_VARIANT : R_VARIANT_UNTIL + 1] = 0
        for region in (self.hot, self.arena, self.heap, registers):
            hasher.update(region.data.cast("B"))
