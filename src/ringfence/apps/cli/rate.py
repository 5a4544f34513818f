"""`ringfence rate`: versions of the rate deck."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, tell, tell_facts

client = ClientApp(help="Rates: what a minute costs, by prefix.")
app = client.app

COLUMNS = (("version", "version"), ("prefixes", "prefixes"), ("author", "by"), ("saved_at", "saved"))


@client.command("list", permission=Permission.RATE_READ, route="GET /v1/rates", help="Rate decks; the newest is in force.")
def list_rates(url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """List rate decks."""
    tell(Api(url, token).get("/rates"), as_json=as_json, columns=COLUMNS, empty="The built-in deck is in force.")


@client.command("import", permission=Permission.RATE_IMPORT, route="POST /v1/rates", help="Put a new rate deck in force.")
def import_rates(
    file: Annotated[Path, typer.Argument(help="CSV: prefix, country, kind, eur_per_minute.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Import a rate deck."""
    tell_facts(Api(url, token).upload("/rates", file), as_json=as_json)
    if not as_json:
        sys.stderr.write(
            "New calls are priced by it from now on. Start `ringfence up` again and install each edge's ringfence-settings.cfg, "
            "so that class blocks at the edges follow it too.\n"
        )
