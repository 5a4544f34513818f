"""Files of calls made ready: whatever their format and order, the same calls come out, and what is wrong is told."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ringfence.archive.call_intake import Intake, take_in
from ringfence.archive.call_tables import call_tables
from ringfence.base.errors import OperatorError
from ringfence.telephony.senders import Senders
from tests.unit.archive.test_call_tables import KEY, pricing, record, written

HEAD = "call_id,account,caller,callee,source_ip,user_agent,edge,started_at,answered_at,ended_at,status_code"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where rewritten files go."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def line(number: int) -> str:
    at = record(number)["started_at"].isoformat()
    return f"c{number},u1,+493090182033,+23276123456,203.0.113.7,FRITZ!OS 7.57,e1,{at},,,486"


def sheet(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([HEAD, *lines, ""]))
    return path


def rows_of(intake: Intake) -> list[tuple[str, int, str, int]]:
    pieces = call_tables(intake.files, pricing=pricing(), senders=Senders.with_key(KEY, home="DE"), key=KEY)
    rows = [piece.row(place) for piece in pieces for place in range(piece.length)]
    return [(row.call_id, row.started_ms, row.callee, row.status_code) for row in rows]


def test_a_csv_and_a_parquet_file_of_the_same_calls_are_the_same(tmp_path: Path, folder: Path) -> None:
    sheets = take_in([sheet(tmp_path / "a.csv", *map(line, range(30)))], folder)
    columns = take_in([written(tmp_path / "a.parquet", [record(number) for number in range(30)])], folder)
    assert rows_of(sheets) == rows_of(columns)
    assert (sheets.rows, sheets.charged, sheets.was_sorted) == (columns.rows, columns.charged, columns.was_sorted) == (30, 30, True)
    assert columns.files == (tmp_path / "a.parquet",)
    assert (sheets.first_ms, sheets.last_ms) == (columns.first_ms, columns.last_ms)


def test_files_in_another_order_are_put_in_order_without_being_read_again(tmp_path: Path, folder: Path) -> None:
    files = [written(tmp_path / f"{part}.parquet", [record(number) for number in range(part * 10, part * 10 + 10)]) for part in range(3)]
    intake = take_in(files[::-1], folder)
    assert intake.files == tuple(files)
    assert not intake.was_sorted


def test_rows_in_any_order_are_sorted_and_that_is_told(tmp_path: Path, folder: Path) -> None:
    numbers = list(range(50))
    random.Random(3).shuffle(numbers)
    half = written(tmp_path / "half.parquet", [record(number) for number in numbers[:25]])
    intake = take_in([half, sheet(tmp_path / "rest.csv", *map(line, numbers[25:]))], folder)
    assert [call_id for call_id, *_ in rows_of(intake)] == [f"c{number}" for number in range(50)]
    assert not intake.was_sorted
    assert (intake.rows, intake.charged) == (50, 50)


def test_calls_of_one_moment_stay_as_they_stood(tmp_path: Path, folder: Path) -> None:
    late = record(59)
    same = [record(1) | {"call_id": f"s{number}"} for number in range(40)]
    intake = take_in([written(tmp_path / "a.parquet", [late, *same])], folder)
    assert [call_id for call_id, *_ in rows_of(intake)] == [f"s{number}" for number in range(40)] + ["c59"]


def test_a_bad_row_is_told_with_its_line_and_left_out(tmp_path: Path, folder: Path) -> None:
    bad: dict[str, Any] = record(5) | {"call_id": ""}
    path = written(tmp_path / "a.parquet", [*(record(number % 60) for number in range(150)), bad])
    intake = take_in([path], folder)
    assert (intake.rows, intake.charged, intake.bad) == (151, 150, {"no_call_id": 1})
    assert (intake.noted[0].line, intake.noted[0].file) == (151, str(path))
    with pytest.raises(OperatorError, match="Line 151"):
        take_in([path], folder, strict=True)
    with pytest.raises(OperatorError, match="more than 1 %"):
        take_in([sheet(tmp_path / "a.csv", *map(line, range(50)), "bad")], folder)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("started_at", [1_790_000_000, 1_790_000_060]),
        ("authenticated", ["yes", "no"]),
    ],
)
def test_parquet_of_other_types_is_read_by_what_the_values_say(tmp_path: Path, folder: Path, column: str, values: list[Any]) -> None:
    columns = {name: [record(number)[name] for number in range(2)] for name in record(0)}
    path = tmp_path / "a.parquet"
    given = {name: pa.array(each, pa.timestamp("ms", tz="UTC") if name.endswith("_at") else None) for name, each in columns.items()}
    pq.write_table(pa.table(given | {column: pa.array(values)}), path)
    intake = take_in([path], folder)
    if column == "started_at":
        assert [started for _, started, *_ in rows_of(intake)] == [1_790_000_000_000, 1_790_000_060_000]
    else:
        assert [call_id for call_id, *_ in rows_of(intake)] == ["c0"]


def test_a_file_without_a_column_is_refused_and_an_empty_one_is_not(tmp_path: Path, folder: Path) -> None:
    pq.write_table(pa.table({"call_id": ["c1"]}), tmp_path / "a.parquet")
    with pytest.raises(OperatorError, match="lacks the columns account"):
        take_in([tmp_path / "a.parquet"], folder)
    intake = take_in([sheet(tmp_path / "empty.csv")], folder)
    assert (intake.files, intake.rows, intake.first_ms, intake.was_sorted) == ((), 0, 0, True)
