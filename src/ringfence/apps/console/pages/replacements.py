"""Devices that nobody knows on lines that somebody has: what is known of both sides, and one click to verify.

Verifying hands over what was wanted on the line and closes the device before, so it asks once and says what will happen. The one thing to
know: the line is what held the device's address when it informed last, never what the device says.
"""

from dataclasses import dataclass
from typing import Annotated

import msgspec
from fastapi import Request
from starlette.responses import Response

from ringfence.access.model import Permission
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.forms import Short, read_form, read_query
from ringfence.apps.console.pages.devices import MAX_ID, device_of
from ringfence.apps.console.places import desk_of, said
from ringfence.apps.console.routing import Acting, Pages
from ringfence.base.errors import ConflictError
from ringfence.fleet.lifecycle import Life
from ringfence.fleet.model import Device, Filter

pages = Pages()

PAGE = 50
BEFORE = 5
"""Devices of one line that are shown."""
CLOSED = frozenset({Life.IN_STOCK, Life.REPLACED})
REASONS = {
    "unknown_on_line": "no device was known on this line",
    "line_has_another_device": "another device belongs to this line",
    "was_lost": "it was reported lost",
}


class _After(msgspec.Struct, frozen=True):
    after: Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)] = 0


class _Verified(msgspec.Struct, frozen=True):
    line: Short


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A device that waits, the line it came from, and who is on that line."""

    device: Device
    reason: str
    line: str
    customer: str
    before: tuple[Device, ...]


@pages.page("/fleet/replacements", permission=Permission.DEVICE_READ)
async def show_replacements(request: Request) -> Response:
    """Everything that waits for a person's word."""
    desk = desk_of(request)
    wanted = read_query(request, _After)
    found = await desk.or_else(desk.inventory.page(Filter(standing="replacement_pending"), after=wanted.after, limit=PAGE + 1), None)
    return desk.renderer.page(
        request,
        "replacements.html",
        tab="/fleet/replacements",
        waiting=[await _pending(desk, device) for device in (found or ())[:PAGE]],
        following=found[PAGE - 1].device_id if found and len(found) > PAGE else 0,
        nothing="Nothing waits: every device that informs is known on its line." if found is not None else "The database is down.",
    )


@pages.page("/fleet/replacements/{device_id}", permission=Permission.DEVICE_MANAGE)
async def confirm_replacement(request: Request, device_id: str) -> Response:
    """Both sides, and what verifying does."""
    desk = desk_of(request)
    pending = await _pending(desk, await device_of(desk, device_id))
    wanted = [await desk.inventory.wanted(each.device_id) for each in pending.before]
    return desk.renderer.page(
        request,
        "replacement.html",
        tab="/fleet/replacements",
        pending=pending,
        wishes=sum(len(each.own) for each in wanted),
        secrets=sorted({meaning for each in wanted for meaning, _, _ in each.secrets if not meaning.startswith("acs.")}),
    )


@pages.action("/fleet/replacements/{device_id}/verify", permission=Permission.DEVICE_MANAGE)
async def verify_replacement(request: Request, actor: Acting, device_id: str) -> Response:
    """It belongs to this line: it takes over, those before it are closed."""
    desk = desk_of(request)
    device = await device_of(desk, device_id)
    line = (await read_form(request, _Verified)).line
    if device.line == line:
        raise ConflictError("this device belongs to that line already", reason="verified")
    closed = await desk.inventory.verify(actor.name, device.device_id, line)
    await desk.record(actor, "verify_device", device.serial_number, {"line": line, "closed": len(closed)})
    return said(f"/devices/{device.device_id}", "verified")


async def _pending(desk: Desk, device: Device) -> Pending:
    held = await desk.subscribers.lines_at([device.peer_ip], device.last_inform_ms or desk.clock()) if device.peer_ip else {}
    at = held.get(device.peer_ip)
    line = at.line if at else device.line
    known = await desk.inventory.page(Filter(line=line), limit=BEFORE + 1) if line else ()
    before = tuple(each for each in known if each.device_id != device.device_id and each.life not in CLOSED)[:BEFORE]
    return Pending(
        device=device,
        reason=REASONS.get(device.standing_reason, device.standing_reason.replace("_", " ")),
        line=line,
        customer=next((each.customer for each in before if each.customer), at.customer if at else device.customer),
        before=before,
    )
