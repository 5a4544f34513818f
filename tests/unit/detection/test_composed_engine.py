"""The engine of composed rules against a naive oracle, its state, and what it says."""

from bisect import insort
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.base.errors import OperatorError
from ringfence.detection.composed_engine import ComposedEngine
from ringfence.detection.composed_match import family_of, network_of, source_of
from ringfence.detection.composed_windows import LATE_MS, level_of
from ringfence.detection.findings import Finding
from ringfence.telephony.columns import batch_of
from ringfence.telephony.control import ComposedChanged, HolidaysChanged
from ringfence.telephony.model import AccountRow, Flag, Kind, account_key_of, call_key_of, country_code, number_key_of

KEY = b"k" * 16
NOON = 1_790_000_000_000
WINDOW = 60_000


def row(kind: Kind, at_ms: int, call: str = "", account: str = "4930100", **more: object) -> AccountRow:
    """A row as ingest makes it."""
    callee = str(more.pop("callee", "+23277000111"))
    range_key, tail = number_key_of(KEY, callee.removeprefix("+"))
    fields: dict[str, object] = {
        "received_ms": at_ms,
        "account": account,
        "account_key": account_key_of(KEY, account, keyed=True),
        "call_id": call,
        "call_key": call_key_of(KEY, call) if call else 0,
        "callee": callee,
        "range_key": range_key,
        "number_tail": tail,
        "country": country_code("SL"),
        "destination_class": 4,
        "rate": 600_000,
        "started_ms": at_ms,
        "source_ip": "198.51.100.7",
        "user_agent": "friendly-scanner 1.0",
        "edge": "kamailio-1",
    }
    return AccountRow(kind=int(kind), at_ms=at_ms, **(fields | more))  # type: ignore[arg-type]


def rule(count: str = "calls", per: str = "account", warn: float = 2, act: float = 4, where: str = "", event: str = "attempt") -> str:
    return (
        f'[rule.night]\ntitle = "Night calls"\nevent = "{event}"\nwhere = [{where}]\ncount = "{count}"\nper = "{per}"\n'
        f'window = "60 s"\nwarn = {warn}\nact = {act}\n'
    )


def engine(text: str, state: str = "active", version: int = 1) -> ComposedEngine:
    made = ComposedEngine(time_zone="Europe/Berlin")
    made.control(ComposedChanged(rule_id="X-night", version=version, toml=text, state=state))  # type: ignore[arg-type]
    return made


def told(made: ComposedEngine, rows: Sequence[AccountRow], together: int = 4096) -> list[Finding]:
    found: list[Finding] = []
    for first in range(0, len(rows), together):
        found += made.feed(batch_of(rows[first : first + together]), first + 1)
    return found


# The oracle

MINUTE = 60_000


def oracle(events: Sequence[tuple[int, str, str, int]], warn: int, act: int, distinct: bool) -> list[tuple[int, str, int, int]]:
    """`(index, key, level, value)` of each crossing. Events: time, key, call, what. Nothing is ever forgotten."""
    kept: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    calls: dict[str, set[str]] = defaultdict(set)
    levels: dict[str, int] = defaultdict(int)
    found = []

    def value(key: str, end: int) -> int:
        inside = [what for at, _, what in kept[key] if end - WINDOW < at <= end]
        return len(set(inside)) if distinct else sum(inside)

    for index, (at, key, call, what) in enumerate(events):
        if call in calls[key]:
            continue
        calls[key].add(call)
        newest = kept[key][-1][0] if kept[key] else at
        if at >= newest and value(key, at) < warn:
            levels[key] = 0
        insort(kept[key], (at, index, what))
        best = max(value(key, end) for end, _, _ in kept[key] if at <= end < at + WINDOW)
        level = level_of(best, warn, act)
        if level > levels[key]:
            levels[key] = level
            found.append((index, key, level, best))
    return found


steps = st.lists(
    st.tuples(
        st.integers(0, 25_000) | st.just(2 * 3_600_000),  # Time since the row before.
        st.integers(0, 70_000),  # How late it comes.
        st.sampled_from("abc"),
        st.integers(0, 60),  # The call: sometimes the same.
        st.integers(0, 5),
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(steps, st.integers(1, 3), st.integers(0, 4), st.sampled_from(["calls", "distinct", "minutes"]), st.integers(1, 7))
def test_findings_are_those_of_a_naive_count(
    drawn: list[tuple[int, int, str, int, int]], warn: int, more: int, count: str, together: int
) -> None:
    act, now = warn + more, NOON
    rows, events = [], []
    for gap, late, account, call, what in drawn:
        now += gap
        at = now - late
        match count:
            case "calls":
                one, counted = row(Kind.ATTEMPT, at, f"{call}", account), 1
            case "distinct":
                callee = f"+2327700011{what}"
                one, counted = row(Kind.ATTEMPT, at, f"{call}", account, callee=callee), what
            case _:
                one = row(Kind.END, at, f"{call}", account, started_ms=at - 1 - what * MINUTE, answered_ms=at - what * MINUTE, ended_ms=at)
                counted = what
                if not what:
                    rows.append(replace_received(one, now))
                    events.append(None)
                    continue
        rows.append(replace_received(one, now))
        events.append((at, account, f"{call}", counted))
    text = {
        "calls": rule("calls", warn=warn, act=act),
        "distinct": rule("distinct callee", warn=warn, act=act),
        "minutes": rule("minutes", warn=warn, act=act, event="end"),
    }[count]
    scale = MINUTE if count == "minutes" else 1
    places = [index for index, event in enumerate(events) if event is not None]
    expected = oracle([event for event in events if event is not None], warn, act, count == "distinct")
    made = engine(text)
    found = told(made, rows, together)
    assert [(one.at_ms, one.subject, one.level, one.observed) for one in found] == [
        (events[places[index]][0], key, level, value * scale)  # type: ignore[index]
        for index, key, level, value in expected
    ]


def replace_received(one: AccountRow, at_ms: int) -> AccountRow:
    return AccountRow(**{name: getattr(one, name) for name in one.__struct_fields__} | {"received_ms": at_ms})


@settings(max_examples=50, deadline=None)
@given(steps, st.integers(0, 60), st.integers(1, 9))
def test_a_restored_engine_goes_on_as_if_nothing_had_happened(drawn: list[tuple[int, int, str, int, int]], cut: int, together: int) -> None:
    now, rows = NOON, []
    for gap, late, account, call, what in drawn:
        now += gap
        rows.append(replace_received(row(Kind.ATTEMPT, now - late, f"{call}", account, callee=f"+2327700011{what}"), now))
    text = rule("distinct callee", warn=2, act=3)
    whole = engine(text)
    before = told(whole, rows[:cut], together)
    state = whole.state()
    other = ComposedEngine.restore(state)
    after = other.feed(batch_of(rows[cut:]), 900)
    assert after == whole.feed(batch_of(rows[cut:]), 900)
    for name, array in other.state().arrays.items():
        assert np.array_equal(array, whole.state().arrays[name])
    assert other.state().scalars == whole.state().scalars
    assert all(finding.rule == "X-night" for finding in before + after)
