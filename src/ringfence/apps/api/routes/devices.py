"""Devices: lists, one with what it reported and what happened to it, imports, waking, and where it is in its life."""

import io
from typing import Annotated, Literal

from fastapi import Path, Query, Request

from ringfence.access.model import Permission
from ringfence.apps.api.device_payloads import (
    PLAIN,
    BehindHeard,
    BehindSaid,
    DeviceList,
    DeviceSaid,
    DevicesImportedSaid,
    EntryList,
    EntrySaid,
    ParameterList,
    ParameterSaid,
    TranscriptSaid,
    VerifiedSaid,
    VerifyHeard,
)
from ringfence.apps.api.payloads import Nothing, at
from ringfence.apps.api.receiving import received
from ringfence.apps.api.routing import Acting, AtDesk, Routes
from ringfence.base.errors import OperatorError
from ringfence.fleet.lifecycle import Occurrence
from ringfence.fleet.model import Filter

routes = Routes("devices")

DEVICES_BYTES = 1024**3
"""Largest list of devices: about ten million rows."""
MAX_ID = 2**63 - 1
DeviceNumber = Annotated[int, Path(ge=1, le=MAX_ID)]
Word = Annotated[str, Query(max_length=128, pattern=PLAIN)]
Limit = Annotated[int, Query(ge=1, le=500)]
Mac = Annotated[str, Path(pattern="^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")]
LIVES = {"stocked": Occurrence.STOCKED, "shipped": Occurrence.SHIPPED, "lost": Occurrence.REPORTED_LOST}


@routes.get("/devices", permission=Permission.DEVICE_READ)
async def list_devices(
    desk: AtDesk,
    life: Literal["", "in_stock", "shipped", "bootstrapped", "managed", "silent", "replaced", "lost"] = "",
    standing: Literal["", "managed", "stock", "replacement_pending", "unbound", "refused"] = "",
    oui: Annotated[str, Query(pattern="^([0-9A-F]{6})?$")] = "",
    product_class: Word = "",
    software_version: Word = "",
    region: Word = "",
    label: Word = "",
    customer: Word = "",
    line: Word = "",
    serial: Word = "",
    after: Annotated[int, Query(ge=0, le=MAX_ID)] = 0,
    limit: Limit = 100,
) -> DeviceList:
    """Devices in the order of their ids; `serial` is how a serial number begins, `after` the `next` of the page before."""
    if product_class and not oui:
        raise OperatorError("a product_class belongs to an oui; name both", reason="bad_filter")
    wanted = Filter(
        life=life,
        standing=standing,
        oui=oui,
        product_class=product_class,
        software_version=software_version,
        region=region,
        label=label,
        customer=customer,
        line=line,
        serial=serial,
    )
    found = await desk.inventory.page(wanted, after=after, limit=limit)
    return DeviceList(devices=[DeviceSaid.of(device) for device in found], next=found[-1].device_id if len(found) == limit else 0)


@routes.post("/devices/import", permission=Permission.DEVICE_IMPORT, max_body_size=DEVICES_BYTES)
async def import_devices(request: Request, desk: AtDesk, actor: Acting) -> DevicesImportedSaid:
    """Add devices that are in stock or were shipped, from a CSV file sent as the body. One that informed since keeps what it is."""
    with await received(request) as file:
        try:
            report = await desk.inventory.import_devices(actor.name, io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
        except UnicodeDecodeError:
            raise OperatorError("the list is not UTF-8; save it as UTF-8 and send it again", reason="not_utf8") from None
    told = {"rows": report.rows, "added": report.added, "changed": report.changed}
    await desk.access.audit(actor.name, "import_devices", "devices", told)
    return DevicesImportedSaid.of(report)


@routes.get("/devices/{device_id}", permission=Permission.DEVICE_READ)
async def show_device(desk: AtDesk, device_id: DeviceNumber) -> DeviceSaid:
    """One device."""
    return DeviceSaid.of(await desk.inventory.device(device_id))


@routes.get("/devices/{device_id}/parameters", permission=Permission.DEVICE_READ)
async def list_parameters(desk: AtDesk, device_id: DeviceNumber, search: Word = "", after: Word = "", limit: Limit = 500) -> ParameterList:
    """What it reported, by name; `search` is a part of a name."""
    await desk.inventory.device(device_id)
    found = await desk.inventory.reported(device_id, search=search, after=after, limit=limit)
    return ParameterList(parameters=[ParameterSaid.of(one) for one in found], next=found[-1].name if len(found) == limit else "")


@routes.get("/devices/{device_id}/history", permission=Permission.DEVICE_READ)
async def list_history(
    desk: AtDesk, device_id: DeviceNumber, before: Annotated[int, Query(ge=0, le=MAX_ID)] = 0, limit: Limit = 100
) -> EntryList:
    """What happened to it, newest first, with the person who did it."""
    await desk.inventory.device(device_id)
    found = await desk.inventory.history(device_id, before=before, limit=limit)
    return EntryList(entries=[EntrySaid.of(entry) for entry in found], next=found[-1].entry_id if len(found) == limit else 0)


@routes.get("/devices/{device_id}/transcripts", permission=Permission.TRANSCRIPT_READ)
async def list_transcripts(desk: AtDesk, device_id: DeviceNumber, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> list[TranscriptSaid]:
    """Its last sessions that did more than inform, newest first."""
    await desk.inventory.device(device_id)
    found = await desk.inventory.transcripts(device_id, limit)
    return [TranscriptSaid(session_id=session_id, ended_at=at(ended_ms), lines=list(lines)) for session_id, ended_ms, lines in found]


@routes.get("/devices/{device_id}/behind", permission=Permission.DEVICE_READ)
async def list_behind(desk: AtDesk, device_id: DeviceNumber) -> list[BehindSaid]:
    """Repeaters, powerline adapters and hosts behind it."""
    await desk.inventory.device(device_id)
    return [BehindSaid.of(found) for found in await desk.inventory.behind(device_id)]


@routes.put("/devices/{device_id}/behind/{mac}", permission=Permission.DEVICE_MANAGE)
async def put_behind(desk: AtDesk, actor: Acting, device_id: DeviceNumber, mac: Mac, entry: BehindHeard) -> list[BehindSaid]:
    """Say what stands behind it; no table of the device overwrites what a person said."""
    await desk.inventory.put_behind_by_hand(actor.name, device_id, mac, entry.name, entry.kind)
    await desk.access.audit(actor.name, "put_behind", str(device_id), {"mac": mac, "name": entry.name, "kind": entry.kind.value})
    return [BehindSaid.of(found) for found in await desk.inventory.behind(device_id)]


@routes.delete("/devices/{device_id}/behind/{mac}", permission=Permission.DEVICE_MANAGE)
async def remove_behind(desk: AtDesk, actor: Acting, device_id: DeviceNumber, mac: Mac) -> None:
    """Take an entry away; a table of the device may bring it back."""
    await desk.inventory.remove_behind(actor.name, device_id, mac)
    await desk.access.audit(actor.name, "remove_behind", str(device_id), {"mac": mac})


@routes.post("/devices/{device_id}/wake", permission=Permission.DEVICE_WAKE, status=204)
async def wake_device(desk: AtDesk, actor: Acting, device_id: DeviceNumber, _entry: Nothing | None = None) -> None:
    """Ask it to call in: a connection request; where it cannot be reached, its next Inform counts. Asking twice is asking once."""
    device = await desk.inventory.device(device_id)
    await desk.inventory.want_awake(actor.name, device_id)
    await desk.access.audit(actor.name, "wake_device", device.serial_number, {"device_id": device_id})


@routes.post("/devices/{device_id}/discover", permission=Permission.DEVICE_MANAGE, status=204)
async def discover_device(desk: AtDesk, actor: Acting, device_id: DeviceNumber, _entry: Nothing | None = None) -> None:
    """Read its whole tree, level by level, from its next Inform on."""
    device = await desk.inventory.device(device_id)
    await desk.inventory.discover(device_id, actor.name)
    await desk.access.audit(actor.name, "discover_device", device.serial_number, {"device_id": device_id})


@routes.post("/devices/{device_id}/life/{said}", permission=Permission.DEVICE_MANAGE)
async def change_life(
    desk: AtDesk, actor: Acting, device_id: DeviceNumber, said: Literal["stocked", "shipped", "lost"], _entry: Nothing | None = None
) -> DeviceSaid:
    """Say that it came back to the shelf, was sent out, or is lost. Back on the shelf it loses its line, its customer and its secrets."""
    await desk.inventory.happened(actor.name, device_id, LIVES[said])
    device = await desk.inventory.device(device_id)
    await desk.access.audit(actor.name, f"device_{said}", device.serial_number, {"device_id": device_id})
    return DeviceSaid.of(device)


@routes.post("/devices/{device_id}/verify", permission=Permission.DEVICE_MANAGE)
async def verify_device(desk: AtDesk, actor: Acting, device_id: DeviceNumber, entry: VerifyHeard) -> VerifiedSaid:
    """Put it on a line: it takes over what was wanted of the device there, and that one is closed for ever."""
    replaced = await desk.inventory.verify(actor.name, device_id, entry.line)
    device = await desk.inventory.device(device_id)
    told: dict[str, str | int | bool] = {"device_id": device_id, "line": entry.line, "replaced": ",".join(map(str, replaced))}
    await desk.access.audit(actor.name, "verify_device", device.serial_number, told)
    return VerifiedSaid(device=DeviceSaid.of(device), replaced=list(replaced))
