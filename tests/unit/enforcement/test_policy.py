"""Suspicions and what becomes of them, case by case."""

import pytest
from msgspec.structs import replace

from ringfence.base.errors import OperatorError
from ringfence.enforcement import policy
from ringfence.enforcement.commands import ImposeBlock
from ringfence.enforcement.manual import approved_block, impose_by_hand, release_of
from ringfence.enforcement.model import Block, Breaker, Exemption, Scope
from ringfence.enforcement.policy import Decision, decide, is_full
from ringfence.enforcement.state import State
from ringfence.telephony.suspicion import Measure, Suspicion
from tests.unit.enforcement.samples import DAY_MS, HOUR_MS, NOW_MS, block, class_measure, settings, suspicion

SETTINGS = settings()
RANGE = Measure(scope="range", value="+23276123")


def answer(suspected: Suspicion, state: State | None = None, now_ms: int = NOW_MS) -> Decision:
    return decide(suspected, state if state is not None else State(), SETTINGS, now_ms)


def imposed(decision: Decision) -> Block:
    assert decision.propose is None
    assert not decision.refused
    (made,) = decision.impose
    return made


def test_an_act_suspicion_becomes_the_smallest_useful_block() -> None:
    made = imposed(answer(suspicion(RANGE, class_measure("alice"))))
    assert (made.scope, made.value, made.until_ms) == (Scope.RANGE, "23276123", NOW_MS + HOUR_MS)
    assert (made.origin, made.author, made.alert_id, made.account) == ("rule:D02@1", "rule:D02@1", "a-1", "alice")
    assert (made.calls, made.threshold, made.suspicion_id, made.automatic) == (("call-1",), 100, "a-1.2", True)


def test_the_next_level_takes_the_next_measure() -> None:
    state = State()
    state.put_block(imposed(answer(suspicion(RANGE, class_measure("alice")))))
    made = imposed(answer(suspicion(RANGE, class_measure("alice"), level=3), state))
    assert (made.scope, made.value, made.destination_class) == (Scope.CLASS, "alice", 3)


def test_a_redelivered_suspicion_changes_nothing() -> None:
    state = State()
    made = imposed(answer(suspicion(RANGE, class_measure("alice"))))
    state.put_block(made)
    assert answer(suspicion(RANGE, class_measure("alice")), state).refused == "answered"
    state.put_block(replace(made, state="expired", ended_ms=NOW_MS + HOUR_MS))
    assert answer(suspicion(RANGE, class_measure("alice")), state, NOW_MS + 2 * HOUR_MS).refused == "answered"


def test_two_deciders_give_the_block_the_same_id() -> None:
    assert imposed(answer(suspicion())).block_id == imposed(answer(suspicion(), now_ms=NOW_MS + 5)).block_id


@pytest.mark.parametrize(("mode", "outcome"), [("observe", "observe"), ("propose", "mode")])
def test_modes(mode: str, outcome: str) -> None:
    decision = answer(suspicion(mode=mode))
    assert not decision.impose
    if mode == "observe":
        assert decision.refused == outcome
    else:
        assert decision.propose is not None
        assert (decision.propose.cause, decision.propose.approvals_needed) == (outcome, 1)
        assert (decision.propose.plan.scope, decision.propose.plan.seconds) == (Scope.CLASS, 3600)


def test_a_waiting_proposal_is_not_made_twice_but_a_stronger_one_is() -> None:
    state = State()
    first = answer(suspicion(mode="propose")).propose
    assert first is not None
    state.put_proposal(first)
    assert answer(suspicion(mode="propose"), state).refused == "answered"
    assert answer(suspicion(mode="propose", level=3), state).refused == "proposed"
    stronger = answer(suspicion(class_measure("alice", 2), mode="propose", alert="a-2"), state)
    assert stronger.propose is not None


@pytest.mark.parametrize(
    ("measure", "reason"),
    [
        (Measure(scope="number", value="49110"), "emergency"),
        (Measure(scope="range", value="+4930"), "emergency"),
        (Measure(scope="range", value="12"), "bad_length"),
        (Measure(scope="number", value="sip:mallory"), "not_e164"),
        (Measure(scope="class", value="alice", destination_class=1), "class_not_blockable"),
        (Measure(scope="account", value="al ice"), "bad_account"),
        (Measure(scope="source", value="10.0.0.0/8"), "network_too_wide"),
    ],
)
@pytest.mark.parametrize("mode", ["act", "propose"])
def test_what_may_not_be_is_skipped_and_the_next_measure_taken(measure: Measure, reason: str, mode: str) -> None:
    assert answer(suspicion(measure, mode=mode)).refused == reason
    decision = answer(suspicion(measure, class_measure("alice"), mode=mode))
    assert decision.impose or decision.propose


def test_no_measure_no_block() -> None:
    assert answer(replace(suspicion(), measures=())).refused == "no_measure"


def test_an_exempt_account_causes_no_block_at_all() -> None:
    state = State()
    state.put_exemption(
        Exemption(exemption_id="x", scope="account", value="alice", owner="o", until_ms=NOW_MS + 1, reason="r", author="anna", created_ms=0)
    )
    assert answer(suspicion(RANGE), state).refused == "exempt"
    assert answer(suspicion(RANGE), state, NOW_MS + 1).impose


@pytest.mark.parametrize(
    ("held", "measure", "covered"),
    [
        (block(Scope.ACCOUNT, "alice"), class_measure("alice", 3), True),
        (block(Scope.CLASS, "alice", destination_class=2), class_measure("alice", 3), True),
        (block(Scope.CLASS, "alice", destination_class=3), class_measure("alice", 3), True),
        (block(Scope.CLASS, "alice", destination_class=4), class_measure("alice", 3), False),
        (block(Scope.CLASS, "alice", destination_class=2), Measure(scope="account", value="alice"), False),
        (block(Scope.RANGE, "23276"), Measure(scope="number", value="23276123456"), True),
        (block(Scope.NUMBER, "23276123456"), RANGE, False),
        (block(Scope.SOURCE, "203.0.113.9"), Measure(scope="source", value="203.0.113.9/32"), True),
        (block(Scope.ACCOUNT, "bob"), class_measure("alice"), False),
    ],
)
def test_nothing_is_renewed_while_it_is_in_force(held: Block, measure: Measure, covered: bool) -> None:
    state = State()
    state.put_block(held)
    decision = answer(suspicion(measure), state)
    assert (decision.refused == "in_force") is covered
    assert bool(decision.impose) is not covered
    assert answer(suspicion(measure), state, held.until_ms).impose


def test_ladder_an_hour_a_day_a_person() -> None:
    state, now_ms = State(), NOW_MS
    for hits, hours in ((1, 1), (2, 24)):
        made = imposed(answer(suspicion(alert=f"a-{hits}", at_ms=now_ms), state, now_ms))
        assert (made.hits, made.until_ms - now_ms) == (hits, hours * HOUR_MS)
        now_ms = made.until_ms
        state.put_block(replace(made, state="expired", ended_ms=now_ms))
    decision = answer(suspicion(alert="a-3", at_ms=now_ms), state, now_ms)
    third, (bridge,) = decision.propose, decision.impose
    assert third is not None
    assert (third.cause, third.plan.hits, third.plan.seconds) == ("ladder", 3, 24 * 3600)
    assert (bridge.hits, bridge.until_ms - now_ms) == (3, HOUR_MS)
    # Nobody answered: the next hour bridges alone.
    state.put_proposal(third)
    state.put_block(replace(bridge, state="expired", ended_ms=bridge.until_ms))
    again = answer(suspicion(alert="a-4", at_ms=bridge.until_ms), state, bridge.until_ms)
    assert (again.propose, [each.hits for each in again.impose]) == (None, [4])


def test_what_may_not_act_alone_for_another_reason_is_not_bridged() -> None:
    state = State()
    for hits in (1, 2):
        state.put_block(replace(block(imposed_ms=NOW_MS - hits * 2 * HOUR_MS, until_ms=NOW_MS - HOUR_MS), block_id=f"b-{hits}", hits=hits))
    decision = answer(suspicion(mode="propose"), state)
    assert decision.propose is not None
    assert (decision.propose.cause, decision.impose) == ("mode", ())


def released(state: State, *, threshold: int = 100) -> Block:
    made = replace(imposed(answer(suspicion(threshold=threshold), state)), threshold=threshold)
    state.put_release(release_of(made, "anna", NOW_MS + 1000))
    state.put_block(replace(made, state="lifted", ended_ms=NOW_MS + 1000, ended_by="anna"))
    return made


@pytest.mark.parametrize(
    ("suspected", "back"),
    [
        (suspicion(alert="a-2", observed=200), False),
        (suspicion(alert="a-2", observed=201), True),
        (suspicion(alert="a-2", observed=150, rule="D06", calls=("call-1", "call-9")), False),
        (suspicion(alert="a-2", observed=150, rule="D06", calls=("call-9",), threshold=10), False),  # the same value
        (suspicion(class_measure("alice", 2), alert="a-2", observed=150, rule="D06", calls=("call-9",)), False),  # the same value
        (suspicion(RANGE, alert="a-2", observed=150, rule="D06", calls=("call-9",)), True),
        (suspicion(RANGE, alert="a-2", observed=150, rule="D06", calls=("call-1",)), False),
        (suspicion(RANGE, alert="a-2", observed=150, rule="D02", calls=("call-9",)), False),
        (suspicion(class_measure("bob"), alert="a-2", observed=150, account="bob"), True),
    ],
)
def test_grace_after_a_release(suspected: Suspicion, back: bool) -> None:
    if suspected.threshold == 10:
        suspected = replace(suspected, observed=20)
    for mode in ("act", "propose"):
        state = State()
        released(state)
        now_ms = NOW_MS + 1000 + policy.GRACE_MS - 1
        decision = answer(replace(suspected, mode=mode, at_ms=now_ms), state, now_ms)
        assert (decision.refused != "grace") is back, decision
        assert answer(replace(suspected, mode=mode, at_ms=now_ms), state, now_ms + 1).refused != "grace"


def test_the_breaker_stops_automatic_account_blocks_and_nothing_else() -> None:
    state = State()
    for number in range(50):
        made = imposed(answer(suspicion(alert=f"a-{number}", account=f"u{number}"), state))
        state.put_block(made)
    one_more = answer(suspicion(alert="a-50", account="u50"), state)
    assert one_more.propose is not None
    assert one_more.propose.cause == "breaker"
    assert one_more.opened is not None
    assert (one_more.opened.kind, one_more.opened.subjects) == ("account", 51)
    state.put_breaker(one_more.opened)
    again = answer(suspicion(alert="a-51", account="u51"), state, NOW_MS + DAY_MS - 1)
    assert again.propose is not None or again.refused == "stale"
    assert again.opened is None
    assert answer(suspicion(class_measure("u52", 5), alert="a-52", account="u52"), state).impose
    assert answer(suspicion(RANGE, alert="a-53", account="u53"), state).impose
    assert answer(suspicion(Measure(scope="source", value="203.0.113.9"), alert="a-54", account=""), state).impose
    state.put_breaker(Breaker(kind="account", reset_ms=NOW_MS + 1, reset_by="anna", reset_reason="looked"))
    assert answer(suspicion(alert="a-55", account="u55"), state, NOW_MS + 1).impose


def test_people_and_many_blocks_of_one_account_do_not_open_the_breaker() -> None:
    state = State()
    for number in range(200):
        state.put_block(block(value=f"u{number}", block_id=f"b-{number}", author="anna"))
        state.put_block(block(Scope.CLASS, "same", block_id=f"c-{number}", destination_class=4))
    assert answer(suspicion(alert="a-9", account="other"), state).impose


def test_a_shared_network_an_old_suspicion_and_a_full_table_need_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    state = State()
    state.put_networks([("203.0.113.0/24", "cgnat")])
    shared = answer(suspicion(Measure(scope="source", value="203.0.113.9")), state).propose
    assert shared is not None
    assert shared.cause == "shared_network"
    late = answer(suspicion(), state, NOW_MS + policy.FRESH_MS + 1).propose
    assert late is not None
    assert late.cause == "stale"
    monkeypatch.setattr(policy, "MAX_NUMBER_KEYS", 1)
    state.put_block(block(Scope.RANGE, "2327", block_id="b-r"))
    full = answer(suspicion(Measure(scope="range", value="88213")), state).propose
    assert full is not None
    assert full.cause == "full"
    state.drop_block("b-r")
    assert not is_full(Scope.RANGE, state)


CALL = Measure(scope="call", value="call-1", destination_class=4)


def test_a_running_call_of_the_evidence_is_ended_once_and_soon_or_never() -> None:
    state = State()
    made = imposed(answer(suspicion(CALL), state))
    assert (made.scope, made.value, made.destination_class) == (Scope.CALL, "call-1", 4)
    assert made.until_ms == NOW_MS + 120_000
    state.put_block(made)
    assert answer(suspicion(CALL), state).refused == "answered"
    assert answer(suspicion(CALL, level=3), state).refused == "in_force"
    for number in range(5):  # Other calls of the account: no ladder, no person, no breaker.
        other = Measure(scope="call", value=f"other-{number}", destination_class=5)
        state.put_block(imposed(answer(suspicion(other, alert=f"o-{number}", calls=(f"other-{number}",)), state)))
    assert answer(suspicion(CALL, alert="a-9", mode="propose"), State()).propose is not None


@pytest.mark.parametrize(
    ("measure", "calls", "refused"),
    [
        (Measure(scope="call", value="call-1", destination_class=3), ("call-1",), "call_not_endable"),
        (Measure(scope="call", value="call-1"), ("call-1",), "call_not_endable"),
        (Measure(scope="call", value="call-2", destination_class=4), ("call-1",), "no_evidence"),
        (Measure(scope="call", value="call-1", destination_class=4), (), "no_evidence"),
        (Measure(scope="call", value="call 1", destination_class=4), ("call 1",), "bad_call_id"),
        (Measure(scope="call", value="x" * 257, destination_class=4), ("x" * 257,), "bad_call_id"),
    ],
)
def test_a_call_is_ended_only_at_c4_and_above_and_with_evidence(measure: Measure, calls: tuple[str, ...], refused: str) -> None:
    assert answer(suspicion(measure, calls=calls)).refused == refused


def test_a_call_of_an_exempt_account_runs_on_and_a_person_ends_none_by_hand() -> None:
    state = State()
    state.put_accounts(1, 1, {"alice": NOW_MS + 1})
    assert answer(suspicion(CALL), state).refused == "exempt"
    command = ImposeBlock(
        scope=Scope.CALL, value="call-1", destination_class=4, until_ms=NOW_MS + HOUR_MS, reason="because", by="anna", break_glass=False
    )
    with pytest.raises(OperatorError) as caught:
        impose_by_hand(command, State(), SETTINGS, NOW_MS, fresh_id="x")
    assert caught.value.reason == "bad_scope"


def test_both_sides_of_the_decision_stay_with_the_block_and_the_proposal() -> None:
    weighed = replace(suspicion(), loss_micro=36_000_000, false_block_micro=10_000_000)
    made = imposed(answer(weighed))
    assert (made.loss_micro, made.false_block_micro) == (36_000_000, 10_000_000)
    proposal = answer(replace(weighed, mode="propose")).propose
    assert proposal is not None
    assert (proposal.loss_micro, proposal.false_block_micro) == (36_000_000, 10_000_000)
    approved = approved_block(proposal, "anna", NOW_MS)
    assert (approved.loss_micro, approved.false_block_micro) == (36_000_000, 10_000_000)


def test_calls_of_the_evidence_end_together_with_the_block_but_not_with_a_proposal() -> None:
    ends = (CALL, Measure(scope="call", value="call-9", destination_class=4), Measure(scope="call", value="call-2", destination_class=3))
    both = replace(suspicion(calls=("call-1", "call-2")), ends=ends)
    made = imposed(answer(both))
    assert (made.scope, made.value, made.ends) == (Scope.CLASS, "alice", ("call-1",))
    assert answer(replace(both, mode="propose")).impose == ()
