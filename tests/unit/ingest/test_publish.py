import asyncio

import pytest

from ringfence.apps.ingest.publish import PATIENCE_SECONDS, Publisher
from ringfence.archive.batches import decode
from ringfence.base.errors import UnavailableError
from ringfence.runtime.status import StatusBoard
from ringfence.telephony.columns import MAX_ROWS
from ringfence.telephony.model import AccountRow, Kind
from ringfence.telephony.network_second import decode_second

NOW = 1_790_000_000_000


class Log:
    """Stands where the bus is: the outside of this file, away or there."""

    def __init__(self) -> None:
        self.away = False
        self.stored: list[tuple[str, bytes, str]] = []
        self.subjects: list[str] = []

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> int:
        await asyncio.sleep(0)
        if self.away:
            raise UnavailableError("The log is away.", reason="away")
        self.subjects.append(subject)
        self.stored.append((headers["Rf-Kind"], payload, headers.get("Nats-Msg-Id", "")))
        return len(self.stored)


def rows(count: int, first: int = 0) -> list[AccountRow]:
    return [AccountRow(kind=Kind.ATTEMPT, at_ms=first + number, received_ms=0, slot=number % 1024) for number in range(count)]


def times(log: Log) -> list[int]:
    return [at for kind, payload, _ in log.stored if kind == "rows" for at in decode(payload).numeric["at_ms"].tolist()]


def publisher(log: Log, now: list[int]) -> tuple[Publisher, StatusBoard]:
    board = StatusBoard("ingest", "i")
    return Publisher(log, clock=lambda: now[0], board=board, flush_ms=5), board  # type: ignore[arg-type]


def test_rows_and_ticks_leave_in_order_and_in_bounded_batches() -> None:
    async def scenario() -> None:
        log = Log()
        made, _ = publisher(log, [NOW])
        running = asyncio.ensure_future(made.run())
        made.add(rows(MAX_ROWS + 10))
        made.lanes[0].tick(NOW)
        made.add(rows(5, first=100_000))
        await made.settle()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert [kind for kind, _, _ in log.stored] == ["rows", "rows", "tick", "rows"]
        assert times(log) == [*range(MAX_ROWS + 10), *range(100_000, 100_005)]
        ids = [message_id for kind, _, message_id in log.stored if kind == "rows"]
        assert len(set(ids)) == 3
        assert log.stored[2][1] == NOW.to_bytes(8)

    asyncio.run(scenario())


def test_what_waits_too_long_is_shed_oldest_first_and_said() -> None:
    async def scenario() -> None:
        log, now = Log(), [NOW]
        made, board = publisher(log, now)
        log.away = True
        running = asyncio.ensure_future(made.run())
        made.add(rows(3))
        made.lanes[0].flush()
        await asyncio.sleep(0.01)
        assert board.status(NOW).message.startswith("Rows wait for the log")
        settling = asyncio.ensure_future(made.settle())
        await asyncio.sleep(0)
        now[0] += PATIENCE_SECONDS * 1000 + 1
        made.add(rows(2, first=50))
        made.lanes[0].flush()
        assert (made.lanes[0].shed, made.lanes[0].waiting_rows) == (3, 2)
        with pytest.raises(UnavailableError, match="shed"):
            await settling
        log.away = False
        await made.settle()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert times(log) == [50, 51]
        assert not board.status(NOW).message

    asyncio.run(scenario())


def test_the_rest_is_published_at_the_end() -> None:
    async def scenario() -> None:
        log = Log()
        made, _ = publisher(log, [NOW])
        made.add(rows(7))
        await made.finish(1.0)
        assert times(log) == list(range(7))
        log.away = True
        made.add(rows(7))
        await made.finish(0.1)

    asyncio.run(scenario())


def test_each_view_gets_its_rows_its_ticks_and_the_network_its_seconds() -> None:
    async def scenario() -> None:
        log = Log()
        made, _ = publisher(log, [NOW])
        running = asyncio.ensure_future(made.run())
        call = AccountRow(
            kind=Kind.ATTEMPT, at_ms=5, received_ms=0, account_key=8, slot=8, range_key=-3, source_key=1029, destination_class=5, edge="e"
        )
        made.add([call])
        for view in ("account", "range", "source", "network"):
            for lane in made.views[view]:
                lane.flush()
                lane.tick(NOW)
        async with asyncio.timeout(10):
            while "second" not in [kind for kind, _, _ in log.stored]:
                await asyncio.sleep(0.01)
        await made.settle()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        found = list(zip(log.subjects, log.stored, strict=True))
        slots = {subject: decode(payload).numeric["slot"].tolist() for subject, (kind, payload, _) in found if kind == "rows"}
        assert slots == {"log.account.0": [8], "log.range.0": [1021], "log.source.0": [5]}
        assert sorted(subject for subject, (kind, _, _) in found if kind == "tick") == [
            f"log.{view}.0" for view in ("account", "network", "range", "source")
        ]
        ((subject, payload),) = [(subject, payload) for subject, (kind, payload, _) in found if kind == "second"][:1]
        second = decode_second(payload)
        assert (subject, second.edge, second.attempts) == ("log.network.0", "e", (0, 0, 0, 0, 0, 1))
        assert (made.lanes[0].published, made.views["range"][0].published) == (1, 1)

    asyncio.run(scenario())
