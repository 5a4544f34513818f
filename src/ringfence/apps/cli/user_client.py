"""`ringfence user`: the first administrator on the machine itself (`add`), and everything else through the API."""

import sys
from typing import Annotated

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli import user
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, keep_token, part, tell, tell_facts

client = ClientApp(help="People who use Ringfence.")
client.app = user.app
app = client.app

COLUMNS = (
    ("name", "name"),
    ("roles", "roles"),
    ("totp_enrolled", "second factor"),
    ("must_change_password", "one-time password"),
    ("disabled", "disabled"),
    ("signed_in_at", "last sign-in"),
)


@client.command("login", permission=None, route="POST /v1/session", help="Sign in and keep the token for the next commands.")
def login(
    name: Annotated[str, typer.Argument(help="Name to sign in with.")],
    url: Url = DEFAULT_URL,
) -> None:
    """Sign in."""
    password = typer.prompt("Password", hide_input=True, err=True)
    totp = typer.prompt("Code of your authenticator (empty when you have none)", default="", show_default=False, err=True)
    session = Api(url, "").post("/session", {"name": name, "password": password, "totp": totp})
    file = keep_token(session["token"])
    sys.stderr.write(f"Signed in as {session['name']}; the token is in {file}.\n")
    if session["must_change_password"]:
        sys.stderr.write("Change the one-time password in the console first; until then nothing else is allowed.\n")


@client.command("list", permission=Permission.USER_MANAGE, route="GET /v1/users", help="Everybody who may sign in, with roles.")
def list_users(url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """List people."""
    tell(Api(url, token).get("/users"), as_json=as_json, columns=COLUMNS, empty="Nobody yet.")


@client.command("invite", permission=Permission.USER_MANAGE, route="POST /v1/users", help="A new person; prints the one-time password.")
def invite(
    name: str,
    role: Annotated[list[str], typer.Option(help="analyst, engineer, lead, hotline, auditor or administrator; may be repeated.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Add a person."""
    tell_facts(Api(url, token).post("/users", {"name": name, "roles": role}), as_json=as_json)


@client.command("disable", permission=Permission.USER_MANAGE, route="POST /v1/users/{name}/disable", help="Shut somebody out at once.")
def disable(name: str, url: Url = DEFAULT_URL, token: Token = "") -> None:
    """Disable."""
    Api(url, token).post(f"/users/{part(name)}/disable", {})
    sys.stderr.write(f"{name} is signed out everywhere and can no longer sign in.\n")


@client.command("enable", permission=Permission.USER_MANAGE, route="POST /v1/users/{name}/enable", help="Let somebody in again.")
def enable(name: str, url: Url = DEFAULT_URL, token: Token = "") -> None:
    """Enable."""
    Api(url, token).post(f"/users/{part(name)}/enable", {})
    sys.stderr.write(f"{name} can sign in again.\n")
