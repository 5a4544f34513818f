"""`ringfence block`: list, show, impose, lift; proposals and their approval."""

import sys
from typing import Annotated

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, part, tell, tell_facts

client = ClientApp(help="Blocks: what is refused at the edges, until when, why.")
app = client.app

COLUMNS = (
    ("scope", "scope"),
    ("value", "value"),
    ("destination_class", "class"),
    ("state", "state"),
    ("until_at", "until"),
    ("author", "by"),
    ("reason", "why"),
    ("block_id", "id"),
)
PROPOSAL_COLUMNS = (
    ("scope", "scope"),
    ("value", "value"),
    ("destination_class", "class"),
    ("cause", "cause"),
    ("subjects", "accounts"),
    ("approved_by", "approved by"),
    ("approvals_needed", "needed"),
    ("until_at", "ends"),
    ("reason", "why"),
    ("proposal_id", "id"),
)


@client.command("list", permission=Permission.BLOCK_READ, route="GET /v1/blocks", help="Blocks, newest first.")
def list_blocks(
    state: Annotated[str, typer.Option(help="active, lifted, expired or all.")] = "active",
    scope: Annotated[str, typer.Option(help="number, range, class, account or source.")] = "",
    account: Annotated[str, typer.Option(help="Of this account only.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many at the most.")] = 100,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """List blocks."""
    found = Api(url, token).get("/blocks", state=state, scope=scope, account=account, limit=limit)
    tell(found["blocks"], as_json=as_json, columns=COLUMNS, empty="No block fits.")


@client.command("show", permission=Permission.BLOCK_READ, route="GET /v1/blocks/{block_id}", help="One block.")
def show_block(block_id: str, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """Show one block."""
    tell_facts(Api(url, token).get(f"/blocks/{part(block_id)}"), as_json=as_json)


@client.command(
    "impose",
    permission=Permission.BLOCK_IMPOSE,
    route="POST /v1/blocks",
    help="Refuse a number, range, class, account or source at every edge.",
)
def impose_block(
    scope: Annotated[str, typer.Argument(help="number, range, class, account or source.")],
    value: Annotated[str, typer.Argument(help="+23276123456, +23276, an account, or 192.0.2.1.")],
    reason: Annotated[str, typer.Option(help="Why; others read it.")] = "",
    destination_class: Annotated[int, typer.Option("--class", min=0, max=5, help="Scope class: this class and above.")] = 0,
    hours: Annotated[int, typer.Option(min=1, max=8784, help="How long.")] = 24,
    dry_run: Annotated[bool, typer.Option(help="Only tell what it would have refused in the last 24 hours.")] = False,
    break_glass: Annotated[bool, typer.Option(help="A mass measure at once, alone: everyone is told, and it is reviewed.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Impose a block."""
    order = {
        "scope": scope,
        "value": value,
        "destination_class": destination_class,
        "hours": hours,
        "reason": reason,
        "dry_run": dry_run,
        "break_glass": break_glass,
    }
    done = Api(url, token).post("/blocks", order)
    if found := done.get("dry_run"):
        sys.stderr.write(f"Would have refused {found['calls']} calls of {found['accounts']} accounts in the last 24 h.\n")
    if not dry_run and not done["block_id"]:
        sys.stderr.write(f"It waits for {done['approvals_needed']} people: ringfence block approve {done['proposal_id']}\n")
    tell_facts(done, as_json=as_json)


@client.command("lift", permission=Permission.BLOCK_LIFT, route="POST /v1/blocks/{block_id}/lift", help="End a block now.")
def lift_block(
    block_id: str,
    reason: Annotated[str, typer.Option(help="Why; at least three characters.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Lift a block."""
    tell_facts(Api(url, token).post(f"/blocks/{part(block_id)}/lift", {"reason": reason}), as_json=as_json)


@client.command("proposals", permission=Permission.BLOCK_READ, route="GET /v1/proposals", help="Blocks that wait for people.")
def list_proposals(url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """List proposals."""
    tell(Api(url, token).get("/proposals"), as_json=as_json, columns=PROPOSAL_COLUMNS, empty="Nothing waits for a decision.")


@client.command(
    "approve", permission=Permission.BLOCK_APPROVE, route="POST /v1/proposals/{proposal_id}/approve", help="Say yes to a proposal."
)
def approve(proposal_id: str, url: Url = DEFAULT_URL, token: Token = "", as_json: AsJson = False) -> None:
    """Approve."""
    tell_facts(Api(url, token).post(f"/proposals/{part(proposal_id)}/approve", {}), as_json=as_json)


@client.command(
    "reject", permission=Permission.BLOCK_APPROVE, route="POST /v1/proposals/{proposal_id}/reject", help="Say no to a proposal."
)
def reject(
    proposal_id: str,
    reason: Annotated[str, typer.Option(help="Why; at least three characters.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Reject."""
    tell_facts(Api(url, token).post(f"/proposals/{part(proposal_id)}/reject", {"reason": reason}), as_json=as_json)
