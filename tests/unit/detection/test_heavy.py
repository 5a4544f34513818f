"""The C2+ bag where the oracle's dozen calls do not reach: busy accounts, closed cost, edges, baselines that change, and moved slots."""

import random
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from ringfence.detection import kernel as compiled
from ringfence.detection.agent import built_in_rules
from ringfence.detection.engine import Crossing, Engine
from ringfence.detection.layout import (
    BAG_CALLS,
    DAY,
    HOT_SLOTS,
    HOUR,
    LARGE_LATE,
    MINUTE,
    R_CAPACITY,
    SECOND,
    SLOT_CLOSED,
    SLOT_COUNT,
    UNIT,
    Detector,
    V,
)
from ringfence.detection.rules import RuleSet, read_rules
from ringfence.telephony.columns import batch_of
from ringfence.telephony.model import AccountRow, Flag, Kind
from tests.unit.detection.oracle import Call, Values, cost, values
from tests.unit.detection.test_kernel import ACCOUNTS, EVENING

KEY = ACCOUNTS[0]
BUILT_IN = read_rules(built_in_rules())


def rules_of(text: str) -> RuleSet:
    return read_rules(f"version = 1\n{text}")


def limits(rule: str, warn: float, act: float, more: str = "") -> str:
    each = f"{{ warn = {warn}, act = {act} }}"
    return f"[rules.{rule}]\nresidential = {each}\nbusiness = {each}\ntrunk = {each}\n{more}\n"


def row(kind: Kind, at: int, call: int, **facts: Any) -> AccountRow:
    given_: dict[str, Any] = {"account_key": KEY, "destination_class": 3, "rate": 200_000, "range_key": call, "started_ms": at}
    return AccountRow(kind=kind, at_ms=at, received_ms=at, call_key=call, **{**given_, **facts})


def wire(call: int, start: int, answered: int, ended: int, **facts: Any) -> list[AccountRow]:
    rows = [row(Kind.ATTEMPT, start, call, **facts)]
    if answered:
        rows.append(row(Kind.ANSWER, answered, call, started_ms=start, answered_ms=answered, **facts))
    if ended:
        rows.append(row(Kind.END, ended, call, started_ms=start, answered_ms=answered, ended_ms=ended, **facts))
    return rows


def fed(engine: Engine, rows: Iterable[AccountRow], until: int = 0) -> list[Crossing]:
    found = []
    for sequence, each in enumerate(rows, start=1):
        found += engine.feed(batch_of([each]), sequence)
    return found + (engine.tick(until) if until else [])


def slot_of_account(engine: Engine) -> int:
    tables = engine._tables[0]
    word = compiled._find(tables.hot.ctypes.data, int(tables.registers[R_CAPACITY]), KEY)
    return int(tables.hot[word + HOT_SLOTS]) & 0xFFFFFFFF


def scanned(engine: Engine, at: int) -> Values:
    """Values of the account as the kernel sees them at an instant."""
    tables, slot = engine._tables[0], slot_of_account(engine)
    compiled._recall(tables.arena.ctypes.data, tables.registers.ctypes.data, slot, KEY)
    compiled._scan_heavy(tables.arena.ctypes.data, tables.registers.ctypes.data, slot, at)
    return {detector: int(tables.registers[V + detector]) for detector in Detector}


def header(engine: Engine, word: int) -> int:
    return int(engine._tables[0].arena[slot_of_account(engine) * UNIT + word])


def calls_of(rows: Iterable[AccountRow]) -> list[Call]:
    """The join of live rows, as the kernel promises it."""
    known: dict[int, Call] = {}
    for each in rows:
        facts = (each.rate, each.connect_micro, each.destination_class, (each.range_key, each.number_tail), each.country, 0)
        mine = known.setdefault(each.call_key, Call(each.call_key, each.started_ms, 0, 0, False, *facts, bool(each.flags & Flag.FORWARDED)))
        mine.answer = mine.answer or each.answered_ms
        if each.ended_ms:
            mine.end, mine.known = each.ended_ms, True
    return list(known.values())


def busy(seed: int) -> list[AccountRow]:
    """A hundred and more calls over thirty hours, bursts and silences, some hours long, in the order of their rows."""
    chance = random.Random(seed)
    rows = []
    at = EVENING
    for number in range(1, 160):
        at += chance.choice([SECOND, SECOND, 20 * SECOND, MINUTE, 7 * MINUTE, 40 * MINUTE])
        answered = at + chance.choice([0, 1, 5 * SECOND]) if chance.randrange(5) else 0
        length = chance.choice([0, 1, SECOND, 15 * MINUTE - 1, 15 * MINUTE, 15 * MINUTE + 1, 40 * MINUTE, 3 * HOUR])
        rows += wire(
            number,
            at,
            answered,
            (answered or at) + length,
            rate=chance.choice([60_000, 60_001, 700_000]),
            connect_micro=chance.choice([0, 90_000]),
            destination_class=chance.choice([2, 3, 4]),
            range_key=chance.choice([1, 2]),
            number_tail=chance.choice([1, 2]),
        )
    return sorted(rows, key=lambda each: each.at_ms)


@pytest.mark.parametrize("seed", range(3))
def test_closed_cost_changes_no_value_at_any_instant_that_is_judged(seed: int) -> None:
    chance = random.Random(seed)
    rows = busy(seed)
    engine = Engine(BUILT_IN, time_zone="Europe/Berlin")
    fewest = len(rows)
    for place, each in enumerate(rows):
        engine.feed(batch_of([each]), place + 1)
        if chance.randrange(12) == 0:
            known = calls_of(rows[: place + 1])
            for at in (each.at_ms, each.at_ms - chance.randrange(LARGE_LATE)):
                expected = values(known, at)
                found = scanned(engine, at)
                assert {detector: found[detector] for detector in expected} == expected
            assert engine.measure(KEY)[1] == cost(known, each.at_ms, DAY, 0) // MINUTE
            fewest = min(fewest, (header(engine, SLOT_COUNT) & 0xFFFFFFFF) - len(known)) if header(engine, SLOT_CLOSED) else fewest
    assert fewest < -20, "no account was busy enough"


def test_a_busy_account_holds_an_hour_of_calls_and_a_day_of_cost_and_gives_all_back() -> None:
    engine = Engine(BUILT_IN, time_zone="Europe/Berlin")
    generator = np.random.default_rng(5)
    starts = np.sort(generator.integers(0, 30 * HOUR, 4_000)) + EVENING
    rows = sorted(
        (each for n, at in enumerate(starts.tolist(), 1) for each in wire(n, at, at + 9, at + MINUTE)), key=lambda each: each.at_ms
    )
    for sequence, first in enumerate(range(0, len(rows), 100), start=1):
        engine.feed(batch_of(rows[first : first + 100]), sequence)
    assert BAG_CALLS < header(engine, SLOT_COUNT) & 0xFFFFFFFF < 300
    assert header(engine, SLOT_CLOSED)
    now = engine.now_ms
    assert engine.measure(KEY)[1] == cost(calls_of(rows), now, DAY, 0) // MINUTE
    restored = Engine.restore(engine.state())
    assert restored.measure(KEY) == engine.measure(KEY)
    assert restored.state_hash() == engine.state_hash()
    for hour in range(1, 60):
        engine.tick(now + hour * HOUR)
    assert engine.figures()["arena_bytes"] == 0
