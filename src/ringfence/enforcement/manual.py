"""What people may do with blocks: impose, approve, lift. Pure; the invariants bind people too.

A person who touches more subjects than the limit needs a second one, whether by one measure that the dry run showed to be wide or by many
one after the other. Breaking the glass acts at once and leaves a mark for the review.
"""

from typing import Literal

import msgspec

from ringfence.base.errors import ConflictError, OperatorError
from ringfence.base.ids import derived_id
from ringfence.enforcement import breaker as breakers
from ringfence.enforcement.commands import ImposeBlock
from ringfence.enforcement.invariants import objection
from ringfence.enforcement.model import (
    MAX_BLOCK_MS,
    MAX_NAME_CHARACTERS,
    MAX_REASON_CHARACTERS,
    MIN_RANGE_DIGITS,
    Approval,
    Block,
    BlockPlan,
    Breaker,
    Exemption,
    Proposal,
    Release,
    Scope,
    normal_account,
    normal_digits,
    normal_network,
    normal_text,
    normal_value,
)
from ringfence.enforcement.policy import GRACE_MS, PROPOSAL_MS, Decision, PolicySettings, in_force, is_full
from ringfence.enforcement.state import State

WIDEST_EXEMPT = {4: 8, 6: 32}
"""Prefix length of the widest network that can be exempt, by IP version."""


def impose_by_hand(command: ImposeBlock, state: State, settings: PolicySettings, now_ms: int, *, fresh_id: str) -> Decision:
    """A person's block, or the proposal that a mass measure becomes. OperatorError or ConflictError says what to change.

    `fresh_id` makes the ids of the block and the proposal.
    """
    if command.scope is Scope.CALL:
        raise OperatorError("a running call is ended by approving what a rule proposes, with its evidence", reason="bad_scope")
    value = normal_value(command.scope, command.value, command.destination_class)
    by = normal_person(command.by)
    reason = normal_text(command.reason, what="reason", limit=MAX_REASON_CHARACTERS)
    check_until(command.until_ms, now_ms)
    may_be_blocked(command.scope, value, state, settings, now_ms)
    covering = in_force(command.scope, value, command.destination_class, state, now_ms)
    if covering is not None and covering.until_ms >= command.until_ms:
        raise ConflictError(f"block {covering.block_id} refuses that already and lasts longer", reason="in_force")
    block = Block(
        block_id=derived_id("b", fresh_id),
        scope=command.scope,
        value=value,
        destination_class=command.destination_class,
        imposed_ms=now_ms,
        until_ms=command.until_ms,
        origin=f"person:{by}",
        author=by,
        reason=reason,
        alert_id=command.alert_id[:MAX_NAME_CHARACTERS],
        account=command.account or (value if command.scope in {Scope.ACCOUNT, Scope.CLASS} else ""),
    )
    touched = max(command.subjects, 1) + state.touched_by(by, now_ms - breakers.WINDOW_MS)
    if touched <= breakers.mass_limit_for(state.accounts):
        return Decision(impose=(block,))
    if command.break_glass:
        return Decision(impose=(msgspec.structs.replace(block, break_glass=True),))
    return _propose_mass(block, touched, fresh_id)


def normal_person(name: str) -> str:
    """A person's name; never one that could be taken for a rule."""
    by = normal_text(name, what="name", limit=MAX_NAME_CHARACTERS)
    if ":" in by:
        raise OperatorError("a person's name holds no colon", reason="bad_name")
    return by


def check_until(until_ms: int, now_ms: int) -> None:
    """OperatorError unless it lies ahead, and not further than a year."""
    if not now_ms < until_ms <= now_ms + MAX_BLOCK_MS:
        raise OperatorError("the end must lie in the future and within 366 days", reason="bad_until")


def normal_exemption(scope: Scope, value: str) -> tuple[Literal["account", "number", "source"], str]:
    """Scope and value of an exemption; OperatorError for other scopes and for networks as wide as a provider."""
    if scope is Scope.ACCOUNT:
        return "account", normal_account(value)
    if scope is Scope.NUMBER:
        return "number", normal_digits(value, MIN_RANGE_DIGITS)
    if scope is Scope.SOURCE:
        network = normal_network(value)
        if network.prefixlen < WIDEST_EXEMPT[network.version]:
            raise OperatorError(f"{network} is too wide; exempt at most a /{WIDEST_EXEMPT[network.version]}", reason="network_too_wide")
        return "source", str(network)
    raise OperatorError("an exemption names an account, a number or a source", reason="bad_scope")


def may_be_blocked(scope: Scope, value: str, state: State, settings: PolicySettings, now_ms: int) -> None:
    """OperatorError when an invariant forbids a person's block of this normal value, or the edge has no room for it."""
    against = objection(scope, value, state=state, guard=settings.guard, now_ms=now_ms)
    if against is not None:
        raise OperatorError(against.message, reason=against.reason)
    if is_full(scope, state):
        raise OperatorError("the edge holds no more blocks of this kind; lift some first", reason="full")


def approved_block(proposal: Proposal, by: str, now_ms: int) -> Block:
    """The block that an approved proposal becomes; it lasts its full time from now."""
    return Block(
        block_id=derived_id("b", proposal.proposal_id),
        scope=proposal.plan.scope,
        value=proposal.plan.value,
        destination_class=proposal.plan.destination_class,
        imposed_ms=now_ms,
        until_ms=now_ms + proposal.plan.seconds * 1000,
        origin=proposal.origin,
        author=by,
        reason=proposal.reason,
        alert_id=proposal.alert_id,
        suspicion_id=proposal.suspicion_id,
        account=proposal.account,
        calls=proposal.calls,
        ends=proposal.ends,
        threshold=proposal.threshold,
        loss_micro=proposal.loss_micro,
        false_block_micro=proposal.false_block_micro,
        hits=proposal.plan.hits,
    )


def approvals_needed(proposal: Proposal, by: str, state: State, now_ms: int) -> int:
    """People who must say yes. Whoever approves one after the other until it is a mass measure needs a second person too."""
    touched = 1 + state.touched_by(by, now_ms - breakers.WINDOW_MS)
    return max(proposal.approvals_needed, 2 if touched > breakers.mass_limit_for(state.accounts) else 1)


def release_of(block: Block, by: str, now_ms: int) -> Release:
    """The grace that lifting a block begins."""
    rule = block.origin.removeprefix("rule:").rpartition("@")[0] if block.origin.startswith("rule:") else ""
    return Release(
        block_id=block.block_id,
        alert_id=block.alert_id,
        rule=rule,
        account=block.account,
        scope=block.scope,
        value=block.value,
        threshold=block.threshold,
        calls=block.calls,
        at_ms=now_ms,
        by=by,
    )


def still_valid(
    record: Block | Exemption | Release | Proposal | Approval | Breaker, state: State, settings: PolicySettings, now_ms: int
) -> bool:
    """Whether an entry of the past may come back into the record: it is not over, and no invariant forbids it."""
    match record:
        case Block():
            against = objection(record.scope, record.value, state=state, guard=settings.guard, now_ms=now_ms)
            # Exemptions end no block that is in force.
            forbidden = (against is not None and against.reason != "exempt") or is_full(record.scope, state)
            return record.in_force(now_ms) and record.until_ms <= now_ms + MAX_BLOCK_MS and not forbidden
        case Exemption():
            return not record.ended_ms and now_ms < record.until_ms
        case Release():
            return now_ms < record.at_ms + GRACE_MS
        case Proposal():
            return record.state == "open" and now_ms < record.until_ms
        case Approval() | Breaker():
            return True


def _propose_mass(block: Block, touched: int, fresh_id: str) -> Decision:
    seconds = -(-(block.until_ms - block.imposed_ms) // 1000)
    plan = BlockPlan(scope=block.scope, value=block.value, destination_class=block.destination_class, seconds=seconds)
    proposal = Proposal(
        proposal_id=derived_id("p", fresh_id),
        cause="mass",
        plan=plan,
        approvals_needed=2,
        origin=block.origin,
        reason=block.reason,
        created_ms=block.imposed_ms,
        until_ms=block.imposed_ms + PROPOSAL_MS,
        alert_id=block.alert_id,
        account=block.account,
        subjects=touched,
    )
    return Decision(propose=proposal, message=f"this touches {touched} subjects: two people must approve it")
