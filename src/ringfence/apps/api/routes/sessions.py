"""Access sessions: which line held an address and when, leases of DHCP.

Who held an address is asked about a person, so each look-up stands in the audit chain.
"""

from datetime import datetime
from typing import Annotated

from fastapi import Query, Request
from pydantic import AwareDatetime

from ringfence.access.model import Permission
from ringfence.apps.api.account_payloads import ImportSaid
from ringfence.apps.api.payloads import Said, at
from ringfence.apps.api.receiving import received
from ringfence.apps.api.routing import Acting, AtDesk, Routes
from ringfence.base.errors import OperatorError
from ringfence.subscribers.sessions.model import AccessSession
from ringfence.subscribers.sessions.service import FAR_AHEAD_MS

routes = Routes("customers")

LEASES_BYTES = 2 * 1024**3
"""Largest list of leases: about 20 million rows."""


class AccessSessionSaid(Said):
    """A session. `ended_at` null: it is open; `ended_by`: stop, nas (it restarted), taken (a newer one has the address), lease."""

    address: str
    prefix: str
    line: str
    customer: str
    access_node: str
    nas: str
    session_id: str
    origin: str
    started_at: datetime | None
    last_seen_at: datetime | None
    ended_at: datetime | None
    ended_by: str

    @classmethod
    def of(cls, session: AccessSession) -> "AccessSessionSaid":
        """From the history."""
        return cls(
            address=session.address,
            prefix=session.prefix,
            line=session.line,
            customer=session.customer,
            access_node=session.access_node,
            nas=session.nas,
            session_id=session.session_id,
            origin=session.origin.value,
            started_at=at(session.started_ms),
            last_seen_at=at(session.last_seen_ms),
            ended_at=at(session.ended_ms),
            ended_by=session.ended_by.value,
        )


@routes.get("/sessions", permission=Permission.CUSTOMER_READ)
async def list_sessions(
    desk: AtDesk,
    actor: Acting,
    line: Annotated[str, Query(max_length=300)] = "",
    address: Annotated[str, Query(max_length=64)] = "",
    before: AwareDatetime | None = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> list[AccessSessionSaid]:
    """The addresses of a line, or who held an address: newest first, those that began before `before`."""
    if bool(line) == bool(address):
        raise OperatorError("name a line or an address, one of them", reason="no_subject")
    before_ms = FAR_AHEAD_MS if before is None else round(before.timestamp() * 1000)
    if line:
        found = await desk.subscribers.history_of_line(line, before_ms=before_ms, limit=limit)
    else:
        found = await desk.subscribers.history_of_address(address, before_ms=before_ms, limit=limit)
    await desk.access.audit(actor.name, "show_sessions", line or address, {"sessions": len(found)})
    return [AccessSessionSaid.of(session) for session in found]


@routes.post("/sessions/import", permission=Permission.CUSTOMER_IMPORT, max_body_size=LEASES_BYTES)
async def import_sessions(request: Request, desk: AtDesk, actor: Acting, *, strict: bool = False) -> ImportSaid:
    """Add and change leases from a CSV file, sent as the body (`text/csv`)."""
    with await received(request) as file:
        report = await desk.subscribers.import_sessions(actor.name, file, strict=strict)
    await desk.access.audit(actor.name, "import_sessions", report.import_id, {"rows": report.rows, "bad": report.bad})
    return ImportSaid.of(report)
