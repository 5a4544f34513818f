"""What a block is, and everything that stands beside it in the record: exemptions, releases, proposals, approvals, breakers, edge reports.

Values come in three ways (a rule, a person, a record read back) and are checked in one place: `normal_value` gives the one spelling of a
value or refuses it with a sentence. It never decides whether a block is wise; that is `policy` and `invariants`.
"""

import ipaddress
from enum import StrEnum
from typing import Literal

import msgspec

from ringfence.base.errors import OperatorError

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

MAX_ACCOUNT_BYTES = 128
"""UTF-8 bytes of an account name. Longer ones are refused: the edge's tables hold names, not texts."""
MAX_REASON_CHARACTERS = 500
"""Longer reasons from rules are cut, from people refused."""
MAX_NAME_CHARACTERS = 100
"""Of a person, an owner, an id."""
MAX_CALLS = 50
"""Call-IDs kept with a block as evidence; the newest stay."""
MIN_NUMBER_DIGITS, MIN_RANGE_DIGITS, MAX_DIGITS = 5, 3, 15
"""E.164 allows 15 digits; the edge looks prefixes of 3 to 15 digits up."""
MAX_BLOCK_MS = 366 * DAY_MS
"""A block always ends: a person may ask for a year, not for ever."""
MAX_CALL_ID_CHARACTERS = 256
CALL_MS = 2 * MINUTE_MS
"""How long the edges try to end a call; one that is over by then ended otherwise."""
CLASSES = range(2, 6)
"""C2 to C5 can be refused. C0 is emergency, C1 ordinary national calls."""
ENDED_CLASSES = range(4, 6)
"""Only a running call to C4 or C5 is ever ended (fraud-edge 4.4, invariant 10)."""


class Scope(StrEnum):
    """What a block refuses."""

    NUMBER = "number"
    RANGE = "range"
    CLASS = "class"
    ACCOUNT = "account"
    SOURCE = "source"
    CALL = "call"
    """Not a refusal: the one running call with this Call-ID is ended, once."""


BlockState = Literal["active", "lifted", "expired"]


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """One refusal at every edge, from `imposed_ms` until `until_ms`."""

    block_id: str
    scope: Scope
    value: str
    """Digits without `+` (number, range), account (class, account), IPv4 address or IPv6 /64 network (source), Call-ID (call)."""
    destination_class: int = 0
    """Scope class: 2 to 5, this class and above are refused. Scope call: 4 or 5, where the call goes."""
    imposed_ms: int
    until_ms: int
    origin: str
    """`rule:D02@1` or `person:anna`: whose idea it was."""
    author: str
    """Who made it effective: the rule, or the person who imposed or approved it."""
    reason: str
    alert_id: str = ""
    suspicion_id: str = ""
    """The suspicion this block answers; a redelivered one finds it here."""
    account: str = ""
    """The account whose behaviour gave the reason; may differ from `value` for numbers, ranges and sources."""
    calls: tuple[str, ...] = ()
    break_glass: bool = False
    """A mass measure by one person, to be reviewed."""
    threshold: int = 0
    """In force when the rule crossed it; the grace after a release measures against it."""
    state: BlockState = "active"
    ended_ms: int = 0
    ended_by: str = ""
    ended_reason: str = ""
    hits: int = 1
    """Step of the ladder: 1 the first automatic block of this value, 2 the second."""
    loss_micro: int = 0
    """What going on would have cost, as weighed with the suspicion; 0 when nobody weighed."""
    false_block_micro: int = 0
    """What being wrong would have cost."""
    ends: tuple[str, ...] = ()
    """Call-IDs of running C4+ calls of the evidence that every edge ends when the block arrives, within `CALL_MS`."""

    @property
    def automatic(self) -> bool:
        """Imposed by a rule without a person."""
        return self.author.startswith("rule:")

    def in_force(self, now_ms: int) -> bool:
        """Whether an edge refuses calls for it now."""
        return self.state == "active" and now_ms < self.until_ms


class BlockPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A block that is not imposed yet: what a proposal would do."""

    scope: Scope
    value: str
    destination_class: int = 0
    seconds: int
    """How long it lasts from the moment it is imposed."""
    hits: int = 1


class Exemption(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing automatic touches this value until `until_ms`; somebody answers for it."""

    exemption_id: str
    scope: Literal["account", "number", "source"]
    value: str
    """An account, digits without `+`, or a network such as `192.0.2.0/24`."""
    owner: str
    until_ms: int
    reason: str
    author: str
    created_ms: int
    ended_ms: int = 0
    ended_by: str = ""
    ended_reason: str = ""


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A person lifted a block: the same evidence does not bring it back within the grace."""

    block_id: str
    alert_id: str
    rule: str
    """`D02`, empty when a person had imposed the block."""
    account: str
    scope: Scope
    value: str
    threshold: int
    calls: tuple[str, ...]
    at_ms: int
    by: str


ProposalCause = Literal["mode", "ladder", "breaker", "mass", "stale", "shared_network", "full"]
ProposalState = Literal["open", "approved", "rejected", "expired"]


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A block that waits for people."""

    proposal_id: str
    cause: ProposalCause
    """Why it was not simply imposed."""
    plan: BlockPlan
    approvals_needed: int
    origin: str
    reason: str
    created_ms: int
    until_ms: int
    """Nobody decided by then: it expires."""
    alert_id: str = ""
    suspicion_id: str = ""
    account: str = ""
    calls: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    """Call-IDs that its block would end, as in `Block`; those that are over by then are not touched."""
    threshold: int = 0
    observed: int = 0
    cost_micro: int = 0
    loss_micro: int = 0
    false_block_micro: int = 0
    """Both sides of the decision, as in `Block`."""
    subjects: int = 1
    """Accounts that it would touch, as far as known."""
    state: ProposalState = "open"
    decided_ms: int = 0
    decided_by: str = ""
    decided_reason: str = ""
    block_id: str = ""
    """The block it became."""


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """One person's yes to one proposal."""

    proposal_id: str
    by: str
    at_ms: int


BreakerKind = Literal["account", "source"]


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """Stops automatic blocks of one kind when there were too many of them, until a person resets it."""

    kind: BreakerKind
    opened_ms: int = 0
    """0: closed."""
    subjects: int = 0
    limit: int = 0
    reset_ms: int = 0
    """Blocks before it do not count again."""
    reset_by: str = ""
    reset_reason: str = ""

    @property
    def is_open(self) -> bool:
        """Whether automatic blocks of this kind are stopped."""
        return self.opened_ms > 0


class EdgeReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the connector knows of one edge; KV bucket `edges`, key = name."""

    edge: str
    at_ms: int
    reachable: bool
    unreachable_since_ms: int = 0
    message: str = ""
    """One sentence on what is wrong; empty when nothing is."""
    agrees: bool = False
    """Filled, and the last look at every table found nothing to repair or repaired it."""
    keys: int = 0
    """Keys that the edge should hold."""
    waiting: int = 0
    """Changes not yet acknowledged by the edge."""
    last_full_check_ms: int = 0
    """When the last turn through all tables ended."""
    repaired: int = 0
    """Differences found and repaired since the connector started."""
    refills: int = 0
    """Complete fills since the connector started."""
    last_change_latency_ms: float = 0.0
    """From the change in the record to the edge's acknowledgement."""
    include_version: str = ""


def normal_value(scope: Scope, value: str, destination_class: int = 0) -> str:
    """The one spelling of a block's value; OperatorError when it is none."""
    if scope is Scope.CLASS and destination_class not in CLASSES:
        raise OperatorError(f"C{destination_class} cannot be refused; a class block names C2, C3, C4 or C5", reason="class_not_blockable")
    if scope is Scope.CALL and destination_class not in ENDED_CLASSES:
        raise OperatorError("only a running call to C4 or C5 can be ended", reason="call_not_endable")
    if scope not in {Scope.CLASS, Scope.CALL} and destination_class != 0:
        raise OperatorError("only a class block names a destination class; leave it out", reason="class_without_scope")
    match scope:
        case Scope.NUMBER:
            return normal_digits(value, MIN_NUMBER_DIGITS)
        case Scope.RANGE:
            return normal_digits(value, MIN_RANGE_DIGITS)
        case Scope.CLASS | Scope.ACCOUNT:
            return normal_account(value)
        case Scope.SOURCE:
            return normal_source(value)
        case Scope.CALL:
            return normal_call_id(value)


def normal_call_id(value: str) -> str:
    """A Call-ID (RFC 3261 25.1: `word [ "@" word ]`) as the edge knows it: visible ASCII, at most 256 characters."""
    if not 0 < len(value) <= MAX_CALL_ID_CHARACTERS or not all("!" <= sign <= "~" for sign in value):
        raise OperatorError(f"{_shown(value)} is no Call-ID; copy it from the call's page", reason="bad_call_id")
    return value


def normal_digits(value: str, least: int) -> str:
    """E.164 digits without `+`: `+232 76...` is refused, `+23276` and `23276` are one."""
    digits = value.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()) or digits.startswith("0"):
        raise OperatorError(f"{_shown(value)} is not a number in E.164 form; write it like +23276123456", reason="not_e164")
    if not least <= len(digits) <= MAX_DIGITS:
        raise OperatorError(f"{_shown(value)} has {len(digits)} digits; {least} to {MAX_DIGITS} are possible", reason="bad_length")
    return digits


def normal_account(value: str) -> str:
    """A digest user name as the edge knows it: no white space, nothing unprintable, at most 128 bytes."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= MAX_ACCOUNT_BYTES or not value.isprintable() or any(sign.isspace() for sign in value):
        raise OperatorError(
            f"{_shown(value)} is not an account name; give 1 to {MAX_ACCOUNT_BYTES} bytes without spaces", reason="bad_account"
        )
    return value


def normal_source(value: str) -> str:
    """An IPv4 address, or the /64 network of an IPv6 address. Wider networks are refused: a block names one line, not a provider."""
    network = normal_network(value)
    sender = network.network_address
    if network.version == 4 and network.prefixlen != 32:
        raise OperatorError(f"{_shown(value)} is a network; a source block names one IPv4 address", reason="network_too_wide")
    if network.version == 6 and network.prefixlen < 64:
        raise OperatorError(f"{_shown(value)} is wider than a /64; a source block names one IPv6 /64", reason="network_too_wide")
    if sender.is_unspecified or sender.is_multicast:
        raise OperatorError(f"{_shown(value)} is nobody's address; name the sender's", reason="bad_address")
    return str(sender) if network.version == 4 else str(network.supernet(new_prefix=64))


def normal_network(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A network or one address; IPv4 inside IPv6 counts as IPv4. OperatorError when it is neither."""
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise OperatorError(f"{_shown(value)} is no address and no network; write it like 192.0.2.1", reason="bad_address") from None
    if network.version == 6 and network.prefixlen >= 96 and network.network_address.ipv4_mapped is not None:
        return ipaddress.ip_network(f"{network.network_address.ipv4_mapped}/{network.prefixlen - 96}")
    return network


def normal_text(value: str, *, what: str, limit: int) -> str:
    """A sentence or name from a person, bounded and without control characters."""
    text = " ".join(value.split())
    if not text or len(text) > limit or not text.isprintable():
        raise OperatorError(f"the {what} must be 1 to {limit} printable characters", reason=f"bad_{what}")
    return text


def cut(text: str, limit: int) -> str:
    """A rule's text, shortened where it is too long and cleaned of what does not print."""
    clean = "".join(sign if sign.isprintable() else " " for sign in text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


def _shown(value: str) -> str:
    """A value inside an error sentence: bounded, escaped."""
    return ascii(value[:40])
