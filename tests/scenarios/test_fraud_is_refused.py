"""The loop itself, at a real Kamailio under sipp's calls: fraud is refused, nothing else is, and an emergency call never."""

import time
from collections.abc import Iterator

import pytest

from ringfence.base.clock import system_clock
from ringfence.base.errors import OperatorError
from ringfence.enforcement.commands import ImposeBlock, LiftBlock
from ringfence.enforcement.model import Scope
from tests.scenarios.stage import Stage, eventually, open_stage, table_of

pytestmark = [pytest.mark.peer("kamailio"), pytest.mark.peer("sipp"), pytest.mark.timeout(300)]

HOUR_MS = 3_600_000
EMERGENCY = ("112", "110", "+49112", "0049112", "030112", "urn:service:sos", "urn:service:sos.police", "tel:112")


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_stage() as stage:
        yield stage


def test_fraud_is_refused_while_emergency_calls_and_everybody_else_go_through(stage: Stage) -> None:
    async def play() -> None:
        stolen = stage.account()
        before = {block.block_id for block in await stage.blocks()}
        with stage.traffic(rate=20) as traffic:
            fraud = await stage.defraud(stolen)
            assert [call.answer.status_code for call in fraud.calls[:2]] == [200, 200], "the first two calls make it a fraud"
            assert "cause=603" in fraud.calls[-1].answer.reason
            assert "text=" in fraud.calls[-1].answer.reason, "the refused caller hears why"
            for number in EMERGENCY:
                assert await stage.dial(stolen, number) == 200, number
            assert await stage.dial(stolen, "03012345678") == 200, "a class block leaves ordinary calls alone"
            assert await stage.dial(stolen, stage.expensive_number()) == 603
            successful, failed = await traffic.finish()
        assert (successful > 0, failed) == (True, 0)
        blocks = await stage.blocks(stolen)
        assert {(block.scope, block.automatic, block.value, block.state) for block in blocks} == {(Scope.CLASS, True, stolen, "active")}
        evidence = {call_id for block in blocks for call_id in block.calls}
        assert evidence
        assert evidence <= {call.call_id for call in fraud.calls}, "the evidence names the account's own calls"
        made = [block for block in await stage.blocks() if block.block_id not in before]
        assert {block.account for block in made} == {stolen}, "nobody else is blocked"
        await fraud.hang_up()

    stage.run(play())


def test_an_emergency_call_goes_through_with_every_imaginable_block_in_the_tables(stage: Stage) -> None:
    """What policy would never write is written past it, by hand and by a connector gone mad; a source of its own keeps other callers out of it."""
    account, address = stage.account(), "127.0.0.77"
    until = int(time.time()) + 600
    keys = [f"a:{account}", f"s:{address}"]
    numbers = ["112", "110", "49112", "49110", "4930112", "116", "491", "493"]

    async def play() -> None:
        with stage.rpc() as rpc:
            try:
                for action in ("all", "C0", "C1", "C2", "C5"):
                    # Written again for each call: the connector deletes what it does not know.
                    for number in EMERGENCY:
                        for key in (*keys, *numbers):
                            rpc.call("htable.setxs", table_of(key), key, f"{'all' if key in numbers else action}|{until}|b-wrong", 600)
                        assert await stage.dial(account, number, address=address) == 200, (action, number)
                    assert action not in ("all", "C0", "C1") or await stage.dial(account, "08912345678", address=address) == 603, action
            finally:
                for key in (*keys, *numbers):
                    rpc.call("htable.delete", table_of(key), key)

    stage.run(play())


def test_people_block_account_class_source_range_and_number_and_112_still_rings(stage: Stage) -> None:
    account, address = stage.account(), "127.0.0.78"
    # The weaker before the stronger: a block that another one covers already is a conflict.
    wanted = [
        (Scope.CLASS, account, 2),
        (Scope.ACCOUNT, account, 0),
        (Scope.SOURCE, address, 0),
        (Scope.NUMBER, "+498912345678", 0),
        (Scope.RANGE, "+4989", 0),
    ]

    async def play() -> None:
        until = system_clock() + HOUR_MS
        done = [
            await stage.ask(
                ImposeBlock(scope=scope, value=value, destination_class=level, until_ms=until, reason="a test of everything", by="anna")
            )
            for scope, value, level in wanted
        ]
        blocks = {block.block_id: block for block in await stage.blocks()}
        assert {answer.block_id for answer in done} <= set(blocks), "policy answers after the record holds it"
        for key in (f"a:{account}", f"s:{address}", "4989", "498912345678"):

            async def held(key: str = key) -> str:
                return stage.at_edge(key)

            await eventually(held, f"the edge holds {key}")
        for number in EMERGENCY:
            assert await stage.dial(account, number, address=address) == 200, number
        assert await stage.dial(account, "03012345678", address=address) == 603
        assert await stage.dial(stage.account(), "08912345678") == 603, "the range"
        assert await stage.dial(stage.account(), "03012345678") == 200, "nobody else"
        for answer in done:
            await stage.ask(LiftBlock(block_id=answer.block_id, reason="the test is over", by="anna"))

        async def free() -> bool:
            return await stage.dial(account, "08912345678", address=address) == 200

        await eventually(free, "everything lifted")

    stage.run(play())


@pytest.mark.parametrize("value", ["112", "+49112", "49110", "11", "+491", "+493011"])
def test_policy_refuses_a_block_that_would_cover_an_emergency_number(stage: Stage, value: str) -> None:
    command = ImposeBlock(scope=Scope.RANGE, value=value, until_ms=system_clock() + HOUR_MS, reason="a mistake", by="anna")
    with pytest.raises(OperatorError):
        stage.run(stage.ask(command))
