"""Rule sets: which detector judges whom, at which thresholds, and what follows.

A rule set is a TOML text with a version. Reading is strict: whatever is not understood is refused with its line, because a misspelt
threshold is a hole nobody sees. Thresholds are integers in the kernel's units; factors are percent and are applied once per profile, so
the kernel only looks up. Nothing here reads a file.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, NoReturn

import numpy as np

from ringfence.base.errors import OperatorError
from ringfence.detection.findings import Parameter, RuleSpec, Unit
from ringfence.detection.layout import (
    COST_DETECTORS,
    EURO_DETECTORS,
    FACTOR_DETECTORS,
    LIGHT_DETECTORS,
    LIMIT_MONTH_FLOOR,
    LIMIT_USUAL_FLOOR,
    MAX_TRIALS,
    MINUTE,
    MINUTE_DETECTORS,
    NEVER,
    PROFILE_WORDS,
    SIGNAL_DETECTORS,
    THRESHOLD_ROW,
    VARIANTS,
    Detector,
)
from ringfence.detection.rule_book import rule_specs
from ringfence.detection.tables import Words
from ringfence.telephony.control import Segment
from ringfence.telephony.suspicion import Mode

SEGMENTS: Final[tuple[Segment, ...]] = ("residential", "business", "trunk")
MODES: Final[tuple[Mode, ...]] = ("observe", "propose", "act")
MAX_RULES_CHARACTERS = 256 * 1024
MAX_COUNT: Final = 1_000_000
MAX_EURO: Final = 1_000_000
MAX_CHANNELS: Final = 100_000
MAX_FACTOR: Final = 100
TRUNK_CHANNELS: Final = 10
"""Trunk limits are written for this many channels and scale with the trunk's own, never below one such portion."""

MAX_BAG: Final = 16_383
"""Calls of an account that the kernel remembers at the most: no count is ever higher."""
REACHABLE: Final[dict[Detector, int]] = {Detector.D12: 260, Detector.D14: 1_000, Detector.D16: MAX_TRIALS}
"""What a count can come to where the world sets a bound: countries there are, numbers of one range. The rest: `MAX_BAG`."""

_RULE_KEYS = ("name", "mode", *SEGMENTS, "off_hours", "new_account")
_SCALE: Final[dict[str, int]] = {"euro": 1_000_000, "minutes": MINUTE}
_CHANNELS = re.compile(r"channels(?: \+ ([0-9]{1,4}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A limit in the kernel's units; `per_channel`: added to the channels of the account."""

    value: int
    per_channel: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One detector with its limits: `(warn, act)` by segment, factors in percent."""

    detector: Detector
    name: str
    mode: Mode
    limits: tuple[tuple[Threshold, Threshold], ...]
    off_hours: int
    new_account: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What of an account the limits depend on. `exempt_until_ms` 0: not exempt."""

    segment: Segment = "residential"
    channels: int = 1
    sensitivity: int = 0
    exempt_until_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A rule outside the kernel as the set has it: values by parameter and segment."""

    name: str
    mode: Mode
    values: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """Rules in force together: the kernel's by detector, the others by id. `text` is what they were read from."""

    version: int
    rules: dict[Detector, Rule]
    text: str
    chosen: dict[str, Chosen] = field(default_factory=dict)
    """By rule id; of a kernel's detector only its further parameters."""

    def has(self, rule_id: str) -> bool:
        """Whether the rule is in the set; one that is not is off."""
        return (rule_id in Detector.__members__ and Detector[rule_id] in self.rules) or rule_id in self.chosen

    def mode(self, rule_id: str) -> Mode:
        """What follows when the rule acts; observe for a rule that is off."""
        if rule_id in Detector.__members__ and (rule := self.rules.get(Detector[rule_id])) is not None:
            return rule.mode
        return self.chosen[rule_id].mode if rule_id in self.chosen else "observe"

    def name(self, rule_id: str) -> str:
        """What people call the rule; its id when it is off."""
        if rule_id in Detector.__members__ and (rule := self.rules.get(Detector[rule_id])) is not None:
            return rule.name
        return self.chosen[rule_id].name if rule_id in self.chosen else rule_id

    def value(self, rule_id: str, name: str, segment: Segment = "residential") -> int:
        """A parameter of a rule as `findings.Parameter` says; the default where the rule is off. KeyError for one that no rule has."""
        chosen = self.chosen.get(rule_id)
        if chosen is not None:
            return chosen.values[name][SEGMENTS.index(segment)]
        return next(_default(each)[SEGMENTS.index(segment)] for each in _parameters(rule_id) if each.name == name)


def read_rules(text: str, *, version: int | None = None) -> RuleSet:
    """The rule set in a TOML text. `version` replaces the text's own, for saved versions. OperatorError with the line of the mistake."""
    if len(text) > MAX_RULES_CHARACTERS:
        raise OperatorError(f"a rule set has {MAX_RULES_CHARACTERS} characters at the most", reason="rules_long")
    try:
        tree = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        reason = "duplicate_rule" if "Cannot declare" in str(error) or "Cannot overwrite" in str(error) else "rules_syntax"
        told = f"the rules are not TOML: {error}"
        if reason == "duplicate_rule":
            told = f"the rules name something twice: {error}"
        raise OperatorError(f"{told}; correct that line.", reason=reason) from None
    reader = _Reader(text)
    for key in tree:
        if key not in ("version", "rules"):
            reader.refuse((), key, f"{key} is not known here; a rule set has version and rules", "unknown_key")
    own = tree.get("version")
    if not isinstance(own, int) or isinstance(own, bool) or not 1 <= own <= 2**31:
        reader.refuse((), "version", "version must be a whole number from 1 on", "rules_version")
    tables = tree.get("rules")
    if not isinstance(tables, dict) or not tables:
        reader.refuse((), "rules", "there is no rule; add a table such as [rules.D02]", "no_rules")
    rules: dict[Detector, Rule] = {}
    chosen: dict[str, Chosen] = {}
    for key, table in tables.items():
        if key in Detector.__members__ and Detector[key] not in SIGNAL_DETECTORS:
            rules[Detector[key]] = rule = reader.rule(key, table)
            if _parameters(key):
                chosen[key] = Chosen(name=rule.name, mode=rule.mode, values=reader.values(key, table))
        else:
            chosen[key] = reader.chosen(key, table)
    return RuleSet(
        version=own if version is None else version,
        rules=dict(sorted(rules.items())),
        text=text,
        chosen=dict(sorted(chosen.items())),
    )


class _Reader:
    """Turns tables into rules and knows on which line each key stands."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()

    def rule(self, key: str, table: Any) -> Rule:
        path, detector = ("rules", key), Detector[key]
        self._known_keys(key, table, [*_RULE_KEYS, *(each.name for each in _parameters(key))])
        return Rule(
            detector=detector,
            name=self._name(path, table, key),
            mode=self._mode(path, table, "propose"),
            limits=tuple(self._limits(path, detector, segment, table.get(segment)) for segment in SEGMENTS),
            off_hours=self._percent(path, table, "off_hours"),
            new_account=self._percent(path, table, "new_account"),
        )

    def chosen(self, key: str, table: Any) -> Chosen:
        """A rule outside the kernel."""
        spec = rule_specs().get(key)
        if spec is None:
            self.refuse(("rules",), key, f"{key} is no detector{_closest(key, [*Detector.__members__, *rule_specs()])}", "unknown_rule")
        self._known_keys(key, table, ["name", "mode", *(each.name for each in spec.parameters)])
        path = ("rules", key)
        return Chosen(name=self._name(path, table, spec.name), mode=self._mode(path, table, spec.mode), values=self.values(key, table))

    def values(self, key: str, table: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        """Every parameter of a rule, by segment; what is left out has its default."""
        path = ("rules", key)
        values = {each.name: self._value(path, each, table.get(each.name)) for each in _parameters(key)}
        for name, warn in values.items():
            act = values.get(name.replace("warn", "act"), warn)
            if any(low > high for low, high in zip(warn, act, strict=True)):
                self.refuse(path, name, f"{name} is above {name.replace('warn', 'act')}; act must be the higher limit", "warn_above_act")
        return values

    def _value(self, path: tuple[str, ...], parameter: Parameter, given: Any) -> tuple[int, ...]:
        if given is None:
            return _default(parameter)
        if not isinstance(given, dict):
            return (self._number(path, parameter, parameter.name, given),) * len(SEGMENTS)
        if isinstance(parameter.default, int):
            self.refuse(path, parameter.name, f"{parameter.name} is one number for everybody; write {parameter.name} = ...", "bad_limit")
        for segment in given:
            if segment not in SEGMENTS:
                self.refuse(path, parameter.name, f"{segment} is no segment{_closest(segment, list(SEGMENTS))}", "unknown_key")
        for segment in SEGMENTS:
            if segment not in given:
                self.refuse(path, parameter.name, f"{parameter.name} has no value for {segment}", "missing_limit")
        return tuple(self._number(path, parameter, f"{parameter.name} of {segment}", given[segment]) for segment in SEGMENTS)

    def _number(self, path: tuple[str, ...], parameter: Parameter, what: str, given: Any) -> int:
        if isinstance(given, bool) or not isinstance(given, int | Decimal) or (isinstance(given, Decimal) and not given.is_finite()):
            self.refuse(path, parameter.name, f"{what} must be a number", "bad_limit")
        if given < 0:
            self.refuse(path, parameter.name, f"{what} is {given}; a limit is above zero", "negative_limit")
        scale = _SCALE.get(parameter.unit, 1)
        fine = 100 if parameter.unit == "euro" else 1
        if given > 10**12 or given * fine != int(given * fine):
            exact = "euro with two decimals at the most" if parameter.unit == "euro" else f"whole {parameter.unit}"
            self.refuse(path, parameter.name, f"{what} is {given}; write {exact}", "bad_limit")
        value = int(given * scale)
        if not parameter.low <= value <= parameter.high:
            bounds = f"{_plain(parameter.low, scale)} to {_plain(parameter.high, scale)}"
            self.refuse(
                path, parameter.name, f"{what} is {given}; {bounds} {parameter.unit} can hold, beyond it never does", "out_of_bounds"
            )
        return value

    def _known_keys(self, key: str, table: Any, known: list[str]) -> None:
        if not isinstance(table, dict):
            self.refuse(("rules",), key, f"{key} must be a table such as [rules.{key}]", "bad_rule")
        for name in table:
            if name not in known:
                self.refuse(("rules", key), name, f"{name} is not known in {key}{_closest(name, known)}", "unknown_key")

    def _mode(self, path: tuple[str, ...], table: dict[str, Any], default: Mode) -> Mode:
        mode: Mode = table.get("mode", default)
        if mode not in MODES:
            self.refuse(path, "mode", f"mode is {mode!r}; write observe, propose or act", "bad_mode")
        return mode

    def _name(self, path: tuple[str, ...], table: dict[str, Any], default: str) -> str:
        name = table.get("name", default)
        if not isinstance(name, str) or not 1 <= len(name) <= 100 or not name.isprintable():
            self.refuse(path, "name", "name must be a text of 1 to 100 printable characters", "bad_name")
        return name

    def _limits(self, path: tuple[str, ...], detector: Detector, segment: str, pair: Any) -> tuple[Threshold, Threshold]:
        if pair is None:
            self.refuse(path, "", f"{path[-1]} has no limits for {segment}; add {segment} = {{ warn = ..., act = ... }}", "missing_limit")
        if not isinstance(pair, dict):
            self.refuse(path, segment, f"{segment} must be {{ warn = ..., act = ... }}", "bad_limit")
        for name in pair:
            if name not in ("warn", "act"):
                self.refuse(path, segment, f"{name} is not known in limits; write warn and act", "unknown_key")
        values = []
        for name in ("warn", "act"):
            if name not in pair:
                self.refuse(path, segment, f"{segment} has no {name}", "missing_limit")
            values.append(self._threshold(path, detector, segment, name, pair[name]))
        warn, act = values
        if (warn.per_channel, warn.value) > (act.per_channel, act.value) or (warn.per_channel and not act.per_channel):
            self.refuse(path, segment, f"warn of {segment} is above act; act must be the higher limit", "warn_above_act")
        return warn, act

    def _threshold(self, path: tuple[str, ...], detector: Detector, segment: str, name: str, value: Any) -> Threshold:
        what = f"{name} of {segment}"
        if isinstance(value, str):
            match = _CHANNELS.fullmatch(value)
            if detector is not Detector.D08 or segment == "residential" or match is None:
                self.refuse(path, segment, f'{what} is {value!r}; write a number (or, for D08, "channels + N")', "bad_limit")
            return Threshold(value=int(match[1] or 0), per_channel=True)
        if isinstance(value, bool) or not isinstance(value, int | Decimal) or (isinstance(value, Decimal) and not value.is_finite()):
            self.refuse(path, segment, f"{what} must be a number", "bad_limit")
        if value <= 0:
            self.refuse(path, segment, f"{what} is {value}; a limit is above zero", "negative_limit")
        if detector in COST_DETECTORS:
            if value > MAX_EURO or value * 100 != int(value * 100):
                self.refuse(path, segment, f"{what} is {value}; write euro up to {MAX_EURO:,} with two decimals at the most", "bad_limit")
            return Threshold(value=int(value * 1_000_000) * MINUTE)
        if detector in FACTOR_DETECTORS:
            if value > MAX_FACTOR or value * 100 != int(value * 100):
                told = f"{what} is {value}; write how often the usual, up to {MAX_FACTOR}, with two decimals at the most"
                self.refuse(path, segment, told, "bad_limit")
            return Threshold(value=int(value * 100))
        if value != int(value) or value > MAX_COUNT:
            self.refuse(path, segment, f"{what} is {value}; write a whole number up to {MAX_COUNT:,}", "bad_limit")
        if detector not in MINUTE_DETECTORS and value > (most := REACHABLE.get(detector, MAX_BAG)):
            self.refuse(
                path, segment, f"{what} is {value}; {detector.name} never counts more than {most:,}, so it could not hold", "never_holds"
            )
        if detector in LIGHT_DETECTORS and value < 2:
            self.refuse(path, segment, f"{what} is {value}; every call would reach it, write 2 or more", "bad_limit")
        return Threshold(value=int(value) * (MINUTE if detector in MINUTE_DETECTORS else 1))

    def _percent(self, path: tuple[str, ...], table: dict[str, Any], name: str) -> int:
        value = table.get(name, 100)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100:
            self.refuse(path, name, f"{name} is {value}; write percent from 1 to 100", "bad_factor")
        return value

    def refuse(self, path: tuple[str, ...], key: str, why: str, reason: str) -> NoReturn:
        """Raise with the line of a key (or of its table when the key is not there)."""
        raise OperatorError(f"line {self._line(path, key)} of the rules: {why}.", reason=reason)

    def _line(self, path: tuple[str, ...], key: str) -> int:
        table, below, best = "", 1, 1
        wanted = ".".join(path)
        for number, line in enumerate(self._lines, start=1):
            if header := re.match(r"\s*\[\s*([^\]]+?)\s*\]", line):
                table = re.sub(r"[\s\"']", "", header[1])
                if table == wanted or (key and table == f"{wanted}.{key}".lstrip(".")):
                    below = best = number
                    if table != wanted:
                        return number
            elif table == wanted and key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
                return number
        return best or below


def _parameters(rule_id: str) -> tuple[Parameter, ...]:
    spec: RuleSpec | None = rule_specs().get(rule_id)
    return spec.parameters if spec is not None else ()


def _default(parameter: Parameter) -> tuple[int, ...]:
    given = parameter.default
    return (given,) * len(SEGMENTS) if isinstance(given, int) else tuple(given[segment] for segment in SEGMENTS)


def _plain(value: int, scale: int) -> str:
    return f"{value / scale:,.2f}".removesuffix(".00")


def rule_toml(spec: RuleSpec) -> str:
    """The table of a rule with its defaults, as the built-in file writes it."""
    lines = [f"[rules.{spec.rule}]", f'name = "{spec.name}"', f'mode = "{spec.mode}"']
    for each in spec.parameters:
        scale = _SCALE.get(each.unit, 1)
        written = [f"{value / scale:.2f}".removesuffix(".00") for value in _default(each)]
        pairs = ", ".join(f"{segment} = {value}" for segment, value in zip(SEGMENTS, written, strict=True))
        lines.append(f"{each.name} = {written[0] if isinstance(each.default, int) else '{ ' + pairs + ' }'}")
    return "\n".join(lines) + "\n"


def _closest(word: str, words: list[str]) -> str:
    found = difflib.get_close_matches(word, words, n=1)
    return f" (did you mean {found[0]}?)" if found else ""


def limit_of(rule: Rule, profile: Profile, place: int, variant: int) -> int:
    """The limit in force: `place` 0 warn or 1 act, `variant` bit 1 off hours, bit 0 new account. Kernel's units, at least one.

    Rounded up. A count is never lowered below two, nor raised by that: at night a single call must not be enough to act.
    """
    threshold = rule.limits[SEGMENTS.index(profile.segment)][place]
    full = threshold.value
    if threshold.per_channel:
        full = max(profile.channels + threshold.value, rule.limits[0][place].value)
    elif profile.segment == "trunk" and rule.detector not in (*FACTOR_DETECTORS, Detector.D17):
        full = full * max(profile.channels, TRUNK_CHANNELS) // TRUNK_CHANNELS
    share = (rule.off_hours if variant & 2 else 100) * (rule.new_account if variant & 1 else 100) * (200 - profile.sensitivity)
    lowered = -(-full * share // 2_000_000)
    if rule.detector is Detector.D04:  # Only what goes beyond the usual month shrinks.
        return max(100 - (-(full - 100) * share // 2_000_000), 100)
    if rule.detector in (*COST_DETECTORS, *FACTOR_DETECTORS, *MINUTE_DETECTORS):
        return max(lowered, 1)
    return max(lowered, min(full, 2))


def profile_words(rules: RuleSet, profile: Profile) -> Words:
    """The row of a profile in the kernel's table of thresholds; a detector without a rule is never reached."""
    words = np.full(PROFILE_WORDS, NEVER, np.int64)
    for variant in range(VARIANTS):
        for detector, rule in rules.rules.items():
            place = (variant * THRESHOLD_ROW + detector) * 2
            words[place] = limit_of(rule, profile, 0, variant)
            words[place + 1] = limit_of(rule, profile, 1, variant)
        row = variant * THRESHOLD_ROW * 2
        words[row + LIMIT_MONTH_FLOOR] = rules.value("D04", "floor", profile.segment) * MINUTE
        words[row + LIMIT_USUAL_FLOOR] = rules.value("D20", "floor", profile.segment) * MINUTE
        if rules.has("D19"):
            words[row + 2 * Detector.D19] = 1
            words[row + 2 * Detector.D19 + 1] = rules.value("D19", "score", profile.segment)
    words[THRESHOLD_ROW * 2 - 1] = profile.exempt_until_ms
    return words


UNIT_OF: Final[dict[Detector, Unit]] = {
    Detector.D01: "euro",
    Detector.D02: "euro",
    Detector.D03: "euro",
    Detector.D06: "calls",
    Detector.D07: "calls",
    Detector.D08: "calls",
    Detector.D09: "calls",
    Detector.D10: "calls",
    Detector.D11: "numbers",
    Detector.D12: "countries",
    Detector.D14: "numbers",
    Detector.D18: "minutes",
    Detector.D21: "calls",
    Detector.D13: "calls",
    Detector.D16: "numbers",
    Detector.D17: "minutes",
    Detector.D22: "calls",
    Detector.D25: "calls",
    Detector.D05: "calls",
    Detector.D04: "euro",
    Detector.D20: "euro",
    Detector.D19: "countries",
}


def plain_value(detector: Detector, value: int) -> int:
    """A kernel value as people and other rooms count it: micro-euro, milliseconds of talk, or a count."""
    return value // MINUTE if detector in EURO_DETECTORS else value
