"""PostgreSQL is stopped for real: who is known goes on, everybody else is told within a second to come back."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from ringfence.access.model import Role
from ringfence.runtime.db import migrate
from tests.harness.engines import NatsServer, running_postgres, short_folder
from tests.harness.surfaces import surfaces


@pytest.mark.timeout(120)
def test_an_answer_comes_within_a_second_without_postgres(own_nats: NatsServer, tmp_path: Path) -> None:
    async def run(url: str, folder: Path) -> None:
        await migrate(url)
        async with surfaces(url, own_nats, tmp_path) as found:
            await found.person("root", Role.ADMINISTRATOR)
            token = await found.token("root")
            async with found.program(token) as known, found.program("never-seen-here") as stranger:
                assert (await known.get("/v1/audit")).status_code == 200
                os.kill(int(next(folder.rglob("postmaster.pid")).read_text().split()[0]), signal.SIGINT)
                await asyncio.sleep(1)
                for program, path, status in ((stranger, "/v1/overview", 503), (known, "/v1/audit", 503), (known, "/v1/overview", 200)):
                    begun = time.monotonic()
                    answer = await program.get(path)
                    assert time.monotonic() - begun < 1, path
                    assert answer.status_code == status, path
                    if status == 503:
                        assert answer.headers["Retry-After"] == "2"
                        assert answer.json()["error"]["message"] == "PostgreSQL cannot be reached."

    with short_folder() as folder, running_postgres(folder) as server:
        url = server.create("outage")
        asyncio.run(run(url, folder))
