"""`ringfence attack`: list, show."""

from typing import Annotated

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, part, tell, tell_facts

client = ClientApp(help="Attacks: alerts that belong together.")
app = client.app

COLUMNS = (
    ("running", "running"),
    ("accounts", "accounts"),
    ("alerts", "alerts"),
    ("critical", "critical"),
    ("cost_eur", "cost"),
    ("eur_per_minute", "a minute"),
    ("opened_at", "since"),
    ("reason", "what they share"),
    ("attack_id", "id"),
)


@client.command("list", permission=Permission.ALERT_READ, route="GET /v1/attacks", help="Attacks, newest first.")
def list_attacks(
    state: Annotated[str, typer.Option(help="running or all.")] = "running",
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many at the most.")] = 100,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """List attacks."""
    found = Api(url, token).get("/attacks", state=state, limit=limit)
    tell(found["attacks"], as_json=as_json, columns=COLUMNS, empty="No attack is running.")


@client.command("show", permission=Permission.ALERT_READ, route="GET /v1/attacks/{attack_id}", help="One attack with its alerts.")
def show_attack(attack_id: str, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """Show one attack."""
    tell_facts(Api(url, token).get(f"/attacks/{part(attack_id)}"), as_json=as_json)
