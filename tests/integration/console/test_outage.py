"""PostgreSQL goes away for real: who is signed in stays, live pages go on and say so, nobody new signs in."""

import asyncio
import time
from pathlib import Path

import psycopg
import pytest

from ringfence.access.model import Role
from tests.harness.engines import NatsServer, PostgresServer
from tests.harness.surfaces import PASSWORD, sign_in, surfaces


def _cut_off(postgres: PostgresServer, database: str) -> None:
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{database}" WITH ALLOW_CONNECTIONS false'.encode())
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (database,))


@pytest.mark.timeout(120)
def test_live_pages_go_on_without_postgres(database_url: str, postgres: PostgresServer, own_nats: NatsServer, tmp_path: Path) -> None:
    database = database_url.split("///")[1].split("?", maxsplit=1)[0]

    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("anna", Role.LEAD)
            token = await found.token("anna")
            async with found.browser() as browser, found.browser() as stranger, found.program(token) as program:
                await sign_in(browser, "anna")
                assert "The database is down" not in (await browser.get("/")).text
                assert (await program.get("/v1/overview")).status_code == 200
                await asyncio.to_thread(_cut_off, postgres, database)
                while not found.console.outage:
                    await asyncio.sleep(0.1)
                begun = time.monotonic()
                for path in ("/", "/alerts", "/blocks", "/edges", "/proposals", "/exemptions"):
                    answer = await browser.get(path)
                    assert answer.status_code == 200, path
                assert time.monotonic() - begun < 3, "a live page waits for the database"
                assert "The database is down" in (await browser.get("/")).text
                away = await browser.get("/audit")
                assert away.status_code == 503
                assert "Try again in a moment" in away.text
                assert (await sign_in(stranger, "anna", PASSWORD)).status_code == 503
                assert (await program.get("/v1/overview")).status_code == 200
                assert (await program.get("/v1/alerts")).json() == {"alerts": [], "next": ""}
                refused = await program.get("/v1/users")
                assert refused.status_code in {403, 503}

    asyncio.run(run())
