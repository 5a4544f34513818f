"""The edge connector: reads the record of blocks and keeps every edge in agreement with it.

Needs the bus and the edges, nothing else, so it can live on a proxy host. While the bus is away it goes on with what it knows, and blocks
end at their time; an edge that is down holds nobody up.
"""

import asyncio
import contextlib
from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from ringfence.base.clock import Clock
from ringfence.base.errors import UnavailableError
from ringfence.enforcement.agent.link import Edge, EdgeLink
from ringfence.enforcement.model import CALL_MS, Block, Scope
from ringfence.enforcement.projection import EdgeTable
from ringfence.runtime.bucket import CaughtUp, Entry
from ringfence.runtime.bus import Bus
from ringfence.runtime.log import get_logger
from ringfence.runtime.metrics import gauge
from ringfence.runtime.status import StatusBoard

TICK_SECONDS = 0.2
REPORT_SECONDS = 5.0

_log = get_logger(__name__)
_keys = gauge("ringfence_enforcement_edge_keys", "Keys that every edge should hold.")
_agrees = gauge("ringfence_enforcement_edge_agrees", "1 while an edge is reachable and agrees.", ["edge"])


class EdgeAgent:
    """One connector process with its edges."""

    def __init__(self, bus: Bus, edges: Sequence[Edge], *, clock: Clock, board: StatusBoard) -> None:
        self._bus = bus
        self._clock = clock
        self._board = board
        self._table = EdgeTable()
        self._loaded = asyncio.Event()
        self._links = [EdgeLink(edge, self._table, clock=clock, loaded=self._loaded) for edge in edges]

    async def ready(self) -> None:
        """Until the record was read."""
        await self._loaded.wait()

    async def run(self) -> None:
        """Keep the edges in agreement until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._tick())
            for link in self._links:
                group.create_task(link.run())
                group.create_task(self._tell(link))

    async def _follow(self) -> None:
        async with contextlib.aclosing(self._bus.bucket("blocks").watch()) as entries:
            async for entry in entries:
                if isinstance(entry, CaughtUp):
                    _log.info("blocks_loaded", keys=len(self._table))
                    self._loaded.set()
                else:
                    self._apply(entry)

    def _apply(self, entry: Entry) -> None:
        now_ms = self._clock()
        if entry.value is None:
            self._spread(entry.key, now_ms, None)
            return
        try:
            block = msgspec.json.decode(entry.value, type=Block)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.error("block_unreadable", key=entry.key, error=str(error))
            return
        self._spread(entry.key, now_ms, block)

    def _spread(self, block_id: str, now_ms: int, block: Block | None) -> None:
        in_force = block is not None and block.in_force(now_ms)
        for link in self._links:
            if block is None or not in_force:
                link.spare_call(block_id)
            elif block.scope is Scope.CALL:
                link.end_call(block)
            else:
                for call_id in block.ends:
                    until_ms = block.imposed_ms + CALL_MS
                    link.end_call(replace(block, block_id=f"{block_id} {call_id}", scope=Scope.CALL, value=call_id, until_ms=until_ms))
        places = self._table.drop(block_id, now_ms) if block is None else self._table.put(block, now_ms)
        if places and self._loaded.is_set():
            for link in self._links:
                link.put(places)

    async def _tick(self) -> None:
        """Blocks end at their time: what they covered shows again."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            places = self._table.advance(self._clock())
            if places and self._loaded.is_set():
                for link in self._links:
                    link.put(places)
            self._show()

    async def _tell(self, link: EdgeLink) -> None:
        """Put the edge's report where the console reads it: at once when it changed, else every five seconds."""
        bucket = self._bus.bucket("edges")
        while True:
            link.changed.clear()
            with contextlib.suppress(UnavailableError):
                await bucket.put(link.edge.name, msgspec.json.encode(link.report()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(REPORT_SECONDS):
                    await link.changed.wait()

    def _show(self) -> None:
        _keys.set(len(self._table))
        reports = [link.report() for link in self._links]
        for report in reports:
            _agrees.labels(report.edge).set(int(report.reachable and report.agrees))
            if report.reachable:
                self._board.settled(report.edge)
            else:
                self._board.trouble(report.edge, f"Edge {report.edge}: {report.message}.")
        self._board.figures = {
            "edges": float(len(reports)),
            "edges_in_agreement": float(sum(report.reachable and report.agrees for report in reports)),
            "keys": float(len(self._table)),
        }
