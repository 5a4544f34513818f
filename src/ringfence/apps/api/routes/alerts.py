"""Alerts: list, show, acknowledge, feedback."""

from typing import Annotated, Literal

from fastapi import Query

from ringfence.access.model import Permission
from ringfence.apps.api.alert_payloads import AlertList, AlertSaid, FeedbackHeard
from ringfence.apps.api.routing import Acting, AtDesk, Routes
from ringfence.base.errors import NotFoundError, UnavailableError
from ringfence.detection.composed import as_rule_id
from ringfence.detection.service import AlertFilter, cursor_of

routes = Routes("alerts")


@routes.get("/alerts", permission=Permission.ALERT_READ)
async def list_alerts(
    desk: AtDesk,
    state: Literal["running", "open", "update", "close", "all"] = "running",
    rule: Annotated[str, Query(max_length=50)] = "",
    severity: Literal["", "critical", "warning", "info"] = "",
    account: Annotated[str, Query(max_length=128)] = "",
    before: Annotated[str, Query(max_length=100)] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> AlertList:
    """Alerts newest first. While PostgreSQL is down, `state=running` answers from the live board."""
    wanted = AlertFilter(
        state=state if state in {"open", "update", "close"} else "",
        running=state == "running",
        rule=as_rule_id(rule),
        severity=severity,
        account=account,
    )
    try:
        found = await desk.detection.alerts(wanted, before=before, limit=limit)
    except UnavailableError:
        if state != "running" or before:
            raise
        live = [alert for alert in desk.board.running() if account in ("", alert.account) and as_rule_id(rule) in ("", alert.rule)]
        return AlertList(alerts=[AlertSaid.of(alert) for alert in live if severity in ("", alert.severity)][:limit])
    return AlertList(alerts=[AlertSaid.of(alert) for alert in found], next=cursor_of(found[-1]) if len(found) == limit else "")


@routes.get("/alerts/{alert_id}", permission=Permission.ALERT_READ)
async def show_alert(desk: AtDesk, alert_id: str) -> AlertSaid:
    """One alert; from the live board while the copy in PostgreSQL is behind or away."""
    try:
        return AlertSaid.of(await desk.detection.alert(alert_id))
    except (NotFoundError, UnavailableError):
        live = desk.board.alerts.get(alert_id)
        if live is None:
            raise
        return AlertSaid.of(live)


@routes.post("/alerts/{alert_id}/acknowledge", permission=Permission.ALERT_ACKNOWLEDGE)
async def acknowledge(desk: AtDesk, actor: Acting, alert_id: str) -> AlertSaid:
    """Somebody looks at it: paging stops. The first person stays."""
    found = await desk.board.once_recorded(alert_id, lambda: desk.detection.acknowledge(alert_id, actor.name))
    await desk.access.audit(actor.name, "acknowledge_alert", alert_id)
    return AlertSaid.of(found)


@routes.post("/alerts/{alert_id}/feedback", permission=Permission.ALERT_FEEDBACK)
async def give_feedback(desk: AtDesk, actor: Acting, alert_id: str, entry: FeedbackHeard) -> AlertSaid:
    """What it turned out to be; the latest answer counts."""
    found = await desk.board.once_recorded(alert_id, lambda: desk.detection.give_feedback(alert_id, entry.feedback, actor.name, entry.note))
    await desk.access.audit(actor.name, "give_feedback", alert_id, {"feedback": entry.feedback.value})
    return AlertSaid.of(found)
