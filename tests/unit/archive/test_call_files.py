"""Files of call records: every row is read or counted with its line and reason, and time order is made where it was not."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.archive.call_files import MAX_ROW_CHARS, NOTED_ROWS, BadRow, expand, read_calls, read_registrations
from ringfence.base.errors import OperatorError

HEADER = "call_id,account,caller,callee,source_ip,user_agent,edge,started_at,answered_at,ended_at,status_code"
ROW = "c{0},alice,+4930123456,+23277000111,192.0.2.1,FRITZ!OS,k1,2025-11-22T10:00:{0:02d}Z,,,486"


def calls_file(folder: Path, *rows: str, header: str = HEADER, name: str = "calls.csv") -> Path:
    path = folder / name
    path.write_bytes("\r\n".join([header, *rows, ""]).encode("utf-8", "surrogateescape"))
    return path


def good(count: int = 50) -> list[str]:
    return [ROW.format(number) for number in range(count)]


def reading_with(tmp_path: Path, *bad: str) -> dict[int, str]:
    """Lines and reasons of rows put behind the first of two hundred good ones."""
    rows = good(60) * 4
    reading = read_calls([calls_file(tmp_path, rows[0], *bad, *rows[1:])])
    assert len(reading.records) == 240
    assert reading.rows == 240 + reading.bad_rows
    return {bad.line: bad.reason for bad in reading.noted}


def test_rows_of_a_file(tmp_path: Path) -> None:
    reading = read_calls([calls_file(tmp_path, *good(3))])
    assert (reading.rows, reading.bad_rows, reading.was_sorted) == (3, 0, True)
    first = reading.records[0]
    assert (first.call_id, first.account, first.callee, first.status_code) == ("c0", "alice", "+23277000111", 486)
    assert first.started_ms == int(datetime(2025, 11, 22, 10, tzinfo=UTC).timestamp() * 1000)


def test_any_column_order_extra_columns_and_byte_order_mark(tmp_path: Path) -> None:
    header = "\ufeffextra," + ",".join(reversed(HEADER.upper().split(","))) + ",trunk"
    row = "x," + ",".join(reversed(ROW.format(1).split(","))) + ",t1"
    (record,) = read_calls([calls_file(tmp_path, row, header=header)]).records
    assert (record.call_id, record.trunk) == ("c1", "t1")


def test_quoted_texts_may_hold_commas_quotes_and_line_ends(tmp_path: Path) -> None:
    row = ROW.format(1).replace("FRITZ!OS", '"a, ""b""\r\nc"')
    reading = read_calls([calls_file(tmp_path, row, "bad,row", *good(50), *good(50))])
    assert 'a, "b"\r\nc' in {record.user_agent for record in reading.records}
    assert [(bad.line, bad.reason) for bad in reading.noted] == [(4, "bad_width")]


def test_rows_are_sorted_by_time_and_it_is_said(tmp_path: Path) -> None:
    one = calls_file(tmp_path, *reversed(good(5)), name="one.csv")
    two = calls_file(tmp_path, ROW.format(30), name="two.csv")
    reading = read_calls([two, one])
    assert not reading.was_sorted
    assert [record.call_id for record in reading.records] == ["c0", "c1", "c2", "c3", "c4", "c30"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a,b", "bad_width"),
        (ROW.format(1) + ",", "bad_width"),
        (ROW.format(1).replace("10:00", "25:00"), "bad_time"),
        (ROW.format(1).replace("2025-11-22T10:00:01Z", ""), "no_start"),
        (ROW.format(1).replace("486", "x"), "bad_number"),
        (ROW.format(1).replace("alice", "al\udcffice"), "bad_utf8"),
        (ROW.format(1).replace("alice", "al\0ice"), "bad_csv"),
        (ROW.format(1).replace("alice", 'al"ice'), "bad_width"),
        (ROW.format(1).replace("alice", '"alice" x'), "bad_csv"),
        (ROW.format(1).replace("alice", "a" * 2_000), "too_long"),
    ],
)
def test_a_bad_row_costs_itself_alone(tmp_path: Path, row: str, reason: str) -> None:
    found = reading_with(tmp_path, row)
    assert list(found) == [3]
    if '"' not in row:
        assert found[3] == reason


def test_a_quote_that_is_never_closed_costs_one_row(tmp_path: Path) -> None:
    assert reading_with(tmp_path, ROW.format(1).replace("alice", '"alice')) == {3: "bad_csv"}


def test_an_endless_line_is_bounded(tmp_path: Path) -> None:
    found = reading_with(tmp_path, "x" * (MAX_ROW_CHARS + 100))
    assert found[3] == "too_long"
    assert len(found) == 2


def test_more_than_one_percent_ends_the_reading(tmp_path: Path) -> None:
    assert read_calls([calls_file(tmp_path, "bad", *good(50), *good(49))]).bad == {"bad_width": 1}
    with pytest.raises(
        OperatorError, match=r"1 of 99 rows cannot be read, more than 1 %; the first is line 2 of .*calls.csv: The row has 1 cells"
    ):
        read_calls([calls_file(tmp_path, "bad", *good(49), *good(49))])
    many = calls_file(tmp_path, *["bad"] * (NOTED_ROWS + 50), *good(50))
    with pytest.raises(OperatorError, match="150 of 200 rows"):
        read_calls([many])


def test_strict_ends_at_the_first(tmp_path: Path) -> None:
    path = calls_file(tmp_path, *good(50), "bad", *good(50))
    with pytest.raises(OperatorError, match=r"Line 52 of .*calls.csv cannot be read"):
        read_calls([path], strict=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no header"),
        (b'"\n', "no header"),
        (b"call_id,account\n", "lacks the columns caller, callee"),
        (HEADER.replace(",edge", "").encode(), "lacks the column edge"),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(OperatorError, match=message):
        read_calls([path])
    with pytest.raises(OperatorError, match="cannot be read"):
        read_calls([tmp_path / "none.csv"])


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "calls.parquet"
    times = pa.array([1_763_805_601_000, 1_763_805_600_000], pa.timestamp("ms", "UTC"))
    empty = pa.array([None, None], pa.timestamp("ms", "UTC"))
    columns: dict[str, Any] = {name: pa.array(["x", "y"]) for name in HEADER.split(",")}
    columns |= {
        "started_at": times,
        "answered_at": times,
        "ended_at": empty,
        "status_code": pa.array([200, 200]),
        "authenticated": pa.array([True, False]),
    }
    pq.write_table(pa.table(columns), path)
    reading = read_calls([path])
    assert [(record.call_id, record.started_ms, record.ended_ms, record.authenticated) for record in reading.records] == [
        ("y", 1_763_805_600_000, 0, False),
        ("x", 1_763_805_601_000, 0, True),
    ]
    assert not reading.was_sorted
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(OperatorError, match="no Parquet file"):
        read_calls([path])
    pq.write_table(pa.table({"call_id": ["x"]}), path)
    with pytest.raises(OperatorError, match="lacks the columns account"):
        read_calls([path])


def test_registrations(tmp_path: Path) -> None:
    path = tmp_path / "registrations.csv"
    rows = ["1763805600,alice,192.0.2.1,FRITZ!OS,sip:a@x,300,200,", "1763805601.5,alice,192.0.2.9,x,,,401,-2"] * 100
    path.write_text(
        "\n".join(["at,account,source_ip,user_agent,contact,expires,status_code,auth_code", *rows, "1763805601,alice,,,,,407,"]) + "\n"
    )
    reading = read_registrations([path])
    assert (len(reading.records), reading.noted[0][1:3]) == (200, (202, "bad_status"))
    assert (reading.records[-1].at_ms, reading.records[-1].auth_code) == (1_763_805_601_500, -2)


def test_names_and_globs(tmp_path: Path) -> None:
    one, two = calls_file(tmp_path, name="b.csv"), calls_file(tmp_path, name="a.csv")
    odd = calls_file(tmp_path, name="odd[1].csv")
    assert expand([str(one), f"{tmp_path}/?.csv", str(odd)]) == [one, two, odd]
    with pytest.raises(OperatorError, match="There is no file"):
        expand([f"{tmp_path}/*.parquet"])


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, tail: bytes) -> None:
    path = tmp_path_factory.mktemp("files") / "x.csv"
    path.write_bytes("\n".join([HEADER, *good(50), ""]).encode() + tail)
    try:
        reading = read_calls([path])
    except OperatorError as refused:
        assert refused.reason == "too_many_bad_rows"  # noqa: PT017
        return
    assert len(reading.records) == 50
    assert all(isinstance(bad, BadRow) for bad in reading.noted)
