"""`ringfence call`: what was called, by account or number."""

from typing import Annotated

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, tell

client = ClientApp(help="Calls, by account or number.")
app = client.app

COLUMNS = (
    ("started_at", "started"),
    ("account", "account"),
    ("callee", "called"),
    ("country", "country"),
    ("destination_class", "class"),
    ("answered_at", "answered"),
    ("ended_at", "ended"),
    ("cost_eur", "cost"),
    ("source_ip", "from"),
    ("refused", "refused"),
)


@client.command("list", permission=Permission.CALL_READ, route="GET /v1/calls", help="Calls, newest first.")
def list_calls(
    account: Annotated[str, typer.Option(help="Of this account.")] = "",
    number: Annotated[str, typer.Option(help="To this number.")] = "",
    since: Annotated[str, typer.Option("--from", help="ISO 8601; default: 24 hours ago.")] = "",
    until: Annotated[str, typer.Option("--to", help="ISO 8601; default: now.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at the most.")] = 100,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """List calls."""
    found = Api(url, token).get("/calls", account=account, number=number, from_=since, to=until, limit=limit)
    tell(found, as_json=as_json, columns=COLUMNS, empty="No call fits.")


@client.app.callback()
def _root() -> None:
    """Keep `list` a command of its own."""
