"""The memory of account takeover: made, grown, copied, compared.

As `tables` does for the kernel: growth happens where the kernel stopped, before a row, so at the same row in every replica. The table of
strangers (accounts that an agent without a key names, so anybody can invent them) never grows; the half that was silent longest goes.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ringfence.base.errors import OperatorError
from ringfence.detection.identity_layout import (
    EVENT,
    HOT,
    MAX_CLASS,
    OUTPUT_EVENTS,
    R_ACCOUNTS,
    R_ARENA_TOP,
    R_ARENA_UNITS,
    R_CAPACITY,
    R_MAX_ACCOUNTS,
    R_OUT,
    R_STATUS,
    REGISTERS,
    UNIT,
    Status,
)
from ringfence.detection.tables import Words, zeroed

LOAD_PERCENT = 80
GROWTH_PERCENT = 130
FIRST_PLACES = 4_096
FIRST_UNITS = 4_096
MAX_PLACES = 1 << 31
MAX_UNITS = 1 << 31
STRANGER_PLACES = 65_536
REGIONS = ("hot", "arena", "registers")


@dataclass(slots=True, kw_only=True)
class IdentityTables:
    """One table of accounts with its arena. `out` is scratch."""

    hot: Words
    arena: Words
    registers: Words
    strangers: bool
    out: Words = field(default_factory=lambda: np.zeros(OUTPUT_EVENTS * EVENT, np.int64))

    @classmethod
    def fresh(cls, *, strangers: bool, accounts: int = 0) -> "IdentityTables":
        """Empty memory with room for so many accounts before it grows."""
        places = STRANGER_PLACES if strangers else max(FIRST_PLACES, (accounts * 101 // LOAD_PERCENT + 4) & ~3)
        registers = np.zeros(REGISTERS, np.int64)
        registers[R_CAPACITY] = places
        registers[R_MAX_ACCOUNTS] = places * LOAD_PERCENT // 100
        registers[R_ARENA_UNITS] = FIRST_UNITS
        registers[R_ARENA_TOP] = 1
        return cls(hot=zeroed(places * HOT), arena=zeroed(FIRST_UNITS * UNIT), registers=registers, strangers=strangers)

    def make_room(self, kernel: Any, status: int) -> None:
        """Room for what the kernel stopped for."""
        if status == Status.TABLE_FULL:
            self.grow_table(kernel)
        elif status == Status.ARENA_FULL:
            self._grow_arena()

    def grow_table(self, kernel: Any) -> None:
        """A larger table; for strangers the same one without the half that was silent longest."""
        old, places = self.hot, int(self.registers[R_CAPACITY])
        cut = 0
        if self.strangers:
            times = np.zeros(places, np.int64)
            count = kernel.activity(self.hot, self.arena, self.registers, times)
            cut = int(np.partition(times[:count], count // 2)[count // 2]) + 1 if count else 0
        else:
            grown = (places * GROWTH_PERCENT // 100) & ~3
            if grown > MAX_PLACES:
                raise OperatorError("A detector lane holds no more accounts; spread the slots over more lanes.", reason="lane_full")
            self.registers[R_CAPACITY] = grown
            self.registers[R_MAX_ACCOUNTS] = grown * LOAD_PERCENT // 100
        self.hot = zeroed(int(self.registers[R_CAPACITY]) * HOT)
        kernel.copy_table(old, places, self.hot, self.arena, self.registers, cut)

    def _grow_arena(self) -> None:
        units = int(self.registers[R_ARENA_UNITS])
        grown = max(units * 3 // 2, units + (8 << MAX_CLASS))
        if grown > MAX_UNITS:
            raise OperatorError("A detector lane holds no more networks; spread the slots over more lanes.", reason="lane_full")
        larger = zeroed(grown * UNIT)
        larger[: len(self.arena)] = self.arena
        self.arena = larger
        self.registers[R_ARENA_UNITS] = grown

    @property
    def accounts(self) -> int:
        """Accounts in memory."""
        return int(self.registers[R_ACCOUNTS])

    @property
    def nbytes(self) -> int:
        """Bytes of the state."""
        return int(self.hot.nbytes + self.arena.nbytes + self.registers.nbytes)

    def state(self) -> dict[str, Words]:
        """Copies of everything a verdict depends on."""
        return {"hot": self.hot.copy(), "arena": self.arena.copy(), "registers": self._registers()}

    @classmethod
    def of(cls, arrays: Mapping[str, Words], prefix: str, *, strangers: bool) -> "IdentityTables":
        """Memory as it was when its state was taken; the arrays become its own."""
        return cls(strangers=strangers, **{region: arrays[f"{prefix}.{region}"] for region in REGIONS})

    def digest(self, hasher: "hashlib.blake2b") -> None:
        """Feed the state into a hash without copying it."""
        for region in (self.hot, self.arena, self._registers()):
            hasher.update(region.data.cast("B"))

    def _registers(self) -> Words:
        registers = self.registers.copy()
        registers[R_OUT] = registers[R_STATUS] = 0
        return registers
