"""Accounts and the operator's own networks: look up, import."""

from fastapi import Request

from ringfence.access.model import Permission
from ringfence.apps.api.account_payloads import AccountSaid, FigureSaid, ImportSaid, NetworkSaid
from ringfence.apps.api.receiving import received
from ringfence.apps.api.routing import Acting, AtDesk, Routes
from ringfence.base.errors import UnavailableError
from ringfence.enforcement.model import normal_account

routes = Routes("customers")

ACCOUNTS_BYTES = 8 * 1024**3
"""Largest list of accounts: about 80 million rows."""
NETWORKS_BYTES = 16 * 1024**2


@routes.get("/accounts/{account:path}", permission=Permission.ACCOUNT_READ)
async def show_account(desk: AtDesk, account: str) -> AccountSaid:
    """One account; one that was never imported has an answer too, since it may call."""
    name = normal_account(account)
    try:
        figures = [FigureSaid.of(figure) for figure in await desk.views.account_figures(name)]
    except UnavailableError:
        figures = []
    return AccountSaid.of(name, await desk.subscribers.account(name), figures, blocked=bool(desk.board.blocks_of(name)))


@routes.post("/accounts/import", permission=Permission.ACCOUNT_IMPORT, max_body_size=ACCOUNTS_BYTES)
async def import_accounts(request: Request, desk: AtDesk, actor: Acting, *, strict: bool = False) -> ImportSaid:
    """Add and change the accounts of a CSV file, sent as the body (`text/csv`). All of it or nothing."""
    with await received(request) as file:
        report = await desk.subscribers.import_accounts(actor.name, file, strict=strict)
    await desk.access.audit(actor.name, "import_accounts", report.import_id, {"rows": report.rows, "bad": report.bad})
    return ImportSaid.of(report)


@routes.get("/networks", permission=Permission.NETWORK_READ)
async def list_networks(desk: AtDesk) -> list[NetworkSaid]:
    """The operator's own ranges, in address order."""
    return [NetworkSaid.of(network) for network in await desk.subscribers.networks()]


@routes.post("/networks", permission=Permission.NETWORK_IMPORT, max_body_size=NETWORKS_BYTES)
async def import_networks(request: Request, desk: AtDesk, actor: Acting, *, strict: bool = False) -> ImportSaid:
    """Replace the own ranges by those of a CSV file, sent as the body (`text/csv`)."""
    with await received(request) as file:
        report = await desk.subscribers.import_networks(actor.name, file, strict=strict)
    await desk.access.audit(actor.name, "import_networks", report.import_id, {"rows": report.rows, "bad": report.bad})
    return ImportSaid.of(report)
