"""What people may do, and when they need a second one."""

import pytest
from msgspec.structs import replace

from ringfence.base.errors import ConflictError, OperatorError
from ringfence.enforcement.commands import ImposeBlock
from ringfence.enforcement.manual import approvals_needed, approved_block, impose_by_hand, normal_exemption, normal_person
from ringfence.enforcement.model import Exemption, Scope
from ringfence.enforcement.policy import decide
from ringfence.enforcement.state import State
from ringfence.telephony.suspicion import Measure
from tests.unit.enforcement.samples import DAY_MS, HOUR_MS, NOW_MS, block, settings, suspicion

SETTINGS = settings()


def order(scope: Scope = Scope.ACCOUNT, value: str = "alice", **fields: object) -> ImposeBlock:
    wanted = {"until_ms": NOW_MS + HOUR_MS, "reason": "customer asked", "by": "anna", **fields}
    return ImposeBlock(scope=scope, value=value, **wanted)  # type: ignore[arg-type]


def test_a_person_blocks_one_account() -> None:
    (made,) = impose_by_hand(order(), State(), SETTINGS, NOW_MS, fresh_id="f-1").impose
    assert (made.origin, made.author, made.account, made.automatic, made.break_glass) == ("person:anna", "anna", "alice", False, False)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (order(Scope.RANGE, "4930"), "emergency"),
        (order(Scope.NUMBER, "49112"), "emergency"),
        (order(Scope.RANGE, "49"), "bad_length"),
        (order(Scope.SOURCE, "198.51.100.7"), "own_network"),
        (order(Scope.ACCOUNT, "hospital"), "exempt"),
        (order(until_ms=NOW_MS), "bad_until"),
        (order(until_ms=NOW_MS + 367 * DAY_MS), "bad_until"),
        (order(reason=""), "bad_reason"),
        (order(reason="x" * 501), "bad_reason"),
        (order(by=""), "bad_name"),
        (order(by="rule:D02@1"), "bad_name"),
        (order(Scope.RANGE, "4930", break_glass=True), "emergency"),
    ],
)
def test_the_invariants_bind_people_too(command: ImposeBlock, reason: str) -> None:
    state = State()
    state.put_networks([("198.51.100.0/24", "own_pool")])
    state.put_exemption(
        Exemption(exemption_id="x", scope="account", value="hospital", owner="o", until_ms=NOW_MS + 1, reason="r", author="a", created_ms=0)
    )
    with pytest.raises(OperatorError) as refusal:
        impose_by_hand(command, state, SETTINGS, NOW_MS, fresh_id="f-1")
    assert refusal.value.reason == reason


def test_what_is_in_force_is_prolonged_but_not_repeated() -> None:
    state = State()
    state.put_block(block(until_ms=NOW_MS + HOUR_MS))
    with pytest.raises(ConflictError):
        impose_by_hand(order(), state, SETTINGS, NOW_MS, fresh_id="f-1")
    assert impose_by_hand(order(until_ms=NOW_MS + 2 * HOUR_MS), state, SETTINGS, NOW_MS, fresh_id="f-1").impose


def test_a_mass_measure_needs_two_people_or_a_broken_glass() -> None:
    state = State()
    assert impose_by_hand(order(Scope.RANGE, "23276", subjects=100), state, SETTINGS, NOW_MS, fresh_id="f-1").impose
    wide = impose_by_hand(order(Scope.RANGE, "23276", subjects=101), state, SETTINGS, NOW_MS, fresh_id="f-1")
    assert wide.propose is not None
    assert not wide.impose
    assert (wide.propose.cause, wide.propose.approvals_needed, wide.propose.subjects, wide.propose.plan.seconds) == ("mass", 2, 101, 3600)
    (broken,) = impose_by_hand(order(Scope.RANGE, "23276", subjects=101, break_glass=True), state, SETTINGS, NOW_MS, fresh_id="f-1").impose
    assert broken.break_glass
    state.put_accounts(0, 200_000, {})
    assert impose_by_hand(order(Scope.RANGE, "23276", subjects=200), state, SETTINGS, NOW_MS, fresh_id="f-1").impose


def test_many_small_ones_of_one_person_are_a_mass_measure() -> None:
    state = State()
    for number in range(100):
        state.put_block(block(value=f"u{number}", block_id=f"b-{number}", author="anna"))
    assert impose_by_hand(order(), state, SETTINGS, NOW_MS, fresh_id="f-1").propose is not None
    assert impose_by_hand(order(by="bert"), state, SETTINGS, NOW_MS, fresh_id="f-1").impose
    proposal = decide(suspicion(mode="propose"), state, SETTINGS, NOW_MS).propose
    assert proposal is not None
    assert approvals_needed(proposal, "anna", state, NOW_MS) == 2
    assert approvals_needed(proposal, "bert", state, NOW_MS) == 1
    assert approvals_needed(proposal, "anna", state, NOW_MS + HOUR_MS) == 1


def test_an_approved_proposal_lasts_its_full_time_from_then_and_is_a_persons() -> None:
    proposal = decide(suspicion(mode="propose"), State(), SETTINGS, NOW_MS).propose
    assert proposal is not None
    made = approved_block(proposal, "bert", NOW_MS + 7000)
    assert (made.until_ms, made.author, made.origin, made.automatic) == (NOW_MS + 7000 + HOUR_MS, "bert", "rule:D02@1", False)
    assert (made.suspicion_id, made.threshold, made.calls) == ("a-1.2", 100, ("call-1",))


def test_an_approved_proposal_ends_the_running_calls_that_an_automatic_block_would() -> None:
    ends = (Measure(scope="call", value="call-1", destination_class=4), Measure(scope="call", value="call-2", destination_class=3))
    asked = replace(suspicion(mode="propose", calls=("call-1", "call-2")), ends=ends)
    proposal = decide(asked, State(), SETTINGS, NOW_MS).propose
    assert proposal is not None
    assert proposal.ends == ("call-1",), "C4 and above only"
    assert approved_block(proposal, "bert", NOW_MS + 7000).ends == ("call-1",)
    whole = decide(replace(asked, mode="act"), State(), SETTINGS, NOW_MS).impose[0]
    assert whole.ends == proposal.ends


@pytest.mark.parametrize(
    ("scope", "value", "wanted"),
    [
        (Scope.ACCOUNT, "hospital", ("account", "hospital")),
        (Scope.NUMBER, "+232", ("number", "232")),
        (Scope.SOURCE, "192.0.2.7/24", ("source", "192.0.2.0/24")),
    ],
)
def test_exemptions(scope: Scope, value: str, wanted: tuple[str, str]) -> None:
    assert normal_exemption(scope, value) == wanted


@pytest.mark.parametrize(
    ("scope", "value"), [(Scope.SOURCE, "0.0.0.0/0"), (Scope.SOURCE, "2001::/16"), (Scope.CLASS, "alice"), (Scope.RANGE, "232")]
)
def test_exemptions_that_would_switch_protection_off_are_refused(scope: Scope, value: str) -> None:
    with pytest.raises(OperatorError):
        normal_exemption(scope, value)


def test_names() -> None:
    assert normal_person(" Anna  Ott ") == "Anna Ott"
