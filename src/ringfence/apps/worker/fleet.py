"""The fleet's housekeeping: counts, versions of the day, silence, orders past their deadline, drift, old transcripts; in bounded batches.

It decides nothing about a device; `fleet` does. With PostgreSQL away each task waits for its next turn and says so. The one thing to know:
the comparison of three million devices takes a tenth of the time of one worker, however long that makes it.
"""

import asyncio
from collections.abc import Awaitable, Callable

from ringfence.base.clock import monotonic_seconds
from ringfence.base.errors import ConflictError, UnavailableError
from ringfence.fleet.inventory.service import InventoryService
from ringfence.runtime.log import get_logger
from ringfence.runtime.metrics import counter, gauge
from ringfence.runtime.status import StatusBoard

COUNT_SECONDS = 60.0
VERSIONS_SECONDS = 3_600.0
SILENCE_SECONDS = 600.0
DEADLINE_SECONDS = 30.0
FORGET_SECONDS = 600.0
ANNOUNCED_MS = 30 * 86_400_000
"""How long announcements wait for whoever listens."""
AWAY_SECONDS = 2.0
"""Before the next look for a PostgreSQL that is away."""
ROUND_SECONDS = 600.0
"""Between two rounds of the comparison."""
BATCH = 5_000
"""Devices or orders of one transaction."""
COMPARED = 1_000
"""Devices of one transaction of the comparison."""
SHARE = 0.1
"""Of the time, for the comparison."""

_log = get_logger(__name__)
_silent = counter("ringfence_worker_devices_fallen_silent_total", "Devices that did not inform for too long.")
_overdue = counter("ringfence_worker_orders_overdue_total", "Attempts of orders that were given up at their deadline.")
_compared = counter("ringfence_worker_devices_compared_total", "Devices compared with what is wanted of them.")
_drifted = gauge("ringfence_worker_devices_drifted", "Devices that were not as wanted in the last whole round of the comparison.")


class Housekeeper:
    """Its tasks."""

    def __init__(self, fleet: InventoryService, board: StatusBoard, *, silent_ms: int, transcripts_ms: int, batch: int = BATCH) -> None:
        self._fleet = fleet
        self._board = board
        self._silent_ms = silent_ms
        self._transcripts_ms = transcripts_ms
        self._batch = batch

    async def run(self) -> None:
        """Keep the fleet until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.every(COUNT_SECONDS, "fleet_count", self._fleet.count))
            group.create_task(self.every(VERSIONS_SECONDS, "fleet_versions", self.count_versions))
            group.create_task(self.every(SILENCE_SECONDS, "fleet_silence", self.mark_silent))
            group.create_task(self.every(DEADLINE_SECONDS, "fleet_orders", self.reconcile))
            group.create_task(self.every(FORGET_SECONDS, "fleet_retention", self.forget))
            group.create_task(self.every(ROUND_SECONDS, "fleet_drift", self.compare))

    async def count_versions(self) -> None:
        """Keep today's versions, of a count that is no older than they are."""
        await self._fleet.count()
        await self._fleet.count_versions()

    async def mark_silent(self) -> None:
        """All that have fallen silent."""
        while True:
            fallen = await self._fleet.mark_silent(self._silent_ms, self._batch)
            _silent.inc(fallen)
            if fallen < self._batch:
                return

    async def reconcile(self) -> None:
        """All attempts that are past their deadline."""
        while True:
            given_up = await self._fleet.reconcile(self._batch)
            _overdue.inc(given_up)
            if given_up < self._batch:
                return

    async def forget(self) -> None:
        """All that is too old."""
        while await self._fleet.forget(self._transcripts_ms, ANNOUNCED_MS, self._batch) >= self._batch:
            pass

    async def compare(self) -> None:
        """One round over all devices, with pauses."""
        after = devices = drifted = 0
        while True:
            began = monotonic_seconds()
            batch = await self._fleet.compare(after, min(self._batch, COMPARED))
            devices, drifted, after = devices + batch.devices, drifted + batch.drifted, batch.last
            _compared.inc(batch.devices)
            if not after:
                _drifted.set(drifted)
                _log.info("fleet_compared", devices=devices, drifted=drifted)
                return
            await asyncio.sleep((monotonic_seconds() - began) * (1 / SHARE - 1))

    async def every(self, seconds: float, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Work, then pause, until cancelled."""
        while True:
            pause = seconds
            try:
                await work()
                self._board.settled(name)
            except ConflictError:  # A session changed the same devices at this moment; the next turn finds what is left.
                _log.info("fleet_turn_lost", turn=name)
            except UnavailableError as error:
                self._board.trouble(name, f"The fleet's housekeeping waits: {error}")
                pause = min(seconds, AWAY_SECONDS)
            await asyncio.sleep(pause)
