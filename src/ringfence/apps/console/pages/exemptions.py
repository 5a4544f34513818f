"""What nothing automatic touches, who answers for it, until when. From NATS alone."""

import msgspec
from fastapi import Request
from starlette.responses import Response

from ringfence.access.model import Permission
from ringfence.apps.console import shown
from ringfence.apps.console.forms import Hours, Reason, Short, read_form
from ringfence.apps.console.places import desk_of, said
from ringfence.apps.console.routing import Acting, Pages
from ringfence.enforcement.commands import EndExemption, Exempt
from ringfence.enforcement.model import HOUR_MS, Scope

pages = Pages()


class _Exempt(msgspec.Struct, frozen=True):
    scope: Scope
    value: Short
    owner: Short
    reason: Reason
    hours: Hours = 720


class _End(msgspec.Struct, frozen=True):
    reason: Reason


@pages.page("/exemptions", permission=Permission.BLOCK_READ)
async def show_exemptions(request: Request) -> Response:
    """Those in force, the next to end first."""
    desk = desk_of(request)
    exemptions = [shown.exemption(entry) for entry in desk.board.exemptions_in_force()]
    return desk.renderer.page(request, "exemptions.html", exemptions=exemptions)


@pages.action("/exemptions", permission=Permission.EXEMPTION_MANAGE)
async def exempt(request: Request, actor: Acting) -> Response:
    """A new one."""
    desk = desk_of(request)
    entry = await read_form(request, _Exempt)
    until_ms = desk.clock() + entry.hours * HOUR_MS
    command = Exempt(scope=entry.scope, value=entry.value, owner=entry.owner, until_ms=until_ms, reason=entry.reason, by=actor.name)
    await desk.order(command)
    return said("/exemptions", "exempted")


@pages.action("/exemptions/{exemption_id}/end", permission=Permission.EXEMPTION_MANAGE)
async def end_exemption(request: Request, actor: Acting, exemption_id: str) -> Response:
    """Over now."""
    entry = await read_form(request, _End)
    await desk_of(request).order(EndExemption(exemption_id=exemption_id, reason=entry.reason, by=actor.name))
    return said("/exemptions", "exemption_ended")
