"""How long an automatic block lasts: short first, a day at the second hit; from the third on a person decides about another day.

A block that a person lifted was wrong and counts as no hit. An active weaker block of the same value is the same hit, not the next.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ringfence.enforcement.model import DAY_MS, HOUR_MS, Block

MEMORY_MS = 30 * DAY_MS
"""A hit is forgotten after this long; ended blocks leave the record then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A rung: how many hits with this one, how long, and whether a person must decide."""

    hits: int
    duration_ms: int
    needs_person: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Durations of the first and the second rung; the third repeats the second and needs a person, and the first bridges the wait."""

    first_ms: int = HOUR_MS
    second_ms: int = DAY_MS

    def next_step(self, past: Iterable[Block], now_ms: int) -> Step:
        """The rung for one more block, given all blocks of the same scope and value."""
        reached, current = 0, 0
        for block in past:
            if not block.origin.startswith("rule:") or block.state == "lifted" or block.imposed_ms <= now_ms - MEMORY_MS:
                continue
            # By the rung that each stands on, not by their number: a weaker block that a stronger one followed was one hit with it.
            reached = max(reached, block.hits)
            if block.in_force(now_ms):
                current = max(current, block.hits)
        hits = current or reached + 1
        return Step(hits=hits, duration_ms=self.first_ms if hits == 1 else self.second_ms, needs_person=hits > 2)
