"""The archivist on a real nats-server: whatever dies, and whatever is delivered when, each message of the log is archived once."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ringfence.apps.worker import archivist
from ringfence.apps.worker.archivist import Archivist, merge_days
from ringfence.archive import batches
from ringfence.archive.replay import ReplayedRows, replay
from ringfence.archive.writer import ArchiveWriter
from ringfence.base.clock import system_clock
from ringfence.base.errors import UnavailableError
from ringfence.runtime.bus import Bus
from ringfence.runtime.status import StatusBoard
from ringfence.runtime.streams import log_plan
from ringfence.telephony.columns import batch_of
from ringfence.telephony.model import AccountRow, Kind
from tests.harness.engines import NatsServer

STREAM, SUBJECT = "LOG_account_0", "log.account.0"


@pytest.fixture(autouse=True)
def _short_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archivist, "MINUTE_MS", 200)
    monkeypatch.setattr(archivist, "TURN_SECONDS", 0.02)


async def publish(bus: Bus, number: int) -> None:
    """A message that tells its number: every third a tick, the others a row."""
    if number % 3 == 0:
        await bus.publish(SUBJECT, number.to_bytes(8), {"Rf-Kind": "tick"})
        return
    at_ms = system_clock()
    row = AccountRow(
        kind=Kind.ATTEMPT, at_ms=at_ms, received_ms=at_ms, account="a", call_id=f"c{number}", call_key=number, started_ms=at_ms
    )
    await bus.publish(SUBJECT, batches.encode(batch_of([row])), {"Rf-Kind": "rows"})


def archived(folder: Path) -> list[int]:
    """Numbers of the archived messages, in the order of the archive."""
    return [
        message.batch.row(0).call_key if isinstance(message, ReplayedRows) else int.from_bytes(message.payload)
        for message in replay(folder)
    ]


@contextlib.asynccontextmanager
async def archiving(bus: Bus, folder: Path) -> AsyncIterator[Archivist]:
    running = Archivist(bus, ArchiveWriter(folder), StatusBoard("worker", "i"), system_clock, lane=0)
    task = asyncio.ensure_future(running.run())
    try:
        yield running
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(question: Callable[[], bool], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not question():
            await asyncio.sleep(0.02)


def test_what_an_earlier_worker_took_and_did_not_write_is_archived_whatever_comes_first(
    own_nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Bus.api

    async def without_reset(bus: Bus, verb: str, *arguments: object, **more: float) -> dict[str, object]:
        if verb.startswith("CONSUMER.RESET"):  # As a server before 2.14: what was taken comes again minutes later.
            raise UnavailableError("unknown", reason="bus_refused")
        return await api(bus, verb, *arguments, **more)

    monkeypatch.setattr(Bus, "api", without_reset)

    async def main() -> None:
        bus, other = await own_nats.connect("worker"), await own_nats.connect("worker")
        for number in range(1, 31):
            await publish(bus, number)
        monkeypatch.setattr(archivist, "MINUTE_MS", 60_000)
        async with archiving(other, tmp_path) as killed:
            await until(lambda: len(killed._waiting) == 30)
            killed._writer = None  # type: ignore[assignment]  # It dies with all of them in its memory.
        assert archived(tmp_path) == []
        for number in range(31, 36):
            await publish(bus, number)
        monkeypatch.setattr(archivist, "MINUTE_MS", 200)
        async with archiving(bus, tmp_path):
            await until(lambda: 35 in archived(tmp_path))
            await asyncio.sleep(0.5)
        assert archived(tmp_path) == list(range(1, 36))
        async with archiving(bus, tmp_path):
            await asyncio.sleep(0.5)
        assert archived(tmp_path) == list(range(1, 36)), "nothing twice"
        await bus.close()
        await other.close()

    asyncio.run(main())


def test_what_the_log_dropped_is_counted_and_the_rest_archived(own_nats: NatsServer, tmp_path: Path) -> None:
    async def main() -> None:
        bus, supervisor = await own_nats.connect("worker"), await own_nats.connect()
        missed = archivist._missed._value.get()
        for number in range(1, 11):
            await publish(bus, number)
        async with archiving(bus, tmp_path):
            await until(lambda: 10 in archived(tmp_path))
        for number in range(11, 41):
            await publish(bus, number)
        await supervisor.api(f"STREAM.PURGE.{STREAM}", {"seq": 21})
        async with archiving(bus, tmp_path):
            await until(lambda: 40 in archived(tmp_path))
        assert archived(tmp_path) == [*range(1, 11), *range(21, 41)]
        assert archivist._missed._value.get() - missed == 10
        await bus.close()
        await supervisor.close()

    asyncio.run(main())


@pytest.mark.parametrize("fresh", [3, 30])
def test_a_log_that_was_made_anew_is_archived_from_its_first_message(own_nats: NatsServer, tmp_path: Path, fresh: int) -> None:
    """It may have fewer or more messages than the old one had."""

    async def main() -> None:
        bus, supervisor = await own_nats.connect("worker"), await own_nats.connect()
        for number in range(1, 11):
            await publish(bus, number)
        async with archiving(bus, tmp_path):
            await until(lambda: 10 in archived(tmp_path))
        await supervisor.api(f"STREAM.DELETE.{STREAM}")
        await supervisor.ensure_stream(log_plan("account", 0))
        for number in range(101, 101 + fresh):
            await publish(bus, number)
        async with archiving(bus, tmp_path):
            await until(lambda: 100 + fresh in archived(tmp_path))
        assert archived(tmp_path) == [*range(1, 11), *range(101, 101 + fresh)]
        await bus.close()
        await supervisor.close()

    asyncio.run(main())


def test_finished_days_are_merged_beside_the_archivist(own_nats: NatsServer, tmp_path: Path) -> None:
    async def main() -> None:
        bus = await own_nats.connect("worker")
        async with archiving(bus, tmp_path):
            for number in range(1, 31):
                await publish(bus, number)
                await asyncio.sleep(0.03)
            await until(lambda: 30 in archived(tmp_path))
            assert len(list(tmp_path.rglob("*.parquet"))) > 6
            board = StatusBoard("worker", "i")
            tomorrow = asyncio.ensure_future(merge_days(tmp_path, board, lambda: system_clock() + 26 * 3_600_000, lane=0))
            await until(lambda: len(list(tmp_path.rglob("*.parquet"))) <= 4)  # Two days when it is midnight.
            tomorrow.cancel()
            await publish(bus, 31)
            await until(lambda: 31 in archived(tmp_path))
        assert archived(tmp_path) == list(range(1, 32))
        async with archiving(bus, tmp_path):
            await asyncio.sleep(0.5)
        assert archived(tmp_path) == list(range(1, 32))
        await bus.close()

    asyncio.run(main())


PROCESS = """
import asyncio, sys
from pathlib import Path
from ringfence.apps.worker import archivist
from ringfence.archive.writer import ArchiveWriter
from ringfence.base.clock import system_clock
from ringfence.base.secret import Secret
from ringfence.runtime.bus import Bus
from ringfence.runtime.status import StatusBoard

archivist.MINUTE_MS, archivist.TURN_SECONDS = 60, 0.01

async def main():
    bus = await Bus.connect(sys.argv[1], user="worker", password=Secret("test"), name="worker")
    Path(sys.argv[3]).touch()
    await archivist.Archivist(bus, ArchiveWriter(Path(sys.argv[2])), StatusBoard("worker", "i"), system_clock, lane=0).run()

asyncio.run(main())
"""


def test_nats_and_worker_killed_in_turn_lose_and_double_nothing(own_nats: NatsServer, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    archive = tmp_path / "archive"
    started: list[subprocess.Popen[bytes]] = []

    async def worker() -> subprocess.Popen[bytes]:
        ready.unlink(missing_ok=True)
        process = subprocess.Popen((sys.executable, "-c", PROCESS, own_nats.url, archive, ready), stdout=subprocess.DEVNULL)
        started.append(process)
        await until(ready.exists)
        return process

    async def main() -> None:
        bus = await own_nats.connect("ingest")
        stored: set[int] = set()
        done = asyncio.Event()

        async def feed() -> None:
            number = 0
            while not done.is_set():
                number += 1
                with contextlib.suppress(UnavailableError):  # It may be stored nevertheless, as every message of ingest.
                    await publish(bus, number)
                    stored.add(number)
                await asyncio.sleep(0.002)

        feeding = asyncio.ensure_future(feed())
        process = await worker()
        for turn in range(4):
            await asyncio.sleep(0.3 + 0.17 * turn)
            process.kill()
            await asyncio.to_thread(process.wait)
            if turn % 2:
                await asyncio.to_thread(own_nats.kill)
                await asyncio.to_thread(own_nats.start)
            process = await worker()
            await asyncio.sleep(0.2)
            await asyncio.to_thread(own_nats.kill)
            await asyncio.to_thread(own_nats.start)
        await asyncio.sleep(1)
        done.set()
        await feeding
        last = max(stored)
        await until(lambda: last in archived(archive))
        process.kill()
        found = archived(archive)
        assert len(found) > 200
        assert stored <= set(found), "acknowledged by the log, so in the archive"
        sequences = [message.sequence for message in replay(archive)]
        assert sequences == list(range(1, len(sequences) + 1)), "each place of the log once, in order"
        await bus.close()

    try:
        asyncio.run(main())
    finally:
        for process in started:
            process.kill()
            process.wait()
