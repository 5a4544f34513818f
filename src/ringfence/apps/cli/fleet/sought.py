"""Which device a person means: its number in the fleet, or its serial number."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from ringfence.apps.cli.client import Api
from ringfence.base.errors import NotFoundError, OperatorError

Device = Annotated[str, typer.Argument(help="Its number (from `fleet list`), or its serial number; `serial:123` for one of digits only.")]
Oui = Annotated[str, typer.Option(help="Of this maker: six hexadecimal digits.")]
Product = Annotated[str, typer.Option(help="Of this product class; needs --oui.")]
MAX_DIGITS = 18
PAGE = 500


def number_of(api: Api, device: str) -> int:
    """The number of a device; OperatorError when a serial number fits several."""
    if device.isascii() and device.isdecimal() and len(device) <= MAX_DIGITS:
        return int(device)
    serial = device.removeprefix("serial:")
    found = [one for one in api.get("/devices", serial=serial, limit=PAGE)["devices"] if one["serial_number"] == serial]
    if not found:
        raise NotFoundError(f"there is no device {serial!a}; `ringfence fleet list --serial` finds by a beginning", reason="no_device")
    if len(found) > 1:
        named = ", ".join(f"{one['device_id']} ({one['oui']} {one['product_class']})" for one in found[:10])
        raise OperatorError(f"{len(found)} devices have this serial number: {named}; name one by its number", reason="ambiguous")
    return int(found[0]["device_id"])


def pages(api: Api, path: str, rows: str, most: int, *, key: str = "after", **query: object) -> Iterator[dict[str, Any]]:
    """Rows of an answer that comes in pages, as many as are wanted."""
    start: object = ""
    while most > 0:
        told = api.get(path, **query, **{key: start}, limit=min(most, PAGE))
        yield from told[rows]
        start, most = told["next"], most - len(told[rows])
        if not start:
            return
