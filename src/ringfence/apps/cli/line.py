"""`ringfence line`: access lines, and whose they are."""

from typing import Annotated

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, part, tell, tell_facts
from ringfence.apps.cli.listing import FromSql, ListFile, Strict, import_list

client = ClientApp(help="Lines: where a device is plugged in.")
app = client.app

COLUMNS = (("line", "line"), ("customer", "customer"), ("access_node", "access node"), ("region", "region"), ("removed", "closed"))


@client.command("show", permission=Permission.CUSTOMER_READ, route="GET /v1/lines/{line:path}", help="One line.")
def show_line(line: str, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """Show one line."""
    tell_facts(Api(url, token).get(f"/lines/{part(line)}"), as_json=as_json)


@client.command("list", permission=Permission.CUSTOMER_READ, route="GET /v1/lines", help="The lines of a customer, a page at a time.")
def list_lines(
    customer: str,
    after: Annotated[str, typer.Option(help="The last line of the page before.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="Rows of a page.")] = 100,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """List lines."""
    found = Api(url, token).get("/lines", customer=customer, after=after, limit=limit)
    tell(found if as_json else found["lines"], as_json=as_json, columns=COLUMNS, empty="The customer has no line.")


@client.command(
    "import", permission=Permission.CUSTOMER_IMPORT, route="POST /v1/lines/import", help="Add, change and close lines from a list."
)
def import_lines(
    file: ListFile = None,
    sql: FromSql = None,
    strict: Strict = False,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Import lines."""
    import_list(Api(url, token), "lines", file, sql, strict=strict, as_json=as_json)


@client.command("remove", permission=Permission.CUSTOMER_IMPORT, route="POST /v1/lines/{line:path}/remove", help="Close a line.")
def remove_line(line: str, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """Close a line."""
    tell_facts(Api(url, token).post(f"/lines/{part(line)}/remove", {}), as_json=as_json)
