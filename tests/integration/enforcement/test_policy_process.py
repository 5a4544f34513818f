"""The policy process over a real NATS: recorded before it answers, announced once, and no block lost or doubled whoever is killed."""

import asyncio
import contextlib
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from ringfence.base.clock import system_clock
from ringfence.base.errors import ConflictError, NotFoundError, OperatorError, UnavailableError
from ringfence.enforcement.agent import ask_policy
from ringfence.enforcement.commands import Approve, EndExemption, Exempt, ImposeBlock, LiftBlock, Ping, Reject, ResetBreaker
from ringfence.enforcement.events import BlockImposed, Event, decode_event
from ringfence.enforcement.model import Block, Proposal, Scope
from ringfence.runtime.bus import Bus
from ringfence.telephony.control import AccountChanged, NetworksChanged, encode_control
from ringfence.telephony.suspicion import Measure, Suspicion, encode_suspicion
from tests.harness.engines import NatsServer
from tests.integration.enforcement.processes import RoleProcess, connected, stopped_at_the_end, until
from tests.unit.enforcement.samples import block, suspicion

pytestmark = pytest.mark.timeout(120)


def number_suspicion(number: int, **fields: object) -> Suspicion:
    measure = Measure(scope="number", value=f"232761{number:05d}")
    return suspicion(measure, alert=f"a-{number}", account=f"u{number}", at_ms=system_clock(), **fields)  # type: ignore[arg-type]


async def publish(bus: Bus, suspected: Suspicion) -> None:
    await bus.publish_once(f"suspicion.{suspected.alert_id}.{suspected.level}", encode_suspicion(suspected))


async def blocks(bus: Bus) -> dict[str, Block]:
    bucket = bus.bucket("blocks")
    found = [entry for key in await bucket.keys() if (entry := await bucket.get(key)) is not None]
    return {entry.key: msgspec.json.decode(entry.value or b"", type=Block) for entry in found}


async def announced(bus: Bus) -> list[Event]:
    events: list[Event] = []
    last = await bus.last_sequence("EVENTS")
    if last:
        async with contextlib.aclosing(bus.read("EVENTS", from_sequence=1)) as messages:
            async for message in messages:
                events.append(decode_event(message.payload))
                if message.sequence >= last:
                    break
    return events


async def active(bus: Bus) -> bool:
    with contextlib.suppress(UnavailableError):
        await ask_policy(bus, Ping(), timeout_seconds=1)
        return True
    return False


def test_a_suspicion_becomes_a_block_that_is_announced_once(own_nats: NatsServer, tmp_path: Path) -> None:
    policy = RoleProcess("policy", tmp_path / "p", own_nats)

    async def scenario() -> None:
        async with connected(own_nats) as bus:
            await until(lambda: active(bus))
            await publish(bus, number_suspicion(1))
            await publish(bus, number_suspicion(2, mode="observe"))
            await publish(bus, number_suspicion(3, mode="propose"))
            await bus.publish("suspicion.broken.2", b'{"suspicion_id":"\xff"')
            await publish(bus, number_suspicion(4))

            async def both() -> bool:
                return len(await blocks(bus)) == 2

            await until(both)
            assert {block.value for block in (await blocks(bus)).values()} == {"23276100001", "23276100004"}
            before = await blocks(bus)
            policy.kill()
            policy.start()
            # A restarted consumer may see the last ones again: nothing changes.
            await until(lambda: active(bus))
            await publish(bus, number_suspicion(5))

            async def three() -> bool:
                return len(await blocks(bus)) == 3

            await until(three)
            assert before.items() <= (await blocks(bus)).items()

            async def told() -> bool:
                return len(await announced(bus)) >= 4

            await until(told)
            names = Counter(type(event).__name__ for event in await announced(bus))
            assert names == {"BlockImposed": 3, "ProposalMade": 1}

    with stopped_at_the_end(policy):
        policy.start()
        asyncio.run(scenario())
        assert policy.stop() == 0


def test_kill_9_in_the_middle_loses_and_doubles_nothing(own_nats: NatsServer, tmp_path: Path) -> None:
    """The active policy is killed at work, the standby takes over, then NATS is killed too."""
    one = RoleProcess("policy", tmp_path / "one", own_nats)
    two = RoleProcess("policy", tmp_path / "two", own_nats)
    count = 600

    async def feed() -> None:
        async with connected(own_nats) as bus:
            for number in range(count):
                while True:
                    try:
                        await publish(bus, number_suspicion(number))
                        break
                    except UnavailableError:
                        await asyncio.sleep(0.1)
                await asyncio.sleep(0.002)

    async def scenario() -> None:
        async with connected(own_nats) as bus, asyncio.TaskGroup() as group:
            await until(lambda: active(bus))
            two.start()
            group.create_task(feed())

            async def some() -> bool:
                return len(await bus.bucket("blocks").keys()) > 100

            await until(some)
            one.kill()
            took = await until(lambda: active(bus), what="the standby takes over")
            assert took < 6
            await asyncio.sleep(0.2)
            own_nats.kill()
            own_nats.start()
            two_again = await until(lambda: active(bus), what="the policy works after NATS was killed")
            assert two_again < 15

            async def all_of_them() -> bool:
                with contextlib.suppress(UnavailableError):
                    return len(await bus.bucket("blocks").keys()) >= count
                return False

            await until(all_of_them, seconds=30)
            found = await blocks(bus)
            assert len(found) == count
            assert len({block.suspicion_id for block in found.values()}) == count

            async def told() -> bool:
                return len(await announced(bus)) >= count

            await until(told, seconds=30)
            imposed = [event.block.block_id for event in await announced(bus) if isinstance(event, BlockImposed)]
            assert sorted(imposed) == sorted(found)

    with stopped_at_the_end(one, two):
        one.start()
        asyncio.run(scenario())


def test_what_people_ask(own_nats: NatsServer, tmp_path: Path) -> None:
    policy = RoleProcess("policy", tmp_path / "p", own_nats)
    now_ms = system_clock()
    hour_ms = now_ms + 3_600_000

    async def scenario() -> None:
        async with connected(own_nats) as admin, connected(own_nats, "api") as bus:
            await until(lambda: active(bus))
            # A person's block, its release, and the grace.
            done = await ask_policy(
                bus,
                ImposeBlock(scope=Scope.RANGE, value="+23276", until_ms=hour_ms, reason="IRSF", by="anna", alert_id="a-7", account="u7"),
            )
            assert (await blocks(admin))[done.block_id].value == "23276"
            with pytest.raises(ConflictError):
                await ask_policy(bus, ImposeBlock(scope=Scope.NUMBER, value="23276123456", until_ms=hour_ms, reason="IRSF", by="bert"))
            await ask_policy(bus, LiftBlock(block_id=done.block_id, reason="customer", by="bert"))
            lifted = (await blocks(admin))[done.block_id]
            assert (lifted.state, lifted.ended_by, lifted.ended_reason) == ("lifted", "bert", "customer")
            with pytest.raises(ConflictError):
                await ask_policy(bus, LiftBlock(block_id=done.block_id, reason="customer", by="bert"))
            with pytest.raises(NotFoundError):
                await ask_policy(bus, LiftBlock(block_id="b-none", reason="customer", by="bert"))
            # What nobody may do.
            for value in ("4930", "49112"):
                with pytest.raises(OperatorError, match="emergency"):
                    await ask_policy(
                        bus, ImposeBlock(scope=Scope.RANGE, value=value, until_ms=hour_ms, reason="r", by="anna", break_glass=True)
                    )
            # Two people for a mass measure.
            wide = await ask_policy(
                bus, ImposeBlock(scope=Scope.RANGE, value="882", until_ms=hour_ms, reason="r", by="anna", subjects=5000)
            )
            assert (wide.block_id, wide.approvals_needed) == ("", 2)
            for _ in range(2):
                assert (await ask_policy(bus, Approve(proposal_id=wide.proposal_id, by="anna"))).approvals == 1
            approved = await ask_policy(bus, Approve(proposal_id=wide.proposal_id, by="bert"))
            assert (await blocks(admin))[approved.block_id].value == "882"
            with pytest.raises(ConflictError):
                await ask_policy(bus, Reject(proposal_id=wide.proposal_id, by="carl", reason="late"))
            # An exemption, and its end.
            exempt = await ask_policy(
                bus, Exempt(scope=Scope.ACCOUNT, value="u8", owner="Dr. Ott", until_ms=hour_ms, reason="hospital", by="anna")
            )
            with pytest.raises(OperatorError, match=r"Dr\. Ott"):
                await ask_policy(bus, ImposeBlock(scope=Scope.ACCOUNT, value="u8", until_ms=hour_ms, reason="r", by="anna"))
            await ask_policy(bus, EndExemption(exemption_id=exempt.exemption_id, reason="moved", by="anna"))
            assert (await ask_policy(bus, ImposeBlock(scope=Scope.ACCOUNT, value="u8", until_ms=hour_ms, reason="r", by="anna"))).block_id
            with pytest.raises(ConflictError):
                await ask_policy(bus, ResetBreaker(kind="account", by="anna", reason="r"))
            assert b'"error"' in await bus.request("policy.command", b"{}", timeout_seconds=2)

    with stopped_at_the_end(policy):
        policy.start()
        asyncio.run(scenario())


def test_time_and_new_facts_end_blocks(own_nats: NatsServer, tmp_path: Path) -> None:
    policy = RoleProcess("policy", tmp_path / "p", own_nats)

    async def scenario() -> None:
        async with connected(own_nats) as bus:
            await until(lambda: active(bus))
            now_ms = system_clock()
            short = await ask_policy(bus, ImposeBlock(scope=Scope.ACCOUNT, value="u1", until_ms=now_ms + 1500, reason="r", by="anna"))
            source = await ask_policy(
                bus, ImposeBlock(scope=Scope.SOURCE, value="203.0.113.9", until_ms=now_ms + 3_600_000, reason="r", by="anna")
            )
            networks = NetworksChanged(version=1, networks=(("203.0.113.0/24", "own_pool"),))
            await bus.bucket("control").put("networks", encode_control([networks]))

            async def both_ended() -> bool:
                found = await blocks(bus)
                return (found[short.block_id].state, found[source.block_id].state) == ("expired", "lifted")

            await until(both_ended, seconds=8)
            ended = (await blocks(bus))[source.block_id]
            assert (ended.ended_by, "own network" in ended.ended_reason) == ("policy", True)
            with pytest.raises(OperatorError):
                await ask_policy(
                    bus, ImposeBlock(scope=Scope.SOURCE, value="203.0.113.8", until_ms=now_ms + 3_600_000, reason="r", by="anna")
                )

    with stopped_at_the_end(policy):
        policy.start()
        asyncio.run(scenario())


def test_what_a_dead_writer_recorded_and_did_not_announce_is_announced_once(own_nats: NatsServer, tmp_path: Path) -> None:
    policy = RoleProcess("policy", tmp_path / "p", own_nats)
    made = block(block_id="b-left", until_ms=system_clock() + 3_600_000, imposed_ms=system_clock())

    async def scenario() -> None:
        async with connected(own_nats) as bus:
            await bus.bucket("blocks").put(made.block_id, msgspec.json.encode(made))
            for _ in range(2):
                policy.start()
                await until(lambda: active(bus))

                async def told() -> bool:
                    return len(await announced(bus)) == 1

                await until(told)
                await asyncio.sleep(1.2)  # The cursor is saved by a sweep.
                policy.kill()
            assert await announced(bus) == [BlockImposed(block=made)]
            cursor = await bus.bucket("leases").get("policy-announced")
            assert cursor is not None

    with stopped_at_the_end(policy):
        asyncio.run(scenario())


def test_accounts_of_the_control_bucket_exempt_and_count(own_nats: NatsServer, tmp_path: Path) -> None:
    policy = RoleProcess("policy", tmp_path / "p", own_nats)

    async def scenario() -> None:
        async with connected(own_nats) as bus:
            await until(lambda: active(bus))
            later_ms = system_clock() + 3_600_000
            order = ImposeBlock(scope=Scope.ACCOUNT, value="hospital", until_ms=later_ms, reason="r", by="anna")
            hospital = AccountChanged(account="hospital", account_key=7, slot=7, exempt_until_ms=later_ms)
            await bus.bucket("control").put("accounts.7", encode_control([hospital]))
            await asyncio.sleep(0.3)
            with pytest.raises(OperatorError, match="exempt"):
                await ask_policy(bus, order)
            await bus.bucket("control").put("accounts.7", encode_control([]))
            await asyncio.sleep(0.3)
            assert (await ask_policy(bus, order)).block_id

    with stopped_at_the_end(policy):
        policy.start()
        asyncio.run(scenario())


def test_the_breaker_opens_is_announced_and_stays_open_over_a_restart(own_nats: NatsServer, tmp_path: Path) -> None:
    policy = RoleProcess("policy", tmp_path / "p", own_nats)

    def account_suspicion(number: int) -> Suspicion:
        return suspicion(alert=f"c-{number}", account=f"v{number}", at_ms=system_clock())

    async def scenario() -> None:
        async with connected(own_nats) as bus:
            await until(lambda: active(bus))
            for number in range(52):
                await publish(bus, account_suspicion(number))

            async def two_wait() -> bool:
                return len(await bus.bucket("proposals").keys()) == 2

            await until(two_wait)
            assert len(await blocks(bus)) == 50
            policy.kill()
            policy.start()
            await until(lambda: active(bus))
            await publish(bus, account_suspicion(52))

            async def three_wait() -> bool:
                return len(await bus.bucket("proposals").keys()) == 3

            await until(three_wait)
            opened = [event for event in await announced(bus) if type(event).__name__ == "BreakerOpened"]
            assert len(opened) == 1
            await ask_policy(bus, ResetBreaker(kind="account", by="anna", reason="a real attack"))
            await publish(bus, account_suspicion(53))

            async def acts_again() -> bool:
                return len(await blocks(bus)) == 51

            await until(acts_again)
            key = (await bus.bucket("proposals").keys())[0]
            entry = await bus.bucket("proposals").get(key)
            assert entry is not None
            assert msgspec.json.decode(entry.value or b"", type=Proposal).cause == "breaker"
            assert (await ask_policy(bus, Approve(proposal_id=key, by="anna"))).block_id

    with stopped_at_the_end(policy):
        policy.start()
        asyncio.run(scenario())
