"""PostgreSQL: a pool, transactions, named queries and migrations.

Every SQL call stands in a store's `queries.sql`; this module knows no table but its own list of migrations. A lost connection is
UnavailableError, a lost race ConflictError; constraint violations stay psycopg's, for the store that knows what they mean.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from importlib.resources import files
from typing import Any, ClassVar, LiteralString, Self, cast

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.abc import Params
from psycopg.errors import DeadlockDetected, LockNotAvailable, QueryCanceled, SerializationFailure
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from ringfence.base.errors import ConflictError, OperatorError, UnavailableError

Connection = AsyncConnection[Any]
Cursor = AsyncCursor[Any]

WAIT_SECONDS = 5.0
SURFACE_WAIT_SECONDS = 0.4
"""Where somebody waits for the answer: with one look-up for the token and one for the page, it comes within a second."""
STATEMENT_MS = 30_000
LOCK_MS = 4_000

_QUERY_NAME = re.compile(r"^-- ([a-z][a-z0-9_]*) --$", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_(pre|post)_([a-z0-9_]+)\.sql\Z")
_MIGRATION_LOCK = 0x52494E4746  # "RINGF"


class Database:
    """A pool of connections to one database. `open` it before use, `close` it at the end (or use it as a context).

    A transaction waits `wait_seconds` for a connection at the most.
    """

    def __init__(self, url: str, *, name: str, size: int = 8, wait_seconds: float = WAIT_SECONDS) -> None:
        options = f"-c statement_timeout={STATEMENT_MS} -c lock_timeout={LOCK_MS} -c timezone=UTC"
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            kwargs={"application_name": f"ringfence-{name}", "options": options, "connect_timeout": int(WAIT_SECONDS)},
            min_size=1,
            max_size=size,
            timeout=wait_seconds,
            open=False,
            check=AsyncConnectionPool.check_connection,
        )

    async def open(self) -> None:
        """Start the pool. It does not wait for the database: a role starts while PostgreSQL is still away."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    async def __aenter__(self) -> Self:
        """Open on entry."""
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close on exit."""
        await self.close()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One transaction: committed at the end of the block, rolled back by an exception."""
        task = asyncio.current_task()
        assert task is not None, "a coroutine runs in a task"
        cancellations = task.cancelling()
        with translated():
            async with self._pool.connection() as connection:
                # The pool waits by `asyncio.wait_for`, which before Python 3.12 loses a cancellation that comes just as the wait
                # ends: the role would go on for ever.
                if task.cancelling() > cancellations:
                    raise asyncio.CancelledError
                yield connection


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Convert psycopg's operational failures into our kinds."""
    try:
        yield
    except (SerializationFailure, DeadlockDetected) as error:
        raise ConflictError("Somebody else changed the same rows; try again.", reason="serialization") from error
    except (LockNotAvailable, QueryCanceled) as error:
        raise UnavailableError("PostgreSQL took too long.", reason="database_slow") from error
    except (PoolTimeout, PoolClosed, psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise UnavailableError("PostgreSQL cannot be reached.", reason="database_down") from error


async def fetch_one(connection: Connection, query: LiteralString, params: Params | None = None) -> tuple[Any, ...] | None:
    """The first row, or None."""
    row: tuple[Any, ...] | None = await (await connection.execute(query, params)).fetchone()
    return row


Row = dict[str, Any]


class NamedQueries:
    """What every room's store does: the named queries of its `queries.sql` on one connection, inside one transaction."""

    queries: ClassVar[Mapping[str, LiteralString]]

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def rows(self, query: str, **parameters: object) -> list[Row]:
        """Every row of a query that returns rows."""
        async with self._connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(self.queries[query], self._storable(parameters))
            return await cursor.fetchall()

    async def row(self, query: str, **parameters: object) -> Row | None:
        """The first row of a query, None when there is none."""
        found = await self.rows(query, **parameters)
        return found[0] if found else None

    async def run(self, query: str, **parameters: object) -> int:
        """Run a query that returns nothing; the number of rows it touched."""
        return (await self._connection.execute(self.queries[query], self._storable(parameters))).rowcount

    def _storable(self, parameters: dict[str, object]) -> dict[str, object]:
        """PostgreSQL stores no U+0000, and a peer may have put one into whatever it named: an account, a reason, a serial number."""
        return {name: _without_nul(value) for name, value in parameters.items()}


def _without_nul(value: object) -> object:
    match value:
        case str():
            return value.replace("\x00", "\ufffd") if "\x00" in value else value
        case list() if any(isinstance(item, str) and "\x00" in item for item in value):
            return [_without_nul(item) for item in value]
        case _:
            return value


def load_queries(package: str, file: str = "queries.sql") -> dict[str, LiteralString]:
    """The queries of a room: each follows a line `-- name --`; comments after it say what it is for."""
    text = (files(package) / file).read_text("utf-8")
    parts = _QUERY_NAME.split(text)[1:]
    names, bodies = parts[::2], [body.strip() for body in parts[1::2]]
    assert names, f"{package}/{file} names no query"
    assert len(set(names)) == len(names), f"{package}/{file} names a query twice"
    assert all(bodies), f"{package}/{file} has an empty query"
    # LiteralString says that no input was pasted into the SQL; a file of the package is as literal as a string in the source.
    return cast("dict[str, LiteralString]", dict(zip(names, bodies, strict=True)))


def list_migrations() -> list[tuple[int, str, str]]:
    """Version, name and SQL of every migration of this program, in order, without a gap."""
    found = sorted(
        (int(match[1]), file.name.removesuffix(".sql"), file.read_text("utf-8"))
        for file in (files("ringfence") / "migrations").iterdir()
        if (match := _MIGRATION.match(file.name)) is not None
    )
    versions = [version for version, _, _ in found]
    assert versions == list(range(1, len(found) + 1)), f"migrations are not numbered 1 to {len(found)}: {versions}"
    return found


async def migrate(url: str) -> list[str]:
    """Bring the database to this program's version; the names that ran now. Refuses a database of a newer version."""
    migrations = list_migrations()
    with translated():
        async with await AsyncConnection.connect(url, autocommit=True, connect_timeout=int(WAIT_SECONDS)) as connection:
            await connection.execute("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS public.migration"
                " (version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
            )
            row = await fetch_one(connection, "SELECT coalesce(max(version), 0) FROM public.migration")
            assert row is not None
            current, known = int(row[0]), len(migrations)
            if current > known:
                raise OperatorError(
                    f"The database is of version {current}, this program knows versions up to {known}:"
                    " start the newer program again, or restore the backup from before the upgrade.",
                    reason="database_newer",
                )
            for version, name, sql in migrations[current:]:
                async with connection.transaction():
                    await connection.execute(sql)
                    await connection.execute("INSERT INTO public.migration (version, name) VALUES (%s, %s)", (version, name))
            return [name for _, name, _ in migrations[current:]]
