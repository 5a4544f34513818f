"""Which alert belongs to which running attack, as the stream tells it."""

from ringfence.detection.attacks import AttackStep, State
from ringfence.views.attacks import LiveAttacks


def step(attack: str, number: int, state: State, *alerts: str, into: str = "") -> AttackStep:
    return AttackStep(
        attack_id=attack,
        step=number,
        state=state,
        at_ms=number,
        alerts=alerts,
        accounts=3,
        facets=(),
        reason="",
        merged_into=into,
    )


def test_alerts_follow_their_attack_through_joins_merges_and_its_end() -> None:
    live = LiveAttacks()
    for each in (
        step("t-1", 1, "open", "a", "b"),
        step("t-2", 1, "open", "c"),
        step("t-1", 2, "join", "d"),
        step("t-1", 2, "join", "again"),
    ):
        live.feed(each)
    assert [live.attack_of(alert) for alert in "abcd"] == ["t-1", "t-1", "t-2", "t-1"]
    assert live.attack_of("again") == "", "a step that was taken changes nothing"
    live.feed(step("t-2", 2, "merge", into="t-1"))
    assert live.attack_of("c") == "t-1"
    assert [(attack.step.attack_id, attack.alerts) for attack in live.running()] == [("t-1", {"a", "b", "c", "d"})]
    live.feed(step("t-1", 3, "close"))
    assert live.running() == []
    assert live.attack_of("a") == ""


def test_the_end_of_an_attack_that_nobody_saw_begin_is_nothing() -> None:
    live = LiveAttacks()
    live.feed(step("t-1", 9, "close"))
    assert live.running() == []
