"""`ringfence account`: show one, import many."""

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, part, tell_facts
from ringfence.apps.cli.listing import FromSql, ListFile, Strict, import_list

client = ClientApp(help="Accounts: who is behind a digest user name.")
app = client.app


@client.command("show", permission=Permission.ACCOUNT_READ, route="GET /v1/accounts/{account:path}", help="One account and its figures.")
def show_account(account: str, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """Show one account."""
    tell_facts(Api(url, token).get(f"/accounts/{part(account)}"), as_json=as_json)


@client.command(
    "import", permission=Permission.ACCOUNT_IMPORT, route="POST /v1/accounts/import", help="Add and change accounts from a list."
)
def import_accounts(
    file: ListFile = None,
    sql: FromSql = None,
    strict: Strict = False,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Import accounts."""
    import_list(Api(url, token), "accounts", file, sql, strict=strict, as_json=as_json)


@client.command(
    "remove",
    permission=Permission.ACCOUNT_IMPORT,
    route="POST /v1/accounts/{account:path}/remove",
    help="Forget an account's attributes: it counts as residential with one channel.",
)
def remove_account(account: str, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """Forget an account."""
    tell_facts(Api(url, token).post(f"/accounts/{part(account)}/remove", {}), as_json=as_json)
