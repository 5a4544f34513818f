"""Which views of the log hold a row, and under which key: rules look at the same traffic by account, by range and by source.

The account view holds every row and is what the archive keeps; the others can be derived from it at any time by the functions here, so
that they agree with what ingest once sent. The network view holds no rows but a message a second (`network_second`). The one thing to
know: a row's own `slot` is that of the account view; in another view it is `slot_of` the key given here.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ringfence.base.ids import slot_of
from ringfence.telephony.columns import RowBatch, take
from ringfence.telephony.model import AccountRow, DestinationClass, Kind, NetworkKind

ACCOUNT = "account"
RANGE = "range"
SOURCE = "source"
NETWORK = "network"

_RANGE_KINDS = (int(Kind.ATTEMPT), int(Kind.ANSWER), int(Kind.END), int(Kind.CALL))
_SOURCE_KINDS = (int(Kind.AUTH_FAILURE), int(Kind.UNAUTHENTICATED))
"""In the source view wherever they came from."""
_USE_KINDS = (int(Kind.REGISTRATION), int(Kind.ATTEMPT), int(Kind.CALL))
"""In the source view when an account was used from outside the operator's own pools."""
_INBOUND = int(Kind.INBOUND)
_BLOCKED = int(Kind.BLOCKED)
_OWN_POOL = int(NetworkKind.OWN_POOL)
_C2 = int(DestinationClass.C2)


def views_of(row: AccountRow) -> Iterator[tuple[str, int]]:
    """`(view, 64-bit key)` of each view that holds the row, the account view first.

    A row without an account stands in the account view under its source, so that the archive holds it.
    """
    yield ACCOUNT, row.account_key or row.source_key
    if key := range_key_of(row):
        yield RANGE, key
    if key := source_key_of(row):
        yield SOURCE, key


def range_key_of(row: AccountRow) -> int:
    """The key under which the range view holds the row; 0 when it does not."""
    kind = row.kind
    return row.range_key if kind == _INBOUND or (row.destination_class >= _C2 and kind in _RANGE_KINDS) else 0


def source_key_of(row: AccountRow) -> int:
    """The key under which the source view holds the row; 0 when it does not."""
    kind = row.kind
    if kind in _USE_KINDS:
        return row.source_key if row.network_kind != _OWN_POOL else 0
    return row.source_key if kind in _SOURCE_KINDS or (kind == _BLOCKED and not row.account_key) else 0


def row_in_view(row: AccountRow, key: int) -> AccountRow:
    """The row as another view than the account view holds it."""
    return msgspec.structs.replace(row, slot=slot_of(key))


class ViewRows(NamedTuple):
    """Rows of a batch that a view holds."""

    places: NDArray[np.intp]
    """Where they stand in the batch, ascending."""
    keys: NDArray[np.int64]
    """Their keys in the view."""


def rows_in(view: str, batch: RowBatch) -> ViewRows:
    """What `views_of` says of every row of an account view's batch, at once: for replays of the archive."""
    numeric = batch.numeric
    kind, account_key, source_key = numeric["kind"], numeric["account_key"], numeric["source_key"]
    if view == ACCOUNT:
        return ViewRows(np.arange(batch.length), np.where(account_key != 0, account_key, source_key))
    if view == RANGE:
        key = numeric["range_key"]
        paid = np.isin(kind, _RANGE_KINDS) & (numeric["destination_class"] >= _C2)
        held = (key != 0) & (paid | (kind == _INBOUND))
    elif view == SOURCE:
        key = source_key
        used = np.isin(kind, _USE_KINDS) & (numeric["network_kind"] != _OWN_POOL)
        held = (key != 0) & (np.isin(kind, _SOURCE_KINDS) | ((kind == _BLOCKED) & (account_key == 0)) | used)
    else:
        raise ValueError(f"the view {view} holds no rows")
    places = np.flatnonzero(held)
    return ViewRows(places, key[places])


def batch_in_view(view: str, batch: RowBatch) -> RowBatch:
    """The rows of an account view's batch that another view holds, in order, with the slots of that view."""
    places, keys = rows_in(view, batch)
    rows = take(batch, places)
    return RowBatch(rows.length, {**rows.numeric, "slot": (keys & 1023).astype("u2")}, rows.text)
