"""Blocks that wait for people: approve, reject. From NATS alone; policy counts the approvals."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from fastapi import Request
from starlette.responses import Response

from ringfence.access.model import Permission
from ringfence.apps.console import shown
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.forms import Reason, read_form
from ringfence.apps.console.live import stream
from ringfence.apps.console.places import desk_of, said
from ringfence.apps.console.routing import Acting, Pages, Visiting
from ringfence.apps.console.templating import may_of
from ringfence.enforcement.commands import Approve, Reject

pages = Pages()

Path = Annotated[str, msgspec.Meta(max_length=500)]


class _Approve(msgspec.Struct, frozen=True):
    back: Path = "/proposals"


class _Reject(msgspec.Struct, frozen=True):
    reason: Reason
    back: Path = "/proposals"


@pages.page("/proposals", permission=Permission.BLOCK_READ)
async def show_proposals(request: Request) -> Response:
    """What waits, oldest first."""
    desk = desk_of(request)
    return desk.renderer.page(request, "proposals.html", proposals=_open(desk))


@pages.page("/live/proposals", permission=Permission.BLOCK_READ)
async def live_proposals(request: Request, actor: Acting, visit: Visiting) -> Response:
    """The cards, as they come and go."""
    desk = desk_of(request)
    may = may_of(actor.permissions)

    async def regions() -> Mapping[str, str]:
        context = {"proposals": _open(desk), "may": may, "form_token": visit.form_token}
        return {"list": desk.renderer.fragment("parts/proposal_cards.html", **context)}

    return stream(request, desk, Permission.BLOCK_READ, regions)


@pages.action("/proposals/{proposal_id}/approve", permission=Permission.BLOCK_APPROVE)
async def approve(request: Request, actor: Acting, proposal_id: str) -> Response:
    """One person's yes."""
    entry = await read_form(request, _Approve)
    done = await desk_of(request).order(Approve(proposal_id=proposal_id, by=actor.name))
    return said(entry.back, "imposed" if done.block_id else "approved")


@pages.action("/proposals/{proposal_id}/reject", permission=Permission.BLOCK_APPROVE)
async def reject(request: Request, actor: Acting, proposal_id: str) -> Response:
    """One no ends it."""
    entry = await read_form(request, _Reject)
    await desk_of(request).order(Reject(proposal_id=proposal_id, by=actor.name, reason=entry.reason))
    return said(entry.back, "rejected")


def _open(desk: Desk) -> list[shown.ShownProposal]:
    return [shown.proposal(entry, desk.board.approvers(entry.proposal_id)) for entry in desk.board.open_proposals()]
