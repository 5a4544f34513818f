"""One field for everything: a serial number, a telephone number, a customer, a line, an address; and the page of one customer.

The hotline works with it, so it shows who somebody is and which devices they have, and no detail of any call.
"""

from typing import Any

import msgspec
from fastapi import Request
from starlette.responses import HTMLResponse, Response

from ringfence.access.model import Actor, Permission
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.forms import Short, read_query
from ringfence.apps.console.places import desk_of
from ringfence.apps.console.routing import Acting, Pages
from ringfence.base.errors import NotFoundError, OperatorError, UnavailableError
from ringfence.fleet.model import Device, Filter
from ringfence.subscribers.model import FoundBy

pages = Pages()

DEVICES = 20
SESSIONS = 20
GROUPS = (
    (FoundBy.CUSTOMER, "Customers"),
    (FoundBy.NAME, "Customers by name"),
    (FoundBy.ACCOUNT, "Accounts and numbers"),
    (FoundBy.LINE, "Lines"),
    (FoundBy.ADDRESS, "Who holds this address now"),
)


class _Sought(msgspec.Struct, frozen=True):
    text: Short = ""


@pages.page("/search", permission=Permission.CUSTOMER_READ)
async def show_search(request: Request, actor: Acting) -> Response:
    """The field and what it found."""
    desk = desk_of(request)
    text = read_query(request, _Sought).text
    return desk.renderer.page(request, "search.html", text=text, **await _found(desk, actor, text))


@pages.page("/find/anything", permission=Permission.CUSTOMER_READ)
async def find_anything(request: Request, actor: Acting) -> Response:
    """The groups alone, while somebody types."""
    desk = desk_of(request)
    return HTMLResponse(desk.renderer.fragment("parts/found.html", **await _found(desk, actor, read_query(request, _Sought).text)))


@pages.page("/customers/{customer:path}", permission=Permission.CUSTOMER_READ)
async def show_customer(request: Request, actor: Acting, customer: str) -> Response:
    """One customer: lines, accounts, contacts and devices."""
    desk = desk_of(request)
    found = await desk.subscribers.customer(customer)
    devices = await desk.inventory.page(Filter(customer=customer), limit=DEVICES) if actor.may(Permission.DEVICE_READ) else ()
    accounts = found.accounts if found else await desk.subscribers.accounts_of_customer(customer)
    if found is None and not devices and not accounts:
        raise NotFoundError("there is no such customer; search for a number, a name or a line", reason="no_customer")
    known = {each.device_id for each in devices}
    for line in found.lines[:DEVICES] if found and actor.may(Permission.DEVICE_READ) else ():
        more = await desk.inventory.page(Filter(line=line.line), limit=DEVICES)
        devices = (*devices, *(each for each in more if each.device_id not in known))
        known |= {each.device_id for each in more}
    return desk.renderer.page(request, "customer.html", name=customer, found=found, accounts=accounts, devices=devices)


async def _found(desk: Desk, actor: Actor, text: str) -> dict[str, Any]:
    """Hits by what matched, and devices by serial number, line or customer."""
    if not text:
        return {"groups": [], "devices": (), "trouble": "", "sought": ""}
    try:
        hits = await desk.subscribers.search(text)
        devices = await _devices(desk, text) if actor.may(Permission.DEVICE_READ) else ()
    except OperatorError as error:
        return {"groups": [], "devices": (), "trouble": f"{str(error)[:1].upper()}{str(error)[1:].rstrip('.')}.", "sought": text}
    except UnavailableError:
        return {"groups": [], "devices": (), "trouble": "The database is down; search comes back with it.", "sought": text}
    groups = [(name, [hit for hit in hits if hit.by is by]) for by, name in GROUPS]
    return {"groups": [(name, found) for name, found in groups if found], "devices": devices, "trouble": "", "sought": text}


async def _devices(desk: Desk, text: str) -> tuple[Device, ...]:
    found: dict[int, Device] = {}
    for wanted in (Filter(serial=text), Filter(line=text), Filter(customer=text)):
        found |= {each.device_id: each for each in await desk.inventory.page(wanted, limit=DEVICES)}
    return tuple(found.values())[:DEVICES]
