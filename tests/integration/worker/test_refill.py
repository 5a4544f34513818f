"""JetStream or PostgreSQL begins anew, and the other one gives back what it knows of the record: real engines, a real policy."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import msgspec
import pytest
from msgspec.structs import replace

from ringfence.apps.worker.refill import CHUNK_BYTES, MARKER, MARKER_BUCKET, commands_of
from ringfence.base.errors import NotFoundError
from ringfence.enforcement.agent import PolicyAgent, ask_policy, settings_for
from ringfence.enforcement.commands import Approve, Exempt, ImposeBlock, LiftBlock, encode_command
from ringfence.enforcement.model import DAY_MS, HOUR_MS, Block, Breaker, Scope
from ringfence.enforcement.service import BlockFilter, EnforcementService, InForce
from ringfence.runtime.bus import Bus
from ringfence.runtime.db import Database, migrate
from ringfence.runtime.status import StatusBoard
from tests.harness.engines import NatsServer, PostgresServer, short_folder
from tests.integration.worker.test_worker import START_MS, Clock, Worker, block, running, until

pytestmark = pytest.mark.timeout(120)

SETTINGS = settings_for(country="DE", area_codes=("30",), emergency=("110", "112"), first_ms=HOUR_MS, second_ms=DAY_MS)


@contextlib.contextmanager
def new_nats() -> Iterator[NatsServer]:
    with short_folder() as folder:
        server = NatsServer(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextlib.asynccontextmanager
async def product(nats: NatsServer, db: Database, clock: Clock) -> AsyncIterator[tuple[Bus, Worker]]:
    """Policy and worker as their mains wire them, each with its own user of the bus."""
    await nats.prepare()
    bus, policy_bus, worker_bus = await nats.connect(), await nats.connect("policy"), await nats.connect("worker")
    agent = PolicyAgent(policy_bus, SETTINGS, instance="i-test", clock=clock, board=StatusBoard("policy", "i-test"))
    worker = Worker(worker_bus, db)
    worker.clock.now_ms = clock.now_ms
    try:
        async with running(agent.run(), worker.projector.run()):
            yield bus, worker
    finally:
        for each in (bus, policy_bus, worker_bus):
            await each.close()


async def held(bus: Bus, bucket: str) -> set[str]:
    return set(await bus.bucket(bucket).keys())


async def order(bus: Bus, clock: Clock, number: int, hours: int, subjects: int = 1) -> str:
    command = ImposeBlock(
        scope=Scope.NUMBER, value=f"2327610000{number}", until_ms=clock() + hours * HOUR_MS, reason="a test", by="anna", subjects=subjects
    )
    done = await ask_policy(bus, command)
    return done.block_id or done.proposal_id


async def begin(bus: Bus, clock: Clock) -> dict[str, str]:
    """A record with something of each kind: in force, over, lifted, exempt, waiting for people."""
    made = {"long": await order(bus, clock, 1, 48), "short": await order(bus, clock, 2, 1), "lifted": await order(bus, clock, 3, 48)}
    await ask_policy(bus, LiftBlock(block_id=made["lifted"], reason="customer called", by="anna"))
    exempt = Exempt(scope=Scope.ACCOUNT, value="hospital", owner="ben", until_ms=clock() + DAY_MS, reason="a hospital", by="anna")
    made["exempt"] = (await ask_policy(bus, exempt)).exemption_id
    made["proposal"] = await order(bus, clock, 4, 48, subjects=5000)
    await ask_policy(bus, Approve(proposal_id=made["proposal"], by="anna"))
    return made


async def policy_is_there(bus: Bus, clock: Clock) -> None:
    async def answers() -> bool:
        return await bus.bucket("leases").get("policy") is not None

    await until(answers)
    await asyncio.sleep(0.3)


def test_a_new_jetstream_gets_the_record_back(database_url: str, own_nats: NatsServer) -> None:
    async def scenario(fresh: NatsServer) -> None:
        clock = Clock()
        async with Database(database_url, name="test") as db:
            async with product(own_nats, db, clock) as (bus, worker):
                await policy_is_there(bus, clock)
                made = await begin(bus, clock)

                async def copied() -> bool:
                    _, approvals = await worker.enforcement.proposal(made["proposal"])
                    return len(approvals) == 1

                await until(lambda: _quietly(copied))
                before = await worker.enforcement.block(made["long"])

            clock.now_ms += 2 * HOUR_MS  # Meanwhile the short one reached its time.
            await fresh.prepare()
            setter = await fresh.connect()
            # Somebody wrote this key into the new record already: it stays as it is.
            present = replace(before, reason="written by the new record")
            await setter.bucket("blocks").create(made["long"], msgspec.json.encode(present))
            await setter.close()
            async with product(fresh, db, clock) as (bus, worker):
                await until(lambda: _marked(bus))
                assert await held(bus, "blocks") == {made["long"]}
                entry = await bus.bucket("blocks").get(made["long"])
                assert entry is not None
                assert entry.value is not None
                assert msgspec.json.decode(entry.value, type=Block) == present
                assert await held(bus, "exemptions") == {made["exempt"]}
                assert await held(bus, "releases") == {made["lifted"]}
                assert await held(bus, "proposals") == {made["proposal"]}
                assert await held(bus, "approvals") == {f"{made['proposal']}/anna"}
                assert (await worker.enforcement.block(made["short"])).state == "expired"

                async def audited() -> bool:
                    return (made["exempt"], "role:worker") in [
                        (line.record_id, line.person) for line in await worker.enforcement.history() if line.name == "entry_restored"
                    ]

                await until(audited)
                # Revisions begin at one again, and the copy follows all the same.
                await ask_policy(bus, LiftBlock(block_id=made["long"], reason="over", by="ben"))
                await until(lambda: _state(worker, made["long"], "lifted"))
            # A later start of the same JetStream gives nothing back: the record is what it is.
            async with product(fresh, db, clock) as (bus, worker):
                await asyncio.sleep(1)
                assert len(await held(bus, "blocks")) == 1

    with new_nats() as fresh:
        asyncio.run(scenario(fresh))


def test_blocks_in_force_come_back_and_are_announced(database_url: str, own_nats: NatsServer) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with Database(database_url, name="test") as db:
            copy = EnforcementService(db, clock)
            for number in range(300):
                await copy.copy(block(number, calls=tuple(f"{number}-{call}@198.51.100.7" for call in range(50))), 1000 + number)
            emergency = block(900, scope=Scope.NUMBER, value="49110", destination_class=0)
            await copy.copy(emergency, 2000)  # Nobody can block that, whatever a database says.
            async with product(own_nats, db, clock) as (bus, worker):
                await until(lambda: _marked(bus))
                assert await held(bus, "blocks") == {f"b-{number:04}" for number in range(300)}

                async def announced() -> bool:
                    rows = await worker.enforcement.history(limit=500)
                    return sum(line.name == "entry_restored" for line in rows) == 300

                async def audited() -> bool:
                    return (await worker.access.verify()).entries == 300

                await until(announced)
                await until(audited)

    asyncio.run(scenario())


def test_a_new_database_gets_the_record_back(postgres: PostgresServer, database_url: str, own_nats: NatsServer) -> None:
    async def scenario() -> None:
        clock = Clock()
        async with Database(database_url, name="test") as db, product(own_nats, db, clock) as (bus, _):
            await policy_is_there(bus, clock)
            made = await begin(bus, clock)
            await bus.bucket("breaker").put("source", msgspec.json.encode(Breaker(kind="source", opened_ms=START_MS)))
            await until(lambda: _marked(bus))
        name = "anew"
        url = postgres.create(name)
        try:
            await migrate(url)
            worker_bus = await own_nats.connect("worker")
            async with Database(url, name="test") as db:
                worker = Worker(worker_bus, db)
                await worker.projector.compare_record()
                blocks = await worker.enforcement.blocks(BlockFilter())
                assert {found.block_id: found.state for found in blocks} == {
                    made["long"]: "active",
                    made["short"]: "active",
                    made["lifted"]: "lifted",
                }
                assert [found.exemption_id for found in await worker.enforcement.exemptions()] == [made["exempt"]]
                assert len((await worker.enforcement.proposal(made["proposal"]))[1]) == 1
                assert [found.is_open for found in await worker.enforcement.breakers()] == [True]
            await worker_bus.close()
        finally:
            postgres.drop(name)

    asyncio.run(scenario())


def test_commands_stay_below_the_bound() -> None:
    blocks = tuple(block(number, calls=tuple(f"{call:0200}" for call in range(50))) for number in range(20))
    found = InForce(blocks=blocks, exemptions=(), releases=(), proposals=(), approvals=(), breakers=())
    commands = list(commands_of(found))
    assert len(commands) > 1
    assert all(len(encode_command(command)) < CHUNK_BYTES + 1000 for command in commands)
    assert tuple(entry for command in commands for entry in command.blocks) == blocks


async def _marked(bus: Bus) -> bool:
    return await bus.bucket(MARKER_BUCKET).get(MARKER) is not None


async def _state(worker: Worker, block_id: str, state: str) -> bool:
    return (await worker.enforcement.block(block_id)).state == state


async def _quietly(question: Callable[[], Awaitable[bool]]) -> bool:
    with contextlib.suppress(NotFoundError):
        return await question()
    return False
