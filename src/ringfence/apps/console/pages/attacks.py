"""Attacks: alerts that belong together, as one line and one decision.

The list and the page of one come from PostgreSQL; while it is down, the running ones come from NATS and the page says what is missing.
A proposal names the attack as its alert, and is approved or rejected where every other proposal is.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import Request
from starlette.responses import Response

from ringfence.access.model import Permission
from ringfence.apps.console import attacked, charts, shown, words
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.forms import read_query
from ringfence.apps.console.live import stream
from ringfence.apps.console.places import desk_of
from ringfence.apps.console.routing import Acting, Pages, Visiting
from ringfence.apps.console.templating import may_of
from ringfence.base.errors import NotFoundError
from ringfence.detection.service import AlertRecord, AttackRecord
from ringfence.enforcement.model import HOUR_MS
from ringfence.views.board import LiveAlert

pages = Pages()

PAGE = 200
ALERTS = 500
SHOWN_ALERTS = 100
STATES = (("running", "running"), ("all", "all"))
CHART_HOURS, FINE_HOURS = 48, 4
FINE_MS = 300_000
"""A young attack is drawn in columns of five minutes."""


class _Filter(msgspec.Struct, frozen=True):
    state: Annotated[str, msgspec.Meta(pattern="^(running|all)$")] = "running"


@pages.page("/attacks", permission=Permission.ALERT_READ)
async def show_attacks(request: Request) -> Response:
    """The list, running first."""
    desk = desk_of(request)
    wanted = read_query(request, _Filter)
    running = attacked.live(desk.board)
    return desk.renderer.page(
        request,
        "attacks.html",
        filter=wanted,
        states=STATES,
        summary=f"{words.counted(len(running), 'attack')} running on {words.counted(sum(each.accounts for each in running), 'account')}",
        **await _list(desk, wanted),
    )


@pages.page("/live/attacks", permission=Permission.ALERT_READ)
async def live_attacks(request: Request) -> Response:
    """The list of what runs, as it changes."""
    desk = desk_of(request)
    wanted = read_query(request, _Filter)

    async def regions() -> Mapping[str, str]:
        return {"list": desk.renderer.fragment("parts/attack_rows.html", **await _list(desk, wanted))} if wanted.state == "running" else {}

    return stream(request, desk, Permission.ALERT_READ, regions)


@pages.page("/attacks/{attack_id}", permission=Permission.ALERT_READ)
async def show_attack(request: Request, attack_id: str) -> Response:
    """One attack: what it is, who is hit, what would stop it."""
    desk = desk_of(request)
    attack = await _find(desk, attack_id)
    alerts = await _alerts(desk, attack_id)
    return desk.renderer.page(request, "attack.html", attack=attack, pictures=_pictures(alerts), **_hit(desk, alerts), **_act(desk, attack))


@pages.page("/live/attacks/{attack_id}", permission=Permission.ALERT_READ)
async def live_attack(request: Request, actor: Acting, visit: Visiting, attack_id: str) -> Response:
    """Its figures, who is hit and what can be done, as they change. Asks PostgreSQL once; what comes after is live."""
    desk = desk_of(request)
    frame = {"may": may_of(actor.permissions), "form_token": visit.form_token}
    earlier = {alert.alert_id: alert for alert in await _alerts(desk, attack_id)}

    async def regions() -> Mapping[str, str]:
        attack = next((each for each in attacked.live(desk.board) if each.attack_id == attack_id), None)
        if attack is None:
            return {}
        earlier.update(_live_alerts(desk, attack_id))
        context = frame | {"attack": attack} | _hit(desk, _dearest(earlier.values())) | _act(desk, attack)
        parts = {"why": "attack_why", "act": "attack_act", "accounts": "attack_accounts", "its-alerts": "alert_rows"}
        return {region: desk.renderer.fragment(f"parts/{part}.html", **context) for region, part in parts.items()}

    return stream(request, desk, Permission.ALERT_READ, regions)


async def _list(desk: Desk, wanted: _Filter) -> dict[str, Any]:
    if wanted.state == "running":
        return {
            "attacks": attacked.live(desk.board),
            "nothing": "No attack is running: no three accounts share what they call or where they come from.",
        }
    found = [attacked.stored(record) for record in await desk.detection.attacks(limit=PAGE)]
    return {
        "attacks": sorted(found, key=lambda each: (not each.running, -each.opened_ms)),
        "nothing": "No attack yet. One appears when alerts of three accounts share a number range, an address or a network within an hour.",
    }


async def _find(desk: Desk, attack_id: str) -> attacked.ShownAttack:
    live = next((each for each in attacked.live(desk.board) if each.attack_id == attack_id), None)
    try:
        found: AttackRecord | None = await (
            desk.or_else(desk.detection.attack(attack_id), None) if live else desk.detection.attack(attack_id)
        )
    except NotFoundError:
        if live is None:
            raise
        found = None
    # What runs is said live, so that page and overview never differ; what is over only PostgreSQL knows.
    return live if live is not None else attacked.stored(found) if found is not None else _gone()


def _gone() -> attacked.ShownAttack:
    raise NotFoundError("there is no such attack; list the attacks to see their ids", reason="no_attack")


async def _alerts(desk: Desk, attack_id: str) -> list[AlertRecord | LiveAlert]:
    """Its alerts, the dearest first; from the live board while PostgreSQL is down or behind."""
    stored = await desk.or_else(desk.detection.attack_alerts(attack_id, limit=ALERTS), ())
    return _dearest(({alert.alert_id: alert for alert in stored} | _live_alerts(desk, attack_id)).values())


def _live_alerts(desk: Desk, attack_id: str) -> dict[str, AlertRecord | LiveAlert]:
    """Those on the live board."""
    found: dict[str, AlertRecord | LiveAlert] = {}
    for attack in desk.board.attacks.running():
        if attack.step.attack_id == attack_id:
            found |= {alert_id: live for alert_id in attack.alerts if (live := desk.board.alerts.get(alert_id)) is not None}
    return found


def _dearest(alerts: Iterable[AlertRecord | LiveAlert]) -> list[AlertRecord | LiveAlert]:
    return sorted(alerts, key=lambda alert: (-alert.cost_micro, alert.alert_id))


def _hit(desk: Desk, alerts: Sequence[AlertRecord | LiveAlert]) -> dict[str, Any]:
    """Accounts and alerts of an attack, for the page and for its live regions."""
    return {
        "alerts": [shown.alert(alert, blocked=alert.running and desk.blocked(alert.account)) for alert in alerts[:SHOWN_ALERTS]],
        "all_alerts": len(alerts),
        "nothing": "Its alerts are not recorded yet; they appear in a moment.",
        "accounts": _by_account(alerts),
    }


class _Account(msgspec.Struct, frozen=True):
    """One account of an attack: its alerts count the same calls, so the dearest says what it cost."""

    account: str
    alerts: int
    cost_micro: int
    since_ms: int
    rules: str


def _by_account(alerts: Sequence[AlertRecord | LiveAlert]) -> list[_Account]:
    theirs: dict[str, list[AlertRecord | LiveAlert]] = {}
    for alert in alerts:
        if alert.account:
            theirs.setdefault(alert.account, []).append(alert)
    found = [
        _Account(
            account=account,
            alerts=len(own),
            cost_micro=max(alert.cost_micro for alert in own),
            since_ms=min(alert.opened_ms for alert in own),
            rules=", ".join(sorted({alert.rule for alert in own})),
        )
        for account, own in theirs.items()
    ]
    return sorted(found, key=lambda each: (-each.cost_micro, each.account))


def _pictures(alerts: Sequence[AlertRecord | LiveAlert]) -> list[charts.Chart]:
    if not alerts:
        return []
    first, last = min(alert.opened_ms for alert in alerts), max(alert.opened_ms for alert in alerts)
    step = HOUR_MS if last - first > FINE_HOURS * HOUR_MS else FINE_MS
    edges = list(range(first - first % step, min(last, first + CHART_HOURS * HOUR_MS) + step + 1, step))
    hit: dict[str, int] = {}
    for alert in alerts:
        if alert.account:
            hit[alert.account] = min(hit.get(alert.account, alert.opened_ms), alert.opened_ms)
    return [
        charts.chart(
            "alerts",
            "Alerts opened",
            charts.counted_in([alert.opened_ms for alert in alerts], edges),
            edges,
            show=lambda value: f"{value:,}",
        ),
        charts.chart(
            "accounts", "Accounts newly hit", charts.counted_in(list(hit.values()), edges), edges, show=lambda value: f"{value:,}"
        ),
    ]


def _act(desk: Desk, attack: attacked.ShownAttack) -> dict[str, Any]:
    board, now = desk.board, desk.clock()
    values = {(each.scope, each.block_value) for each in attack.facets if each.scope}
    blocks = [
        block for block in board.blocks_in_force() if block.alert_id == attack.attack_id or (block.scope.value, block.value) in values
    ]
    proposals = [
        entry for entry in board.open_proposals() if entry.alert_id == attack.attack_id or (entry.plan.scope, entry.plan.value) in values
    ]
    stopped = {(block.scope.value, block.value) for block in blocks} | {(entry.plan.scope, entry.plan.value) for entry in proposals}
    return {
        "blocks": [shown.block(block, now) for block in blocks],
        "proposals": [shown.proposal(entry, board.approvers(entry.proposal_id)) for entry in proposals],
        "choices": [each for each in attack.facets if each.scope and (each.scope, each.block_value) not in stopped],
    }
