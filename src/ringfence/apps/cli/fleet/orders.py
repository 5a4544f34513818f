"""`ringfence fleet order list|download|reboot|inform|factory-reset|cancel`: orders to one device."""

import sys
from typing import Annotated, Any

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, tell
from ringfence.apps.cli.fleet.sought import Device, number_of
from ringfence.base.errors import OperatorError

client = ClientApp(help="Orders to a device: firmware, restart, factory reset.")

COLUMNS = (
    ("order_id", "order"),
    ("method", "method"),
    ("argument", "of"),
    ("state", "state"),
    ("asked_by", "by"),
    ("asked_at", "asked"),
    ("last", "last attempt"),
    ("expires_at", "expires"),
)
WANT = "POST /v1/devices/{device_id}/orders"

Hours = Annotated[int, typer.Option(min=1, max=8784, help="It expires when the device took it in none of so many hours.")]


@client.command("list", permission=Permission.DEVICE_READ, route="GET /v1/devices/{device_id}/orders", help="Orders of a device.")
def list_orders(device: Device, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """The newest first."""
    api = Api(url, token)
    found = api.get(f"/devices/{number_of(api, device)}/orders")
    if as_json:
        tell(found, as_json=True, columns=(), empty="")
        return
    rows = [order | {"last": _last(order["attempts"])} for order in found["wanted"]]
    tell(rows, as_json=False, columns=COLUMNS, empty="Nothing was ordered.")


@client.command("download", permission=Permission.DEVICE_MANAGE, route=WANT, help="Install a file of the catalogue.")
def download(
    device: Device,
    sha256: Annotated[str, typer.Argument(help="SHA-256 of the file, as `ringfence fleet firmware list` shows it.")],
    hours: Hours = 720,
    url: Url = DEFAULT_URL,
    token: Token = "",
) -> None:
    """Order a Download."""
    _want(Api(url, token), device, {"method": "Download", "sha256": sha256.strip().lower(), "hours": hours})


@client.command("reboot", permission=Permission.DEVICE_MANAGE, route=WANT, help="Restart a device.")
def reboot(device: Device, hours: Hours = 24, url: Url = DEFAULT_URL, token: Token = "") -> None:
    """Order a Reboot."""
    _want(Api(url, token), device, {"method": "Reboot", "hours": hours})


@client.command("inform", permission=Permission.DEVICE_MANAGE, route=WANT, help="Let a device call in after a while.")
def schedule_inform(
    device: Device,
    seconds: Annotated[int, typer.Option(min=1, max=604_800, help="So long after it took the order.")],
    hours: Hours = 24,
    url: Url = DEFAULT_URL,
    token: Token = "",
) -> None:
    """Order a ScheduleInform."""
    _want(Api(url, token), device, {"method": "ScheduleInform", "delay_seconds": seconds, "hours": hours})


@client.command("factory-reset", permission=Permission.DEVICE_MANAGE, route=WANT, help="Take everything from a device that its owner set.")
def factory_reset(
    device: Device,
    yes: Annotated[bool, typer.Option("--yes", help="You know that its owner loses every setting of their own.")] = False,
    hours: Hours = 24,
    url: Url = DEFAULT_URL,
    token: Token = "",
) -> None:
    """Order a FactoryReset, once and by a person who knows what it costs."""
    if not yes:
        raise OperatorError("its owner loses every setting of their own; say --yes if that is meant", reason="not_meant")
    _want(Api(url, token), device, {"method": "FactoryReset", "hours": hours})


@client.command("cancel", permission=Permission.DEVICE_MANAGE, route="POST /v1/fleet/orders/{order_id}/cancel", help="Take an order back.")
def cancel(
    order: Annotated[int, typer.Argument(help="Its number, as `ringfence fleet order list` shows it.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
) -> None:
    """Cancel an order."""
    Api(url, token).post(f"/fleet/orders/{order}/cancel", {})
    sys.stderr.write("Taken back; the device never hears of it.\n")


def _want(api: Api, device: str, order: dict[str, Any]) -> None:
    told = api.post(f"/devices/{number_of(api, device)}/orders", order)
    sys.stderr.write(f"Order {told['order_id']} leaves at the device's next session; `ringfence fleet wake` makes that now.\n")


def _last(attempts: list[dict[str, Any]]) -> str:
    if not attempts:
        return "-"
    newest = attempts[0]
    fault = f" {newest['fault_code']} {newest['fault_text']}" if newest["fault_code"] else ""
    return f"{newest['attempt']}: {newest['state']}{fault}"
