"""Buckets and watches against a real nats-server."""

import asyncio
import contextlib

import pytest

from ringfence.base.errors import ConflictError
from ringfence.runtime.bucket import Bucket, CaughtUp, Entry
from tests.harness.engines import NatsServer
from tests.integration.runtime.test_bus import connected, restart


async def history(bucket: Bucket) -> list[Entry]:
    """What a new watch delivers before it has caught up."""
    entries: list[Entry] = []
    async with asyncio.timeout(5), contextlib.aclosing(bucket.watch()) as changes:
        async for change in changes:
            if isinstance(change, CaughtUp):
                return entries
            entries.append(change)
    raise AssertionError("a watch has no end")


def test_writes_are_by_revision(own_nats: NatsServer) -> None:
    async def scenario() -> None:
        async with connected(own_nats) as bus:
            bucket = bus.bucket("blocks")
            assert await bucket.get("a:anna@x") is None
            first = await bucket.create("a:anna@x", b"1")
            with pytest.raises(ConflictError):
                await bucket.create("a:anna@x", b"2")
            second = await bucket.update("a:anna@x", b"2", first)
            with pytest.raises(ConflictError):
                await bucket.update("a:anna@x", b"3", first)
            with pytest.raises(ConflictError):
                await bucket.delete("a:anna@x", first)
            assert await bucket.get("a:anna@x") == Entry(key="a:anna@x", value=b"2", revision=second)
            await bucket.delete("a:anna@x", second)
            assert await bucket.get("a:anna@x") is None
            assert await bucket.create("a:anna@x", b"4") > second
            assert await bucket.put("+49 30:1/2 @ü", b"5")
            assert await bucket.keys() == ["a:anna@x", "+49 30:1/2 @ü"]

    asyncio.run(scenario())


def test_of_two_who_create_one_wins(own_nats: NatsServer) -> None:
    async def scenario() -> None:
        async with connected(own_nats) as one, connected(own_nats) as two:
            results = await asyncio.gather(
                *(bus.bucket("approvals").create("k", b"v") for bus in (one, two) for _ in range(5)), return_exceptions=True
            )
            assert sum(isinstance(result, int) for result in results) == 1
            assert sum(isinstance(result, ConflictError) for result in results) == 9

    asyncio.run(scenario())


def test_a_watch_tells_the_history_then_that_it_caught_up_then_changes_through_a_restart(own_nats: NatsServer) -> None:
    async def scenario() -> None:
        async with connected(own_nats) as bus:
            bucket = bus.bucket("blocks")
            for key in ("one", "two", "three"):
                await bucket.put(key, key.encode())
            await bucket.put("one", b"newer")
            await bucket.delete("two")
            seen: list[Entry | CaughtUp] = []

            async def watch() -> None:
                async for change in bucket.watch():
                    seen.append(change)  # noqa: PERF401  # Looked at while it grows.

            async with asyncio.TaskGroup() as group:
                task = group.create_task(watch())
                while not any(isinstance(change, CaughtUp) for change in seen):
                    await asyncio.sleep(0.01)
                assert [(e.key, e.value) for e in seen if isinstance(e, Entry)] == [
                    ("three", b"three"),
                    ("one", b"newer"),
                    ("two", None),
                ]
                seen.clear()
                await restart(own_nats)
                await bucket.put("four", b"4")
                await bucket.delete("one")
                async with asyncio.timeout(2):
                    while len(seen) < 2:
                        await asyncio.sleep(0.01)
                task.cancel()
            assert [(e.key, e.value) for e in seen if isinstance(e, Entry)] == [("four", b"4"), ("one", None)]
            assert not any(isinstance(change, CaughtUp) for change in seen)

    asyncio.run(scenario())


def test_an_empty_bucket_is_caught_up_at_once(own_nats: NatsServer) -> None:
    async def scenario() -> None:
        async with connected(own_nats) as bus:
            async with asyncio.timeout(1):
                assert await history(bus.bucket("exemptions")) == []
            assert await bus.bucket("exemptions").keys() == []

    asyncio.run(scenario())


def test_a_large_history_is_complete(own_nats: NatsServer) -> None:
    async def scenario() -> None:
        async with connected(own_nats) as bus:
            bucket = bus.bucket("control")
            for start in range(0, 2000, 200):
                await asyncio.gather(*(bucket.put(f"accounts.{number}", b"x") for number in range(start, start + 200)))
            assert {entry.key for entry in await history(bucket)} == {f"accounts.{number}" for number in range(2000)}

    asyncio.run(scenario())


def test_a_key_that_is_rewritten_during_the_history_is_not_missing_from_it(own_nats: NatsServer) -> None:
    """Its old value is gone before it was sent; its new one stands behind what was the end when the watch began."""

    async def scenario() -> None:
        async with connected(own_nats) as bus:
            bucket = bus.bucket("blocks")
            names = [f"k{number}" for number in range(1500)]
            for name in names:
                await bucket.put(name, b"1")
            found: set[str] = set()
            async with asyncio.timeout(20), contextlib.aclosing(bucket.watch()) as changes:
                async for change in changes:
                    if isinstance(change, CaughtUp):
                        break
                    if not found:
                        await bucket.put("k1200", b"2")
                        await bucket.put("late", b"1")
                    found.add(change.key)
            assert found >= set(names)

    asyncio.run(scenario())


def test_a_key_that_is_empty_or_too_long_is_a_bug_of_the_caller(nats: NatsServer) -> None:
    async def scenario() -> None:
        async with connected(nats) as bus:
            for key in ("", "x" * 600):
                with pytest.raises(ValueError, match="a key has"):
                    await bus.bucket("control").get(key)

    asyncio.run(scenario())
