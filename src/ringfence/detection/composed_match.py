"""Which rows of a batch a composed rule looks at, and what it counts of them, as columns.

Predicates become NumPy masks; texts are read only where all numbers agree. The preview asks the same of whole days at once, so nothing here
knows how long a batch is. The one thing to know: rows of agents without a key are counted under keys of their own.
"""

from collections.abc import Callable
from datetime import datetime
from hashlib import blake2b
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from ringfence.detection.composed import FIELDS, KINDS, NUMBERED, WEEKDAYS, ComposedRule, Event, FieldType, Predicate, folded
from ringfence.detection.composed_sense import HOURS, hours_of
from ringfence.detection.composed_windows import LATE_MS
from ringfence.detection.layout import MINUTE
from ringfence.telephony.columns import RowBatch
from ringfence.telephony.model import DestinationClass, Flag, Kind, country_code

QUARTER_MS: Final = 15 * MINUTE
"""Zones change their offset at whole quarters of an hour, so hour and weekday are the same within one."""
MAX_QUARTERS: Final = 100_000
STRANGER: Final = 0x5DEECE66D

KEY_TEXTS: Final = {"source_net": "source_ip", "edge": "edge"}
"""Keys that are made of a text column."""
_KEY_COLUMNS: Final = {
    "account": "account_key",
    "range": "range_key",
    "country": "country",
    "source": "source_key",
    "network": "network_key",
    "family": "family_key",
}
_TIMES: Final = {Event.ATTEMPT: "started_ms", Event.ANSWER: "answered_ms", Event.END: "ended_ms", Event.INBOUND: "ended_ms"}

Places = NDArray[np.intp]
Words = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Matches(NamedTuple):
    """Rows that count: their places in the batch, and what is counted of each."""

    place: Places
    at_ms: Words
    key: Words
    what: Words
    """1, micro-euro, milliseconds, or the key that is told apart."""
    call: Words
    """The call's key; 0 where each row counts."""
    late: int
    """Rows that would count and came too late."""


class Matcher:
    """One rule, compiled for a time zone."""

    def __init__(self, rule: ComposedRule, zone: ZoneInfo) -> None:
        self.rule = rule
        self._zone = zone
        self._kinds = np.array(KINDS[rule.event], np.uint8)
        self._week = _week(rule)
        self._quarters: dict[int, bool] = {}
        self._numbers = [test for predicate in rule.where if (test := _number_test(predicate)) is not None]
        self._texts = [(FIELDS[predicate.field].column, _text_test(predicate)) for predicate in rule.where if _is_text(predicate)]

    @property
    def texts(self) -> frozenset[str]:
        """Text columns that are read to decide and to count."""
        keys = {KEY_TEXTS[key] for key in (self.rule.per, self.rule.of) if key in KEY_TEXTS}
        return frozenset(keys | {column for column, _ in self._texts})

    @property
    def columns(self) -> frozenset[str]:
        """Number columns that are read to decide and to count."""
        rule = self.rule
        asked = [FIELDS[predicate.field] for predicate in rule.where]
        found = {field.column for field in asked if field.column and field.type not in (FieldType.TEXT, FieldType.ADDRESS)}
        for key in (rule.per, rule.of):
            found |= {"range_key", "number_tail"} if key == "callee" else {_KEY_COLUMNS[key]} if key in _KEY_COLUMNS else set()
        if rule.event is Event.ANSWER or rule.quantity in ("cost", "minutes") or any(field.name == "duration" for field in asked):
            found |= {"answered_ms", "ended_ms"}
        if rule.quantity == "cost":
            found |= {"rate", "connect_micro"}
        if rule.event in _TIMES:
            found.add(_TIMES[rule.event])
        return frozenset(found | {"kind", "at_ms", "received_ms", "flags", "call_key", "destination_class"})

    def match(self, batch: RowBatch) -> Matches:
        """The rows of a batch that count, in their order."""
        rule, numeric = self.rule, batch.numeric
        kind = numeric["kind"]
        mask = np.isin(kind, self._kinds)
        if rule.event in NUMBERED:
            mask &= numeric["destination_class"] > DestinationClass.C0
        if rule.event is Event.ANSWER:
            mask &= (kind != Kind.CALL) | (numeric["answered_ms"] > 0)
        for test in self._numbers:
            mask &= test(batch)
        place = np.flatnonzero(mask)
        at_ms = _event_ms(rule.event, batch, place)
        if self._week is not None:
            fits = self._in_week(at_ms)
            place, at_ms = place[fits], at_ms[fits]
        for column, agrees in self._texts:
            texts = batch.text[column]
            fits = np.fromiter((agrees(texts[one]) for one in place.tolist()), np.bool_, len(place))
            place, at_ms = place[fits], at_ms[fits]
        if not len(place):
            return _NOTHING
        return self._counted(batch, place, at_ms)

    def _counted(self, batch: RowBatch, place: Places, at_ms: Words) -> Matches:
        rule, numeric = self.rule, batch.numeric
        key = _keys(rule.per, batch, place)
        what = _what(rule, batch, place)
        known = (key != 0) & (what != 0)
        fits = known & (numeric["received_ms"][place] - at_ms <= LATE_MS)
        strangers = (numeric["flags"][place] & Flag.UNKEYED) != 0
        key = np.where(strangers, key ^ STRANGER, key)
        call = numeric["call_key"][place] if rule.event in NUMBERED else np.zeros(len(place), np.int64)
        return Matches(
            place[fits], at_ms[fits], key[fits], what[fits], call[fits], int(np.count_nonzero(known)) - int(np.count_nonzero(fits))
        )

    def _in_week(self, at_ms: Words) -> Mask:
        quarters, back = np.unique(at_ms // QUARTER_MS, return_inverse=True)
        if len(self._quarters) > MAX_QUARTERS:
            self._quarters.clear()
        return np.fromiter((self._open_at(quarter) for quarter in quarters.tolist()), np.bool_, len(quarters))[back]

    def _open_at(self, quarter: int) -> bool:
        found = self._quarters.get(quarter)
        if found is None:
            assert self._week is not None
            local = datetime.fromtimestamp(quarter * (QUARTER_MS // 1000), self._zone)
            found = self._quarters[quarter] = (local.weekday(), local.hour) in self._week
        return found


_EMPTY = np.zeros(0, np.int64)
_NOTHING = Matches(np.zeros(0, np.intp), _EMPTY, _EMPTY, _EMPTY, _EMPTY, 0)


def network_of(source_ip: str) -> str:
    """The /24 of an IPv4 address, the /48 of an IPv6 address; an empty text for anything else."""
    return _network(source_ip, 24, 48)


def source_of(source_ip: str) -> str:
    """A source as people name it: the address, or the /64 of an IPv6 address."""
    return source_ip if ":" not in source_ip else _network(source_ip, 32, 64)


def _network(source_ip: str, bits: int, long_bits: int) -> str:
    try:
        return str(ip_network(f"{source_ip}/{bits if ':' not in source_ip else long_bits}", strict=False))
    except ValueError:
        return ""


def _week(rule: ComposedRule) -> frozenset[tuple[int, int]] | None:
    """`(weekday, hour)` in which the rule looks; None: always."""
    timed = [predicate for predicate in rule.where if FIELDS[predicate.field].type in (FieldType.HOUR, FieldType.WEEKDAY)]
    if not timed:
        return None
    open_at = {(day, hour) for day in range(len(WEEKDAYS)) for hour in range(HOURS)}
    for predicate in timed:
        if predicate.operator == "between":
            hours = hours_of(predicate)
            open_at = {(day, hour) for day, hour in open_at if hour in hours}
        else:
            days = {WEEKDAYS.index(value) for value in predicate.values}
            open_at = {(day, hour) for day, hour in open_at if (day in days) == (predicate.operator == "is")}
    return frozenset(open_at)


def _number_test(predicate: Predicate) -> Callable[[RowBatch], Mask] | None:
    field = FIELDS[predicate.field]
    wanted = predicate.operator == "is"
    match field.type:
        case FieldType.NUMBER if predicate.operator == "between":
            low, high = predicate.low, predicate.high
            return lambda batch: (_column(predicate.field, batch) >= low) & (_column(predicate.field, batch) <= high)
        case FieldType.FLAG:
            bits = np.uint16(sum((field.choices or {})[value] for value in predicate.values))
            return lambda batch: ((batch.numeric["flags"] & bits) != 0) == wanted
        case FieldType.NUMBER:
            values = np.array([int(value) for value in predicate.values], np.int64)
        case FieldType.COUNTRY:
            values = np.array([country_code(value) for value in predicate.values], np.int64)
        case FieldType.CODE:
            values = np.array([(field.choices or {})[value] for value in predicate.values], np.int64)
        case _:
            return None
    return lambda batch: np.isin(_column(predicate.field, batch), values) == wanted


def _column(name: str, batch: RowBatch) -> NDArray[Any]:
    if name == "duration":
        return _talked(batch.numeric["answered_ms"], batch.numeric["ended_ms"])
    return batch.numeric[FIELDS[name].column]


def _talked(answered_ms: NDArray[Any], ended_ms: NDArray[Any]) -> Words:
    """Milliseconds from answer to end; 0 where there was no answer."""
    return np.where(answered_ms > 0, np.maximum(ended_ms - answered_ms, 0), 0)


def _is_text(predicate: Predicate) -> bool:
    return FIELDS[predicate.field].type in (FieldType.TEXT, FieldType.ADDRESS)


def _text_test(predicate: Predicate) -> Callable[[str], bool]:
    if FIELDS[predicate.field].type is FieldType.ADDRESS:
        networks = [ip_network(value) for value in predicate.values]
        return lambda text: _in_networks(text, networks) == (predicate.operator == "is")
    values = tuple(folded(predicate.field, value) for value in predicate.values)
    name = predicate.field
    match predicate.operator:
        case "is":
            return lambda text: folded(name, text) in values
        case "not":
            return lambda text: folded(name, text) not in values
        case "starts_with":
            return lambda text: folded(name, text).startswith(values)
        case _:
            return lambda text: any(value in folded(name, text) for value in values)


def _in_networks(text: str, networks: list[IPv4Network | IPv6Network]) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return any(address in network for network in networks)


def _event_ms(event: Event, batch: RowBatch, place: Places) -> Words:
    at_ms: Words = batch.numeric["at_ms"][place]
    if event not in _TIMES:
        return at_ms
    own: Words = batch.numeric[_TIMES[event]][place]
    return np.where(own > 0, own, at_ms)


def _keys(key: str, batch: RowBatch, place: Places) -> Words:
    """64-bit keys; 0 where a row has none."""
    if key == "all":
        return np.ones(len(place), np.int64)
    if key == "callee":
        ranges = batch.numeric["range_key"][place]
        # Numbers of a range differ in their last three digits only; the odd factor spreads them over all 64 bits.
        spread = (
            ranges.view(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + batch.numeric["number_tail"][place].astype(np.uint64) + np.uint64(1)
        )
        return np.where(ranges == 0, 0, spread.view(np.int64))
    if key in KEY_TEXTS:
        texts = batch.text[KEY_TEXTS[key]]
        return np.fromiter((_text_key(key, texts[one]) for one in place.tolist()), np.int64, len(place))
    return batch.numeric[_KEY_COLUMNS[key]][place].astype(np.int64)


def _text_key(key: str, text: str) -> int:
    named = network_of(text) if key == "source_net" else text
    return int.from_bytes(blake2b(named.encode("utf-8", "surrogatepass"), digest_size=8).digest(), signed=True) if named else 0


def _what(rule: ComposedRule, batch: RowBatch, place: Places) -> Words:
    numeric = batch.numeric
    match rule.quantity:
        case "calls":
            return np.ones(len(place), np.int64)
        case "distinct":
            return _keys(rule.of, batch, place)
        case "minutes":
            return _talked(numeric["answered_ms"][place], numeric["ended_ms"][place])
        case _:
            answered = numeric["answered_ms"][place]
            talked = _talked(answered, numeric["ended_ms"][place])
            cost = numeric["rate"][place] * talked // MINUTE + numeric["connect_micro"][place]
            return np.where(answered > 0, cost, 0)
