"""`python -m ringfence.apps.policy.main`: decides what is refused. Needs the bus and nothing else.

Neither PostgreSQL's driver nor the detection kernel is imported here, directly or indirectly: blocking works while the database is down.
The same on another host, with a data folder of its own, stands by and takes over.
"""

import asyncio

from ringfence.enforcement.agent import PolicyAgent, settings_for
from ringfence.enforcement.model import HOUR_MS, MINUTE_MS
from ringfence.runtime.role import Role, run_role


async def run(role: Role) -> None:
    """Be a policy process until cancelled."""
    operator, enforcement = role.settings.operator, role.settings.enforcement
    settings = settings_for(
        country=operator.country,
        area_codes=operator.area_codes,
        emergency=operator.emergency,
        first_ms=enforcement.block_ttl_minutes * MINUTE_MS,
        second_ms=enforcement.second_ttl_hours * HOUR_MS,
    )
    agent = PolicyAgent(role.bus, settings, instance=role.instance, clock=role.clock, board=role.board)
    async with asyncio.TaskGroup() as group:
        group.create_task(agent.run())
        await agent.ready()
        role.ready()


if __name__ == "__main__":
    run_role("policy", run)
