"""Composed rules as TOML: what is read, what is written, and what is refused with its line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.base.errors import OperatorError
from ringfence.detection.composed import FIELDS, KEYS, KINDS, OPERATORS, WEEKDAYS, ComposedRule, Event, FieldType, Predicate, as_rule_id
from ringfence.detection.composed_sense import nonsense
from ringfence.detection.composed_text import MAX_CHARACTERS, read_composed, read_one, show_window, write_rule

TEXT = """\
# Night calls
[rule.sierra-leone-night]
title = "Calls to Sierra Leone at night"
where = [
  { field = "callee", starts_with = "+232" },
  { field = "user_agent", contains = "X-Lite" },
  { field = "hour", from = 0, until = 6 },
]
count = "distinct account"
per = "source_net"
window = "10 min"
act = 3
"""


def test_a_rule_is_what_its_text_says() -> None:
    assert read_one(TEXT) == ComposedRule(
        name="sierra-leone-night",
        title="Calls to Sierra Leone at night",
        mode="propose",
        event=Event.ATTEMPT,
        where=(
            Predicate(field="callee", operator="starts_with", values=("+232",)),
            Predicate(field="user_agent", operator="contains", values=("X-Lite",)),
            Predicate(field="hour", operator="between", low=0, high=5),
        ),
        quantity="distinct",
        of="account",
        per="source_net",
        window_ms=600_000,
        warn=3,
        act=3,
    )


def test_predicates_may_be_tables_of_their_own() -> None:
    text = (
        TEXT.replace(
            TEXT[TEXT.index("where") : TEXT.index("count")],
            "",
        )
        + '[[rule.sierra-leone-night.where]]\nfield = "callee"\nstarts_with = "+232"\n'
    )
    assert [predicate.field for predicate in read_one(text).where] == ["callee"]


def test_several_rules_come_by_name() -> None:
    other = TEXT.replace("sierra-leone-night", "another")
    assert [rule.name for rule in read_composed(TEXT + other)] == ["another", "sierra-leone-night"]
    with pytest.raises(OperatorError, match="one by one"):
        read_one(TEXT + other)


def with_predicate(text: str) -> str:
    return TEXT.replace('{ field = "hour", from = 0, until = 6 }', text)


REFUSED = [
    (TEXT.replace("title", "titel"), 3, "unknown_key"),
    (TEXT.replace("[rule.", "version = 1\n[rule."), 2, "unknown_key"),
    (TEXT.replace("act = 3", "act = -3"), 12, "negative_limit"),
    (TEXT.replace("act = 3", "act = 0"), 12, "negative_limit"),
    (TEXT.replace("act = 3", "act = 2.5"), 12, "bad_limit"),
    (TEXT.replace("act = 3", "act = true"), 12, "bad_limit"),
    (TEXT.replace("act = 3", "act = 1e9"), 12, "bad_limit"),
    (TEXT.replace("act = 3", "act = inf"), 12, "bad_limit"),
    (TEXT.replace("act = 3", ""), 2, "missing_limit"),
    (TEXT.replace("act = 3", "warn = 4\nact = 3"), 12, "warn_above_act"),
    (TEXT.replace('per = "source_net"', ""), 2, "missing_key"),
    (TEXT.replace('"source_net"', '"source_nett"'), 10, "bad_key"),
    (TEXT.replace('"source_net"', '"account"'), 9, "never_holds"),
    (TEXT.replace('"10 min"', '"10 days"'), 11, "bad_window"),
    (TEXT.replace('"10 min"', '"25 h"'), 11, "bad_window"),
    (TEXT.replace('"10 min"', "600"), 11, "bad_window"),
    (TEXT.replace("distinct account", "distinct"), 9, "bad_count"),
    (TEXT.replace("distinct account", "distinct all"), 9, "bad_count"),
    (TEXT.replace("distinct account", "cost"), 9, "never_holds"),
    (TEXT.replace("count =", 'event = "registration"\ncount ='), 5, "never_holds"),
    (TEXT.replace("count =", 'event = "ring"\ncount ='), 9, "bad_event"),
    (TEXT.replace("count =", 'mode = "block"\ncount ='), 9, "bad_mode"),
    (TEXT.replace("sierra-leone-night", "Night"), 2, "bad_name"),
    (with_predicate('{ field = "hours", from = 0, until = 6 }'), 7, "bad_field"),
    (with_predicate('{ field = "hour", from = 0 }'), 7, "bad_operator"),
    (with_predicate('{ field = "hour", is = 3 }'), 7, "bad_operator"),
    (with_predicate('{ field = "class", is = 3, not = 4 }'), 7, "bad_operator"),
    (with_predicate('{ field = "country", is = "Germany" }'), 7, "bad_value"),
    (with_predicate('{ field = "country", iss = "DE" }'), 7, "unknown_key"),
    (with_predicate('{ field = "country", is = [] }'), 7, "never_holds"),
    (with_predicate('{ field = "country", is = "DE" }'), 5, "never_holds"),
    (with_predicate('{ field = "country", not = "SL" }'), 5, "never_holds"),
    (with_predicate('{ field = "callee", is = "+4930" }'), 7, "never_holds"),
    (with_predicate('{ field = "callee", starts_with = "+49" }'), 7, "never_holds"),
    (with_predicate('{ field = "class", at_least = 6 }'), 7, "never_holds"),
    (with_predicate('{ field = "class", is = 0 }'), 7, "never_holds"),
    (with_predicate('{ field = "class", at_least = -1 }'), 7, "negative_value"),
    (with_predicate('{ field = "class", at_least = 4, at_most = 3 }'), 7, "never_holds"),
    (with_predicate('{ field = "class", is = 2 }, { field = "class", is = 3 }'), 7, "never_holds"),
    (with_predicate('{ field = "class", is = [4, 5] },\n{ field = "class", at_most = 3 }'), 8, "never_holds"),
    (with_predicate('{ field = "hour", from = 6, until = 6 }'), 7, "never_holds"),
    (with_predicate('{ field = "hour", from = 0, until = 6 },\n{ field = "hour", from = 6, until = 9 }'), 8, "never_holds"),
    (with_predicate('{ field = "weekday", is = "sat" },\n{ field = "weekday", not = ["sat"] }'), 8, "never_holds"),
    (with_predicate('{ field = "source", is = "192.0.2.0/24" },\n{ field = "source", is = "198.51.100.0/24" }'), 8, "never_holds"),
    (with_predicate('{ field = "source", is = "192.0.2.0/24" },\n{ field = "source", not = "192.0.0.0/16" }'), 8, "never_holds"),
    (with_predicate('{ field = "source", is = "192.0.2.300" }'), 7, "bad_value"),
    (with_predicate('{ field = "flag", is = "cdr" },\n{ field = "flag", not = "cdr" }'), 8, "never_holds"),
    (with_predicate('{ field = "flag", is = "red" }'), 7, "bad_value"),
    (with_predicate('{ field = "duration", at_least = 1 }'), 7, "never_holds"),
    (with_predicate('{ field = "account", is = ["1", "2"] }'), 12, "never_holds"),
    (with_predicate('"night"'), 4, "bad_where"),
    (TEXT + TEXT, 14, "duplicate_rule"),
    (TEXT.replace("act = 3", "act = 3\nact = 4"), 13, "duplicate_rule"),
    (TEXT.replace("act = 3", "act = "), 12, "rules_syntax"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line", "reason"), REFUSED)
def test_a_mistake_is_refused_with_line_and_reason(text: str, line: int, reason: str) -> None:
    with pytest.raises(OperatorError, match=rf"line {line}\b") as refused:
        read_composed(text)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "no_rules"), ("rule = 3", "no_rules"), ("x" * (MAX_CHARACTERS + 1), "rules_long"), ("a=" + "[" * 5000, "rules_syntax")],
)
def test_what_is_no_file_of_rules_is_refused(text: str, reason: str) -> None:
    with pytest.raises(OperatorError) as refused:
        read_composed(text)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    "where",
    [
        '{ field = "country", is = ["US", "CA"] }, { field = "callee", starts_with = "+1" }',
        '{ field = "callee", starts_with = "+881" }, { field = "country", is = "DE" }',
        '{ field = "callee", starts_with = ["+23", "+49"] }, { field = "callee", starts_with = "+232" }',
        '{ field = "source", is = "192.0.0.0/16" }, { field = "source", not = "192.0.2.0/24" }',
        '{ field = "hour", from = 22, until = 6 }, { field = "hour", from = 5, until = 9 }',
        '{ field = "class", at_least = 2 }, { field = "class", not = [2, 3, 4] }',
        '{ field = "flag", is = ["cdr", "unrated"] }, { field = "flag", not = "cdr" }',
    ],
)
def test_what_can_hold_is_let_through(where: str) -> None:
    assert len(read_one(f'[rule.a]\nwhere = [{where}]\nper = "account"\nwindow = "1 h"\nact = 2\n').where) >= 2


# What is written can be read

words = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=12)


@st.composite
def predicates(draw: st.DrawFn, event: Event) -> Predicate:
    field = draw(st.sampled_from([field for field in FIELDS.values() if event in field.events]))
    operator = draw(st.sampled_from(OPERATORS[field.type]))
    match field.type:
        case FieldType.HOUR:
            low, length = draw(st.integers(0, 23)), draw(st.integers(0, 22))
            return Predicate(field=field.name, operator="between", low=low, high=(low + length) % 24)
        case FieldType.NUMBER if operator == "between":
            low, high = sorted(draw(st.tuples(*[st.integers(field.low, field.high)] * 2)))
            return Predicate(field=field.name, operator="between", low=low, high=high)
        case FieldType.NUMBER:
            values = draw(st.lists(st.integers(field.low, field.high).map(str), min_size=1, max_size=3, unique=True))
        case FieldType.COUNTRY:
            values = draw(st.lists(st.sampled_from(["DE", "SL", "US"]), min_size=1, max_size=2, unique=True))
        case FieldType.CODE | FieldType.FLAG:
            values = draw(st.lists(st.sampled_from(sorted(field.choices or {})), min_size=1, max_size=2, unique=True))
        case FieldType.WEEKDAY:
            values = draw(st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=3, unique=True))
        case FieldType.ADDRESS:
            values = draw(st.lists(st.sampled_from(["192.0.2.0/24", "2001:db8::/32", "198.51.100.7/32"]), min_size=1, unique=True))
        case _:
            values = draw(st.lists(words, min_size=1, max_size=3, unique=True))
    return Predicate(field=field.name, operator=operator, values=tuple(values))


@st.composite
def rules(draw: st.DrawFn) -> ComposedRule:
    event = draw(st.sampled_from(sorted(KINDS)))
    keys = [key.name for key in KEYS.values() if event in key.events]
    per = draw(st.sampled_from(keys))
    quantity = draw(st.sampled_from(["calls", "distinct"] + (["cost", "minutes"] if event is Event.END else [])))
    scale = {"cost": 10_000, "minutes": 6_000}.get(quantity, 1)
    warn, act = sorted(draw(st.tuples(*[st.integers(1, 5000)] * 2)))
    return ComposedRule(
        name=draw(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)),
        title=draw(words),
        mode=draw(st.sampled_from(["observe", "propose", "act"])),
        event=event,
        where=tuple(draw(st.lists(predicates(event), max_size=4))),
        quantity=quantity,  # type: ignore[arg-type]
        of=draw(st.sampled_from([key for key in keys if key not in (per, "all")])) if quantity == "distinct" else "",
        per=per,
        window_ms=draw(st.integers(10, 86_400)) * 1000,
        warn=warn * scale,
        act=act * scale,
    )


@settings(max_examples=150, deadline=None)
@given(rules())
def test_a_written_rule_reads_as_itself(rule: ComposedRule) -> None:
    if nonsense(rule) is None:
        assert read_one(write_rule(rule)) == rule
    else:
        with pytest.raises(OperatorError) as refused:
            read_one(write_rule(rule))
        assert refused.value.reason == "never_holds"


def test_windows_are_shown_in_their_largest_unit() -> None:
    assert [show_window(ms) for ms in (10_000, 90_000, 600_000, 3_600_000, 86_400_000)] == ["10 s", "90 s", "10 min", "1 h", "24 h"]


def test_ids_are_read_as_people_type_them() -> None:
    assert [as_rule_id(text) for text in ("", "d02", "D02", "X-night", "x-Night", "X-")] == ["", "D02", "D02", "X-night", "X-night", "X-"]
