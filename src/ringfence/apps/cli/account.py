"""`ringfence account`: show one, import many."""

from pathlib import Path
from typing import Annotated

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, part, tell_facts

client = ClientApp(help="Accounts: who is behind a digest user name.")
app = client.app


@client.command("show", permission=Permission.ACCOUNT_READ, route="GET /v1/accounts/{account:path}", help="One account and its figures.")
def show_account(account: str, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """Show one account."""
    tell_facts(Api(url, token).get(f"/accounts/{part(account)}"), as_json=as_json)


@client.command(
    "import", permission=Permission.ACCOUNT_IMPORT, route="POST /v1/accounts/import", help="Add and change accounts from a CSV file."
)
def import_accounts(
    file: Annotated[Path, typer.Argument(help="CSV with a header row; see docs/formats.md.")],
    strict: Annotated[bool, typer.Option(help="One bad row refuses the whole file.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Import accounts."""
    tell_facts(Api(url, token).upload("/accounts/import", file, strict=strict), as_json=as_json)
