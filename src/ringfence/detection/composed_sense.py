"""Whether a composed rule can ever say anything: predicates that contradict each other, and limits that nothing can reach.

Each predicate was read alone and makes sense alone; here they meet. Sound, not complete: what it calls nonsense can never hold, and what it
lets through may still never happen. Pure.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, NamedTuple

from ringfence.detection.composed import FIELDS, WEEKDAYS, ComposedRule, Event, Field, FieldType, Predicate, folded
from ringfence.telephony.numbers import regions_of

HOURS: Final = 24
_SMALL = 1_000
"""A domain of numbers up to this size is looked at value by value."""

Network = IPv4Network | IPv6Network


class Nonsense(NamedTuple):
    """Which predicate completes the contradiction (-1: the limits), and why."""

    place: int
    why: str


def nonsense(rule: ComposedRule) -> Nonsense | None:
    """The first reason why this rule could never alert, None when there is none to be seen."""
    for place, predicate in enumerate(rule.where):
        same = [other for other in rule.where[: place + 1] if other.field == predicate.field]
        why = _contradiction(FIELDS[predicate.field], same)
        if why:
            return Nonsense(place, why)
    place, why = _elsewhere(rule)
    if why:
        return Nonsense(place, why)
    return _unreachable(rule)


def hours_of(predicate: Predicate) -> frozenset[int]:
    """The hours of a range, which may pass midnight."""
    if predicate.low <= predicate.high:
        return frozenset(range(predicate.low, predicate.high + 1))
    return frozenset(range(predicate.low, HOURS)) | frozenset(range(predicate.high + 1))


def _contradiction(field: Field, same: Sequence[Predicate]) -> str:
    last = same[-1]
    match field.type:
        case FieldType.NUMBER:
            possible = _numbers(field, same)
        case FieldType.HOUR:
            possible = bool(frozenset.intersection(*(hours_of(predicate) for predicate in same)))
        case FieldType.ADDRESS:
            possible = _addresses(same)
        case FieldType.FLAG:
            without = {value for predicate in same if predicate.operator == "not" for value in predicate.values}
            possible = all(set(predicate.values) - without for predicate in same if predicate.operator == "is")
        case FieldType.TEXT:
            possible = _texts(same)
        case _:
            possible = bool(_allowed(same, _domain(field)))
    if possible:
        return ""
    if len(same) == 1:
        return f"{_said(last)} can never hold"
    return f"{_said(last)} can never hold together with the other predicates of {field.name}"


def _domain(field: Field) -> set[str] | None:
    """Every value that a closed field can have; None when it is open."""
    if field.type is FieldType.WEEKDAY:
        return set(WEEKDAYS)
    return set(field.choices) if field.choices is not None else None


def _allowed(same: Sequence[Predicate], domain: set[str] | None) -> set[str] | bool:
    """The values that all is and not predicates allow; True when these cannot be listed."""
    allowed = domain
    for predicate in same:
        if predicate.operator == "is":
            allowed = set(predicate.values) if allowed is None else allowed & set(predicate.values)
    if allowed is None:
        return True
    return allowed - {value for predicate in same if predicate.operator == "not" for value in predicate.values}


def _numbers(field: Field, same: Sequence[Predicate]) -> bool:
    low = max([field.low, *(predicate.low for predicate in same if predicate.operator == "between")])
    high = min([field.high, *(predicate.high for predicate in same if predicate.operator == "between")])
    values: set[int] | None = None
    for predicate in same:
        if predicate.operator == "is":
            given = {int(value) for value in predicate.values}
            values = given if values is None else values & given
    if values is None:
        if high - low > _SMALL:
            return True
        values = set(range(low, high + 1))
    without = {int(value) for predicate in same if predicate.operator == "not" for value in predicate.values}
    return any(low <= value <= high for value in values - without)


def _addresses(same: Sequence[Predicate]) -> bool:
    groups = [[ip_network(value) for value in predicate.values] for predicate in same if predicate.operator == "is"]
    without = [ip_network(value) for predicate in same if predicate.operator == "not" for value in predicate.values]
    common: list[Network] = groups[0] if groups else []
    for group in groups[1:]:
        common = [small for one in common for other in group if (small := _common(one, other)) is not None]
    if not groups:
        return True
    return any(not any(_within(network, hole) for hole in without) for network in common)


def _common(one: Network, other: Network) -> Network | None:
    if _within(one, other):
        return one
    return other if _within(other, one) else None


def _within(one: Network, other: Network) -> bool:
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.subnet_of(other)
    if isinstance(one, IPv6Network) and isinstance(other, IPv6Network):
        return one.subnet_of(other)
    return False


def _texts(same: Sequence[Predicate]) -> bool:
    allowed = _allowed([_fold(predicate) for predicate in same], None)
    starts = [_fold(predicate).values for predicate in same if predicate.operator == "starts_with"]
    if isinstance(allowed, set):
        parts = [_fold(predicate).values for predicate in same if predicate.operator == "contains"]
        return any(
            all(value.startswith(start) for start in starts) and all(any(part in value for part in some) for some in parts)
            for value in allowed
        )
    common = starts[0] if starts else ()
    for group in starts[1:]:
        common = tuple(max(one, other, key=len) for one in common for other in group if one.startswith(other) or other.startswith(one))
    return bool(common) or not starts


def _fold(predicate: Predicate) -> Predicate:
    values = tuple(folded(predicate.field, value) for value in predicate.values)
    return Predicate(field=predicate.field, operator=predicate.operator, values=values)


def _elsewhere(rule: ComposedRule) -> tuple[int, str]:
    """Contradictions between fields: a number's prefix and its country; a call that was not answered and its duration."""
    number = "caller" if rule.event is Event.INBOUND else "callee"
    countries = _allowed([predicate for predicate in rule.where if predicate.field == "country"], None)
    refused = {
        value for predicate in rule.where if predicate.field == "country" and predicate.operator == "not" for value in predicate.values
    }
    for place, predicate in enumerate(rule.where):
        if predicate.field != number or predicate.operator not in ("is", "starts_with"):
            continue
        found = [regions_of(value) for value in predicate.values]
        if not all(found):
            continue
        regions = frozenset[str]().union(*found) - refused
        if not regions or (isinstance(countries, set) and not regions & countries):
            named = ", ".join(sorted(countries)) if isinstance(countries, set) and countries else "another country"
            return place, f"{_said(predicate)} is a number of {', '.join(sorted(frozenset[str]().union(*found)))}, never of {named}"
    return -1, ""


def _unreachable(rule: ComposedRule) -> Nonsense | None:
    """A distinct count whose predicates leave fewer values than its lower limit."""
    if rule.quantity != "distinct" or rule.of not in FIELDS or FIELDS[rule.of].type is FieldType.ADDRESS:
        return None
    allowed = _allowed([predicate for predicate in rule.where if predicate.field == rule.of], None)
    if isinstance(allowed, set) and len(allowed) < rule.act:
        return Nonsense(-1, f"the predicates leave {len(allowed)} different {rule.of}, so act = {rule.act} can never be reached")
    return None


def _said(predicate: Predicate) -> str:
    if predicate.operator == "between":
        return f"{predicate.field} from {predicate.low} to {predicate.high}"
    return f"{predicate.field} {predicate.operator} {', '.join(predicate.values[:5])}"
