import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.telephony.columns import MAX_ROWS, NUMERIC, TEXT, batch_of, row_ref, split_ref
from ringfence.telephony.model import AccountRow, Kind

rows = st.lists(
    st.builds(
        AccountRow,
        kind=st.sampled_from([int(kind) for kind in Kind]),
        at_ms=st.integers(0, 2**62),
        received_ms=st.integers(0, 2**62),
        account=st.text(max_size=20),
        account_key=st.integers(-(2**63), 2**63 - 1),
        slot=st.integers(0, 1023),
        call_id=st.text(max_size=20),
        number_tail=st.integers(0, 999),
        rate=st.integers(0, 2**40),
        expires=st.integers(-1, 2**31 - 1),
    ),
    max_size=20,
)


@given(rows)
def test_columns_give_the_rows_back(originals: list[AccountRow]) -> None:
    batch = batch_of(originals)
    assert [batch.row(place) for place in range(batch.length)] == originals


def test_every_field_of_a_row_is_a_column_exactly_once() -> None:
    names = [name for name, _ in NUMERIC] + list(TEXT)
    assert sorted(names) == sorted(AccountRow.__struct_fields__)


def test_columns_are_contiguous_and_typed() -> None:
    batch = batch_of([AccountRow(kind=Kind.ATTEMPT, at_ms=1, received_ms=2)])
    for name, dtype in NUMERIC:
        assert batch.numeric[name].dtype == np.dtype(dtype)
        assert batch.numeric[name].flags.c_contiguous


def test_a_batch_is_bounded() -> None:
    one = AccountRow(kind=Kind.ATTEMPT, at_ms=1, received_ms=1)
    with pytest.raises(ValueError, match="4096"):
        batch_of([one] * (MAX_ROWS + 1))
    with pytest.raises(IndexError):
        batch_of([one]).row(1)


@given(st.integers(0, 2**50), st.integers(0, MAX_ROWS - 1))
def test_a_reference_names_one_row(sequence: int, place: int) -> None:
    assert split_ref(row_ref(sequence, place)) == (sequence, place)
