"""Composed rules: keep, look at the past, put on probation, activate, retire; and people's answers to alerts as labels."""

from typing import Annotated

from fastapi import Query

from ringfence.access.model import Permission
from ringfence.apps.api.composed_payloads import (
    ComposedHeard,
    ComposedSaid,
    ComposedWholeSaid,
    LabelSaid,
    PreviewHeard,
    PreviewSaid,
    SavedSaid,
    StateHeard,
    TextPreviewHeard,
)
from ringfence.apps.api.desk import Desk
from ringfence.apps.api.routing import Acting, AtDesk, Routes
from ringfence.detection.composed_text import read_one
from ringfence.detection.composing.service import InForceState

routes = Routes("composed rules")

TEXT_BYTES = 1024 * 1024
"""Rules as JSON; `detection` bounds the text itself."""


@routes.get("/composed-rules", permission=Permission.RULE_READ)
async def list_composed(desk: AtDesk) -> list[ComposedSaid]:
    """Every composed rule with what people said about its alerts."""
    return [ComposedSaid.of(rule) for rule in await desk.composing.rules()]


@routes.get("/composed-rules/{rule_id}", permission=Permission.RULE_READ)
async def show_composed(desk: AtDesk, rule_id: str) -> ComposedWholeSaid:
    """One rule with its versions and changes of state."""
    rule, versions, steps = await desk.composing.rule(rule_id), await desk.composing.versions(rule_id), await desk.composing.steps(rule_id)
    return ComposedWholeSaid.whole(rule, versions, steps)


@routes.post("/composed-rules", permission=Permission.RULE_COMPOSE, status=201, max_body_size=TEXT_BYTES)
async def save_composed(desk: AtDesk, actor: Acting, entry: ComposedHeard) -> list[SavedSaid]:
    """Keep the rules of a text as new versions, all or none; nothing judges differently."""
    saved = await desk.composing.save(entry.toml, actor.name, entry.note)
    for rule_id, version in saved:
        await desk.access.audit(actor.name, "save_composed_rule", rule_id, {"version": version})
    return [SavedSaid(rule_id=rule_id, version=version) for rule_id, version in saved]


@routes.post("/composed-rules/preview", permission=Permission.RULE_COMPOSE, max_body_size=TEXT_BYTES)
async def preview_text(desk: AtDesk, entry: TextPreviewHeard) -> PreviewSaid:
    """What the rule of a text would have done; nothing is kept."""
    return PreviewSaid.of(await desk.rule_previews.preview(read_one(entry.toml), days=entry.days))


@routes.post("/composed-rules/{rule_id}/preview", permission=Permission.RULE_READ)
async def preview_composed(desk: AtDesk, rule_id: str, entry: PreviewHeard) -> PreviewSaid:
    """What a kept version would have done, the newest unless said."""
    version = entry.version or (await desk.composing.rule(rule_id)).newest
    rule = await desk.composing.read(rule_id, version)
    return PreviewSaid.of(await desk.rule_previews.preview(rule, days=entry.days, version=version))


@routes.post("/composed-rules/{rule_id}/probation", permission=Permission.RULE_COMPOSE)
async def put_on_probation(desk: AtDesk, actor: Acting, rule_id: str, entry: StateHeard) -> ComposedSaid:
    """Let a version judge for trial: its alerts have severity info, and nothing follows from them."""
    return await _put(desk, actor.name, rule_id, entry, "probation")


@routes.post("/composed-rules/{rule_id}/activate", permission=Permission.RULE_WRITE)
async def activate_composed(desk: AtDesk, actor: Acting, rule_id: str, entry: StateHeard) -> ComposedSaid:
    """Let a version judge in the rule's own mode. 409 with the figures when it would alert on many and `confirm` is missing."""
    return await _put(desk, actor.name, rule_id, entry, "active")


@routes.post("/composed-rules/{rule_id}/retire", permission=Permission.RULE_COMPOSE)
async def retire_composed(desk: AtDesk, actor: Acting, rule_id: str) -> ComposedSaid:
    """Let it judge no more. Its alerts and versions stay."""
    rule = await desk.composing.rule(rule_id)
    await desk.composing.put(rule_id, rule.version or rule.newest, "retired", actor.name)
    await desk.access.audit(actor.name, "retire_composed_rule", rule_id)
    return ComposedSaid.of(await desk.composing.rule(rule_id))


@routes.get("/labels", permission=Permission.ALERT_READ)
async def list_labels(
    desk: AtDesk, days: Annotated[int, Query(ge=1, le=3660)] = 365, limit: Annotated[int, Query(ge=1, le=100_000)] = 10_000
) -> list[LabelSaid]:
    """People's answers to alerts (fraud, not fraud, unsure), newest first."""
    return [LabelSaid.of(label) for label in await desk.composing.labels(desk.clock() - days * 86_400_000, limit=limit)]


async def _put(desk: Desk, by: str, rule_id: str, entry: StateHeard, state: InForceState) -> ComposedSaid:
    version = entry.version or (await desk.composing.rule(rule_id)).newest
    rule = await desk.composing.read(rule_id, version)
    note = await desk.rule_previews.consent(rule, version, confirmed=entry.confirm)
    await desk.composing.put(rule_id, version, state, by, note)
    await desk.access.audit(by, "put_composed_rule", rule_id, {"version": version, "state": state, "confirmed": entry.confirm})
    return ComposedSaid.of(await desk.composing.rule(rule_id))
