"""An account, a network, and what an import did.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that was skipped: where it stands in the file and what is wrong with it."""

    line: int
    reason: str
    """Short constant for counters."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import read and changed. `bad_rows` holds the first hundred of `bad`."""

    import_id: str
    kind: str
    rows: int
    added: int
    changed: int
    removed: int
    """Networks that the file no longer names; accounts are never removed by an import."""
    same: int
    bad: int
    bad_rows: tuple[BadRow, ...] = ()
    bad_reasons: tuple[tuple[str, int], ...] = ()
    """Every reason with its count, most frequent first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An entry of the outbox: what the worker has to tell the log."""

    entry_id: int
    kind: str
    """`accounts` or `networks`."""
    revision: int
