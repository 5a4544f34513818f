"""All of Ringfence dies at once: calls flow, the edge refuses what it refused, each block ends at its time; a new start goes on from there."""

import asyncio
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.base.clock import system_clock
from ringfence.drills.product import BLOCKING_ROLES
from ringfence.enforcement.commands import ImposeBlock
from ringfence.enforcement.model import Scope
from tests.scenarios.stage import Stage, eventually, open_stage

pytestmark = [pytest.mark.peer("kamailio"), pytest.mark.peer("sipp"), pytest.mark.timeout(300)]

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_stage() as stage:
        yield stage


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_calls_flow_and_blocks_stand_until_their_time_while_ringfence_is_dead(stage: Stage) -> None:
    async def play() -> None:
        stolen, short, lasting = stage.account(), stage.account(), stage.account()
        fraud = await stage.defraud(stolen)
        until_ms = system_clock() + 8_000
        for account, end_ms in ((short, until_ms), (lasting, system_clock() + HOUR_MS)):
            await stage.ask(ImposeBlock(scope=Scope.ACCOUNT, value=account, until_ms=end_ms, reason="before the fall", by="anna"))

            async def held(account: str = account) -> str:
                return stage.at_edge(f"a:{account}")

            await eventually(held, "the edge holds it")
        before = {block.block_id for block in await stage.blocks()}
        names = (*BLOCKING_ROLES, "nats", "postgres")
        pids = [stage.pid(name) for name in names]
        with stage.traffic() as traffic:
            stage.product.process.send_signal(signal.SIGKILL)
            await stage.product.process.wait()

            async def all_dead() -> bool:
                return not any(alive(pid) for pid in pids)

            await eventually(all_dead, "nothing outlives the supervisor")
            assert await stage.dial(stolen, stage.expensive_number()) == 603
            assert await stage.dial(stolen, "03012345678") == 200
            assert await stage.dial(stolen, "112") == 200
            assert await stage.dial(lasting, "03012345678") == 603
            codes = []
            while system_clock() < until_ms + 300:
                sent_ms = system_clock()
                codes.append((sent_ms, await stage.dial(short, "03012345678")))
                await asyncio.sleep(0.1)
            assert {code for sent_ms, code in codes if sent_ms >= until_ms} == {200}
            assert {code for sent_ms, code in codes if sent_ms < until_ms // 1000 * 1000 - 500} <= {603}
            successful, failed = await traffic.finish()
        assert (successful > 0, failed) == (True, 0)
        started.append(await start_again(stage))
        await running(stage)
        assert before <= {block.block_id for block in await stage.blocks()}
        assert {block.state for block in await stage.blocks(lasting)} == {"active"}
        assert await stage.dial(lasting, "03012345678") == 603
        assert await stage.dial(stolen, stage.expensive_number()) == 603

        async def expired() -> bool:
            return {block.state for block in await stage.blocks(short)} == {"expired"}

        await eventually(expired, "policy has seen that its time is over")
        await (await stage.defraud(stage.account())).hang_up()
        await fraud.hang_up()

    started: list[Process] = []
    try:
        stage.run(play())
    finally:
        for process in started:
            process.send_signal(signal.SIGINT)
            stage.run(process.wait())


async def start_again(stage: Stage) -> Process:
    """The same command on the same folder, as `systemctl start` would."""
    folder = stage.product.folder
    for file in (folder / "run").glob("*.ready"):
        file.unlink()
    with (folder / "up.log").open("ab") as log:
        command = (sys.executable, "-m", "ringfence.apps.cli.main", "up", "--data-dir", str(folder))
        return await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=log, stderr=log)


async def running(stage: Stage) -> None:
    """Until every role of the new start is ready."""
    folder = stage.product.folder

    async def ready() -> bool:
        return stage.bus.connected and all((folder / "run" / f"{role}.ready").exists() for role in BLOCKING_ROLES)

    await eventually(ready, "it runs again")
