"""The engine of composed rules against a naive oracle, its state, and what it says."""

from bisect import insort
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.base.errors import OperatorError
from ringfence.detection.alerts import AlertBook
from ringfence.detection.composed_engine import ComposedEngine
from ringfence.detection.composed_match import network_of, source_of
from ringfence.detection.composed_windows import LATE_MS, level_of
from ringfence.detection.findings import Finding
from ringfence.detection.rules import read_rules
from ringfence.telephony.columns import batch_of
from ringfence.telephony.control import ComposedChanged, HolidaysChanged
from ringfence.telephony.model import AccountRow, Flag, Kind, account_key_of, call_key_of, country_code, number_key_of
from tests.unit.detection.published import published_rules

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
    calls: dict[tuple[str, str], int] = {}
    levels: dict[str, int] = defaultdict(int)
    found = []

    def value(key: str, end: int) -> int:
        inside = [what for at, _, what in kept[key] if end - WINDOW < at <= end]
        return len(set(inside)) if distinct else sum(inside)

    for index, (at, key, call, what) in enumerate(events):
        known = calls.get((key, call), at - WINDOW)
        if abs(known - at) < WINDOW:
            continue
        calls[key, call] = max(known, at)
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
        st.sampled_from([0, 1, 10_000, 30_000, WINDOW, 2 * 3_600_000]) | st.integers(0, 25_000),  # Time since the row before.
        st.sampled_from([0, 0, 10_000, WINDOW]) | st.integers(0, 70_000),  # How late it comes.
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
    rows: list[AccountRow] = []
    events: list[tuple[int, str, str, int] | None] = []
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
        (events[places[index]][0], key, level, value * scale)  # type: ignore[index]  # Crossings are of rows that count.
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


# What a rule looks at


def counted(where: str, *rows: AccountRow, event: str = "attempt", per: str = "all", count: str = "calls") -> int:
    """How many of the rows the rule counts."""
    made = engine(rule(count, per, warn=4000, act=5000, where=where, event=event))
    return len(made.matcher("X-night").match(batch_of(rows)).place)


@pytest.mark.parametrize(
    ("where", "fits", "fits_not"),
    [
        ('{ field = "callee", starts_with = "+232" }', {"callee": "+23277"}, {"callee": "+23377"}),
        ('{ field = "callee", is = ["+1", "+2"] }', {"callee": "+2"}, {"callee": "+23"}),
        ('{ field = "user_agent", contains = "SCANner" }', {"user_agent": "friendly-scanner"}, {"user_agent": "FRITZ!OS"}),
        ('{ field = "user_agent", not = "fritz!os" }', {"user_agent": "x"}, {"user_agent": "FRITZ!OS"}),
        ('{ field = "country", is = "sl" }', {}, {"country": country_code("DE")}),
        ('{ field = "country", not = ["DE", "AT"] }', {}, {"country": country_code("AT")}),
        ('{ field = "class", at_least = 3, at_most = 4 }', {"destination_class": 3}, {"destination_class": 5}),
        ('{ field = "class", is = [1, 5] }', {"destination_class": 5}, {"destination_class": 2}),
        ('{ field = "rate", at_least = 0.25 }', {"rate": 250_000}, {"rate": 249_999}),
        ('{ field = "source", is = "198.51.100.0/24" }', {}, {"source_ip": "198.51.101.7"}),
        ('{ field = "source", not = "2001:db8::/32" }', {"source_ip": "2001:db9::1"}, {"source_ip": "2001:db8::1"}),
        ('{ field = "source", is = "0.0.0.0/0" }', {}, {"source_ip": "no address"}),
        ('{ field = "flag", is = ["forwarded", "unrated"] }', {"flags": int(Flag.UNRATED | Flag.CDR)}, {"flags": int(Flag.CDR)}),
        ('{ field = "flag", not = "forwarded" }', {"flags": int(Flag.CDR)}, {"flags": int(Flag.FORWARDED)}),
        ('{ field = "network_kind", is = "foreign" }', {"network_kind": 0}, {"network_kind": 1}),
        ('{ field = "direction", is = "forwarded" }', {"direction": 2}, {"direction": 0}),
        ('{ field = "account", starts_with = "4930" }', {}, {"account": "4989"}),
        ("", {}, {"destination_class": 0}),
    ],
)
def test_predicates_hold_for_what_they_say(where: str, fits: dict[str, object], fits_not: dict[str, object]) -> None:
    assert counted(where, row(Kind.ATTEMPT, NOON, "1", **fits)) == 1  # type: ignore[arg-type]
    assert counted(where, row(Kind.ATTEMPT, NOON, "1", **fits_not)) == 0  # type: ignore[arg-type]


def local(text: str, zone: str = "Europe/Berlin", fold: int = 0) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()) * 1000


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("2026-10-25 01:59:59", False),
        ("2026-10-25 02:00:00", True),
        ("2026-10-25 02:59:59", True),
        ("2026-10-25 03:00:00", False),
        ("2026-03-29 03:00:00", False),
    ],
)
@pytest.mark.parametrize("fold", [0, 1])
def test_hours_are_those_of_the_wall_clock_in_both_nights_of_the_change(text: str, fits: bool, fold: int) -> None:
    where = '{ field = "hour", from = 2, until = 3 }'
    assert counted(where, row(Kind.ATTEMPT, local(text, fold=fold), "1")) == fits


def test_hours_pass_midnight_and_meet_weekdays() -> None:
    where = '{ field = "hour", from = 22, until = 6 }, { field = "weekday", is = ["sat", "sun"] }'
    times = ["2026-11-20 23:00", "2026-11-21 23:00", "2026-11-22 05:59", "2026-11-22 06:00", "2026-11-23 00:00"]
    assert [counted(where, row(Kind.ATTEMPT, local(text), "1")) for text in times] == [0, 1, 1, 0, 0]


def test_another_time_zone_counts_from_its_control_record_on() -> None:
    made = engine(rule(where='{ field = "hour", from = 2, until = 3 }'))
    batch = batch_of([row(Kind.ATTEMPT, local("2026-11-22 02:30", "UTC"), "1")])
    assert len(made.matcher("X-night").match(batch).place) == 0
    made.control(HolidaysChanged(days=(), time_zone="UTC"))
    assert len(made.matcher("X-night").match(batch).place) == 1


def test_each_event_has_its_rows_and_its_time() -> None:
    talked = {"started_ms": NOON, "answered_ms": NOON + 5_000, "ended_ms": NOON + 65_000}
    rows = [
        row(Kind.ATTEMPT, NOON, "1"),
        row(Kind.ANSWER, NOON + 5_000, "1", started_ms=NOON, answered_ms=NOON + 5_000),
        row(Kind.END, NOON + 65_000, "1", **talked),  # type: ignore[arg-type]
        row(Kind.CALL, NOON, "2", **talked),  # type: ignore[arg-type]
        row(Kind.CALL, NOON, "3", ended_ms=NOON + 9_000),
        row(Kind.BLOCKED, NOON, "4"),
        row(Kind.REGISTRATION, NOON, "5", destination_class=0),
        row(Kind.AUTH_FAILURE, NOON, "6", destination_class=0),
        row(Kind.INBOUND, NOON, "7"),
        row(Kind.UNAUTHENTICATED, NOON, "8", destination_class=0),
    ]
    found = {}
    for event in ("attempt", "answer", "end", "refused", "registration", "auth_failure", "inbound", "unauthenticated"):
        matches = engine(rule(per="all", event=event)).matcher("X-night").match(batch_of(rows))
        found[event] = list(zip(matches.place.tolist(), (matches.at_ms - NOON).tolist(), strict=True))
    assert found == {
        "attempt": [(0, 0), (3, 0), (4, 0)],
        "answer": [(1, 5_000), (3, 5_000)],
        "end": [(2, 65_000), (3, 65_000), (4, 9_000)],
        "refused": [(5, 0)],
        "registration": [(6, 0)],
        "auth_failure": [(7, 0)],
        "inbound": [(8, 0)],
        "unauthenticated": [(9, 0)],
    }


def test_cost_is_that_of_the_call_rounded_down_once() -> None:
    made = engine(rule("cost", warn=0.5, act=0.6, event="end"))
    end = row(Kind.END, NOON, "1", started_ms=NOON - 70_000, answered_ms=NOON - 61_001, ended_ms=NOON, rate=600_000, connect_micro=7)
    [finding] = told(made, [end])
    assert (finding.observed, finding.cost_micro, finding.unit, finding.level) == (610_017, 610_017, "euro", 2)


def test_calls_that_were_not_answered_cost_nothing() -> None:
    assert counted("", row(Kind.END, NOON, "1", ended_ms=NOON, connect_micro=9), event="end", count="cost") == 0


@pytest.mark.parametrize(
    ("per", "kind", "subject"),
    [
        ("account", "account", "4930100"),
        ("callee", "prefix", "23277000111"),
        ("range", "prefix", "23277000"),
        ("country", "network", "calls to SL"),
        ("source", "source", "198.51.100.7"),
        ("source_net", "source", "198.51.100.0/24"),
        ("network", "network", "AS64500"),
        ("family", "network", "User-Agent friendly-scanner"),
        ("edge", "edge", "kamailio-1"),
        ("all", "network", "all"),
    ],
)
def test_a_finding_names_its_subject(per: str, kind: str, subject: str) -> None:
    rows = [row(Kind.ATTEMPT, NOON + at, f"{at}", source_key=5, network_key=6, network="AS64500", family_key=7) for at in range(2)]
    [finding] = told(engine(rule(per=per, warn=2, act=2)), rows)
    assert (finding.subject_kind, finding.subject) == (kind, subject)
    assert (finding.opening_call_id, finding.opening_ms, finding.refs) == ("1", NOON + 1, (4096, 4097))
    assert finding.account == ("4930100" if per == "account" else "")


def test_a_row_without_the_key_counts_nowhere() -> None:
    assert counted("", row(Kind.ATTEMPT, NOON, "1", source_ip=""), per="source_net") == 0
    assert counted("", row(Kind.ATTEMPT, NOON, "1"), per="network") == 0
    assert counted("", row(Kind.ATTEMPT, NOON, "1", country=0), count="distinct country") == 0


def test_the_rule_of_the_brief() -> None:
    text = rule(
        "distinct account",
        "source_net",
        warn=3,
        act=3,
        where='{ field = "callee", starts_with = "+232" }, { field = "user_agent", contains = "X-lite" }, { field = "hour", from = 0, until = 6 }',
    )
    night = local("2026-11-22 03:00")
    rows = [
        row(Kind.ATTEMPT, night + place * 10_000, f"{place}", f"49301{place}", user_agent="X-Lite 4", source_ip=f"198.51.100.{place}")
        for place in range(3)
    ]
    [finding] = told(engine(text), rows)
    assert finding.reason == "Night calls: 3 accounts for 198.51.100.0/24 within 1 min (limit 3)."
    assert [(measure.scope, measure.value) for measure in finding.measures] == [("source", "198.51.100.0/24")]


# Whose rows, and when


def test_rows_of_an_agent_without_a_key_are_counted_apart() -> None:
    stranger = int(Flag.UNKEYED)
    rows = [row(Kind.ATTEMPT, NOON, "1"), row(Kind.ATTEMPT, NOON, "2", flags=stranger), row(Kind.ATTEMPT, NOON, "3", flags=stranger)]
    [finding] = told(engine(rule(per="callee", warn=2, act=2)), rows)
    assert (finding.keyed, finding.observed, finding.opening_call_id) == (False, 2, "3")


class _Nothing:
    """Knows no row."""

    def resolve(self, row_ref: int) -> AccountRow | None:
        assert row_ref >= 0
        return None


def test_a_forger_hides_no_proven_episode_behind_one_of_its_own() -> None:
    book, rules = AlertBook(), read_rules(published_rules())
    made = engine(rule(per="callee", warn=1, act=1).replace('event = "attempt"', 'event = "attempt"\nmode = "act"'))
    forged = book.note(told(made, [row(Kind.ATTEMPT, NOON, "1", flags=int(Flag.UNKEYED))]), rules, _Nothing())
    proven = book.note(told(made, [row(Kind.ATTEMPT, NOON + 1, "2")]), rules, _Nothing())
    assert [alert.state for alert in forged.alerts + proven.alerts] == ["open", "open"]
    assert (len(forged.suspicions), len(proven.suspicions)) == (0, 1)
    assert (proven.suspicions[0].mode, proven.suspicions[0].rule) == ("act", "X-night")


def test_what_arrives_more_than_an_hour_late_is_not_judged() -> None:
    made = engine(rule(warn=1, act=1))
    assert told(made, [replace_received(row(Kind.ATTEMPT, NOON, "1"), NOON + LATE_MS + 1)]) == []
    assert made.figures()["composed_rows_late"] == 1
    assert len(told(made, [replace_received(row(Kind.ATTEMPT, NOON, "2"), NOON + LATE_MS)])) == 1


def test_silence_frees_memory() -> None:
    made = engine(rule())
    told(made, [row(Kind.ATTEMPT, NOON, "1"), row(Kind.ATTEMPT, NOON, "2", "other")])
    assert made.figures()["composed_keys"] == 2
    assert made.tick(NOON + 3 * 3_600_000) == []
    assert (made.figures()["composed_keys"], made.figures()["composed_rows_kept"]) == (0, 0)
    assert made.now_ms == NOON + 3 * 3_600_000


def test_keys_that_an_attacker_chooses_push_out_the_silent_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.detection.composed_engine.MAX_KEPT_KEYS", 8)
    made = engine(rule())
    told(made, [row(Kind.ATTEMPT, NOON + at, f"{at}", f"account {at}") for at in range(100)], together=1)
    figures = made.figures()
    assert figures["composed_keys"] <= 8
    assert figures["composed_rows_evicted"] == 100 - figures["composed_rows_kept"]


def test_one_key_keeps_its_newest_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ringfence.detection.composed_windows.MAX_KEY_ROWS", 32)
    made = engine(rule(warn=30, act=31))
    found = told(made, [row(Kind.ATTEMPT, NOON + at, f"{at}") for at in range(200)])
    assert [finding.level for finding in found[:2]] == [1, 2]
    figures = made.figures()
    assert figures["composed_rows_kept"] <= 32
    assert figures["composed_rows_evicted"] == 200 - figures["composed_rows_kept"]


# Control records


def test_a_rule_on_probation_says_so_and_asks_for_nothing() -> None:
    made = engine(rule(warn=1, act=1), state="probation")
    [finding] = told(made, [row(Kind.ATTEMPT, NOON, "1")])
    force = made.rule("X-night")
    assert force is not None
    assert (force.probation, force.mode, force.version) == (True, "observe", 1)
    assert (finding.score, finding.measures) == (0, ())
    assert (finding.probation, finding.mode, finding.rule_version) == (True, "observe", 1)
    assert finding.reason.endswith("On probation: nothing follows from it.")


def test_activation_goes_on_with_what_was_counted_and_retirement_ends_it() -> None:
    text = rule(warn=3, act=3)
    made = engine(text, state="probation")
    told(made, [row(Kind.ATTEMPT, NOON, "1"), row(Kind.ATTEMPT, NOON, "2")])
    made.control(ComposedChanged(rule_id="X-night", version=1, toml=text, state="active"))
    [finding] = made.feed(batch_of([row(Kind.ATTEMPT, NOON, "3")]), 9)
    assert [(measure.scope, measure.value, measure.destination_class) for measure in finding.measures] == [("class", "4930100", 4)]
    made.control(ComposedChanged(rule_id="X-night", version=1, toml=text, state="retired"))
    assert made.feed(batch_of([row(Kind.ATTEMPT, NOON, "4")]), 10) == []
    assert made.rules() == ()


def test_a_version_that_counts_something_else_begins_anew() -> None:
    made = engine(rule(warn=2, act=2))
    told(made, [row(Kind.ATTEMPT, NOON, "1")])
    made.control(ComposedChanged(rule_id="X-night", version=2, toml=rule(per="callee", warn=2, act=2), state="active"))
    assert made.feed(batch_of([row(Kind.ATTEMPT, NOON, "2")]), 9) == []


@pytest.mark.parametrize("toml", ["", rule(per="nothing"), rule().replace("night", "day")])
def test_a_record_that_cannot_be_read_changes_nothing(toml: str) -> None:
    made = engine(rule(warn=1, act=1))
    with pytest.raises(OperatorError):
        made.control(ComposedChanged(rule_id="X-night", version=2, toml=toml, state="active"))
    [finding] = told(made, [row(Kind.ATTEMPT, NOON, "1")])
    assert finding.rule == "X-night"
    force = made.rule("X-night")
    assert force is not None
    assert force.version == 1


def test_national_calls_lead_to_no_measure() -> None:
    [finding] = told(engine(rule(warn=1, act=1)), [row(Kind.ATTEMPT, NOON, "1", destination_class=1)])
    assert finding.measures == ()


def test_networks_of_a_source() -> None:
    assert [network_of(text) for text in ("192.0.2.200", "2001:db8:1:2::3", "", "x")] == ["192.0.2.0/24", "2001:db8:1::/48", "", ""]
    assert [source_of(text) for text in ("192.0.2.200", "2001:db8:1:2::3")] == ["192.0.2.200", "2001:db8:1:2::/64"]
