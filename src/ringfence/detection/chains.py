"""Memory of the range view's kernel: a table of keys and a ring of their entries, made, grown and cut.

Callers choose the keys (a number is free to dial, a caller's number free to invent), so both regions have a largest size. A full table
first forgets keys whose history is over, then grows, and at its largest forgets the half that was silent longest in event time. A full ring
grows, and at its largest pushes the oldest entries out. All of it happens before the row that needs it, so replicas do it alike.
"""

from typing import Final

import numpy as np

from ringfence.detection import kernel_range as kernel
from ringfence.detection.kernel_range import ENTRY, KEY, LAST, R_FORCE, R_KEYS, R_KEYS_GONE, R_MAX_KEYS, R_NEXT, RECORD
from ringfence.detection.layout import DAY, NEVER
from ringfence.detection.tables import Words

LOAD_PERCENT: Final = 70
FIRST_KEYS: Final = 4_096
FIRST_ENTRIES: Final = 4_096
REMEMBERED_DAYS: Final = 31
"""A range that nobody called for so long has no history that counts."""


class Chains:
    """`table`, `ring` and `registers` for the kernel. Sizes are powers of two; `history`: silent keys keep their place for a month."""

    __slots__ = ("history", "max_entries", "max_keys", "registers", "ring", "table")

    def __init__(self, *, max_keys: int, max_entries: int, history: bool) -> None:
        self.max_keys = max_keys
        self.max_entries = max_entries
        self.history = history
        self.table: Words = np.zeros((min(FIRST_KEYS, max_keys), RECORD), np.int64)
        self.ring: Words = np.zeros((min(FIRST_ENTRIES, max_entries), ENTRY), np.int64)
        self.registers: Words = np.zeros(kernel.REGISTERS, np.int64)
        self.registers[R_NEXT] = self.registers[kernel.R_OLDEST] = 1
        self._measure()

    def make_room(self, now_ms: int) -> None:
        """What the kernel asked for in R_STATUS."""
        status = int(self.registers[kernel.R_STATUS])
        if status == kernel.TABLE_FULL:
            self._make_keys(now_ms)
        elif status == kernel.RING_FULL:
            self._make_entries()

    def nbytes(self) -> int:
        """Size of both regions."""
        return self.table.nbytes + self.ring.nbytes

    def arrays(self) -> dict[str, Words]:
        """Copies for a snapshot."""
        return {"table": self.table.copy(), "ring": self.ring.copy(), "registers": self.registers.copy()}

    def adopt(self, table: Words, ring: Words, registers: Words) -> None:
        """Go on with these regions; they become its own."""
        self.table, self.ring, self.registers = table, ring, registers

    def _measure(self) -> None:
        self.registers[R_MAX_KEYS] = len(self.table) * LOAD_PERCENT // 100
        self.registers[R_FORCE] = int(len(self.ring) >= self.max_entries)

    def _make_keys(self, now_ms: int) -> None:
        held = int(self.registers[R_KEYS])
        over = now_ms - REMEMBERED_DAYS * DAY if self.history else NEVER
        self._rebuild(len(self.table), over, idle=True)
        if int(self.registers[R_KEYS]) > held // 2:
            if len(self.table) < self.max_keys:
                self._rebuild(len(self.table) * 2, -NEVER, idle=False)
            else:
                used = self.table[self.table[:, KEY] != 0, LAST]
                self._rebuild(len(self.table), int(np.partition(used, len(used) // 2)[len(used) // 2]) + 1, idle=False)
                self.registers[R_KEYS_GONE] += len(used) - int(self.registers[R_KEYS])

    def _rebuild(self, places: int, cut: int, *, idle: bool) -> None:
        larger: Words = np.zeros((places, RECORD), np.int64)
        kernel.copy_keys(self.table, larger, self.registers, cut, idle)
        self.table = larger
        self._measure()

    def _make_entries(self) -> None:
        larger: Words = np.zeros((min(len(self.ring) * 2, self.max_entries), ENTRY), np.int64)
        kernel.copy_ring(self.ring, larger, self.registers)
        self.ring = larger
        self._measure()
