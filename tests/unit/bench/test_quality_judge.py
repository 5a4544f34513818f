"""A run of the quality bench: what the edge refuses and ends is neither counted as lost nor seen by the detectors any more."""

from collections.abc import Iterator

import msgspec

from ringfence.apps.bench.quality.judge import Verdicts, judge
from ringfence.apps.bench.quality.policy import REACTION_MS
from ringfence.apps.bench.quality.traffic import KEY, Traffic, Truth
from ringfence.detection.rules import read_rules
from ringfence.telephony.columns import RowBatch, batch_of
from ringfence.telephony.control import AccountChanged, ControlRecord
from ringfence.telephony.model import AccountRow, account_key_of, account_slot, call_key_of
from tests.unit.detection.published import published_rules
from tests.unit.detection.test_alerts import NOON, whole

MINUTE = 60_000
ANNA = account_key_of(KEY, "anna", keyed=True)


class Calls(Traffic):
    """Whole calls of one day as they are, without files."""

    networks = ()

    def __init__(self, *calls: AccountRow) -> None:
        self._calls = calls

    def before(self) -> Iterator[RowBatch]:
        return iter(())

    def control(self) -> list[ControlRecord]:
        return [
            AccountChanged(
                account="anna",
                account_key=ANNA,
                slot=account_slot(ANNA),
                segment="residential",
                channels=2,
                since_ms=NOON - 400 * 86_400_000,
                own_device=False,
            )
        ]

    def pieces(self) -> Iterator[RowBatch]:
        yield batch_of(list(self._calls))


def call(number: int, start: int, *, minutes: int) -> AccountRow:
    """A call of anna's to C4 at 70 ct a minute."""
    made = whole(number, start, seconds=minutes * 60)
    return msgspec.structs.replace(made, account_key=ANNA, slot=account_slot(ANNA), call_key=call_key_of(KEY, made.call_id))


def judged(*calls: AccountRow) -> Verdicts:
    truth = Truth(cases=(), case_of_call={each.call_key: each.call_id for each in calls}, victims=frozenset({"anna"}))
    return judge(Calls(*calls), truth, read_rules(published_rules()), accounts=1, progress=lambda _rows: None)


def test_running_calls_cost_until_the_edge_ended_them_and_later_ones_nothing() -> None:
    # Two at the same time are the limit of D07 for a household; the others come while the block holds.
    found = judged(*(call(number, NOON + number * 10_000, minutes=40) for number in range(3)), call(3, NOON + 5 * MINUTE, minutes=40))
    block = next(block for block in found.blocks if block.ends)
    assert list(found.refused_calls.values()) == ["anna", "anna"]
    assert {name: found.total_micro[name] for name in ("anna-0", "anna-3")} == {"anna-0": 28_000_000, "anna-3": 28_000_000}
    until_ms = block.imposed_ms + REACTION_MS
    assert until_ms > NOON + 4_000
    assert found.lost_micro["anna-0"] == 700_000 * (until_ms - NOON - 4_000) // MINUTE
    # The second one was ended before it was answered.
    assert found.lost_micro["anna-1"] == found.lost_micro["anna-2"] == found.lost_micro["anna-3"] == 0


def test_detectors_see_that_an_ended_call_is_over() -> None:
    alone = judged(call(0, NOON, minutes=200))
    assert "D17" in {alert.rule for alert in alone.alerts}
    ended = judged(*(call(number, NOON + number * 10_000, minutes=200) for number in range(3)))
    assert "D17" not in {alert.rule for alert in ended.alerts}
