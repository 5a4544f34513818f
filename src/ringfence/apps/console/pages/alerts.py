"""Alerts: the list and the page of one, with everything needed to decide in a minute.

What runs comes from NATS; who looks after it, feedback and older ones from PostgreSQL; the calls from the archive and the log. The page
says which of them is missing instead of failing.
"""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from fastapi import Request
from starlette.responses import Response

from ringfence.access.model import Permission
from ringfence.apps.console import evidence, pictures, shown, words
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.forms import Short, Text, read_form, read_query
from ringfence.apps.console.live import stream
from ringfence.apps.console.places import desk_of, said
from ringfence.apps.console.routing import Acting, Pages, Visiting
from ringfence.apps.console.templating import may_of
from ringfence.base.errors import NotFoundError
from ringfence.detection.composed import as_rule_id
from ringfence.detection.service import AlertFilter, AlertRecord, Feedback, cursor_of
from ringfence.views.board import LiveAlert

pages = Pages()

PAGE = 100
EARLIER = 10
STATES = (("running", "open"), ("unacknowledged", "open, with nobody"), ("close", "closed"), ("all", "all"))
SEVERITIES = (("", "any"), ("critical", "critical"), ("warning", "warning"), ("info", "info"))


class _Filter(msgspec.Struct, frozen=True):
    state: Annotated[str, msgspec.Meta(pattern="^(running|unacknowledged|close|all)$")] = "running"
    severity: Annotated[str, msgspec.Meta(pattern="^(critical|warning|info|)$")] = ""
    rule: Short = ""
    account: Short = ""
    before: Short = ""


class _Feedback(msgspec.Struct, frozen=True):
    verdict: Feedback
    note: Text = ""


@pages.page("/alerts", permission=Permission.ALERT_READ)
async def show_alerts(request: Request) -> Response:
    """The list."""
    desk = desk_of(request)
    wanted = read_query(request, _Filter)
    context = await _list(desk, wanted)
    return desk.renderer.page(
        request,
        "alerts.html",
        filter=wanted,
        query=urlencode(msgspec.to_builtins(wanted)),
        states=STATES,
        severities=SEVERITIES,
        summary=_summary(desk),
        **context,
    )


@pages.page("/live/alerts", permission=Permission.ALERT_READ)
async def live_alerts(request: Request) -> Response:
    """The list of what runs, as it changes."""
    desk = desk_of(request)
    wanted = read_query(request, _Filter)

    async def regions() -> Mapping[str, str]:
        if wanted.state not in {"running", "unacknowledged"}:
            return {}
        return {"list": desk.renderer.fragment("parts/alert_rows.html", **await _list(desk, wanted))}

    return stream(request, desk, Permission.ALERT_READ, regions)


@pages.page("/alerts/{alert_id}", permission=Permission.ALERT_READ)
async def show_alert(request: Request, actor: Acting, alert_id: str) -> Response:
    """One alert."""
    desk = desk_of(request)
    found = await _find(desk, alert_id)
    sees_calls, sees_account = actor.may(Permission.CALL_READ), actor.may(Permission.ACCOUNT_READ)
    calls = await evidence.calls_of(desk, found) if sees_calls else []
    earlier = await _earlier(desk, found)
    moments = await evidence.moments_of(desk, found)
    return desk.renderer.page(
        request,
        "alert.html",
        **(_why(desk, found) | _act(desk, found)),
        calls=calls,
        calls_from="" if len(calls) == len(found.evidence.calls) else f"of {len(found.evidence.calls)}",
        calls_missing="Its calls are not readable now; they come back with the archive.",
        picture=pictures.timeline([evidence.timed(call) for call in calls], moments, now_ms=desk.clock()),
        earlier=[shown.alert(entry, blocked=entry.running and desk.blocked(entry.account)) for entry in earlier or ()],
        attack_id=await desk.or_else(desk.detection.attack_of(alert_id), desk.board.attacks.attack_of(alert_id)),
        earlier_missing="No earlier alert." if earlier is not None else "The database is down; earlier alerts come back with it.",
        account=await evidence.account_facts(desk, found.account) if found.account and sees_account else None,
    )


@pages.page("/live/alerts/{alert_id}", permission=Permission.ALERT_READ)
async def live_alert(request: Request, actor: Acting, visit: Visiting, alert_id: str) -> Response:
    """The sentence, the figures and what can be done, as they change."""
    desk = desk_of(request)
    frame = {"may": may_of(actor.permissions), "form_token": visit.form_token}

    async def regions() -> Mapping[str, str]:
        found = desk.board.alerts.get(alert_id)
        if found is None:
            return {}
        stored = await desk.stored_alert(alert_id)
        context = frame | _why(desk, found, stored) | _act(desk, found, stored)
        return {
            "why": desk.renderer.fragment("parts/alert_why.html", **context),
            "act": desk.renderer.fragment("parts/alert_act.html", **context),
        }

    return stream(request, desk, Permission.ALERT_READ, regions)


@pages.action("/alerts/{alert_id}/acknowledge", permission=Permission.ALERT_ACKNOWLEDGE)
async def acknowledge(request: Request, actor: Acting, alert_id: str) -> Response:
    """It is mine: paging stops."""
    desk = desk_of(request)
    await desk.board.once_recorded(alert_id, lambda: desk.detection.acknowledge(alert_id, actor.name))
    await desk.record(actor, "acknowledge_alert", alert_id)
    desk.forget_acknowledged()
    return said(f"/alerts/{alert_id}", "acknowledged")


@pages.action("/alerts/{alert_id}/feedback", permission=Permission.ALERT_FEEDBACK)
async def give_feedback(request: Request, actor: Acting, alert_id: str) -> Response:
    """What it turned out to be."""
    desk = desk_of(request)
    entry = await read_form(request, _Feedback)
    await desk.board.once_recorded(alert_id, lambda: desk.detection.give_feedback(alert_id, entry.verdict, actor.name, entry.note))
    await desk.record(actor, "give_feedback", alert_id, {"feedback": entry.verdict.value})
    return said(f"/alerts/{alert_id}", "feedback")


async def _find(desk: Desk, alert_id: str) -> AlertRecord | LiveAlert:
    """The stored alert; while the worker has not copied it yet, or PostgreSQL is down, the live one."""
    live = desk.board.alerts.get(alert_id)
    try:
        return await (desk.or_else(desk.detection.alert(alert_id), live) if live else desk.detection.alert(alert_id))
    except NotFoundError:
        if live is None:
            raise
        return live


async def _list(desk: Desk, wanted: _Filter) -> dict[str, Any]:
    nothing = "No alert fits. Take a filter away to see more." if wanted.rule or wanted.account or wanted.severity else "No alert is open."
    if wanted.state in {"running", "unacknowledged"}:
        with_whom = await desk.acknowledged()
        found = [alert for alert in desk.board.running() if _fits(alert, wanted, with_whom)][: 5 * PAGE]
        return {
            "alerts": [shown.alert(alert, with_whom.get(alert.alert_id, ""), blocked=desk.blocked(alert.account)) for alert in found],
            "next": "",
            "nothing": nothing,
        }
    asked = AlertFilter(
        state="close" if wanted.state == "close" else "", rule=as_rule_id(wanted.rule), severity=wanted.severity, account=wanted.account
    )
    stored = await desk.detection.alerts(asked, before=wanted.before, limit=PAGE)
    rest = msgspec.to_builtins(wanted) | {"before": cursor_of(stored[-1])} if len(stored) == PAGE else {}
    return {
        "alerts": [shown.alert(alert, blocked=alert.running and desk.blocked(alert.account)) for alert in stored],
        "next": f"/alerts?{urlencode(rest)}" if rest else "",
        "nothing": nothing,
    }


def _fits(alert: LiveAlert, wanted: _Filter, with_whom: Mapping[str, str]) -> bool:
    return (
        (not wanted.severity or alert.severity == wanted.severity)
        and (not wanted.rule or alert.rule == as_rule_id(wanted.rule))
        and (not wanted.account or wanted.account in (alert.account, alert.subject_value))
        and (wanted.state != "unacknowledged" or alert.alert_id not in with_whom)
    )


def _summary(desk: Desk) -> str:
    running = desk.board.running()
    critical = sum(alert.severity == "critical" for alert in running)
    return f"{words.counted(len(running), 'alert')} open, {critical:,} critical"


async def _earlier(desk: Desk, found: AlertRecord | LiveAlert) -> list[AlertRecord] | None:
    if not found.account:
        return []
    stored = await desk.or_else(desk.detection.alerts(AlertFilter(account=found.account), limit=EARLIER + 1), None)
    return None if stored is None else [alert for alert in stored if alert.alert_id != found.alert_id][:EARLIER]


def _why(desk: Desk, found: AlertRecord | LiveAlert, stored: AlertRecord | None = None) -> dict[str, Any]:
    live = desk.board.alerts.get(found.alert_id)
    return {
        "alert": _merged(found, stored),
        "rule_name": words.RULES.get(found.rule, ""),
        "meters": evidence.meters(found.rule, found.evidence.thresholds, found.evidence.observed),
        "rate_micro": desk.board.rate_micro(live) if live else 0,
    }


def _act(desk: Desk, found: AlertRecord | LiveAlert, stored: AlertRecord | None = None) -> dict[str, Any]:
    board, now = desk.board, desk.clock()
    blocks = [block for block in board.blocks_in_force() if _concerns(block.alert_id, block.account, block.value, found)]
    proposals = [entry for entry in board.open_proposals() if _concerns(entry.alert_id, entry.account, entry.plan.value, found)]
    return {
        "alert": _merged(found, stored),
        "blocks": [shown.block(block, now) for block in blocks],
        "proposals": [shown.proposal(entry, board.approvers(entry.proposal_id)) for entry in proposals],
        "choices": evidence.choices(found),
    }


def _concerns(alert_id: str, account: str, value: str, found: AlertRecord | LiveAlert) -> bool:
    return alert_id == found.alert_id or bool(found.account and found.account in (account, value))


def _merged(found: AlertRecord | LiveAlert, stored: AlertRecord | None) -> shown.ShownAlert:
    """The live figures with what people did about it."""
    alert = shown.alert(found)
    if stored is None:
        return alert
    people = shown.alert(stored)
    return shown.with_people(alert, people)
