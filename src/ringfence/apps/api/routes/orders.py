"""Orders to one device: what was wanted, what became of it, a new one, taking one back.

An order waits for one of the device's next sessions. Wanting the same again while it waits is refused (409), so a repeated request makes
no second one.
"""

from typing import Annotated

from fastapi import Path

from ringfence.access.model import Permission
from ringfence.apps.api.order_payloads import OrderHeard, OrderMadeSaid, OrdersSaid
from ringfence.apps.api.payloads import Nothing
from ringfence.apps.api.routes.devices import MAX_ID, DeviceNumber
from ringfence.apps.api.routing import Acting, AtDesk, Routes

routes = Routes("orders")

HOUR_MS = 3_600_000


@routes.get("/devices/{device_id}/orders", permission=Permission.DEVICE_READ)
async def list_orders(desk: AtDesk, device_id: DeviceNumber) -> OrdersSaid:
    """What the device was ordered lately, and every attempt."""
    await desk.inventory.device(device_id)
    return OrdersSaid.of(await desk.inventory.orders(device_id))


@routes.post("/devices/{device_id}/orders", permission=Permission.DEVICE_MANAGE, status=201)
async def want_order(desk: AtDesk, actor: Acting, device_id: DeviceNumber, entry: OrderHeard) -> OrderMadeSaid:
    """Order a download, a restart, a factory reset or an Inform; it leaves at one of the device's next sessions."""
    device = await desk.inventory.device(device_id)
    order_id = await desk.inventory.want_order(actor.name, device_id, entry.order(), lasts_ms=entry.hours * HOUR_MS)
    told: dict[str, str | int | bool] = {"device_id": device_id, "order_id": order_id, "method": entry.method, "sha256": entry.sha256}
    await desk.access.audit(actor.name, "want_order", device.serial_number, told)
    return OrderMadeSaid(order_id=order_id)


@routes.post("/fleet/orders/{order_id}/cancel", permission=Permission.DEVICE_MANAGE, status=204)
async def cancel_order(desk: AtDesk, actor: Acting, order_id: Annotated[int, Path(ge=1, le=MAX_ID)], _entry: Nothing | None = None) -> None:
    """Take an order back; one that has left cannot be."""
    await desk.inventory.cancel_order(actor.name, order_id)
    await desk.access.audit(actor.name, "cancel_order", str(order_id))
