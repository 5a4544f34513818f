"""Devices: search, one device with its parameters, history and sessions, and waking it.

Values of secrets were never stored and sessions are redacted when they are written, so these pages hide nothing and may be searched freely.
"""

from typing import Annotated

import msgspec
from fastapi import Request
from starlette.responses import Response

from ringfence.access.model import Permission
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.dossier import dossier
from ringfence.apps.console.forms import Short, read_query
from ringfence.apps.console.places import desk_of, said
from ringfence.apps.console.routing import Acting, Pages
from ringfence.apps.console.trees import tree_of
from ringfence.apps.console.words import STANDINGS as STANDING_REASONS
from ringfence.base.errors import NotFoundError
from ringfence.fleet.model import Device, Filter, Reported

pages = Pages()

PAGE = 100
PARAMETERS = 20_000
LIVES = ("", "in_stock", "shipped", "bootstrapped", "managed", "silent", "replaced", "lost")
STANDINGS = ("", "managed", "stock", "replacement_pending", "unbound", "refused")
LIFE_TONES = {"managed": "good", "silent": "warning", "lost": "critical", "replaced": "still"}
STANDING_TONES = {"managed": "good", "replacement_pending": "warning", "refused": "critical"}
MAX_ID = 2**63 - 1


class _Search(msgspec.Struct, frozen=True):
    text: Short = ""
    life: Annotated[str, msgspec.Meta(pattern="^[a-z_]{0,16}$")] = ""
    standing: Annotated[str, msgspec.Meta(pattern="^[a-z_]{0,24}$")] = ""
    oui: Annotated[str, msgspec.Meta(pattern="^[0-9A-F]{0,6}$")] = ""
    product: Short = ""
    version: Short = ""
    after: Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)] = 0


class _Tree(msgspec.Struct, frozen=True):
    text: Short = ""


@pages.page("/devices", permission=Permission.DEVICE_READ)
async def show_devices(request: Request) -> Response:
    """Search, and a page of devices."""
    desk = desk_of(request)
    wanted = read_query(request, _Search)
    found = await desk.or_else(_found(desk, wanted), None)
    return desk.renderer.page(
        request,
        "devices.html",
        filter=wanted,
        lives=LIVES,
        standings=STANDINGS,
        life_tones=LIFE_TONES,
        devices=(found or ())[:PAGE],
        more=found[PAGE - 1].device_id if found and len(found) > PAGE else 0,
        nothing="No device fits." if found is not None else "The database is down; devices are shown again when it is back.",
        tab="/devices",
    )


@pages.page("/devices/{device_id}", permission=Permission.DEVICE_READ)
async def show_device(request: Request, actor: Acting, device_id: str) -> Response:
    """Everything about one device."""
    desk = desk_of(request)
    text = read_query(request, _Tree).text
    device = await device_of(desk, device_id)
    number = device.device_id
    reported = await _reported(desk, number)
    return desk.renderer.page(
        request,
        "device.html",
        device=device,
        life_tone=LIFE_TONES.get(device.life, "info"),
        standing_tone=STANDING_TONES.get(device.standing, "info"),
        standing_reason=STANDING_REASONS.get(device.standing_reason, device.standing_reason.replace("_", " ")),
        text=text,
        parameters=len(reported),
        branches=tree_of(reported, text),
        history=await desk.inventory.history(number, limit=200),
        **await dossier(desk, actor, device, reported),
    )


@pages.action("/devices/{device_id}/wake", permission=Permission.DEVICE_WAKE)
async def wake(request: Request, actor: Acting, device_id: str) -> Response:
    """Ask the device to call in: a connection request, or at its next Inform where it cannot be reached."""
    desk = desk_of(request)
    device = await device_of(desk, device_id)
    await desk.inventory.want_awake(actor.name, device.device_id)
    await desk.record(actor, "wake_device", device.serial_number)
    return said(f"/devices/{device.device_id}", "wake")


async def _found(desk: Desk, wanted: _Search) -> tuple[Device, ...]:
    """A page of devices. A text is how a serial number begins, or a whole line or customer number: the first that fits."""
    filters: dict[str, str] = {
        "life": wanted.life,
        "standing": wanted.standing,
        "oui": wanted.oui,
        "product_class": wanted.product,
        "software_version": wanted.version,
    }
    for name in ("serial", "line", "customer") if wanted.text else ("serial",):
        found = await desk.inventory.page(Filter(**filters | {name: wanted.text}), after=wanted.after, limit=PAGE + 1)
        if found:
            return found
    return ()


async def device_of(desk: Desk, device_id: str) -> Device:
    """The device of an address; NotFoundError for whatever names none."""
    number = int(device_id) if device_id.isascii() and device_id.isdecimal() and len(device_id) < 19 else 0
    found = await desk.inventory.page(Filter(), after=number - 1, limit=1) if number else ()
    if not found or found[0].device_id != number:
        raise NotFoundError("there is no such device; search by serial number, line or customer", reason="no_device")
    return found[0]


async def _reported(desk: Desk, device_id: int) -> list[Reported]:
    found: list[Reported] = []
    while len(found) < PARAMETERS:
        part = await desk.inventory.reported(device_id, after=found[-1].name if found else "")
        if not part:
            break
        found += part
    return found
