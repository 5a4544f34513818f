"""The language of composed rules: what an analyst can say about rows, as frozen values.

A rule names an event, predicates over its fields that must all hold, what is counted, per which key, in which window, and two limits. It
counts nothing itself (`composed_engine`) and reads no text (`composed_text`). The one thing to know: `FIELDS`, `KEYS` and `EVENTS` are the
whole language; reader, engine, archive query, console form and page of the docs go by these tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, unique
from string import ascii_lowercase, ascii_uppercase
from typing import Final, Literal

from ringfence.telephony.model import Direction, Flag, Kind, NetworkKind
from ringfence.telephony.suspicion import Mode

PREFIX: Final = "X-"
"""What the id of every composed rule begins with; built-in rules are D00 and N00."""
MAX_PREDICATES: Final = 20
MAX_VALUES: Final = 200
MAX_TEXT: Final = 200
MIN_WINDOW_MS: Final = 10_000
MAX_WINDOW_MS: Final = 24 * 3_600_000
MAX_COUNT: Final = 5_000
"""The highest limit of a count: the engine keeps a few times as many rows of one key."""
MAX_EURO: Final = 1_000_000
MAX_MINUTES: Final = 1_000_000


@unique
class Event(StrEnum):
    """Which rows a rule looks at, and the time that counts."""

    ATTEMPT = "attempt"
    ANSWER = "answer"
    END = "end"
    REFUSED = "refused"
    INBOUND = "inbound"
    REGISTRATION = "registration"
    AUTH_FAILURE = "auth_failure"
    UNAUTHENTICATED = "unauthenticated"


@unique
class FieldType(StrEnum):
    """How a field is compared."""

    TEXT = "text"
    CODE = "code"
    """One of a closed set of names, stored as a number."""
    COUNTRY = "country"
    FLAG = "flag"
    NUMBER = "number"
    ADDRESS = "address"
    HOUR = "hour"
    WEEKDAY = "weekday"


Operator = Literal["is", "not", "starts_with", "contains", "between"]
State = Literal["draft", "probation", "active", "retired"]
Quantity = Literal["calls", "distinct", "cost", "minutes"]

CALLS: Final = frozenset({Event.ATTEMPT, Event.ANSWER, Event.END, Event.REFUSED})
NUMBERED: Final = CALLS | {Event.INBOUND}
EVERY: Final = frozenset(Event)

KINDS: Final[Mapping[Event, tuple[Kind, ...]]] = {
    Event.ATTEMPT: (Kind.ATTEMPT, Kind.CALL),
    Event.ANSWER: (Kind.ANSWER, Kind.CALL),
    Event.END: (Kind.END, Kind.CALL),
    Event.REFUSED: (Kind.BLOCKED,),
    Event.INBOUND: (Kind.INBOUND,),
    Event.REGISTRATION: (Kind.REGISTRATION,),
    Event.AUTH_FAILURE: (Kind.AUTH_FAILURE,),
    Event.UNAUTHENTICATED: (Kind.UNAUTHENTICATED,),
}
"""Rows of each event. A call record is attempt, answer (when it was answered) and end in one row."""

EVENTS: Final[Mapping[Event, str]] = {
    Event.ATTEMPT: "an authenticated INVITE, at its start",
    Event.ANSWER: "the answer of a call",
    Event.END: "the end of a call; the only event with a cost and a duration",
    Event.REFUSED: "a call that one of our own blocks refused",
    Event.INBOUND: "a whole inbound call, at its end; number fields describe the caller's number",
    Event.REGISTRATION: "a registration that changed, lapsed or returned",
    Event.AUTH_FAILURE: "credentials that were refused",
    Event.UNAUTHENTICATED: "a request that nobody authenticated",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Something a predicate can ask of a row."""

    name: str
    type: FieldType
    about: str
    column: str = ""
    """The column of the row; empty where it is computed (hour, weekday, duration)."""
    events: frozenset[Event] = EVERY
    low: int = 0
    high: int = 0
    scale: int = 1
    """What a written number is multiplied by to be in the column's unit."""
    choices: Mapping[str, int] | None = None


_FLAGS: Final = {flag.name.lower(): int(flag) for flag in Flag if flag.name is not None}
_NETWORKS: Final = {kind.name.lower(): int(kind) for kind in NetworkKind}
_DIRECTIONS: Final = {"out": int(Direction.OUT), "forwarded": int(Direction.FORWARDED)}
_LOWER: Final = str.maketrans(ascii_uppercase, ascii_lowercase)
WEEKDAYS: Final[tuple[str, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_ALL_FIELDS: Final = (
    Field(name="callee", type=FieldType.TEXT, column="callee", events=NUMBERED | {Event.UNAUTHENTICATED}, about="called number, +E.164"),
    Field(name="caller", type=FieldType.TEXT, column="caller", events=NUMBERED | {Event.AUTH_FAILURE}, about="calling number"),
    Field(name="country", type=FieldType.COUNTRY, column="country", events=NUMBERED, about="country called, two letters"),
    Field(name="class", type=FieldType.NUMBER, column="destination_class", events=NUMBERED, low=1, high=5, about="destination class"),
    Field(
        name="rate",
        type=FieldType.NUMBER,
        column="rate",
        events=NUMBERED,
        high=1_000_000_000,
        scale=1_000_000,
        about="price in euro a minute",
    ),
    Field(name="account", type=FieldType.TEXT, column="account", events=EVERY - {Event.AUTH_FAILURE}, about="digest user name"),
    Field(name="source", type=FieldType.ADDRESS, column="source_ip", about="source address or network, such as 192.0.2.0/24"),
    Field(name="source_country", type=FieldType.COUNTRY, column="source_country", about="country of the source address"),
    Field(name="network_kind", type=FieldType.CODE, column="network_kind", choices=_NETWORKS, about="what the operator's list says of it"),
    Field(name="network", type=FieldType.TEXT, column="network", about="origin network, such as AS64500"),
    Field(name="user_agent", type=FieldType.TEXT, column="user_agent", about="User-Agent; case of letters does not count"),
    Field(name="edge", type=FieldType.TEXT, column="edge", about="name of the edge that saw it"),
    Field(name="trunk", type=FieldType.TEXT, column="trunk", events=CALLS, about="trunk of the call record"),
    Field(name="carrier", type=FieldType.TEXT, column="carrier", events=CALLS, about="carrier of the call record"),
    Field(name="direction", type=FieldType.CODE, column="direction", events=CALLS, choices=_DIRECTIONS, about="out or forwarded"),
    Field(name="flag", type=FieldType.FLAG, column="flags", choices=_FLAGS, about="what else is true of the row"),
    Field(name="status_code", type=FieldType.NUMBER, column="status_code", high=699, about="SIP status code of the row"),
    Field(
        name="ring_seconds",
        type=FieldType.NUMBER,
        column="ring_seconds",
        events=frozenset({Event.ANSWER, Event.END, Event.INBOUND}),
        high=86_400,
        about="seconds from start to answer",
    ),
    Field(
        name="duration",
        type=FieldType.NUMBER,
        events=frozenset({Event.END, Event.INBOUND}),
        high=31 * 86_400_000,
        scale=1_000,
        about="seconds from answer to end; 0 when it was not answered",
    ),
    Field(name="hour", type=FieldType.HOUR, high=23, about="hour of the day in the operator's time zone, 0 to 23"),
    Field(name="weekday", type=FieldType.WEEKDAY, high=6, about="mon to sun, in the operator's time zone"),
)
FIELDS: Final[Mapping[str, Field]] = {field.name: field for field in _ALL_FIELDS}

OPERATORS: Final[Mapping[FieldType, tuple[Operator, ...]]] = {
    FieldType.TEXT: ("is", "not", "starts_with", "contains"),
    FieldType.CODE: ("is", "not"),
    FieldType.COUNTRY: ("is", "not"),
    FieldType.FLAG: ("is", "not"),
    FieldType.NUMBER: ("is", "not", "between"),
    FieldType.ADDRESS: ("is", "not"),
    FieldType.HOUR: ("between",),
    FieldType.WEEKDAY: ("is", "not"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Something rows can be counted per, or told apart by."""

    name: str
    about: str
    one: str
    many: str
    events: frozenset[Event] = EVERY


_ALL_KEYS: Final = (
    Key(name="account", about="the account", one="account", many="accounts", events=EVERY - {Event.AUTH_FAILURE}),
    Key(name="callee", about="the called number", one="number", many="numbers", events=NUMBERED),
    Key(name="range", about="the called number without its last three digits", one="range", many="ranges", events=NUMBERED),
    Key(name="country", about="the country called", one="country", many="countries", events=NUMBERED),
    Key(name="source", about="the source address (IPv6: its /64)", one="source", many="sources"),
    Key(name="source_net", about="the source's /24 (IPv6: /48)", one="source network", many="source networks"),
    Key(name="network", about="the origin network, such as AS64500", one="origin network", many="origin networks"),
    Key(name="family", about="the User-Agent without versions", one="User-Agent family", many="User-Agent families"),
    Key(name="edge", about="the edge", one="edge", many="edges"),
    Key(name="all", about="all rows together", one="operator", many=""),
)
KEYS: Final[Mapping[str, Key]] = {key.name: key for key in _ALL_KEYS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicate:
    """One condition. `values` for is, not, starts_with, contains (any of them); `low` and `high`, both included, for between.

    Texts stand as they were written, codes and countries by name, numbers in the column's unit as text. An hour range may pass midnight:
    then `low` is above `high`.
    """

    field: str
    operator: Operator
    values: tuple[str, ...] = ()
    low: int = 0
    high: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposedRule:
    """A whole rule. Limits: a count, micro-euro (cost) or milliseconds (minutes); `warn` equals `act` when only act was given."""

    name: str
    title: str
    mode: Mode
    event: Event
    where: tuple[Predicate, ...]
    quantity: Quantity
    of: str = ""
    """Of a distinct count: the key that is told apart."""
    per: str
    window_ms: int
    warn: int
    act: int

    @property
    def rule_id(self) -> str:
        """`X-<name>`, as alerts name it."""
        return PREFIX + self.name

    @property
    def counted(self) -> tuple[object, ...]:
        """What two versions must have in common for the later one to go on with what the earlier one counted."""
        return self.event, self.where, self.quantity, self.of, self.per, self.window_ms


def folded(field: str, text: str) -> str:
    """A text as it is compared: a User-Agent without the case of its ASCII letters, others as they are."""
    return text.translate(_LOWER) if field == "user_agent" else text


def as_rule_id(text: str) -> str:
    """A rule's id as people type it: `d02` is D02, `x-Night` is X-night."""
    return PREFIX + text[len(PREFIX) :].lower() if text.upper().startswith(PREFIX) else text.upper()
