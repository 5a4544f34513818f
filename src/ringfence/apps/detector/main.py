"""`python -m ringfence.apps.detector.main`: one agent per lane of each view, in one process.

The first start on a machine compiles the kernel, which takes some seconds and is said; later starts find the result in a cache.
"""

import asyncio
from typing import TYPE_CHECKING

from ringfence.base.clock import monotonic_seconds
from ringfence.runtime.log import get_logger
from ringfence.runtime.role import Role, run_role
from ringfence.runtime.streams import LANES

if TYPE_CHECKING:
    from ringfence.detection.agent import AttackAgent, DetectorAgent

_log = get_logger(__name__)


async def run(role: Role) -> None:
    """Be a detector process until cancelled."""
    settings = role.settings
    role.board.trouble("compile", "Detection compiles its kernel, once per machine and version.")
    started = monotonic_seconds()
    agents = await asyncio.to_thread(_make, role)
    role.board.settled("compile")
    _log.info("kernel_ready", seconds=monotonic_seconds() - started, mode=settings.detection.mode or "by rule")
    async with asyncio.TaskGroup() as group:
        group.create_task(_attacks(role).run())
        for agent in agents:
            group.create_task(agent.run())
        for agent in agents:
            await agent.ready()
        role.ready()


def _attacks(role: Role) -> "AttackAgent":
    from ringfence.detection.agent import AttackAgent

    return AttackAgent(role.bus, clock=role.clock, board=role.board)


def _make(role: Role) -> list["DetectorAgent"]:
    from ringfence.detection.agent import (
        VIEWS,
        DetectorAgent,
        Standing,
        warm_up,
    )  # Loads numba: half a second in which the heartbeat goes on.

    warm_up()
    settings = role.settings
    snapshots = settings.data_dir / "snapshots"
    snapshots.mkdir(mode=0o750, parents=True, exist_ok=True)
    standing = Standing()
    return [
        DetectorAgent(
            role.bus,
            view=view,
            lane=lane,
            snapshots=snapshots,
            time_zone=settings.operator.time_zone,
            mode=settings.detection.mode,
            clock=role.clock,
            board=role.board,
            standing=standing,
        )
        for view in VIEWS
        for lane in range(LANES[view])
    ]


if __name__ == "__main__":
    run_role("detector", run)
