"""N03: fifteen minutes of everybody against the same hour of the week."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.detection.engine import EngineState
from ringfence.detection.findings import ACT, Finding
from ringfence.detection.layout import DAY, HOUR, MINUTE, SECOND
from ringfence.detection.network import NetworkEngine
from ringfence.detection.rules import RuleSet, read_rules
from ringfence.telephony.control import HolidaysChanged, RuleSetChanged
from ringfence.telephony.network_second import NetworkSecond

EURO = 1_000_000
MONDAY = int(datetime(2026, 9, 21, 9, tzinfo=UTC).timestamp()) * 1000
"""Eleven o'clock in Berlin."""


def rule_set(factor: int = 5, floor: int = 500) -> RuleSet:
    return read_rules(f"version = 1\n[rules.N03]\nfactor = {factor}\nfloor = {floor}\n")


def second(at_ms: int, euro: float = 0, edge: str = "e1", **more: Any) -> NetworkSecond:
    cost = round(euro * EURO)
    return NetworkSecond(at_ms=at_ms, edge=edge, cost_micro=(0, 9 * EURO, 9 * EURO, 9 * EURO, cost - cost // 3, cost // 3), **more)


def hours(first_ms: int, count: int, euro_a_minute: float) -> Iterator[NetworkSecond]:
    """A message a minute is enough: what a second costs is what counts."""
    return (second(first_ms + minute * MINUTE, euro_a_minute) for minute in range(count * 60))


def feed(engine: NetworkEngine, seconds: Iterator[NetworkSecond]) -> list[Finding]:
    return [finding for number, each in enumerate(seconds) for finding in engine.feed(each, number)]


def copied(engine: NetworkEngine) -> EngineState:
    state = engine.state()
    arrays = {name: words.copy() for name, words in state.arrays.items()}
    return EngineState(arrays=arrays, scalars=msgspec.json.decode(msgspec.json.encode(state.scalars)))


def test_a_month_of_ordinary_weeks_and_a_strike() -> None:
    engine = NetworkEngine(rule_set())
    # Day and night: 300 EUR and 30 EUR in fifteen minutes.
    for day in range(28):
        assert feed(engine, hours(MONDAY + day * DAY, 12, 20)) == []
        assert feed(engine, hours(MONDAY + day * DAY + 12 * HOUR, 12, 2)) == []
    strike = MONDAY + 28 * DAY
    found = feed(engine, (second(strike + minute * MINUTE, 150) for minute in range(40)))
    assert [(f.rule, f.level, f.subject_kind, f.subject, f.measures) for f in found] == [("N03", ACT, "network", "all", ())]
    assert 1_500 * EURO < found[0].observed < 1_800 * EURO
    assert found[0].act == 5 * 300 * EURO
    assert found[0].reason.startswith("The network spent EUR 1,")
    assert "at this hour it is EUR 300.00 at the most. Limit EUR 1,500.00." in found[0].reason
    night = feed(engine, hours(strike + 13 * HOUR, 1, 40))
    assert [f.act for f in night] == [500 * EURO], "what is ordinary at eleven is not at midnight"


def test_a_first_day_is_no_history() -> None:
    engine = NetworkEngine(rule_set())
    assert feed(engine, hours(MONDAY, 3, 100)) == []
    found = feed(engine, hours(MONDAY + 3 * HOUR, 1, 400))
    assert [f.act for f in found] == [5_000 * EURO]
    assert "there is nothing to compare with yet" in found[0].reason


def test_what_alarmed_does_not_become_ordinary() -> None:
    engine = NetworkEngine(rule_set())
    feed(engine, hours(MONDAY - 7 * DAY, 7 * 24, 10))
    for week in range(4):
        found = feed(engine, hours(MONDAY + week * 7 * DAY, 1, 600))
        assert found[-1].level >= ACT, f"in week {week}"
        feed(engine, hours(MONDAY + week * 7 * DAY + HOUR, 7 * 24 - 1, 10))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 7, 60, 300, 899, 900, 901, 2_000]), st.integers(0, 300), st.sampled_from([0, 0, 0, 30, 899, 1_500])
        ),
        min_size=1,
        max_size=60,
    )
)
def test_the_window_is_the_sum_of_fifteen_minutes_of_all_edges(steps: list[tuple[int, int, int]]) -> None:
    engine = NetworkEngine(rule_set())
    kept: list[tuple[int, int]] = []
    now = 0
    for number, (forward, euro, late) in enumerate(steps):
        now += forward
        at_ms = MONDAY + (now - late) * SECOND
        engine.feed(second(at_ms, euro, f"e{number % 3}"), number)
        kept.append((at_ms, euro * EURO))
        latest = max(at for at, _ in kept)
        expected = sum(cost for at, cost in kept if latest - 15 * MINUTE < at <= latest)
        assert engine.figures()["c4_micro_15_minutes"] == expected


def test_a_surge_tells_what_else_rose() -> None:
    engine = NetworkEngine(rule_set(floor=1))
    found = [
        finding
        for place in range(4)
        for finding in engine.feed(
            second(MONDAY + place * SECOND, 4, auth_failures=7, unauthenticated=3, registrations=2, blocked=1), place
        )
    ]
    assert found[0].observed == 12 * EURO
    more = found[0].observed_more
    assert (more["auth_failures"], more["unauthenticated"], more["registrations"], more["blocked"]) == (21, 9, 6, 3)


def test_a_restart_changes_nothing() -> None:
    whole, parted = NetworkEngine(rule_set()), NetworkEngine(rule_set())
    feed(whole, hours(MONDAY, 30, 30))
    feed(parted, hours(MONDAY, 30, 30))
    parted = NetworkEngine.restore(copied(parted), rule_set())
    strike = MONDAY + 30 * HOUR
    expected = feed(whole, hours(strike, 1, 500))
    assert expected
    assert feed(parted, hours(strike, 1, 500)) == expected
    assert parted.state().scalars == whole.state().scalars
    for name, words in whole.state().arrays.items():
        assert parted.state().arrays[name].tobytes() == words.tobytes()


def test_hours_are_the_operators() -> None:
    engine = NetworkEngine(rule_set())
    feed(engine, hours(MONDAY, 1, 1))
    assert engine.state().arrays["peaks"][11].max() > 0
    engine.control(HolidaysChanged(days=(), time_zone="UTC"))
    feed(engine, hours(MONDAY + HOUR, 1, 1))
    assert engine.state().arrays["peaks"][10].max() > 0


def test_rules_rise_and_end() -> None:
    engine = NetworkEngine(rule_set())
    engine.control(RuleSetChanged(version=2, toml=rule_set(floor=50).text))
    assert [f.act for f in feed(engine, hours(MONDAY, 1, 60))] == [500 * EURO]
    engine.control(RuleSetChanged(version=3, toml="version = 3\n[rules.N01]\n"))
    assert feed(engine, hours(MONDAY + 2 * HOUR, 1, 9_000)) == []
    assert engine.tick(MONDAY + DAY) == []
    assert engine.now_ms == MONDAY + DAY
    late = second(MONDAY, 1_000)
    assert engine.feed(late, 1) == []
    assert engine.figures()["seconds_late"] == 1
