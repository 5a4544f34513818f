"""Attacks: list, show. A proposal to stop one is approved where every proposal is."""

from typing import Annotated, Literal

from fastapi import Query

from ringfence.access.model import Permission
from ringfence.apps.api.alert_payloads import AlertSaid, AttackDetail, AttackList, AttackSaid
from ringfence.apps.api.routing import AtDesk, Routes

routes = Routes("attacks")

ALERTS = 500


@routes.get("/attacks", permission=Permission.ALERT_READ)
async def list_attacks(
    desk: AtDesk, state: Literal["running", "all"] = "running", limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> AttackList:
    """Attacks newest first."""
    return AttackList(attacks=[AttackSaid.of(each) for each in await desk.detection.attacks(running=state == "running", limit=limit)])


@routes.get("/attacks/{attack_id}", permission=Permission.ALERT_READ)
async def show_attack(desk: AtDesk, attack_id: str) -> AttackDetail:
    """One attack, also one that became part of another. `its_alerts` holds 500 at the most."""
    attack = await desk.detection.attack(attack_id)
    alerts = await desk.detection.attack_alerts(attack_id, limit=ALERTS)
    return AttackDetail(
        **AttackSaid.of(attack).model_dump(),
        its_alerts=[AlertSaid.of(alert) for alert in alerts],
        proposals=[entry.proposal_id for entry in desk.board.open_proposals() if entry.alert_id == attack_id],
        blocks=[block.block_id for block in desk.board.blocks_in_force() if block.alert_id == attack_id],
    )
