"""Composed rules as TOML: read strictly, with line and reason, and written so that reading gives the same rule.

What is not understood is refused, and so is a rule that could never say anything: a predicate that can never hold looks like protection and
is none. Pure.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from ipaddress import ip_network
from typing import Any, Final, NoReturn

from ringfence.base.errors import OperatorError
from ringfence.detection.composed import (
    FIELDS,
    KEYS,
    KINDS,
    MAX_COUNT,
    MAX_EURO,
    MAX_MINUTES,
    MAX_PREDICATES,
    MAX_TEXT,
    MAX_VALUES,
    MAX_WINDOW_MS,
    MIN_WINDOW_MS,
    OPERATORS,
    WEEKDAYS,
    ComposedRule,
    Event,
    Field,
    FieldType,
    Predicate,
    Quantity,
)
from ringfence.detection.composed_sense import nonsense
from ringfence.telephony.model import country_code

MAX_CHARACTERS: Final = 256 * 1024
MAX_RULES: Final = 100
"""Rules of one file, and rules in force together."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_WINDOW = re.compile(r"([1-9][0-9]{0,5}) ?(s|min|h)")
_RULE_KEYS = ("title", "mode", "event", "where", "count", "per", "window", "warn", "act")
_CONDITION_KEYS = ("field", "is", "not", "starts_with", "contains", "at_least", "at_most", "from", "until")
_MS: Final = {"s": 1_000, "min": 60_000, "h": 3_600_000}
_MODES = ("observe", "propose", "act")


def read_composed(text: str) -> tuple[ComposedRule, ...]:
    """The rules of a file, by name. OperatorError with line and reason for the first mistake."""
    if len(text) > MAX_CHARACTERS:
        raise OperatorError(f"a file of rules has {MAX_CHARACTERS} characters at the most", reason="rules_long")
    try:
        tree = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        twice = "Cannot declare" in str(error) or "Cannot overwrite" in str(error)
        told = "the rules name something twice" if twice else "the rules are not TOML"
        raise OperatorError(f"{told}: {error}; correct that line.", reason="duplicate_rule" if twice else "rules_syntax") from None
    except RecursionError:
        raise OperatorError("the rules are nested too deeply", reason="rules_syntax") from None
    reader = _Reader(text)
    for key in tree:
        if key != "rule":
            reader.refuse("", key, f"{key} is not known here; a file of rules has tables such as [rule.night-calls]", "unknown_key")
    tables = tree.get("rule")
    if not isinstance(tables, dict) or not tables:
        raise OperatorError("there is no rule; add a table such as [rule.night-calls]", reason="no_rules")
    if len(tables) > MAX_RULES:
        raise OperatorError(f"a file has {MAX_RULES} rules at the most", reason="too_many_rules")
    return tuple(reader.rule(name, tables[name]) for name in sorted(tables))


def read_one(text: str) -> ComposedRule:
    """The only rule of a text. OperatorError when there are more."""
    rules = read_composed(text)
    if len(rules) != 1:
        raise OperatorError(f"this text has {len(rules)} rules; send them one by one", reason="many_rules")
    return rules[0]


def write_rule(rule: ComposedRule) -> str:
    """The rule as TOML; `read_one` of it is the same rule."""
    lines = [f"[rule.{rule.name}]", f"title = {_quoted(rule.title)}", f'mode = "{rule.mode}"', f'event = "{rule.event.value}"']
    if rule.where:
        lines.append("where = [")
        lines += [f"    {_condition_text(predicate)}," for predicate in rule.where]
        lines.append("]")
    counted = f"distinct {rule.of}" if rule.quantity == "distinct" else rule.quantity
    lines += [f'count = "{counted}"', f'per = "{rule.per}"', f'window = "{show_window(rule.window_ms)}"']
    if rule.warn != rule.act:
        lines.append(f"warn = {show_limit(rule, rule.warn)}")
    lines.append(f"act = {show_limit(rule, rule.act)}")
    return "\n".join(lines) + "\n"


def show_window(window_ms: int) -> str:
    """`10 min`, in the largest unit that is exact."""
    for unit in ("h", "min", "s"):
        if window_ms % _MS[unit] == 0:
            return f"{window_ms // _MS[unit]} {unit}"
    raise AssertionError("windows are whole seconds")


def show_limit(rule: ComposedRule, limit: int) -> str:
    """A limit as it is written: a count, euro or minutes."""
    match rule.quantity:
        case "cost":
            return _decimal(limit, 1_000_000)
        case "minutes":
            return _decimal(limit, 60_000)
        case _:
            return str(limit)


def _decimal(value: int, scale: int) -> str:
    text = format(Decimal(value) / scale, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _listed(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def _condition_text(predicate: Predicate) -> str:
    field = FIELDS[predicate.field]
    if predicate.operator != "between":
        plain = field.type is FieldType.NUMBER
        values = [_decimal(int(value), field.scale) if plain else _quoted(value) for value in predicate.values]
        said = f"{predicate.operator} = {_listed(values)}"
    elif field.type is FieldType.HOUR:
        said = f"from = {predicate.low}, until = {(predicate.high + 1) % 24 or 24}"
    else:
        bounds = [f"at_least = {_decimal(predicate.low, field.scale)}"] if predicate.low > field.low else []
        if predicate.high < field.high or not bounds:
            bounds.append(f"at_most = {_decimal(predicate.high, field.scale)}")
        said = ", ".join(bounds)
    return f'{{ field = "{predicate.field}", {said} }}'


class _Reader:
    """Turns tables into rules and knows on which line each key stands."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._name = ""
        self._where = -1

    def rule(self, name: str, table: Any) -> ComposedRule:
        self._name, self._where = name, -1
        if not _NAME.fullmatch(name):
            self.refuse(name, "", f"{name!r} is no name; write small letters, digits and hyphens, 40 at the most", "bad_name")
        if not isinstance(table, dict):
            self.refuse(name, "", f"{name} must be a table such as [rule.{name}]", "bad_rule")
        self._only(table, _RULE_KEYS, "a rule")
        event = self._event(table)
        quantity, of = self._quantity(table, event)
        per = self._key(table, "per", table.get("per"), event)
        if per == of:
            self.refuse(name, "count", f"one {per} has one {per}; count something else, or per another key", "never_holds")
        window_ms = self._window(table)
        warn, act = self._limits(table, quantity)
        where = self._conditions(table, event)
        rule = ComposedRule(
            name=name,
            title=self._title(table),
            mode=self._mode(table),
            event=event,
            where=where,
            quantity=quantity,
            of=of,
            per=per,
            window_ms=window_ms,
            warn=warn,
            act=act,
        )
        found = nonsense(rule)
        if found is not None:
            self._where = found.place
            self.refuse(name, "act" if found.place < 0 else "field", found.why, "never_holds")
        return rule

    def refuse(self, name: str, key: str, why: str, reason: str) -> NoReturn:
        """Raise with the line of a key, or of its rule when the key is not there."""
        raise OperatorError(f"line {self._line(name, key)} of the rules: {why}.", reason=reason)

    # The parts of a rule

    def _title(self, table: Mapping[str, Any]) -> str:
        title = table.get("title", self._name)
        if not isinstance(title, str) or not 1 <= len(title.strip()) <= 100 or not title.isprintable():
            self._no("title", "title must be a text of 1 to 100 printable characters", "bad_title")
        return str(title).strip()

    def _mode(self, table: Mapping[str, Any]) -> Any:
        mode = table.get("mode", "propose")
        if mode not in _MODES:
            self._no("mode", f"mode is {_short(mode)}; write observe, propose or act", "bad_mode")
        return mode

    def _event(self, table: Mapping[str, Any]) -> Event:
        event = table.get("event", Event.ATTEMPT.value)
        if event not in {known.value for known in KINDS}:
            self._no("event", f"event is {_short(event)}; write one of {', '.join(known.value for known in KINDS)}", "bad_event")
        return Event(event)

    def _quantity(self, table: Mapping[str, Any], event: Event) -> tuple[Quantity, str]:
        said = table.get("count", "calls")
        if not isinstance(said, str):
            self._no("count", 'count must be "calls", "distinct <key>", "cost" or "minutes"', "bad_count")
        match said.split():
            case ["calls"]:
                return "calls", ""
            case ["distinct", of]:
                of = self._key(table, "count", of, event)
                if of == "all":
                    self._no("count", "distinct all counts nothing; name a key such as account", "bad_count")
                return "distinct", of
            case ["cost" | "minutes" as quantity]:
                if event is not Event.END:
                    self._no("count", f'{quantity} is known at the end of a call only; write event = "end"', "never_holds")
                return ("cost", "") if quantity == "cost" else ("minutes", "")
        raise self._error("count", f'count is {_short(said)}; write "calls", "distinct <key>", "cost" or "minutes"', "bad_count")

    def _key(self, table: Mapping[str, Any], place: str, key: Any, event: Event) -> str:
        if place == "per" and "per" not in table:
            self._no("per", f"per is missing; write one of {', '.join(KEYS)}", "missing_key")
        if not isinstance(key, str) or key not in KEYS:
            self._no(place, f"{_short(key)} is no key{_closest(key, list(KEYS))}; write one of {', '.join(KEYS)}", "bad_key")
        if event not in KEYS[key].events:
            self._no(place, f"a row of event {event.value} has no {key}, so nothing could be counted", "never_holds")
        return key

    def _window(self, table: Mapping[str, Any]) -> int:
        said = table.get("window")
        match = _WINDOW.fullmatch(said) if isinstance(said, str) else None
        window_ms = int(match[1]) * _MS[match[2]] if match else 0
        if not MIN_WINDOW_MS <= window_ms <= MAX_WINDOW_MS:
            self._no("window", f'window is {_short(said)}; write "10 s" to "24 h", such as "10 min"', "bad_window")
        return window_ms

    def _limits(self, table: Mapping[str, Any], quantity: Quantity) -> tuple[int, int]:
        if "act" not in table:
            self._no("act", "act is missing; write the limit from which the rule is sure", "missing_limit")
        act = self._limit(quantity, "act", table["act"])
        warn = self._limit(quantity, "warn", table["warn"]) if "warn" in table else act
        if warn > act:
            self._no("warn", "warn is above act; act must be the higher limit", "warn_above_act")
        return warn, act

    def _limit(self, quantity: Quantity, name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | Decimal) or (isinstance(value, Decimal) and not value.is_finite()):
            self._no(name, f"{name} must be a number", "bad_limit")
        if value <= 0:
            self._no(name, f"{name} is {value}; a limit is above zero", "negative_limit")
        match quantity:
            case "cost":
                if value > MAX_EURO or value * 100 != int(value * 100):
                    self._no(name, f"{name} is {value}; write euro up to {MAX_EURO:,} with two decimals at the most", "bad_limit")
                return int(value * 1_000_000)
            case "minutes":
                if value > MAX_MINUTES or value * 10 != int(value * 10):
                    self._no(name, f"{name} is {value}; write minutes up to {MAX_MINUTES:,} with one decimal at the most", "bad_limit")
                return int(value * 60_000)
            case _:
                if value != int(value) or value > MAX_COUNT:
                    self._no(name, f"{name} is {value}; write a whole number up to {MAX_COUNT:,}", "bad_limit")
                return int(value)

    # Predicates

    def _conditions(self, table: Mapping[str, Any], event: Event) -> tuple[Predicate, ...]:
        said = table.get("where", [])
        if not isinstance(said, list) or len(said) > MAX_PREDICATES:
            self._no("where", f"where must be a list of {MAX_PREDICATES} predicates at the most", "bad_where")
        found = []
        for place, condition in enumerate(said):
            self._where = place
            found.append(self._condition(condition, event))
        self._where = -1
        return tuple(found)

    def _condition(self, said: Any, event: Event) -> Predicate:
        if not isinstance(said, dict):
            self._no("field", 'a predicate is a table such as { field = "country", is = "SL" }', "bad_where")
        self._only(said, _CONDITION_KEYS, "a predicate")
        name = said.get("field")
        if not isinstance(name, str) or name not in FIELDS:
            self._no("field", f"{_short(name)} is no field{_closest(name, list(FIELDS))}; write one of {', '.join(FIELDS)}", "bad_field")
        field = FIELDS[name]
        if event not in field.events:
            self._no("field", f"a row of event {event.value} has no {name}, so this can never hold", "never_holds")
        match sorted(said.keys() - {"field"}):
            case ["at_least"] | ["at_most"] | ["at_least", "at_most"] if field.type is FieldType.NUMBER:
                low = self._number(field, said["at_least"]) if "at_least" in said else field.low
                high = self._number(field, said["at_most"]) if "at_most" in said else field.high
                return Predicate(field=name, operator="between", low=low, high=high)
            case ["from", "until"] if field.type is FieldType.HOUR:
                return self._hours(name, said["from"], said["until"])
            case ["is" | "not" | "starts_with" | "contains" as operator] if operator in OPERATORS[field.type]:
                values = said[operator] if isinstance(said[operator], list) else [said[operator]]
                if not 1 <= len(values) <= MAX_VALUES:
                    self._no("field", f"{operator} of {name} needs 1 to {MAX_VALUES} values", "never_holds" if not values else "bad_value")
                texts = [self._value(field, value) for value in values]
                return Predicate(field=name, operator=operator, values=tuple(dict.fromkeys(texts)))
        raise self._error("field", f"{name} takes {_operators(field)}", "bad_operator")

    def _hours(self, name: str, low: Any, high: Any) -> Predicate:
        for value in (low, high):
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 24:
                self._no("field", f"{_short(value)} is no hour; write whole hours, such as from = 22, until = 6", "bad_value")
        if low % 24 == high % 24 and not (low == 0 and high == 24):
            self._no("field", f"from {low} until {high} is an empty range of hours; it can never hold", "never_holds")
        return Predicate(field=name, operator="between", low=low % 24, high=(high - 1) % 24)

    def _number(self, field: Field, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | Decimal) or (isinstance(value, Decimal) and not value.is_finite()):
            self._no("field", f"{field.name} is {_short(value)}; write a number", "bad_value")
        if value < 0:
            self._no("field", f"{field.name} is {value}; it is never negative", "negative_value")
        scaled = value * field.scale
        if scaled != int(scaled):
            self._no("field", f"{field.name} is {value}; that has too many decimals", "bad_value")
        return int(min(scaled, 1 << 62))

    def _value(self, field: Field, value: Any) -> str:
        if field.type is FieldType.NUMBER:
            return str(self._number(field, value))
        if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT or not value.isprintable():
            self._no("field", f"{field.name} needs texts of 1 to {MAX_TEXT} printable characters", "bad_value")
        match field.type:
            case FieldType.COUNTRY:
                if not country_code(value):
                    self._no("field", f"{_short(value)} is no country; write two letters, such as SL", "bad_value")
                return value.upper()
            case FieldType.CODE | FieldType.FLAG:
                choices = field.choices or {}
                if value not in choices:
                    self._no("field", f"{_short(value)} is no {field.name}; write one of {', '.join(choices)}", "bad_value")
            case FieldType.WEEKDAY:
                if value not in WEEKDAYS:
                    self._no("field", f"{_short(value)} is no weekday; write one of {', '.join(WEEKDAYS)}", "bad_value")
            case FieldType.ADDRESS:
                try:
                    return str(ip_network(value, strict=False))
                except ValueError:
                    self._no("field", f"{_short(value)} is no address and no network; write 192.0.2.0/24", "bad_value")
            case _:
                pass
        return value

    # Where it stands

    def _only(self, table: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
        for key in table:
            if key not in known:
                self._no(key, f"{key} is not known in {what}{_closest(key, list(known))}", "unknown_key")

    def _no(self, key: str, why: str, reason: str) -> NoReturn:
        raise self._error(key, why, reason)

    def _error(self, key: str, why: str, reason: str) -> OperatorError:
        return OperatorError(f"line {self._line(self._name, key)} of the rules: {why}.", reason=reason)

    def _line(self, name: str, key: str) -> int:
        """Line of a key in a rule; within its n-th predicate when one is being read."""
        inside, best, seen = not name, 1, -1
        for number, line in enumerate(self._lines, start=1):
            if header := re.match(r"\s*\[{1,2}\s*([^\]]+?)\s*\]{1,2}\s*(?:#.*)?$", line):
                table = re.sub(r"[\s\"']", "", header[1])
                was, inside = inside, not name or table == f"rule.{name}" or table.startswith(f"rule.{name}.")
                if inside and not was:
                    best = number
                if not name and key and table.split(".", 1)[0] == key:
                    return number
            if not inside:
                continue
            if self._where >= 0:
                best = number if re.match(r"\s*where\s*=", line) else best
                before, seen = seen, seen + len(re.findall(r"(?:^|[\s{,])[\"']?field[\"']?\s*=", line))
                if before < self._where <= seen:
                    return number
            elif key and re.search(rf"^\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
                return number
        return best


def _operators(field: Field) -> str:
    match field.type:
        case FieldType.NUMBER:
            return "one of is, not, or at_least and at_most"
        case FieldType.HOUR:
            return "from and until"
        case _:
            return f"exactly one of {', '.join(OPERATORS[field.type])}"


def _short(value: Any) -> str:
    return "missing" if value is None else repr(value)[:60]


def _closest(word: Any, words: list[str]) -> str:
    found = difflib.get_close_matches(word, words, n=1) if isinstance(word, str) else []
    return f" (did you mean {found[0]}?)" if found else ""
