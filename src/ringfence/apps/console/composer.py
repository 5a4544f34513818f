"""The composer's form and the rule's text, each out of the other. Pure; the text's own reader decides what is right.

The one thing to know: the form has a fixed number of lines for predicates, so that it works without scripts; a rule with more is edited as
text.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ringfence.apps.console.forms import Short, Text
from ringfence.detection.composed import EVENTS, FIELDS, KEYS, ComposedRule, FieldType, Predicate
from ringfence.detection.composed_text import read_one, show_limit, show_window, write_rule

LINES: Final = 6
OPERATORS: Final = (
    ("is", "is one of"),
    ("not", "is none of"),
    ("starts_with", "begins with"),
    ("contains", "contains"),
    ("at_least", "at least"),
    ("at_most", "at most"),
    ("hours", "from–until"),
)
COUNTS: Final = (
    ("calls", "rows (calls, attempts)"),
    ("cost", "cost in euro"),
    ("minutes", "minutes of talk"),
    *((f"distinct {key.name}", f"different {key.many}") for key in KEYS.values() if key.many),
)
WINDOW_UNITS: Final = (("s", "seconds"), ("min", "minutes"), ("h", "hours"))
MODES: Final = (("observe", "observe: alert only"), ("propose", "propose: a person decides"), ("act", "act: block by itself"))
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?")
_WHERE = re.compile(r"line \d+ of the rules: ")


class ComposerForm(msgspec.Struct, frozen=True):
    """What a person filled in; `toml` counts before everything else when it is there."""

    name: Short = ""
    title: Text = ""
    mode: Short = "propose"
    event: Short = "attempt"
    count: Short = "calls"
    per: Short = "account"
    window: Short = "10"
    unit: Short = "min"
    warn: Short = ""
    act: Short = "3"
    field: tuple[str, ...] = ()
    operator: tuple[str, ...] = ()
    value: tuple[str, ...] = ()
    toml: str = ""
    note: Text = ""
    days: Short = "30"
    confirm: Short = ""
    then: Short = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A predicate as the form shows it."""

    field: str = ""
    operator: str = "is"
    value: str = ""


def text_of(form: ComposerForm) -> str:
    """The rule's TOML: what was written as text, else what the fields say. Whether it is right is for the reader to say."""
    if form.toml.strip():
        return form.toml
    where = [_condition(line) for line in lines_of(form) if line.field]
    written = [f"[rule.{_quoted(form.name)}]", f"title = {_quoted(form.title or form.name)}"]
    written += [f"{key} = {_quoted(getattr(form, key))}" for key in ("mode", "event", "count", "per")]
    written += [f"where = [{', '.join(where)}]", f"window = {_quoted(f'{form.window} {form.unit}')}", f"act = {_number(form.act)}"]
    if form.warn:
        written.append(f"warn = {_number(form.warn)}")
    return "\n".join(written) + "\n"


def rule_of(form: ComposerForm) -> ComposedRule:
    """The rule of the form. OperatorError with the reason when it is none."""
    return read_one(text_of(form))


def plain(trouble: str, form: ComposerForm) -> str:
    """An error for the person: a line number means something only where there is a text."""
    told = trouble if form.toml.strip() else _WHERE.sub("", trouble)
    return f"{told[:1].upper()}{told[1:]}{'' if told.endswith('.') else '.'}"


def lines_of(form: ComposerForm) -> list[Line]:
    """The lines of the form, always as many."""
    given = [Line(field=name, operator=how, value=what) for name, how, what in zip(form.field, form.operator, form.value, strict=False)]
    return (given + [Line()] * LINES)[:LINES]


def form_of(rule: ComposedRule) -> ComposerForm:
    """The form that gives this rule; as text when it has more predicates than lines."""
    lines = [line for predicate in rule.where for line in _lines(predicate)]
    window, unit = show_window(rule.window_ms).split()
    form = ComposerForm(
        name=rule.name,
        title=rule.title,
        mode=rule.mode,
        event=rule.event.value,
        count=f"distinct {rule.of}" if rule.quantity == "distinct" else rule.quantity,
        per=rule.per,
        window=window,
        unit=unit,
        warn=show_limit(rule, rule.warn) if rule.warn != rule.act else "",
        act=show_limit(rule, rule.act),
        field=tuple(line.field for line in lines),
        operator=tuple(line.operator for line in lines),
        value=tuple(line.value for line in lines),
    )
    return msgspec.structs.replace(form, toml=write_rule(rule)) if len(lines) > LINES else form


def choices() -> Mapping[str, Any]:
    """What the selects of the form offer."""
    return {
        "events": [(event.value, about) for event, about in EVENTS.items()],
        "fields": [(field.name, field.about) for field in FIELDS.values()],
        "keys": [(key.name, key.about) for key in KEYS.values()],
        "operators": OPERATORS,
        "quantities": COUNTS,
        "units": WINDOW_UNITS,
        "modes": MODES,
    }


def in_words(predicate: Predicate) -> str:
    """`country is SL`, `hour 22–6`."""
    names = dict(OPERATORS)
    return ", ".join(f"{line.field} {names[line.operator]} {line.value}" for line in _lines(predicate))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _number(text: str) -> str:
    """A number as it is; anything else as a text, which the reader refuses by name."""
    return text if _NUMBER.fullmatch(text) else _quoted(text)


def _condition(line: Line) -> str:
    field = FIELDS.get(line.field)
    number = field is not None and field.type in (FieldType.NUMBER, FieldType.HOUR)
    if line.operator == "hours":
        low, _, high = re.sub(r"[–—]", "-", line.value).partition("-")
        said = f"from = {_number(low.strip())}, until = {_number(high.strip())}"
    elif line.operator in ("at_least", "at_most"):
        said = f"{line.operator} = {_number(line.value)}"
    else:
        values = [value.strip() for value in line.value.split(",") if value.strip()]
        said = f"{_key(line.operator)} = [{', '.join(_number(value) if number else _quoted(value) for value in values)}]"
    return f"{{ field = {_quoted(line.field)}, {said} }}"


def _key(operator: str) -> str:
    return operator if operator in dict(OPERATORS) else "is"


def _lines(predicate: Predicate) -> list[Line]:
    field = FIELDS[predicate.field]
    if predicate.operator != "between":
        scaled = [_plain(int(value), field.scale) if field.type is FieldType.NUMBER else value for value in predicate.values]
        return [Line(field=predicate.field, operator=predicate.operator, value=", ".join(scaled))]
    if field.type is FieldType.HOUR:
        return [Line(field=predicate.field, operator="hours", value=f"{predicate.low}–{(predicate.high + 1) % 24 or 24}")]
    found = []
    if predicate.low > field.low:
        found.append(Line(field=predicate.field, operator="at_least", value=_plain(predicate.low, field.scale)))
    if predicate.high < field.high or not found:
        found.append(Line(field=predicate.field, operator="at_most", value=_plain(predicate.high, field.scale)))
    return found


def _plain(value: int, scale: int) -> str:
    return f"{value / scale:.6f}".rstrip("0").rstrip(".") if scale > 1 else str(value)
