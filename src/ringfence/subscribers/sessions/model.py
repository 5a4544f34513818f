"""What a NAS or a DHCP server reports of a session, and what is known of who held an address.

A session of RADIUS has an IPv4 address, IPv6 prefixes or both; each of them is one row, because each is asked for by itself.
"""

from dataclasses import dataclass
from enum import StrEnum, unique

SHORTEST_PREFIX, LONGEST_PREFIX = 32, 64
"""IPv6 prefixes of one line; beside them only /128. What is looked up is so 34 exact places and no search."""


@unique
class Origin(StrEnum):
    """Who told."""

    RADIUS = "radius"
    DHCP = "dhcp"


@unique
class ReportKind(StrEnum):
    """What a report says."""

    START = "start"
    INTERIM = "interim"
    STOP = "stop"
    NAS_RESTART = "nas_restart"
    """Accounting-On and -Off: every session of the NAS is over."""
    LEASE = "lease"
    """A lease of DHCP, whole: from `started_ms` to `ended_ms`."""


@unique
class EndedBy(StrEnum):
    """Why a session counts as over."""

    OPEN = ""
    STOP = "stop"
    NAS = "nas"
    TAKEN = "taken"
    """A newer session has its address."""
    LEASE = "lease"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionReport:
    """One report. `nas` and `session_id` name the session; `prefixes` may be empty where earlier reports told them."""

    kind: ReportKind
    nas: str
    at_ms: int
    """When it happened, not when it came."""
    session_id: str = ""
    started_ms: int = 0
    """Start of the session, 0 when the report does not tell it."""
    ended_ms: int = 0
    """End of a lease, 0 while it has none; for leases only, and may lie ahead."""
    prefixes: tuple[str, ...] = ()
    """Networks such as `192.0.2.1/32` or `2001:db8:0:1::/64`."""
    line: str = ""
    access_node: str = ""
    origin: Origin = Origin.RADIUS


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessSession:
    """Who held an address. `customer` comes from the list of lines; empty texts are unknown, `ended_ms` 0 means still open."""

    address: str
    """The address that was asked for, or the session's own network where a line was."""
    prefix: str
    line: str
    customer: str
    access_node: str
    nas: str
    session_id: str
    origin: Origin
    started_ms: int
    last_seen_ms: int
    ended_ms: int
    ended_by: EndedBy


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionsReport:
    """What an import of leases read and changed."""

    rows: int
    added: int
    changed: int
    same: int
    bad: int
