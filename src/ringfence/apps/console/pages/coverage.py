"""Customers whose phone registers and who are not managed: how many, with which box, and a list to work off.

The list is one of customers, which a hotline agent does not see. The file is an order, because it is written to the audit chain.
"""

from typing import Annotated

import msgspec
from fastapi import Request
from starlette.responses import Response

from ringfence.access.model import Permission
from ringfence.apps.console.forms import Short, read_form, read_query
from ringfence.apps.console.places import desk_of, said
from ringfence.apps.console.routing import Acting, Pages
from ringfence.base.errors import UnavailableError
from ringfence.views.coverage import CoverageSeen, Uncovered
from ringfence.views.workbench import as_csv

pages = Pages()

PAGE = 100
MODELS = 24
COLUMNS = ("customer", "account", "model", "registered", "device", "state")


class _Wanted(msgspec.Struct, frozen=True):
    model: Short = ""
    start: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0


@pages.page("/fleet/coverage", permission=Permission.OVERVIEW_READ)
async def show_coverage(request: Request) -> Response:
    """Figures, models and the list."""
    desk = desk_of(request)
    wanted = read_query(request, _Wanted)
    trouble, seen = "", None
    try:
        seen = await desk.coverage.current()
    except UnavailableError as error:
        trouble, seen = (
            f"{str(error)[:1].upper()}{str(error)[1:].rstrip('.')}. Coverage needs the archive and the database.",
            desk.coverage.known,
        )
    listed = _listed(seen, wanted.model) if seen else []
    return desk.renderer.page(
        request,
        "coverage.html",
        tab="/fleet/coverage",
        seen=seen,
        trouble=trouble,
        model=wanted.model,
        models=seen.by_model[:MODELS] if seen else (),
        more_models=max(0, len(seen.by_model) - MODELS) if seen else 0,
        most=seen.by_model[0].customers if seen and seen.by_model else 1,
        rows=listed[wanted.start : wanted.start + PAGE],
        found=len(listed),
        following=wanted.start + PAGE if len(listed) > wanted.start + PAGE else 0,
    )


@pages.action("/fleet/coverage/count", permission=Permission.OVERVIEW_READ)
async def count_coverage(request: Request) -> Response:
    """Count now."""
    await desk_of(request).coverage.anew()
    return said("/fleet/coverage", "counted")


@pages.action("/fleet/coverage/list.csv", permission=Permission.OVERVIEW_READ)
async def take_list(request: Request, actor: Acting) -> Response:
    """The list as a file."""
    desk = desk_of(request)
    model = (await read_form(request, _Wanted)).model
    seen = await desk.coverage.current()
    listed, zone = _listed(seen, model), desk.renderer.zone
    # Written before the file leaves: an export that nobody can be asked about does not happen.
    await desk.record(actor, "export_coverage", model or "all models", {"customers": len(listed)})
    lines = [
        (each.customer, each.account, each.model, zone.local(each.seen_ms).isoformat(timespec="seconds"), each.device_id or "", each.life)
        for each in listed
    ]
    name = f"not-managed-{zone.local(desk.clock()).strftime('%Y%m%dT%H%M%S')}.csv"
    return Response(
        as_csv(COLUMNS, lines),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _listed(seen: CoverageSeen, model: str) -> list[Uncovered]:
    return [each for each in seen.uncovered if not model or each.model == model]
