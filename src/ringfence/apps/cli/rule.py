"""`ringfence rule`: versions of the rules that judge calls."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, part, tell, tell_facts
from ringfence.base.errors import OperatorError

client = ClientApp(help="Rules: thresholds, factors and modes of the detectors.")
app = client.app

COLUMNS = (("version", "version"), ("active", "active"), ("author", "by"), ("saved_at", "saved"), ("note", "note"))

COMPOSED_COLUMNS = (
    ("rule_id", "rule"),
    ("state", "state"),
    ("version", "in force"),
    ("newest", "newest"),
    ("alerts", "alerts"),
    ("fraud", "fraud"),
    ("not_fraud", "not fraud"),
    ("precision", "precision"),
    ("title", "title"),
)
EXAMPLE_COLUMNS = (("at", "at"), ("severity", "severity"), ("subject", "subject"), ("reason", "why"), ("alert_id", "id"))
PREVIEW_SECONDS = 150.0


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
    tell_facts(Api(url, token).post("/rules", {"toml": _text(file), "note": note, "activate": activate}), as_json=as_json)


@client.command(
    "activate",
    permission=Permission.RULE_WRITE,
    route="POST /v1/rules/{version}/activate",
    help="Let a kept version of the rules, or a composed rule, judge from now on.",
)
def activate_rules(
    rules: Annotated[str, typer.Argument(help="A version of the rules, such as 3, or a composed rule, such as X-night-calls.")],
    version: Annotated[int, typer.Option(min=0, help="Of a composed rule; 0: the newest.")] = 0,
    confirm: Annotated[bool, typer.Option(help="I know that it alerts on more than 1 account in 1,000.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Activate a rule set or a composed rule."""
    if not rules.startswith("X-"):
        tell_facts(Api(url, token).post(f"/rules/{part(rules)}/activate", {}), as_json=as_json)
        return
    asked = {"version": version, "confirm": confirm}
    tell_facts(Api(url, token).post(f"/composed-rules/{part(rules)}/activate", asked, seconds=PREVIEW_SECONDS), as_json=as_json)


# Rules that analysts compose


@client.command("composed", permission=Permission.RULE_READ, route="GET /v1/composed-rules", help="Composed rules with their precision.")
def list_composed(url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """List composed rules."""
    tell(Api(url, token).get("/composed-rules"), as_json=as_json, columns=COMPOSED_COLUMNS, empty="No composed rule yet.")


@client.command("compose", permission=Permission.RULE_COMPOSE, route="POST /v1/composed-rules", help="Keep composed rules as new versions.")
def compose(
    file: Annotated[Path, typer.Argument(help="TOML, see docs/composed-rules.md.")],
    note: Annotated[str, typer.Option(help="What for.")] = "",
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Keep composed rules."""
    saved = Api(url, token).post("/composed-rules", {"toml": _text(file), "note": note})
    tell(saved, as_json=as_json, columns=(("rule_id", "rule"), ("version", "version")), empty="")


@client.command(
    "preview",
    permission=Permission.RULE_READ,
    route="POST /v1/composed-rules/{rule_id}/preview",
    help="What a composed rule would have done in the last days.",
)
def preview(
    rule_id: Annotated[str, typer.Argument(help="Such as X-night-calls.")],
    version: Annotated[int, typer.Option(min=0, help="0: the newest.")] = 0,
    days: Annotated[int, typer.Option(min=1, max=90, help="How far back.")] = 30,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Look at a rule's past."""
    asked = {"version": version, "days": days}
    found = Api(url, token).post(f"/composed-rules/{part(rule_id)}/preview", asked, seconds=PREVIEW_SECONDS)
    if as_json:
        tell_facts(found, as_json=True)
        return
    tell_facts({name: value for name, value in found.items() if name != "examples"}, as_json=False)
    tell(found["examples"][:20], as_json=False, columns=EXAMPLE_COLUMNS, empty="It would not have alerted.")


@client.command(
    "probation",
    permission=Permission.RULE_COMPOSE,
    route="POST /v1/composed-rules/{rule_id}/probation",
    help="Let a composed rule judge for trial: alerts of severity info.",
)
def probation(
    rule_id: Annotated[str, typer.Argument(help="Such as X-night-calls.")],
    version: Annotated[int, typer.Option(min=0, help="0: the newest.")] = 0,
    confirm: Annotated[bool, typer.Option(help="I know that it alerts on more than 1 account in 1,000.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Put on probation."""
    asked = {"version": version, "confirm": confirm}
    tell_facts(Api(url, token).post(f"/composed-rules/{part(rule_id)}/probation", asked, seconds=PREVIEW_SECONDS), as_json=as_json)


@client.command(
    "retire",
    permission=Permission.RULE_COMPOSE,
    route="POST /v1/composed-rules/{rule_id}/retire",
    help="Let a composed rule judge no more.",
)
def retire(rule_id: str, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """Retire a composed rule."""
    tell_facts(Api(url, token).post(f"/composed-rules/{part(rule_id)}/retire", {}), as_json=as_json)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"{file} cannot be read as UTF-8 text ({type(error).__name__})", reason="unreadable") from error
