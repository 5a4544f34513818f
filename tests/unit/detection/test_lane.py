"""A lane of every view: replicas and restored ones agree, whatever the batches; findings count like crossings; old states are refused."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest

from ringfence.detection.agent import Found, Lane
from ringfence.detection.alerts import Output
from ringfence.detection.engine import EngineState
from ringfence.detection.findings import SIGNAL, Finding
from ringfence.detection.lane import STATE_FORMAT
from ringfence.detection.layout import HOUR
from ringfence.detection.model import Alert
from ringfence.detection.replay import Replay
from ringfence.detection.rules import read_rules
from ringfence.detection.views import VIEWS, View
from ringfence.telephony.columns import batch_of, split_ref
from ringfence.telephony.control import AccountChanged, BlockReleased, HolidaysChanged, RuleSetChanged
from ringfence.telephony.model import AccountRow
from ringfence.telephony.network_second import NetworkSecond
from ringfence.telephony.suspicion import Measure, Suspicion
from ringfence.telephony.views import row_in_view, views_of
from tests.unit.detection.lives import NOON, key_of, life
from tests.unit.detection.published import published_rules

RULES = read_rules(published_rules())


class Player:
    """A lane that is fed a whole life: rows of its view in batches, ticks between, control records at the start."""

    def __init__(self, view: View, lane: Lane | None = None) -> None:
        self.view: View = view
        self.lane = lane or Lane.fresh(RULES, time_zone="Europe/Berlin", mode="act", view=view)
        self.rows: dict[int, Sequence[AccountRow]] = {}
        self.output = Output()

    def resolve(self, ref: int) -> AccountRow | None:
        sequence, place = split_ref(ref)
        return self.rows[sequence][place] if sequence in self.rows else None

    def settle(self, found: Found, *, closing: bool = False) -> None:
        self.output.add(self.lane.settle(found, self.lane.position + 1, self, closing=closing))

    def play(self, rows: Sequence[AccountRow], together: int) -> "Player":
        if self.view == "network":
            for row in rows:
                self.settle(self.lane.second(NetworkSecond(at_ms=row.at_ms, edge="e", cost_micro=(0, 0, 0, 0, row.rate * 20, 0)), 0))
            return self
        mine = [row_in_view(row, key) for row in rows for view, key in views_of(row) if view == self.view]
        for start in range(0, len(mine), together):
            part = mine[start : start + together]
            sequence = self.lane.position + 1
            self.rows[sequence] = part
            self.settle(self.lane.rows(batch_of(part), sequence))
            self.settle(self.lane.tick(part[-1].at_ms), closing=True)
        return self


def told(output: Output) -> list[tuple[str, int, str]]:
    return sorted((alert.alert_id, alert.step, alert.state) for alert in output.alerts)


def opened(alerts: Sequence[Alert]) -> set[str]:
    return {alert.alert_id for alert in alerts if alert.state == "open"}


def raised(suspicions: Sequence[Suspicion]) -> list[str]:
    return sorted(suspicion.suspicion_id for suspicion in suspicions)


@pytest.mark.parametrize("view", VIEWS)
def test_replicas_agree_and_a_restored_lane_goes_on_alike(view: View) -> None:
    rows = life()
    half = len(rows) - 70
    one, two = (Player(view).play(rows[:half], 7) for _ in range(2))
    assert one.lane.state_hash() == two.lane.state_hash()
    copied = one.lane.state()
    state = EngineState(
        arrays={name: np.array(words) for name, words in copied.arrays.items()},
        scalars=msgspec.json.decode(msgspec.json.encode(copied.scalars)),
    )
    later = Player(view, Lane.restore(state, mode="act"))
    later.rows = dict(two.rows)
    assert later.lane.state_hash() == one.lane.state_hash()
    two.output = Output()
    assert (told(later.play(rows[half:], 7).output), raised(later.output.suspicions)) == (
        told(two.play(rows[half:], 7).output),
        raised(two.output.suspicions),
    )
    assert later.lane.state_hash() == two.lane.state_hash()
    assert one.lane.judged_hash() != two.lane.judged_hash()


@pytest.mark.parametrize("view", [view for view in VIEWS if view != "network"])
def test_the_cutting_of_the_log_into_batches_changes_no_id(view: View) -> None:
    rows = life()
    fine, coarse = Player(view).play(rows, 1), Player(view).play(rows, 50)
    assert opened(fine.output.alerts) == opened(coarse.output.alerts) != set()
    assert set(raised(coarse.output.suspicions)) == set(raised(fine.output.suspicions))


@pytest.mark.parametrize("lanes", [2, 7])
@pytest.mark.parametrize("view", [view for view in VIEWS if view != "network"])
def test_slots_moved_between_lanes_change_no_alert_and_no_suspicion(view: View, lanes: int) -> None:
    """A lane carries a range of the 1,024 slots. However many lanes share them, every episode has its id, its steps and its suspicions."""
    mine = [row_in_view(row, key) for row in life() for name, key in views_of(row) if name == view]

    def judged(lanes: int) -> tuple[list[tuple[str, int, str]], list[str]]:
        players = [Player(view) for _ in range(lanes)]
        for sequence, start in enumerate(range(0, len(mine), 9), start=1):
            chunk = mine[start : start + 9]
            for lane, player in enumerate(players):
                part = [row for row in chunk if row.slot * lanes // 1_024 == lane]
                player.rows[sequence] = part
                if part:
                    player.settle(player.lane.rows(batch_of(part), sequence))
                player.settle(player.lane.tick(chunk[-1].at_ms), closing=True)
        assert sum(bool(player.output.alerts) for player in players) >= min(2, lanes if view == "account" else 1)
        return (
            sorted(step for player in players for step in told(player.output)),
            sorted(name for player in players for name in raised(player.output.suspicions)),
        )

    alone = judged(1)
    assert all(alone)
    assert judged(lanes) == alone


def test_a_replay_says_what_the_live_lanes_said() -> None:
    rows = life()
    replay = Replay(RULES, time_zone="Europe/Berlin", mode="act")
    output = Output()
    for start in range(0, len(rows), 40):
        output.add(replay.feed(batch_of(rows[start : start + 40])))
    live = [Player(view).play(rows, 3).output for view in VIEWS if view != "network"]
    assert opened(output.alerts) == set().union(*(opened(each.alerts) for each in live)) != set()
    assert set(raised(output.suspicions)) == {name for each in live for name in raised(each.suspicions)} != set()


def test_the_account_view_sees_both_the_takeover_and_the_spending() -> None:
    output = Player("account").play(life(), 5).output
    rules = {alert.rule for alert in output.alerts}
    assert {"D01", "D07", "D14", "D00"} & rules
    assert rules - {alert.rule for alert in output.alerts if alert.rule in ("D01", "D02", "D06", "D07", "D09", "D11", "D14")}
    assert all(alert.subject.kind == "account" and alert.account == alert.subject.value for alert in output.alerts)
    assert all(suspicion.loss_micro > 0 for suspicion in output.suspicions)


def finding(rule: str, level: int, at_ms: int, score: int) -> Finding:
    return Finding(
        rule=rule,
        level=level,
        subject_kind="account",
        subject="anna",
        account="anna",
        account_key=key_of("anna"),
        at_ms=at_ms,
        observed=1,
        warn=1,
        act=2,
        unit="calls",
        score=score,
        window_ms=HOUR,
        opening_call_id=f"{rule}-{at_ms}",
        opening_ms=at_ms,
        reason=f"{rule}.",
        measures=(Measure(scope="class", value="anna", destination_class=3),),
    )


class Nobody:
    def resolve(self, row_ref: int) -> None:  # noqa: ARG002
        return None


def test_signals_of_any_engine_become_one_score_that_weighs_segment_and_sensitivity() -> None:
    def of(**account: Any) -> Output:
        lane = Lane.fresh(RULES, time_zone="Europe/Berlin", mode="act")
        lane.control([AccountChanged(account="anna", account_key=key_of("anna"), slot=1, **account)])
        signals = [finding("D30", SIGNAL, NOON, 40), finding("D31", SIGNAL, NOON + 1, 15), finding("D34", SIGNAL, NOON + 2, 40)]
        return lane.settle(Found(findings=signals), 1, Nobody(), closing=False)

    plain, business, exposed = of(), of(segment="business"), of(sensitivity=100)
    assert {alert.rule for alert in plain.alerts} == {"D00"}
    assert [(each.rule, each.score, each.mode) for each in plain.suspicions] == [("D00", 69, "act")]
    assert [each.mode for each in business.suspicions] == ["propose"]
    assert [(each.score, each.mode) for each in exposed.suspicions] == [(61, "propose"), (77, "act")]
    assert exposed.suspicions[1].loss_micro > plain.suspicions[0].loss_micro


def test_a_state_of_another_format_or_with_other_engines_is_refused() -> None:
    state = Lane.fresh(RULES, time_zone="Europe/Berlin").state()
    Lane.restore(state)
    for scalars in (
        {**state.scalars, "format": STATE_FORMAT - 1},
        {**state.scalars, "engines": {"kernel": state.scalars["engines"]["kernel"]}},
        {**state.scalars, "engines": {**state.scalars["engines"], "of_tomorrow": {}}},
    ):
        arrays = {name: words for name, words in state.arrays.items() if name.partition(".")[0] in scalars["engines"]}
        with pytest.raises(ValueError, match="a state of"):
            Lane.restore(EngineState(arrays=arrays, scalars=scalars))


@pytest.mark.parametrize("view", VIEWS)
def test_rules_and_holidays_reach_every_engine_and_bad_rules_change_nothing(view: View) -> None:
    lane = Lane.fresh(RULES, time_zone="Europe/Berlin", view=view)
    before = lane.state_hash()
    lane.control([RuleSetChanged(version=7, toml="version = 1\n[rules.D99]\n")])
    assert len(lane.refused) == 1
    assert lane.refused[0].startswith("line 2 of the rules: D99 is no detector")
    assert lane.state_hash() == before
    lane.control([RuleSetChanged(version=7, toml=published_rules()), HolidaysChanged(days=("2026-12-25",), time_zone="Europe/Paris")])
    assert (lane.terms.rules.version, lane.terms.time_zone.key, lane.terms.holidays) == (7, "Europe/Paris", ("2026-12-25",))
    restored = Lane.restore(lane.state())
    assert (restored.terms.rules.version, restored.terms.time_zone.key, restored.terms.holidays) == (7, "Europe/Paris", ("2026-12-25",))
    if restored.kernel is not None:
        assert restored.kernel.rules.version == 7


def test_a_lifted_block_ends_the_probation_of_its_account_and_snapshots_keep_it() -> None:
    lane = Lane.fresh(read_rules(published_rules()), time_zone="Europe/Berlin", view="account")
    lane.book.relapses.note("anna", NOON)
    lane.book.relapses.note("berta", NOON)
    lane.control([BlockReleased(block_id="b-1", alert_id="a-1", account="anna", scope="class", at_ms=NOON + 1, by="maria")])
    restored = Lane.restore(lane.state())
    assert [restored.book.relapses.holds(account, NOON + HOUR) for account in ("anna", "berta")] == [False, True]
    assert restored.state_hash() == lane.state_hash()
