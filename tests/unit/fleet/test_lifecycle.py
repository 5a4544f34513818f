"""The table of lives."""

from itertools import product

import pytest

from ringfence.fleet.lifecycle import TRANSITIONS, Life, Occurrence, after, allows


def test_a_replaced_device_stays_replaced_whatever_happens() -> None:
    assert {after(Life.REPLACED, occurrence) for occurrence in Occurrence} == {Life.REPLACED}


def test_nothing_that_a_device_does_ends_its_being_lost_or_leaves_the_shelf_unbound() -> None:
    assert after(Life.LOST, Occurrence.MANAGED) is Life.LOST
    assert after(Life.LOST, Occurrence.BOOTSTRAPPED) is Life.LOST
    assert after(Life.IN_STOCK, Occurrence.BOOTSTRAPPED) is Life.IN_STOCK


@pytest.mark.parametrize(("life", "occurrence"), list(product(Life, Occurrence)))
def test_what_the_table_does_not_name_changes_nothing(life: Life, occurrence: Occurrence) -> None:
    assert allows(life, occurrence) == ((life, occurrence) in TRANSITIONS)
    if not allows(life, occurrence):
        assert after(life, occurrence) is life


def test_the_ordinary_way() -> None:
    life = Life.IN_STOCK
    way = [Occurrence.SHIPPED, Occurrence.BOOTSTRAPPED, Occurrence.MANAGED, Occurrence.FELL_SILENT, Occurrence.MANAGED, Occurrence.REPLACED]
    lives = [life := after(life, occurrence) for occurrence in way]
    assert lives == [Life.SHIPPED, Life.BOOTSTRAPPED, Life.MANAGED, Life.SILENT, Life.MANAGED, Life.REPLACED]
