"""What the routes of blocks, proposals and exemptions take and give."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from ringfence.apps.api.payloads import Heard, Reason, Said, Text, at
from ringfence.base.money import as_euro
from ringfence.enforcement.commands import Done
from ringfence.enforcement.model import Block, Exemption, Proposal, Scope
from ringfence.views.history import DryRun


class BlockSaid(Said):
    """A block."""

    block_id: str
    scope: Scope
    value: str
    destination_class: int
    state: str
    imposed_at: datetime | None
    until_at: datetime | None
    origin: str
    author: str
    reason: str
    account: str
    alert_id: str
    calls: list[str]
    hits: int
    ended_at: datetime | None
    ended_by: str
    ended_reason: str

    @classmethod
    def of(cls, block: Block) -> "BlockSaid":
        """From the record."""
        return cls(
            block_id=block.block_id,
            scope=block.scope,
            value=block.value,
            destination_class=block.destination_class,
            state=block.state,
            imposed_at=at(block.imposed_ms),
            until_at=at(block.until_ms),
            origin=block.origin,
            author=block.author,
            reason=block.reason,
            account=block.account,
            alert_id=block.alert_id,
            calls=list(block.calls),
            hits=block.hits,
            ended_at=at(block.ended_ms),
            ended_by=block.ended_by,
            ended_reason=block.ended_reason,
        )


class BlockList(Said):
    """A page of blocks, newest first."""

    blocks: list[BlockSaid]
    next: str = ""


class ImposeHeard(Heard):
    """A block to impose, or with `dry_run` only what it would have refused in the last 24 hours."""

    scope: Scope
    value: Text
    destination_class: Annotated[int, Field(ge=0, le=5)] = 0
    hours: Annotated[int, Field(ge=1, le=8784)] = 24
    reason: Annotated[str, Field(max_length=500)] = ""
    break_glass: bool = False
    alert_id: Text = ""
    account: Text = ""
    dry_run: bool = False


class DryRunSaid(Said):
    """Calls and accounts that would have been refused in the last 24 hours."""

    calls: int
    accounts: int
    examples: list[str]

    @classmethod
    def of(cls, found: DryRun) -> "DryRunSaid":
        """From the views."""
        return cls(calls=found.calls, accounts=found.accounts, examples=list(found.examples))


class Outcome(Said):
    """What became of an order. `proposal_id` without `block_id`: it waits for people."""

    block_id: str = ""
    proposal_id: str = ""
    exemption_id: str = ""
    approvals: int = 0
    approvals_needed: int = 0
    message: str = ""
    dry_run: DryRunSaid | None = None

    @classmethod
    def of(cls, done: Done) -> "Outcome":
        """From policy's answer."""
        return cls(
            block_id=done.block_id,
            proposal_id=done.proposal_id,
            exemption_id=done.exemption_id,
            approvals=done.approvals,
            approvals_needed=done.approvals_needed,
            message=done.message,
        )


class ReasonHeard(Heard):
    """Why."""

    reason: Reason


class ProposalSaid(Said):
    """A block that waits for people."""

    proposal_id: str
    cause: str
    state: str
    scope: Scope
    value: str
    destination_class: int
    seconds: int
    approvals_needed: int
    approved_by: list[str]
    subjects: int
    cost_eur: float
    ends: int
    """Running calls that its block would end, where they still run."""
    origin: str
    reason: str
    account: str
    alert_id: str
    created_at: datetime | None
    until_at: datetime | None

    @classmethod
    def of(cls, entry: Proposal, approvers: list[str]) -> "ProposalSaid":
        """From the record."""
        return cls(
            proposal_id=entry.proposal_id,
            cause=entry.cause,
            state=entry.state,
            scope=entry.plan.scope,
            value=entry.plan.value,
            destination_class=entry.plan.destination_class,
            seconds=entry.plan.seconds,
            approvals_needed=entry.approvals_needed,
            approved_by=approvers,
            subjects=entry.subjects,
            cost_eur=as_euro(entry.cost_micro),
            ends=len(entry.ends),
            origin=entry.origin,
            reason=entry.reason,
            account=entry.account,
            alert_id=entry.alert_id,
            created_at=at(entry.created_ms),
            until_at=at(entry.until_ms),
        )


class ExemptionSaid(Said):
    """What nothing automatic touches."""

    exemption_id: str
    scope: str
    value: str
    owner: str
    reason: str
    author: str
    created_at: datetime | None
    until_at: datetime | None

    @classmethod
    def of(cls, entry: Exemption) -> "ExemptionSaid":
        """From the record."""
        return cls(
            exemption_id=entry.exemption_id,
            scope=entry.scope,
            value=entry.value,
            owner=entry.owner,
            reason=entry.reason,
            author=entry.author,
            created_at=at(entry.created_ms),
            until_at=at(entry.until_ms),
        )


class ExemptHeard(Heard):
    """An exemption to make."""

    scope: Scope
    value: Text
    owner: Annotated[str, Field(min_length=1, max_length=100)]
    hours: Annotated[int, Field(ge=1, le=8784)]
    reason: Reason
