"""What a person does to one device: orders, region and labels, its life, its secrets, settings that its model refused.

Every act is audited by the name of who did it. A secret is taken and sealed; no page ever shows one again.
"""

from typing import Annotated

import msgspec
from fastapi import Request
from starlette.responses import Response

from ringfence.access.model import Permission
from ringfence.apps.console.forms import Short, Text, Typed, read_form
from ringfence.apps.console.pages.devices import MAX_ID, device_of
from ringfence.apps.console.places import desk_of, said
from ringfence.apps.console.routing import Acting, Pages
from ringfence.base.errors import OperatorError
from ringfence.base.secret import Secret
from ringfence.fleet.behind import BehindKind
from ringfence.fleet.lifecycle import Occurrence
from ringfence.fleet.orders import DownloadFirmware, Order
from ringfence.protocols.cwmp.messages import FactoryReset, Reboot, ScheduleInform

pages = Pages()

SCHEDULED_SECONDS = 60
LIVES = {"stocked": Occurrence.STOCKED, "shipped": Occurrence.SHIPPED, "lost": Occurrence.REPORTED_LOST}


class _Order(msgspec.Struct, frozen=True):
    method: Annotated[str, msgspec.Meta(pattern="^(Reboot|FactoryReset|ScheduleInform|Download)$")]
    sha256: Annotated[str, msgspec.Meta(pattern="^([0-9a-f]{64})?$")] = ""

    def order(self) -> Order:
        """As the room takes it."""
        match self.method:
            case "Reboot":
                return Reboot("")
            case "FactoryReset":
                return FactoryReset()
            case "ScheduleInform":
                return ScheduleInform(SCHEDULED_SECONDS, "")
            case _:
                if not self.sha256:
                    raise OperatorError("choose a file of the catalogue", reason="no_firmware")
                return DownloadFirmware(sha256=self.sha256)


class _Place(msgspec.Struct, frozen=True):
    region: Short = ""
    labels: Text = ""


class _Life(msgspec.Struct, frozen=True):
    life: Annotated[str, msgspec.Meta(pattern="^(stocked|shipped|lost)$")]


class _Secret(msgspec.Struct, frozen=True):
    meaning: Short
    secret: Typed
    instance: Short = ""


class _Stop(msgspec.Struct, frozen=True):
    name: Annotated[str, msgspec.Meta(max_length=256)]


class _Behind(msgspec.Struct, frozen=True):
    mac: Short
    name: Short = ""
    kind: BehindKind = BehindKind.UNKNOWN


@pages.action("/devices/{device_id}/orders", permission=Permission.DEVICE_MANAGE)
async def want_order(request: Request, actor: Acting, device_id: str) -> Response:
    """Order a restart, an Inform, a factory reset or another version."""
    desk = desk_of(request)
    device = await device_of(desk, device_id)
    entry = await read_form(request, _Order)
    order_id = await desk.inventory.want_order(actor.name, device.device_id, entry.order())
    told: dict[str, str | int | bool] = {
        "device_id": device.device_id,
        "order_id": order_id,
        "method": entry.method,
        "sha256": entry.sha256,
    }
    await desk.record(actor, "want_order", device.serial_number, told)
    return said(f"/devices/{device.device_id}", "ordered")


@pages.action("/devices/{device_id}/orders/{order_id}/cancel", permission=Permission.DEVICE_MANAGE)
async def cancel_order(request: Request, actor: Acting, device_id: str, order_id: str) -> Response:
    """Take an order back that has not left."""
    desk = desk_of(request)
    device = await device_of(desk, device_id)
    number = int(order_id) if order_id.isascii() and order_id.isdecimal() and len(order_id) < len(str(MAX_ID)) else 0
    await desk.inventory.cancel_order(actor.name, number)
    await desk.record(actor, "cancel_order", order_id[:20], {"device_id": device.device_id})
    return said(f"/devices/{device.device_id}", "order_canceled")


@pages.action("/devices/{device_id}/place", permission=Permission.DEVICE_MANAGE)
async def set_place(request: Request, actor: Acting, device_id: str) -> Response:
    """Exactly this region and these labels."""
    desk = desk_of(request)
    device = await device_of(desk, device_id)
    entry = await read_form(request, _Place)
    labels = frozenset(entry.labels.replace(",", " ").split())
    add, remove = sorted(labels - set(device.labels)), sorted(set(device.labels) - labels)
    if add or remove:
        await desk.inventory.set_labels(actor.name, [device.device_id], add=add, remove=remove)
    if entry.region != device.region:
        await desk.inventory.set_region(actor.name, [device.device_id], entry.region)
    await desk.record(actor, "place_device", device.serial_number, {"region": entry.region, "labels": " ".join(sorted(labels))})
    return said(f"/devices/{device.device_id}", "placed")


@pages.action("/devices/{device_id}/life", permission=Permission.DEVICE_MANAGE)
async def set_life(request: Request, actor: Acting, device_id: str) -> Response:
    """It was lost, came back to the shelf, or was sent out."""
    desk = desk_of(request)
    device = await device_of(desk, device_id)
    entry = await read_form(request, _Life)
    await desk.inventory.happened(actor.name, device.device_id, LIVES[entry.life])
    await desk.record(actor, "set_device_life", device.serial_number, {"life": entry.life})
    return said(f"/devices/{device.device_id}", "life")


@pages.action("/devices/{device_id}/discover", permission=Permission.DEVICE_MANAGE)
async def discover(request: Request, actor: Acting, device_id: str) -> Response:
    """Read its whole tree, in small steps, from its next Inform on."""
    desk = desk_of(request)
    device = await device_of(desk, device_id)
    await desk.inventory.discover(device.device_id)
    await desk.record(actor, "discover_device", device.serial_number)
    return said(f"/devices/{device.device_id}", "discover")


@pages.action("/devices/{device_id}/secret", permission=Permission.DESIRED_WRITE)
async def put_secret(request: Request, actor: Acting, device_id: str) -> Response:
    """Seal a secret; the device gets it once it is managed, and nobody sees it again."""
    desk = desk_of(request)
    device = await device_of(desk, device_id)
    entry = await read_form(request, _Secret)
    if not entry.secret:
        raise OperatorError("an empty secret protects nothing; type one", reason="no_secret")
    await desk.inventory.put_secret(actor.name, device.device_id, entry.meaning, Secret(entry.secret), entry.instance)
    await desk.record(actor, "put_secret", device.serial_number, {"meaning": entry.meaning, "instance": entry.instance})
    return said(f"/devices/{device.device_id}", "secret")


@pages.action("/devices/{device_id}/stops/lift", permission=Permission.DESIRED_WRITE)
async def lift_stop(request: Request, actor: Acting, device_id: str) -> Response:
    """Try a setting again that its model refused."""
    desk = desk_of(request)
    device = await device_of(desk, device_id)
    name = (await read_form(request, _Stop)).name
    model = {"oui": device.oui, "product_class": device.product_class, "software_version": device.software_version}
    await desk.inventory.lift_stop(actor.name, **model, name=name)
    await desk.record(actor, "lift_stop", name, dict(model))
    return said(f"/devices/{device.device_id}", "stop_lifted")


@pages.action("/devices/{device_id}/behind", permission=Permission.DEVICE_MANAGE)
async def put_behind(request: Request, actor: Acting, device_id: str) -> Response:
    """Say what stands behind it."""
    desk = desk_of(request)
    device = await device_of(desk, device_id)
    entry = await read_form(request, _Behind)
    await desk.inventory.put_behind_by_hand(actor.name, device.device_id, entry.mac, entry.name, entry.kind)
    await desk.record(actor, "put_behind", device.serial_number, {"mac": entry.mac, "kind": entry.kind.value})
    return said(f"/devices/{device.device_id}", "behind")
