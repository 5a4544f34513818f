"""Batches grow with the load, and one bad item fails alone."""

import asyncio
from collections.abc import Sequence

import pytest

from ringfence.apps.acs.batch import MOST, Batcher
from ringfence.base.errors import ConflictError, UnavailableError


def test_what_comes_while_a_batch_runs_is_the_next_one_and_the_bad_item_fails_alone() -> None:
    sizes: list[int] = []

    async def double(items: Sequence[int]) -> Sequence[int]:
        sizes.append(len(items))
        await asyncio.sleep(0)
        if 13 in items:
            raise ValueError("a bug that 13 causes")
        return [2 * item for item in items]

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            batcher = Batcher(double, group)
            results = await asyncio.gather(*(batcher.do(number) for number in range(200)), return_exceptions=True)
        assert [result for number, result in enumerate(results) if number != 13] == [2 * number for number in range(200) if number != 13]
        assert isinstance(results[13], ValueError)

    asyncio.run(main())
    assert max(sizes) == MOST
    assert len([size for size in sizes if size > 1]) == 4


@pytest.mark.parametrize(("error", "calls"), [(UnavailableError("away"), 1), (ConflictError("moved"), 2)])
def test_a_conflict_is_tried_once_more_and_an_absence_is_not(error: Exception, calls: int) -> None:
    tried: list[int] = []

    async def fail(items: Sequence[int]) -> Sequence[int]:
        tried.append(len(items))
        raise error

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            batcher = Batcher(fail, group)
            results = await asyncio.gather(*(batcher.do(number) for number in range(3)), return_exceptions=True)
        assert results == [error] * 3

    asyncio.run(main())
    assert tried == [3] * calls
