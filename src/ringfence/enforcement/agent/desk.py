"""The desk where people's commands are carried out: checked, written to the record, answered.

Used by the active policy alone, one command after the other. Each change carries who and why. Deciding what may be is `manual`.
"""

from typing import Literal, assert_never

from msgspec.structs import replace

from ringfence.base.clock import Clock
from ringfence.base.errors import ConflictError, NotFoundError, OperatorError
from ringfence.base.ids import new_id
from ringfence.enforcement.agent.journal import Journal
from ringfence.enforcement.commands import (
    SUBJECT,
    Approve,
    Command,
    Done,
    EndExemption,
    Exempt,
    ImposeBlock,
    LiftBlock,
    Ping,
    Reject,
    ResetBreaker,
    RestoreRecord,
    decode_reply,
    encode_command,
)
from ringfence.enforcement.manual import (
    approvals_needed,
    approved_block,
    check_until,
    impose_by_hand,
    may_be_blocked,
    normal_exemption,
    normal_person,
    release_of,
    still_valid,
)
from ringfence.enforcement.model import (
    MAX_NAME_CHARACTERS,
    MAX_REASON_CHARACTERS,
    Approval,
    Breaker,
    Exemption,
    Proposal,
    normal_text,
)
from ringfence.enforcement.policy import PolicySettings, in_force
from ringfence.enforcement.state import State
from ringfence.runtime.bus import Bus
from ringfence.runtime.log import get_logger

ASK_SECONDS = 5.0

_log = get_logger(__name__)


async def ask_policy(bus: Bus, command: Command, *, timeout_seconds: float = ASK_SECONDS) -> Done:
    """Send a command to the active policy and return what became of it; raises the error that policy answered with.

    UnavailableError when no policy is active or it does not answer in time; the command may then have been carried out.
    """
    return decode_reply(await bus.request(SUBJECT, encode_command(command), timeout_seconds=timeout_seconds))


class Desk:
    """Carries commands out."""

    def __init__(self, state: State, journal: Journal, settings: PolicySettings, *, instance: str, clock: Clock) -> None:
        self._state = state
        self._journal = journal
        self._settings = settings
        self._instance = instance
        self._clock = clock

    async def carry_out(self, command: Command) -> Done:
        """The outcome; OperatorError, NotFoundError or ConflictError when it cannot be."""
        match command:
            case ImposeBlock():
                done = await self._impose(command)
            case LiftBlock():
                done = await self._lift(command)
            case Exempt():
                done = await self._exempt(command)
            case EndExemption():
                done = await self._end_exemption(command)
            case Approve():
                done = await self._approve(command)
            case Reject():
                done = await self._reject(command)
            case ResetBreaker():
                done = await self._reset_breaker(command)
            case RestoreRecord():
                done = await self._restore(command)
            case Ping():
                done = Done()
            case _:
                assert_never(command)
        return replace(done, instance=self._instance)

    async def _impose(self, command: ImposeBlock) -> Done:
        decision = impose_by_hand(command, self._state, self._settings, self._clock(), fresh_id=new_id("f"))
        for block in decision.impose:
            await self._journal.write(block)
            return Done(block_id=block.block_id, message="imposed")
        assert decision.propose is not None
        await self._journal.write(decision.propose)
        return Done(
            proposal_id=decision.propose.proposal_id,
            approvals_needed=decision.propose.approvals_needed,
            message=decision.message,
        )

    async def _lift(self, command: LiftBlock) -> Done:
        by, reason = normal_person(command.by), _reason(command.reason)
        block = self._state.blocks.get(command.block_id)
        if block is None:
            raise NotFoundError("there is no such block; list the blocks and take an id from there", reason="no_such_block")
        now_ms = self._clock()
        if not block.in_force(now_ms):
            raise ConflictError(f"block {block.block_id} has ended already", reason="block_ended")
        # The grace first: a crash between the two leaves a block that the person lifts again, never one that comes back.
        await self._journal.write(release_of(block, by, now_ms))
        await self._journal.write(replace(block, state="lifted", ended_ms=now_ms, ended_by=by, ended_reason=reason))
        return Done(block_id=block.block_id, message="lifted")

    async def _exempt(self, command: Exempt) -> Done:
        by, reason, now_ms = normal_person(command.by), _reason(command.reason), self._clock()
        owner = normal_text(command.owner, what="owner", limit=MAX_NAME_CHARACTERS)
        check_until(command.until_ms, now_ms)
        scope, value = normal_exemption(command.scope, command.value)
        for other in self._state.exemptions_in_force(now_ms):
            if (other.scope, other.value) == (scope, value) and other.until_ms >= command.until_ms:
                raise ConflictError(f"exemption {other.exemption_id} holds already and lasts longer", reason="already_exempt")
        exemption = Exemption(
            exemption_id=new_id("x"),
            scope=scope,
            value=value,
            owner=owner,
            until_ms=command.until_ms,
            reason=reason,
            author=by,
            created_ms=now_ms,
        )
        await self._journal.write(exemption)
        return Done(exemption_id=exemption.exemption_id, message="exempt from now on; blocks in force stay until they are lifted")

    async def _end_exemption(self, command: EndExemption) -> Done:
        by, reason = normal_person(command.by), _reason(command.reason)
        exemption = self._state.exemptions.get(command.exemption_id)
        if exemption is None:
            raise NotFoundError("there is no such exemption", reason="no_such_exemption")
        if exemption.ended_ms:
            raise ConflictError(f"exemption {exemption.exemption_id} has ended already", reason="exemption_ended")
        await self._journal.write(replace(exemption, ended_ms=self._clock(), ended_by=by, ended_reason=reason))
        return Done(exemption_id=exemption.exemption_id, message="ended")

    async def _approve(self, command: Approve) -> Done:
        by, now_ms = normal_person(command.by), self._clock()
        proposal = self._open_proposal(command.proposal_id, now_ms)
        plan = proposal.plan
        may_be_blocked(plan.scope, plan.value, self._state, self._settings, now_ms)
        given = self._state.approvals.get(proposal.proposal_id, {})
        if by not in given:
            await self._journal.write(Approval(proposal_id=proposal.proposal_id, by=by, at_ms=now_ms))
            given = self._state.approvals[proposal.proposal_id]
        needed = approvals_needed(proposal, by, self._state, now_ms)
        if len(given) < needed:
            return Done(
                proposal_id=proposal.proposal_id,
                approvals=len(given),
                approvals_needed=needed,
                message=f"{len(given)} of {needed} people approved it",
            )
        block = in_force(plan.scope, plan.value, plan.destination_class, self._state, now_ms)
        if block is None or block.until_ms < now_ms + plan.seconds * 1000:
            block = approved_block(proposal, by, now_ms)
            await self._journal.write(block)
        await self._journal.write(
            replace(proposal, state="approved", decided_ms=now_ms, decided_by=", ".join(sorted(given)), block_id=block.block_id)
        )
        return Done(proposal_id=proposal.proposal_id, block_id=block.block_id, approvals=len(given), approvals_needed=needed)

    async def _reject(self, command: Reject) -> Done:
        by, reason, now_ms = normal_person(command.by), _reason(command.reason), self._clock()
        proposal = self._open_proposal(command.proposal_id, now_ms)
        await self._journal.write(replace(proposal, state="rejected", decided_ms=now_ms, decided_by=by, decided_reason=reason))
        return Done(proposal_id=proposal.proposal_id, message="rejected")

    async def _reset_breaker(self, command: ResetBreaker) -> Done:
        by, reason = normal_person(command.by), _reason(command.reason)
        if command.kind not in self._state.breakers:
            raise OperatorError("there are two breakers: account and source", reason="no_such_breaker")
        kind = command.kind
        if not self._state.breakers[kind].is_open:
            raise ConflictError(f"the breaker for {kind} blocks is closed already", reason="breaker_closed")
        await self._journal.write(Breaker(kind=kind, reset_ms=self._clock(), reset_by=by, reset_reason=reason))
        return Done(message=f"automatic {kind} blocks may happen again")

    async def _restore(self, command: RestoreRecord) -> Done:
        """Exemptions, graces and breakers first, for they hold blocks back; approvals before the proposal that they count for."""
        now_ms, restored, left = self._clock(), 0, 0
        groups = (command.exemptions, command.releases, command.breakers, command.blocks, command.approvals, command.proposals)
        for record in (record for group in groups for record in group):
            if not still_valid(record, self._state, self._settings, now_ms):
                left += 1
                continue
            restored += await self._journal.restore(record)
        if restored or left:
            _log.warning("record_restored", entries=restored, no_longer_valid=left)
        return Done(restored=restored, message=f"{restored} entries are back")

    def _open_proposal(self, proposal_id: str, now_ms: int) -> Proposal:
        proposal = self._state.proposals.get(proposal_id)
        if proposal is None:
            raise NotFoundError("there is no such proposal", reason="no_such_proposal")
        if proposal.state != "open" or now_ms >= proposal.until_ms:
            state: Literal["approved", "rejected", "expired", "open"] = "expired" if proposal.state == "open" else proposal.state
            raise ConflictError(f"proposal {proposal_id} is {state} already", reason="proposal_decided")
        return proposal


def _reason(text: str) -> str:
    return normal_text(text, what="reason", limit=MAX_REASON_CHARACTERS)
