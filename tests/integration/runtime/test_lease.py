"""One active instance at a time."""

import asyncio

import pytest

from ringfence.base.errors import ConflictError
from ringfence.runtime.lease import Lease
from tests.harness.engines import NatsServer
from tests.integration.runtime.test_bus import connected


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


def test_the_second_takes_over_when_the_first_is_late_and_the_first_knows_it(own_nats: NatsServer) -> None:
    async def scenario() -> None:
        clock = Hand()
        async with connected(own_nats, "policy") as bus:
            bucket = bus.bucket("leases")
            first, second = (Lease(bucket, "policy", name, seconds=0.3, clock=clock) for name in ("i-1", "i-2"))
            await first.acquire()
            assert (first.held, second.held) == (True, False)
            waiting = asyncio.ensure_future(second.acquire())
            await asyncio.sleep(0.3)
            assert not waiting.done()
            clock.now_ms += 301
            assert (first.held, second.held) == (False, False)
            await asyncio.wait_for(waiting, 1)
            assert (first.held, second.held) == (False, True)
            with pytest.raises(ConflictError, match="was lost"):
                await asyncio.wait_for(first.keep(), 1)

    asyncio.run(scenario())


def test_a_kept_lease_is_renewed(own_nats: NatsServer) -> None:
    async def scenario() -> None:
        clock = Hand()
        async with connected(own_nats, "policy") as bus:
            lease = Lease(bus.bucket("leases"), "policy", "i-1", seconds=0.3, clock=clock)
            await lease.acquire()
            keeping = asyncio.ensure_future(lease.keep())
            for _ in range(5):
                clock.now_ms += 100
                await asyncio.sleep(0.15)
                assert lease.held
            keeping.cancel()

    asyncio.run(scenario())


def test_a_released_lease_and_a_restarted_holder_need_not_wait(own_nats: NatsServer) -> None:
    async def scenario() -> None:
        clock = Hand()
        async with connected(own_nats, "policy") as bus:
            bucket = bus.bucket("leases")
            first = Lease(bucket, "policy", "i-1", seconds=60, clock=clock)
            await first.acquire()
            again = Lease(bucket, "policy", "i-1", seconds=60, clock=clock)
            await asyncio.wait_for(again.acquire(), 1)
            await again.release()
            await asyncio.wait_for(Lease(bucket, "policy", "i-2", seconds=60, clock=clock).acquire(), 1)

    asyncio.run(scenario())


def test_of_many_who_try_one_has_it(own_nats: NatsServer) -> None:
    async def scenario() -> None:
        clock = Hand()
        async with connected(own_nats, "policy") as bus:
            leases = [Lease(bus.bucket("leases"), "policy", f"i-{number}", seconds=60, clock=clock) for number in range(8)]
            tasks = [asyncio.ensure_future(lease.acquire()) for lease in leases]
            await asyncio.sleep(0.5)
            assert sum(lease.held for lease in leases) == 1
            for task in tasks:
                task.cancel()

    asyncio.run(scenario())
