"""`ringfence fleet group list|show|put|remove`: devices that want the same."""

import sys
from typing import Annotated

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, part, shown, tell, tell_facts
from ringfence.base.errors import OperatorError

client = ClientApp(help="Groups: devices that want the same.")

COLUMNS = (
    ("rank", "rank"),
    ("name", "name"),
    ("oui", "OUI"),
    ("product_class", "product class"),
    ("software_version", "version"),
    ("region", "region"),
    ("label", "label"),
    ("wants", "wants"),
)

Name = Annotated[str, typer.Argument(help="Name of the group.")]


@client.command(
    "list", permission=Permission.DEVICE_READ, route="GET /v1/fleet/groups", help="Every group; a later one is laid over those before."
)
def list_groups(url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """List groups."""
    found = Api(url, token).get("/fleet/groups")
    rows = found if as_json else [group | {"wants": [wish["meaning"] for wish in group["wishes"]]} for group in found]
    tell(rows, as_json=as_json, columns=COLUMNS, empty="There is no group yet; `ringfence fleet group put` makes one.")


@client.command("show", permission=Permission.DEVICE_READ, route="GET /v1/fleet/groups/{name}", help="One group with its wishes.")
def show_group(name: Name, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """Show one group."""
    found = Api(url, token).get(f"/fleet/groups/{part(name)}")
    if as_json:
        tell_facts(found, as_json=True)
        return
    tell_facts({field: value for field, value in found.items() if field != "wishes"}, as_json=False)
    for wish in found["wishes"]:
        typer.echo(f"{shown(wish['meaning'], '')} {shown(wish['instance'], '')}".rstrip() + f" = {shown(wish['value'], '')}")


@client.command("put", permission=Permission.DESIRED_WRITE, route="PUT /v1/fleet/groups/{name}", help="Make a group, or replace it whole.")
def put_group(
    name: Name,
    want: Annotated[list[str], typer.Option(help="MEANING=VALUE, or MEANING@1.5=VALUE, or MEANING@*=VALUE for every instance; repeat it.")],
    rank: Annotated[int, typer.Option(help="A higher rank is laid over a lower one.")] = 0,
    oui: Annotated[str, typer.Option(help="Devices of this maker: six hexadecimal digits.")] = "",
    product_class: Annotated[str, typer.Option(help="Devices of this product class.")] = "",
    version: Annotated[str, typer.Option(help="Devices with this software version.")] = "",
    region: Annotated[str, typer.Option(help="Devices in this region.")] = "",
    label: Annotated[str, typer.Option(help="Devices with this label.")] = "",
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Put a group."""
    filters = {"oui": oui.upper(), "product_class": product_class, "software_version": version, "region": region, "label": label}
    told = Api(url, token).put(f"/fleet/groups/{part(name)}", filters | {"rank": rank, "wishes": [_wish(text) for text in want]})
    if as_json:
        tell_facts(told, as_json=True)
    sys.stderr.write(f"{len(told['wishes'])} wishes; each device of the group gets what is new at its next Inform.\n")


@client.command("remove", permission=Permission.DESIRED_WRITE, route="DELETE /v1/fleet/groups/{name}", help="Take a group away.")
def remove_group(name: Name, url: Url = DEFAULT_URL, token: Token = "") -> None:
    """Remove a group."""
    Api(url, token).delete(f"/fleet/groups/{part(name)}")
    sys.stderr.write("Gone; its devices keep what was set until something else is wanted.\n")


def _wish(text: str) -> dict[str, str]:
    left, equals, value = text.partition("=")
    meaning, _, instance = left.partition("@")
    if not equals or not meaning:
        raise OperatorError(f"{text[:60]!a} is no wish; write it like wlan.wps=false or sip.proxy@1.1=sip.example.net", reason="bad_wish")
    return {"meaning": meaning.strip(), "instance": instance.strip(), "value": value}
