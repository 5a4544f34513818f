"""The pictures hold what they say, for any series and any calls."""

from hypothesis import given
from hypothesis import strategies as st

from ringfence.apps.console.pictures import Moment, TimedCall, meter, spark, timeline

NOW = 1_800_000_000_000


def call(number: int, started: int, *, answered: int = 0, ended: int = 0, refused: bool = False) -> TimedCall:
    return TimedCall(
        call_id=str(number), title="", destination_class=4, started_ms=started, answered_ms=answered, ended_ms=ended, refused=refused
    )


@given(st.lists(st.floats(0, 1e9), max_size=150))
def test_a_spark_stays_in_its_box(values: list[float]) -> None:
    picture = spark(values, unit="calls")
    if len(values) < 2:
        assert picture is None
        return
    assert picture is not None
    points = [point.split() for point in picture.line[1:].split("L")]
    assert len(points) == len(values)
    assert all(0 <= float(x) <= 100 and 0 <= float(y) <= 30 for x, y in points)


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 1e9))
def test_a_meter_never_leaves_its_bar(observed: float, warn: float, act: float) -> None:
    bar = meter(observed, warn, act)
    assert all(0 <= place <= 100 for place in (bar.fill, bar.warn, bar.act))
    assert bar.tone == ("critical" if act > 0 and observed >= act else "warning")


@given(st.lists(st.tuples(st.integers(0, 86_400_000), st.integers(0, 60_000), st.integers(0, 3_600_000)), min_size=1, max_size=50))
def test_every_call_is_in_the_picture(spans: list[tuple[int, int, int]]) -> None:
    calls = [
        call(place, NOW - before, answered=NOW - before + ring, ended=NOW - before + ring + talk)
        for place, (before, ring, talk) in enumerate(spans)
    ]
    picture = timeline(calls, [Moment(at_ms=NOW, name="flagged")], now_ms=NOW)
    assert picture is not None
    assert len(picture.bars) == len(calls)
    assert all(0 <= bar.start <= bar.answer <= bar.end <= 100 for bar in picture.bars)
    assert all(0 <= tick.x <= 100 for tick in picture.ticks)
    assert 0 < len(picture.ticks) <= 12


def test_running_and_refused_calls_show() -> None:
    calls = [call(1, NOW - 60_000, answered=NOW - 50_000), call(2, NOW - 30_000, refused=True)]
    picture = timeline(calls, [], now_ms=NOW)
    assert picture is not None
    running, refused = picture.bars
    assert running.running
    assert running.end > refused.start
    assert refused.refused
    assert not refused.answered


def test_names_of_moments_do_not_run_into_each_other() -> None:
    picture = timeline([call(1, NOW - 60_000)], [Moment(at_ms=NOW - 1000, name="flagged"), Moment(at_ms=NOW, name="blocked")], now_ms=NOW)
    assert picture is not None
    first, second = picture.moments
    assert first.row != second.row
    assert second.anchor == "end"


def test_no_calls_no_picture() -> None:
    assert timeline([], [Moment(at_ms=NOW, name="flagged")], now_ms=NOW) is None
