"""`ringfence fleet list|show|tree|history|transcript|behind|import|wake|discover|life|verify`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, part, shown, tell, tell_facts
from ringfence.apps.cli.fleet.sought import Device, Oui, Product, number_of, pages
from ringfence.base.errors import OperatorError

client = ClientApp(help="Devices.")

COLUMNS = (
    ("device_id", "number"),
    ("oui", "OUI"),
    ("product_class", "product class"),
    ("serial_number", "serial number"),
    ("life", "life"),
    ("standing", "standing"),
    ("line", "line"),
    ("customer", "customer"),
    ("software_version", "version"),
    ("last_inform_at", "last Inform"),
)
ENTRIES = (("at", "when"), ("kind", "what"), ("name", "of"), ("old_value", "before"), ("new_value", "after"), ("person", "by"))
BEHIND = (("mac", "address"), ("name", "name"), ("kind", "kind"), ("origin", "known from"))
LIVES = ("stocked", "shipped", "lost")

Search = Annotated[str, typer.Option(help="Only parameters with this in their name.")]


@client.command("list", permission=Permission.DEVICE_READ, route="GET /v1/devices", help="Devices that fit.")
def list_devices(
    life: Annotated[str, typer.Option(help="in_stock, shipped, bootstrapped, managed, silent, replaced or lost.")] = "",
    standing: Annotated[str, typer.Option(help="managed, stock, replacement_pending, unbound or refused.")] = "",
    oui: Oui = "",
    product_class: Product = "",
    version: Annotated[str, typer.Option(help="With this software version.")] = "",
    region: Annotated[str, typer.Option(help="In this region.")] = "",
    label: Annotated[str, typer.Option(help="With this label.")] = "",
    customer: Annotated[str, typer.Option(help="Of this customer.")] = "",
    line: Annotated[str, typer.Option(help="On this line.")] = "",
    serial: Annotated[str, typer.Option(help="Whose serial number begins so.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="So many at the most.")] = 100,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """List devices, page by page."""
    wanted = {"life": life, "standing": standing, "oui": oui.upper(), "product_class": product_class, "software_version": version}
    wanted |= {"region": region, "label": label, "customer": customer, "line": line, "serial": serial}
    rows = list(pages(Api(url, token), "/devices", "devices", limit, **wanted))
    tell(rows, as_json=as_json, columns=COLUMNS, empty="No device fits.")
    if len(rows) == limit:
        sys.stderr.write(f"The first {limit:,}; there may be more: --limit, or ask more narrowly.\n")


@client.command("show", permission=Permission.DEVICE_READ, route="GET /v1/devices/{device_id}", help="One device.")
def show_device(device: Device, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """Show one device."""
    api = Api(url, token)
    tell_facts(api.get(f"/devices/{number_of(api, device)}"), as_json=as_json)


@client.command(
    "tree", permission=Permission.DEVICE_READ, route="GET /v1/devices/{device_id}/parameters", help="What a device reported, by name."
)
def show_tree(device: Device, search: Search = "", url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """A parameter a line, as `name = value`, so that it can be searched and compared."""
    api = Api(url, token)
    rows = pages(api, f"/devices/{number_of(api, device)}/parameters", "parameters", 100_000, search=search)
    if as_json:
        tell(list(rows), as_json=True, columns=(), empty="")
        return
    empty = True
    for row in rows:
        empty = False
        typer.echo(f"{shown(row['name'], '')} = {shown(row['value'], '')}")
    if empty:
        sys.stderr.write("No such parameter is known; `ringfence fleet discover` reads the whole tree.\n")


@client.command(
    "history", permission=Permission.DEVICE_READ, route="GET /v1/devices/{device_id}/history", help="What happened to a device."
)
def show_history(
    device: Device,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="So many entries at the most, the newest.")] = 50,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Newest first."""
    api = Api(url, token)
    rows = list(pages(api, f"/devices/{number_of(api, device)}/history", "entries", limit, key="before"))
    tell(rows, as_json=as_json, columns=ENTRIES, empty="Nothing happened to it yet.")


@client.command(
    "transcript",
    permission=Permission.TRANSCRIPT_READ,
    route="GET /v1/devices/{device_id}/transcripts",
    help="The last sessions as they were spoken.",
)
def show_transcripts(
    device: Device,
    limit: Annotated[int, typer.Option(min=1, max=100, help="So many sessions at the most, the newest.")] = 1,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """A message a line."""
    api = Api(url, token)
    found = api.get(f"/devices/{number_of(api, device)}/transcripts", limit=limit)
    if as_json or not found:
        tell(found, as_json=as_json, columns=(), empty="No session did more than inform yet.")
        return
    for session in found:
        typer.echo(f"{shown(session['ended_at'], 'ended_at')}  {shown(session['session_id'], '')}")
        for line in session["lines"]:
            typer.echo(f"  {shown(line, '')}")


@client.command(
    "behind", permission=Permission.DEVICE_READ, route="GET /v1/devices/{device_id}/behind", help="Repeaters and hosts behind a device."
)
def show_behind(device: Device, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """List devices behind a device."""
    api = Api(url, token)
    tell(api.get(f"/devices/{number_of(api, device)}/behind"), as_json=as_json, columns=BEHIND, empty="Nothing is known behind it.")


@client.command(
    "put-behind",
    permission=Permission.DEVICE_MANAGE,
    route="PUT /v1/devices/{device_id}/behind/{mac}",
    help="Say what stands behind a device.",
)
def put_behind(
    device: Device,
    address: Annotated[str, typer.Argument(help="MAC address of what stands there.")],
    kind: Annotated[str, typer.Option(help="repeater, powerline, host or unknown.")] = "unknown",
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Put a device behind a device."""
    api = Api(url, token)
    mac = part(address.strip().lower().replace("-", ":"))
    told = api.put(f"/devices/{number_of(api, device)}/behind/{mac}", {"kind": kind, "name": name})
    tell(told, as_json=as_json, columns=BEHIND, empty="Nothing is known behind it.")


@client.command("import", permission=Permission.DEVICE_IMPORT, route="POST /v1/devices/import", help="Add devices from a CSV file.")
def import_devices(
    file: Annotated[Path, typer.Argument(help="CSV: oui, product_class, serial_number, and state, line, customer, region.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Import devices."""
    told = Api(url, token).upload("/devices/import", file)
    if as_json:
        tell_facts(told, as_json=True)
        return
    tell_facts({name: str(told[name]) for name in ("rows", "added", "changed")}, as_json=False)
    for row in told["skipped"]:
        sys.stderr.write(f"line {row['line']} was skipped: {shown(row['message'], '')}\n")


@client.command("wake", permission=Permission.DEVICE_WAKE, route="POST /v1/devices/{device_id}/wake", help="Ask a device to call in now.")
def wake(device: Device, url: Url = DEFAULT_URL, token: Token = "") -> None:
    """Wake a device."""
    api = Api(url, token)
    api.post(f"/devices/{number_of(api, device)}/wake", {})
    sys.stderr.write("Asked; one that cannot be reached calls in at its next Inform. `ringfence fleet history` says what came of it.\n")


@client.command(
    "discover", permission=Permission.DEVICE_MANAGE, route="POST /v1/devices/{device_id}/discover", help="Read a device's whole tree."
)
def discover(device: Device, url: Url = DEFAULT_URL, token: Token = "") -> None:
    """Discover a device."""
    api = Api(url, token)
    api.post(f"/devices/{number_of(api, device)}/discover", {})
    sys.stderr.write("It is read level by level from its next Inform on; `ringfence fleet tree` shows what is known.\n")


@client.command(
    "life",
    permission=Permission.DEVICE_MANAGE,
    route="POST /v1/devices/{device_id}/life/{said}",
    help="Say that a device is back on the shelf, sent out or lost.",
)
def change_life(
    device: Device,
    said: Annotated[str, typer.Argument(help="stocked, shipped or lost.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Change a life."""
    if said not in LIVES:
        raise OperatorError(f"a person says {', '.join(LIVES)} of a device, not {said!a}; the rest it says itself", reason="life")
    api = Api(url, token)
    tell_facts(api.post(f"/devices/{number_of(api, device)}/life/{said}", {}), as_json=as_json)


@client.command(
    "verify",
    permission=Permission.DEVICE_MANAGE,
    route="POST /v1/devices/{device_id}/verify",
    help="Put a replacement on its line; the device before it is closed.",
)
def verify(
    device: Device,
    line: Annotated[str, typer.Option(help="The line that a person has made sure of.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Verify a replacement."""
    api = Api(url, token)
    told = api.post(f"/devices/{number_of(api, device)}/verify", {"line": line})
    if as_json:
        tell_facts(told, as_json=True)
        return
    tell_facts(told["device"], as_json=False)
    closed = ", ".join(map(str, told["replaced"])) or "none"
    sys.stderr.write(f"It took over what was wanted on this line. Closed for ever: {closed}.\n")
