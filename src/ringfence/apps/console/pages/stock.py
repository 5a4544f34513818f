"""What lies in stock and what was sent out: which version each device has, which one it is to have, and lists of new ones.

A list is pasted into the form, since forms are small; a longer one goes through the command line. Its report says what was skipped and why.
"""

from io import StringIO
from typing import Annotated, Any

import msgspec
from fastapi import Request
from starlette.responses import Response

from ringfence.access.model import Permission
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.forms import read_form, read_query
from ringfence.apps.console.pages.devices import MAX_ID
from ringfence.apps.console.places import desk_of
from ringfence.apps.console.routing import Acting, Pages
from ringfence.base.errors import OperatorError
from ringfence.fleet.model import DevicesImported, Filter

pages = Pages()

PAGE = 100
MODEL_CHARS = 80


class _Wanted(msgspec.Struct, frozen=True):
    model: Annotated[str, msgspec.Meta(max_length=MODEL_CHARS)] = ""
    """OUI, a blank, product class."""
    state: Annotated[str, msgspec.Meta(pattern="^(in_stock|shipped)$")] = "in_stock"
    after: Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)] = 0


class _List(msgspec.Struct, frozen=True):
    list: str = ""


@pages.page("/fleet/stock", permission=Permission.DEVICE_READ)
async def show_stock(request: Request) -> Response:
    """Devices in stock or shipped, by model."""
    return await _stock(request, read_query(request, _Wanted))


@pages.action("/fleet/stock", permission=Permission.DEVICE_IMPORT)
async def import_stock(request: Request, actor: Acting) -> Response:
    """Add what the list names, and say what became of it."""
    desk = desk_of(request)
    text = (await read_form(request, _List)).list
    try:
        report = await desk.inventory.import_devices(actor.name, StringIO(text))
    except OperatorError as error:
        return await _stock(request, _Wanted(), status=422, trouble=str(error), text=text)
    await desk.record(actor, "import_devices", "stock", {"rows": report.rows, "added": report.added, "changed": report.changed})
    return await _stock(request, _Wanted(), report=report, text=text if report.bad else "")


async def _stock(
    request: Request, wanted: _Wanted, *, status: int = 200, trouble: str = "", text: str = "", report: DevicesImported | None = None
) -> Response:
    desk = desk_of(request)
    models = await desk.or_else(desk.inventory.models(), ())
    return desk.renderer.page(
        request,
        "stock.html",
        status=status,
        tab="/fleet/stock",
        filter=wanted,
        models=[(f"{each.oui} {each.product_class}", each.name or each.product_class or each.oui, each) for each in models],
        trouble=trouble,
        text=text,
        report=report,
        **await _listed(desk, wanted),
    )


async def _listed(desk: Desk, wanted: _Wanted) -> dict[str, Any]:
    """Devices of the page: those in stock with the version they are to have, those that were shipped with their line."""
    oui, _, product_class = wanted.model.partition(" ")
    if wanted.state == "shipped":
        filters = Filter(life="shipped", oui=oui, product_class=product_class)
        shipped = await desk.or_else(desk.inventory.page(filters, after=wanted.after, limit=PAGE + 1), None)
        following = shipped[PAGE - 1].device_id if shipped and len(shipped) > PAGE else 0
        return {"shipped": (shipped or ())[:PAGE], "stock": (), "following": following, "down": shipped is None}
    stock = await desk.or_else(desk.inventory.stock(oui=oui, product_class=product_class, after=wanted.after, limit=PAGE + 1), None)
    following = stock[PAGE - 1].device_id if stock and len(stock) > PAGE else 0
    return {"shipped": (), "stock": (stock or ())[:PAGE], "following": following, "down": stock is None}
