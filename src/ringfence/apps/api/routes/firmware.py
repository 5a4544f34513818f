"""The firmware catalogue: list it, bring a file in, say what stock is brought to.

A file arrives in blocks and is hashed on its way; what the caller says it is can only be compared. Nothing of a request names a file.
"""

import asyncio
from typing import Annotated

from fastapi import Query, Request

from ringfence.access.model import Permission
from ringfence.apps.api.device_payloads import PLAIN
from ringfence.apps.api.fleet_payloads import FirmwareSaid, StockFirmwareHeard
from ringfence.apps.api.routes.fleet import ModelNumber
from ringfence.apps.api.routing import Acting, AtDesk, Routes
from ringfence.base.errors import OperatorError
from ringfence.fleet.catalogue.adapters import MAX_IMAGE_BYTES

routes = Routes("firmware")

Text = Annotated[str, Query(min_length=1, max_length=128, pattern=PLAIN)]


@routes.get("/fleet/firmware", permission=Permission.DEVICE_READ)
async def list_firmware(desk: AtDesk) -> list[FirmwareSaid]:
    """The catalogue."""
    return [FirmwareSaid.of(firmware) for firmware in await desk.inventory.firmware()]


@routes.post("/fleet/firmware", permission=Permission.DEVICE_IMPORT, status=201, max_body_size=MAX_IMAGE_BYTES)
async def add_firmware(
    request: Request,
    desk: AtDesk,
    actor: Acting,
    oui: Annotated[str, Query(pattern="^[0-9A-F]{6}$")],
    product_class: Text,
    version: Text,
    file_name: Text,
    sha256: Annotated[str, Query(pattern="^[0-9a-f]{64}$")],
    signature: Text = "none",
) -> FirmwareSaid:
    """Bring a file in, sent as the body; `sha256` is what it must be, as its vendor says. The model must have been seen or imported."""
    if not any((model.oui, model.product_class) == (oui, product_class) for model in await desk.inventory.models()):
        raise OperatorError(f"no device {oui} {product_class!a} was ever seen or imported; name a model of the fleet", reason="no_model")
    incoming = await asyncio.to_thread(desk.images.receive, file_name)
    try:
        async for block in request.stream():
            await asyncio.to_thread(incoming.write, block)
    except BaseException:
        incoming.abandon()
        raise
    named = {"oui": oui, "product_class": product_class, "version": version, "file_name": file_name, "signature": signature}
    firmware = await desk.inventory.add_firmware(actor.name, incoming, sha256=sha256, **named)
    await desk.access.audit(actor.name, "add_firmware", firmware.sha256, {**named, "size_bytes": firmware.size_bytes})
    return FirmwareSaid.of(firmware)


@routes.put("/fleet/models/{model_id}/stock-firmware", permission=Permission.DEVICE_IMPORT, status=204)
async def put_stock_firmware(desk: AtDesk, actor: Acting, model_id: ModelNumber, entry: StockFirmwareHeard) -> None:
    """Bring this model's devices in stock to the version of a file, each at its next Inform."""
    model = next((model for model in await desk.inventory.models() if model.model_id == model_id), None)
    fits = {firmware.sha256: (firmware.oui, firmware.product_class) for firmware in await desk.inventory.firmware()}
    if model is None or fits.get(entry.sha256) != (model.oui, model.product_class):
        raise OperatorError("the catalogue has no such file for this model; `ringfence fleet firmware list` says", reason="no_firmware")
    await desk.inventory.set_stock_firmware(actor.name, entry.sha256)
    await desk.access.audit(actor.name, "put_stock_firmware", str(model_id), {"sha256": entry.sha256})


@routes.delete("/fleet/models/{model_id}/stock-firmware", permission=Permission.DEVICE_IMPORT)
async def clear_stock_firmware(desk: AtDesk, actor: Acting, model_id: ModelNumber) -> None:
    """Leave this model's devices in stock as they are."""
    await desk.inventory.clear_stock_firmware(actor.name, model_id)
    await desk.access.audit(actor.name, "clear_stock_firmware", str(model_id))
