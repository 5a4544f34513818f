"""Leases of DHCP as rows of a CSV file: `address, line, from`, and optionally `to, access_node, server` (formats.md)."""

from collections.abc import Iterator
from typing import BinaryIO

from ringfence.base.errors import PeerError
from ringfence.subscribers.cells import line_name, moment, read_table, text
from ringfence.subscribers.model import BadRow
from ringfence.subscribers.sessions.addresses import network_of_line
from ringfence.subscribers.sessions.model import Origin, ReportKind, SessionReport

_NEEDED = ("address", "line", "from")


def read_leases(source: BinaryIO) -> Iterator[SessionReport | BadRow]:
    """Leases in file order; OperatorError when the header lacks a column that is needed."""
    for file_line, cells in read_table(source, required=_NEEDED, known=(*_NEEDED, "to", "access_node", "server")):
        if isinstance(cells, BadRow):
            yield cells
            continue
        try:
            yield _lease(
                cells["address"], cells["line"], cells["from"], cells.get("to", ""), cells.get("access_node", ""), cells.get("server", "")
            )
        except PeerError as error:
            yield BadRow(line=file_line, reason=error.reason, message=str(error))


def _lease(address: str, line: str, begun: str, over: str, access_node: str, server: str) -> SessionReport:
    name, started_ms, ended_ms = line_name(line), moment("from")(begun), moment("to")(over)
    if not started_ms:
        raise PeerError("the lease has no beginning", reason="bad_from")
    if ended_ms and ended_ms < started_ms:
        raise PeerError(f"the lease ends ({over[:60]!a}) before it begins ({begun[:60]!a})", reason="bad_to")
    return SessionReport(
        kind=ReportKind.LEASE,
        # A colon stands in no name of a RADIUS client, so neither feed can speak for the other.
        nas=f"dhcp:{text(server)}",
        session_id=f"{name}@{started_ms}",
        at_ms=started_ms,
        started_ms=started_ms,
        ended_ms=ended_ms,
        prefixes=(network_of_line(address),),
        line=name,
        access_node=text(access_node),
        origin=Origin.DHCP,
    )
