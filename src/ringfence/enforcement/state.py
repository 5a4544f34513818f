"""Everything policy knows, in memory: the record (blocks, exemptions, releases, proposals, breakers) and the facts it judges by.

It is a cache of the KV buckets with the indexes that decisions need. It decides nothing, writes nothing and asks no clock; putting the same
entry twice changes nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from ringfence.enforcement.breaker import RecentSubjects, counts
from ringfence.enforcement.model import (
    Approval,
    Block,
    Breaker,
    BreakerKind,
    Exemption,
    Proposal,
    Release,
    Scope,
    normal_network,
)

Target = tuple[Scope, str]
NUMBER_SCOPES = frozenset({Scope.NUMBER, Scope.RANGE})
OWN_KINDS = frozenset({"own_pool", "peer", "monitoring"})
"""Networks whose addresses are never blocked; cgnat may be, by a person."""
SHARED_KIND = "cgnat"


class Networks:
    """The operator's own address ranges by kind."""

    def __init__(self, networks: Iterable[tuple[str, str]] = ()) -> None:
        self._all = tuple((normal_network(prefix), kind) for prefix, kind in networks)

    def kinds_of(self, value: str) -> frozenset[str]:
        """Kinds of all own ranges that share an address with this network."""
        wanted = normal_network(value)
        # Two networks of different versions share nothing; `overlaps` compares integers and would not notice.
        return frozenset(kind for own, kind in self._all if own.version == wanted.version and own.overlaps(wanted))


class State:
    """The record and the facts, indexed."""

    def __init__(self) -> None:
        self.blocks: dict[str, Block] = {}
        self.active: dict[str, Block] = {}
        self.active_numbers = 0
        self.exemptions: dict[str, Exemption] = {}
        self.releases: dict[str, Release] = {}
        self.proposals: dict[str, Proposal] = {}
        self.open_proposals: dict[str, Proposal] = {}
        self.approvals: dict[str, dict[str, Approval]] = defaultdict(dict)
        self.breakers: dict[BreakerKind, Breaker] = {"account": Breaker(kind="account"), "source": Breaker(kind="source")}
        self.networks = Networks()
        self.recent: dict[BreakerKind, RecentSubjects] = {"account": RecentSubjects(), "source": RecentSubjects()}
        self._accounts: dict[int, int] = {}
        self._exempt_of_slot: dict[int, Mapping[str, int]] = {}
        self._exempt_until_ms: dict[str, int] = {}
        self._by_target: dict[Target, dict[str, Block]] = defaultdict(dict)
        self._by_suspicion: dict[str, set[str]] = defaultdict(set)

    # -- what the record says ------------------------------------------------------------------------------------------------------

    def put_block(self, block: Block) -> None:
        """A block as the record holds it now."""
        self.blocks[block.block_id] = block
        self._by_target[block.scope, block.value][block.block_id] = block
        if block.suspicion_id:
            self._by_suspicion[block.suspicion_id].add(block.block_id)
        self._put_active(block)
        kind = counts(block)
        if kind is not None:
            self.recent[kind].add(block.value, block.imposed_ms)

    def drop_block(self, block_id: str) -> None:
        """The record forgot a block."""
        block = self.blocks.pop(block_id, None)
        if block is not None:
            self._put_active(msgspec.structs.replace(block, state="expired"))
            self._unindex(self._by_target, (block.scope, block.value), block_id)
            self._forget_suspicion(block.suspicion_id, block_id)

    def put_proposal(self, proposal: Proposal) -> None:
        """A proposal as the record holds it now."""
        self.proposals[proposal.proposal_id] = proposal
        if proposal.suspicion_id:
            self._by_suspicion[proposal.suspicion_id].add(proposal.proposal_id)
        if proposal.state == "open":
            self.open_proposals[proposal.proposal_id] = proposal
        else:
            self.open_proposals.pop(proposal.proposal_id, None)

    def drop_proposal(self, proposal_id: str) -> None:
        """The record forgot a proposal, and with it the approvals."""
        proposal = self.proposals.pop(proposal_id, None)
        self.open_proposals.pop(proposal_id, None)
        self.approvals.pop(proposal_id, None)
        if proposal is not None:
            self._forget_suspicion(proposal.suspicion_id, proposal_id)

    def put_approval(self, approval: Approval) -> None:
        """One person's yes."""
        self.approvals[approval.proposal_id][approval.by] = approval

    def put_exemption(self, exemption: Exemption) -> None:
        """An exemption as the record holds it now."""
        self.exemptions[exemption.exemption_id] = exemption

    def put_release(self, release: Release) -> None:
        """A grace."""
        self.releases[release.block_id] = release

    def put_breaker(self, breaker: Breaker) -> None:
        """A breaker as the record holds it now."""
        self.breakers[breaker.kind] = breaker

    # -- facts ---------------------------------------------------------------------------------------------------------------------

    def put_networks(self, networks: Iterable[tuple[str, str]]) -> None:
        """The operator's own ranges, all of them."""
        self.networks = Networks(networks)

    def put_accounts(self, slot: int, total: int, exempt_until_ms: Mapping[str, int]) -> None:
        """The accounts of one slot: how many, and which are exempt until when."""
        self._accounts[slot] = total
        for account in self._exempt_of_slot.get(slot, {}):
            self._exempt_until_ms.pop(account, None)
        self._exempt_of_slot[slot] = exempt_until_ms
        self._exempt_until_ms.update(exempt_until_ms)

    # -- questions -----------------------------------------------------------------------------------------------------------------

    @property
    def accounts(self) -> int:
        """Accounts known in all."""
        return sum(self._accounts.values())

    def answered(self, suspicion_id: str) -> bool:
        """Whether a block or a proposal already answers this suspicion."""
        return bool(self._by_suspicion.get(suspicion_id))

    def of_target(self, scope: Scope, value: str) -> Iterable[Block]:
        """All remembered blocks of one scope and value."""
        return self._by_target.get((scope, value), {}).values()

    def exempt_account(self, account: str, now_ms: int) -> bool:
        """Whether the account list exempts it; exemptions made by people are in `exemptions`."""
        return self._exempt_until_ms.get(account, 0) > now_ms

    def exemptions_in_force(self, now_ms: int) -> Iterator[Exemption]:
        """Exemptions by people that hold now."""
        return (entry for entry in self.exemptions.values() if not entry.ended_ms and now_ms < entry.until_ms)

    def touched_by(self, author: str, since_ms: int) -> int:
        """Different values that one person blocked since then."""
        return len({(b.scope, b.value) for b in self.blocks.values() if b.author == author and b.imposed_ms >= since_ms})

    def _put_active(self, block: Block) -> None:
        before = self.active.pop(block.block_id, None)
        if before is not None and before.scope in NUMBER_SCOPES:
            self.active_numbers -= 1
        if block.state == "active":
            self.active[block.block_id] = block
            self.active_numbers += block.scope in NUMBER_SCOPES

    def _forget_suspicion(self, suspicion_id: str, answer_id: str) -> None:
        answers = self._by_suspicion.get(suspicion_id)
        if answers is not None:
            answers.discard(answer_id)
            if not answers:
                del self._by_suspicion[suspicion_id]

    @staticmethod
    def _unindex(index: dict[Target, dict[str, Block]], target: Target, block_id: str) -> None:
        entries = index.get(target)
        if entries is not None:
            entries.pop(block_id, None)
            if not entries:
                del index[target]
