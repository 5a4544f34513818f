"""What an Accounting-Request says about a session: which line, which access node, since when.

Where the line's name stands differs from operator to operator, so a setting names the attribute. The one thing to know: a time from a NAS
is never later than its packet, and one that is older than a week is a clock that was not set.
"""

import re
from enum import StrEnum, unique

from ringfence.base.errors import PeerError
from ringfence.protocols.radius import AccountingRequest, AcctStatus
from ringfence.subscribers.sessions.addresses import network_of_line
from ringfence.subscribers.sessions.model import ReportKind, SessionReport

OLDEST_MS = 7 * 86_400_000
"""What a NAS may have kept through an outage; an Event-Timestamp before that is no time."""
MAX_SESSION_MS = 10 * 365 * 86_400_000


@unique
class LineFrom(StrEnum):
    """The attribute with the line's name."""

    CIRCUIT_ID = "circuit_id"
    REMOTE_ID = "remote_id"
    USER_NAME = "user_name"
    NAS_PORT_ID = "nas_port_id"
    CALLING_STATION_ID = "calling_station_id"


_KINDS: dict[int, ReportKind] = {
    AcctStatus.START: ReportKind.START,
    AcctStatus.INTERIM_UPDATE: ReportKind.INTERIM,
    AcctStatus.STOP: ReportKind.STOP,
    AcctStatus.ACCOUNTING_ON: ReportKind.NAS_RESTART,
    AcctStatus.ACCOUNTING_OFF: ReportKind.NAS_RESTART,
}

# TR-101 R-122: Access-Node-Identifier atm slot/port:vpi.vci, or Access-Node-Identifier eth slot/port[:vlan-id].
_circuit = re.compile(r"(\S+) (?:atm|eth) \S+").fullmatch


def report_of(request: AccountingRequest, *, client: str, source: str, received_ms: int, line_from: LineFrom) -> SessionReport | None:
    """The report in a request; None when it is none (a status of tunnels and links), which is answered all the same.

    `client` is the name under which the sender is known, `source` its address. A NAS behind a proxy is told apart by what it calls itself;
    under the client's name, so that no client speaks for a session of another by its name. PeerError: `no_session_id`.
    """
    kind = _KINDS.get(request.status)
    if kind is None:
        return None
    nas = f"{client}/{request.nas_identifier or request.nas_ip_address or request.nas_ipv6_address or source}"
    at_ms = _moment(request, received_ms)
    if kind is ReportKind.NAS_RESTART:
        return SessionReport(kind=kind, nas=nas, at_ms=at_ms)
    if not request.session_id:
        raise PeerError("An Accounting-Request without Acct-Session-Id.", reason="no_session_id")
    circuit = _circuit(request.circuit_id)
    return SessionReport(
        kind=kind,
        nas=nas,
        session_id=request.session_id,
        at_ms=at_ms,
        started_ms=at_ms if kind is ReportKind.START else _start(request, at_ms),
        prefixes=_prefixes(request),
        line=str(getattr(request, line_from.value)),
        access_node=circuit[1] if circuit else request.nas_identifier,
    )


def _moment(request: AccountingRequest, received_ms: int) -> int:
    """When it happened: what the NAS says, else the receipt less the time it has been trying (RFC 2866 5.2); never after the receipt."""
    if request.event_timestamp is not None and received_ms - OLDEST_MS <= request.event_timestamp * 1000:
        return min(request.event_timestamp * 1000, received_ms)
    return received_ms - min(request.delay_seconds * 1000, OLDEST_MS)


def _start(request: AccountingRequest, at_ms: int) -> int:
    if request.session_seconds is None or request.session_seconds * 1000 > MAX_SESSION_MS:
        return 0
    return at_ms - request.session_seconds * 1000


def _prefixes(request: AccountingRequest) -> tuple[str, ...]:
    """What one line can have; 255.255.255.254 and its like mean that there is none (RFC 2865 5.8)."""
    told = (
        *((request.framed_ip_address,) if request.framed_ip_address else ()),
        *request.framed_ipv6_addresses,
        *request.framed_ipv6_prefixes,
        *request.delegated_ipv6_prefixes,
    )
    found: dict[str, None] = {}
    for text in told:
        try:
            found[network_of_line(text)] = None
        except PeerError:
            continue
    return tuple(found)
