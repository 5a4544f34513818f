"""Times name their zone, money its unit; words for what a block refuses."""

import pytest

from ringfence.apps.console import show, words
from ringfence.apps.console.places import inside
from ringfence.apps.console.show import Zone

SUMMER, WINTER = 1_784_000_000_000, 1_795_300_000_000


def test_the_zone_is_named_and_follows_the_season() -> None:
    zone = Zone("Europe/Berlin")
    assert zone.named(SUMMER) == "CEST (Europe/Berlin)"
    assert zone.named(WINTER) == "CET (Europe/Berlin)"
    assert zone.full(WINTER).endswith("CET")
    assert show.iso(WINTER).endswith("Z")


def test_moments_get_shorter_the_nearer_they_are() -> None:
    zone = Zone("Europe/Berlin")
    assert zone.moment(WINTER, WINTER + 1000) == zone.clock(WINTER)
    assert len(zone.moment(WINTER - 3 * 86_400_000, WINTER)) > 8
    assert zone.moment(WINTER - 400 * 86_400_000, WINTER).split()[2] == "2025"


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (3600, "1 h"), (12_000, "3 h 20 min"), (187_200, "2 d 4 h")]
)
def test_spans(seconds: int, expected: str) -> None:
    assert show.span(seconds) == expected


@pytest.mark.parametrize(
    ("scope", "value", "least", "expected"),
    [
        ("number", "23276123456", 0, "calls to +23276123456"),
        ("range", "23276", 0, "calls to all numbers that begin with +23276"),
        ("class", "4930", 3, "calls to C3 and above from 4930"),
        ("class", "4930", 5, "calls to C5 from 4930"),
        ("account", "4930", 0, "all calls from 4930, except emergency"),
        ("source", "192.0.2.1", 0, "everything from 192.0.2.1, except emergency"),
    ],
)
def test_what_a_block_refuses(scope: str, value: str, least: int, expected: str) -> None:
    assert words.refuses(scope, value, least) == expected


@pytest.mark.parametrize("author", ["rule:D02@1", "person:anna", "anna", ""])
def test_authors(author: str) -> None:
    assert words.whose(author) == {"rule:D02@1": "rule D02", "person:anna": "anna"}.get(author, author)


@pytest.mark.parametrize("path", ["https://evil.test/", "//evil.test", "/\\evil.test", "javascript:alert(1)", "", "/a\nb", "evil"])
def test_only_paths_of_ours_are_gone_to(path: str) -> None:
    assert inside(path) == "/"


def test_a_path_of_ours_is_gone_to() -> None:
    assert inside("/alerts/a-1?said=lifted") == "/alerts/a-1?said=lifted"
