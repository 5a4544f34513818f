"""Policy and edge of the bench: suspicions become blocks by the product's own decision, and a call is refused by those in force.

Blocks count from a second after the suspicion, twenty times what `block-latency` measures. What policy proposes because the ladder wants a
person (the third time) is approved a quarter of an hour later, right or wrong, until when the block that bridges the wait holds; any other
proposal stays one.
"""

from collections import defaultdict
from typing import Final

from ringfence.enforcement.agent import State, decide, settings_for
from ringfence.enforcement.model import Block, Proposal, Scope
from ringfence.telephony.suspicion import Suspicion

REACTION_MS: Final = 1_000
HOUR_MS: Final = 3_600_000
PERSON_MS: Final = 15 * 60_000
"""From a page to a person's yes."""


class Policy:
    """The record and what it refuses."""

    def __init__(self, *, accounts: int, networks: tuple[tuple[str, str], ...]) -> None:
        self._state = State()
        self._state.put_networks(networks)
        self._state.put_accounts(0, accounts, {})
        self._settings = settings_for(country="DE", area_codes=[], emergency=["110", "112"], first_ms=HOUR_MS, second_ms=24 * HOUR_MS)
        self._of_account: dict[str, list[Block]] = defaultdict(list)
        self._of_number: dict[str, list[Block]] = defaultdict(list)
        self._of_source: dict[str, list[Block]] = defaultdict(list)
        self.blocks: list[Block] = []
        self.ended: dict[str, int] = {}
        """Running calls that were ended, by Call-ID: when."""
        self.proposed = 0
        self.refused: dict[str, int] = defaultdict(int)

    def take(self, suspicion: Suspicion) -> list[str]:
        """Decide about a suspicion at its own time. Call-IDs of what the edge ends because of it; `ended` says when."""
        before = len(self.ended)
        decision = decide(suspicion, self._state, self._settings, suspicion.at_ms)
        if decision.opened is not None:
            self._state.put_breaker(decision.opened)
        if decision.propose is not None:
            self.proposed += 1
            if decision.propose.cause != "ladder":
                self._state.put_proposal(decision.propose)
            if decision.propose.cause == "ladder":
                self._impose(_approved(decision.propose))
        if decision.refused:
            self.refused[decision.refused] += 1
        for block in decision.impose:
            self._impose(block)
        return list(self.ended)[before:]

    def _impose(self, block: Block) -> None:
        self._state.put_block(block)
        self.blocks.append(block)
        match block.scope:
            case Scope.NUMBER | Scope.RANGE:
                self._of_number[block.value].append(block)
            case Scope.CLASS | Scope.ACCOUNT:
                self._of_account[block.value].append(block)
            case Scope.SOURCE:
                self._of_source[block.value].append(block)
            case Scope.CALL:
                self.ended.setdefault(block.value, block.imposed_ms + REACTION_MS)
        for call_id in block.ends:
            self.ended.setdefault(call_id, block.imposed_ms + REACTION_MS)

    @property
    def may_refuse(self) -> bool:
        """Whether there was any block."""
        return bool(self.blocks)

    def refuses(self, *, account: str, callee: str, destination_class: int, source_ip: str, at_ms: int) -> Block | None:
        """The block that refuses a call, None when there is none."""
        digits = callee.removeprefix("+")
        found = [block for block in self._of_account.get(account, ()) if _in_force(block, at_ms)]
        for block in found:
            if block.scope is Scope.ACCOUNT or destination_class >= block.destination_class:
                return block
        if self._of_number:
            for length in range(3, len(digits) + 1):
                for block in self._of_number.get(digits[:length], ()):
                    if _in_force(block, at_ms) and (block.scope is Scope.RANGE or length == len(digits)):
                        return block
        return next((block for block in self._of_source.get(source_ip, ()) if _in_force(block, at_ms)), None)


def _approved(proposal: Proposal) -> Block:
    plan, imposed_ms = proposal.plan, proposal.created_ms + PERSON_MS
    return Block(
        block_id=proposal.proposal_id,
        scope=plan.scope,
        value=plan.value,
        destination_class=plan.destination_class,
        imposed_ms=imposed_ms,
        until_ms=imposed_ms + plan.seconds * 1000,
        origin=proposal.origin,
        author="person",
        reason=proposal.reason,
        account=proposal.account,
        hits=plan.hits,
    )


def _in_force(block: Block, at_ms: int) -> bool:
    return block.imposed_ms + REACTION_MS <= at_ms < block.until_ms
