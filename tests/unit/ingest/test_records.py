from pathlib import Path

import pytest

from ringfence.apps.ingest.records import PORTION, FileSource, KamailioSource
from ringfence.base.errors import OperatorError, PeerError
from ringfence.base.secret import Secret
from ringfence.telephony.call_records import CALL_COLUMNS

HEADER = ",".join(CALL_COLUMNS) + "\n"
MAP = {"call_id": "callid", "account": "src_user", "callee": "dst_user", "started_at": "start_time", "duration": "duration"}


def line(call_id: str) -> str:
    return f"{call_id},alice,,0023276123456,,,,2026-03-01T10:00:00Z,,,200\n"


def read(source: FileSource) -> list[str]:
    found = [record.call_id for portion in source.fetch() for record in portion]
    source.commit()
    return found


def test_a_growing_file_is_read_from_where_it_ended_even_after_a_restart(tmp_path: Path) -> None:
    file, position = tmp_path / "calls.csv", tmp_path / "position.json"
    file.write_text(HEADER + line("a") + "b,half")
    source = FileSource("s", "csv", str(tmp_path / "*.csv"), position)
    assert read(source) == ["a"]
    assert read(source) == []
    file.write_text(HEADER + line("a") + line("b") + line("c"))
    assert read(FileSource("s", "csv", str(tmp_path / "*.csv"), position)) == ["b", "c"]
    file.write_text(HEADER + line("n"))
    assert read(FileSource("s", "csv", str(tmp_path / "*.csv"), position)) == ["n"], "a file that shrank is a new one"


def test_what_was_fetched_and_not_committed_comes_again(tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_text(HEADER + line("a"))
    assert next(FileSource("s", "csv", str(tmp_path / "*.csv"), tmp_path / "p").fetch())[0].call_id == "a"
    assert read(FileSource("s", "csv", str(tmp_path / "*.csv"), tmp_path / "p")) == ["a"]


def test_broken_lines_are_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    lines = [line(f"c{number}") for number in range(PORTION + 10)]
    lines[3], lines[7] = '"open\n', "x,alice\n"
    (tmp_path / "calls.csv").write_bytes((HEADER + "".join(lines)).encode() + b"\xff\xfe,bad\n\n")
    source = FileSource("s", "csv", str(tmp_path / "*.csv"), tmp_path / "p")
    assert len(read(source)) == PORTION + 8
    assert source.refused == {"bad_csv": 2, "no_start": 1}


def test_a_file_without_the_columns_gives_nothing(tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_text("a,b\n1,2\n")
    source = FileSource("s", "csv", str(tmp_path / "*.csv"), tmp_path / "p")
    assert read(source) == []
    assert source.refused["bad_header"] == 1


def test_documents_are_read_once_each(tmp_path: Path) -> None:
    document = '{"variables":{"uuid":"u%d","sip_auth_username":"alice","destination_number":"0049301","start_epoch":"1772359200"}}'
    for number in range(3):
        (tmp_path / f"{number}.json").write_text(document % number)
    (tmp_path / "3.json").write_text("{")
    source = FileSource("s", "freeswitch", str(tmp_path / "*.json"), tmp_path / "p")
    assert read(source) == ["u0", "u1", "u2"]
    assert read(source) == []
    assert source.refused == {"bad_json": 1}


def test_a_table_is_read_by_rising_id(tmp_path: Path) -> None:
    import sqlalchemy as sa

    url = f"sqlite:///{tmp_path}/cdr.db"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(
            sa.text("create table acc_cdrs (id integer, callid text, src_user text, dst_user text, start_time text, duration text)")
        )
        for number in range(1, PORTION + 20):
            duration = "x" if number == 5 else "2.5"
            connection.execute(
                sa.text(f"insert into acc_cdrs values ({number}, 'k{number}', 'alice', '0049301', '2026-03-01 10:00:00', '{duration}')")
            )
    engine.dispose()
    source = KamailioSource("db", Secret(url), "", MAP, tmp_path / "p")
    assert [len(portion) for portion in source.fetch()] == [PORTION - 1, 19]
    assert source.refused == {"bad_number": 1}
    source.commit()
    again = KamailioSource("db", Secret(url), "", MAP, tmp_path / "p")
    assert list(again.fetch()) == []
    missing = KamailioSource("db", Secret(url), "elsewhere", MAP, tmp_path / "p2")
    with pytest.raises(PeerError, match="cannot be read"):
        list(missing.fetch())
    for each in (source, again, missing):
        each._engine.dispose()


def test_settings_that_are_no_source_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="path"):
        FileSource("s", "csv", "", tmp_path / "p")
    with pytest.raises(OperatorError, match="no name of a table"):
        KamailioSource("db", Secret("sqlite://"), "acc; drop table x", MAP, tmp_path / "p")
    with pytest.raises(OperatorError, match="URL") as refusal:
        KamailioSource("db", Secret("nonsense://user:geheim@h/d"), "", MAP, tmp_path / "p")
    assert "geheim" not in str(refusal.value)
    (tmp_path / "p").write_text("[]")
    with pytest.raises(OperatorError, match="no position"):
        FileSource("s", "csv", "x", tmp_path / "p")
