import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.ids import slot_of
from ringfence.telephony.columns import NUMERIC, batch_of
from ringfence.telephony.model import AccountRow, DestinationClass, Kind, NetworkKind
from ringfence.telephony.views import batch_in_view, row_in_view, rows_in, views_of

_keys = st.sampled_from([0, 7, -9_000_000_000_000_000_001, 1 << 60])


def row(kind: Kind, **fields: object) -> AccountRow:
    values: dict[str, object] = {"account_key": 11, "range_key": 22, "source_key": 33, "destination_class": 3} | fields
    return AccountRow(kind=int(kind), at_ms=1, received_ms=2, **values)  # type: ignore[arg-type]


def views(kind: Kind, **fields: object) -> list[tuple[str, int]]:
    return list(views_of(row(kind, **fields)))


def test_an_attempt_stands_with_its_account_its_range_and_its_foreign_source() -> None:
    assert views(Kind.ATTEMPT) == [("account", 11), ("range", 22), ("source", 33)]
    assert views(Kind.ATTEMPT, network_kind=int(NetworkKind.OWN_POOL)) == [("account", 11), ("range", 22)]
    assert views(Kind.ATTEMPT, destination_class=int(DestinationClass.C1)) == [("account", 11), ("source", 33)]
    assert views(Kind.ATTEMPT, source_key=0) == [("account", 11), ("range", 22)]


def test_what_belongs_to_nobody_stands_with_its_source() -> None:
    assert views(Kind.AUTH_FAILURE, account_key=0) == [("account", 33), ("source", 33)]
    assert views(Kind.UNAUTHENTICATED, account_key=0, network_kind=1) == [("account", 33), ("source", 33)]
    assert views(Kind.BLOCKED, account_key=0) == [("account", 33), ("source", 33)]
    assert views(Kind.BLOCKED) == [("account", 11)]


def test_an_inbound_call_stands_with_its_callers_range_whatever_it_would_cost() -> None:
    assert views(Kind.INBOUND, destination_class=1) == [("account", 11), ("range", 22)]
    assert views(Kind.INBOUND, account_key=0, destination_class=1) == [("account", 33), ("range", 22)]


def test_a_row_in_another_view_has_that_views_slot() -> None:
    moved = row_in_view(row(Kind.ATTEMPT, slot=5), -3)
    assert moved.slot == slot_of(-3) == 1021
    assert moved.account_key == 11


@given(
    st.lists(
        st.builds(
            AccountRow,
            kind=st.sampled_from([int(kind) for kind in Kind]),
            at_ms=st.integers(0, 1_000),
            received_ms=st.just(0),
            account_key=_keys,
            range_key=_keys,
            source_key=_keys,
            destination_class=st.integers(0, 5),
            network_kind=st.integers(0, 4),
            callee=st.sampled_from(["", "+4930", "+882"]),
        ),
        max_size=40,
    )
)
def test_a_batch_is_split_as_its_rows_are(rows: list[AccountRow]) -> None:
    batch = batch_of(rows)
    for view in ("account", "range", "source"):
        wanted = [(place, key) for place, found in enumerate(rows) for name, key in views_of(found) if name == view]
        found = rows_in(view, batch)
        assert list(zip(found.places.tolist(), found.keys.tolist(), strict=True)) == wanted
        split = batch_in_view(view, batch)
        assert [split.row(place) for place in range(split.length)] == [row_in_view(rows[place], key) for place, key in wanted]
        assert all(split.numeric[name].dtype == np.dtype(dtype) for name, dtype in NUMERIC)


def test_the_network_view_holds_no_rows() -> None:
    with pytest.raises(ValueError, match="no rows"):
        rows_in("network", batch_of([]))
