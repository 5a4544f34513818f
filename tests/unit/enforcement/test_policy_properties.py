"""Whatever suspicions and commands come in whatever order: no invariant ever breaks.

The machine does what the policy process does with decisions, on the pure parts alone, and checks everything after every step.
"""

import hypothesis.strategies as st
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from ringfence.base.errors import ConflictError, OperatorError
from ringfence.enforcement import breaker
from ringfence.enforcement.breaker import WINDOW_MS, kind_of, limit_for, mass_limit_for
from ringfence.enforcement.commands import ImposeBlock
from ringfence.enforcement.manual import approvals_needed, approved_block, impose_by_hand, may_be_blocked, release_of
from ringfence.enforcement.model import Approval, Block, Breaker, Exemption, Scope, normal_network
from ringfence.enforcement.policy import GRACE_FACTOR, GRACE_MS, Decision, decide
from ringfence.enforcement.projection import Place, project
from ringfence.enforcement.state import State
from ringfence.telephony.emergency import emergency_calls
from ringfence.telephony.suspicion import Measure, Suspicion
from tests.unit.enforcement.samples import HOUR_MS, NOW_MS, settings

SETTINGS = settings()
EMERGENCY = emergency_calls("49", ("30", "89"), ("110", "112"))
OWN = "198.51.100.0/24"
ACCOUNTS = ["alice", "bob", *(f"u{number}" for number in range(60))]
DIGITS = st.one_of(
    st.sampled_from(["49110", "110", "4930110", "49116117", "4930", "491", "49", "112", "23276", "23276123", "23276123456", "882"]),
    st.from_regex(r"[1-9][0-9]{1,15}", fullmatch=True),
)
SOURCES = st.sampled_from(["198.51.100.7", "203.0.113.9", "203.0.113.10", "2001:db8:1:2::9", "10.0.0.0/8"])
MEASURES = st.one_of(
    st.builds(Measure, scope=st.sampled_from(["number", "range"]), value=DIGITS),
    st.builds(Measure, scope=st.just("class"), value=st.sampled_from(ACCOUNTS), destination_class=st.integers(0, 6)),
    st.builds(Measure, scope=st.just("account"), value=st.sampled_from(ACCOUNTS)),
    st.builds(Measure, scope=st.just("source"), value=SOURCES),
)
PEOPLE = st.sampled_from(["anna", "bert"])
SPELLINGS = [s.replace("x", d) for s in SETTINGS.guard.spellings for d in "07"]


class PolicyMachine(RuleBasedStateMachine):
    """One writer, its record, and what an edge would show."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.now_ms = NOW_MS
        self.number = 0
        self.delivered: list[Suspicion] = []
        self.least = breaker.MIN_SUBJECTS
        breaker.MIN_SUBJECTS = 3  # Fifty different subjects would be rare in fifty steps.

    def teardown(self) -> None:
        breaker.MIN_SUBJECTS = self.least

    @initialize()
    def own_networks(self) -> None:
        self.state.put_networks([(OWN, "own_pool"), ("203.0.113.10/32", "cgnat")])

    # -- what happens --------------------------------------------------------------------------------------------------------------

    @rule(
        measures=st.lists(MEASURES, min_size=1, max_size=3),
        rule_name=st.sampled_from(["D01", "D02"]),
        mode=st.sampled_from(["act", "act", "propose", "observe"]),
        account=st.sampled_from(ACCOUNTS),
        observed=st.integers(1, 500),
        calls=st.sets(st.sampled_from("pqrs"), max_size=2),
    )
    def suspect(self, measures: list[Measure], rule_name: str, mode: str, account: str, observed: int, calls: set[str]) -> None:
        self.suspect_one(measures, rule_name, mode, account, observed, calls)

    def suspect_one(self, measures: list[Measure], rule_name: str, mode: str, account: str, observed: int, calls: set[str]) -> None:
        self.number += 1
        suspected = Suspicion(
            suspicion_id=f"a-{self.number}.2",
            alert_id=f"a-{self.number}",
            rule=rule_name,
            rule_version=1,
            mode=mode,  # type: ignore[arg-type]
            account=account,
            measures=tuple(measures),
            level=2,
            score=80,
            observed=observed,
            threshold=100,
            cost_micro=1,
            calls=tuple(sorted(calls)),
            reason="because",
            at_ms=self.now_ms,
        )
        self.deliver(suspected)
        self.delivered.append(suspected)

    @rule(scope=st.sampled_from(["class", "source"]), count=st.integers(2, 6), first=st.integers(0, 50))
    def storm(self, scope: str, count: int, first: int) -> None:
        for number in range(first, first + count):
            value = f"u{number}" if scope == "class" else f"192.0.2.{number}"
            measure = Measure(scope=scope, value=value, destination_class=3 if scope == "class" else 0)  # type: ignore[arg-type]
            self.suspect_one([measure], "D01", "act", f"u{number}", 300, set())

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def redeliver(self, data: st.DataObject) -> None:
        suspected = data.draw(st.sampled_from(self.delivered))
        answered = self.state.answered(suspected.suspicion_id)
        before = dict(self.state.blocks), dict(self.state.proposals)
        self.deliver(suspected)
        if answered:
            assert (self.state.blocks, self.state.proposals) == before

    def deliver(self, suspected: Suspicion) -> None:
        until = {block.block_id: block.until_ms for block in self.state.blocks.values()}
        recent_before = {kind: self.automatic_subjects(kind) for kind in ("account", "source")}
        open_before = {kind: breaker.is_open for kind, breaker in self.state.breakers.items()}
        decision = decide(suspected, self.state, SETTINGS, self.now_ms)
        assert sum((bool(decision.impose), decision.propose is not None, bool(decision.refused))) == 1
        for made in decision.impose:
            assert suspected.mode == "act"
            assert made.block_id not in self.state.blocks
            kind = kind_of(made.scope, made.destination_class)
            if kind is not None:
                assert not open_before[kind]
                assert len(recent_before[kind] | {made.value}) <= limit_for(self.state.accounts)
            assert not self.forbidden_by_grace(suspected, made)
            assert not normal_network("203.0.113.10").overlaps(normal_network(made.value)) if made.scope is Scope.SOURCE else True
            assert made.hits <= 2
            assert made.until_ms - made.imposed_ms <= 24 * HOUR_MS
        self.record(decision)
        for block_id, before in until.items():  # Nothing is renewed by what our own block refused.
            assert self.state.blocks[block_id].until_ms == before

    def automatic_subjects(self, kind: str) -> set[str]:
        since_ms = max(self.now_ms - WINDOW_MS, self.state.breakers[kind].reset_ms)  # type: ignore[index]
        return {
            block.value
            for block in self.state.blocks.values()
            if block.automatic and kind_of(block.scope, block.destination_class) == kind and block.imposed_ms >= since_ms
        }

    def forbidden_by_grace(self, suspected: Suspicion, made: Block) -> bool:
        for release in self.state.releases.values():
            if self.now_ms >= release.at_ms + GRACE_MS:
                continue
            same = (release.scope, release.value) == (made.scope, made.value) or (
                release.account == suspected.account and release.rule == suspected.rule
            )
            if same and suspected.observed <= GRACE_FACTOR * 100:
                return True
        return False

    def record(self, decision: Decision) -> None:
        if decision.opened is not None:
            self.state.put_breaker(decision.opened)
        for made in decision.impose:
            self.state.put_block(made)
        if decision.propose is not None:
            self.state.put_proposal(decision.propose)

    @rule(
        target_scope=st.sampled_from(Scope),
        digits=DIGITS,
        account=st.sampled_from(ACCOUNTS),
        source=SOURCES,
        destination_class=st.integers(0, 6),
        minutes=st.integers(-1, 90),
        by=PEOPLE,
        subjects=st.sampled_from([1, 1, 101]),
        glass=st.booleans(),
    )
    def impose(
        self,
        target_scope: Scope,
        digits: str,
        account: str,
        source: str,
        destination_class: int,
        minutes: int,
        by: str,
        subjects: int,
        glass: bool,
    ) -> None:
        value = {Scope.NUMBER: digits, Scope.RANGE: digits, Scope.SOURCE: source}.get(target_scope, account)
        self.number += 1
        command = ImposeBlock(
            scope=target_scope,
            value=value,
            destination_class=destination_class if target_scope is Scope.CLASS else 0,
            until_ms=self.now_ms + minutes * 60_000,
            reason="because",
            by=by,
            subjects=subjects,
            break_glass=glass,
        )
        touched = subjects + self.state.touched_by(by, self.now_ms - WINDOW_MS)
        try:
            decision = impose_by_hand(command, self.state, SETTINGS, self.now_ms, fresh_id=f"f-{self.number}")
        except (OperatorError, ConflictError):
            return
        if touched > mass_limit_for(self.state.accounts):
            assert decision.propose is not None or decision.impose[0].break_glass
        self.record(decision)

    @precondition(lambda self: self.state.open_proposals)
    @rule(data=st.data(), by=PEOPLE)
    def approve(self, data: st.DataObject, by: str) -> None:
        proposal = data.draw(st.sampled_from(sorted(self.state.open_proposals.values(), key=lambda p: p.proposal_id)))
        try:
            may_be_blocked(proposal.plan.scope, proposal.plan.value, self.state, SETTINGS, self.now_ms)
        except OperatorError:
            return
        self.state.put_approval(Approval(proposal_id=proposal.proposal_id, by=by, at_ms=self.now_ms))
        people = self.state.approvals[proposal.proposal_id]
        if len(people) < approvals_needed(proposal, by, self.state, self.now_ms):
            return
        assert proposal.cause != "mass" or len(people) >= 2
        made = approved_block(proposal, by, self.now_ms)
        self.state.put_block(made)
        self.state.put_proposal(replace(proposal, state="approved", decided_ms=self.now_ms, block_id=made.block_id))

    @precondition(lambda self: self.state.active)
    @rule(data=st.data())
    def lift(self, data: st.DataObject) -> None:
        held = data.draw(st.sampled_from(sorted(self.state.active.values(), key=lambda b: b.block_id)))
        if held.in_force(self.now_ms):
            self.state.put_release(release_of(held, "anna", self.now_ms))
            self.state.put_block(replace(held, state="lifted", ended_ms=self.now_ms, ended_by="anna"))

    @rule(account=st.sampled_from(["alice", "bob"]), minutes=st.integers(1, 60))
    def exempt(self, account: str, minutes: int) -> None:
        self.number += 1
        self.state.put_exemption(
            Exemption(
                exemption_id=f"x-{self.number}",
                scope="account",
                value=account,
                owner="Dr. Ott",
                until_ms=self.now_ms + minutes * 60_000,
                reason="alarm line",
                author="anna",
                created_ms=self.now_ms,
            )
        )

    @rule(kind=st.sampled_from(["account", "source"]))
    def reset(self, kind: str) -> None:
        if self.state.breakers[kind].is_open:  # type: ignore[index]
            self.state.put_breaker(Breaker(kind=kind, reset_ms=self.now_ms, reset_by="anna", reset_reason="looked"))  # type: ignore[arg-type]

    @rule(minutes=st.one_of(st.integers(0, 3), st.integers(0, 2000)))
    def wait(self, minutes: int) -> None:
        self.now_ms += minutes * 60_000
        for held in [block for block in self.state.active.values() if block.until_ms <= self.now_ms]:
            self.state.put_block(replace(held, state="expired", ended_ms=held.until_ms))

    # -- what holds ----------------------------------------------------------------------------------------------------------------

    @invariant()
    def the_edge_never_refuses_what_it_must_not(self) -> None:
        projected = project(self.state.blocks.values(), self.now_ms)
        for place, held in projected.items():
            assert held.until_ms > self.now_ms
            if place.table == "rf_num":
                assert 3 <= len(place.key) <= 15
                assert not EMERGENCY.recognises(f"+{place.key}")
            if place.key.startswith("s:"):
                assert not normal_network(place.key[2:]).overlaps(normal_network(OWN)) if ":" not in place.key[2:] else True
            if held.value.startswith("C"):
                assert held.value[1] in "2345"
        for spelling in SPELLINGS:
            number = spelling.replace("x", "3")
            for length in range(3, min(15, len(number)) + 1):
                assert Place("rf_num", number[:length]) not in projected

    @invariant()
    def an_exempt_account_gets_no_new_automatic_block(self) -> None:
        for exemption in self.state.exemptions.values():
            for held in self.state.of_target(Scope.ACCOUNT, exemption.value):
                assert not (held.automatic and exemption.created_ms < held.imposed_ms < exemption.until_ms)


PolicyMachine.TestCase.settings = hypothesis_settings(max_examples=60, stateful_step_count=50, deadline=None)
test_policy_machine = PolicyMachine.TestCase
