import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.errors import PeerError
from ringfence.telephony.model import AccountRow, Kind
from ringfence.telephony.network_second import LATE_MS, MAX_EDGES, NetworkSecond, NetworkTotals, decode_second, encode_second

NOW = 1_790_000_000_000
EURO = 1_000_000


def row(
    kind: Kind,
    *,
    edge: str = "kamailio-1",
    answered_ms: int = 0,
    ended_ms: int = 0,
    received_ms: int = NOW,
    status_code: int = 0,
    connect_micro: int = 0,
) -> AccountRow:
    return AccountRow(
        kind=int(kind),
        at_ms=NOW,
        received_ms=received_ms,
        edge=edge,
        rate=EURO,
        destination_class=4,
        answered_ms=answered_ms,
        ended_ms=ended_ms,
        status_code=status_code,
        connect_micro=connect_micro,
    )


def test_a_running_call_costs_every_second_until_it_ends() -> None:
    totals = NetworkTotals()
    assert totals.seconds(NOW) == [NetworkSecond(at_ms=NOW, edge="")]
    totals.take(row(Kind.ATTEMPT))
    totals.take(row(Kind.ANSWER, connect_micro=50))
    (first,) = totals.seconds(NOW + 1_000)
    assert (first.attempts[4], first.answered[4], first.cost_micro[4]) == (1, 1, 50 + EURO // 60)
    spent = first.cost_micro[4] - 50
    for second in range(2, 61):
        (found,) = totals.seconds(NOW + second * 1_000)
        spent += found.cost_micro[4]
    assert spent == EURO, "a minute costs its rate to the micro-euro"
    totals.take(row(Kind.END, answered_ms=NOW))
    assert totals.seconds(NOW + 61_000)[0].cost_micro == (0, 0, 0, 0, 0, 0)


def test_an_attempt_that_ends_unanswered_ends_no_other_calls_cost() -> None:
    totals = NetworkTotals()
    totals.seconds(NOW)
    totals.take(row(Kind.ANSWER))
    totals.take(row(Kind.END))
    assert totals.seconds(NOW + 60_000)[0].cost_micro[4] == EURO
    totals.take(row(Kind.END, answered_ms=NOW))
    totals.take(row(Kind.END, answered_ms=NOW))
    assert totals.seconds(NOW + 120_000)[0].cost_micro[4] == 0


def test_a_call_record_costs_at_once_unless_it_is_old() -> None:
    totals = NetworkTotals()
    totals.take(row(Kind.CALL, answered_ms=NOW - 120_000, ended_ms=NOW))
    totals.take(row(Kind.CALL, answered_ms=NOW - 120_000, ended_ms=NOW, received_ms=NOW + LATE_MS + 1))
    totals.take(row(Kind.CALL))
    (found,) = totals.seconds(NOW)
    assert (found.attempts[4], found.answered[4], found.cost_micro[4], totals.late) == (3, 2, 2 * EURO, 1)


def test_each_edge_has_its_own_second() -> None:
    totals = NetworkTotals()
    for kind in (Kind.REGISTRATION, Kind.AUTH_FAILURE, Kind.UNAUTHENTICATED, Kind.BLOCKED, Kind.INBOUND):
        totals.take(row(kind, edge="a", status_code=200))
    totals.take(row(Kind.REGISTRATION, edge="b", status_code=408))
    totals.take(row(Kind.ATTEMPT, edge="b"))
    first, second = totals.seconds(NOW)
    assert (first.edge, first.registrations, first.auth_failures, first.unauthenticated, first.blocked) == ("a", 1, 1, 1, 1)
    assert (second.edge, second.registrations, second.attempts[4]) == ("b", 0, 1)
    assert totals.seconds(NOW + 1_000) == [NetworkSecond(at_ms=NOW + 1_000, edge="")]


def test_edges_are_bounded_and_a_clock_that_goes_back_costs_nothing() -> None:
    totals = NetworkTotals()
    for number in range(MAX_EDGES + 5):
        totals.take(row(Kind.ANSWER, edge=f"e{number}"))
    found = totals.seconds(NOW)
    assert len(found) == MAX_EDGES + 1
    assert found[-1].edge == ""
    assert found[-1].answered[4] == 5
    assert totals.seconds(NOW - 60_000) == [NetworkSecond(at_ms=NOW - 60_000, edge="")]


def test_running_calls_are_taken_up_after_a_restart() -> None:
    totals = NetworkTotals()
    totals.restore(row(Kind.ATTEMPT))
    totals.restore(row(Kind.ANSWER))
    totals.seconds(NOW)
    (found,) = totals.seconds(NOW + 60_000)
    assert (found.cost_micro[4], found.answered[4]) == (EURO, 0)


@given(st.builds(NetworkSecond, at_ms=st.integers(0, 2**53), edge=st.text(max_size=60), registrations=st.integers(0, 2**40)))
def test_a_second_is_read_as_it_was_written(second: NetworkSecond) -> None:
    assert decode_second(encode_second(second)) == second


@given(st.binary(max_size=60) | st.just(b'{"at_ms":1,"edge":"x","attempts":[1,2]}') | st.just(b" " * 5_000))
def test_anything_else_is_refused(payload: bytes) -> None:
    with pytest.raises(PeerError):
        decode_second(payload)
