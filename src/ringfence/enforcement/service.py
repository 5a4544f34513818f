"""Blocks, proposals, exemptions and edges as PostgreSQL knows them: a copy to read, to search and to remember.

The worker writes it from announcements and from the buckets; surfaces read it. Nothing here can impose or lift: that is a command to policy
(`commands`). The one thing to know: every write is idempotent by id and revision, so the copy can be built again at any time.
"""

from dataclasses import dataclass
from typing import Literal, assert_never

from ringfence.base.clock import Clock, system_clock
from ringfence.base.errors import NotFoundError, OperatorError
from ringfence.enforcement.events import (
    ApprovalGiven,
    BlockExpired,
    BlockImposed,
    BlockLifted,
    BreakerOpened,
    BreakerReset,
    EntryRestored,
    Event,
    ExemptionEnded,
    ExemptionMade,
    ProposalApproved,
    ProposalExpired,
    ProposalMade,
    ProposalRejected,
    id_of,
)
from ringfence.enforcement.manual import release_of
from ringfence.enforcement.model import MAX_ACCOUNT_BYTES, Approval, Block, Breaker, EdgeReport, Exemption, Proposal, Release, Scope
from ringfence.enforcement.policy import GRACE_MS
from ringfence.enforcement.store import EnforcementStore
from ringfence.runtime.db import Database

MAX_PAGE = 500
"""Entries of one answer at the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One line of history: what happened to which entry, by whom, why."""

    name: str
    """Tag of the event, such as `block_imposed`."""
    record_id: str
    at_ms: int
    account: str
    value: str
    person: str
    """`rule:D02@1`, a person's name, or empty when time did it."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What the copy knows to hold now: what a new JetStream lacks."""

    blocks: tuple[Block, ...]
    exemptions: tuple[Exemption, ...]
    releases: tuple[Release, ...]
    """Made from the blocks that people lifted; the copy keeps no others."""
    proposals: tuple[Proposal, ...]
    approvals: tuple[Approval, ...]
    breakers: tuple[Breaker, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFilter:
    """Which blocks; empty fields match everything. `search` is the beginning of a value, or an account."""

    state: str = ""
    scope: Scope | None = None
    account: str = ""
    alert_id: str = ""
    search: str = ""


class EnforcementService:
    """The copy of the record. `db` is an open `Database`."""

    def __init__(self, db: Database, clock: Clock = system_clock) -> None:
        self._db = db
        self._clock = clock

    # For the worker

    async def record(self, event: Event, revision: int, at_ms: int) -> bool:
        """Copy what an announcement says and add it to the history; whether it was news."""
        async with self._db.transaction() as connection:
            store = EnforcementStore(connection)
            match event:
                case BlockImposed() | BlockLifted() | BlockExpired():
                    await store.put_block(event.block, revision)
                case ProposalMade() | ProposalApproved() | ProposalRejected() | ProposalExpired():
                    await store.put_proposal(event.proposal, revision)
                case ApprovalGiven():
                    await store.put_approval(event.approval)
                case ExemptionMade() | ExemptionEnded():
                    await store.put_exemption(event.exemption, revision)
                case BreakerOpened() | BreakerReset():
                    await store.put_breaker(event.breaker, revision)
                case EntryRestored():
                    await _put(store, event.entry, revision)
                case _:
                    assert_never(event)
            line = happening_of(event, at_ms)
            fresh = await store.rows(
                "add_history",
                name=line.name,
                record_id=line.record_id,
                revision=revision,
                at_ms=line.at_ms,
                account=line.account,
                value=line.value,
                person=line.person,
                reason=line.reason,
            )
            return bool(fresh)

    async def copy(self, entry: Block | Exemption | Proposal | Approval | Breaker, revision: int) -> bool:
        """Copy an entry of a bucket, without history; whether it was news."""
        async with self._db.transaction() as connection:
            return await _put(EnforcementStore(connection), entry, revision)

    async def begin_anew(self) -> None:
        """JetStream was made anew and counts revisions from one: any entry of it is newer than the copy. What is over has expired."""
        async with self._db.transaction() as connection:
            store = EnforcementStore(connection)
            for query in ("reset_blocks", "reset_exemptions", "reset_proposals", "reset_breakers"):
                await store.run(query)
            await store.run("expire_blocks", now_ms=self._clock())

    async def in_force(self) -> InForce:
        """Everything of the copy that holds now."""
        now_ms = self._clock()
        async with self._db.transaction() as connection:
            store = EnforcementStore(connection)
            lifted = await store.blocks("blocks_lifted_since", since_ms=now_ms - GRACE_MS)
            proposals = await store.proposals("proposals_open", now_ms=now_ms)
            return InForce(
                blocks=await store.blocks("blocks_in_force", now_ms=now_ms),
                exemptions=await store.exemptions(running=True, value="", now_ms=now_ms, limit=None),
                # What policy itself lifted, because a fact changed, began no grace.
                releases=tuple(release_of(block, block.ended_by, block.ended_ms) for block in lifted if block.ended_by != "policy"),
                proposals=proposals,
                approvals=await store.approvals([proposal.proposal_id for proposal in proposals]),
                breakers=await store.breakers(),
            )

    async def revisions(self, bucket: Literal["blocks", "exemptions", "proposals"]) -> dict[str, int]:
        """The revision of each entry that the copy holds, by id: what a bucket need not send again."""
        query = {"blocks": "block_revisions", "exemptions": "exemption_revisions", "proposals": "proposal_revisions"}[bucket]
        async with self._db.transaction() as connection:
            return {row["id"]: row["revision"] for row in await EnforcementStore(connection).rows(query)}

    async def copy_edge(self, report: EdgeReport) -> None:
        """Copy the last report of an edge."""
        async with self._db.transaction() as connection:
            await EnforcementStore(connection).put_edge(report)

    async def remove_edge(self, edge: str) -> None:
        """Forget an edge that is no longer configured."""
        async with self._db.transaction() as connection:
            await EnforcementStore(connection).run("remove_edge", edge=edge)

    # For surfaces

    async def blocks(self, wanted: BlockFilter, *, before: str = "", limit: int = 100) -> tuple[Block, ...]:
        """Blocks newest first; `before` is `cursor_of` the last one seen."""
        before_ms, before_id = _split(before)
        async with self._db.transaction() as connection:
            return await EnforcementStore(connection).blocks(
                "list_blocks",
                state=wanted.state,
                scope=wanted.scope.value if wanted.scope else "",
                account=wanted.account,
                alert_id=wanted.alert_id,
                search=wanted.search.strip().removeprefix("+"),
                beginning=_pattern(wanted.search),
                before_ms=before_ms,
                before_id=before_id,
                limit=max(1, min(limit, MAX_PAGE)),
            )

    async def block(self, block_id: str) -> Block:
        """One block; NotFoundError when there is none."""
        async with self._db.transaction() as connection:
            found = await EnforcementStore(connection).blocks("find_block", block_id=block_id)
        if not found:
            raise NotFoundError("there is no such block; list the blocks to see their ids", reason="no_block")
        return found[0]

    async def count_blocks(self) -> dict[Scope, int]:
        """Blocks in force by scope; scopes without one are absent."""
        async with self._db.transaction() as connection:
            rows = await EnforcementStore(connection).rows("count_blocks", now_ms=self._clock())
        return {Scope(row["scope"]): row["blocks"] for row in rows}

    async def exemptions(self, *, running: bool = True, value: str = "", limit: int = MAX_PAGE) -> tuple[Exemption, ...]:
        """Exemptions newest first; `running` leaves out those that ended."""
        async with self._db.transaction() as connection:
            return await EnforcementStore(connection).exemptions(
                running=running, value=value, now_ms=self._clock(), limit=max(1, min(limit, MAX_PAGE))
            )

    async def proposals(
        self, *, state: str = "open", account: str = "", before: str = "", limit: int = 100
    ) -> tuple[tuple[Proposal, tuple[Approval, ...]], ...]:
        """Proposals newest first, each with the approvals it has; `state` empty for all."""
        before_ms, before_id = _split(before)
        async with self._db.transaction() as connection:
            store = EnforcementStore(connection)
            found = await store.proposals(
                "list_proposals",
                state=state,
                account=account,
                now_ms=self._clock(),
                before_ms=before_ms,
                before_id=before_id,
                limit=max(1, min(limit, MAX_PAGE)),
            )
            approvals = await store.approvals([proposal.proposal_id for proposal in found])
        return tuple((proposal, tuple(yes for yes in approvals if yes.proposal_id == proposal.proposal_id)) for proposal in found)

    async def proposal(self, proposal_id: str) -> tuple[Proposal, tuple[Approval, ...]]:
        """One proposal with its approvals; NotFoundError when there is none."""
        async with self._db.transaction() as connection:
            store = EnforcementStore(connection)
            found = await store.proposals("find_proposal", proposal_id=proposal_id)
            approvals = await store.approvals([proposal_id])
        if not found:
            raise NotFoundError("there is no such proposal; list the proposals to see their ids", reason="no_proposal")
        return found[0], approvals

    async def breakers(self) -> tuple[Breaker, ...]:
        """The breakers that ever opened."""
        async with self._db.transaction() as connection:
            return await EnforcementStore(connection).breakers()

    async def edges(self) -> tuple[EdgeReport, ...]:
        """The last report of each edge."""
        async with self._db.transaction() as connection:
            return await EnforcementStore(connection).edges()

    async def history(self, *, account: str = "", record_id: str = "", limit: int = 100) -> tuple[Happening, ...]:
        """What happened to an account, or to one entry, newest first."""
        async with self._db.transaction() as connection:
            rows = await EnforcementStore(connection).rows(
                "list_history", account=account, record_id=record_id, limit=max(1, min(limit, MAX_PAGE))
            )
        return tuple(Happening(**row) for row in rows)


def cursor_of(entry: Block | Proposal) -> str:
    """Where the next page begins after this entry."""
    if isinstance(entry, Block):
        return f"{entry.imposed_ms}:{entry.block_id}"
    return f"{entry.created_ms}:{entry.proposal_id}"


def happening_of(event: Event, at_ms: int) -> Happening:
    """The line of history of an announcement that was stored at `at_ms`."""
    match event:
        case BlockImposed(block=block):
            facts = (block.block_id, block.account, block.value, block.author, block.reason)
        case BlockLifted(block=block) | BlockExpired(block=block):
            facts = (block.block_id, block.account, block.value, block.ended_by, block.ended_reason)
        case ProposalMade(proposal=made):
            # An origin tells people from rules; here a person is called what every other line calls them.
            facts = (made.proposal_id, made.account, made.plan.value, made.origin.removeprefix("person:"), made.reason)
        case ProposalApproved(proposal=over) | ProposalRejected(proposal=over) | ProposalExpired(proposal=over):
            facts = (over.proposal_id, over.account, over.plan.value, over.decided_by, over.decided_reason)
        case ApprovalGiven(approval=yes):
            facts = (yes.proposal_id, "", "", yes.by, "")
        case ExemptionMade(exemption=exemption):
            facts = (exemption.exemption_id, _owner(exemption), exemption.value, exemption.author, exemption.reason)
        case ExemptionEnded(exemption=exemption):
            facts = (exemption.exemption_id, _owner(exemption), exemption.value, exemption.ended_by, "")
        case BreakerOpened(breaker=breaker):
            facts = (breaker.kind, "", breaker.kind, "", f"{breaker.subjects} subjects, the limit is {breaker.limit}")
        case BreakerReset(breaker=breaker):
            facts = (breaker.kind, "", breaker.kind, breaker.reset_by, breaker.reset_reason)
        case EntryRestored():
            facts = _restored(event.entry)
        case _:
            assert_never(event)
    record_id, account, value, person, reason = facts
    name = str(type(event).__struct_config__.tag)
    return Happening(name=name, record_id=record_id, at_ms=at_ms, account=account, value=value, person=person, reason=reason)


def _restored(entry: Block | Exemption | Proposal | Breaker) -> tuple[str, str, str, str, str]:
    match entry:
        case Block():
            account, value = entry.account, entry.value
        case Exemption():
            account, value = _owner(entry), entry.value
        case Proposal():
            account, value = entry.account, entry.plan.value
        case Breaker():
            account, value = "", entry.kind
    return id_of(entry), account, value, "role:worker", "JetStream was made anew; this came back from the copy in PostgreSQL"


async def _put(store: EnforcementStore, entry: Block | Exemption | Proposal | Approval | Breaker, revision: int) -> bool:
    match entry:
        case Block():
            return await store.put_block(entry, revision)
        case Exemption():
            return await store.put_exemption(entry, revision)
        case Proposal():
            return await store.put_proposal(entry, revision)
        case Approval():
            return await store.put_approval(entry)
        case Breaker():
            return await store.put_breaker(entry, revision)


def _owner(exemption: Exemption) -> str:
    return exemption.value if exemption.scope == "account" else ""


def _split(cursor: str) -> tuple[int, str]:
    """Time and id of a cursor; OperatorError when it is none of ours."""
    if not cursor:
        return 0, ""
    time, colon, name = cursor.partition(":")
    if not colon or not (time.isascii() and time.isdigit() and len(time) <= 15) or not name.isprintable():
        raise OperatorError("this page does not exist; start at the first one", reason="bad_cursor")
    return int(time), name


def _pattern(search: str) -> str:
    """The beginning of a value, for LIKE: what a person typed means itself."""
    plain = search.strip().removeprefix("+")[:MAX_ACCOUNT_BYTES]
    return plain.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
