"""Who registers and is not managed: an archive and a PostgreSQL that are joined, and what must not count."""

import asyncio
from collections.abc import Awaitable, Callable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ringfence.archive.questions import CallQuestions
from ringfence.base.errors import UnavailableError
from ringfence.fleet.inventory.service import InventoryService
from ringfence.runtime.db import Database
from ringfence.subscribers.service import SubscribersService
from ringfence.telephony.model import Kind
from ringfence.views.coverage import KEEP_MS, CoverageView
from tests.integration.fleet.test_admit import sealer
from tests.unit.archive.test_calls import filled, row

NOW = 1_790_000_000_000
MINUTE = 60_000

ACCOUNTS = b"""account,customer,own_device
4930101,C1,
4930102,C2,
4930103,C2,
4930104,C3,
4930105,C4,1
4930106,,
4930107,C5,
4930108,C6,
"""


def registered(account: str, user_agent: str, minutes_ago: int, **more: object) -> Any:
    fields: dict[str, Any] = {
        "account": account,
        "status_code": 200,
        "expires": 300,
        "user_agent": user_agent,
        "started_ms": 0,
        "callee": "",
        "caller": "",
    }
    return row(Kind.REGISTRATION, NOW - minutes_ago * MINUTE, "", **(fields | more))


REGISTRATIONS = (
    registered("4930101", "AVM FRITZ!Box 7590 154.07.57", 60),
    registered("4930102", "AVM FRITZ!Box 7530 164.07.57", 90),
    registered("4930103", "snomD785/10.1.54", 50),
    registered("4930104", "", 40),
    registered("4930105", "Asterisk PBX 18.9", 40),
    registered("4930106", "Grandstream HT801", 40),
    registered("4930107", "AVM FRITZ!Box 7530 164.07.57", 45),
    registered("4930107", "", 30, status_code=408, expires=0),
    registered("4930108", "Speedport W 724V", 35),
    registered("4930199", "<b>nobody's</b>", 30),
    row(Kind.AUTH_FAILURE, NOW - 20 * MINUTE, "", account="4930104", status_code=401),
)

DEVICES = """oui,product_class,serial_number,state,line,customer
00040E,FRITZ,S1,shipped,L1,C1
00040E,FRITZ,S6,shipped,L6,C6
"""


def run(url: str, folder: Path, body: Callable[[CoverageView, list[int]], Awaitable[None]]) -> None:
    async def main() -> None:
        clock = [NOW]
        async with Database(url, name="test") as db:
            await SubscribersService(db, b"test").import_accounts("anna", BytesIO(ACCOUNTS))
            await InventoryService(db, sealer(folder), lambda: NOW).import_devices("anna", StringIO(DEVICES))
            await body(CoverageView(CallQuestions(folder), db, lambda: clock[0]), clock)

    filled(folder, *REGISTRATIONS).close()
    asyncio.run(main())


def say(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def test_who_registers_and_has_no_device_that_informs(database_url: str, tmp_path: Path) -> None:
    async def body(view: CoverageView, clock: list[int]) -> None:
        say(database_url, "update fleet.devices set life = 'managed' where serial_number = 'S1'")
        assert view.known is None
        seen = await view.current()
        assert (seen.accounts, seen.nameless, seen.customers, seen.managed, seen.own) == (8, 2, 5, 1, 1)
        listed = {each.customer: each for each in seen.uncovered}
        assert sorted(listed) == ["C2", "C3", "C6"], "C5 lapsed, C4 brought their own, C1 is managed"
        assert seen.missing == 3
        assert (listed["C2"].account, listed["C2"].model) == ("4930103", "snomD785"), "the phone that registered last"
        assert listed["C3"].model == "unknown", "refused credentials are no registration"
        assert (listed["C6"].life, listed["C6"].device_id > 0, listed["C2"].device_id) == ("shipped", True, 0)
        assert sorted((each.model, each.customers, each.known) for each in seen.by_model) == [
            ("Speedport W 724V", 1, 1),
            ("snomD785", 1, 0),
            ("unknown", 1, 0),
        ]
        say(database_url, "update fleet.devices set life = 'silent'")
        assert await view.current() is seen, "kept for an hour"
        clock[0] += KEEP_MS
        later = await view.current()
        assert (later.managed, later.missing, later.silent) == (0, 4, 2)

    run(database_url, tmp_path, body)


def test_nobody_registers(database_url: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with Database(database_url, name="test") as db:
            seen = await CoverageView(CallQuestions(tmp_path), db, lambda: NOW).current()
            assert (seen.customers, seen.missing, seen.uncovered) == (0, 0, ())

    asyncio.run(main())


def test_without_a_database_it_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with Database("postgresql://127.0.0.1:1/none", name="test", wait_seconds=0.2) as db:
            with pytest.raises(UnavailableError):
                await CoverageView(CallQuestions(tmp_path), db, lambda: NOW).current()

    asyncio.run(main())
