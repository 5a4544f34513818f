"""The row of the account view of the log: what happened, to whom, at what price.

A row is a fact that ingest believed (`trust`), never a guess. Price and class are stamped once, when the row is made, so that a replay
needs no rate deck. The one thing to know: `account_key` decides whose counters a row moves, and a row from an agent without a key
carries a key of a space of its own, so that a forger can neither add to nor end anything of the real account.
"""

from enum import IntEnum, IntFlag

import msgspec

from ringfence.base.ids import keyed_hash, slot_of


class Kind(IntEnum):
    """What a row reports."""

    ATTEMPT = 1
    """An authenticated INVITE that opens a dialog."""
    ANSWER = 2
    """The first 2xx to that INVITE."""
    END = 3
    """BYE, CANCEL, a final refusal, or silence."""
    CALL = 4
    """A whole call, from a call record."""
    REGISTRATION = 5
    """A registration that changed, lapsed or returned."""
    AUTH_FAILURE = 6
    """Credentials were offered and refused. Charged to the source, never to the account."""
    BLOCKED = 7
    """Refused by our own block. Renews nothing."""


class DestinationClass(IntEnum):
    """Destinations by wholesale cost and kind of number."""

    C0 = 0
    """Emergency and harm lines: never touched, never counted."""
    C1 = 1
    """On-net, national fixed and mobile."""
    C2 = 2
    """International below 5 ct/min."""
    C3 = 3
    """5 to 25 ct/min."""
    C4 = 4
    """25 ct to 1 EUR/min."""
    C5 = 5
    """1 EUR/min and above, satellite and global services, revenue-share ranges, unrated."""


class Flag(IntFlag):
    """What else is true of a row."""

    UNRATED = 1
    """The deck has no price; costed at 1 EUR/min."""
    UNKEYED = 2
    """The agent has no key: alerts, never a block."""
    FORWARDED = 4
    """A leg that forwarding made."""
    NATIONAL_VALUE = 8
    """National premium, directory, televote: the customer's choice."""
    SILENT_END = 16
    """The end is back-dated to the last sign of life."""
    CDR = 32
    """From a call record, not from the wire."""


class AccountRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the account view. Times are Unix milliseconds, 0 when it did not happen or is not known; money is micro-euro."""

    kind: int
    at_ms: int
    received_ms: int
    account: str = ""
    account_key: int = 0
    slot: int = 0
    call_id: str = ""
    call_key: int = 0
    caller: str = ""
    callee: str = ""
    range_key: int = 0
    """Keyed hash of the callee's digits without the last three, which are `number_tail`: kept apart so that sequential numbers show."""
    number_tail: int = 0
    country: int = 0
    """Two letters as `ord(a) * 256 + ord(b)`; 0 unknown."""
    destination_class: int = 0
    rate: int = 0
    """Micro-euro per minute."""
    connect_micro: int = 0
    """Micro-euro per answered call."""
    flags: int = 0
    started_ms: int = 0
    answered_ms: int = 0
    ended_ms: int = 0
    status_code: int = 0
    source_ip: str = ""
    source_port: int = 0
    user_agent: str = ""
    edge: str = ""
    contact: str = ""
    expires: int = 0
    trunk: str = ""
    carrier: str = ""
    ring_seconds: int = 0
    credential: str = ""


def account_key_of(key: bytes, account: str, *, keyed: bool) -> int:
    """The 64-bit key of an account; accounts named by agents without a key live in a space of their own."""
    return keyed_hash(key, account) if keyed else keyed_hash(key, "unkeyed", account)


def call_key_of(key: bytes, call_id: str) -> int:
    """The 64-bit key of a call."""
    return keyed_hash(key, call_id)


def number_key_of(key: bytes, digits: str) -> tuple[int, int]:
    """`(range_key, number_tail)` of a number's digits: the range is the number without its last three digits."""
    head, tail = digits[:-3], digits[-3:]
    return keyed_hash(key, head), int(tail) if tail.isascii() and tail.isdigit() else 0


def account_slot(account_key: int) -> int:
    """The slot (0 to 1023) that carries an account's rows."""
    return slot_of(account_key)


def country_code(letters: str) -> int:
    """`DE` as a 16-bit number; 0 for anything that is not two ASCII letters."""
    if len(letters) != 2 or not letters.isascii() or not letters.isalpha():
        return 0
    upper = letters.upper()
    return ord(upper[0]) * 256 + ord(upper[1])


def country_letters(code: int) -> str:
    """The two letters of `country_code`, or an empty text for 0."""
    return chr(code >> 8) + chr(code & 255) if code else ""
