"""Cursors say the key they were made of, and nothing else is one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.apps.api.cursors import cursor, key_of
from ringfence.base.errors import OperatorError

Texts = st.text(max_size=50)


@given(Texts, st.integers(0, 2**63 - 1), Texts)
def test_a_cursor_says_its_key(first: str, number: int, last: str) -> None:
    assert key_of(cursor(first, number, last), "", 0, "") == (first, number, last)


def test_no_cursor_is_the_beginning() -> None:
    assert key_of("", 0, "") == (0, "")


@pytest.mark.parametrize("text", ["x", "W10", "é", "====", cursor(1), cursor("a", 1), cursor(1, 2), cursor(-1, "a"), cursor(2**63, "a")])
def test_what_is_no_cursor_of_this_page_is_a_sentence(text: str) -> None:
    with pytest.raises(OperatorError, match="begin without it"):
        key_of(text, 0, "")


@given(st.text(max_size=80))
def test_a_cursor_that_somebody_made_up_is_refused_or_has_the_right_parts(text: str) -> None:
    try:
        found = key_of(text, 0, "")
    except OperatorError:
        return
    assert [type(part) for part in found] == [int, str]
