"""The copy of the record in PostgreSQL: every SQL call of the room, on one connection inside one transaction.

Nothing here decides or is obeyed: the record is JetStream's, and a row gives way to any entry of a newer revision.
"""

import msgspec

from ringfence.enforcement.model import Approval, Block, Breaker, EdgeReport, Exemption, Proposal
from ringfence.runtime.db import NamedQueries, load_queries

QUERIES = load_queries("ringfence.enforcement", "queries.sql")


class EnforcementStore(NamedQueries):
    """The schema `enforcement` on one connection."""

    queries = QUERIES

    async def put_block(self, block: Block, revision: int) -> bool:
        """Copy an entry; whether it was news."""
        return (
            await self.run(
                "put_block",
                block_id=block.block_id,
                revision=revision,
                scope=block.scope.value,
                value=block.value,
                destination_class=block.destination_class,
                state=block.state,
                account=block.account,
                alert_id=block.alert_id,
                origin=block.origin,
                imposed_ms=block.imposed_ms,
                until_ms=block.until_ms,
                ended_ms=block.ended_ms,
                entry=_json(block),
            )
            > 0
        )

    async def put_exemption(self, exemption: Exemption, revision: int) -> bool:
        """Copy an entry; whether it was news."""
        return (
            await self.run(
                "put_exemption",
                exemption_id=exemption.exemption_id,
                revision=revision,
                scope=exemption.scope,
                value=exemption.value,
                owner=exemption.owner,
                created_ms=exemption.created_ms,
                until_ms=exemption.until_ms,
                ended_ms=exemption.ended_ms,
                entry=_json(exemption),
            )
            > 0
        )

    async def put_proposal(self, proposal: Proposal, revision: int) -> bool:
        """Copy an entry; whether it was news."""
        return (
            await self.run(
                "put_proposal",
                proposal_id=proposal.proposal_id,
                revision=revision,
                state=proposal.state,
                account=proposal.account,
                alert_id=proposal.alert_id,
                created_ms=proposal.created_ms,
                until_ms=proposal.until_ms,
                entry=_json(proposal),
            )
            > 0
        )

    async def put_approval(self, approval: Approval) -> bool:
        """Copy one person's yes; whether it was news."""
        return await self.run("put_approval", proposal_id=approval.proposal_id, person=approval.by, at_ms=approval.at_ms) > 0

    async def put_breaker(self, breaker: Breaker, revision: int) -> bool:
        """Copy an entry; whether it was news."""
        return await self.run("put_breaker", kind=breaker.kind, revision=revision, entry=_json(breaker)) > 0

    async def put_edge(self, report: EdgeReport) -> None:
        """Copy what the connector last said of an edge."""
        await self.run(
            "put_edge", edge=report.edge, at_ms=report.at_ms, reachable=report.reachable, agrees=report.agrees, entry=_json(report)
        )

    async def blocks(self, query: str, **parameters: object) -> tuple[Block, ...]:
        """Blocks of any of the reading queries."""
        return tuple(msgspec.json.decode(row["entry"], type=Block) for row in await self.rows(query, **parameters))

    async def exemptions(self, **parameters: object) -> tuple[Exemption, ...]:
        """Exemptions, newest first."""
        return tuple(msgspec.json.decode(row["entry"], type=Exemption) for row in await self.rows("list_exemptions", **parameters))

    async def proposals(self, query: str, **parameters: object) -> tuple[Proposal, ...]:
        """Proposals of any of the reading queries."""
        return tuple(msgspec.json.decode(row["entry"], type=Proposal) for row in await self.rows(query, **parameters))

    async def approvals(self, proposals: list[str]) -> tuple[Approval, ...]:
        """Every yes to these proposals, oldest first."""
        rows = await self.rows("list_approvals", proposals=proposals)
        return tuple(Approval(proposal_id=row["proposal_id"], by=row["person"], at_ms=row["at_ms"]) for row in rows)

    async def breakers(self) -> tuple[Breaker, ...]:
        """Both breakers, as far as they ever opened."""
        return tuple(msgspec.json.decode(row["entry"], type=Breaker) for row in await self.rows("list_breakers"))

    async def edges(self) -> tuple[EdgeReport, ...]:
        """The last report of each edge, by name."""
        return tuple(msgspec.json.decode(row["entry"], type=EdgeReport) for row in await self.rows("list_edges"))


def _json(entry: msgspec.Struct) -> str:
    """JSON for a `jsonb` column, which takes every character but U+0000."""
    return msgspec.json.encode(entry).decode().replace("\\u0000", "\\ufffd")
