"""Bench `radius`: accounting requests over real UDP to the real worker with the embedded PostgreSQL, and look-ups of who held an address.

Sessions are open before the clock runs. One request in ten starts a session, one ends one, eight are interim updates. The client is a
process of its own (`radius_client`); an answer counts, and it comes after the commit.
"""

import asyncio
import json
import socket
import statistics
import sys
from pathlib import Path
from random import Random
from typing import Any

from ringfence.apps.bench.processes import processor_us
from ringfence.apps.bench.radius_client import SECRET, Load, address_of
from ringfence.base.clock import monotonic_seconds, system_clock
from ringfence.base.errors import UnavailableError
from ringfence.drills.product import rehearsal_folder, running_product
from ringfence.runtime.db import Database, fetch_one
from ringfence.subscribers.sessions.service import AccessSessions

OPTIONS: dict[str, Any] = {"requests": 60_000, "nas": 8, "window": 200, "open_sessions": 3_000_000, "lookups": 100}

BATCH = 64
"""Addresses of one look-up: what the ACS asks at once."""

_OPEN = """
insert into subscribers.access_sessions (nas, acct_session_id, prefix, line, access_node, origin, started_at, last_seen_at)
select 'core/bng-' || n %% %(nas)s, lpad(upper(to_hex(n)), 8, '0'), ('10.' || (n >> 16) || '.' || (n >> 8 & 255) || '.' || (n & 255))::inet,
    'DSLAM-' || n %% 3000 || ' atm 1/' || n %% 16 || '/' || n %% 48 || ':1.' || n, 'DSLAM-' || n %% 3000, 'radius',
    now() - interval '1 hour', now() - interval '1 hour'
from generate_series(%(first)s::integer, %(last)s::integer - 1) n
"""
_SIZE = """
select pg_table_size('subscribers.access_sessions'), pg_indexes_size('subscribers.access_sessions'), count(*)
from subscribers.access_sessions
"""
_SETTINGS = """
[sessions.radius]
listen = "127.0.0.1:{port}"
clients = [{{name = "core", sources = ["127.0.0.0/8"], secret_file = "{secret}"}}]
"""


def run(options: dict[str, Any]) -> dict[str, object]:
    """Measure."""
    with rehearsal_folder() as folder:
        return asyncio.run(_measure(folder, options))


async def _measure(folder: Path, options: dict[str, Any]) -> dict[str, object]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    secret = folder / "radius.secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET.open())
    count, nas, requests = options["open_sessions"], options["nas"], options["requests"]
    load = Load(port=port, nas=nas, requests=requests, window=options["window"], open_sessions=count)
    async with (
        running_product(folder / "product", roles=("worker",), night=False, acs=_SETTINGS.format(port=port, secret=secret)) as product,
        Database(product.settings.database, name="bench") as db,
    ):
        _say(f"opening {count} sessions")
        await _open(db, count, nas)
        size = await _sizes(db)
        _say("running")
        before = processor_us(product, "worker")
        found = await _client(load)
        after = processor_us(product, "worker")
        looked = await _look_up(db, count, options["lookups"])
    cost = {name: round((after[name] - before[name]) / max(1, int(found["answers"]))) for name in before}
    return {**found, "processor_us_per_answer": cost, **looked, **size}


async def _open(db: Database, count: int, nas: int) -> None:
    step = 250_000
    for first in range(0, count, step):
        async with db.transaction() as connection:
            await connection.execute("set local statement_timeout = '10min'")
            await connection.execute(_OPEN, {"nas": nas, "first": first, "last": min(count, first + step)})
    async with db.transaction() as connection:
        await connection.execute("set local statement_timeout = '10min'")
        await connection.execute("analyze subscribers.access_sessions")


async def _sizes(db: Database) -> dict[str, object]:
    async with db.transaction() as connection:
        row = await fetch_one(connection, _SIZE)
    assert row is not None, "a count has a row"
    return {"table_bytes": row[0], "index_bytes": row[1], "sessions": row[2]}


async def _client(load: Load) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ringfence.apps.bench.radius_client", json.dumps(load._asdict())), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise UnavailableError("The client of the bench failed; see above.", reason="bench_client")
    found: dict[str, Any] = json.loads(output)
    return found


async def _look_up(db: Database, count: int, times: int) -> dict[str, object]:
    """Batches of addresses as the ACS asks: of IPv4, and of IPv6, where each is 34 places."""
    sessions, chance = AccessSessions(db), Random(1)
    taken: dict[str, object] = {}
    for family, spell in (("ipv4", address_of), ("ipv6", lambda number: f"2001:db8:{number >> 16:x}:{number & 65535:x}::1")):
        spent = []
        for _ in range(times):
            addresses = [spell(chance.randrange(count)) for _ in range(BATCH)]
            begun = monotonic_seconds()
            await sessions.lines_at(addresses, system_clock())
            spent.append((monotonic_seconds() - begun) * 1000)
        taken |= {f"lookup_{family}_p50_ms": round(statistics.median(spent), 2), f"lookup_{family}_max_ms": round(max(spent), 2)}
    return taken


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
