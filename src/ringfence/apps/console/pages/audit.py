"""The audit chain: read it, filter it, verify it."""

from urllib.parse import urlencode

import msgspec
from fastapi import Request
from starlette.responses import Response

from ringfence.access.model import Actor, ChainReport, Permission
from ringfence.apps.console.forms import Short, read_query
from ringfence.apps.console.places import desk_of
from ringfence.apps.console.routing import Acting, Pages

pages = Pages()

PAGE = 100


class _Filter(msgspec.Struct, frozen=True):
    by: Short = ""
    action: Short = ""
    subject: Short = ""
    before: int = 0


@pages.page("/audit", permission=Permission.AUDIT_READ)
async def show_audit(request: Request, actor: Acting) -> Response:
    """Entries, newest first."""
    return await _audit(request, actor, read_query(request, _Filter))


@pages.action("/audit/verify", permission=Permission.AUDIT_READ)
async def verify_audit(request: Request, actor: Acting) -> Response:
    """Walk the whole chain."""
    return await _audit(request, actor, _Filter(), report=await desk_of(request).access.verify())


async def _audit(request: Request, actor: Actor, wanted: _Filter, *, report: ChainReport | None = None) -> Response:
    desk = desk_of(request)
    entries = await desk.access.audit_entries(
        actor, before=wanted.before, by=wanted.by, action=wanted.action, subject=wanted.subject, limit=PAGE
    )
    following = {"by": wanted.by, "action": wanted.action, "subject": wanted.subject, "before": entries[-1].entry_id if entries else 0}
    next_page = f"/audit?{urlencode(following)}" if len(entries) == PAGE else ""
    return desk.renderer.page(request, "audit.html", entries=entries, filter=wanted, report=report, next=next_page)
