"""Devices that nobody knows on lines that somebody has: what is known of both sides, and one click to verify.

Verifying hands over what was wanted on the line and closes the device before, so it asks once and says what will happen. The one thing to
know: the line is what held the device's address when it informed last, never what the device says.
"""

from collections.abc import Sequence
from dataclasses import replace
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
from ringfence.apps.console.words import STANDINGS
from ringfence.base.errors import ConflictError
from ringfence.fleet.lifecycle import Life
from ringfence.fleet.lists.model import Pending
from ringfence.fleet.model import Device, Filter

pages = Pages()

PAGE = 50
BEFORE = 20
"""Devices of one line that are shown."""
CLOSED = frozenset({Life.IN_STOCK, Life.REPLACED})
Id = Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]


class _Wanted(msgspec.Struct, frozen=True):
    before: Id = 0
    refused_ms: Id = 0
    refused_id: Id = 0


class _Verified(msgspec.Struct, frozen=True):
    line: Short
    closes: Annotated[str, msgspec.Meta(max_length=500)] = ""
    """The devices that the page said would be closed."""


class _Line(msgspec.Struct, frozen=True):
    line: Short = ""


@pages.page("/fleet/replacements", permission=Permission.DEVICE_READ)
async def show_replacements(request: Request) -> Response:
    """Everything that waits for a person's word, and who was refused."""
    desk = desk_of(request)
    wanted = read_query(request, _Wanted)
    found = await desk.or_else(desk.inventory.pending(before=wanted.before, limit=PAGE + 1), None)
    refused = await desk.or_else(desk.inventory.refused(before=(wanted.refused_ms, wanted.refused_id), limit=PAGE + 1), ())
    return desk.renderer.page(
        request,
        "replacements.html",
        tab="/fleet/replacements",
        reasons=STANDINGS,
        waiting=[await _placed(desk, each) for each in (found or ())[:PAGE]],
        following=found[PAGE - 1].device_id if found and len(found) > PAGE else 0,
        nothing="Nothing waits: every device that informs is known on its line." if found is not None else "The database is down.",
        refused=refused[:PAGE],
        more_refused=refused[PAGE - 1] if len(refused) > PAGE else None,
    )


@pages.page("/fleet/replacements/{device_id}", permission=Permission.DEVICE_MANAGE)
async def confirm_replacement(request: Request, device_id: str) -> Response:
    """Both sides, and what verifying does."""
    desk = desk_of(request)
    device = await device_of(desk, device_id)
    found = await desk.inventory.pending(before=device.device_id + 1, limit=1)
    seen = (await _placed(desk, found[0])).line if found and found[0].device_id == device.device_id else device.line
    line = read_query(request, _Line).line or seen
    before = await _there(desk, device, line) if line else ()
    wanted = [await desk.inventory.wanted(each.device_id) for each in before]
    return desk.renderer.page(
        request,
        "replacement.html",
        tab="/fleet/replacements",
        device=device,
        reason=STANDINGS.get(device.standing_reason, device.standing_reason.replace("_", " ")),
        line=line,
        seen=seen,
        before=before,
        closes=_ids(before),
        wishes=sum(len(each.own) for each in wanted),
        secrets=sorted({meaning for each in wanted for meaning, _, _ in each.secrets if not meaning.startswith("acs.")}),
    )


@pages.action("/fleet/replacements/{device_id}/verify", permission=Permission.DEVICE_MANAGE)
async def verify_replacement(request: Request, actor: Acting, device_id: str) -> Response:
    """It belongs to this line: it takes over, those before it are closed."""
    desk = desk_of(request)
    device = await device_of(desk, device_id)
    entry = await read_form(request, _Verified)
    line = entry.line
    if device.line == line:
        raise ConflictError("this device belongs to that line already", reason="verified")
    if entry.closes != _ids(await _there(desk, device, line)):
        raise ConflictError("other devices are on this line than the page showed; look again before you verify", reason="line_changed")
    closed = await desk.inventory.verify(actor.name, device.device_id, line)
    await desk.record(actor, "verify_device", device.serial_number, {"line": line, "closed": len(closed)})
    return said(f"/devices/{device.device_id}", "verified")


async def _placed(desk: Desk, waiting: Pending) -> Pending:
    """With the line that held its address, where the line itself was not kept."""
    if waiting.line or not waiting.peer_ip:
        return waiting
    at = (await desk.subscribers.lines_at([waiting.peer_ip], waiting.last_inform_ms)).get(waiting.peer_ip)
    if at is None:
        return waiting
    known = await desk.inventory.page(Filter(line=at.line), limit=BEFORE)
    holder = next((each for each in known if each.device_id != waiting.device_id and each.life not in CLOSED), None)
    if holder is None:
        return replace(waiting, line=at.line)
    return replace(waiting, line=at.line, holder_id=holder.device_id, holder_serial=holder.serial_number, holder_life=holder.life.value)


def _ids(devices: Sequence[Device]) -> str:
    return " ".join(str(each.device_id) for each in devices)


async def _there(desk: Desk, device: Device, line: str) -> tuple[Device, ...]:
    """The devices of a line that verifying closes."""
    known = await desk.inventory.page(Filter(line=line), limit=BEFORE)
    return tuple(each for each in known if each.device_id != device.device_id and each.life not in CLOSED)
