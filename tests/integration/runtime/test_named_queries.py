"""What a peer puts into a name may hold U+0000, which PostgreSQL stores nowhere: it is replaced, alone and in arrays."""

import asyncio
from typing import ClassVar, LiteralString

from ringfence.runtime.db import Database, NamedQueries


class Echo(NamedQueries):
    queries: ClassVar[dict[str, LiteralString]] = {
        "echo": "select %(one)s::text as one, %(many)s::text[] as many, %(number)s::int as number"
    }


def test_a_nul_is_replaced_alone_and_in_arrays(database_url: str) -> None:
    async def body() -> dict[str, object] | None:
        async with Database(database_url, name="test") as db, db.transaction() as connection:
            return await Echo(connection).row("echo", one="a\x00b", many=["c", "\x00"], number=7)

    assert asyncio.run(body()) == {"one": "a\ufffdb", "many": ["c", "\ufffd"], "number": 7}
