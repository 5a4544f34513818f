"""What the quality bench lets the detectors know of the time before: the product's own sums, told at night."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from ringfence.apps.bench.quality.history import History
from ringfence.telephony.columns import RowBatch, batch_of
from ringfence.telephony.control import AccountBaseline, BaselinesChanged
from ringfence.telephony.model import Kind, account_slot
from tests.unit.detection.test_alerts import whole

ZONE = ZoneInfo("Europe/Berlin")
FIRST = datetime(2026, 8, 3, 12, tzinfo=ZONE)


def noon(day: int) -> int:
    return round((FIRST + timedelta(days=day)).timestamp() * 1000)


def days(count: int, *, account: str = "anna") -> Iterator[RowBatch]:
    """Five minutes at 70 ct each noon."""
    for day in range(count):
        call = whole(day, noon(day), account=account)
        yield batch_of([msgspec.structs.replace(call, slot=account_slot(call.account_key))])


def told_of(records: list[BaselinesChanged], account_key: int) -> list[AccountBaseline]:
    return [each for record in records for each in record.accounts if each.account_key == account_key]


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path, time_zone="Europe/Berlin")
    yield made
    made.close()


def test_the_time_before_is_told_at_once_and_each_night_adds_its_day(history: History) -> None:
    key = whole(0, 0).account_key
    history.begin(days(10), {key: 0})
    records = history.night(noon(10))
    [anna] = told_of(records, key)
    assert (anna.day_median_micro, anna.month_micro) == (3_500_000, 35_000_000)
    assert {record.since_ms for record in records} == {noon(0) - 12 * 3_600_000}
    assert history.night(noon(10) + 14 * 3_600_000) == []  # Two o'clock at night: the day is not over yet.
    ended = whole(99, noon(10), seconds=600)
    history.take(batch_of([msgspec.structs.replace(ended, kind=Kind.END, slot=account_slot(key))]), Kind.END)
    [anna] = told_of(history.night(noon(10) + 16 * 3_600_000), key)
    assert anna.month_micro == 42_000_000


def test_calls_before_a_contract_and_of_strangers_are_nobodys_history(history: History) -> None:
    key = whole(0, 0).account_key
    history.begin(days(4), {key: noon(3)})
    [anna] = told_of(history.night(noon(4)), key)
    assert anna.month_micro == 3_500_000


def test_without_a_time_before_nothing_is_told_until_a_day_is_over(history: History) -> None:
    assert history.night(noon(0)) == []
    history.take(next(days(1)), Kind.CALL)
    assert told_of(history.night(noon(1)), whole(0, 0).account_key)
