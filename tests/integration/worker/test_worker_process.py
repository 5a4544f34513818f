"""The worker as the process it is in production: killed with -9, started again; a second one stands by; wrong settings are one sentence."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ringfence.base.clock import system_clock
from ringfence.detection.model import Alert, Evidence, Subject, encode_alert, iso_time
from ringfence.detection.service import AlertFilter, DetectionService
from ringfence.runtime.db import Database
from ringfence.runtime.lease import Lease
from tests.harness.engines import NatsServer


def installation(folder: Path, nats: NatsServer, database_url: str, extra: str = "") -> Path:
    """A data folder as the first start leaves it."""
    for name in ("keys", "run"):
        folder.joinpath(name).mkdir(parents=True, mode=0o700)
    for name, secret in (("nats-worker.password", "test"), ("hash.key", "key of the test")):
        file = folder / "keys" / name
        file.touch(mode=0o600)
        file.write_text(secret)
    folder.joinpath("ringfence.toml").write_text(
        f'nats_port = {nats.port}\ndatabase_url = "{database_url}"\n{extra}\n[metrics]\nbase_port = 0\n'
    )
    return folder


@contextmanager
def worker(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A running worker; killed at the end when it still runs."""
    with folder.joinpath("log").open("ab") as log:
        process = subprocess.Popen(
            (sys.executable, "-m", "ringfence.apps.worker.main", "--data-dir", folder), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 30
        while not (folder / "run" / "worker.ready").exists():
            assert process.poll() is None, folder.joinpath("log").read_text()[-3000:]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def alert(number: int) -> Alert:
    return Alert(
        alert_id=f"a-{number:04}", step=1, state="open", at=iso_time(system_clock()), rule="D02", rule_version=1, severity="warning",
        subject=Subject(kind="account", value="acc"), account="acc", score=70, cost_eur=1.0, reason="x",
        evidence=Evidence(calls=(), thresholds={}, observed={}),
    )  # fmt: skip


async def publish(nats: NatsServer, numbers: range) -> None:
    bus = await nats.connect("detector")
    for number in numbers:
        await bus.publish_once(f"alert.a-{number:04}.1", encode_alert(alert(number)))
    await bus.close()


async def copied(url: str, number: int) -> None:
    async with Database(url, name="test") as db, asyncio.timeout(30):
        while len(await DetectionService(db).alerts(AlertFilter(), limit=500)) < number:
            await asyncio.sleep(0.1)


def test_killed_in_the_middle_it_goes_on_where_it_was(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    folder = installation(tmp_path / "data", own_nats, database_url)
    with worker(folder) as process:
        asyncio.run(publish(own_nats, range(100)))
        process.kill()
        process.wait()
    (folder / "run" / "worker.ready").unlink(missing_ok=True)
    asyncio.run(publish(own_nats, range(100, 120)))
    with worker(folder) as process:
        asyncio.run(copied(database_url, 120))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert list(folder.glob("archive/control/day=*/*.parquet")), "the first rules went into the log, and the log into the archive"
    assert "Traceback" not in folder.joinpath("log").read_text()


def test_a_second_worker_stands_by(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    folder = installation(tmp_path / "data", own_nats, database_url)

    async def main() -> None:
        bus = await own_nats.connect("worker")
        lease = Lease(bus.bucket("leases"), "worker", "another one", seconds=60, clock=system_clock)
        await lease.acquire()
        await publish(own_nats, range(3))
        with worker(folder):
            await asyncio.sleep(2)
            async with Database(database_url, name="test") as db:
                assert await DetectionService(db).alerts(AlertFilter()) == ()
                await lease.release()
            await copied(database_url, 3)
        await bus.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ('[operator]\nholiday_region = "ZZ"', "no public holidays are known for DE-ZZ"),
        ('[detection]\nrules_file = "/nowhere/rules.toml"', "/nowhere/rules.toml (detection.rules_file) cannot be read"),
    ],
)
def test_a_wrong_setting_is_one_sentence_and_code_2(
    extra: str, sentence: str, database_url: str, own_nats: NatsServer, tmp_path: Path
) -> None:
    folder = installation(tmp_path / "data", own_nats, database_url, extra)
    finished = subprocess.run(
        (sys.executable, "-m", "ringfence.apps.worker.main", "--data-dir", folder), capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 2, finished.stderr[-2000:]
    assert sentence in finished.stderr.splitlines()[-1]
    assert "Traceback" not in finished.stderr
