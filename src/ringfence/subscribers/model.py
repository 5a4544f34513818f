"""An account, a network, a customer with lines and contacts, and what an import did.

An account that is not here is residential with one channel: absence is an answer, not an error.
"""

from dataclasses import dataclass
from enum import StrEnum, unique

from ringfence.telephony.control import AccountChanged


@unique
class Segment(StrEnum):
    """How much an account may do before it is strange."""

    RESIDENTIAL = "residential"
    BUSINESS = "business"
    TRUNK = "trunk"


@unique
class NetworkKind(StrEnum):
    """Why a range is the operator's own: penalties spare all of them."""

    OWN_POOL = "own_pool"
    CGNAT = "cgnat"
    PEER = "peer"
    MONITORING = "monitoring"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What is known of a SIP account (its digest user name)."""

    account: str
    account_key: int
    slot: int
    customer: str = ""
    segment: Segment = Segment.RESIDENTIAL
    channels: int = 1
    since_ms: int = 0
    """Start of the contract, 0 when unknown."""
    country: str = ""
    """Two letters, empty when unknown."""
    own_device: bool = False
    """The customer brought the box: it is not under our management."""
    exempt_until_ms: int = 0
    sensitivity: int = 0
    """0 to 100; thresholds shrink with it."""
    removed: bool = False
    line: str = ""
    """The line it is on, empty when unknown."""

    def changed(self) -> AccountChanged:
        """The control record that tells detection about this account."""
        return AccountChanged(
            account=self.account,
            account_key=self.account_key,
            slot=self.slot,
            segment=self.segment.value,
            channels=self.channels,
            since_ms=self.since_ms,
            sensitivity=self.sensitivity,
            exempt_until_ms=self.exempt_until_ms,
            own_device=self.own_device,
            removed=self.removed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One of the operator's own ranges."""

    prefix: str
    kind: NetworkKind
    comment: str = ""


@unique
class ContactKind(StrEnum):
    """How a customer can be reached."""

    MAIL = "mail"
    PHONE = "phone"
    POST = "post"


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Who has a contract. `removed`: the operator closed it; who it was stays known."""

    customer: str
    name: str = ""
    segment: Segment = Segment.RESIDENTIAL
    since_ms: int = 0
    """Start of the contract, 0 when unknown."""
    removed: bool = False
    changed_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An access line: where a device is plugged in."""

    line: str
    customer: str = ""
    access_node: str = ""
    """Where it ends (DSLAM, OLT, CMTS), empty when unknown."""
    region: str = ""
    removed: bool = False
    changed_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """One way to reach a customer."""

    customer: str
    kind: ContactKind
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerPage:
    """A customer with everything that belongs to it; 500 of each at the most."""

    customer: Customer
    lines: tuple[Line, ...]
    accounts: tuple[Account, ...]
    contacts: tuple[Contact, ...]


@unique
class FoundBy(StrEnum):
    """What of a customer matched a search."""

    CUSTOMER = "customer"
    NAME = "name"
    ACCOUNT = "account"
    LINE = "line"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A hit of a search. `customer` is empty when an account or a line names none."""

    by: FoundBy
    value: str
    """The number, name, account, line or address that matched."""
    customer: str
    name: str
    line: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that was skipped: where it stands in the file and what is wrong with it."""

    line: int
    reason: str
    """Short constant for counters."""
    message: str


@unique
class Difference(StrEnum):
    """What an import did with a row that was not as it is."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """One row that an import wrote: its key, what happened, and the fields that are others now. No values: a report is passed around."""

    key: str
    difference: Difference
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import read and changed. `bad_rows` holds the first hundred of `bad`, `examples` the first hundred that were written."""

    import_id: str
    kind: str
    rows: int
    added: int
    changed: int
    removed: int
    """Rows that say `removed` of something that was there, and networks that the file no longer names."""
    same: int
    bad: int
    bad_rows: tuple[BadRow, ...] = ()
    bad_reasons: tuple[tuple[str, int], ...] = ()
    """Every reason with its count, most frequent first."""
    examples: tuple[Changed, ...] = ()
    changed_fields: tuple[tuple[str, int], ...] = ()
    """How many of `changed` have another value in a field, most frequent first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An entry of the outbox: what the worker has to tell the log."""

    entry_id: int
    kind: str
    """`accounts` or `networks`."""
    revision: int
