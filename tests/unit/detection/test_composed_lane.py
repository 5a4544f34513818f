"""A composed rule in its lane: what a control record changes, and that a copy of the lane goes on as the lane does."""

from typing import Literal

import pytest

from ringfence.detection.alerts import Output
from ringfence.detection.lane import Lane
from ringfence.detection.rules import read_rules
from ringfence.detection.service import built_in_rules
from ringfence.telephony.columns import batch_of
from ringfence.telephony.control import ComposedChanged
from ringfence.telephony.model import AccountRow, Kind, account_key_of, call_key_of

NOON = 1_790_000_000_000
TEXT = '[rule.night]\ntitle = "Night"\nmode = "act"\ncount = "calls"\nper = "account"\nwindow = "10 min"\nact = 2\n'


class Rows:
    """A log of calls, where its rows are found, and what the composed rule says of each."""

    def __init__(self) -> None:
        self.rows: dict[int, AccountRow] = {}
        self.sequence = 0

    def resolve(self, row_ref: int) -> AccountRow | None:
        return self.rows.get(row_ref)

    def call(self, lane: Lane, at_ms: int) -> Output:
        self.sequence += 1
        name = f"c{self.sequence}"
        row = AccountRow(
            kind=int(Kind.ATTEMPT), at_ms=at_ms, received_ms=at_ms, account="4930100", account_key=account_key_of(b"k", "4930100", keyed=True),
            call_id=name, call_key=call_key_of(b"k", name), callee="+23277000111", destination_class=4, started_ms=at_ms,
        )  # fmt: skip
        self.rows[self.sequence * 4096] = row
        output = lane.settle(lane.rows(batch_of([row]), self.sequence), self.sequence, self, closing=False)
        return Output(
            alerts=[alert for alert in output.alerts if alert.rule == "X-night"],
            suspicions=[suspicion for suspicion in output.suspicions if suspicion.rule == "X-night"],
        )


def changed(state: Literal["probation", "active", "retired"], text: str = TEXT, version: int = 1) -> ComposedChanged:
    return ComposedChanged(rule_id="X-night", version=version, toml=text, state=state)


def fresh() -> Lane:
    return Lane.fresh(read_rules(built_in_rules()), time_zone="Europe/Berlin")


def test_probation_informs_activation_acts_and_retirement_is_silence() -> None:
    lane, log = fresh(), Rows()
    lane.control([changed("probation")])
    assert log.call(lane, NOON).alerts == []
    [alert] = log.call(lane, NOON + 1_000).alerts
    assert (alert.rule, alert.rule_version, alert.severity, alert.account, alert.evidence.calls) == (
        "X-night", 1, "info", "4930100", ("c1", "c2"),
    )  # fmt: skip
    lane.control([changed("active")])
    later = NOON + 3_600_000
    assert log.call(lane, later).suspicions == []
    acted = log.call(lane, later + 1_000)
    assert [alert.severity for alert in acted.alerts if alert.state == "open"] == ["critical"]
    [suspicion] = acted.suspicions
    assert (suspicion.rule, suspicion.mode, suspicion.measures[0].scope, suspicion.calls) == ("X-night", "act", "class", ("c3", "c4"))
    lane.control([changed("retired")])
    for second in range(4):
        assert log.call(lane, later + 7_200_000 + second * 1_000).alerts == []
    assert lane.refused == []


def test_a_record_that_cannot_be_read_is_said_and_the_rule_before_it_stays() -> None:
    lane, log = fresh(), Rows()
    lane.control([changed("active"), changed("active", TEXT.replace("act = 2", "act = -2"), version=2)])
    assert ["line 7" in refused for refused in lane.refused] == [True]
    log.call(lane, NOON)
    assert [alert.rule_version for alert in log.call(lane, NOON + 1).alerts] == [1]


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_copy_of_the_lane_says_what_the_lane_says(cut: int) -> None:
    lane, log = fresh(), Rows()
    lane.control([changed("active")])
    for call in range(cut):
        log.call(lane, NOON + call * 1_000)
    copy, other = Lane.restore(lane.state()), Rows()
    other.rows, other.sequence = dict(log.rows), log.sequence
    for call in range(cut, 6):
        ours, theirs = log.call(lane, NOON + call * 1_000), other.call(copy, NOON + call * 1_000)
        assert (ours.alerts, ours.suspicions) == (theirs.alerts, theirs.suspicions)
    assert copy.state_hash() == lane.state_hash()
