"""`ringfence rule`: versions of the rules that judge calls."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, tell, tell_facts
from ringfence.base.errors import OperatorError

client = ClientApp(help="Rules: thresholds, factors and modes of the detectors.")
app = client.app

COLUMNS = (("version", "version"), ("active", "active"), ("author", "by"), ("saved_at", "saved"), ("note", "note"))


@client.command("list", permission=Permission.RULE_READ, route="GET /v1/rules", help="Rule sets, newest first.")
def list_rules(url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """List rule sets."""
    tell(Api(url, token).get("/rules"), as_json=as_json, columns=COLUMNS, empty="No rule set yet.")


@client.command("show", permission=Permission.RULE_READ, route="GET /v1/rules/{version}", help="The TOML of a version.")
def show_rules(version: int, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """Show a rule set."""
    found = Api(url, token).get(f"/rules/{version}")
    if as_json:
        tell_facts(found, as_json=True)
    else:
        sys.stdout.write(found["toml"])


@client.command("import", permission=Permission.RULE_WRITE, route="POST /v1/rules", help="Keep a rule set as a new version.")
def import_rules(
    file: Annotated[Path, typer.Argument(help="TOML.")],
    note: Annotated[str, typer.Option(help="What changed and why.")] = "",
    activate: Annotated[bool, typer.Option(help="Let it judge from now on.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Import a rule set."""
    try:
        toml = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"{file} cannot be read as UTF-8 text ({type(error).__name__})", reason="unreadable") from error
    tell_facts(Api(url, token).post("/rules", {"toml": toml, "note": note, "activate": activate}), as_json=as_json)


@client.command(
    "activate", permission=Permission.RULE_WRITE, route="POST /v1/rules/{version}/activate", help="Let a kept version judge from now on."
)
def activate_rules(version: int, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """Activate a rule set."""
    tell_facts(Api(url, token).post(f"/rules/{version}/activate", {}), as_json=as_json)
