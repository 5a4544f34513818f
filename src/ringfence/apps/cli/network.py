"""`ringfence network`: the operator's own address ranges."""

from pathlib import Path
from typing import Annotated

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, tell, tell_facts

client = ClientApp(help="Networks: the operator's own address ranges, which are never blocked.")
app = client.app

COLUMNS = (("prefix", "prefix"), ("kind", "kind"), ("comment", "comment"))


@client.command("list", permission=Permission.NETWORK_READ, route="GET /v1/networks", help="The own ranges, in address order.")
def list_networks(url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """List networks."""
    tell(Api(url, token).get("/networks"), as_json=as_json, columns=COLUMNS, empty="No network is known; import them.")


@client.command(
    "import", permission=Permission.NETWORK_IMPORT, route="POST /v1/networks", help="Replace the own ranges by those of a CSV file."
)
def import_networks(
    file: Annotated[Path, typer.Argument(help="CSV: prefix, kind, comment.")],
    strict: Annotated[bool, typer.Option(help="One bad row refuses the whole file.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Import networks."""
    tell_facts(Api(url, token).upload("/networks", file, strict=strict), as_json=as_json)
