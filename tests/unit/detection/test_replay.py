"""Traffic that is over: the order in which it is shown, what is remembered of it, and that it is judged as live."""

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.detection.agent import built_in_rules
from ringfence.detection.alerts import Output
from ringfence.detection.layout import HOUR
from ringfence.detection.replay import REMEMBERED_MS, Replay, _Texts, in_order
from ringfence.detection.rules import read_rules
from ringfence.telephony.columns import MAX_ROWS, RowBatch, batch_of, joined, row_ref
from ringfence.telephony.model import AccountRow, Kind
from ringfence.telephony.views import batch_in_view, rows_in
from tests.unit.detection.lives import NOON, life
from tests.unit.detection.test_backtest import shown, whole

RULES = read_rules(built_in_rules())


def rows_of(batches: Sequence[RowBatch]) -> list[AccountRow]:
    return [batch.row(place) for batch in batches for place in range(batch.length)]


@st.composite
def pieces(draw: st.DrawFn) -> list[list[AccountRow]]:
    """Pieces that follow each other; within one, rows of any order, and calls that end in later ones."""
    found: list[list[AccountRow]] = []
    start, number = NOON, 0
    for _ in range(draw(st.integers(1, 4))):
        piece = []
        for offset, kind, seconds, answered in draw(
            st.lists(
                st.tuples(
                    st.integers(0, 60),
                    st.sampled_from([Kind.CALL, Kind.CALL, Kind.INBOUND, Kind.REGISTRATION]),
                    st.integers(0, 200),
                    st.booleans(),
                ),
                max_size=8,
            )
        ):
            number += 1
            at_ms = start + offset * 1_000
            ended = {} if kind == Kind.CALL else {"ended_ms": at_ms + seconds * 1_000 if kind == Kind.INBOUND else 0}
            more = {"answered_ms": at_ms + 500 * seconds if answered and kind != Kind.REGISTRATION else 0} | ended
            piece.append(whole(number, at_ms, account=f"a{number % 3}", seconds=seconds, kind=kind, **more))
        found.append(piece)
        start += 60_000
    return found


def moment(row: AccountRow) -> int:
    return max(row.ended_ms, row.answered_ms, row.started_ms) if row.kind == Kind.INBOUND else row.at_ms


def naive(given_: list[list[AccountRow]]) -> list[tuple[int, int, str, int, int]]:
    found = [(moment(row), row) for row in shown([row for piece in given_ for row in piece])]
    return sorted((at_ms, int(row.kind), row.call_id, row.answered_ms, row.ended_ms) for at_ms, row in found)


@settings(max_examples=60, deadline=None)
@given(given_=pieces())
def test_pieces_are_shown_as_the_wire_would_have(given_: list[list[AccountRow]]) -> None:
    rows = rows_of(list(in_order(batch_of(piece) for piece in given_)))
    assert [row.at_ms for row in rows] == sorted(row.at_ms for row in rows)
    assert sorted((row.at_ms, int(row.kind), row.call_id, row.answered_ms, row.ended_ms) for row in rows) == naive(given_)
    places = {(row.call_id, int(row.kind)): place for place, row in enumerate(rows)}
    for (call_id, kind), place in places.items():
        if kind == Kind.END:
            assert places[call_id, int(Kind.ATTEMPT)] < place
            assert places.get((call_id, int(Kind.ANSWER)), place - 1) < place
    texts = {row.call_id: (row.account, row.callee) for piece in given_ for row in piece}
    assert all((row.account, row.callee) == texts[row.call_id] for row in rows)


def test_a_call_over_the_border_of_pieces_ends_where_it_ended() -> None:
    first = batch_of([whole(1, NOON, seconds=90)])
    second = batch_of([whole(2, NOON + 60_000, seconds=10), whole(3, NOON + 61_000, seconds=100)])
    found = [(row.call_id, Kind(row.kind), row.at_ms - NOON) for row in rows_of(list(in_order([first, second])))]
    assert [each for each in found if each[0] == "anna-1"] == [
        ("anna-1", Kind.ATTEMPT, 0),
        ("anna-1", Kind.ANSWER, 0),
        ("anna-1", Kind.END, 90_000),
    ]
    assert found.index(("anna-2", Kind.END, 70_000)) < found.index(("anna-1", Kind.END, 90_000))


def test_an_inbound_call_stands_at_its_end() -> None:
    found = rows_of(list(in_order([batch_of([whole(1, NOON, seconds=30, kind=Kind.INBOUND), whole(2, NOON + 20_000, seconds=0)])])))
    assert [(row.call_id, row.at_ms - NOON) for row in found] == [("anna-2", 20_000), ("anna-2", 20_000), ("anna-1", 30_000)]


def test_batches_are_no_longer_than_the_log_has_them() -> None:
    many = joined([batch_of([whole(number, NOON + number, seconds=1) for number in range(start, start + 4_000)]) for start in (0, 4_000)])
    batches = list(in_order([many]))
    assert [batch.length for batch in batches] == [MAX_ROWS] * 5 + [24_000 - 5 * MAX_ROWS]
    # They look into one piece: whoever remembers them remembers no copies.
    assert len({id(batch.numeric["at_ms"].base) for batch in batches}) == 1


def replayed(rows: Sequence[AccountRow], cuts: Sequence[int]) -> tuple[Replay, Output]:
    replay, output = Replay(RULES, time_zone="Europe/Berlin", mode="act"), Output()
    for start, end in zip((0, *cuts), (*cuts, len(rows)), strict=True):
        output.add(replay.feed(batch_of(rows[start:end])))
    return replay, output


def test_how_rows_are_cut_into_batches_changes_no_verdict() -> None:
    rows = life()
    _, one_by_one = replayed(rows, range(1, len(rows)))
    cuts = sorted(random.Random(7).sample(range(1, len(rows)), 12))
    _, cut = replayed(rows, cuts)

    def told(output: Output) -> set[tuple[str, int, str, str]]:
        return {(alert.alert_id, alert.step, alert.at, alert.reason) for alert in output.alerts if alert.state != "close"}

    assert {alert.subject.kind for alert in cut.alerts} >= {"account", "prefix", "source"}
    assert told(cut) == told(one_by_one)
    assert {each.suspicion_id for each in cut.suspicions} == {each.suspicion_id for each in one_by_one.suspicions} != set()


def test_what_is_open_closes_when_time_has_passed() -> None:
    replay, output = replayed(life(), [])
    assert any(lane.book.running() for lane in replay.lanes.values())
    output.add(replay.finish(replay.now_ms + 48 * HOUR))
    assert not any(lane.book.running() for lane in replay.lanes.values())
    opened = {alert.alert_id for alert in output.alerts}
    assert opened == {alert.alert_id for alert in output.alerts if alert.state == "close"}


def test_a_row_of_a_view_is_found_in_the_batch_it_came_from() -> None:
    batch = batch_of(life())
    for view in ("range", "source"):
        texts, rows = _Texts(), batch_in_view(view, batch)
        texts.remember(9, batch, rows_in(view, batch))
        assert rows.length
        assert [texts.resolve(row_ref(9, place)) for place in range(rows.length)] == rows_of([rows])
        assert texts.resolve(row_ref(8, 0)) is None


def test_rows_are_forgotten_when_nobody_can_ask_for_them() -> None:
    texts = _Texts()
    texts.remember(1, batch_of([whole(1, NOON)]), None)
    texts.remember(2, batch_of([whole(2, NOON + REMEMBERED_MS)]), None)
    assert texts.resolve(row_ref(1, 0)) is not None
    texts.remember(3, batch_of([whole(3, NOON + REMEMBERED_MS + 1)]), None)
    assert texts.resolve(row_ref(1, 0)) is None
    assert texts.resolve(row_ref(2, 0)) is not None
