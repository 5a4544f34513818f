"""`ringfence session`: which line held an address, and leases of DHCP."""

from typing import Annotated

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, tell
from ringfence.apps.cli.listing import FromSql, ListFile, Strict, import_list

client = ClientApp(help="Access sessions: which line held an address, when.")
app = client.app

COLUMNS = (
    ("prefix", "address"), ("line", "line"), ("customer", "customer"), ("access_node", "access node"), ("started_at", "from"),
    ("ended_at", "to"), ("ended_by", "ended by"), ("nas", "told by"),
)  # fmt: skip


@client.command(
    "show", permission=Permission.CUSTOMER_READ, route="GET /v1/sessions", help="Who held an address, or the addresses of a line; audited."
)
def show_sessions(
    address: Annotated[str, typer.Option(help="An IP address.")] = "",
    line: Annotated[str, typer.Option(help="A line.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="Rows at the most, the newest.")] = 100,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Show sessions."""
    found = Api(url, token).get("/sessions", address=address, line=line, limit=limit)
    tell(found, as_json=as_json, columns=COLUMNS, empty="Nothing is known of it.")


@client.command(
    "import", permission=Permission.CUSTOMER_IMPORT, route="POST /v1/sessions/import", help="Add and change leases of DHCP from a list."
)
def import_sessions(
    file: ListFile = None,
    sql: FromSql = None,
    strict: Strict = False,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Import leases."""
    import_list(Api(url, token), "sessions", file, sql, strict=strict, as_json=as_json)
