"""The bus against a real nats-server, which is killed in the middle."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from ringfence.base.errors import ConflictError, OperatorError, UnavailableError
from ringfence.base.ids import new_id
from ringfence.base.secret import Secret
from ringfence.runtime.bus import Bus, Delivery
from ringfence.runtime.streams import StreamPlan
from tests.harness.engines import NatsServer, free_port

LOG = "LOG_account_0"
SUBJECT = "log.account.0"


@contextlib.asynccontextmanager
async def connected(server: NatsServer, user: str = "supervisor") -> AsyncIterator[Bus]:
    bus = await server.connect(user)
    try:
        yield bus
    finally:
        await bus.close()


async def publish_stubbornly(bus: Bus, subject: str, payload: bytes) -> None:
    """As ingest does: the same message again until it is acknowledged."""
    while True:
        try:
            await bus.publish(subject, payload)
        except UnavailableError:
            await asyncio.sleep(0.02)
        else:
            return


async def restart(server: NatsServer) -> None:
    server.kill()
    await asyncio.sleep(0.2)
    await asyncio.to_thread(server.start)


def test_reading_survives_kill_minus_nine_without_gap_or_repetition(own_nats: NatsServer) -> None:
    async def scenario() -> None:
        async with connected(own_nats) as bus:
            read: list[tuple[int, bytes]] = []

            async def reader() -> None:
                async for message in bus.read(LOG, from_sequence=1):
                    read.append((message.sequence, message.payload))  # noqa: PERF401  # Looked at while it grows.

            async with asyncio.TaskGroup() as group:
                task = group.create_task(reader())
                for number in range(300):
                    await publish_stubbornly(bus, SUBJECT, str(number).encode())
                    if number in (60, 180):
                        await restart(own_nats)
                last = await bus.last_sequence(LOG)
                async with asyncio.timeout(3):
                    while not read or read[-1][0] < last:
                        await asyncio.sleep(0.01)
                task.cancel()
            assert [sequence for sequence, _ in read] == list(range(1, last + 1))
            # A publish that was cut off may have been stored although nobody heard of it; nothing is missing.
            assert list(dict.fromkeys(payload for _, payload in read)) == [str(number).encode() for number in range(300)]

    asyncio.run(scenario())


def test_reading_resumes_within_a_second_after_the_server_is_back(own_nats: NatsServer) -> None:
    async def scenario() -> None:
        async with connected(own_nats) as bus:
            seen = {b"before": asyncio.Event(), b"after": asyncio.Event()}

            async def reader() -> None:
                async for message in bus.read(LOG, from_sequence=1):
                    seen[message.payload].set()

            async with asyncio.TaskGroup() as group:
                task = group.create_task(reader())
                await bus.publish(SUBJECT, b"before")
                await asyncio.wait_for(seen[b"before"].wait(), 5)
                await restart(own_nats)
                began = time.monotonic()
                await publish_stubbornly(bus, SUBJECT, b"after")
                await asyncio.wait_for(seen[b"after"].wait(), 10)
                assert time.monotonic() - began < 1.5
                task.cancel()

    asyncio.run(scenario())


def test_a_fresh_message_is_read_within_milliseconds(nats: NatsServer) -> None:
    async def scenario() -> list[float]:
        async with connected(nats) as bus:
            stream = StreamPlan(name=f"T{new_id('t')}", subjects=(f"t.{new_id('t')}",), max_age_seconds=60)
            await bus.ensure_stream(stream)
            sent: dict[bytes, float] = {}
            delays: list[float] = []

            async def reader() -> None:
                async for message in bus.read(stream.name, from_sequence=1):
                    delays.append(time.monotonic() - sent[message.payload])
                    if len(delays) == 100:
                        return

            async with asyncio.TaskGroup() as group:
                group.create_task(reader())
                await asyncio.sleep(0.1)
                for number in range(100):
                    payload = str(number).encode()
                    sent[payload] = time.monotonic()
                    await bus.publish(stream.subjects[0], payload)
            return delays

    delays = sorted(asyncio.run(scenario()))
    assert delays[50] < 0.02, delays[50]


def test_reading_past_the_end_is_refused_because_the_stream_was_replaced(nats: NatsServer) -> None:
    async def scenario() -> None:
        async with connected(nats) as bus:
            last = await bus.last_sequence("EVENTS")
            with pytest.raises(ConflictError, match="was deleted or restored"):
                await anext(aiter(bus.read("EVENTS", from_sequence=last + 2)))

    asyncio.run(scenario())


def test_reading_more_than_one_pull_holds(nats: NatsServer) -> None:
    async def scenario() -> None:
        async with connected(nats) as bus:
            stream = StreamPlan(name=f"T{new_id('t')}", subjects=(f"t.{new_id('t')}",), max_age_seconds=60)
            await bus.ensure_stream(stream)
            for start in range(0, 1200, 100):
                await asyncio.gather(*(bus.publish(stream.subjects[0], b"x" * 20_000) for _ in range(start, start + 100)))
            sequences = []
            async for message in bus.read(stream.name, from_sequence=5):
                sequences.append(message.sequence)
                if message.sequence == 1200:
                    break
            assert sequences == list(range(5, 1201))

    asyncio.run(scenario())


def test_a_durable_consumer_gets_again_what_it_did_not_acknowledge(own_nats: NatsServer) -> None:
    async def take(bus: Bus, count: int) -> list[Delivery]:
        taken: list[Delivery] = []
        async with asyncio.timeout(5), contextlib.aclosing(bus.consume(LOG, durable="worker")) as deliveries:
            async for delivery in deliveries:
                taken.append(delivery)
                if len(taken) == count:
                    break
        return taken

    async def scenario() -> None:
        async with connected(own_nats) as bus:
            for number in range(6):
                await bus.publish(SUBJECT, str(number).encode())
            for delivery in (await take(bus, 6))[:3]:
                await delivery.ack()
        async with connected(own_nats) as bus:
            assert [delivery.payload for delivery in await take(bus, 3)] == [b"3", b"4", b"5"]
            await restart(own_nats)
            again = await take(bus, 3)
            assert [delivery.payload for delivery in again] == [b"3", b"4", b"5"]
            for delivery in again:
                await delivery.ack()
            await bus.publish(SUBJECT, b"6")
            assert [delivery.payload for delivery in await take(bus, 1)] == [b"6"]

    asyncio.run(scenario())


def test_a_consumer_goes_on_through_a_restart(own_nats: NatsServer) -> None:
    async def scenario() -> None:
        async with connected(own_nats) as bus:
            done: set[bytes] = set()

            async def consumer() -> None:
                async for delivery in bus.consume(LOG, durable="policy"):
                    done.add(delivery.payload)
                    await delivery.ack()

            async with asyncio.TaskGroup() as group:
                task = group.create_task(consumer())
                for number in range(100):
                    await publish_stubbornly(bus, SUBJECT, str(number).encode())
                    if number == 50:
                        await restart(own_nats)
                async with asyncio.timeout(3):
                    while len(done) < 100:
                        await asyncio.sleep(0.01)
                task.cancel()

    asyncio.run(scenario())


def test_publishing_once_is_refused_the_second_time_even_after_a_restart(own_nats: NatsServer) -> None:
    async def scenario() -> None:
        async with connected(own_nats) as bus:
            assert await bus.publish_once("alert.a-1.1", b"{}")
            assert not await bus.publish_once("alert.a-1.1", b"{}")
            assert await bus.publish_once("alert.a-1.2", b"{}")
            await restart(own_nats)
            assert not await bus.publish_once("alert.a-1.1", b"{}")

    asyncio.run(scenario())


def test_a_stored_message_is_found_by_its_sequence(nats: NatsServer) -> None:
    async def scenario() -> None:
        async with connected(nats) as bus:
            sequence = await bus.publish(SUBJECT, b"payload", {"Rf-Kind": "rows"})
            message = await bus.get(LOG, sequence)
            assert message is not None
            assert (message.payload, message.subject, message.headers) == (b"payload", SUBJECT, {"Rf-Kind": "rows"})
            assert await bus.get(LOG, sequence + 1000) is None
            assert await bus.last_sequence(LOG) >= sequence >= await bus.first_sequence(LOG)

    asyncio.run(scenario())


def test_requests_are_answered_and_nobody_answering_is_said_at_once(nats: NatsServer) -> None:
    async def scenario() -> None:
        async with connected(nats, "policy") as policy, connected(nats, "api") as api:

            async def shout(payload: bytes) -> bytes:
                return payload.upper()

            began = time.monotonic()
            with pytest.raises(UnavailableError, match="Nobody answers"):
                await api.request("policy.command", b"ping", timeout_seconds=5)
            assert time.monotonic() - began < 1
            async with asyncio.TaskGroup() as group:
                server = group.create_task(policy.serve("policy.command", shout))
                await asyncio.sleep(0.05)
                assert await api.request("policy.command", b"ping", timeout_seconds=5) == b"PING"
                server.cancel()

    asyncio.run(scenario())


def test_a_request_under_way_fails_at_once_when_the_server_dies(own_nats: NatsServer) -> None:
    async def scenario() -> None:
        async with connected(own_nats) as bus, connected(own_nats) as other:

            async def never(payload: bytes) -> bytes:
                await asyncio.sleep(60)
                return payload

            async with asyncio.TaskGroup() as group:
                server = group.create_task(other.serve("slow", never))
                await asyncio.sleep(0.05)
                request = asyncio.ensure_future(bus.request("slow", b"", timeout_seconds=30))
                await asyncio.sleep(0.05)
                began = time.monotonic()
                own_nats.kill()
                with pytest.raises(UnavailableError, match="went away"):
                    await request
                assert time.monotonic() - began < 1
                server.cancel()

    asyncio.run(scenario())


def test_announcements_reach_listeners(nats: NatsServer) -> None:
    async def scenario() -> None:
        async with connected(nats, "ingest") as ingest, connected(nats, "console") as console:
            heard = asyncio.ensure_future(anext(aiter(console.listen("status.*"))))
            await asyncio.sleep(0.05)
            await ingest.announce("status.ingest", b"well")
            message = await asyncio.wait_for(heard, 2)
            assert (message.subject, message.payload) == ("status.ingest", b"well")

    asyncio.run(scenario())


def test_a_role_may_not_write_what_another_owns(nats: NatsServer) -> None:
    async def scenario() -> None:
        async with connected(nats, "edge") as edge:
            with pytest.raises(UnavailableError):
                await asyncio.wait_for(edge.bucket("blocks").put("b-1", b"forged"), 7)
        async with connected(nats) as bus:
            assert await bus.bucket("blocks").get("b-1") is None

    asyncio.run(scenario())


def test_a_wrong_password_is_the_operators_matter(nats: NatsServer) -> None:
    async def scenario() -> None:
        with pytest.raises(OperatorError, match="does not know user 'policy'"):
            await Bus.connect(nats.url, user="policy", password=Secret("wrong"), name="t")

    asyncio.run(scenario())


def test_a_server_that_is_down_is_said_within_six_seconds() -> None:
    async def scenario() -> None:
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="NATS cannot be reached"):
            await Bus.connect(f"nats://127.0.0.1:{free_port()}", user="x", password=Secret("y"), name="t")
        assert time.monotonic() - began < 6

    asyncio.run(scenario())


def test_a_bus_that_was_closed_ends_its_readers(nats: NatsServer) -> None:
    async def scenario() -> None:
        bus = await nats.connect()
        reading = asyncio.ensure_future(anext(aiter(bus.read("EVENTS", from_sequence=await bus.last_sequence("EVENTS") + 1))))
        listening = asyncio.ensure_future(anext(aiter(bus.listen("nothing.here"))))
        await asyncio.sleep(0.1)
        await bus.close()
        for task in (reading, listening):
            with pytest.raises(UnavailableError):
                await asyncio.wait_for(task, 2)
        with pytest.raises(UnavailableError):
            await bus.publish(SUBJECT, b"")

    asyncio.run(scenario())
