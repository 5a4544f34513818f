"""Edges and breakers: what the SIP servers hold, and whether automatic blocks flow. From NATS alone."""

from collections.abc import Mapping

import msgspec
from fastapi import Request
from starlette.responses import Response

from ringfence.access.model import Permission
from ringfence.apps.console import shown
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.forms import Reason, read_form
from ringfence.apps.console.live import stream
from ringfence.apps.console.places import desk_of, said
from ringfence.apps.console.routing import Acting, Pages
from ringfence.enforcement.commands import ResetBreaker

pages = Pages()


class _Reset(msgspec.Struct, frozen=True):
    reason: Reason


@pages.page("/edges", permission=Permission.EDGE_READ)
async def show_edges(request: Request) -> Response:
    """Every edge that has reported."""
    desk = desk_of(request)
    breakers = [desk.board.breaker("account"), desk.board.breaker("source")]
    return desk.renderer.page(request, "edges.html", edges=_edges(desk), breakers=breakers)


@pages.page("/live/edges", permission=Permission.EDGE_READ)
async def live_edges(request: Request) -> Response:
    """The table, each second."""
    desk = desk_of(request)

    async def regions() -> Mapping[str, str]:
        return {"list": desk.renderer.fragment("parts/edge_cards.html", edges=_edges(desk))}

    return stream(request, desk, Permission.EDGE_READ, regions)


@pages.action("/breakers/{kind}/reset", permission=Permission.BREAKER_RESET)
async def reset_breaker(request: Request, actor: Acting, kind: str) -> Response:
    """Automatic blocks of this kind may happen again."""
    entry = await read_form(request, _Reset)
    await desk_of(request).order(ResetBreaker(kind=kind, by=actor.name, reason=entry.reason))
    return said("/edges", "breaker_reset")


def _edges(desk: Desk) -> list[shown.ShownEdge]:
    now = desk.clock()
    return [shown.edge(report, now) for _, report in sorted(desk.board.edges.items())]
