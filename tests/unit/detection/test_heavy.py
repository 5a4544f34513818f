"""The C2+ bag where the oracle's dozen calls do not reach: busy accounts, closed cost, edges, baselines that change, and moved slots."""

import random
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest

from ringfence.detection import kernel as compiled
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
from ringfence.detection.offhours import month_end
from ringfence.detection.rules import RuleSet, read_rules
from ringfence.telephony.columns import batch_of
from ringfence.telephony.control import AccountBaseline, AccountChanged, BaselinesChanged
from ringfence.telephony.model import AccountRow, Flag, Kind, account_slot
from tests.unit.detection.oracle import Call, Oracle, Values, cost, cost_since, values
from tests.unit.detection.published import published_rules
from tests.unit.detection.test_kernel import ACCOUNTS, BERLIN, EVENING, told

pytestmark = pytest.mark.timeout(400)  # The first test of a process may compile the kernel, on a busy machine.

KEY = ACCOUNTS[0]
BUILT_IN = read_rules(published_rules())


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


def only(rules: RuleSet, rows: Iterable[AccountRow], until: int = 0) -> list[tuple[Detector, int, int]]:
    engine = Engine(rules, time_zone="Europe/Berlin")
    return [(each.detector, each.level, each.at_ms - EVENING) for each in fed(engine, rows, until)]


@pytest.mark.parametrize(
    ("hours", "limit", "minutes"),
    [
        pytest.param(2, "7.29", 117, id="all of a call with its fee"),
        pytest.param(30, "86.58", 1_440, id="a day and the look ahead"),
    ],
)
def test_a_day_is_reached_at_the_very_most_that_a_running_call_can_cost(hours: int, limit: str, minutes: int) -> None:
    known = row(Kind.CALL, EVENING, 1, destination_class=2, rate=60_000, connect_micro=90_000 if hours < 24 else 0, answered_ms=EVENING)
    known = msgspec.structs.replace(known, ended_ms=EVENING + hours * HOUR)
    rules = rules_of(limits("D03", float(limit), 1_000))
    assert only(rules, [known], EVENING + 40 * HOUR) == [(Detector.D03, 1, minutes * MINUTE)]


def test_a_fee_counts_for_an_hour_and_not_a_millisecond_longer() -> None:
    engine = Engine(BUILT_IN)
    fed(engine, wire(1, EVENING, EVENING, EVENING + 1, connect_micro=90_000, rate=0), EVENING + HOUR)
    assert scanned(engine, EVENING + HOUR - 1)[Detector.D02] == 90_000 * MINUTE
    assert scanned(engine, EVENING + HOUR)[Detector.D02] == 0


def test_a_call_is_kept_for_twenty_five_hours_after_its_end_and_not_a_millisecond_longer() -> None:
    for late, kept in ((DAY + HOUR - 1, 2), (DAY + HOUR, 1)):
        engine = Engine(BUILT_IN)
        end = EVENING + MINUTE
        fed(engine, [*wire(1, EVENING, EVENING, end), row(Kind.ATTEMPT, end + late, 2)])
        assert header(engine, SLOT_COUNT) & 0xFFFFFFFF == kept


def test_an_answer_later_than_the_end_that_is_known_costs_its_fee_and_no_minute() -> None:
    engine = Engine(BUILT_IN)
    end = EVENING + 10 * SECOND
    rows = wire(1, EVENING, 0, end, connect_micro=90_000)
    fed(engine, [*rows, row(Kind.ANSWER, end + MINUTE, 1, started_ms=EVENING, answered_ms=end + MINUTE, connect_micro=90_000)])
    assert engine.measure(KEY) == (0, 90_000)
    assert scanned(engine, end + MINUTE)[Detector.D18] == 0
    assert scanned(engine, end + HOUR - 1)[Detector.D02] == 90_000 * MINUTE
    assert scanned(engine, end + HOUR)[Detector.D02] == 0, "the fee belongs to the end, as the answer cannot be later"


@pytest.mark.parametrize("order", [(1, 2, 3, 4), (4, 3, 2, 1), (2, 4, 1, 3)])
def test_of_attempts_at_one_instant_the_highest_call_key_is_the_latest(order: tuple[int, ...]) -> None:
    engine = Engine(BUILT_IN)
    # Calls 1 and 2 go to one range, 3 to another, 4 to the first range again: the range of call 4 is counted.
    fed(engine, [row(Kind.ATTEMPT, EVENING, call, range_key=9 if call == 3 else 7, number_tail=call) for call in order])
    assert scanned(engine, EVENING)[Detector.D14] == 3


def test_an_end_that_arms_a_detector_lets_a_running_call_raise_it_again() -> None:
    dear = {"destination_class": 4}
    rows = sorted(
        [
            *wire(1, EVENING, EVENING, EVENING + 330 * SECOND, **dear),
            *wire(2, EVENING + 310 * SECOND, EVENING + 320 * SECOND, 0, **dear),
            *wire(3, EVENING + 240 * SECOND, EVENING + 240 * SECOND, EVENING + 360 * SECOND, destination_class=2),
        ],
        key=lambda each: each.at_ms,
    )
    found = only(rules_of(limits("D17", 5, 12)), rows, EVENING + 11 * MINUTE)
    assert found == [(Detector.D17, 1, 300 * SECOND), (Detector.D17, 1, 620 * SECOND)]


def test_an_exempt_account_is_judged_when_that_ends() -> None:
    engine = Engine(rules_of(limits("D17", 5, 12)))
    engine.control(AccountChanged(account="a", account_key=KEY, slot=0, exempt_until_ms=EVENING + 7 * MINUTE))
    found = fed(engine, wire(1, EVENING, EVENING, 0, destination_class=4), EVENING + 9 * MINUTE)
    assert [(each.detector, each.at_ms) for each in found] == [(Detector.D17, EVENING + 7 * MINUTE)]


# Baselines


def baseline(**facts: Any) -> AccountBaseline:
    plain = {"month_micro": 0, "highest_month_micro": 0, "day_median_micro": 0, "day_mad_micro": 0, "countries": (), "bins": ()}
    return AccountBaseline(**{"account_key": KEY, **plain, **facts})


def baselines(version: int, *accounts: AccountBaseline, **facts: Any) -> BaselinesChanged:
    plain = {"since_ms": EVENING - 84 * DAY, "month_ms": EVENING - 5 * DAY, "until_ms": EVENING}
    return BaselinesChanged(version=version, slot=account_slot(KEY), accounts=accounts, **{**plain, **facts})


def test_the_month_counts_what_left_the_bag_and_new_baselines_begin_anew() -> None:
    rows = busy(3)
    engine = Engine(BUILT_IN, time_zone="Europe/Berlin")
    engine.control(baselines(1, baseline(month_micro=7_000_000)))
    half = len(rows) // 2
    fed(engine, rows[:half])
    at = engine.now_ms
    assert header(engine, SLOT_CLOSED)
    assert scanned(engine, at)[Detector.D04] == 7_000_000 * MINUTE + cost_since(calls_of(rows[:half]), at, EVENING)
    until = at - 3 * HOUR - 17
    engine.control(baselines(2, baseline(month_micro=9_000_000), until_ms=until))
    assert scanned(engine, at)[Detector.D04] == 9_000_000 * MINUTE + cost_since(calls_of(rows[:half]), at, until)
    copy = Engine.restore(engine.state())
    for each in (engine, copy):
        fed(each, rows[half:], rows[-1].at_ms + 30 * HOUR)
        at = each.now_ms
        each.feed(batch_of([row(Kind.ATTEMPT, at, 10**9)]), 10**6)
        assert scanned(each, at)[Detector.D04] == 9_000_000 * MINUTE + cost_since(calls_of(rows), at, until)
    assert copy.state_hash() == engine.state_hash()


def test_a_version_that_is_not_newer_changes_nothing_and_a_slot_is_replaced_whole() -> None:
    engine = Engine(BUILT_IN)
    engine.control(baselines(5, baseline(month_micro=5)))
    empty = engine.figures()["arena_bytes"]
    fed(engine, [row(Kind.ATTEMPT, EVENING, 1)])
    before = engine.state_hash()
    engine.control(baselines(5, baseline(month_micro=6)))
    engine.control(baselines(4))
    assert engine.state_hash() == before
    others = tuple(baseline(account_key=KEY ^ (number << 40)) for number in range(1, 400))
    engine.control(baselines(6, *others, baseline(month_micro=7)))
    assert scanned(engine, EVENING)[Detector.D04] == 7 * MINUTE
    per_account = (engine.figures()["arena_bytes"] - empty) / 400
    assert per_account < 2 * (64 + 12), "records of 64 bytes and their places, in a slot of the next power of two"
    engine.control(baselines(7))
    assert scanned(engine, EVENING)[Detector.D04] == 0
    assert engine.figures()["arena_bytes"] <= empty + 256


@pytest.mark.parametrize(
    ("facts", "accounts", "since_ms", "signals"),
    [
        pytest.param({}, (baseline(countries=(1, 2, 3, 4, 5)),), 0, 1, id="a country that is not among those called"),
        pytest.param({}, (baseline(countries=(1, 2, 3, 4, 0xFFFE)),), 0, 0, id="one of those called"),
        pytest.param({}, (), 0, 1, id="an account that never called abroad"),
        pytest.param({}, (), EVENING - 59 * DAY, 0, id="a young account that never called abroad"),
        pytest.param({"since_ms": EVENING - 59 * DAY}, (baseline(),), 0, 0, id="a short history"),
    ],
)
def test_the_first_call_ever_to_a_dear_country_is_a_signal(
    facts: dict[str, int], accounts: tuple[AccountBaseline, ...], since_ms: int, signals: int
) -> None:
    engine = Engine(BUILT_IN)
    engine.control(AccountChanged(account="a", account_key=KEY, slot=0, segment="business", since_ms=since_ms))
    engine.control(baselines(1, *accounts, **facts))
    rows = [row(Kind.ATTEMPT, EVENING + n * HOUR, n + 1, country=0xFFFE, destination_class=4, number_tail=n) for n in range(3)]
    found = [each for each in fed(engine, rows) if each.detector is Detector.D19]
    assert [(each.level, each.score) for each in found] == [(0, 10)] * signals


# Calendars and clocks


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns"])
def test_hours_of_the_week_are_local_through_every_change_of_the_clock(zone: str) -> None:
    engine = Engine(BUILT_IN, time_zone=zone)
    engine.tick(EVENING)
    registers, calendar = (words.ctypes.data for words in (engine._tables[0].registers, engine._tables[0].calendar))
    for at in range(EVENING - DAY, EVENING + 380 * DAY, 29 * MINUTE + 59_999):
        local = datetime.fromtimestamp(at / 1_000, ZoneInfo(zone))
        assert compiled._hour_of_week(registers, calendar, at) == local.weekday() * 24 + local.hour


@pytest.mark.parametrize(
    ("begins", "ends"),
    [
        ("2027-01-31T00:00", "2027-02-28T00:00"),
        ("2028-01-31T00:00", "2028-02-29T00:00"),
        ("2028-02-29T00:00", "2028-03-29T00:00"),
        ("2026-03-01T00:00", "2026-04-01T00:00"),
        ("2026-12-01T00:00", "2027-01-01T00:00"),
        ("2026-11-30T12:00", "2026-12-30T12:00"),
    ],
)
def test_a_billing_month_ends_on_the_same_day_of_the_next_or_on_its_last(begins: str, ends: str) -> None:
    start, end = (int(datetime.fromisoformat(each).replace(tzinfo=BERLIN).timestamp() * 1_000) for each in (begins, ends))
    assert month_end(start, BERLIN) == end


@pytest.mark.parametrize(
    "turn",
    [
        pytest.param("2026-10-25T03:00+02:00", id="the clock goes back"),
        pytest.param("2027-03-28T02:00+01:00", id="the clock goes forward"),
        pytest.param("2028-02-29T00:00+01:00", id="a leap day begins"),
        pytest.param("2027-02-01T00:00+01:00", id="a billing month ends"),
        pytest.param("", id="the 32-bit milliseconds start again"),
    ],
)
def test_nothing_is_lost_or_invented_when_a_clock_turns(turn: str) -> None:
    middle = int(datetime.fromisoformat(turn).timestamp() * 1_000) if turn else (EVENING // 2**32 + 1) * 2**32
    chance = random.Random(turn)
    rows = []
    for call in range(1, 9):
        start = middle - 12 * MINUTE + chance.randrange(20) * MINUTE
        answered = start + 2 * SECOND
        rows += wire(
            call, start, answered, answered + chance.choice([2 * SECOND, 5 * MINUTE, 18 * MINUTE]), destination_class=4, rate=600_000
        )
    rows.sort(key=lambda each: each.at_ms)
    local = datetime.fromtimestamp(middle / 1_000, BERLIN)
    hour = local.weekday() * 24 + local.hour
    record = baselines(
        1,
        baseline(
            highest_month_micro=4_000_000, month_micro=2_000_000, bins=((hour, 3_000_000, 1_000_000), ((hour - 1) % 168, 9_000_000, 0))
        ),
        month_ms=int(datetime(2027, 1, 1, tzinfo=BERLIN).timestamp() * 1_000) if "02-01" in turn else middle - 9 * DAY,
        since_ms=middle - 80 * DAY,
        until_ms=middle - HOUR,
    )
    factors = limits("D04", 1.1, 3, "floor = 1") + limits("D20", 1.5, 3, "floor = 1\noff_hours = 60")
    rules = rules_of(factors + "".join(limits(f"D{n:02}", 2, 4, "off_hours = 50") for n in (1, 2, 3, 6, 8, 9, 13, 16, 17, 18, 21, 22)))
    engine, oracle = Engine(rules, time_zone="Europe/Berlin"), Oracle(rules, BERLIN)
    engine.control(record)
    oracle.baselines(record)
    for place, each in enumerate(rows):
        oracle.row(each, place)
    found = [told(each)[:7] for each in fed(engine, rows)]
    assert found == [verdict[:7] for verdict in oracle.crossings]
    assert len({each[0] for each in found}) > 6


def test_slots_moved_between_lanes_give_every_account_the_same_crossings() -> None:
    generator = random.Random(11)
    keys = [generator.randrange(-(2**63), 2**63) for _ in range(40)]
    rows: list[AccountRow] = []
    for call in range(1, 700):
        start = EVENING + generator.randrange(3 * HOUR)
        length = generator.choice([SECOND, MINUTE, 20 * MINUTE])
        level = generator.choice([1, 2, 3, 4, 5])
        rows += wire(call, start, start + SECOND, start + SECOND + length, account_key=generator.choice(keys), destination_class=level)
    rows.sort(key=lambda each: each.at_ms)

    def judged(lanes: int) -> dict[int, list[tuple[Any, ...]]]:
        engines = [Engine(BUILT_IN, time_zone="Europe/Berlin") for _ in range(lanes)]
        found: dict[int, list[tuple[Any, ...]]] = {}
        for sequence, first in enumerate(range(0, len(rows), 50), start=1):
            for lane, engine in enumerate(engines):
                part = [each for each in rows[first : first + 50] if account_slot(each.account_key) * lanes // 1_024 == lane]
                crossings = engine.feed(batch_of(part), sequence) if part else []
                for each in crossings + engine.tick(rows[min(first + 50, len(rows)) - 1].at_ms):
                    found.setdefault(each.account_key, []).append(told(each))
        return found

    alone = judged(1)
    assert len(alone) > 20
    assert judged(2) == judged(7) == alone
