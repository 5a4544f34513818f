"""PostgreSQL is down and stays down: a new fraud is still found and blocked, and when it is back nothing is missing from the projections.

It is kept down by a line in its configuration that it refuses, as a mistake in the night would.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ringfence.base.clock import system_clock
from ringfence.enforcement.commands import ImposeBlock, LiftBlock
from ringfence.enforcement.model import Scope
from tests.scenarios.stage import Stage, eventually, open_stage

pytestmark = [pytest.mark.peer("kamailio"), pytest.mark.timeout(300)]

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with open_stage() as stage:
        yield stage


async def rows(stage: Stage, query: str) -> list[tuple[Any, ...]]:
    """What PostgreSQL holds; empty while it does not answer."""
    try:
        async with await psycopg.AsyncConnection.connect(stage.product.settings.database, connect_timeout=2) as connection:
            return await (await connection.execute(query.encode())).fetchall()
    except psycopg.OperationalError:
        return []


@contextmanager
def broken_configuration(stage: Stage) -> Iterator[None]:
    (file,) = Path(stage.product.folder / "postgres").glob("[0-9]*/postgresql.conf")
    before = file.read_text()
    file.write_text(f"{before}\nno_such_setting = on\n")
    try:
        yield
    finally:
        file.write_text(before)


def test_with_postgresql_down_a_fraud_is_blocked_and_people_still_decide_and_afterwards_nothing_is_missing(stage: Stage) -> None:
    async def play() -> None:
        before = stage.account()
        await (await stage.defraud(before)).hang_up()

        async def projected(account: str) -> bool:
            return bool(await rows(stage, f"SELECT 1 FROM enforcement.blocks WHERE account = '{account}'"))

        await eventually(lambda: projected(before), "the first block is in PostgreSQL")
        with broken_configuration(stage):
            stage.kill("postgres")

            async def away() -> bool:
                return not await rows(stage, "SELECT 1")

            await eventually(away, "PostgreSQL is away")
            stolen, by_hand, lifted = stage.account(), stage.account(), stage.account()
            await (await stage.defraud(stolen)).hang_up()
            assert await stage.dial(stolen, "112") == 200
            command = ImposeBlock(scope=Scope.ACCOUNT, value=by_hand, until_ms=system_clock() + HOUR_MS, reason="in the dark", by="anna")
            await stage.ask(command)
            made = await stage.ask(
                ImposeBlock(scope=Scope.ACCOUNT, value=lifted, until_ms=system_clock() + HOUR_MS, reason="in the dark too", by="anna")
            )
            await stage.ask(LiftBlock(block_id=made.block_id, reason="a mistake", by="ben"))

            async def refused() -> bool:
                return await stage.dial(by_hand, "03012345678") == 603

            await eventually(refused, "a person's block is at the edge")

            async def noticed() -> bool:
                status = await stage.status("worker")
                return not status.healthy and "ALERTS" in status.message and "EVENTS" in status.message

            await eventually(noticed, "the worker has tried to copy and says that it waits")
            # What it has in hand is lost with it, too.
            worker = stage.kill("worker")
            assert await rows(stage, "SELECT 1") == [], "it was down all the time"
        await stage.back("worker", worker)

        async def nothing_missing() -> bool:
            found = await rows(stage, "SELECT block_id, state FROM enforcement.blocks")
            alerts = await rows(stage, "SELECT alert_id, state, severity FROM detection.alerts")
            record = {(block.block_id, block.state) for block in await stage.blocks()}
            newest = {alert.alert_id: (alert.alert_id, alert.severity) for alert in await stage.alerts()}
            return record == set(found) and set(newest.values()) == {(alert_id, severity) for alert_id, _, severity in alerts}

        await eventually(nothing_missing, "every block and alert is in PostgreSQL")
        found = dict(await rows(stage, "SELECT value, state FROM enforcement.blocks WHERE origin = 'person:anna'"))
        assert found == {by_hand: "active", lifted: "lifted"}

        async def audited() -> bool:
            entries = await rows(stage, "SELECT action, subject FROM access.audit WHERE action LIKE 'block_%'")
            blocks = await stage.blocks()
            imposed = sorted(("block_imposed", block.block_id) for block in blocks)
            return sorted(entries) == sorted([*imposed, ("block_lifted", made.block_id)])

        await eventually(audited, "every decision stands in the audit chain once")

    stage.run(play())
