"""What a destination costs and how dangerous it is: the rate deck, read strictly and compiled for a million look-ups a second.

A deck is CSV (`docs/rooms/telephony.md`); longest prefix wins. A row that cannot be read is counted with line and reason, never guessed.
Classes follow wholesale cost: C1 own country, C2 under 5 ct/min, C3 to 25 ct, C4 to 1 EUR, C5 from there, satellite and global services,
and what has no price. The one thing to know: the operator country's own premium, directory and televote numbers are the customer's choice
and stay in C1 with the flag NATIONAL_VALUE, so that no block for international revenue-share ranges ever meets them.
"""

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from enum import StrEnum

from ringfence.base.errors import OperatorError
from ringfence.telephony.model import DestinationClass, Flag, country_code

UNRATED_MICRO = 1_000_000
"""Micro-euro a minute at which a destination without a price is costed."""
CLASS_LIMITS_MICRO = (50_000, 250_000, 1_000_000)
"""Below the first C2, below the second C3, below the third C4, from there C5."""
GLOBAL_PREFIXES = ("870", "878", "881", "882", "883", "979")
"""Satellite and global services: C5 at any price."""
MAX_ROWS = 500_000
MAX_LINE_CHARACTERS = 1_024
MAX_PREFIX_DIGITS = 15
MAX_RATE_MICRO = 1_000_000_000
"""1,000 EUR a minute. More is a mistake of a decimal point."""
MAX_REFUSALS_KEPT = 100
"""Refused rows that are kept with line number and reason; all are counted."""
BAD_ROWS_PERCENT = 1
"""More bad rows than this refuse the deck."""

_HEAD = 3


class NumberKind(StrEnum):
    """What a prefix is used for, in the words of the format."""

    FIXED = "fixed"
    MOBILE = "mobile"
    PREMIUM = "premium"
    SHARED_COST = "shared_cost"
    SATELLITE = "satellite"
    PERSONAL = "personal"
    DIRECTORY = "directory"
    TELEVOTE = "televote"
    SPECIAL = "special"
    UNKNOWN = "unknown"


_KINDS = frozenset(kind.value for kind in NumberKind)
NATIONAL_VALUE_KINDS = frozenset({NumberKind.PREMIUM, NumberKind.DIRECTORY, NumberKind.TELEVOTE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One row of a deck. `rate` is micro-euro a minute, None when the prefix has no price."""

    prefix: str
    country: str
    kind: NumberKind
    rate: int | None
    connect_micro: int = 0
    valid_from_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """What is known of a number: class, country (16 bits), micro-euro a minute and a call, kind, and the flags its rows carry."""

    destination_class: DestinationClass
    country: int
    rate: int
    connect_micro: int
    kind: NumberKind
    unrated: bool
    flags: int
    prefix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A row that was not read: its line in the file and the reason, in a word and in a sentence."""

    line: int
    reason: str
    message: str


NOT_A_NUMBER = Destination(
    destination_class=DestinationClass.C1, country=0, rate=0, connect_micro=0, kind=NumberKind.UNKNOWN, unrated=False, flags=0, prefix=""
)
"""A name, a function code, an extension: stays in the house and costs nothing."""
NO_PREFIX = Destination(
    destination_class=DestinationClass.C5,
    country=0,
    rate=UNRATED_MICRO,
    connect_micro=0,
    kind=NumberKind.UNKNOWN,
    unrated=True,
    flags=int(Flag.UNRATED),
    prefix="",
)
"""A number that no row of the deck covers."""


class Deck:
    """A compiled deck. `look_up` answers by longest prefix."""

    __slots__ = ("_heads", "_short", "home", "rates", "refusals", "refused")

    def __init__(self, rates: list[Rate], *, home: str, refusals: tuple[Refusal, ...] = (), refused: Counter[str] | None = None) -> None:
        self.home = home
        self.rates = tuple(sorted(rates, key=lambda rate: rate.prefix))
        self.refusals = refusals
        """The first refused rows."""
        self.refused: Counter[str] = refused if refused is not None else Counter()
        """Refused rows by reason."""
        self._short: dict[str, Destination] = {}
        self._heads: dict[str, tuple[dict[str, Destination], tuple[int, ...], Destination]] = {}
        self._compile()

    def look_up(self, digits: str) -> Destination:
        """The destination of E.164 digits (no sign); `NOT_A_NUMBER` for an empty text."""
        try:
            table, lengths, otherwise = self._heads[digits[:_HEAD]]
        except KeyError:
            return self._by_short(digits)
        for length in lengths:
            found = table.get(digits[:length])
            if found is not None:
                return found
        return otherwise

    def class_prefixes(self) -> Iterator[tuple[str, DestinationClass]]:
        """Every prefix of C2 and above with its class, without those that a shorter prefix of the same class implies, in order."""
        open_prefixes: list[tuple[str, DestinationClass]] = []
        for rate in self.rates:
            here = self.look_up(rate.prefix).destination_class
            while open_prefixes and not rate.prefix.startswith(open_prefixes[-1][0]):
                open_prefixes.pop()
            implied = open_prefixes[-1][1] if open_prefixes else None
            open_prefixes.append((rate.prefix, here))
            if implied is not here and (here >= DestinationClass.C2 or implied is not None):
                yield rate.prefix, here

    def _by_short(self, digits: str) -> Destination:
        if not digits:
            return NOT_A_NUMBER
        for length in range(min(_HEAD, len(digits)), 0, -1):
            found = self._short.get(digits[:length])
            if found is not None:
                return found
        return NO_PREFIX

    def _compile(self) -> None:
        """One table per first three digits, with the lengths that occur under them, longest first: mostly one or two probes a look-up."""
        long: dict[str, dict[str, Destination]] = {}
        for rate in self.rates:
            destination = destination_of(rate, self.home)
            if len(rate.prefix) <= _HEAD:
                self._short[rate.prefix] = destination
            if len(rate.prefix) >= _HEAD:
                long.setdefault(rate.prefix[:_HEAD], {})[rate.prefix] = destination
        for head, table in long.items():
            otherwise = self._by_short(head)
            lengths = tuple(sorted({len(prefix) for prefix in table if len(prefix) > _HEAD}, reverse=True))
            self._heads[head] = (table, lengths, otherwise)
        for value in range(10**_HEAD):
            head = str(value).zfill(_HEAD)
            self._heads.setdefault(head, ({}, (), self._by_short(head)))


def read_deck(text: str, *, home: str, at_ms: int) -> Deck:
    """The deck in CSV text as valid at `at_ms`. `home` is the operator's country, two letters.

    Of several rows of one prefix the one valid latest wins; a second one of the same date is refused. OperatorError when the header lacks
    a column, the deck is too long, more than one row in a hundred cannot be read, or nothing remains.
    """
    lines = csv.reader(_bounded_lines(text), strict=True)
    places = _columns(next(lines, []))
    chosen: dict[str, Rate] = {}
    refusals: list[Refusal] = []
    refused: Counter[str] = Counter()
    read = 0
    while True:
        try:
            fields = next(lines)
            if not any(fields):
                continue
            read += 1
            rate = _read_row(fields, places)
            _choose(chosen, rate, at_ms)
        except StopIteration:
            break
        except (OperatorError, csv.Error) as error:
            reason = error.reason if isinstance(error, OperatorError) else "bad_csv"
            read += reason == "bad_csv"
            refused[reason] += 1
            if len(refusals) < MAX_REFUSALS_KEPT:
                refusals.append(Refusal(line=lines.line_num, reason=reason, message=str(error)))
        if read > MAX_ROWS:
            raise OperatorError(f"The deck has more than {MAX_ROWS} rows; send the prefixes that differ", reason="deck_too_long")
    bad = refused.total()
    if bad * 100 > read * BAD_ROWS_PERCENT:
        first = refusals[0]
        raise OperatorError(
            f"{bad} of {read} rows of the deck cannot be read; the first is line {first.line}: {first.message}", reason="deck_bad_rows"
        )
    if not chosen:
        raise OperatorError("The deck has no row that is valid now; nothing was changed", reason="deck_empty")
    return Deck(list(chosen.values()), home=home, refusals=tuple(refusals), refused=refused)


def destination_of(rate: Rate, home: str) -> Destination:
    """Class, flags and price of a row for an operator at home in a country."""
    unrated = rate.rate is None
    micro = UNRATED_MICRO if rate.rate is None else rate.rate
    at_home = rate.country == home
    flags = 0
    if unrated:
        flags |= Flag.UNRATED
    if at_home and rate.kind in NATIONAL_VALUE_KINDS:
        flags |= Flag.NATIONAL_VALUE
    if at_home and (not unrated or flags & Flag.NATIONAL_VALUE):
        destination_class = DestinationClass.C1
    elif unrated or rate.kind is NumberKind.SATELLITE or rate.prefix.startswith(GLOBAL_PREFIXES):
        destination_class = DestinationClass.C5
    else:
        destination_class = class_of_rate(micro)
    return Destination(
        destination_class=destination_class,
        country=country_code(rate.country),
        rate=micro,
        connect_micro=rate.connect_micro,
        kind=rate.kind,
        unrated=unrated,
        flags=int(flags),
        prefix=rate.prefix,
    )


def class_of_rate(micro: int) -> DestinationClass:
    """The class of an international destination by micro-euro a minute."""
    cheap, moderate, dear = CLASS_LIMITS_MICRO
    if micro < cheap:
        return DestinationClass.C2
    if micro < moderate:
        return DestinationClass.C3
    return DestinationClass.C4 if micro < dear else DestinationClass.C5


def _bounded_lines(text: str) -> Iterator[str]:
    for line in text.removeprefix("\ufeff").splitlines(keepends=True):
        yield line if len(line) <= MAX_LINE_CHARACTERS else "line too long\n"


def _columns(header: list[str]) -> dict[str, int]:
    places = {name.strip().lower(): place for place, name in enumerate(header)}
    for needed in ("prefix", "country", "kind", "eur_per_minute"):
        if needed not in places:
            raise OperatorError(
                f"The deck has no column {needed}; its first line must name prefix, country, kind and eur_per_minute", reason="deck_header"
            )
    return places


def _read_row(fields: list[str], places: dict[str, int]) -> Rate:
    def text(name: str) -> str:
        place = places.get(name, -1)
        return fields[place].strip() if 0 <= place < len(fields) else ""

    prefix = text("prefix").removeprefix("+")
    if not prefix.isascii() or not prefix.isdigit() or len(prefix) > MAX_PREFIX_DIGITS or prefix.startswith("0"):
        raise OperatorError(f"{text('prefix')[:40]!r} is no E.164 prefix", reason="bad_prefix")
    country = text("country").upper()
    if country and not country_code(country):
        raise OperatorError(f"{country[:40]!r} is no country of two letters", reason="bad_country")
    kind = text("kind").lower()
    if kind not in _KINDS:
        raise OperatorError(f"{kind[:40]!r} is none of the kinds {', '.join(NumberKind)}", reason="bad_kind")
    if text("currency").upper() not in ("", "EUR"):
        raise OperatorError(f"{text('currency')[:10]!r} is not EUR; convert the deck first", reason="bad_currency")
    price = text("eur_per_minute")
    return Rate(
        prefix=prefix,
        country=country,
        kind=NumberKind(kind),
        rate=_micro(price) if price else None,
        connect_micro=_micro(text("eur_per_call") or "0"),
        valid_from_ms=_day_ms(text("valid_from")),
    )


def _choose(chosen: dict[str, Rate], rate: Rate, at_ms: int) -> None:
    if rate.valid_from_ms > at_ms:
        return
    other = chosen.get(rate.prefix)
    if other is not None and other.valid_from_ms == rate.valid_from_ms:
        raise OperatorError(f"The prefix {rate.prefix} stands twice with the same date", reason="duplicate_prefix")
    if other is None or other.valid_from_ms < rate.valid_from_ms:
        chosen[rate.prefix] = rate


def _micro(text: str) -> int:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise OperatorError(f"{text[:40]!r} is not an amount of euro such as 0.25", reason="bad_price") from None
    if not amount.is_finite() or not 0 <= amount * 1_000_000 <= MAX_RATE_MICRO:
        raise OperatorError(f"{text[:40]!r} is no possible price; write euro such as 0.25", reason="bad_price")
    return int((amount * 1_000_000).to_integral_value(ROUND_HALF_UP))


def _day_ms(text: str) -> int:
    if not text:
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise OperatorError(f"{text[:40]!r} is no date such as 2026-01-31", reason="bad_date") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
