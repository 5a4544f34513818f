"""Alerts of one attacker become one attack, and only those."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ringfence.detection import attacks as room
from ringfence.detection.attacks import QUIET_MS, TOGETHER_MS, AttackBook, AttackStep, decode_attack, encode_attack, facets_of, suspicion_of
from ringfence.detection.model import Alert, Evidence, Subject, iso_time
from ringfence.telephony.suspicion import Measure

T0 = 1_790_000_000_000


def alert(number: int, at_ms: int = T0, *, account: str = "", state: Any = "open", severity: Any = "warning", **observed: Any) -> Alert:
    account = account or f"u{number}"
    return Alert(
        alert_id=f"a-{number}",
        step=1,
        state=state,
        at=iso_time(at_ms),
        rule="D02",
        rule_version=1,
        severity=severity,
        subject=Subject(kind="account", value=account),
        account=account,
        score=40,
        cost_eur=1.0,
        reason="r",
        evidence=Evidence(calls=(), thresholds={}, observed=observed),
    )


def fed(book: AttackBook, *alerts: Alert) -> list[AttackStep]:
    return [step for each in alerts for step in book.feed(each)]


def test_three_hundred_accounts_into_one_range_are_one_attack() -> None:
    steps = fed(AttackBook(), *(alert(n, T0 + n * 1000, ranges=["23276123"]) for n in range(300)))
    assert {step.attack_id for step in steps} == {steps[0].attack_id}
    assert [step.state for step in steps] == ["open"] + ["join"] * 297
    assert steps[0].alerts == ("a-0", "a-1", "a-2")
    assert steps[-1].accounts == 300
    assert steps[-1].facets[0] == ("range", "23276123")
    assert steps[-1].reason == "300 accounts: 300 call numbers that begin with +23276123"
    # Told anew at each doubling, not at each account.
    assert [(step.accounts, step.level) for step in steps if step.level] == [(3 << n, 2 + n) for n in range(7)]
    assert suspicion_of(steps[1]) is None
    asked = suspicion_of(steps[3])
    assert asked is not None
    assert (asked.suspicion_id, asked.mode, asked.observed) == (f"{steps[0].attack_id}.3", "propose", 6)
    assert asked.measures == (Measure(scope="range", value="23276123"),)


def test_two_are_no_attack_and_one_account_with_many_alerts_is_none() -> None:
    assert fed(AttackBook(), alert(1, ranges=["23276123"]), alert(2, ranges=["23276123"])) == []
    assert fed(AttackBook(), *(alert(n, account="u1", ranges=["23276123"]) for n in range(20))) == []


def test_company_that_comes_too_late_opens_nothing() -> None:
    def third(at_ms: int) -> list[AttackStep]:
        return fed(AttackBook(), *(alert(n, at, sources=["203.0.113.7"]) for n, at in enumerate((T0, T0 + 1, at_ms))))

    assert third(T0 + TOGETHER_MS) == []
    assert [step.state for step in third(T0 + TOGETHER_MS - 1)] == ["open"]
    # Nor does an alert of another source, in time.
    assert fed(AttackBook(), *(alert(n, sources=["203.0.113.7"]) for n in (1, 2)), alert(3, ranges=["1"])) == []


def test_a_common_phone_alone_ties_nothing_but_its_rhythm_does() -> None:
    boxes = [alert(n, families=["FRITZ!OS"]) for n in range(50)]
    assert fed(AttackBook(), *boxes) == []
    robots = [alert(n, families=["FRITZ!OS"], rhythm="a call every 30 s") for n in range(5)]
    (step,) = fed(AttackBook(), *robots)
    assert step.facets == (("pattern", "FRITZ!OS, a call every 30 s"),)


def test_one_source_and_one_range_merge_when_an_alert_shows_both() -> None:
    book = AttackBook()
    first = fed(book, *(alert(n, T0 + n, ranges=["23276123"]) for n in range(3)))
    second = fed(book, *(alert(n, T0 + n, sources=["203.0.113.7"]) for n in range(10, 13)))
    steps = fed(book, alert(20, T0 + 100, ranges=["23276123"], sources=["203.0.113.7"]))
    assert [step.state for step in steps] == ["merge", "join"]
    assert steps[0].attack_id == second[0].attack_id
    assert steps[0].merged_into == steps[1].attack_id == first[0].attack_id
    assert steps[1].accounts == 7
    assert steps[1].reason == "7 accounts: 4 call numbers that begin with +23276123; 4 come from 203.0.113.7"
    assert book.running == 1
    # What came later by the other facet belongs to the merged one too.
    (joined,) = fed(book, alert(21, T0 + 200, sources=["203.0.113.7"]))
    assert joined.attack_id == first[0].attack_id
    # So do its alerts: one that goes on keeps the merged attack awake, even when it shows no facet any more.
    assert fed(book, alert(10, T0 + QUIET_MS, state="update")) == []
    assert book.tick(T0 + QUIET_MS + 500) == []


def test_a_merge_tells_no_size_again_and_lasts_as_long_as_either() -> None:
    book = AttackBook()
    fed(book, *(alert(n, T0, ranges=["23276123"]) for n in range(3)))
    large = fed(book, *(alert(n, T0 + 60_000, sources=["203.0.113.7"]) for n in range(10, 16)))
    assert large[-1].level == 3
    # It shows both and comes late: from before the larger one's newest alert.
    merged, joined = fed(book, alert(20, T0 + 5_000, ranges=["23276123"], sources=["203.0.113.7"]))
    assert (merged.state, joined.accounts, joined.level) == ("merge", 10, 0)
    assert [step.level for step in fed(book, alert(21, T0 + 6_000, ranges=["23276123"]), alert(22, T0 + 6_000, ranges=["23276123"]))] == [
        0,
        4,
    ]
    assert book.tick(T0 + QUIET_MS + 59_999) == []
    assert [step.state for step in book.tick(T0 + QUIET_MS + 60_000)] == ["close"]


def test_what_was_joined_lately_does_not_keep_another_attack_from_its_end() -> None:
    book = AttackBook()
    first = fed(book, *(alert(n, T0, ranges=["23276123"]) for n in range(3)))
    second = fed(book, *(alert(n, T0 + 1_000, sources=["203.0.113.7"]) for n in range(10, 13)))
    fed(book, alert(20, T0 + 60_000, ranges=["23276123"]))
    assert [step.attack_id for step in book.tick(T0 + QUIET_MS + 1_000)] == [second[0].attack_id]
    assert [step.attack_id for step in book.tick(T0 + QUIET_MS + 60_000)] == [first[0].attack_id]


def test_a_second_facet_leads_further_alerts_once_it_tells_by_itself() -> None:
    book = AttackBook()
    opened = fed(book, *(alert(n, T0 + n, ranges=["23276123"], networks=["AS64500"]) for n in range(6)))
    steps = fed(book, alert(30, T0 + 50, networks=["AS64500"], ranges=["88213"]))
    assert [step.attack_id for step in steps] == [opened[0].attack_id]


def test_a_facet_of_one_account_leads_nobody_however_often_it_is_seen() -> None:
    book = AttackBook()
    fed(book, *(alert(n, T0 + n, ranges=["23276123"]) for n in range(3)))
    both = [alert(n, T0 + n, account="u30", ranges=["23276123"], sources=["203.0.113.7"]) for n in (30, 31, 32, 33)]
    assert [step.accounts for step in fed(book, *both)] == [4] * 4
    assert fed(book, alert(40, T0 + 50, sources=["203.0.113.7"])) == []


def test_what_most_accounts_share_comes_first_and_becomes_the_measure() -> None:
    shared = [alert(n, T0 + n, sources=["203.0.113.7"], ranges=["23276123"] * (n % 2), networks=["AS64500"]) for n in range(6)]
    last = fed(AttackBook(), *shared)[-1]
    assert last.facets[-1] == ("range", "23276123")
    asked = suspicion_of(last)
    assert asked is not None
    assert asked.measures == (Measure(scope="source", value="203.0.113.7"), Measure(scope="range", value="23276123"))
    (step,) = fed(AttackBook(), *(alert(n, networks=["AS64500"]) for n in range(3)))
    assert suspicion_of(step) is None, "a whole network is no measure"


def test_an_alert_names_its_account_as_its_subject_or_not_at_all() -> None:
    def nameless(n: int, kind: Any, value: str) -> Alert:
        return msgspec.structs.replace(alert(n, sources=["203.0.113.7"]), account="", subject=Subject(kind=kind, value=value))

    assert [step.accounts for step in fed(AttackBook(), *(nameless(n, "account", f"u{n}") for n in range(3)))] == [3]
    assert fed(AttackBook(), *(nameless(n, "prefix", f"4{n}") for n in range(3))) == []


def test_an_attack_ends_after_two_quiet_hours_at_the_moment_it_had_been_quiet() -> None:
    book = AttackBook()
    fed(book, *(alert(n, T0, ranges=["23276123"]) for n in range(3)))
    assert book.tick(T0 + QUIET_MS - 1) == []
    other = AttackBook()
    fed(other, *(alert(n, T0, ranges=["23276123"]) for n in range(3)))
    assert [step.state for step in other.tick(T0 + QUIET_MS)] == ["close"]
    (closed,) = book.tick(T0 + QUIET_MS + 5000)
    assert (closed.state, closed.at_ms, closed.step) == ("close", T0 + QUIET_MS, 2)
    assert book.running == 0
    assert fed(book, alert(9, T0 + QUIET_MS + 6000, ranges=["23276123"])) == []


def test_an_update_of_a_member_is_no_new_step_but_keeps_the_attack_awake() -> None:
    book = AttackBook()
    fed(book, *(alert(n, T0, ranges=["23276123"]) for n in range(3)))
    assert fed(book, alert(2, T0 + QUIET_MS - 1, state="update", ranges=["23276123"])) == []
    assert book.tick(T0 + QUIET_MS) == []


def test_probation_closing_and_unproven_alerts_tie_nothing() -> None:
    for silent in ({"severity": "info"}, {"state": "close"}, {"proven": False}):
        assert fed(AttackBook(), *(alert(n, ranges=["23276123"], **silent) for n in range(9))) == []


def test_the_number_range_or_source_of_an_alert_on_it_is_its_facet() -> None:
    base = alert(1)
    assert facets_of(_about(base, "prefix", "23276123")) == (("range", "23276123"),)
    assert facets_of(_about(base, "source", "203.0.113.7")) == (("source", "203.0.113.7"),)
    assert facets_of(alert(1, ranges="nonsense", sources=[1, "", "x"])) == (("range", "nonsense"), ("source", "x"))


def _about(base: Alert, kind: Any, value: str) -> Alert:
    return Alert(**{name: getattr(base, name) for name in base.__struct_fields__} | {"subject": Subject(kind=kind, value=value)})


def test_invented_facets_are_forgotten_and_counted(monkeypatch: Any) -> None:
    monkeypatch.setattr(room, "MAX_FACETS", 100)
    book = AttackBook()
    fed(book, *(alert(n, ranges=[f"4{n}"]) for n in range(500)))
    assert book.evicted == 400


def test_memory_is_bounded_in_every_direction(monkeypatch: Any) -> None:
    monkeypatch.setattr(room, "MAX_ATTACKS", 2)
    crowded = AttackBook()
    opened = fed(crowded, *(alert(n, T0 + n, ranges=[f"4{n // 3}"]) for n in range(9)))
    assert [step.state for step in opened] == ["open"] * 3
    assert (crowded.running, crowded.evicted) == (2, 1)
    monkeypatch.setattr(room, "MAX_ALERTS", 10)
    crowd = AttackBook()
    assert fed(crowd, *(alert(n, T0 + n, ranges=["23276123"]) for n in range(30)))[-1].accounts == 10
    assert crowd.evicted == 20
    monkeypatch.setattr(room, "MAX_WAITING", 2)
    assert fed(AttackBook(), *(alert(n, T0 + n, account=f"u{min(n, 2)}", ranges=["1"]) for n in (0, 1, 1, 2))) == []


alerts = st.lists(
    st.tuples(
        st.integers(0, 30),
        st.integers(0, 5_000_000),
        st.lists(st.sampled_from(["1", "2", "3"]), max_size=2),
        st.lists(st.sampled_from(["s", "t"]), max_size=1),
    ),
    max_size=60,
)


@given(alerts)
def test_reading_the_stream_again_gives_the_same_steps_and_nobody_is_in_two_attacks(given_alerts: list[Any]) -> None:
    ordered = sorted(given_alerts, key=lambda each: each[1])
    stream = [alert(n, T0 + at, account=f"u{who}", ranges=r, sources=s) for n, (who, at, r, s) in enumerate(ordered)]
    once, again = fed(AttackBook(), *stream), fed(AttackBook(), *stream)
    assert once == again
    assert [decode_attack(encode_attack(step)) for step in once] == once
    seen: dict[str, int] = {}
    members: set[str] = set()
    for step in once:
        assert step.step == seen.get(step.attack_id, 0) + 1
        seen[step.attack_id] = step.step
        assert not members & set(step.alerts)
        members |= set(step.alerts)


def test_an_alert_that_was_told_twice_while_it_waited_is_named_once() -> None:
    """Each update of an alert waits for company, too; the copy in PostgreSQL takes each alert of a step once."""
    steps = fed(AttackBook(), *(alert(n, T0 + n, ranges=["23276123"]) for n in (0, 0, 1, 0, 2)))
    assert [step.alerts for step in steps] == [("a-0", "a-1", "a-2")]
