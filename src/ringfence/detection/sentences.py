"""Why an alert was raised, in one sentence for a tired person: how much, where to, in what time, against which limit, at what price."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location

import phonenumbers

from ringfence.base.money import show_euro
from ringfence.detection.engine import Crossing
from ringfence.detection.layout import MINUTE, SECOND, WINDOW_OF, Detector
from ringfence.detection.rules import UNIT_OF, Rule, plain_value
from ringfence.telephony.model import AccountRow, country_letters

UNPROVEN = "Reported by an agent without a key: not proven, so nothing is blocked for it."


def sentence(crossing: Crossing, rule: Rule | None, calls: Sequence[AccountRow], occasion: str) -> str:
    """The reason of an alert, or of a signal (`rule` None: it has no limits).

    `calls` are the rows of the evidence that could be read; `occasion` says why limits are lower now.
    """
    limit = crossing.threshold_warn if crossing.level == 1 else crossing.threshold_act
    text = _what(crossing, calls)
    if rule is not None:
        lowered = _lowered(crossing, rule, occasion) if limit > 1 else []
        limits = ", ".join([f"limit {_amount(crossing.detector, limit)}", *lowered])
        text += f" ({limits})"
    if crossing.cost_micro or crossing.rate_micro:
        text += f"; {show_euro(crossing.cost_micro)} so far"
        if crossing.rate_micro:
            text += f", about {show_euro(crossing.rate_micro)} a minute"
    return f"{text}. {UNPROVEN}" if crossing.unkeyed else text


def _what(crossing: Crossing, calls: Sequence[AccountRow]) -> str:  # noqa: C901, PLR0911, PLR0912  # One sentence a detector.
    where = _destinations(calls)
    to = f" to {where}" if where else ""
    amount = _amount(crossing.detector, crossing.observed)
    number = plain_value(crossing.detector, crossing.observed)
    span = _span(max(crossing.at_ms - crossing.first_ms, 0))
    window = _span(WINDOW_OF[crossing.detector])
    match crossing.detector:
        case Detector.D01 | Detector.D02 | Detector.D03:
            return f"{_count(crossing.count, 'call')}{to} for {amount} within {window}, running ones counted three minutes ahead"
        case Detector.D04:
            return f"C2+ calls{to} bring this billing month to {amount}, running ones counted three minutes ahead"
        case Detector.D20:
            window = "24 hours" if crossing.daily else "15 minutes"
            return f"{_count(crossing.count, 'call')}{to} for {amount} within {window}, far above what this account usually spends"
        case Detector.D19:
            return f"First calls ever{to}"
        case Detector.D05:
            return f"{_count(number, 'call')} to the dearest class{where and f' ({where})'} in {span}"
        case Detector.D13:
            callee = calls[-1].callee if calls else ""
            return f"{_count(number, 'attempt')} to the same number{callee and f' {callee}'}{to and ' in ' + where} in {span}"
        case Detector.D16:
            return f"{_count(number, 'number')}{to and ' in ' + where} tried with short or unanswered calls, then a call was answered"
        case Detector.D17:
            return f"A call{to} that has been running for {amount}"
        case Detector.D22:
            return f"{_count(number, 'call')}{to} within {window}, nearly all of them short or unanswered"
        case Detector.D25:
            return f"{_count(number, 'forwarded expensive call')}{to} at the same time"
        case Detector.D06:
            return f"{_count(number, 'expensive call')}{to} at the same time"
        case Detector.D07:
            return f"{_count(number, 'very expensive call')}{to} at the same time"
        case Detector.D08:
            return f"{_count(number, 'call')} at the same time"
        case Detector.D09 | Detector.D10:
            return f"{_count(number, 'call')}{to} in {span}"
        case Detector.D11:
            return f"{_count(number, 'different number')}{to and ' in ' + where} in {span}"
        case Detector.D12:
            return f"Calls to {number} countries{where and f' ({where})'} in {span}"
        case Detector.D14:
            prefix = calls[-1].callee[:-3] if calls and calls[-1].callee.startswith("+") else ""
            return f"{_count(number, 'neighbouring number')}{prefix and f' {prefix}xxx'}{to and ' in ' + where} in {span}"
        case Detector.D18:
            return f"{amount} of calls{to} within {window}"
        case Detector.D21:
            return f"{_count(number, 'attempt')} in {span}"


def _amount(detector: Detector, value: int) -> str:
    plain = plain_value(detector, value)
    match UNIT_OF[detector]:
        case "euro":
            return show_euro(plain)
        case "minutes":
            return _count(plain // MINUTE, "minute")
        case _:
            return str(plain)


def _lowered(crossing: Crossing, rule: Rule, occasion: str) -> list[str]:
    found = []
    if crossing.off_hours and rule.off_hours < 100:
        found.append(f"{_share(rule.off_hours)} {occasion or 'outside working hours'}")
    if crossing.new_account and rule.new_account < 100:
        found.append(f"{_share(rule.new_account)} for a new account")
    return found


def _share(percent: int) -> str:
    return "halved" if percent == 50 else f"lowered to {percent} %"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _span(milliseconds: int) -> str:
    """`40 seconds`, `4 minutes`, `3 hours`: rounded up, as windows are."""
    if milliseconds < 2 * MINUTE and milliseconds != MINUTE:
        return _count(max(-(-milliseconds // SECOND), 1), "second")
    minutes = -(-milliseconds // MINUTE)
    return _count(minutes, "minute") if minutes < 120 else _count(-(-minutes // 60), "hour")


def _destinations(calls: Sequence[AccountRow]) -> str:
    counted = Counter(country_name(country_letters(row.country)) for row in calls if row.country)
    names = [name for name, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0]))]
    if len(names) > 3:
        return f"{', '.join(names[:2])} and {len(names) - 2} more countries"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1] if names else "")))


@lru_cache(maxsize=512)
def country_name(letters: str) -> str:
    """English name of a country; the letters themselves when nobody knows one."""
    names = _country_names().get(letters, {})
    name = names.get("en", "")
    if name.startswith("*"):
        name = names.get(name[1:], "")
    return name or letters


@lru_cache(maxsize=1)
def _country_names() -> dict[str, dict[str, str]]:
    """Names of countries by ISO code and language, from the one file of `phonenumbers` that holds them.

    An ordinary import would load the package's place names too: half a second of every start, and 100 MB.
    """
    spec = spec_from_file_location("phonenumbers.geodata.locale", f"{phonenumbers.__path__[0]}/geodata/locale.py")
    assert spec is not None
    assert spec.loader is not None
    locale = module_from_spec(spec)
    spec.loader.exec_module(locale)
    names: dict[str, dict[str, str]] = locale.LOCALE_DATA
    return names
