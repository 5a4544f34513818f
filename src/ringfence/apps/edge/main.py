"""`python -m ringfence.apps.edge.main`: the edge connector. Needs the bus and the edges' JSON-RPC, and may run on a proxy host.

Neither PostgreSQL's driver nor the detection kernel is imported here, directly or indirectly.
"""

import asyncio

from ringfence.enforcement.agent import Edge, EdgeAgent
from ringfence.runtime.keys import read_key
from ringfence.runtime.role import Role, run_role


async def run(role: Role) -> None:
    """Be the connector until cancelled."""
    edges = []
    for edge in role.settings.enforcement.edges:
        assert edge.token_file is not None, "resolved settings name every token file"
        edges.append(Edge(name=edge.name, url=edge.rpc_url, token=read_key(edge.token_file)))
    agent = EdgeAgent(role.bus, edges, clock=role.clock, board=role.board)
    async with asyncio.TaskGroup() as group:
        group.create_task(agent.run())
        await agent.ready()
        role.ready()


if __name__ == "__main__":
    run_role("edge", run)
