"""Blocks, proposals and exemptions. Every change is an order to policy, and the answer is policy's."""

from typing import Annotated, Literal

from fastapi import Query

from ringfence.access.model import Actor, Permission
from ringfence.apps.api.block_payloads import (
    BlockList,
    BlockSaid,
    DryRunSaid,
    ExemptHeard,
    ExemptionSaid,
    ImposeHeard,
    Outcome,
    ProposalSaid,
    ReasonHeard,
)
from ringfence.apps.api.desk import Desk
from ringfence.apps.api.payloads import Nothing
from ringfence.apps.api.routing import Acting, AtDesk, Routes
from ringfence.base.errors import OperatorError, UnavailableError
from ringfence.enforcement.commands import Approve, EndExemption, Exempt, ImposeBlock, LiftBlock, Reject, ResetBreaker
from ringfence.enforcement.model import HOUR_MS, Scope, normal_value
from ringfence.enforcement.service import BlockFilter, cursor_of
from ringfence.views.history import DryRun, subjects_of

routes = Routes("blocks")

LEAST_REASON = 3


@routes.get("/blocks", permission=Permission.BLOCK_READ)
async def list_blocks(
    desk: AtDesk,
    state: Literal["active", "lifted", "expired", "all"] = "active",
    scope: Scope | None = None,
    account: Annotated[str, Query(max_length=128)] = "",
    search: Annotated[str, Query(max_length=128)] = "",
    before: Annotated[str, Query(max_length=100)] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> BlockList:
    """Blocks newest first. `state=active` comes from the record in NATS, everything else from PostgreSQL."""
    if state == "active":
        text = search.removeprefix("+")
        live = [
            block
            for block in desk.board.blocks_in_force()
            if (scope in (None, block.scope)) and account in ("", block.account, block.value) and block.value.startswith(text)
        ]
        return BlockList(blocks=[BlockSaid.of(block) for block in live[:limit]])
    wanted = BlockFilter(state="" if state == "all" else state, scope=scope, account=account, search=search)
    found = await desk.enforcement.blocks(wanted, before=before, limit=limit)
    return BlockList(blocks=[BlockSaid.of(block) for block in found], next=cursor_of(found[-1]) if len(found) == limit else "")


@routes.get("/blocks/{block_id}", permission=Permission.BLOCK_READ)
async def show_block(desk: AtDesk, block_id: str) -> BlockSaid:
    """One block."""
    return BlockSaid.of(desk.board.blocks.get(block_id) or await desk.enforcement.block(block_id))


@routes.post("/blocks", permission=Permission.BLOCK_IMPOSE)
async def impose_block(desk: AtDesk, actor: Acting, entry: ImposeHeard) -> Outcome:
    """Impose a block, or with `dry_run` tell what it would have refused. A mass measure becomes a proposal for two people."""
    value = normal_value(entry.scope, entry.value, entry.destination_class)
    found = await _dry_run(desk, entry, value)
    told = DryRunSaid.of(found) if found else None
    if entry.dry_run:
        if told is None:
            raise UnavailableError("the last 24 hours cannot be read now; try again in a moment", reason="no_dry_run")
        return Outcome(message="nothing was changed", dry_run=told)
    done = await desk.order(_command(desk, actor, entry, value, found))
    return Outcome.of(done).model_copy(update={"dry_run": told})


@routes.post("/blocks/{block_id}/lift", permission=Permission.BLOCK_LIFT)
async def lift_block(desk: AtDesk, actor: Acting, block_id: str, entry: ReasonHeard) -> Outcome:
    """End a block now; the same evidence does not bring it back for 24 hours."""
    return Outcome.of(await desk.order(LiftBlock(block_id=block_id, reason=entry.reason, by=actor.name)))


@routes.get("/proposals", permission=Permission.BLOCK_READ)
async def list_proposals(desk: AtDesk) -> list[ProposalSaid]:
    """What waits for people, oldest first."""
    return [ProposalSaid.of(entry, desk.board.approvers(entry.proposal_id)) for entry in desk.board.open_proposals()]


@routes.post("/proposals/{proposal_id}/approve", permission=Permission.BLOCK_APPROVE)
async def approve(desk: AtDesk, actor: Acting, proposal_id: str, _entry: Nothing | None = None) -> Outcome:
    """One person's yes; the last that is needed imposes the block."""
    return Outcome.of(await desk.order(Approve(proposal_id=proposal_id, by=actor.name)))


@routes.post("/proposals/{proposal_id}/reject", permission=Permission.BLOCK_APPROVE)
async def reject(desk: AtDesk, actor: Acting, proposal_id: str, entry: ReasonHeard) -> Outcome:
    """One no ends it."""
    return Outcome.of(await desk.order(Reject(proposal_id=proposal_id, by=actor.name, reason=entry.reason)))


@routes.get("/exemptions", permission=Permission.BLOCK_READ)
async def list_exemptions(desk: AtDesk) -> list[ExemptionSaid]:
    """What nothing automatic touches now."""
    return [ExemptionSaid.of(entry) for entry in desk.board.exemptions_in_force()]


@routes.post("/exemptions", permission=Permission.EXEMPTION_MANAGE)
async def exempt(desk: AtDesk, actor: Acting, entry: ExemptHeard) -> Outcome:
    """Exempt an account, a number or a network for a time; `owner` answers for it."""
    until_ms = desk.clock() + entry.hours * HOUR_MS
    command = Exempt(scope=entry.scope, value=entry.value, owner=entry.owner, until_ms=until_ms, reason=entry.reason, by=actor.name)
    return Outcome.of(await desk.order(command))


@routes.post("/exemptions/{exemption_id}/end", permission=Permission.EXEMPTION_MANAGE)
async def end_exemption(desk: AtDesk, actor: Acting, exemption_id: str, entry: ReasonHeard) -> Outcome:
    """Over now."""
    return Outcome.of(await desk.order(EndExemption(exemption_id=exemption_id, reason=entry.reason, by=actor.name)))


@routes.post("/breakers/{kind}/reset", permission=Permission.BREAKER_RESET)
async def reset_breaker(desk: AtDesk, actor: Acting, kind: Literal["account", "source"], entry: ReasonHeard) -> Outcome:
    """Automatic blocks of this kind may happen again."""
    return Outcome.of(await desk.order(ResetBreaker(kind=kind, by=actor.name, reason=entry.reason)))


async def _dry_run(desk: Desk, entry: ImposeHeard, value: str) -> DryRun | None:
    try:
        return await desk.views.dry_run(entry.scope, value, entry.destination_class)
    except UnavailableError:
        return None


def _command(desk: Desk, actor: Actor, entry: ImposeHeard, value: str, found: DryRun | None) -> ImposeBlock:
    if len(entry.reason.strip()) < LEAST_REASON:
        raise OperatorError("say why in at least three characters: others will read it", reason="bad_reason")
    if entry.break_glass:
        actor.require(Permission.BREAK_GLASS)
    return ImposeBlock(
        scope=entry.scope,
        value=value,
        destination_class=entry.destination_class,
        until_ms=desk.clock() + entry.hours * HOUR_MS,
        reason=entry.reason,
        by=actor.name,
        break_glass=entry.break_glass,
        subjects=subjects_of(entry.scope, found),
        alert_id=entry.alert_id,
        account=entry.account,
    )
