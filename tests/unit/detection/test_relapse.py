"""Accounts on probation."""

from ringfence.detection.relapse import CAPACITY, PROBATION_MS, Relapses

T0 = 1_790_000_000_000


def test_probation_begins_after_the_act_and_lasts_a_week_from_the_last() -> None:
    relapses = Relapses()
    relapses.note("anna", T0)
    held = [at for at in (T0 - 1, T0, T0 + 1, T0 + PROBATION_MS - 1, T0 + PROBATION_MS) if relapses.holds("anna", at)]
    assert held == [T0 + 1, T0 + PROBATION_MS - 1]
    relapses.note("anna", T0 + PROBATION_MS - 1)
    assert relapses.holds("anna", T0 + 2 * PROBATION_MS - 2)
    assert not relapses.holds("berta", T0 + 1)


def test_the_order_in_which_acts_are_told_changes_nothing() -> None:
    one, other = Relapses(), Relapses()
    for at in (T0, T0 + 5, T0 + 9):
        one.note("anna", at)
    for at in (T0 + 5, T0, T0 + 9):
        other.note("anna", at)
    assert one.state() == other.state() == [("anna", T0, T0 + 9)]


def test_who_was_quiet_for_the_whole_probation_begins_anew() -> None:
    relapses = Relapses([("anna", T0, T0)])
    relapses.note("anna", T0 + PROBATION_MS)
    assert relapses.state() == [("anna", T0 + PROBATION_MS, T0 + PROBATION_MS)]


def test_forgiven_expired_and_crowded_out_accounts_are_forgotten() -> None:
    relapses = Relapses([("anna", T0, T0), ("berta", T0, T0 + 1)])
    relapses.forgive("anna")
    relapses.forgive("nobody")
    assert not relapses.holds("anna", T0 + 1)
    relapses.expire(T0 + PROBATION_MS)
    assert relapses.holds("berta", T0 + 2)
    relapses.expire(T0 + PROBATION_MS + 1)
    assert relapses.state() == []
    crowd = Relapses((f"u{number}", T0, T0 + number) for number in range(CAPACITY))
    crowd.note("anna", T0 + CAPACITY)
    assert not crowd.holds("u0", T0 + 1)
    assert len(crowd.state()) == CAPACITY
