"""From active blocks to the exact tables of an edge: which key holds which value at which instant.

Several blocks may meet in one key; the edge holds the strongest, and when that one ends, the next. `EdgeTable` keeps this up to date change
by change and by time; `project` is the same in one go, for comparison. Nothing here talks to an edge or reads a clock: a block past its
time is in no projection, whatever its state in the record says.
"""

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ringfence.enforcement.model import Block, Scope

SHARDS = tuple(f"rf_{digit:x}" for digit in range(16))
NUMBERS = "rf_num"
META = "rf_meta"
TABLES = (*SHARDS, NUMBERS)
"""Tables that hold blocks; `rf_meta` holds the epoch."""


class Place(NamedTuple):
    """One key of one table of the edge."""

    table: str
    key: str


class Held(NamedTuple):
    """What a place holds: the value as the edge stores it, and when it ends."""

    value: str
    until_ms: int


class Difference(NamedTuple):
    """What would make an edge agree."""

    missing: tuple[Place, ...]
    """To be set: absent or another value."""
    foreign: tuple[Place, ...]
    """To be deleted."""


def shard_of(key: str) -> str:
    """The table of a key of an account or source: by the first hexadecimal digit of its MD5, as the include computes it."""
    return f"rf_{hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()[0]}"


def place_of(block: Block) -> Place:
    """Where the edge looks this block up."""
    match block.scope:
        case Scope.NUMBER | Scope.RANGE:
            return Place(NUMBERS, block.value)
        case Scope.CLASS | Scope.ACCOUNT:
            key = f"a:{block.value}"
        case Scope.SOURCE:
            key = f"s:{block.value}"
        case Scope.CALL:
            raise ValueError("a call that is to be ended stands in no table")
    return Place(shard_of(key), key)


def held_for(block: Block) -> Held:
    """What the edge holds for it: `<action>|<until in epoch seconds>|<block_id>`."""
    action = f"C{block.destination_class}" if block.scope is Scope.CLASS else "all"
    return Held(f"{action}|{block.until_ms // 1000}|{block.block_id}", block.until_ms)


def project(blocks: Iterable[Block], now_ms: int) -> dict[Place, Held]:
    """The whole table at an instant."""
    strongest: dict[Place, Block] = {}
    for block in blocks:
        if block.in_force(now_ms) and block.scope is not Scope.CALL:
            place = place_of(block)
            other = strongest.get(place)
            if other is None or _strength(block) > _strength(other):
                strongest[place] = block
    return {place: held_for(block) for place, block in strongest.items()}


def differences(wanted: Mapping[Place, str], found: Mapping[Place, str]) -> Difference:
    """What must be set and deleted so that `found` becomes `wanted`; both map places to values."""
    return Difference(
        missing=tuple(place for place, value in wanted.items() if found.get(place) != value),
        foreign=tuple(place for place in found if place not in wanted),
    )


class EdgeTable:
    """The table of an edge, kept up to date. Every method that may change it returns the places that changed."""

    def __init__(self) -> None:
        self._candidates: dict[Place, dict[str, Block]] = defaultdict(dict)
        self._place_of: dict[str, Place] = {}
        self._held: dict[str, dict[str, Held]] = {table: {} for table in TABLES}
        self._ends: list[tuple[int, Place]] = []

    def __len__(self) -> int:
        return sum(len(held) for held in self._held.values())

    def put(self, block: Block, now_ms: int) -> set[Place]:
        """A block as the record holds it now, active or ended."""
        if not block.in_force(now_ms) or block.scope is Scope.CALL:
            return self.drop(block.block_id, now_ms)
        place = place_of(block)
        self._place_of[block.block_id] = place
        self._candidates[place][block.block_id] = block
        heapq.heappush(self._ends, (block.until_ms, place))
        return self._settle(place, now_ms)

    def drop(self, block_id: str, now_ms: int) -> set[Place]:
        """A block ended or left the record."""
        place = self._place_of.pop(block_id, None)
        if place is None:
            return set()
        self._candidates[place].pop(block_id, None)
        return self._settle(place, now_ms)

    def advance(self, now_ms: int) -> set[Place]:
        """Blocks reached their time: places that hold something else, or nothing, since then."""
        changed: set[Place] = set()
        while self._ends and self._ends[0][0] <= now_ms:
            _, place = heapq.heappop(self._ends)
            candidates = self._candidates.get(place, {})
            for block_id in [block_id for block_id, block in candidates.items() if not block.in_force(now_ms)]:
                del candidates[block_id]
                del self._place_of[block_id]
            changed |= self._settle(place, now_ms)
        return changed

    def next_change_ms(self) -> int | None:
        """When `advance` should be called next."""
        return self._ends[0][0] if self._ends else None

    def held(self, place: Place) -> Held | None:
        """What the edge should hold there."""
        return self._held[place.table].get(place.key)

    def of_table(self, table: str) -> dict[Place, str]:
        """All places of one table with their values."""
        return {Place(table, key): held.value for key, held in self._held[table].items()}

    def places(self) -> list[Place]:
        """All places that hold something."""
        return [Place(table, key) for table, held in self._held.items() for key in held]

    def _settle(self, place: Place, now_ms: int) -> set[Place]:
        """Choose the strongest candidate again."""
        in_force = [block for block in self._candidates.get(place, {}).values() if block.in_force(now_ms)]
        if not self._candidates.get(place):
            self._candidates.pop(place, None)
        table = self._held[place.table]
        before = table.get(place.key)
        after = held_for(max(in_force, key=_strength)) if in_force else None
        if after is None:
            table.pop(place.key, None)
        else:
            table[place.key] = after
        return {place} if before != after else set()


def _strength(block: Block) -> tuple[int, int, str]:
    """`all` before C2 before C5; of equals the one that lasts longer, then by id so that every connector chooses the same."""
    reach = 0 if block.scope is Scope.CLASS else 10
    return (reach - block.destination_class, block.until_ms, block.block_id)
