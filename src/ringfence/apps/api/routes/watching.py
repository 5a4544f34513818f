"""The overview, the edges, and calls: what happens and what happened."""

from datetime import datetime
from typing import Annotated

from fastapi import Query

from ringfence.access.model import Permission
from ringfence.apps.api.payloads import at
from ringfence.apps.api.routing import AtDesk, Routes
from ringfence.apps.api.watching_payloads import CallSaid, EdgeSaid, OverviewSaid, PartSaid
from ringfence.base.money import as_euro
from ringfence.enforcement.model import DAY_MS

routes = Routes("watching")


@routes.get("/overview", permission=Permission.OVERVIEW_READ)
async def show_overview(desk: AtDesk) -> OverviewSaid:
    """What is happening now, straight from NATS."""
    board = desk.board
    running = board.running()
    alive = [status for role in sorted({role for role, _ in board.statuses}) for status in board.alive(role)]
    return OverviewSaid(
        at=at(desk.clock()),
        live=board.connected,
        risk_eur_per_minute=as_euro(board.risk_micro()),
        alerts_critical=sum(alert.severity == "critical" for alert in running),
        alerts_warning=sum(alert.severity == "warning" for alert in running),
        blocks=len(board.blocks_in_force()),
        proposals=len(board.open_proposals()),
        edges=len(board.edges),
        edges_agreeing=sum(report.agrees and report.reachable for report in board.edges.values()),
        breakers_open=sorted(breaker.kind for breaker in board.breakers.values() if breaker.is_open),
        calls_per_second=board.figure("ingest", "calls_per_second"),
        parts=[
            PartSaid(role=each.role, instance=each.instance, healthy=each.healthy, message=each.message, figures=each.figures)
            for each in alive
        ],
    )


@routes.get("/edges", permission=Permission.EDGE_READ)
async def list_edges(desk: AtDesk) -> list[EdgeSaid]:
    """What each edge holds, as its connector last reported."""
    return [EdgeSaid.of(report) for _, report in sorted(desk.board.edges.items())]


@routes.get("/calls", permission=Permission.CALL_READ)
async def list_calls(
    desk: AtDesk,
    account: Annotated[str, Query(max_length=128)] = "",
    number: Annotated[str, Query(max_length=16, pattern=r"^\+?[0-9]*$")] = "",
    since: Annotated[datetime | None, Query(alias="from")] = None,
    until: Annotated[datetime | None, Query(alias="to")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[CallSaid]:
    """Calls newest first, by account or by the beginning of the number called; the last 24 hours unless `from` says otherwise."""
    now = desk.clock()
    since_ms = int(since.timestamp() * 1000) if since else now - DAY_MS
    until_ms = int(until.timestamp() * 1000) if until else now
    found = await desk.views.calls(account=account, number=number.removeprefix("+"), since_ms=since_ms, until_ms=until_ms, limit=limit)
    return [CallSaid.of(call) for call in found]
