"""The coding of the log: what goes in comes out, and nothing but a whole batch of this schema is read."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.archive import batches
from ringfence.base.errors import PeerError
from ringfence.telephony.columns import MAX_ROWS, NUMERIC, TEXT, RowBatch, batch_of
from ringfence.telephony.model import AccountRow

ROW = AccountRow(
    kind=1, at_ms=1_700_000_000_123, received_ms=1_700_000_000_125, account="4930123", call_id="a@b", callee="+23277000111", rate=250_000
)

_texts = st.text(st.characters(codec="utf-8"), max_size=40)
_rows = st.builds(
    AccountRow,
    **{name: st.integers(int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) for name, dtype in NUMERIC},
    **dict.fromkeys(TEXT, _texts),
)


@settings(deadline=None)
@given(st.lists(_rows, max_size=20))
def test_what_is_encoded_decodes_to_the_same(rows: list[AccountRow]) -> None:
    decoded = batches.decode(batches.encode(batch_of(rows)))
    assert [decoded.row(place) for place in range(decoded.length)] == rows
    again = batches.decode(batches.encode(decoded))
    assert [again.row(place) for place in range(again.length)] == rows


def test_numbers_are_contiguous_aligned_and_of_the_stated_type() -> None:
    decoded = batches.decode(batches.encode(batch_of([ROW] * 3)))
    assert [(name, decoded.numeric[name].dtype.str[1:]) for name, _ in NUMERIC] == [(name, dtype) for name, dtype in NUMERIC]
    for values in decoded.numeric.values():
        assert values.flags.c_contiguous
        assert values.flags.aligned
        assert not values.flags.owndata


def test_texts_are_a_sequence() -> None:
    texts = batches.decode(batches.encode(batch_of([ROW, ROW]))).text["account"]
    assert (len(texts), texts[0], texts[-1], list(texts), list(texts[1:])) == (2, "4930123", "4930123", ["4930123"] * 2, ["4930123"])
    with pytest.raises(IndexError):
        _ = texts[2]


def test_a_full_batch_fits_and_a_larger_one_is_a_bug() -> None:
    full = batch_of([ROW] * MAX_ROWS)
    assert batches.decode(batches.encode(full)).length == MAX_ROWS
    one = batch_of([ROW])
    with pytest.raises(ValueError, match="4096 rows"):
        batches.encode(RowBatch(MAX_ROWS + 1, one.numeric, one.text))
    with pytest.raises(ValueError, match="bytes at the most"):
        batches.encode(batch_of([AccountRow(kind=1, at_ms=1, received_ms=1, contact="x" * batches.MAX_BATCH_BYTES)]))


def _stream(*record_batches: pa.RecordBatch, schema: pa.Schema = batches.SCHEMA, options: pa.ipc.IpcWriteOptions | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=options) as writer:
        for record_batch in record_batches:
            writer.write_batch(record_batch)
    return sink.getvalue().to_pybytes()


_BATCH = batches.record_batch_of(batch_of([ROW]))
_OTHER = pa.record_batch({"kind": pa.array([1], pa.uint8())})
_NULL = pa.RecordBatch.from_arrays([*_BATCH.columns[:-1], pa.array([None], pa.string())], schema=batches.SCHEMA)
_LONG = pa.Table.from_batches([_BATCH] * (MAX_ROWS + 1)).combine_chunks().to_batches()[0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not_arrow"),
        (b"not arrow at all", "not_arrow"),
        (_stream(), "no_batch"),
        (_stream(_BATCH, _BATCH), "more_than_one_batch"),
        (_stream(_OTHER, schema=_OTHER.schema), "other_schema"),
        (_stream(_NULL), "null_field"),
        (_stream(_LONG), "too_many_rows"),
        (bytes(batches.MAX_BATCH_BYTES + 1), "oversized"),
        (batches.encode(batch_of([ROW]))[:-200], "not_arrow"),
    ],
)
def test_anything_else_is_refused_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(PeerError) as caught:
        batches.decode(data)
    assert caught.value.reason == reason


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damaged_bytes_read_or_are_refused(data: st.DataObject) -> None:
    """Nothing but PeerError leaves, whatever bytes are changed or cut; a text that is read is valid UTF-8."""
    encoded = bytearray(batches.encode(batch_of([ROW] * 3)))
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(encoded)) | st.just(len(encoded)))
    try:
        batch = batches.decode(bytes(encoded[:cut]))
    except PeerError:
        return
    assert all(len(batch.row(place).account.encode()) >= 0 for place in range(batch.length))


def test_the_bytes_are_an_arrow_stream_for_anybody() -> None:
    with pa.ipc.open_stream(batches.encode(batch_of([ROW]))) as stream:
        assert stream.read_all().to_pylist()[0]["callee"] == "+23277000111"
