"""More devices than the ACS takes at once: who is sent away comes back after its Retry-After, and each is served in the end.

The devices are those of bench `acs`, in a process of their own, and in more of a hurry than real ones.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from ringfence.apps.bench.acs_client import Load
from tests.integration.acs.test_sessions import PATIENCE, Acs, ask, run

MOST = 2


async def play(load: Load) -> dict[str, Any]:
    command = (sys.executable, "-m", "ringfence.apps.bench.acs_client", json.dumps(load._asdict()))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(2 * PATIENCE):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    found: dict[str, Any] = json.loads(output)
    return found


def test_whoever_is_sent_away_is_served_later(database_url: str, tmp_path: Path) -> None:
    found: dict[str, Any] = {}

    async def body(acs: Acs) -> None:
        load = Load(port=acs.port, tls=False, clients=8, devices=1, seconds=0.2, rate=0, new=True, hurry=300.0)
        found.update(await play(load))
        assert acs.shared.sessions == {}

    run(database_url, tmp_path, body, most=MOST)
    assert found["busy_responses"] > 0
    assert found["lost"] == 0
    assert ask(database_url, "select count(*) from fleet.devices") == [(found["sessions"],)]
    assert all(30 <= wait <= 300 for wait in found["retry_after_seconds"])
