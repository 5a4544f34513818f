"""Why a finding about an account's use was made, in one sentence: from where, with what, since when, and which call."""

from typing import Final, Protocol

from ringfence.detection.identity_layout import DAY, HOUR, MINUTE, Said
from ringfence.detection.identity_places import kilometres
from ringfence.detection.sentences import UNPROVEN, country_name
from ringfence.telephony.model import AccountRow, Kind, country_letters

MAX_AGENT: Final = 60


class _Said(Protocol):
    """The part of an event that sentences read."""

    @property
    def level(self) -> int: ...
    @property
    def a(self) -> int: ...
    @property
    def b(self) -> int: ...
    @property
    def c(self) -> int: ...
    @property
    def strangers(self) -> bool: ...


def reason(rule: Said, event: _Said, row: AccountRow) -> str:
    """The reason of a finding about the row at which it was made."""
    text = _text(rule, event, row)
    return f"{text}. {UNPROVEN}" if event.strangers else text


def _text(rule: Said, event: _Said, row: AccountRow) -> str:  # noqa: PLR0911  # One sentence a rule.
    what = "Call" if row.kind in (Kind.ATTEMPT, Kind.CALL) else "Registration"
    match rule:
        case Said.D30:
            return f"{what} from {_origin(row)}, a network this account was never used from"
        case Said.D31 if event.a:
            return f"{what} with the right password by an attack tool ({_agent(row)}) from {_origin(row)}"
        case Said.D31:
            return f"{what} by {_agent(row)}, a kind of device new to this account, whose devices did not change for {event.b} days"
        case Said.D32 if event.a:
            there = _country(event.a)
            apart = kilometres(event.a, row.source_country)
            return f"{what} from {_origin(row)} {_span(event.b)} after the account was used from {there}, at least {apart:,} km away"
        case Said.D32:
            return f"{what} from {_origin(row)}: the account was used from {event.c} countries within 24 hours"
        case Said.D33:
            limit = event.c if event.level > 1 else event.b
            return f"{event.a} devices of this account are registered at once (limit {limit}), the last from {_origin(row)}"
        case Said.D34:
            return f"Call from {_origin(row)}, where this account is not registered, although its devices register"
        case Said.D36:
            return _sequence(event, row)
        case Said.D37:
            odd = {1: "a From header that names another user", 2: "credentials that were used before"}
            return f"{what} from {_origin(row)} with {odd.get(event.a, ' and '.join(odd.values()))}"


def _sequence(event: _Said, row: AccountRow) -> str:
    to = f" to {row.callee}" if row.callee else ""
    where = f" ({_country(row.country)})" if row.country else ""
    when = f"{_span(event.b)} after" if event.b >= 1000 else "at"
    seen = []
    if event.a & 1:
        seen.append(f"first use from {_origin(row)}")
    if event.a & 2:
        seen.append(f"first use of {_agent(row)}")
    if event.a & 4:
        seen.append(f"an implausible journey to {_origin(row)}" if not event.a & 1 else "an implausible journey")
    habit = ", its first expensive call in a month or more" if event.a & 8 else ""
    return f"Expensive call{to}{where} {when} this account's {' and '.join(seen)}{habit} ({event.c} points)".replace("'s an ", "'s ")


def _origin(row: AccountRow) -> str:
    """`AS64500 in Russia (203.0.113.7)`, as far as known."""
    network = row.network or "an unknown network"
    place = f" in {_country(row.source_country)}" if row.source_country else ""
    address = f" ({row.source_ip})" if row.source_ip and row.source_ip != row.network else ""
    return f"{network}{place}{address}"


def _country(code: int) -> str:
    return country_name(country_letters(code)) or "an unknown country"


def _agent(row: AccountRow) -> str:
    shown = "".join(letter for letter in row.user_agent if letter.isprintable())[:MAX_AGENT]
    return f'"{shown}"' if shown else "an unnamed device"


def _span(milliseconds: int) -> str:
    """`40 seconds`, `4 minutes`, `3 hours`, `5 days`: rounded down, so that the sentence never says too much."""
    for size, noun, least in ((DAY, "day", 2), (HOUR, "hour", 2), (MINUTE, "minute", 1)):
        if milliseconds >= least * size:
            number = milliseconds // size
            return f"{number} {noun}{'' if number == 1 else 's'}"
    seconds = milliseconds // 1000
    return f"{seconds} second{'' if seconds == 1 else 's'}"
