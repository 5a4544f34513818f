"""N01 and N02 against plain lists, over any cutting of the log; memory under invented keys; the sentences."""

import hashlib
import random
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.detection.engine import EngineState
from ringfence.detection.findings import ACT, WARN, Finding
from ringfence.detection.layout import DAY, HOUR, MINUTE, SECOND
from ringfence.detection.ranges import RULES, RangeEngine
from ringfence.detection.rules import RuleSet, read_rules
from ringfence.detection.wangiri import MAX_FLAGGED, Baits
from ringfence.telephony.columns import NUMERIC, TEXT, RowBatch, batch_of
from ringfence.telephony.control import RuleSetChanged
from ringfence.telephony.model import AccountRow, Flag, Kind, NetworkKind, country_code
from ringfence.telephony.suspicion import Measure
from tests.unit.detection.range_oracle import InboundOracle, RangeOracle

MONDAY = 1_790_000_000_000 // DAY * DAY + 9 * HOUR


def rule_set(**changed: Any) -> RuleSet:
    """N01 and N02 with other parameters; the rest as in the book."""
    lines = ["version = 3"]
    for spec in RULES:
        lines.append(f"[rules.{spec.rule}]")
        lines += [f"{each.name} = {changed.get(f'{spec.rule}_{each.name}', each.default)}" for each in spec.parameters]
    return read_rules("\n".join(lines))


RULES_NOW = rule_set(N01_learn_days=0)


def call(at_ms: int, account: int, number: str = "+23276123456", **more: Any) -> AccountRow:
    fields: dict[str, Any] = {
        "kind": int(Kind.ATTEMPT),
        "at_ms": at_ms,
        "received_ms": at_ms,
        "account": f"a{account}",
        "account_key": account,
        "call_id": f"c{account}-{at_ms}",
        "call_key": account * 2**32 + at_ms % 2**32,
        "callee": number,
        "range_key": int(number[1:-3]),
        "number_tail": int(number[-3:]),
        "country": country_code("SL"),
        "destination_class": 4,
    }
    return AccountRow(**{**fields, **more})


def ring(at_ms: int, mark: int, caller: str = "+37122334455", **more: Any) -> AccountRow:
    fields: dict[str, Any] = {
        "kind": int(Kind.INBOUND),
        "account": "a1",
        "account_key": 1,
        "caller": caller,
        "callee": "+4930111222",
        "range_key": int(caller[1:-3]),
        "number_tail": int(caller[-3:]),
        "call_id": f"in-{mark}",
        "call_key": mark,
        "ring_seconds": 2,
    }
    return AccountRow(at_ms=at_ms, received_ms=at_ms, **{**fields, **more})


def feed(engine: RangeEngine, rows: Sequence[AccountRow], size: int = 4_096, first: int = 1) -> list[Finding]:
    found = []
    for number, start in enumerate(range(0, len(rows), size)):
        found += engine.feed(batch_of(rows[start : start + size]), first + number)
    return found


def state_hash(engine: RangeEngine) -> str:
    """Without row references, which depend on the batches."""
    state = engine.state()
    hasher = hashlib.blake2b(msgspec.json.encode(plain(state.scalars), order="deterministic"))
    for name, words in sorted(state.arrays.items()):
        kept = words.copy()
        if name.endswith(".ring"):
            kept[:, 3] = 0
        hasher.update(name.encode() + kept.tobytes())
    return hasher.hexdigest()


def plain(scalars: Any) -> Any:
    return {**scalars, "baits": [{**bait, "refs": len(bait["refs"])} for bait in scalars["baits"]]}


def told(findings: Sequence[Finding]) -> list[tuple[Any, ...]]:
    return [(f.rule, f.level, f.subject, f.at_ms, f.observed, f.warn, f.act, f.reason, f.opening_call_id, len(f.refs)) for f in findings]


# N01


def some_calls() -> st.SearchStrategy[list[AccountRow]]:
    step = st.sampled_from([0, 1, 900, 20 * SECOND, 4 * MINUTE, 11 * MINUTE, 30 * MINUTE, 50 * MINUTE, HOUR, 61 * MINUTE, 9 * HOUR, DAY])
    late = st.sampled_from([0, 0, 0, 1, 1_999, 2_000, 2_001, 40 * SECOND, 5 * MINUTE - 1, 5 * MINUTE])
    one = st.tuples(step, late, st.integers(1, 7), st.integers(1, 2), st.booleans())

    return st.lists(one, min_size=1, max_size=120).map(made_of)


def made_of(steps: Sequence[tuple[int, int, int, int, bool]]) -> list[AccountRow]:
    made, now = [], MONDAY
    for forward, back, account, number, home in steps:
        now += forward
        own = {"network_kind": int(NetworkKind.OWN_POOL), "source_key": 7_000 + account // 2} if home else {}
        made.append(call(now - back, account, f"+2327612{number}456", **own))
    return made


def expected_of(rows: Sequence[AccountRow], oracle: RangeOracle) -> list[tuple[Any, ...]]:
    expected: list[tuple[Any, ...]] = []
    clock = 0
    for row in rows:
        clock = max(clock, row.at_ms)
        origin = row.source_key if row.network_kind == NetworkKind.OWN_POOL else row.account_key
        expected += [(row.callee[1:-3], *said) for said in oracle.see(clock, row.range_key, row.at_ms, row.account_key, origin)]
    return expected


@pytest.mark.parametrize("seed", range(12))
def test_long_nights_are_the_ones_of_the_plain_lists(seed: int) -> None:
    chance = random.Random(seed)
    forward = (0, 1, 900, 2_000, 20 * SECOND, MINUTE, 4 * MINUTE, 10 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE, HOUR, 9 * HOUR, DAY)
    late = (0, 0, 0, 0, 1, 1_999, 2_000, 2_001, 40 * SECOND, MINUTE, 5 * MINUTE - 1, 5 * MINUTE)
    steps = [
        (
            chance.choice(forward[: chance.choice((9, 11, 14))]),
            chance.choice(late),
            chance.randint(1, 12),
            chance.randint(1, 2),
            chance.random() < 0.4,
        )
        for _ in range(400)
    ]
    rows = made_of(steps)
    expected = expected_of(rows, RangeOracle(warn=3, act=5, score=1))
    engine = RangeEngine(rule_set(N01_warn=3, N01_act=5, N01_score=1, N01_learn_days=0))
    found = feed(engine, rows, 57)
    assert [(f.subject, f.level, f.at_ms, f.observed, f.warn, f.act) for f in found] == expected
    assert len(expected) > 4


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(some_calls(), st.integers(1, 50))
def test_every_crossing_is_the_one_of_the_plain_lists(rows: list[AccountRow], size: int) -> None:
    expected = expected_of(rows, RangeOracle(warn=3, act=5, score=1))
    engine = RangeEngine(rule_set(N01_warn=3, N01_act=5, N01_score=1, N01_learn_days=0))
    found = feed(engine, rows, size)
    assert [(f.subject, f.level, f.at_ms, f.observed, f.warn, f.act) for f in found] == expected


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(some_calls(), st.integers(1, 50), st.integers(0, 100))
def test_batches_and_restarts_change_nothing(rows: list[AccountRow], size: int, cut: int) -> None:
    rules = rule_set(N01_warn=3, N01_act=5, N01_score=1, N01_learn_days=0)
    whole, parted = RangeEngine(rules), RangeEngine(rules)
    cut = min(cut, len(rows))
    expected = told(feed(whole, rows))
    found = told(feed(parted, rows[:cut], size))
    restored = RangeEngine.restore(copied(parted.state()), rules)
    assert state_hash(restored) == state_hash(parted)
    assert found + told(feed(restored, rows[cut:], size)) == expected
    assert state_hash(restored) == state_hash(whole)
    assert restored.now_ms == whole.now_ms == max(row.at_ms for row in rows)


def copied(state: EngineState) -> EngineState:
    """As a snapshot gives it back: the scalars through JSON."""
    arrays = {name: words.copy() for name, words in state.arrays.items()}
    return EngineState(arrays=arrays, scalars=msgspec.json.decode(msgspec.json.encode(state.scalars)))


def test_many_customers_in_one_range_say_what_to_refuse() -> None:
    rows = [call(MONDAY + number * 200 * SECOND, number + 1, f"+232761234{number:02}") for number in range(12)]
    found = feed(RangeEngine(RULES_NOW), rows)
    assert [(f.rule, f.level, f.observed, f.subject_kind, f.subject) for f in found] == [
        ("N01", WARN, 5, "prefix", "23276123"),
        ("N01", ACT, 10, "prefix", "23276123"),
    ]
    warned, acted = found
    assert warned.measures == ()
    assert acted.measures == (Measure(scope="range", value="23276123"),)
    assert acted.reason == (
        "10 customers called numbers in +23276123xxx within 30 minutes; nobody is known to have called there before. Limit 10."
    )
    assert acted.refs == tuple(4_096 + place for place in range(10))
    assert acted.opening_call_id == rows[9].call_id
    assert (acted.warn, acted.act, acted.unit, acted.keyed) == (5, 10, "accounts", True)
    assert acted.observed_more["countries"] == ["SL"]


def ordinary_days(days: int, callers: int, hour: int = 9, number: str = "+23276123456") -> list[AccountRow]:
    return [
        call(MONDAY + day * DAY + (hour - 9) * HOUR + place * 30 * SECOND, 1_000 * day + place + 1, number, destination_class=3)
        for day in range(days)
        for place in range(callers)
    ]


def test_a_holiday_resort_that_always_has_callers_does_not_alarm() -> None:
    engine = RangeEngine(rule_set())
    assert feed(engine, ordinary_days(20, 60)) == []
    evening = MONDAY + 20 * DAY
    crowd = [call(evening + place * 20 * SECOND, 900_000 + place, destination_class=3) for place in range(140)]
    found = feed(engine, crowd)
    assert [f.level for f in found] == [WARN]
    assert found[0].observed == found[0].warn > 100
    assert 50 < found[0].observed_more["highest_hour"] < 70
    assert f"in the last 20 days at most {found[0].observed_more['highest_hour']} an hour did. Limit {found[0].warn}." in found[0].reason


def test_in_the_first_week_only_dear_ranges_are_judged() -> None:
    cheap = [call(MONDAY + place * SECOND, place + 1, destination_class=3) for place in range(40)]
    dear = [call(MONDAY + HOUR + place * SECOND, place + 1, destination_class=4) for place in range(10)]
    engine = RangeEngine(rule_set())
    assert feed(engine, cheap) == []
    assert [f.observed for f in feed(engine, dear)] == [5, 10] or [f.observed for f in feed(RangeEngine(rule_set()), dear)] == [5, 10]
    week_later = [call(MONDAY + 8 * DAY + place * SECOND, place + 1, "+23276777456", destination_class=3) for place in range(10)]
    assert [f.observed for f in feed(engine, week_later)] == [5, 10]


def test_what_alarmed_does_not_become_ordinary() -> None:
    engine = RangeEngine(RULES_NOW)
    for day in range(10):
        rows = [call(MONDAY + day * DAY + place * SECOND, 100 * day + place, destination_class=4) for place in range(1, 41)]
        found = feed(engine, rows)
        assert found[-1].level >= ACT, f"on day {day}"
        assert found[-1].observed_more["highest_hour"] <= 4


def test_new_years_eve_raises_limits_for_everybody() -> None:
    """Every range is called by a few more than ever before, all at once."""

    def day(number: int, callers: int) -> list[AccountRow]:
        return [
            call(MONDAY + number * DAY + step * MINUTE + place, 50 * place + step + 1, f"+4477{place:05}123", destination_class=3)
            for step in range(callers)
            for place in range(300)
        ]

    quiet, eve = RangeEngine(rule_set()), RangeEngine(rule_set())
    for engine in (quiet, eve):
        for number in range(8):
            rows = day(number, 1)[:150]
            feed(engine, sorted(rows, key=lambda row: row.at_ms))
    party = sorted(day(8, 12), key=lambda row: row.at_ms)
    raised = feed(eve, party)
    alone = feed(quiet, [row for row in party if row.callee == "+447700005123"])
    assert [f.level for f in alone] == [WARN, ACT]
    assert raised == [], "without the surge each of the 300 ranges would act"
    strike = [call(MONDAY + 8 * DAY + 12 * MINUTE + place, 90_000 + place) for place in range(120)]
    found = feed(eve, strike, first=50)
    assert found[-1].level >= ACT, "an attack stands out even then"
    assert found[-1].observed_more["surge_percent"] == 900
    assert found[-1].reason.endswith("raised because everybody calls abroad now.")


@pytest.mark.parametrize(
    "quiet",
    [
        {"destination_class": 2},
        {"flags": int(Flag.NATIONAL_VALUE)},
        {"kind": int(Kind.ANSWER)},
        {"kind": int(Kind.BLOCKED)},
        {"account_key": 0},
        {"range_key": 0},
    ],
)
def test_rows_that_do_not_count(quiet: dict[str, Any]) -> None:
    rows = [call(MONDAY + place * SECOND, place + 1, **{"account_key": place + 1, **quiet}) for place in range(20)]
    assert feed(RangeEngine(RULES_NOW), rows) == []
    assert feed(RangeEngine(RULES_NOW), [call(MONDAY + place * SECOND, place + 1) for place in range(20)]) != []


def test_phones_behind_one_own_line_are_one_customer() -> None:
    office: dict[str, Any] = {"network_kind": int(NetworkKind.OWN_POOL), "source_key": 5}
    rows = [call(MONDAY + place * SECOND, place + 1, **office) for place in range(20)]
    assert feed(RangeEngine(RULES_NOW), rows) == []
    abroad: dict[str, Any] = {"network_kind": int(NetworkKind.FOREIGN), "source_key": 5}
    rows = [call(MONDAY + place * SECOND, place + 1, **abroad) for place in range(20)]
    assert feed(RangeEngine(RULES_NOW), rows) != [], "stolen accounts at one foreign address are not related"


def test_rows_without_a_key_prove_nothing_together_with_others() -> None:
    rows = [call(MONDAY + place * SECOND, place + 1, flags=int(Flag.UNKEYED) if place % 2 else 0) for place in range(9)]
    found = feed(RangeEngine(RULES_NOW), rows)
    assert [(f.observed, f.keyed) for f in found] == [(5, True)]
    assert feed(RangeEngine(RULES_NOW), rows[:8]) == []
    rows = [call(MONDAY + place * SECOND, place + 1, flags=int(Flag.UNKEYED)) for place in range(5)]
    assert [(f.observed, f.keyed) for f in feed(RangeEngine(RULES_NOW), rows)] == [(5, False)]


def test_a_new_rule_set_counts_at_once_and_one_without_the_rule_is_silent() -> None:
    engine = RangeEngine(rule_set(N01_warn=100, N01_act=100, N01_learn_days=0))
    rows = [call(MONDAY + place * SECOND, place + 1) for place in range(20)]
    assert feed(engine, rows[:10]) == []
    engine.control(RuleSetChanged(version=4, toml=RULES_NOW.text))
    assert [(f.level, f.observed) for f in feed(engine, rows[10:], first=2)] == [(ACT, 11), (ACT + 1, 20)]
    off = RangeEngine(read_rules("version = 1\n[rules.N02]\n"))
    assert feed(off, rows) == []


# Memory


def columns(count: int, first_ms: int, each_ms: int, kind: Kind, seed: int) -> RowBatch:
    """A full batch of invented numbers, without text."""
    rng = np.random.default_rng(seed)
    numeric = {name: np.zeros(count, dtype) for name, dtype in NUMERIC}
    numeric["kind"][:] = int(kind)
    numeric["at_ms"][:] = first_ms + np.arange(count) * each_ms
    numeric["range_key"][:] = rng.integers(1, 2**62, count)
    numeric["account_key"][:] = rng.integers(1, 2**62, count)
    numeric["call_key"][:] = rng.integers(1, 2**62, count)
    numeric["destination_class"][:] = 4
    return RowBatch(count, numeric, {name: [""] * count for name in TEXT})


@pytest.mark.parametrize("kind", [Kind.ATTEMPT, Kind.INBOUND])
def test_a_million_invented_numbers_cost_old_knowledge_and_no_memory(kind: Kind) -> None:
    engine = RangeEngine(RULES_NOW, max_ranges=1 << 14, max_range_calls=1 << 14)
    attack = [call(MONDAY - MINUTE + place, place + 1) for place in range(4)]
    feed(engine, attack)
    began = time.process_time()
    for number in range(245):
        engine.feed(columns(4_096, MONDAY + number * 4_096, 1, kind, number), number + 2)
    assert time.process_time() - began < 20
    figures = engine.figures()
    assert figures["state_bytes"] < 8_000_000
    assert figures["keys_evicted"] > 900_000
    assert figures["calls_evicted"] > 900_000
    rows = [call(MONDAY + 245 * 4_096 + place, place + 1) for place in range(10)]
    assert [f.level for f in feed(engine, rows, first=300)] == [WARN, ACT], "it still judges"


def test_silent_ranges_make_room_before_anything_is_forgotten() -> None:
    engine = RangeEngine(RULES_NOW, max_ranges=1 << 12, max_range_calls=1 << 12)
    for day in range(6):
        engine.feed(columns(1_000, MONDAY + day * 33 * DAY, 1, Kind.ATTEMPT, day), day + 1)
    assert engine.figures()["keys_evicted"] == 0
    assert engine.figures()["ranges"] <= 2_867


# N02


def some_rings() -> st.SearchStrategy[list[AccountRow]]:
    step = st.sampled_from([0, 1, 900, 10 * SECOND, 59 * SECOND, 5 * MINUTE, 11 * MINUTE])
    late = st.sampled_from([0, 0, 0, 1, 2_000, 2_001, 3 * MINUTE, 5 * MINUTE])
    one = st.tuples(step, late, st.integers(1, 2), st.integers(1, 60), st.sampled_from([0, 3, 6, 7]), st.booleans())

    def rows(steps: list[tuple[int, int, int, int, int, bool]]) -> list[AccountRow]:
        made, now = [], MONDAY
        for place, (forward, back, number, mark, ringing, answered) in enumerate(steps):
            now += forward
            answer = {"answered_ms": now} if answered and mark % 4 == 0 else {}
            caller = f"+3712233445{number}"
            made.append(ring(now - back, 1_000 * number + mark if mark < 10 else 10**6 + place, caller, ring_seconds=ringing, **answer))
        return made

    return st.lists(one, min_size=1, max_size=100).map(rows)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(some_rings(), st.integers(1, 40))
def test_short_rings_are_counted_as_in_plain_lists(rows: list[AccountRow], size: int) -> None:
    oracle = InboundOracle(calls=5, share=60)
    expected = []
    for row in rows:
        short = row.answered_ms == 0 and row.ring_seconds <= 6
        expected += [(row.caller[1:], *said) for said in oracle.see(int(row.caller[1:]), row.at_ms, row.call_key, short)]
    engine = RangeEngine(rule_set(N02_calls=5, N02_share=60))
    found = feed(engine, rows, size)
    assert [(f.subject, f.at_ms, f.observed, f.observed_more["short_calls"]) for f in found] == expected


def wave(first_ms: int = MONDAY, caller: str = "+37122334455", mark: int = 1_000) -> list[AccountRow]:
    return [ring(first_ms + place * SECOND, mark + place, caller) for place in range(60)]


def test_wangiri_flags_the_number_and_call_backs_act() -> None:
    engine = RangeEngine(RULES_NOW)
    found = feed(engine, wave())
    assert [(f.rule, f.level, f.subject, f.observed, f.measures) for f in found] == [("N02", WARN, "37122334455", 50, ())]
    assert found[0].reason == (
        "+37122334455 rang 50 customers within five minutes and hung up on 50 of them before they could answer "
        "(limit 50 calls, 80 % of them short). Nobody has to call back."
    )
    back = [call(MONDAY + HOUR + place * MINUTE, place // 2 + 1, "+37122334455", destination_class=2) for place in range(24)]
    found = feed(engine, back, first=2)
    assert [(f.level, f.observed) for f in found] == [(WARN, 3), (ACT, 10)], "each customer counts once"
    assert found[1].measures == (Measure(scope="number", value="37122334455"),)
    assert found[1].reason == "10 customers called back +37122334455, which rang 50 customers for a moment. Limit 10."
    assert len(found[1].refs) == 10


def test_a_call_centre_whose_calls_are_answered_is_not_flagged() -> None:
    rows = [ring(MONDAY + place * SECOND, place + 1, ring_seconds=20, answered_ms=MONDAY if place % 3 else 0) for place in range(200)]
    assert feed(RangeEngine(RULES_NOW), rows) == []


def test_several_baits_in_one_range_refuse_the_range() -> None:
    engine = RangeEngine(RULES_NOW)
    feed(engine, wave() + wave(MONDAY + MINUTE, "+37122334466", 5_000))
    back = [call(MONDAY + HOUR + place, place + 1, f"+371223344{55 if place % 2 else 66}", destination_class=3) for place in range(12)]
    found = [f for f in feed(engine, back, first=2) if f.rule == "N02"]
    ranges = [f for f in found if f.subject == "37122334"]
    assert [(f.level, f.observed) for f in ranges] == [(WARN, 3), (ACT, 10)]
    assert ranges[1].measures == (Measure(scope="range", value="37122334"),)


def test_call_backs_count_for_a_day_and_only_to_the_number() -> None:
    engine = RangeEngine(RULES_NOW)
    feed(engine, wave())
    others = [call(MONDAY + HOUR + place, place + 1, "+37122334456", destination_class=2) for place in range(12)]
    assert feed(engine, others, first=2) == []
    late = [call(MONDAY + 25 * HOUR + place, place + 1, "+37122334455", destination_class=2) for place in range(12)]
    assert feed(engine, late, first=3) == []
    assert engine.figures()["numbers_flagged"] == 0


def test_a_bait_of_yesterday_does_not_make_a_range() -> None:
    baits = Baits()
    baits.flag(7, 1, keyed=True, digits="37122334001", at_ms=MONDAY, calls=50)
    baits.flag(7, 2, keyed=True, digits="37122334002", at_ms=MONDAY + 20 * HOUR, calls=50)
    early = baits.call_back((7, 2, True), 1, MONDAY + 21 * HOUR, 0)
    late = baits.call_back((7, 2, True), 2, MONDAY + 24 * HOUR, 0)
    assert early is not None
    assert late is not None
    assert (early.number, early.range, late.number, late.range) == (1, 1, 2, 0)


def test_flagged_numbers_are_bounded() -> None:
    baits = Baits()
    for number in range(MAX_FLAGGED + 5):
        baits.flag(number, 1, keyed=True, digits="", at_ms=MONDAY + number, calls=50)
    assert (len(baits), baits.forgotten) == (MAX_FLAGGED, 5)
    assert baits.call_back((0, 1, True), 1, MONDAY + HOUR, 0) is None
    assert baits.call_back((5, 1, False), 1, MONDAY + HOUR, 0) is None
    assert baits.call_back((5, 1, True), 1, MONDAY + HOUR, 0) is not None


def test_findings_of_a_batch_come_in_the_order_of_its_rows() -> None:
    rows = wave() + [call(MONDAY + 50 * SECOND + place, place + 1, "+37122334455", destination_class=4) for place in range(10)]
    rows.sort(key=lambda row: row.at_ms)
    expected = told(feed(RangeEngine(RULES_NOW), rows))
    for size in (1, 7, 33):
        engine = RangeEngine(RULES_NOW)
        assert told(feed(engine, rows, size)) == expected
    assert {f[0] for f in expected} == {"N01", "N02"}
