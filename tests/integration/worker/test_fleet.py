"""The fleet's housekeeping on a real PostgreSQL: whole batches and the rest, and a database that goes away and comes back."""

import asyncio
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from ringfence.apps.worker.fleet import Housekeeper
from ringfence.fleet.adapters import NoKeys, Sealer
from ringfence.fleet.inventory.service import InventoryService
from ringfence.fleet.model import Filter, SessionDone
from ringfence.fleet.orders import OrderState
from ringfence.fleet.service import FleetService
from ringfence.protocols.cwmp.messages import Reboot
from ringfence.runtime.db import Database
from ringfence.runtime.status import StatusBoard
from tests.harness.engines import PostgresServer
from tests.integration.fleet.test_admit import FEED, NOW, inform, sealer

HOUR_MS = 3_600_000


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.01)


def test_silence_and_deadlines_are_found_in_batches(database_url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with Database(database_url, name="test") as db:
            now = NOW
            fleet = FleetService(db, sealer(tmp_path), FEED, None, lambda: now)
            rows = "".join(f"00040E,FRITZ,A{number},shipped,L{number}\n" for number in range(5))
            await fleet.import_devices("anna", io.StringIO(f"oui,product_class,serial_number,state,line\n{rows}"))
            admitted = await fleet.admit([inform(f"A{number}", peer_ip="203.0.113.9") for number in range(5)])
            for answer in admitted[:3]:
                await fleet.ordered(answer.device_id, Reboot("by the test"))
            await fleet.admit([inform("A1"), inform("A2", peer_ip="192.0.2.2")])  # On their lines: each is announced.
            keeper = Housekeeper(fleet, StatusBoard("worker", "test"), silent_ms=2 * HOUR_MS, transcripts_ms=2 * HOUR_MS, batch=2)
            await keeper.mark_silent()
            await keeper.reconcile()
            assert await fleet.page(Filter(life="silent")) == ()
            now += 3 * HOUR_MS
            await keeper.mark_silent()
            await keeper.reconcile()
            assert len(await fleet.page(Filter(life="silent"))) == 5
            for answer in admitted[:3]:
                (attempt,) = (await fleet.orders(answer.device_id)).own
                assert attempt.state is OrderState.UNKNOWN
            done = [
                SessionDone(device_id=one.device_id, session_id=f"s{one.device_id}", work=None, at_ms=NOW, transcript=("x",))
                for one in admitted
            ]
            await fleet.settle([*done, replace(done[0], session_id="fresh", at_ms=now)])
            await keeper.forget()
            kept = [name for one in admitted for name, _, _ in await fleet.transcripts(one.device_id)]
            assert kept == ["fresh"]
            assert (await fleet.forget(HOUR_MS, 1, 2), await fleet.forget(HOUR_MS, 4 * HOUR_MS, 2)) == (2, 0), "announcements by age"
            await keeper.count_versions()
            (counted,) = await fleet.summary()
            assert (counted.life, counted.devices) == ("silent", 5)
            assert [entry.devices for entry in await fleet.versions()] == [5]
            await keeper.compare()

    asyncio.run(main())


def test_a_turn_that_is_lost_to_a_session_is_only_lost(database_url: str) -> None:
    async def main() -> None:
        async with Database(database_url, name="test") as db:
            fleet = InventoryService(db, Sealer(NoKeys()), lambda: NOW)
            await fleet.import_devices("anna", io.StringIO("oui,product_class,serial_number\n00040E,FRITZ,A1\n"))
            device_id, turns = (await fleet.stock())[0].device_id, 0
            keeper = Housekeeper(fleet, StatusBoard("worker", "test"), silent_ms=HOUR_MS, transcripts_ms=HOUR_MS)

            async def cross() -> None:
                nonlocal turns
                turns += 1
                if turns == 2:
                    return
                async with db.transaction() as mine:
                    await mine.execute("set transaction isolation level repeatable read")
                    await mine.execute("select from fleet.devices where device_id = %s", (device_id,))
                    async with db.transaction() as other:
                        await other.execute("update fleet.devices set region = 'north' where device_id = %s", (device_id,))
                    await mine.execute("update fleet.devices set region = 'south' where device_id = %s", (device_id,))

            task = asyncio.create_task(keeper.every(0.01, "crossing", cross))
            await until(lambda: turns >= 2 or task.done())
            assert not task.done()
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(main())


def test_housekeeping_waits_for_a_database_that_is_away(postgres: PostgresServer, database_url: str) -> None:
    name = conninfo_to_dict(database_url)["dbname"]

    def let_in(allowed: bool) -> None:
        with psycopg.connect(postgres.admin_url, autocommit=True) as connection:
            connection.execute(sql.SQL("alter database {} allow_connections {}").format(sql.Identifier(str(name)), allowed))
            if not allowed:
                connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))

    async def one_run(db: Database, board: StatusBoard, true: Callable[[], bool]) -> None:
        keeper = Housekeeper(InventoryService(db, Sealer(NoKeys()), lambda: NOW), board, silent_ms=HOUR_MS, transcripts_ms=HOUR_MS)
        task = asyncio.create_task(keeper.run())
        await until(true)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])

    async def main() -> None:
        async with Database(database_url, name="test") as db:
            board = StatusBoard("worker", "test")
            await one_run(db, board, lambda: board.status(NOW).healthy)
            let_in(False)
            try:
                await one_run(db, board, lambda: "housekeeping waits" in board.status(NOW).message)
            finally:
                let_in(True)
            await one_run(db, board, lambda: board.status(NOW).healthy)

    asyncio.run(main())
