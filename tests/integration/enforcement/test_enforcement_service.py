"""The copy of the record on a real PostgreSQL."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from ringfence.base.errors import NotFoundError, OperatorError
from ringfence.enforcement.events import (
    ApprovalGiven,
    BlockExpired,
    BlockImposed,
    BlockLifted,
    BreakerOpened,
    BreakerReset,
    Event,
    ExemptionEnded,
    ExemptionMade,
    ProposalApproved,
    ProposalExpired,
    ProposalMade,
    ProposalRejected,
)  # fmt: skip
from ringfence.enforcement.model import Approval, Block, BlockPlan, Breaker, EdgeReport, Exemption, Proposal, Scope
from ringfence.enforcement.service import BlockFilter, EnforcementService, cursor_of, happening_of
from ringfence.runtime.db import Database

START_MS = 1_790_000_000_000
HOUR_MS = 3_600_000


def run(url: str, body: Callable[[EnforcementService], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Database(url, name="test") as db:
            await body(EnforcementService(db, lambda: START_MS + 1_000))

    asyncio.run(main())


def block(number: int, **changes: object) -> Block:
    fields: dict[str, object] = {
        "block_id": f"b-{number:03}", "scope": Scope.ACCOUNT, "value": f"acc{number}", "imposed_ms": START_MS + number,
        "until_ms": START_MS + HOUR_MS, "origin": "rule:D02@1", "author": "rule:D02@1", "reason": "too much", "alert_id": f"a-{number:03}",
        "account": f"acc{number}", "calls": ("c1", "c2"),
    }  # fmt: skip
    return Block(**(fields | changes))  # type: ignore[arg-type]


def proposal(**changes: object) -> Proposal:
    fields: dict[str, object] = {
        "proposal_id": "p-1", "cause": "mass", "plan": BlockPlan(scope=Scope.RANGE, value="23276", seconds=3600), "approvals_needed": 2,
        "origin": "person:anna", "reason": "all of them", "created_ms": START_MS, "until_ms": START_MS + HOUR_MS, "account": "acc1",
    }  # fmt: skip
    return Proposal(**(fields | changes))  # type: ignore[arg-type]


EXEMPTION = Exemption(
    exemption_id="e-1", scope="account", value="hospital", owner="anna", until_ms=START_MS + HOUR_MS, reason="alarm line", author="bert",
    created_ms=START_MS,
)  # fmt: skip


def test_a_person_has_one_spelling_whatever_they_did() -> None:
    events = (
        BlockImposed(block=block(1, origin="person:anna", author="anna")),
        BlockLifted(block=block(1, ended_by="anna")),
        ProposalMade(proposal=proposal()),
        ProposalRejected(proposal=proposal(decided_by="anna")),
        ApprovalGiven(approval=Approval(proposal_id="p-1", by="anna", at_ms=START_MS)),
    )
    assert {happening_of(event, START_MS).person for event in events} == {"anna"}
    assert happening_of(ProposalMade(proposal=proposal(origin="rule:D02@1")), START_MS).person == "rule:D02@1"


def test_announcements_in_any_order_and_twice_end_in_the_newest_state(database_url: str) -> None:
    async def body(enforcement: EnforcementService) -> None:
        lifted = block(1, state="lifted", ended_ms=START_MS + 9, ended_by="anna", ended_reason="customer called")
        events: list[tuple[Event, int]] = [
            (BlockImposed(block=block(1)), 1), (BlockLifted(block=lifted), 5), (BlockImposed(block=block(2)), 2),
            (BlockExpired(block=block(2, state="expired", ended_ms=START_MS + HOUR_MS)), 8),
            (ProposalMade(proposal=proposal()), 3), (ApprovalGiven(approval=Approval(proposal_id="p-1", by="anna", at_ms=START_MS)), 1),
            (ApprovalGiven(approval=Approval(proposal_id="p-1", by="bert", at_ms=START_MS + 1)), 2),
            (ProposalApproved(proposal=proposal(state="approved", decided_by="bert", decided_ms=START_MS + 1)), 7),
            (ExemptionMade(exemption=EXEMPTION), 4),
            (BreakerOpened(breaker=Breaker(kind="account", opened_ms=START_MS, subjects=51, limit=50)), 6),
            (BreakerReset(breaker=Breaker(kind="account", reset_by="anna", reset_reason="checked")), 9),
        ]  # fmt: skip
        deliveries = events * 2
        random.Random(7).shuffle(deliveries)
        news = [await enforcement.record(event, revision, START_MS + revision) for event, revision in deliveries]
        assert sum(news) == len(events)

        assert await enforcement.block("b-001") == lifted
        assert (await enforcement.block("b-002")).state == "expired"
        found, approvals = await enforcement.proposal("p-1")
        assert found.state == "approved"
        assert [approval.by for approval in approvals] == ["anna", "bert"]
        assert await enforcement.breakers() == (Breaker(kind="account", reset_by="anna", reset_reason="checked"),)
        history = await enforcement.history(account="acc1")
        assert [(line.name, line.person) for line in history] == [
            ("proposal_approved", "bert"), ("block_lifted", "anna"), ("proposal_made", "anna"), ("block_imposed", "rule:D02@1"),
        ]  # fmt: skip
        assert [line.name for line in await enforcement.history(record_id="b-002")] == ["block_expired", "block_imposed"]
        assert len(await enforcement.history(limit=500)) == len(events)

    run(database_url, body)


def test_every_kind_of_announcement_has_its_line(database_url: str) -> None:
    async def body(enforcement: EnforcementService) -> None:
        ended = Exemption(
            **{name: getattr(EXEMPTION, name) for name in Exemption.__struct_fields__} | {"ended_ms": START_MS, "ended_by": "anna"}
        )
        events: list[Event] = [
            ProposalRejected(proposal=proposal(state="rejected", decided_by="anna", decided_reason="no")),
            ProposalExpired(proposal=proposal(proposal_id="p-2", state="expired")),
            ExemptionEnded(exemption=ended),
        ]
        for revision, event in enumerate(events, start=1):
            assert await enforcement.record(event, revision, START_MS)
        assert {(line.name, line.person, line.reason) for line in await enforcement.history()} == {
            ("proposal_rejected", "anna", "no"), ("proposal_expired", "", ""), ("exemption_ended", "anna", ""),
        }  # fmt: skip
        assert await enforcement.exemptions() == ()
        assert await enforcement.exemptions(running=False) == (ended,)

    run(database_url, body)


def test_blocks_are_filtered_searched_and_paged(database_url: str) -> None:
    async def body(enforcement: EnforcementService) -> None:
        for number in range(30):
            await enforcement.copy(block(number), number + 1)
        await enforcement.copy(block(40, scope=Scope.RANGE, value="23276", account="acc1", alert_id="a-x"), 40)
        await enforcement.copy(block(41, scope=Scope.CLASS, value="a%b_c", account="", destination_class=3), 41)
        await enforcement.copy(block(42, state="lifted"), 42)

        async def listed(**wanted: object) -> list[str]:
            return [found.block_id for found in await enforcement.blocks(BlockFilter(**wanted), limit=500)]  # type: ignore[arg-type]

        assert await listed(state="lifted") == ["b-042"]
        assert await listed(scope=Scope.RANGE) == ["b-040"]
        assert await listed(account="acc1") == ["b-040", "b-001"]
        assert await listed(account="a%b_c") == ["b-041"], "a class block belongs to its account"
        assert await listed(alert_id="a-x") == ["b-040"]
        assert await listed(search="+2327") == ["b-040"]
        assert await listed(search="a%b_c") == ["b-041"]
        assert await listed(search="a%") == ["b-041"], "what a person typed means itself"
        assert await listed(search="acc2") == [
            "b-029",
            "b-028",
            "b-027",
            "b-026",
            "b-025",
            "b-024",
            "b-023",
            "b-022",
            "b-021",
            "b-020",
            "b-002",
        ]

        seen: list[str] = []
        before = ""
        while page := await enforcement.blocks(BlockFilter(), before=before, limit=7):
            seen += [found.block_id for found in page]
            before = cursor_of(page[-1])
        assert seen == sorted(seen, reverse=True)
        assert len(seen) == 33
        assert await enforcement.count_blocks() == {Scope.ACCOUNT: 30, Scope.CLASS: 1, Scope.RANGE: 1}
        with pytest.raises(OperatorError):
            await enforcement.blocks(BlockFilter(), before="nonsense")
        with pytest.raises(NotFoundError):
            await enforcement.block("b-999")

    run(database_url, body)


def test_proposals_and_edges(database_url: str) -> None:
    async def body(enforcement: EnforcementService) -> None:
        await enforcement.copy(proposal(), 1)
        await enforcement.copy(proposal(proposal_id="p-2", until_ms=START_MS), 2)
        assert [found.proposal_id for found, _ in await enforcement.proposals()] == ["p-1"], "one whose time is over waits for nobody"
        assert len(await enforcement.proposals(state="")) == 2
        assert await enforcement.revisions("proposals") == {"p-1": 1, "p-2": 2}
        with pytest.raises(NotFoundError):
            await enforcement.proposal("p-9")

        newer = EdgeReport(edge="kamailio-1", at_ms=START_MS + 5, reachable=True, agrees=True)
        await enforcement.copy_edge(newer)
        await enforcement.copy_edge(EdgeReport(edge="kamailio-1", at_ms=START_MS, reachable=False))
        assert await enforcement.edges() == (newer,)
        await enforcement.remove_edge("kamailio-1")
        assert await enforcement.edges() == ()

    run(database_url, body)
