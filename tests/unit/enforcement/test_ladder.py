"""60 minutes, a day, a person."""

from msgspec.structs import replace

from ringfence.enforcement.ladder import MEMORY_MS, Ladder
from ringfence.enforcement.model import Block
from tests.unit.enforcement.samples import DAY_MS, HOUR_MS, NOW_MS, block

LADDER = Ladder()


def past(number: int, *, ago_ms: int, hits: int = 1, state: str = "expired", author: str = "rule:D02@1") -> Block:
    made = block(block_id=f"b-{number}", imposed_ms=NOW_MS - ago_ms, until_ms=NOW_MS - ago_ms + HOUR_MS, author=author)
    return replace(made, state=state, hits=hits)


def test_the_rungs() -> None:
    first = LADDER.next_step([], NOW_MS)
    assert (first.hits, first.duration_ms, first.needs_person) == (1, HOUR_MS, False)
    second = LADDER.next_step([past(1, ago_ms=DAY_MS)], NOW_MS)
    assert (second.hits, second.duration_ms, second.needs_person) == (2, DAY_MS, False)
    third = LADDER.next_step([past(1, ago_ms=2 * DAY_MS), past(2, ago_ms=DAY_MS, hits=2)], NOW_MS)
    assert (third.hits, third.duration_ms, third.needs_person) == (3, DAY_MS, True)


def test_what_a_person_lifted_imposed_or_what_is_long_ago_counts_nothing() -> None:
    history = [
        past(1, ago_ms=DAY_MS, state="lifted"),
        past(2, ago_ms=DAY_MS, author="anna"),
        past(3, ago_ms=MEMORY_MS),
    ]
    assert LADDER.next_step(history, NOW_MS).hits == 1


def test_a_weaker_block_in_force_is_the_same_hit() -> None:
    in_force = replace(block(until_ms=NOW_MS + 1), hits=2)
    step = LADDER.next_step([past(1, ago_ms=DAY_MS), in_force], NOW_MS)
    assert (step.hits, step.needs_person) == (2, False)


def test_two_blocks_of_one_hit_are_one_rung_when_both_are_over() -> None:
    both = [past(1, ago_ms=2 * HOUR_MS), past(2, ago_ms=2 * HOUR_MS - 60_000)]
    assert LADDER.next_step(both, NOW_MS).hits == 2
