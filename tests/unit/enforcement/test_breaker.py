"""Too many at once stop, and the protection that an attacker would like to stop does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.enforcement.breaker import WINDOW_MS, RecentSubjects, judge, kind_of, limit_for, mass_limit_for
from ringfence.enforcement.model import Breaker, Scope
from tests.unit.enforcement.samples import NOW_MS


@pytest.mark.parametrize(
    ("scope", "destination_class", "kind"),
    [
        (Scope.ACCOUNT, 0, "account"),
        (Scope.CLASS, 2, "account"),
        (Scope.CLASS, 4, "account"),
        (Scope.CLASS, 5, None),
        (Scope.NUMBER, 0, None),
        (Scope.RANGE, 0, None),
        (Scope.SOURCE, 0, "source"),
    ],
)
def test_which_breaker_watches_what(scope: Scope, destination_class: int, kind: str | None) -> None:
    assert kind_of(scope, destination_class) == kind


@pytest.mark.parametrize(("accounts", "limit", "mass"), [(0, 50, 100), (50_000, 50, 100), (60_000, 60, 100), (8_000_000, 8_000, 8_000)])
def test_limits_grow_with_the_operator(accounts: int, limit: int, mass: int) -> None:
    assert limit_for(accounts) == limit
    assert mass_limit_for(accounts) == mass


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(0, 2 * WINDOW_MS)), max_size=200), st.integers(0, 2 * WINDOW_MS))
def test_it_opens_exactly_when_one_more_subject_is_one_too_many(blocks: list[tuple[int, int]], reset_before_ms: int) -> None:
    recent = RecentSubjects()
    for subject, ago_ms in blocks:
        recent.add(f"s{subject}", NOW_MS - ago_ms)
    breaker = Breaker(kind="account", reset_ms=NOW_MS - reset_before_ms)
    since_ms = max(NOW_MS - WINDOW_MS, NOW_MS - reset_before_ms)
    inside = {f"s{subject}" for subject, ago_ms in blocks if NOW_MS - ago_ms >= since_ms} | {"new"}
    after = judge(breaker, recent, subject="new", accounts=0, now_ms=NOW_MS)
    assert after.is_open is (len(inside) > 50)
    if after.is_open:
        assert (after.opened_ms, after.subjects, after.limit, after.reset_ms) == (NOW_MS, len(inside), 50, breaker.reset_ms)


def test_it_stays_open_until_somebody_resets_it() -> None:
    breaker = Breaker(kind="source", opened_ms=1)
    assert judge(breaker, RecentSubjects(), subject="x", accounts=0, now_ms=NOW_MS + 10 * WINDOW_MS) is breaker


def test_subjects_are_forgotten_after_the_window() -> None:
    recent = RecentSubjects()
    recent.add("a", NOW_MS)
    recent.forget(NOW_MS)
    assert recent.count(since_ms=0, besides="") == 1
    recent.forget(NOW_MS + 1)
    assert recent.count(since_ms=0, besides="") == 0
