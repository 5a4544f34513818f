"""Forgets access sessions that ended long ago: who held an address is kept no longer than it is needed."""

import asyncio

from ringfence.base.clock import Clock
from ringfence.base.errors import ConflictError, UnavailableError
from ringfence.runtime.metrics import counter
from ringfence.subscribers.sessions.service import FORGET_ROWS, AccessSessions

TURN_SECONDS = 600.0
BREATH_SECONDS = 0.05
"""Between two portions, for those who record."""
DAY_MS = 86_400_000

_forgotten = counter("ringfence_worker_sessions_forgotten_total", "Access sessions deleted because they ended long ago.")


async def forget_sessions(sessions: AccessSessions, clock: Clock, *, days: int) -> None:
    """Delete until cancelled; while PostgreSQL is away, later."""
    while True:
        try:
            count = await sessions.forget_sessions(clock() - days * DAY_MS)
        except (UnavailableError, ConflictError):
            count = 0
        _forgotten.inc(count)
        await asyncio.sleep(BREATH_SECONDS if count >= FORGET_ROWS else TURN_SECONDS)
