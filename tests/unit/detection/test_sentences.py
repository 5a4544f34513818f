"""What an analyst reads at night: a whole sentence for each detector of the kernel, and the measure that goes with it."""

from collections.abc import Sequence

import msgspec
import pytest

from ringfence.detection.alerts import AlertBook
from ringfence.detection.engine import Crossing, Engine
from ringfence.detection.layout import DAY, MINUTE, SECOND, Detector
from ringfence.detection.rules import read_rules
from ringfence.telephony.columns import MAX_ROWS, batch_of
from ringfence.telephony.control import AccountBaseline, BaselinesChanged
from ringfence.telephony.model import AccountRow, Flag, account_slot
from tests.unit.detection.published import published_rules
from tests.unit.detection.test_alerts import NOON, rows_of, whole

pytestmark = pytest.mark.timeout(400)  # The first test of a process may compile the kernel, on a busy machine.

RULES = read_rules(published_rules())
KEY = whole(1, NOON).account_key


def short_calls(count: int, *, apart: int, seconds: int = 2, level: int = 3) -> list[AccountRow]:
    return [whole(number, NOON + number * apart, seconds=seconds, level=level) for number in range(1, count + 1)]


def same_number(calls: Sequence[AccountRow]) -> list[AccountRow]:
    return [msgspec.structs.replace(call, number_tail=1, callee="+23222550001") for call in calls]


def usual(*, highest: int, day: int, countries: tuple[int, ...] = ()) -> BaselinesChanged:
    account = AccountBaseline(
        account_key=KEY,
        month_micro=0,
        highest_month_micro=highest,
        day_median_micro=day,
        day_mad_micro=0,
        countries=countries,
        bins=tuple((hour, 50_000_000, 0) for hour in range(168)) if day else (),
    )
    return BaselinesChanged(
        version=1,
        slot=account_slot(KEY),
        since_ms=NOON - 84 * DAY,
        month_ms=NOON - 10 * DAY,
        until_ms=NOON - 12 * 60 * MINUTE,
        accounts=(account,),
    )


def said(calls: Sequence[AccountRow], detector: Detector, baselines: BaselinesChanged | None = None) -> tuple[list[str], list[str]]:
    """Reasons of the detector's alerts and signals, and `scope:value` of its measures."""
    engine, book, rows = Engine(RULES), AlertBook(), dict[int, AccountRow]()

    class Known:
        def resolve(self, row_ref: int) -> AccountRow | None:
            return rows.get(row_ref)

    if baselines is not None:
        engine.control(baselines)
    reasons: list[str] = []
    measures: list[str] = []

    def take(crossings: list[Crossing]) -> None:
        mine = [crossing for crossing in crossings if crossing.detector is detector]
        output = book.apply(mine, RULES, engine.time_zone, (), Known())
        reasons.extend([*(alert.reason for alert in output.alerts), *(signal.reason for signal in output.signals if signal.score)])
        measures.extend(f"{each.scope}:{each.value}" for suspicion in output.suspicions for each in suspicion.measures)

    for sequence, row in enumerate(rows_of(calls), start=1):
        for second in range(engine.now_ms // SECOND * SECOND + SECOND, row.at_ms, 30 * SECOND) if engine.now_ms else ():
            take(engine.tick(second))
        rows[sequence * MAX_ROWS] = row
        take(engine.feed(batch_of([row]), sequence))
    return reasons, measures


@pytest.mark.parametrize(
    ("detector", "calls", "baselines", "reason", "measure"),
    [
        (
            Detector.D05,
            [whole(1, NOON, level=5)],
            None,
            "1 call to the dearest class (Sierra Leone) in 1 second (limit 1)",
            "",
        ),
        (
            Detector.D13,
            same_number(short_calls(10, apart=MINUTE)),
            None,
            "10 attempts to the same number +23222550001 in Sierra Leone in 9 minutes (limit 10)",
            "number:23222550001",
        ),
        (
            Detector.D16,
            [*short_calls(3, apart=MINUTE), whole(4, NOON + 4 * MINUTE, level=3)],
            None,
            "3 numbers in Sierra Leone tried with short or unanswered calls, then a call was answered (limit 3)",
            "class:anna",
        ),
        (
            Detector.D17,
            [whole(1, NOON, seconds=4_000)],
            None,
            "A call to Sierra Leone that has been running for 60 minutes (limit 60 minutes)",
            "class:anna",
        ),
        (
            Detector.D22,
            short_calls(30, apart=MINUTE, level=2),
            None,
            "30 calls to Sierra Leone within 60 minutes, nearly all of them short or unanswered (limit 30)",
            "",
        ),
        (
            Detector.D25,
            [whole(number, NOON + number, flags=Flag.FORWARDED) for number in (1, 2)],
            None,
            "2 forwarded expensive calls to Sierra Leone at the same time (limit 2)",
            "class:anna",
        ),
        (
            Detector.D04,
            [whole(1, NOON, seconds=7_200)],
            usual(highest=20_000_000, day=0),
            "C2+ calls to Sierra Leone bring this billing month to EUR 80.01, running ones counted three minutes ahead (limit EUR 80.00)",
            "class:anna",
        ),
        (
            Detector.D20,
            [whole(1, NOON, seconds=1_200)],
            usual(highest=10**9, day=0),
            "1 call to Sierra Leone for EUR 5.01 within 15 minutes, far above what this account usually spends (limit EUR 5.00)",
            "",
        ),
        (
            Detector.D20,
            [whole(1, NOON, seconds=3_600)],
            usual(highest=10**9, day=20_000_000),
            "1 call to Sierra Leone for EUR 20.01 within 24 hours, far above what this account usually spends (limit EUR 20.00)",
            "",
        ),
        (Detector.D19, [whole(1, NOON)], usual(highest=0, day=0, countries=(1, 2)), "First calls ever to Sierra Leone", ""),
    ],
)
def test_a_detector_says_what_it_saw_and_what_would_stop_it(
    detector: Detector, calls: list[AccountRow], baselines: BaselinesChanged | None, reason: str, measure: str
) -> None:
    reasons, measures = said(calls, detector, baselines)
    assert any(each.startswith(reason) for each in reasons), reasons
    assert measure in measures if measure else not measures
