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
    INBOUND = 8
    """A whole inbound call, written when it is over. Number fields describe the caller's number: the one that would be called back."""
    UNAUTHENTICATED = 9
    """A request that nobody authenticated: an INVITE or a scan. Charged to the source."""


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
    REFERRED = 64
    """A leg that an inbound caller started: REFER or a call-back from a mailbox."""
    FORWARD_LOOP = 128
    """The history of forwardings names a number twice, or more numbers than an honest one does."""
    NONCE_REUSED = 256
    """Credentials with a nonce that was used before (Kamailio's -6)."""
    USER_MISMATCH = 512
    """The From header names another user than the credentials."""
    SCANNER = 1024
    """The User-Agent is a known scanner's."""
    LISTED_NUMBER = 2048
    """The called number is on a list of revenue-share test numbers."""
    LISTED_RANGE = 4096
    """The called number's thousand holds two or more of them."""
    UNALLOCATED = 8192
    """The called range is not allocated to anybody."""


class NetworkKind(IntEnum):
    """What the operator's list of networks says of a source address."""

    FOREIGN = 0
    """Not in the list."""
    OWN_POOL = 1
    CGNAT = 2
    PEER = 3
    MONITORING = 4


class Direction(IntEnum):
    """Which way a call goes, seen from the account."""

    OUT = 0
    IN = 1
    FORWARDED = 2


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
    direction: int = 0
    source_key: int = 0
    """Keyed hash of the source address (IPv4) or its /64 (IPv6): the key of the source view. 0 unknown."""
    network_key: int = 0
    """Keyed hash of `network`; 0 unknown."""
    network_kind: int = 0
    source_country: int = 0
    """Country of the source address, coded like `country`; the operator's own for its own networks, 0 unknown."""
    family_key: int = 0
    """Keyed hash of the User-Agent's family (maker and model without versions); 0 when there is no User-Agent."""
    network: str = ""
    """The origin network as people name it: `AS3320`, else the /24 or /48 of the source."""
    forwarded_by: str = ""
    """Of a forwarded leg: the account whose forwarding made it."""


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
