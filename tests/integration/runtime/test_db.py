"""The database module against a real PostgreSQL."""

import asyncio

import psycopg
import pytest

from ringfence.base.errors import OperatorError, UnavailableError
from ringfence.base.ids import new_token
from ringfence.runtime.db import Database, list_migrations, migrate
from tests.harness.engines import PostgresServer


def test_a_transaction_is_committed_at_its_end_and_rolled_back_by_an_exception(database_url: str) -> None:
    async def scenario() -> None:
        async with Database(database_url, name="test") as database:
            async with database.transaction() as connection:
                await connection.execute("CREATE TABLE t (n integer)")
            with pytest.raises(ZeroDivisionError):
                async with database.transaction() as connection:
                    await connection.execute("INSERT INTO t VALUES (1)")
                    raise ZeroDivisionError
            async with database.transaction() as connection:
                assert await (await connection.execute("SELECT count(*) FROM t")).fetchone() == (0,)

    asyncio.run(scenario())


def test_a_database_that_is_away_is_unavailable_and_back_again_without_a_restart(postgres: PostgresServer, database_url: str) -> None:
    async def scenario() -> None:
        async with Database(database_url, name="test") as database:
            async with database.transaction() as connection:
                await connection.execute("SELECT 1")
            with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
                admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ringfence-test'")
            async with database.transaction() as connection:
                await connection.execute("SELECT 1")
            with pytest.raises(UnavailableError):
                async with database.transaction() as connection:
                    await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    asyncio.run(scenario())


def test_a_cancellation_is_heeded_at_whatever_moment_of_waiting_for_a_connection_it_comes(database_url: str) -> None:
    async def scenario() -> None:
        async with Database(database_url, name="test", size=1) as database:
            held, give_back = asyncio.Event(), asyncio.Event()

            async def hold() -> None:
                async with database.transaction():
                    held.set()
                    await give_back.wait()

            async def wait_and_stay() -> None:
                async with database.transaction():
                    await asyncio.Event().wait()

            for turns in range(120):  # steps of the loop between the connection's return and the cancellation
                held.clear()
                give_back.clear()
                holder = asyncio.create_task(hold())
                await held.wait()
                waiter = asyncio.create_task(wait_and_stay())
                await asyncio.sleep(0.002)
                give_back.set()
                for _ in range(turns):
                    await asyncio.sleep(0)
                waiter.cancel()
                done, _ = await asyncio.wait((waiter,), timeout=5)
                assert done, f"cancelled {turns} turns after the connection came back, the waiter went on"
                await holder

    asyncio.run(scenario())


def test_a_database_that_never_was_is_unavailable() -> None:
    async def scenario() -> None:
        with pytest.raises(UnavailableError):
            await migrate("postgresql:///x?host=/nonexistent&user=ringfence")

    asyncio.run(scenario())


def test_migrations_run_once_and_a_newer_database_is_refused(postgres: PostgresServer) -> None:
    name = f"test_{new_token()[:12]}"
    url = postgres.create(name)

    async def scenario() -> None:
        applied = await migrate(url)
        assert applied == [migration for _, migration, _ in list_migrations()]
        assert await migrate(url) == []
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("INSERT INTO public.migration (version, name) VALUES (9999, 'from the future')")
        with pytest.raises(OperatorError, match="The database is of version 9999, this program knows versions up to"):
            await migrate(url)

    try:
        asyncio.run(scenario())
    finally:
        postgres.drop(name)


def test_two_who_migrate_at_once_do_it_once(postgres: PostgresServer) -> None:
    name = f"test_{new_token()[:12]}"
    url = postgres.create(name)

    async def scenario() -> None:
        first, second = await asyncio.gather(migrate(url), migrate(url))
        assert sorted((len(first), len(second))) == [0, len(list_migrations())]

    try:
        asyncio.run(scenario())
    finally:
        postgres.drop(name)
