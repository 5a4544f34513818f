"""`ringfence customer`: who has which lines and accounts, and how to reach them."""

from typing import Annotated

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, part, tell, tell_facts
from ringfence.apps.cli.listing import FromSql, ListFile, Strict, import_list

client = ClientApp(help="Customers: names, lines, accounts and contacts.")
app = client.app

COLUMNS = (("customer", "customer"), ("name", "name"), ("segment", "segment"), ("since_at", "since"))
FOUND = (("by", "found by"), ("value", "value"), ("customer", "customer"), ("name", "name"), ("line", "line"))


@client.command(
    "show", permission=Permission.CUSTOMER_READ, route="GET /v1/customers/{customer:path}", help="One customer with all that belongs to it."
)
def show_customer(customer: str, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """Show one customer."""
    tell_facts(Api(url, token).get(f"/customers/{part(customer)}"), as_json=as_json)


@client.command(
    "search",
    permission=Permission.CUSTOMER_READ,
    route="GET /v1/customers/search",
    help="By the beginning of a number, name or line, by account, E.164 number or IP address.",
)
def search_customers(text: str, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """Search customers."""
    tell(Api(url, token).get("/customers/search", text=text), as_json=as_json, columns=FOUND, empty="Nobody was found.")


@client.command("list", permission=Permission.CUSTOMER_IMPORT, route="GET /v1/customers", help="Customers by number, a page at a time.")
def list_customers(
    after: Annotated[str, typer.Option(help="The last customer of the page before.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="Rows of a page.")] = 100,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """List customers."""
    found = Api(url, token).get("/customers", after=after, limit=limit)
    tell(found if as_json else found["customers"], as_json=as_json, columns=COLUMNS, empty="No customer is known; import them.")


@client.command(
    "import", permission=Permission.CUSTOMER_IMPORT, route="POST /v1/customers/import", help="Add, change and close customers from a list."
)
def import_customers(
    file: ListFile = None,
    sql: FromSql = None,
    strict: Strict = False,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Import customers."""
    import_list(Api(url, token), "customers", file, sql, strict=strict, as_json=as_json)


@client.command(
    "import-contacts", permission=Permission.CUSTOMER_IMPORT, route="POST /v1/contacts/import", help="Add and delete contacts from a list."
)
def import_contacts(
    file: ListFile = None,
    sql: FromSql = None,
    strict: Strict = False,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Import contacts."""
    import_list(Api(url, token), "contacts", file, sql, strict=strict, as_json=as_json)


@client.command(
    "remove",
    permission=Permission.CUSTOMER_IMPORT,
    route="POST /v1/customers/{customer:path}/remove",
    help="Close a customer and delete its contacts.",
)
def remove_customer(customer: str, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """Close a customer."""
    tell_facts(Api(url, token).post(f"/customers/{part(customer)}/remove", {}), as_json=as_json)
