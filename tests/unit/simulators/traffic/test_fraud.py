"""Every shape of fraud is there, labelled, in the sizes that were published; and it changes nothing else."""

from datetime import date

import numpy as np
import pytest

from ringfence.base.errors import OperatorError
from ringfence.simulators.traffic import sources
from ringfence.simulators.traffic.columns import FORWARDED, IN, Calls, Registrations
from ringfence.simulators.traffic.fraud import SCENARIOS, cases_of
from ringfence.simulators.traffic.population import Life
from ringfence.simulators.traffic.simulation import Simulation, simulation
from ringfence.simulators.traffic.truth import cost_micro, truth_rows
from ringfence.telephony.decks import default_deck_text
from ringfence.telephony.rates import Deck, read_deck

ACCOUNTS = 20_000
START = date(2026, 2, 2)


def planned(fraud: str, *, seed: int = 7, accounts: int = ACCOUNTS, days: int = 14) -> Simulation:
    return simulation(accounts=accounts, days=days, seed=seed, start=START, cases=cases_of(fraud, accounts=accounts, days=days))


@pytest.fixture(scope="module")
def everything() -> Simulation:
    return planned("all:4")


@pytest.fixture(scope="module")
def deck() -> Deck:
    return read_deck(default_deck_text(), home="DE", at_ms=1_770_000_000_000)


def calls_of(made: Simulation, scenario: str) -> list[Calls]:
    """Calls of each case of a scenario."""
    places = [place for place, case in enumerate(made.attack.cases) if case.scenario == scenario]
    return [made.attack.calls.take(made.attack.calls.case == place) for place in places]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario_has_its_cases_and_their_calls(everything: Simulation, scenario: str) -> None:
    found = calls_of(everything, scenario)
    assert len(found) == 4
    assert all(calls.length for calls in found)
    assert SCENARIOS[scenario].sentence.endswith(".")


def test_no_fraud_without_a_label_and_no_label_on_ordinary_life(everything: Simulation) -> None:
    labelled = 0
    for day in everything.days[:3]:
        calls = everything.calls(day)
        hostile = calls.case >= 0
        labelled += int(hostile.sum())
        known = np.isin(calls.call_id, everything.attack.calls.call_id)
        assert (known == hostile).all()
        assert len(np.unique(calls.call_id)) == calls.length
        assert (np.diff(calls.started_ms) >= 0).all()
    attack = everything.attack.calls
    assert (attack.case >= 0).all()
    assert labelled == (attack.started_ms < everything.days[2].end_ms).sum() > 100


def test_ordinary_traffic_is_the_same_with_fraud_and_without(everything: Simulation) -> None:
    peaceful = planned("none")
    assert peaceful.attack.calls.length == 0
    for day in everything.days[:2]:
        mixed, plain = everything.calls(day), peaceful.calls(day)
        rest = mixed.take(mixed.case < 0)
        for name in ("call_id", "started_ms", "callee", "source", "talk_ms"):
            assert (getattr(rest, name) == getattr(plain, name)).all()


def test_one_more_scenario_changes_no_other(everything: Simulation) -> None:
    alone = planned("slow-drip:4")
    (theirs, ours) = calls_of(everything, "slow-drip"), calls_of(alone, "slow-drip")
    for one, other in zip(theirs, ours, strict=True):
        assert (one.call_id == other.call_id).all()
        assert (one.started_ms == other.started_ms).all()
        assert (one.callee == other.callee).all()


def test_another_seed_is_another_story() -> None:
    one, other = planned("careful:3", seed=1), planned("careful:3", seed=2)
    assert [case.victims for case in one.attack.cases] != [case.victims for case in other.attack.cases]


def test_scenarios_rob_different_accounts(everything: Simulation) -> None:
    robbed: dict[int, str] = {}
    for case in everything.attack.cases:
        if case.scenario == "wangiri":
            continue
        for victim in case.victims:
            assert victim not in robbed, f"{case.case_id} and {robbed[victim]}"
            robbed[victim] = case.case_id
    assert len(robbed) > 300
    cells = [cell for scenario in SCENARIOS.values() for cell in scenario.cells]
    assert len(set(cells)) == len(cells)


def test_costs_are_those_of_the_deck(everything: Simulation, deck: Deck) -> None:
    calls = everything.attack.calls.take(slice(0, 3_000))
    expected = [
        deck.look_up(str(number)).rate * talk // 60_000 if talk >= 0 and direction != IN else 0
        for number, talk, direction in zip(calls.callee.tolist(), calls.talk_ms.tolist(), calls.direction.tolist(), strict=True)
    ]
    assert cost_micro(calls, deck).tolist() == expected


def test_the_truth_says_what_the_rows_say(everything: Simulation, deck: Deck) -> None:
    rows = list(truth_rows(everything.attack, deck))
    assert [row["case_id"] for row in rows] == [case.case_id for case in everything.attack.cases]
    for place, row in enumerate(rows):
        calls = everything.attack.calls.take(everything.attack.calls.case == place)
        out = calls.take(calls.direction != IN)
        assert row["calls"] == calls.length
        assert set(row["accounts"]) == {str(number) for number in out.account.tolist()}
        assert set(row["numbers"]) == {f"+{number}" for number in out.callee.tolist()}
        assert row["cost_eur"] == pytest.approx(cost_micro(calls, deck).sum() / 1e6, abs=0.01)
        assert row["first_at"] < row["last_at"]
        if len(row["accounts"]) == 1:
            assert row["account"] == row["accounts"][0]


def test_published_sizes(deck: Deck) -> None:
    made = planned("consumer-day:6,flood:2,pbx-weekend:12,spread:2,range-attack:2", accounts=60_000)
    by_case = {row["case_id"]: row for row in truth_rows(made.attack, deck)}
    days = [row for row in by_case.values() if row["scenario"] == "consumer-day"]
    assert max(row["cost_eur"] for row in days) > 10_000
    for row in by_case.values():
        if row["scenario"] == "flood":
            assert 10_000 < row["calls"] < 14_000
            assert row["cost_eur"] > 15_000
        if row["scenario"] == "range-attack":
            assert len(row["accounts"]) == 300
            assert len(row["ranges"]) == 1
            assert max(np.unique(calls_of(made, "range-attack")[0].account, return_counts=True)[1]) <= 4
    assert max(len(row["numbers"]) for row in by_case.values() if row["scenario"] == "spread") > 800
    weekends = [row for row in by_case.values() if row["scenario"] == "pbx-weekend"]
    assert {"town hall", "four numbers"} <= {next(style for style in STYLES if style in row["variant"]) for row in weekends}


STYLES = ("town hall", "four numbers", "whole weekend", "quiet")


def test_drips_are_slow(everything: Simulation) -> None:
    for calls in calls_of(everything, "slow-drip"):
        days = (calls.started_ms - everything.days[0].start_ms) // 86_400_000
        assert np.unique(days, return_counts=True)[1].max() <= 4
        assert (calls.talk_ms >= 20 * 60_000).all()
        assert (calls.talk_ms <= 60 * 60_000).all()


def test_own_devices_call_from_their_own_address(everything: Simulation) -> None:
    own = (*sources.OWN_POOLS, sources.STATIC_POOL, sources.CGNAT_POOL, *sources.MOBILE_HOME)
    for calls in calls_of(everything, "own-device"):
        inside = np.any([(calls.source >= block.first) & (calls.source < block.first + block.size) for block in own], axis=0)
        assert inside.all()


def test_strangers_call_from_elsewhere(everything: Simulation) -> None:
    own = (*sources.OWN_POOLS, sources.STATIC_POOL, sources.CGNAT_POOL)
    for scenario in ("stolen-abroad", "home-vpn", "brute-force", "foreign-source"):
        for calls in calls_of(everything, scenario):
            assert not any(((calls.source >= block.first) & (calls.source < block.first + block.size)).any() for block in own)


def test_guessing_ends_with_the_right_password(everything: Simulation) -> None:
    (victim,) = next(case.victims for case in everything.attack.cases if case.scenario == "brute-force")
    rows: Registrations = everything.attack.registrations
    tries = rows.take(rows.account == victim)
    assert (tries.status[:-1] == 401).sum() >= 39
    assert tries.status[-1] == 200


def test_forwarded_legs_follow_inbound_calls(everything: Simulation) -> None:
    for calls in calls_of(everything, "forwarding"):
        legs = calls.take(calls.direction == FORWARDED)
        assert legs.length
        assert (legs.forwarded_by == legs.account).all()
        assert set(legs.caller.tolist()) <= set(calls.caller[calls.direction == IN].tolist())


def test_wangiri_rings_once_and_is_called_back(everything: Simulation) -> None:
    for calls in calls_of(everything, "wangiri"):
        rings = calls.take(calls.direction == IN)
        back = calls.take(calls.direction != IN)
        assert rings.length > 8 * back.length > 0
        assert (rings.talk_ms == -1).all()
        assert (rings.ring_ms < 4_000).all()
        assert set(back.callee.tolist()) <= set(rings.caller.tolist())


def test_mimics_call_the_victim_s_own_country(everything: Simulation) -> None:
    who = everything.who
    for case in everything.attack.cases:
        if case.scenario == "mimic":
            place = int(np.flatnonzero(who.number == case.victims[0])[0])
            assert who.life[place] == Life.EXPATRIATE


@pytest.mark.parametrize(
    ("text", "word"),
    [("burglary", "burglary"), ("careful:0", "'0'"), ("careful:x", "'x'"), ("all:99999", "99999")],
)
def test_what_is_no_scenario_is_refused(text: str, word: str) -> None:
    with pytest.raises(OperatorError, match=word):
        cases_of(text, accounts=1_000, days=1)


def test_counts() -> None:
    assert cases_of("none", accounts=10, days=1) == {}
    assert cases_of("careful:5, flood", accounts=1_000, days=1) == {"careful": 5, "flood": 1}
    assert cases_of("all", accounts=1_000_000, days=3)["own-device"] == 12
    with pytest.raises(OperatorError, match="at least 400"):
        cases_of("all", accounts=100, days=1)


def test_more_cases_than_accounts_are_refused() -> None:
    with pytest.raises(OperatorError, match="use more accounts"):
        planned("careful:500", accounts=1_000)
