"""Many sessions, one transaction: items wait a few milliseconds for each other and are dealt with together.

The one thing to know: a batch that fails for a reason that is nobody's in particular is taken apart and each item tried alone, so that what
one device sent cannot fail the sessions that happened to arrive beside it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from ringfence.base.errors import ConflictError, UnavailableError

MOST = 64
WAIT_SECONDS = 0.005

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Collects up to 64 items or 5 ms."""

    def __init__(self, work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]], group: asyncio.TaskGroup) -> None:
        self._work = work
        self._group = group
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._running = False

    async def do(self, item: Item) -> Result:
        """The result for one item; raises what its batch raised."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if len(self._waiting) >= MOST:
            self._flush()
        elif self._timer is None and not self._running:
            self._timer = loop.call_later(WAIT_SECONDS, self._flush)
        return await future

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._running:
            self._running = True
            self._group.create_task(self._run())

    async def _run(self) -> None:
        """Batch after batch: what came while one was in the database is the next, so batches grow with the load."""
        while batch := self._waiting[:MOST]:
            del self._waiting[:MOST]
            await self._attempt(batch, again=True)
        self._running = False

    async def _attempt(self, batch: list[tuple[Item, asyncio.Future[Result]]], *, again: bool) -> None:
        try:
            results = await self._work([item for item, _ in batch])
        except UnavailableError as error:
            _fail(batch, error)
        except ConflictError as error:
            if again:
                await self._attempt(batch, again=False)
            else:
                _fail(batch, error)
        except Exception as error:  # noqa: BLE001  # Whoever asked gets it; see above.
            if len(batch) == 1:
                _fail(batch, error)
            else:
                for one in batch:
                    await self._attempt([one], again=again)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)


def _fail(batch: list[tuple[Item, asyncio.Future[Result]]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
