"""Versions over time: every device of a day stands in its column, and the newest versions are the darkest."""

from hypothesis import given
from hypothesis import strategies as st

from ringfence.apps.console.layers import FOOT, HEIGHT, MAX_LAYERS, OTHERS, layers, newest_first

DAY = 86_400_000
VERSIONS = st.sampled_from(["", "7.57", "8.9", "8.20", "8.21-BETA", "1.0", "x", "164.08.02"])
DAYS = st.dictionaries(st.integers(0, 40).map(lambda day: day * DAY), st.dictionaries(VERSIONS, st.integers(0, 10**7)), max_size=40)


@given(DAYS)
def test_nothing_is_lost_and_everything_has_its_place(days: dict[int, dict[str, int]]) -> None:
    picture = layers("x", days)
    top = max((sum(found.values()) for found in days.values()), default=0)
    if picture is None:
        assert top == 0
        return
    assert [(at_ms, sum(row)) for at_ms, row in picture.table] == [
        (at_ms, sum(days[at_ms].values())) for at_ms in sorted(days, reverse=True)
    ]
    assert len(picture.layers) <= MAX_LAYERS + 1
    assert all(piece.y >= 0 and piece.y + piece.height <= HEIGHT + 0.1 for piece in picture.pieces)
    assert all(piece.x >= 0 and piece.x + piece.width <= 100.01 for piece in picture.pieces)
    assert picture.height == HEIGHT + FOOT


def test_the_newest_is_the_darkest_and_the_rest_is_named() -> None:
    picture = layers("x", {0: {f"8.{minor}": 100 + minor for minor in range(1, 13)}, DAY: {"8.20": 5, "8.9": 7}})
    assert picture is not None
    assert [layer.name for layer in picture.layers] == ["8.20", "8.12", "8.11", "8.10", "8.9", OTHERS]
    assert [layer.now for layer in picture.layers] == [5, 0, 0, 0, 7, 0]
    assert sorted(["8.9", "8.20", "7.57", ""], key=newest_first) == ["8.20", "8.9", "7.57", ""]


def test_no_day_is_no_picture() -> None:
    assert layers("x", {}) is None
    assert layers("x", {0: {}}) is None
