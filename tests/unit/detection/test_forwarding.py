"""Forwarding as a way out (D24, D26, D27) and listed numbers (D15)."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringfence.detection.engine import EngineState
from ringfence.detection.findings import ACT, SIGNAL, WARN, Finding
from ringfence.detection.forwarding import ForwardingEngine
from ringfence.detection.layout import DAY, HOUR, MINUTE, SECOND
from ringfence.detection.listed import ListedEngine
from ringfence.detection.rules import read_rules
from ringfence.telephony.columns import batch_of
from ringfence.telephony.control import AccountChanged, RuleSetChanged
from ringfence.telephony.model import AccountRow, Flag, Kind, country_code
from ringfence.telephony.suspicion import Measure

MONDAY = 1_790_000_000_000 // DAY * DAY + 9 * HOUR
RULES = read_rules("version = 1\n" + "".join(f"[rules.{rule}]\n" for rule in ("D15", "D24", "D26", "D27")))


def leg(at_ms: int, callee: str = "+23276123456", flags: int = int(Flag.FORWARDED), **more: Any) -> AccountRow:
    fields: dict[str, Any] = {
        "kind": int(Kind.ATTEMPT),
        "account": "shop",
        "account_key": 9,
        "caller": "+4930999",
        "callee": callee,
        "range_key": int(callee[1:-3]),
        "number_tail": int(callee[-3:]),
        "destination_class": 4,
        "country": country_code("SL"),
        "call_id": f"c-{at_ms}",
        "call_key": at_ms,
    }
    return AccountRow(at_ms=at_ms, received_ms=at_ms, flags=flags, **{**fields, **more})


def feed(engine: ForwardingEngine | ListedEngine, rows: Sequence[AccountRow], size: int = 4_096) -> list[Finding]:
    return [f for start in range(0, len(rows), size) for f in engine.feed(batch_of(rows[start : start + size]), start + 1)]


def copied(state: EngineState) -> EngineState:
    arrays = {name: words.copy() for name, words in state.arrays.items()}
    return EngineState(arrays=arrays, scalars=msgspec.json.decode(msgspec.json.encode(state.scalars)))


def segment(name: Any, **more: Any) -> AccountChanged:
    return AccountChanged(account="shop", account_key=9, slot=9, segment=name, **more)


# D24


def test_a_fresh_forward_to_a_dear_number() -> None:
    found = feed(ForwardingEngine(RULES), [leg(MONDAY + place * MINUTE) for place in range(4)])
    assert [(f.rule, f.level, f.observed, f.subject, f.account_key) for f in found] == [
        ("D24", WARN, 2, "shop", 9),
        ("D24", ACT, 4, "shop", 9),
    ]
    assert found[0].measures == ()
    assert found[1].measures == (
        Measure(scope="number", value="23276123456"),
        Measure(scope="class", value="shop", destination_class=3),
    )
    assert found[1].reason == "shop forwards calls to +23276123456 (SL), since 1 hour: 4 within 10 minutes. Limit 4."


def test_an_old_forward_stays_ordinary_until_it_is_forgotten() -> None:
    engine = ForwardingEngine(RULES)
    feed(engine, [leg(MONDAY)])
    assert feed(engine, [leg(MONDAY + DAY + place * MINUTE) for place in range(9)]) == []
    assert feed(engine, [leg(MONDAY + 20 * DAY + place * MINUTE) for place in range(9)]) == []
    assert feed(engine, [leg(MONDAY + 51 * DAY + place * MINUTE) for place in range(9)]) != []


@pytest.mark.parametrize("quiet", [{"destination_class": 2}, {"flags": 0}, {"kind": int(Kind.ANSWER)}, {"account_key": 0}])
def test_legs_that_do_not_count(quiet: dict[str, Any]) -> None:
    rows = [leg(MONDAY + place, **quiet) for place in range(9)]
    assert feed(ForwardingEngine(RULES), rows) == []


def test_slow_or_spread_legs_are_no_burst() -> None:
    assert feed(ForwardingEngine(RULES), [leg(MONDAY + place * 10 * MINUTE) for place in range(9)]) == []
    assert feed(ForwardingEngine(RULES), [leg(MONDAY + place, f"+2327612345{place}") for place in range(9)]) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, MINUTE, 4 * MINUTE, 10 * MINUTE, HOUR, DAY, 31 * DAY]), st.integers(1, 2), st.sampled_from([0, 0, 1_999])
        ),
        max_size=50,
    ),
    st.integers(1, 20),
)
def test_legs_are_counted_as_in_plain_lists(steps: list[tuple[int, int, int]], size: int) -> None:
    rows, now = [], MONDAY
    for place, (forward, number, late) in enumerate(steps):
        now += forward
        rows.append(leg(now - late, f"+2327612345{number}", call_key=place + 1))
    expected = []
    clock = 0
    seen: dict[str, list[int]] = {}
    since: dict[str, int] = {}
    said: dict[str, tuple[int, int]] = {}
    for row in rows:
        clock = max(clock, row.at_ms)
        times = seen.setdefault(row.callee, [])
        if times and max(times) > row.at_ms - 30 * DAY:
            since[row.callee] = min(since[row.callee], row.at_ms)
        else:
            since[row.callee] = row.at_ms
        times.append(row.at_ms)
        if since[row.callee] <= row.at_ms - DAY:
            continue
        count = sum(clock - 10 * MINUTE < at <= clock for at in times)
        level = 0 if count < 2 else 1 if count < 4 else 2 + (count // 4).bit_length() - 1
        before = said.get(row.callee, (0, clock - HOUR))
        if level and (level > before[0] or clock >= before[1] + HOUR):
            said[row.callee] = level, clock
            expected.append((row.callee, level, count))
    found = feed(ForwardingEngine(RULES), rows, size)
    assert [(f.reason.split()[4], f.level, f.observed) for f in found] == expected


# D26, D27


def test_a_loop_in_the_history_of_forwardings() -> None:
    found = feed(ForwardingEngine(RULES), [leg(MONDAY, flags=int(Flag.FORWARDED | Flag.FORWARD_LOOP))])
    assert [(f.rule, f.level) for f in found] == [("D26", ACT)]
    assert found[0].reason == "shop forwards to +23276123456 (SL) in a circle: 1 within 10 minutes. Limit 1."
    assert found[0].measures[0] == Measure(scope="number", value="23276123456")
    cheap = feed(ForwardingEngine(RULES), [leg(MONDAY, flags=int(Flag.FORWARD_LOOP), destination_class=1)])
    assert [f.measures for f in cheap] == [()], "a circle among customers is told and refused nothing"


def test_a_to_b_to_a_within_a_minute() -> None:
    there = leg(MONDAY, "+493055555", account="49304444444", account_key=4, destination_class=1)
    back = leg(MONDAY + SECOND, "+49304444444", account="bob", account_key=5, destination_class=1)
    assert [(f.rule, f.subject) for f in feed(ForwardingEngine(RULES), [there, back])] == [("D26", "bob")]
    late = msgspec.structs.replace(back, at_ms=MONDAY + MINUTE)
    assert feed(ForwardingEngine(RULES), [there, late]) == []
    other = msgspec.structs.replace(back, caller="+4930111")
    assert feed(ForwardingEngine(RULES), [there, other]) == []
    unnamed = msgspec.structs.replace(there, account="alice")
    again = msgspec.structs.replace(unnamed, at_ms=MONDAY + 2 * SECOND, call_key=77)
    assert [f.subject for f in feed(ForwardingEngine(RULES), [unnamed, back, again])] == ["alice"]
    assert feed(ForwardingEngine(RULES), [unnamed, again]) == [], "one account twice is no circle"


def test_a_dear_call_that_a_stranger_transferred() -> None:
    flags = int(Flag.FORWARDED | Flag.REFERRED)
    engine = ForwardingEngine(RULES)
    found = [f for f in feed(engine, [leg(MONDAY, flags=flags)]) if f.rule == "D27"]
    assert [(f.level, f.warn, f.act) for f in found] == [(ACT, 1, 1)]
    assert found[0].reason == (
        "An inbound caller made shop call +23276123456 (SL) (transfer or call-back from the mailbox): 1 within 60 minutes. Limit 1."
    )
    business = ForwardingEngine(RULES)
    business.control(segment("business"))
    found = [f for f in feed(business, [leg(MONDAY + place, flags=flags) for place in range(10)]) if f.rule == "D27"]
    assert [(f.level, f.observed) for f in found] == [(WARN, 1), (ACT, 10)]
    business.control(segment("business", removed=True))
    assert [f.act for f in feed(business, [leg(MONDAY + DAY, flags=flags)]) if f.rule == "D27"] == [1]
    assert feed(ForwardingEngine(RULES), [leg(MONDAY, flags=int(Flag.REFERRED), destination_class=2)]) == []


def test_restarts_and_batches_change_nothing() -> None:
    flags = [int(Flag.FORWARDED), int(Flag.FORWARDED | Flag.REFERRED), int(Flag.FORWARDED | Flag.FORWARD_LOOP)]
    rows = [leg(MONDAY + place * 40 * SECOND, f"+2327612345{place % 3}", flags[place % 3], call_key=place + 1) for place in range(60)]
    whole, parted = ForwardingEngine(RULES, max_targets=2), ForwardingEngine(RULES, max_targets=2)
    for engine in (whole, parted):
        engine.control(segment("trunk"))
    expected = [(f.rule, f.level, f.at_ms, f.reason) for f in feed(whole, rows)]
    found = [(f.rule, f.level, f.at_ms, f.reason) for f in feed(parted, rows[:31], 7)]
    restored = ForwardingEngine.restore(copied(parted.state()), RULES, max_targets=2)
    assert found + [(f.rule, f.level, f.at_ms, f.reason) for f in feed(restored, rows[31:], 5)] == expected
    assert restored.figures() == whole.figures()
    assert restored.figures()["keys_evicted"] > 0
    assert restored.tick(MONDAY + DAY) == []
    assert restored.now_ms == MONDAY + DAY


# D15


def test_listed_numbers_are_signals() -> None:
    flags = [Flag.LISTED_NUMBER | Flag.LISTED_RANGE, Flag.LISTED_RANGE, Flag.UNALLOCATED]
    rows = [leg(MONDAY + place, f"+2327612{place}456", int(flag)) for place, flag in enumerate(flags)]
    found = feed(ListedEngine(RULES), rows)
    assert [(f.rule, f.level, f.score, f.hard, f.account_key) for f in found] == [
        ("D15", SIGNAL, 50, False, 9),
        ("D15", SIGNAL, 25, False, 9),
        ("D15", SIGNAL, 20, False, 9),
    ]
    assert [f.reason for f in found] == [
        "Called +23276120456, which is on a list of revenue-share test numbers.",
        "Called +23276121456, which lies among revenue-share test numbers.",
        "Called +23276122456, which lies in a range that is allocated to nobody.",
    ]


def test_a_listed_range_counts_once_a_day_and_more_when_the_number_itself_is_listed() -> None:
    engine = ListedEngine(RULES)
    near = [leg(MONDAY + place, "+23276123400", int(Flag.LISTED_RANGE)) for place in range(5)]
    assert [f.score for f in feed(engine, near)] == [25]
    assert [f.score for f in feed(engine, [leg(MONDAY + 9, "+23276123456", int(Flag.LISTED_NUMBER))])] == [50]
    assert feed(engine, [leg(MONDAY + HOUR, "+23276123456", int(Flag.LISTED_NUMBER))]) == []
    restored = ListedEngine.restore(copied(engine.state()), RULES)
    assert feed(restored, [leg(MONDAY + DAY, "+23276123456", int(Flag.LISTED_NUMBER))]) == []
    assert [f.score for f in feed(restored, [leg(MONDAY + DAY + 9, "+23276123456", int(Flag.LISTED_NUMBER))])] == [50]
    assert restored.figures() == {"listed_calls": 9.0}


def test_what_is_no_listed_call() -> None:
    engine = ListedEngine(RULES)
    for row in (
        leg(MONDAY),
        leg(MONDAY, flags=int(Flag.LISTED_NUMBER), kind=int(Kind.END)),
        leg(MONDAY, flags=int(Flag.LISTED_NUMBER), account_key=0),
    ):
        assert feed(engine, [row]) == []
    engine.control(RuleSetChanged(version=2, toml="version = 2\n[rules.D15]\nnumber = 0\n"))
    assert feed(engine, [leg(MONDAY, flags=int(Flag.LISTED_NUMBER))]) == [], "a score of nothing says nothing"
    engine.control(RuleSetChanged(version=3, toml="version = 3\n[rules.D24]\n"))
    assert feed(engine, [leg(MONDAY + 1, flags=int(Flag.UNALLOCATED))]) == []
