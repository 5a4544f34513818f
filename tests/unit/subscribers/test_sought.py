"""What was typed, as what the indexes understand."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringfence.base.errors import OperatorError
from ringfence.subscribers.customers.sought import folded, past, sought
from ringfence.telephony.numbers import plan_for

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cn", "Co"]), min_size=1, max_size=20)


@given(TEXTS, TEXTS)
@example("\ud7fb", "\ue000")
def test_the_range_of_a_beginning_holds_exactly_what_begins_so(beginning: str, other: str) -> None:
    end = past(beginning).encode()
    for text in (beginning, beginning + other, other):
        assert (beginning.encode() <= text.encode() < end) == text.startswith(beginning)


def test_names_are_compared_without_case_width_and_double_spaces() -> None:
    assert folded("  STRAẞE\u00a0 \uff21nna ") == "strasse anna"


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("K-100", ("K-100",)),
        ("1234", ("1234",)),
        ("+49 30 12345678", ("+49 30 12345678", "493012345678", "+493012345678", "00493012345678", "03012345678")),
        ("03012345678", ("03012345678", "+03012345678", "493012345678", "+493012345678", "00493012345678")),
    ],
)
def test_a_number_is_every_way_it_may_be_written(text: str, forms: tuple[str, ...]) -> None:
    assert sought(text, plan_for("DE")).accounts == forms


def test_an_address_is_one() -> None:
    assert sought("[2001:DB8::1]").address == "2001:db8::1"
    assert sought("192.0.2.7").address == "192.0.2.7"
    assert sought("192.0.2").address == ""


@pytest.mark.parametrize("text", ["ab", "   ab   ", "x" * 201, "a\x00bc", "a\ud800bc"])
def test_too_short_too_long_or_unprintable_is_refused(text: str) -> None:
    with pytest.raises(OperatorError):
        sought(text)
