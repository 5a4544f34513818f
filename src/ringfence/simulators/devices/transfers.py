"""What a device does with a Download or an Upload once its session is over: fetch or send, check, install, and say how it went.

A transfer runs in the device's own task and tells the device exactly one outcome, under the order's CommandKey; what breaks it off (power,
a reboot) is told by the device itself.
"""

import base64
from typing import TYPE_CHECKING

from ringfence.base.errors import PeerError, RingfenceError, UnavailableError
from ringfence.protocols.cwmp.messages import Download, Upload
from ringfence.simulators.devices.behaviour import between, retry_wait
from ringfence.simulators.devices.images import ImageReader
from ringfence.simulators.devices.wire import fetch, put

if TYPE_CHECKING:
    from ringfence.simulators.devices.device import Device

FETCH_ATTEMPTS = 4

FAULTS = {
    "http_401": (9012, "File transfer server authentication failure"),
    "http_403": (9016, "File transfer failure: unable to access file"),
    "http_404": (9016, "File transfer failure: unable to access file"),
    "no_connection": (9015, "File transfer failure: unable to contact file server"),
    "bad_url": (9013, "Unsupported protocol for file transfer"),
    "no_image": (9018, "File transfer failure: file corrupted"),
    "broken_image": (9018, "File transfer failure: file corrupted"),
    "image_size": (9018, "File transfer failure: file corrupted"),
    "foreign_image": (9019, "File transfer failure: file authentication failure"),
}
INCOMPLETE = (9017, "File transfer failure: unable to complete download")
NOT_SENT = (9011, "Upload failure")


async def transfer(device: "Device", order: Download | Upload) -> None:
    """From its delay to its end, which the device is told."""
    started = device.world.time_text()
    await device.world.sleep(order.delay_seconds)
    try:
        if isinstance(order, Download):
            version = await _download(device, order)
        else:
            version = ""
            await put(order.url, _configuration(device), device.world.settings.tls, _login(order))
    except RingfenceError as failed:
        code, text = FAULTS.get(failed.reason, INCOMPLETE if isinstance(order, Download) else NOT_SENT)
        device.world.count("downloads_failed" if isinstance(order, Download) else "uploads_failed")
        device.transferred(order, code, text, started)
        return
    device.world.count("downloads" if isinstance(order, Download) else "uploads")
    device.transferred(order, 0, "", started)
    if isinstance(order, Download):
        device.installed(version)


async def _download(device: "Device", order: Download) -> str:
    """Fetch and check; the image's version. PeerError or UnavailableError says why not."""
    reader = ImageReader()
    await _fetch(device, order, reader)
    if order.file_size and reader.size != order.file_size:
        raise PeerError("The image has another size than was said.", reason="image_size")
    return reader.finish(device.tree.model.product_class).version


async def _fetch(device: "Device", order: Download, reader: ImageReader) -> None:
    world = device.world
    rate = between(world.settings.behaviour.download_bytes_per_second, device.draw("rate"))
    broken = device.draw("download_failure") < world.settings.behaviour.download_failure
    limit = (order.file_size or 100_000) * device.draw("broken_at") if broken else float("inf")
    for attempt in range(1, FETCH_ATTEMPTS + 1):
        try:
            async with world.downloads:
                async for data in fetch(order.url, reader.size, world.settings.tls, _login(order)):
                    reader.feed(data)
                    world.count("bytes", len(data))
                    if reader.size > limit:
                        raise PeerError("The line broke down.", reason="broken_download")
                    await world.sleep(len(data) / rate)
        except UnavailableError:
            if attempt == FETCH_ATTEMPTS:
                raise
        except PeerError as refused:
            if refused.reason not in {"http_503", "http_429"} or attempt == FETCH_ATTEMPTS:
                raise
        else:
            return
        world.count("resumed")
        await world.sleep(retry_wait(attempt, device.draw("resume")))


def _login(order: Download | Upload) -> str:
    """Basic, where the order names a user."""
    if not order.username:
        return ""
    return "Basic " + base64.b64encode(f"{order.username}:{order.password}".encode()).decode()


def _configuration(device: "Device") -> bytes:
    """What a device sends of itself: what was changed in it, names alone."""
    return "".join(f"{name}\n" for name in (device.identity.serial_number, *device.tree.changed)).encode()
