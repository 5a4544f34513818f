"""Files of records followed as they grow, rotate, break and are killed over: nothing twice, nothing skipped, nothing guessed."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.apps.ingest.record_files import SETTLED_MS, UNFINISHED_MS, FileSource, Kind
from ringfence.apps.ingest.records import PORTION
from ringfence.archive import call_files
from ringfence.base.clock import system_clock
from ringfence.base.errors import OperatorError
from ringfence.telephony.call_records import CALL_COLUMNS, REGISTRATION_COLUMNS, CallRecord, RegistrationRecord

HEADER = ",".join(CALL_COLUMNS) + "\n"
REGISTRATIONS = ",".join(REGISTRATION_COLUMNS) + "\n"


def line(call_id: str) -> str:
    return f"{call_id},alice,,0023276123456,,,,2026-03-01T10:00:00Z,,,200\n"


def source_of(folder: Path, kind: Kind = "csv", pattern: str = "*.csv", *, registrations: bool = False, ahead_ms: int = 0) -> FileSource:
    """A source as it is after a restart; `ahead_ms`: that much later."""
    content = call_files.REGISTRATIONS if registrations else call_files.CALLS
    clock: Callable[[], int] = lambda: system_clock() + ahead_ms  # noqa: E731
    return FileSource("s", kind, str(folder / pattern), folder / "p", content=content, zone=ZoneInfo("Europe/Berlin"), clock=clock)


def read(source: FileSource) -> list[str]:
    found = [record.call_id for portion in source.fetch() for record in portion if isinstance(record, CallRecord)]
    source.commit()
    return found


def test_a_growing_file_is_read_from_where_it_ended_even_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    file.write_text(HEADER + line("a") + "b,half")
    source = source_of(tmp_path)
    assert read(source) == ["a"]
    assert read(source) == []
    file.write_text(HEADER + line("a") + line("b") + line("c"))
    assert read(source_of(tmp_path)) == ["b", "c"]
    file.write_text(HEADER + line("n"))
    assert read(source_of(tmp_path)) == ["n"], "a file that shrank is a new one"
    file.write_text(HEADER + "".join(line(f"m{number}") for number in range(9)))
    assert len(read(source_of(tmp_path))) == 9, "and so is one with other rows, however long"


def test_a_rotated_file_is_gone_on_with_under_its_new_name(tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    file.write_text(HEADER + line("a"))
    assert read(source_of(tmp_path, pattern="calls.csv*")) == ["a"]
    with file.open("a") as out:
        out.write(line("b"))
    file.rename(tmp_path / "calls.csv.1")
    file.write_text(HEADER + line("c"))
    assert sorted(read(source_of(tmp_path, pattern="calls.csv*"))) == ["b", "c"]
    (tmp_path / "calls.csv.1").rename(tmp_path / "calls.csv.2")
    file.rename(tmp_path / "calls.csv.1")
    file.write_text(HEADER + line("d"))
    (tmp_path / "calls.csv.3.gz").write_bytes(b"\x1f\x8b")
    assert read(source_of(tmp_path, pattern="calls.csv*")) == ["d"]


def test_what_was_fetched_and_not_committed_comes_again(tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_text(HEADER + line("a"))
    (first,) = next(source_of(tmp_path).fetch())
    assert isinstance(first, CallRecord)
    assert read(source_of(tmp_path)) == ["a"]


def test_broken_lines_are_counted_with_their_line_and_the_rest_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line(f"c{number}") for number in range(PORTION + 10)]
    lines[3], lines[7], lines[9] = '"open\n', "x,alice\n", ",alice,,0023276123456,,,,2026-03-01T10:00:00Z,,,200\n"
    (tmp_path / "calls.csv").write_bytes((HEADER + "".join(lines)).encode() + b"\xff\xfe,bad\n\n")
    source = source_of(tmp_path)
    assert len(read(source)) == PORTION + 7
    assert source.refused == {"bad_csv": 1, "bad_width": 1, "no_call_id": 1, "bad_utf8": 1}
    said = capsys.readouterr().out
    for number in (5, 9, 11, PORTION + 12):
        assert f"line={number}" in said


def test_a_quoted_text_may_hold_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    row = line("a").replace("alice,,", 'alice,"two\nlines ""quoted""",')
    head, _, tail = row.partition("\n")
    file.write_text(HEADER + head + "\n")
    source = source_of(tmp_path)
    assert read(source) == [], "it may still be written"
    file.write_text(HEADER + head + "\n" + tail + line("b"))
    (portion,) = source.fetch()
    assert [(record.call_id, record.caller) for record in portion if isinstance(record, CallRecord)] == [
        ("a", 'two\nlines "quoted"'), ("b", "")
    ]  # fmt: skip


def test_an_open_quote_at_the_end_does_not_hold_up_what_follows(tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_text(HEADER + '"open\n' + line("a"))
    late = source_of(tmp_path, ahead_ms=2 * UNFINISHED_MS)
    assert read(late) == ["a"]
    assert late.refused == {"bad_csv": 1}


def test_a_file_without_the_columns_gives_nothing_until_it_has_them(tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_text("a,b\n1,2\n")
    source = source_of(tmp_path)
    assert read(source) == []
    assert read(source) == []
    assert source.refused["bad_header"] == 1, "said once"
    (tmp_path / "calls.csv").write_text(HEADER + line("a"))
    assert read(source) == ["a"]


def test_documents_are_read_once_each(tmp_path: Path) -> None:
    document = '{"variables":{"uuid":"u%d","sip_auth_username":"alice","destination_number":"0049301","start_epoch":"1772359200"}}'
    for number in range(3):
        (tmp_path / f"{number}.json").write_text(document % number)
    (tmp_path / "3.json").write_text("{")
    source = source_of(tmp_path, "freeswitch", "*.json")
    assert read(source) == ["u0", "u1", "u2"]
    assert read(source) == []
    assert source.refused == {}, "the last one may still be written"
    late = source_of(tmp_path, "freeswitch", "*.json", ahead_ms=2 * UNFINISHED_MS)
    assert read(late) == []
    assert late.refused == {"bad_json": 1}


def test_asterisk_times_are_of_the_hosts_zone(tmp_path: Path) -> None:
    row = '"alice","100","0023276123456","ctx","","SIP/a-1","SIP/t-2","Dial","","2026-07-01 12:00:00",,"2026-07-01 12:00:30",30,0,"BUSY",3,"u1",""\n'
    (tmp_path / "Master.csv").write_text(row)
    ((record,),) = source_of(tmp_path, "asterisk").fetch()
    assert isinstance(record, CallRecord)
    assert datetime.fromtimestamp(record.started_ms / 1000, UTC) == datetime(2026, 7, 1, 10, tzinfo=UTC)


# Parquet


def calls_table(first: int, count: int, **changes: list[Any]) -> pa.Table:
    at = datetime(2026, 3, 1, 10, tzinfo=UTC)
    columns: dict[str, Any] = {name: [""] * count for name in CALL_COLUMNS} | {
        "call_id": [f"p{number}" for number in range(first, first + count)],
        "callee": ["+23276123456"] * count,
        "started_at": pa.array([at] * count, pa.timestamp("ms", "UTC")),
        "answered_at": pa.array([None] * count, pa.timestamp("ms", "UTC")),
        "ended_at": pa.array([None] * count, pa.timestamp("ms", "UTC")),
        "status_code": pa.array([200] * count, pa.int32()),
    }
    return pa.table(columns | changes)


def test_parquet_is_read_once_in_portions_and_gone_on_with_after_a_restart(tmp_path: Path) -> None:
    count = 2 * PORTION + 100
    pq.write_table(calls_table(0, count), tmp_path / "a.parquet", row_group_size=300)
    first = source_of(tmp_path, "parquet", "*.parquet")
    portions = first.fetch()
    assert len(next(portions)) == PORTION
    first.commit()
    next(portions)  # Killed before it was kept.
    again = source_of(tmp_path, "parquet", "*.parquet")
    assert read(again) == [f"p{number}" for number in range(PORTION, count)]
    assert read(again) == []
    assert read(source_of(tmp_path, "parquet", "*.parquet")) == []
    pq.write_table(calls_table(5000, 3), tmp_path / "a.parquet")
    assert read(source_of(tmp_path, "parquet", "*.parquet")) == ["p5000", "p5001", "p5002"], "another file of that name"


def test_broken_rows_of_parquet_are_counted_with_their_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [f"p{number}" for number in range(10)]
    ids[6] = ""
    codes = pa.array([200, 999, *[200] * 8], pa.int32())
    pq.write_table(calls_table(0, 10, call_id=ids, status_code=codes), tmp_path / "a.parquet")  # type: ignore[arg-type]
    source = source_of(tmp_path, "parquet", "*.parquet")
    assert len(read(source)) == 8
    assert source.refused == {"no_call_id": 1, "bad_number": 1}
    said = capsys.readouterr().out
    assert "line=2 " in said
    assert "line=7 " in said


def test_parquet_that_is_still_written_is_waited_for_and_a_broken_one_said_once(tmp_path: Path) -> None:
    pq.write_table(calls_table(0, 10), tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    file = tmp_path / "a.parquet"
    file.write_bytes(content[:-100])
    source = source_of(tmp_path, "parquet", "*.parquet")
    assert read(source) == []
    assert source.refused == {}
    file.write_bytes(content)
    assert len(read(source)) == 10
    (tmp_path / "b.parquet").write_bytes(content[:-100])
    late = source_of(tmp_path, "parquet", "*.parquet", ahead_ms=2 * SETTLED_MS)
    assert read(late) == read(late) == []
    pq.write_table(calls_table(0, 3).drop_columns(["account"]), tmp_path / "c.parquet")
    assert read(late) == read(late) == []
    assert late.refused == {"bad_parquet": 1, "missing_column": 1}


def test_registrations_of_csv_and_parquet_are_followed(tmp_path: Path) -> None:
    rows = ["2026-03-01T10:00:00Z,alice,192.0.2.1,phone,sip:a@192.0.2.1,3600,200\n", "2026-03-01T10:00:01Z,bob,192.0.2.2,,,,401\n"]
    (tmp_path / "r.csv").write_text(REGISTRATIONS + rows[0] + "2026-03-01T10:00:01Z,bob,192.0.2.2,,,,302\n" + rows[1])
    source = source_of(tmp_path, registrations=True)
    (portion,) = source.fetch()
    assert [(record.account, record.status_code) for record in portion if isinstance(record, RegistrationRecord)] == [
        ("alice", 200), ("bob", 401)
    ]  # fmt: skip
    assert source.refused == {"bad_status": 1}
    at = pa.array([datetime(2026, 3, 1, tzinfo=UTC)] * 2, pa.timestamp("ms", "UTC"))
    texts = {name: ["x", "y"] for name in ("account", "source_ip", "user_agent", "contact")}
    pq.write_table(pa.table({"at": at, **texts, "expires": [60, 60], "status_code": [200, 403]}), tmp_path / "r.parquet")
    (portion,) = list(source_of(tmp_path, "parquet", "*.parquet", registrations=True).fetch())[:1]
    assert [record.status_code for record in portion] == [200, 403]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=8), st.lists(st.integers(1, 400), max_size=8))
def test_however_a_file_is_written_and_the_reader_killed_each_row_comes_once(
    tmp_path_factory: pytest.TempPathFactory, turns: list[tuple[int, bool]], cuts: list[int]
) -> None:
    """The file grows by any number of bytes, the reader dies with or without having kept its position."""
    folder = tmp_path_factory.mktemp("grow")
    whole = (HEADER + "".join(line(f"c{number}") for number in range(sum(count for count, _ in turns)))).encode()
    kept: list[str] = []
    written = 0
    for place, (count, keep) in enumerate([*turns, (0, True)]):
        grown = len(whole) if place == len(turns) else min(len(whole), written + count * 50 + (cuts[place % len(cuts)] if cuts else 0))
        with (folder / "calls.csv").open("ab") as out:
            out.write(whole[written:grown])
        written = grown
        source = source_of(folder)
        found = [record.call_id for portion in source.fetch() for record in portion if isinstance(record, CallRecord)]
        if keep:
            source.commit()
            kept += found
    assert kept == [f"c{number}" for number in range(sum(count for count, _ in turns))]


def test_settings_that_are_no_source_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="path"):
        FileSource("s", "csv", "", tmp_path / "p", content=call_files.CALLS, zone=ZoneInfo("UTC"), clock=system_clock)
    (tmp_path / "p").write_text("[]")
    with pytest.raises(OperatorError, match="remove it to read all records again"):
        source_of(tmp_path)
    (tmp_path / "p").unlink()
    assert read(source_of(tmp_path)) == []
