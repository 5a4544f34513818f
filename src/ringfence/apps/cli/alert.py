"""`ringfence alert`: list, show, acknowledge, feedback."""

import csv
import sys
from typing import Annotated

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, part, tell, tell_facts

client = ClientApp(help="Alerts: what is burning and why.")
app = client.app

COLUMNS = (
    ("severity", "severity"),
    ("rule", "rule"),
    ("account", "account"),
    ("cost_eur", "cost"),
    ("opened_at", "opened"),
    ("state", "state"),
    ("acknowledged_by", "with"),
    ("reason", "why"),
    ("alert_id", "id"),
)

LABEL_COLUMNS = (
    "alert_id",
    "feedback",
    "rule",
    "rule_version",
    "subject_kind",
    "subject",
    "account",
    "severity",
    "score",
    "cost_eur",
    "opened_at",
    "feedback_at",
    "feedback_by",
    "note",
)


@client.command("list", permission=Permission.ALERT_READ, route="GET /v1/alerts", help="Alerts, newest first.")
def list_alerts(
    state: Annotated[str, typer.Option(help="running, open, update, close or all.")] = "running",
    rule: Annotated[str, typer.Option(help="Such as D02.")] = "",
    severity: Annotated[str, typer.Option(help="critical, warning or info.")] = "",
    account: Annotated[str, typer.Option(help="Of this account only.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many at the most.")] = 100,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """List alerts."""
    found = Api(url, token).get("/alerts", state=state, rule=rule, severity=severity, account=account, limit=limit)
    tell(found["alerts"], as_json=as_json, columns=COLUMNS, empty="No alert fits.")


@client.command("show", permission=Permission.ALERT_READ, route="GET /v1/alerts/{alert_id}", help="One alert with its evidence.")
def show_alert(alert_id: str, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """Show one alert."""
    tell_facts(Api(url, token).get(f"/alerts/{part(alert_id)}"), as_json=as_json)


@client.command(
    "acknowledge",
    permission=Permission.ALERT_ACKNOWLEDGE,
    route="POST /v1/alerts/{alert_id}/acknowledge",
    help="Take an alert: paging stops.",
)
def acknowledge(alert_id: str, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """Acknowledge."""
    tell_facts(Api(url, token).post(f"/alerts/{part(alert_id)}/acknowledge", {}), as_json=as_json)


@client.command(
    "feedback",
    permission=Permission.ALERT_FEEDBACK,
    route="POST /v1/alerts/{alert_id}/feedback",
    help="Say what an alert turned out to be.",
)
def feedback(
    alert_id: str,
    verdict: Annotated[str, typer.Argument(help="fraud, not_fraud or unsure.")],
    note: Annotated[str, typer.Option(help="What you found out.")] = "",
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Give feedback."""
    tell_facts(Api(url, token).post(f"/alerts/{part(alert_id)}/feedback", {"feedback": verdict, "note": note}), as_json=as_json)


@client.command("labels", permission=Permission.ALERT_READ, route="GET /v1/labels", help="Feedback on alerts as labels; CSV unless --json.")
def labels(
    days: Annotated[int, typer.Option(min=1, max=3660, help="How far back.")] = 365,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at the most, the newest.")] = 10_000,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Export labels."""
    found = Api(url, token).get("/labels", days=days, limit=limit)
    if as_json:
        tell(found, as_json=True, columns=(), empty="")
        return
    writer = csv.DictWriter(sys.stdout, LABEL_COLUMNS, extrasaction="ignore", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(found)
