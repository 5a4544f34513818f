"""kill -9 of every part in the middle of calls: no block is lost, none outlives its time at the edge, a new fraud is blocked, calls flow.

The supervisor starts what was killed again. Kamailio's restart is the operator's business; the connector refills what it lost.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from ringfence.base.clock import system_clock
from ringfence.enforcement.commands import ImposeBlock
from ringfence.enforcement.model import Scope
from tests.scenarios.stage import Stage, eventually, open_stage, table_of

pytestmark = [pytest.mark.peer("kamailio"), pytest.mark.peer("sipp"), pytest.mark.timeout(400)]

HOUR_MS = 3_600_000
PERSONS_BLOCKS = 40
VICTIMS = ("edge", "policy", "detector", "ingest", "worker", "nats", "postgres")
REFILLED_SECONDS = 60.0
"""`flows.md` 6: before traffic is a minute old. What was measured is printed."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_stage() as stage:
        yield stage


@pytest.fixture(scope="module")
def standing(stage: Stage) -> dict[str, str]:
    """Forty blocks of a person that stay: key at the edge -> block id."""

    async def impose() -> dict[str, str]:
        until = system_clock() + HOUR_MS
        made = {}
        for number in range(PERSONS_BLOCKS):
            scope, value = (Scope.ACCOUNT, f"standing-{number}") if number % 2 else (Scope.RANGE, f"+8820{number:02d}")
            done = await stage.ask(ImposeBlock(scope=scope, value=value, until_ms=until, reason="stands all night", by="anna"))
            made[f"a:{value}" if scope is Scope.ACCOUNT else value.removeprefix("+")] = done.block_id
        return made

    return stage.run(impose())


async def all_stand(stage: Stage, standing: dict[str, str]) -> bool:
    """Whether record and edge hold every standing block."""
    recorded = {block.block_id for block in await stage.blocks() if block.in_force(system_clock())}
    with stage.rpc() as rpc:
        held = {key: rpc.call("htable.get", table_of(key), key) for key in standing}
    at_edge = {key: str(found["item"]["value"]).split("|")[2] for key, found in held.items() if found is not None}
    return set(standing.values()) <= recorded and at_edge == standing


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_part_killed_in_the_middle_loses_no_block_and_the_fraud_is_blocked(stage: Stage, standing: dict[str, str], victim: str) -> None:
    """The victim dies between the first and the second call, which crosses."""

    async def play() -> None:
        await eventually(lambda: all_stand(stage, standing), "all blocks stand before")
        stolen, killed = stage.account(), 0

        async def kill_after_first(calls: int) -> None:
            nonlocal killed
            if calls == 1:
                killed = stage.kill(victim)

        with stage.traffic() as traffic:
            fraud = await stage.defraud(stolen, between=kill_after_first)
            await stage.back(victim, killed)
            await eventually(lambda: all_stand(stage, standing), "all blocks stand after")
            assert await stage.dial(stolen, stage.expensive_number()) == 603
            assert await stage.dial(stolen, "112") == 200
            successful, failed = await traffic.finish()
        assert (successful > 0, failed) == (True, 0), "calls flow all the time"
        sys.stdout.write(f"{victim} killed: blocked {fraud.seconds_to_block:.2f} s after the crossing call\n")
        blocks = await stage.blocks(stolen)
        assert blocks
        assert len({block.suspicion_id for block in blocks}) == len(blocks), "one suspicion, one block"
        await fraud.hang_up()

    stage.run(play())


def test_a_block_made_just_before_policy_and_connector_die_is_at_the_edge_afterwards(stage: Stage) -> None:
    """Acknowledged is kept: the answer of policy is the last thing that happens before everything that knows of the block is killed."""

    async def play() -> None:
        account = stage.account()
        done = await stage.ask(
            ImposeBlock(scope=Scope.ACCOUNT, value=account, until_ms=system_clock() + HOUR_MS, reason="the last before the fall", by="anna")
        )
        killed = {name: stage.kill(name) for name in ("edge", "policy", "nats")}
        for name, pid in killed.items():
            await stage.back(name, pid)

        async def refused() -> bool:
            return await stage.dial(account, "03012345678") == 603

        await eventually(refused, "the edge refuses")
        assert stage.at_edge(f"a:{account}").split("|")[2] == done.block_id

    stage.run(play())


def test_a_block_ends_at_its_time_at_the_edge_while_the_connector_is_stopped(stage: Stage) -> None:
    async def play() -> None:
        account = stage.account()
        until_ms = system_clock() + 6_000
        await stage.ask(ImposeBlock(scope=Scope.ACCOUNT, value=account, until_ms=until_ms, reason="six seconds", by="anna"))

        async def held() -> str:
            return stage.at_edge(f"a:{account}")

        await eventually(held, "the edge holds it")
        connector = stage.pid("edge")
        os.kill(connector, signal.SIGSTOP)
        try:
            codes: list[tuple[int, int]] = []
            while not codes or codes[-1][0] < until_ms + 500:
                sent_ms = system_clock()
                codes.append((sent_ms, await stage.dial(account, "03012345678")))
                await asyncio.sleep(0.1)
        finally:
            os.kill(connector, signal.SIGKILL)
        # The time in the value has whole seconds: it ends in the second that holds `until`, never after it.
        assert {code for sent_ms, code in codes if sent_ms < until_ms // 1000 * 1000 - 500} == {603}
        assert {code for sent_ms, code in codes if sent_ms >= until_ms} == {200}
        await stage.back("edge", connector)

    stage.run(play())


def test_a_restarted_kamailio_is_refilled(stage: Stage, standing: dict[str, str]) -> None:
    async def play() -> None:
        account = stage.account()
        await stage.ask(
            ImposeBlock(scope=Scope.ACCOUNT, value=account, until_ms=system_clock() + HOUR_MS, reason="over a restart", by="anna")
        )
        await eventually(lambda: all_stand(stage, standing), "all blocks stand before")
        await asyncio.to_thread(stage.kamailio.kill)
        await asyncio.to_thread(stage.kamailio.start_again)
        up = time.monotonic()

        async def refused() -> bool:
            return await stage.dial(account, "03012345678") == 603

        await eventually(refused, "the restarted Kamailio refuses")
        first = time.monotonic() - up
        await eventually(lambda: all_stand(stage, standing), "all blocks stand after")
        whole = time.monotonic() - up
        sys.stdout.write(f"Kamailio answers again: first block effective after {first:.2f} s, all after {whole:.2f} s\n")
        assert whole < REFILLED_SECONDS
        assert await stage.dial(account, "112") == 200
        assert await stage.dial(stage.account(), "03012345678") == 200

    stage.run(play())
