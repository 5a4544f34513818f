"""A night's work on a real bus: what was spent reaches the bucket and the account view's log once."""

from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ringfence.apps.worker.baselines import keep_baselines, learn, ready_day
from ringfence.archive.spending import Spending, midnight_ms
from ringfence.base.errors import UnavailableError
from ringfence.telephony.control import BaselinesChanged, decode_control
from tests.harness.engines import NatsServer
from tests.integration.worker.test_worker import Worker, run, running, until
from tests.unit.archive.test_calls import filled
from tests.unit.archive.test_spending import call

BERLIN = ZoneInfo("Europe/Berlin")
TODAY = date(2025, 11, 24)


def test_a_day_is_over_at_three_in_the_morning() -> None:
    midnight = midnight_ms(TODAY, BERLIN)
    assert ready_day(midnight + 3 * 3_600_000 - 1, BERLIN) == TODAY - timedelta(days=1)
    assert ready_day(midnight + 3 * 3_600_000, BERLIN) == TODAY


def test_what_was_spent_is_told_once_to_the_account_view(own_nats: NatsServer, database_url: str, tmp_path: Path) -> None:
    filled(tmp_path, *(call(TODAY - timedelta(days=n), 20, 10, call=f"c{n}", key=1024 * n + 5) for n in (1, 2))).close()

    async def body(worker: Worker) -> None:
        spending = Spending(tmp_path, zone=BERLIN)
        before = {view: await worker.bus.last_sequence(f"LOG_{view}_0") for view in ("account", "range")}
        assert await learn(spending, worker.control, TODAY) == 1024
        entry = await worker.bus.bucket("control").get("baselines.5")
        assert entry is not None
        (record,) = decode_control(entry.value or b"")
        assert isinstance(record, BaselinesChanged)
        assert [account.account_key for account in record.accounts] == [1029, 2053]
        assert {account.month_micro for account in record.accounts} == {6_000_000}
        assert record.until_ms == midnight_ms(TODAY, BERLIN)
        assert await worker.bus.last_sequence("LOG_account_0") == before["account"] + 1024
        assert await worker.bus.last_sequence("LOG_range_0") == before["range"]
        assert await learn(spending, worker.control, TODAY) == 0
        # A restart of the worker repeats nothing either; the next day moves the end of the history in every slot.
        assert await learn(Spending(tmp_path, zone=BERLIN), worker.control, TODAY) == 0
        assert await learn(spending, worker.control, TODAY + timedelta(days=1)) == 1024
        spending.close()

    run(database_url, own_nats, body)


def test_an_archive_that_cannot_be_read_is_trouble_and_is_tried_again(own_nats: NatsServer, database_url: str, tmp_path: Path) -> None:
    filled(tmp_path, call(TODAY - timedelta(days=1), 20, 10, call="c")).close()
    (file,) = tmp_path.glob("calls/*/*.parquet")
    whole = file.read_bytes()
    file.write_bytes(b"nonsense")

    async def body(worker: Worker) -> None:
        spending = Spending(tmp_path, zone=BERLIN)
        worker.clock.now_ms = midnight_ms(TODAY, BERLIN) + 4 * 3_600_000
        async with running(keep_baselines(spending, worker.control, worker.board, worker.clock, zone=BERLIN)):

            async def troubled() -> bool:
                return "ordinary" in worker.message

            await until(troubled)
        with pytest.raises(UnavailableError):
            await learn(spending, worker.control, TODAY)
        file.write_bytes(whole)
        assert await learn(spending, worker.control, TODAY) == 1024

    run(database_url, own_nats, body)
