"""Columns of numbers become the texts and times of the format, and the reader of the format reads them."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ringfence.archive import record_writer
from ringfence.archive.record_writer import (
    Addresses,
    Column,
    Contacts,
    Digits,
    Identities,
    Moments,
    PhoneNumbers,
    RecordWriter,
    Truths,
    Whole,
    Words,
)
from ringfence.base.errors import UnavailableError

COLUMNS: dict[str, Column] = {
    "identity": Identities(np.array([0, 255, 2**64 - 1], np.uint64)),
    "digits": Digits(np.array([0, 49301234567, 7])),
    "number": PhoneNumbers(np.array([0, 49301234567, 112])),
    "address": Addresses(np.array([0, 3232235777, 4294967295], np.uint32)),
    "word": Words(np.array([1, 0, 1], np.int8), ("", "FRITZ!OS")),
    "at": Moments(np.array([0, 1_765_148_400_123, 1])),
    "whole": Whole(np.array([200, -1, 0], np.int16)),
    "truth": Truths(np.array([True, False, True])),
    "contact": Contacts(np.array([4930, 0, 1]), np.array([1, 2, 3], np.uint32), np.array([5060, 1, 65535], np.uint16)),
}


def test_what_is_written(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "x.parquet") as file:
        file.write(COLUMNS)
    assert file.rows == 3
    table = pq.read_table(tmp_path / "x.parquet")
    text = table.drop_columns(["at"]).to_pydict()
    assert text == {
        "identity": ["0000000000000000", "00000000000000ff", "ffffffffffffffff"],
        "digits": ["", "49301234567", "7"],
        "number": ["", "+49301234567", "112"],
        "address": ["0.0.0.0", "192.168.1.1", "255.255.255.255"],
        "word": ["FRITZ!OS", "", "FRITZ!OS"],
        "whole": [200, -1, 0],
        "truth": [True, False, True],
        "contact": ["sip:4930@0.0.0.1:5060", "sip:@0.0.0.2:1", "sip:1@0.0.0.3:65535"],
    }
    assert str(table.schema.field("at").type) == "timestamp[ms, tz=UTC]"
    assert [None if moment is None else moment.timestamp() for moment in table["at"].to_pylist()] == [None, 1_765_148_400.123, 0.001]


def test_long_pieces_are_cut_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_writer, "ROWS_AT_ONCE", 10)
    with RecordWriter(tmp_path / "x.parquet") as file:
        for count in (25, 0, 7):
            file.write({"value": Digits(np.arange(1, count + 1))})
    assert pq.read_table(tmp_path / "x.parquet")["value"].to_pylist() == [str(n) for n in [*range(1, 26), *range(1, 8)]]
    assert pq.ParquetFile(tmp_path / "x.parquet").metadata.num_row_groups == 4


def test_no_rows_still_name_their_columns(tmp_path: Path) -> None:
    with RecordWriter(tmp_path / "x.parquet") as file:
        file.write({"call_id": Identities(np.empty(0, np.uint64)), "at": Moments(np.empty(0, np.int64))})
    table = pq.read_table(tmp_path / "x.parquet")
    assert (table.num_rows, table.column_names) == (0, ["call_id", "at"])


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be written"), RecordWriter(tmp_path / "missing" / "x.parquet") as file:
        file.write(COLUMNS)
