"""From a suspicion to a block, a proposal or a refusal: the same answer for the same facts.

The order of questions is the design: already answered? observed only? exempt? Then the measures, the smallest useful first: the first one
that no invariant forbids and that is not in force already. Then the grace, the mode, the ladder, the breaker. What a rule may not do alone
becomes a proposal, so that a person sees it; what nobody may do is refused with its reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from msgspec.structs import replace as replace_block

from ringfence.base.errors import OperatorError
from ringfence.base.ids import derived_id
from ringfence.enforcement import breaker as breakers
from ringfence.enforcement.invariants import Guard, Objection, exempt_account, guard_for, is_shared, objection
from ringfence.enforcement.ladder import Ladder, Step
from ringfence.enforcement.model import (
    CALL_MS,
    DAY_MS,
    HOUR_MS,
    MAX_CALLS,
    MAX_NAME_CHARACTERS,
    MAX_REASON_CHARACTERS,
    Block,
    BlockPlan,
    Breaker,
    Proposal,
    ProposalCause,
    Release,
    Scope,
    cut,
    normal_value,
)
from ringfence.enforcement.state import NUMBER_SCOPES, State
from ringfence.telephony.emergency import emergency_calls
from ringfence.telephony.numbers import plan_for
from ringfence.telephony.suspicion import Suspicion

GRACE_MS = DAY_MS
"""After a release the same evidence brings no block back for this long."""
GRACE_FACTOR = 2
"""Unless it is worse than this many times the threshold that was in force."""
FRESH_MS = HOUR_MS
"""A suspicion that waited longer (policy was down) no longer acts alone."""
PROPOSAL_MS = DAY_MS
MAX_OPEN_PROPOSALS = 5_000
"""More are refused: nobody would read them."""
MAX_NUMBER_KEYS = 18_000
"""Numbers and ranges in force. The edge's table of them answers no dump beyond 20,000."""
MAX_KEYED = 250_000
"""Account, class and source blocks in force: sixteen tables of the edge, each below 20,000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """What the operator chose, and the facts of the country."""

    guard: Guard
    ladder: Ladder


def settings_for(*, country: str, area_codes: Sequence[str], emergency: Sequence[str], first_ms: int, second_ms: int) -> PolicySettings:
    """Settings of an operator in a country (two letters); OperatorError when country or emergency list are impossible."""
    plan = plan_for(country, area_codes)
    calls = emergency_calls(
        plan.country_code,
        plan.area_codes,
        emergency,
        national_prefix=plan.national_prefix,
        international_prefixes=plan.international_prefixes,
    )
    return PolicySettings(guard=guard_for(calls), ladder=Ladder(first_ms=first_ms, second_ms=second_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do about one suspicion or command. One of `impose`, `propose` and `refused` is set.

    The first two together when a short block bridges the time until a person answers.
    """

    impose: tuple[Block, ...] = ()
    propose: Proposal | None = None
    refused: str = ""
    """A constant for counters."""
    message: str = ""
    opened: Breaker | None = None
    """The breaker opened with this suspicion: record it first, and page."""


def decide(suspicion: Suspicion, state: State, settings: PolicySettings, now_ms: int) -> Decision:
    """What to do about a suspicion. Deciding the same one again after its answer was recorded changes nothing."""
    against = _not_at_all(suspicion, state, now_ms)
    if against is not None:
        return Decision(refused=against.reason, message=against.message)
    chosen = _smallest_useful(suspicion, state, settings.guard, now_ms)
    if isinstance(chosen, Objection):
        return Decision(refused=chosen.reason, message=chosen.message)
    scope, value, destination_class = chosen
    release = _grace(suspicion, scope, value, state, now_ms)
    if release is not None:
        message = f"{release.by} released block {release.block_id}; the same evidence does not bring it back for 24 hours"
        return Decision(refused="grace", message=message)
    step = settings.ladder.next_step(state.of_target(scope, value), now_ms)
    if scope is Scope.CALL:  # Ended once; there is no second rung to stand on.
        step = Step(hits=1, duration_ms=CALL_MS, needs_person=False)
    plan = BlockPlan(scope=scope, value=value, destination_class=destination_class, seconds=step.duration_ms // 1000, hits=step.hits)
    cause = _needs_person(suspicion, plan, state, now_ms)
    if cause is not None:
        return _propose(suspicion, plan, cause, state, now_ms)
    asked = Decision()
    if step.needs_person:
        # A person decides about the long block. Until then a short one holds, or each answer would cost what the thief spends meanwhile.
        asked = _propose(suspicion, plan, "ladder", state, now_ms)
        plan = replace_block(plan, seconds=settings.ladder.first_ms // 1000)
    kind = breakers.kind_of(scope, destination_class)
    if kind is not None:
        before = state.breakers[kind]
        after = breakers.judge(before, state.recent[kind], subject=value, accounts=state.accounts, now_ms=now_ms)
        if after.is_open:
            decision = asked if step.needs_person else _propose(suspicion, plan, "breaker", state, now_ms)
            return decision if before.is_open else replace(decision, opened=after)
    block = replace_block(_block_of(suspicion, plan, now_ms), ends=_calls_to_end(suspicion, plan))
    return Decision(impose=(block,), propose=asked.propose)


def _not_at_all(suspicion: Suspicion, state: State, now_ms: int) -> Objection | None:
    """Against any measure because of this suspicion."""
    if state.answered(suspicion.suspicion_id):
        return Objection(reason="answered", message="this suspicion has its answer")
    if suspicion.mode == "observe":
        return Objection(reason="observe", message=f"{suspicion.rule} only observes")
    return exempt_account(suspicion.account, state, now_ms)


def _smallest_useful(suspicion: Suspicion, state: State, guard: Guard, now_ms: int) -> tuple[Scope, str, int] | Objection:
    """The first measure that may be and is not in force yet, as normal values; else why there is none."""
    against = Objection(reason="no_measure", message=f"{suspicion.rule} names no measure")
    for measure in suspicion.measures:
        scope = Scope(measure.scope)
        try:
            value = normal_value(scope, measure.value, measure.destination_class)
        except OperatorError as error:
            against = Objection(reason=error.reason, message=str(error))
            continue
        if scope is Scope.CALL and value not in suspicion.calls:
            against = Objection(reason="no_evidence", message="a call is ended only when it is part of the evidence")
            continue
        forbidden = objection(scope, value, state=state, guard=guard, now_ms=now_ms)
        if forbidden is not None:
            against = forbidden
        elif (covering := in_force(scope, value, measure.destination_class, state, now_ms)) is not None:
            # Calls that our own block refused are no new evidence: nothing is renewed, nothing gets longer.
            against = Objection(reason="in_force", message=f"block {covering.block_id} is in force already")
        else:
            return scope, value, measure.destination_class
    return against


def in_force(scope: Scope, value: str, destination_class: int, state: State, now_ms: int) -> Block | None:
    """An active block that refuses all of this already."""
    match scope:
        case Scope.NUMBER | Scope.RANGE:
            targets = [(kind, value[:length]) for length in range(3, len(value) + 1) for kind in (Scope.RANGE, Scope.NUMBER)]
        case Scope.CLASS:
            targets = [(Scope.ACCOUNT, value), (Scope.CLASS, value)]
        case Scope.ACCOUNT | Scope.SOURCE | Scope.CALL:
            targets = [(scope, value)]
    for target in targets:
        for block in state.of_target(*target):
            weaker = block.scope is Scope.CLASS and block.destination_class > destination_class
            if block.in_force(now_ms) and not weaker:
                return block
    return None


def _grace(suspicion: Suspicion, scope: Scope, value: str, state: State, now_ms: int) -> Release | None:
    """The release that forbids this block: same value, or same account with the same rule or a call in common."""
    calls = frozenset(suspicion.calls)
    for release in state.releases.values():
        if now_ms >= release.at_ms + GRACE_MS:
            continue
        same_value = release.scope is scope and release.value == value
        same_account = release.account == suspicion.account != ""
        if not same_value and not (same_account and (release.rule == suspicion.rule or not calls.isdisjoint(release.calls))):
            continue
        # Another rule measures in another unit: its own threshold stands in for the one that was in force.
        threshold = release.threshold if release.rule == suspicion.rule else suspicion.threshold
        if suspicion.observed <= GRACE_FACTOR * max(threshold, 0):
            return release
    return None


def _needs_person(suspicion: Suspicion, plan: BlockPlan, state: State, now_ms: int) -> ProposalCause | None:
    """Why no block at all may come of this without a person."""
    if suspicion.mode == "propose":
        return "mode"
    if is_shared(plan.scope, plan.value, state):
        return "shared_network"
    if now_ms - suspicion.at_ms > FRESH_MS:
        return "stale"
    return "full" if is_full(plan.scope, state) else None


def is_full(scope: Scope, state: State) -> bool:
    """Whether the edge's tables hold no more blocks of this kind."""
    if scope in NUMBER_SCOPES:
        return state.active_numbers >= MAX_NUMBER_KEYS
    return len(state.active) - state.active_numbers >= MAX_KEYED


def _propose(suspicion: Suspicion, plan: BlockPlan, cause: ProposalCause, state: State, now_ms: int) -> Decision:
    for other in state.open_proposals.values():
        same = other.plan.scope is plan.scope and other.plan.value == plan.value
        if same and other.plan.destination_class <= plan.destination_class:
            return Decision(refused="proposed", message=f"proposal {other.proposal_id} waits already")
    if len(state.open_proposals) >= MAX_OPEN_PROPOSALS:
        return Decision(refused="too_many_proposals", message="too many proposals wait; decide or reject some")
    proposal = Proposal(
        proposal_id=derived_id("p", suspicion.suspicion_id),
        cause=cause,
        plan=plan,
        approvals_needed=1,
        origin=_origin(suspicion),
        reason=cut(suspicion.reason, MAX_REASON_CHARACTERS),
        created_ms=now_ms,
        until_ms=now_ms + PROPOSAL_MS,
        alert_id=suspicion.alert_id,
        suspicion_id=suspicion.suspicion_id,
        account=suspicion.account,
        calls=suspicion.calls[-MAX_CALLS:],
        ends=_calls_to_end(suspicion, plan),
        threshold=suspicion.threshold,
        observed=suspicion.observed,
        cost_micro=suspicion.cost_micro,
        loss_micro=suspicion.loss_micro,
        false_block_micro=suspicion.false_block_micro,
    )
    return Decision(propose=proposal)


def _block_of(suspicion: Suspicion, plan: BlockPlan, now_ms: int) -> Block:
    return Block(
        block_id=derived_id("b", suspicion.suspicion_id, plan.scope, plan.value),
        scope=plan.scope,
        value=plan.value,
        destination_class=plan.destination_class,
        imposed_ms=now_ms,
        until_ms=now_ms + plan.seconds * 1000,
        origin=_origin(suspicion),
        author=_origin(suspicion),
        reason=cut(suspicion.reason, MAX_REASON_CHARACTERS),
        alert_id=suspicion.alert_id,
        suspicion_id=suspicion.suspicion_id,
        account=suspicion.account,
        calls=suspicion.calls[-MAX_CALLS:],
        threshold=suspicion.threshold,
        hits=plan.hits,
        loss_micro=suspicion.loss_micro,
        false_block_micro=suspicion.false_block_micro,
    )


def _calls_to_end(suspicion: Suspicion, plan: BlockPlan) -> tuple[str, ...]:
    """The running calls that end together with a block: each only at C4 and above and with evidence. One record, whatever their number."""
    ended: list[str] = []
    for measure in suspicion.ends[-MAX_CALLS:] if plan.scope is not Scope.CALL else ():
        try:
            value = normal_value(Scope.CALL, measure.value, measure.destination_class)
        except OperatorError:
            continue
        if value in suspicion.calls:
            ended.append(value)
    return tuple(ended)


def _origin(suspicion: Suspicion) -> str:
    return f"rule:{cut(suspicion.rule, MAX_NAME_CHARACTERS)}@{suspicion.rule_version}"
