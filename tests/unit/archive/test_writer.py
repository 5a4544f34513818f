"""The archive's writer: every message exactly once, in whole files, whatever is delivered again and whatever dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.archive import batches, layout
from ringfence.archive.layout import CALLS, CONTROL, FOLDERS, REGISTRATIONS
from ringfence.archive.replay import replay
from ringfence.archive.writer import ArchiveWriter, LogEntry, Position
from ringfence.base.errors import OperatorError, UnavailableError
from ringfence.telephony.columns import batch_of
from ringfence.telephony.model import AccountRow, Kind

DAY = 1_763_769_600_000  # 2025-11-22T00:00:00Z


def rows_entry(sequence: int, *kinds: Kind, at_ms: int = 0) -> LogEntry:
    at_ms = at_ms or DAY + sequence * 1000
    rows = [AccountRow(kind=int(kind), at_ms=at_ms, received_ms=at_ms, account=f"a{sequence}", call_id=f"c{sequence}") for kind in kinds]
    return LogEntry(sequence, at_ms, "rows", batches.encode(batch_of(rows)))


def tick(sequence: int) -> LogEntry:
    return LogEntry(sequence, DAY + sequence * 1000, "tick", (DAY + sequence * 1000).to_bytes(8))


def archived(folder: Path, kind: str) -> list[int]:
    """Sequences of all rows of a kind, as they lie on disk."""
    found: list[int] = []
    for _, path in layout.days(folder, kind):
        for child in sorted(path.iterdir()):
            found.extend(pq.read_table(child, partitioning=None)["sequence"].to_numpy().tolist())
    return sorted(found)


def test_a_minute_becomes_one_file_of_each_kind(tmp_path: Path) -> None:
    writer = ArchiveWriter(tmp_path)
    written = writer.write(
        [rows_entry(5, Kind.ATTEMPT, Kind.REGISTRATION, Kind.BLOCKED), tick(6), rows_entry(7, Kind.AUTH_FAILURE, Kind.END)]
    )
    assert (written.rows, written.skipped, written.unreadable) == (5, 0, 0)
    name = f"account-0-0000000000000005-0000000000000007-{DAY + 7000}.parquet"
    assert [path.relative_to(tmp_path).as_posix() for path in written.files] == [f"{kind}/day=2025-11-22/{name}" for kind in FOLDERS]
    calls = pq.read_table(written.files[0], partitioning=None)
    assert list(zip(*calls.select(["sequence", "row", "kind"]).to_pydict().values(), strict=True)) == [(5, 0, 1), (5, 2, 7), (7, 1, 3)]
    assert not any(field.nullable for field in calls.schema)
    registrations = pq.read_table(written.files[1], partitioning=None).to_pydict()
    assert (registrations["sequence"], registrations["row"], registrations["kind"]) == ([5, 7], [1, 0], [5, 6])
    control = pq.read_table(written.files[2], partitioning=None).to_pylist()
    assert control == [{"sequence": 6, "at_ms": DAY + 6000, "kind": "tick", "payload": tick(6).payload}]


def test_redelivery_changes_nothing(tmp_path: Path) -> None:
    writer = ArchiveWriter(tmp_path)
    entries = [rows_entry(sequence, Kind.ATTEMPT) for sequence in range(1, 6)]
    writer.write(entries[:3])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.parquet")}
    assert writer.write(entries[:3]).skipped == 3
    again = ArchiveWriter(tmp_path)
    assert again.position == Position(3, DAY + 3000)
    assert again.leftovers == 0
    assert again.write(entries).rows == 2
    assert archived(tmp_path, CALLS) == [1, 2, 3, 4, 5]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_log_that_counts_anew_is_archived(tmp_path: Path) -> None:
    ArchiveWriter(tmp_path).write([rows_entry(900, Kind.ATTEMPT, at_ms=DAY)])
    writer = ArchiveWriter(tmp_path)
    assert writer.write([rows_entry(1, Kind.ATTEMPT, at_ms=DAY + 60_000)]).rows == 1
    assert archived(tmp_path, CALLS) == [1, 900]
    assert writer.position == Position(1, DAY + 60_000)
    assert ArchiveWriter(tmp_path).leftovers == 0


def test_files_beyond_the_position_are_leftovers(tmp_path: Path) -> None:
    writer = ArchiveWriter(tmp_path)
    writer.write([rows_entry(1, Kind.ATTEMPT)])
    position = (tmp_path / "positions" / "account-0.json").read_bytes()
    writer.write([rows_entry(2, Kind.ATTEMPT), rows_entry(3, Kind.ATTEMPT)])
    (tmp_path / "positions" / "account-0.json").write_bytes(position)
    unfinished = tmp_path / CALLS / "day=2025-11-22" / ".x.parquet.unfinished"
    unfinished.write_bytes(b"half")
    again = ArchiveWriter(tmp_path)
    assert again.leftovers == 2
    assert not unfinished.exists()
    again.write([rows_entry(sequence, Kind.ATTEMPT) for sequence in range(1, 6)])
    assert archived(tmp_path, CALLS) == [1, 2, 3, 4, 5]


def test_lanes_do_not_touch_each_other(tmp_path: Path) -> None:
    one, two = ArchiveWriter(tmp_path, lane=0), ArchiveWriter(tmp_path, lane=1)
    one.write([rows_entry(1, Kind.ATTEMPT)])
    two.write([rows_entry(1, Kind.ATTEMPT), rows_entry(2, Kind.ATTEMPT)])
    assert ArchiveWriter(tmp_path, lane=0).leftovers == 0
    assert archived(tmp_path, CALLS) == [1, 1, 2]


def test_what_cannot_be_read_is_kept_as_it_is(tmp_path: Path) -> None:
    written = ArchiveWriter(tmp_path).write([LogEntry(1, DAY, "rows", b"no arrow"), rows_entry(2, Kind.REGISTRATION)])
    assert (written.rows, written.unreadable) == (1, 1)
    control = pq.read_table(next(iter((tmp_path / CONTROL).rglob("*.parquet"))), partitioning=None).to_pylist()
    assert (control[0]["kind"], control[0]["payload"]) == ("unreadable", b"no arrow")
    assert archived(tmp_path, CALLS) == []


def test_a_damaged_position_is_the_operators_business(tmp_path: Path) -> None:
    ArchiveWriter(tmp_path)
    (tmp_path / "positions" / "account-0.json").write_bytes(b"{")
    with pytest.raises(OperatorError, match="restore it from a backup"):
        ArchiveWriter(tmp_path)


def test_a_disk_that_refuses_changes_nothing(tmp_path: Path) -> None:
    writer = ArchiveWriter(tmp_path)
    (tmp_path / CALLS / "day=2025-11-22").write_bytes(b"a file where the folder should be")
    with pytest.raises(UnavailableError):
        writer.write([rows_entry(1, Kind.ATTEMPT)])
    assert writer.position == Position()
    (tmp_path / CALLS / "day=2025-11-22").unlink()
    assert writer.write([rows_entry(1, Kind.ATTEMPT)]).rows == 1


def test_a_clock_that_is_set_back_costs_nothing_at_a_restart(tmp_path: Path) -> None:
    """The log's clock jumps back by an hour between two minutes: no file is taken for a leftover, and a leftover is found."""
    writer = ArchiveWriter(tmp_path)
    writer.write([rows_entry(1, Kind.ATTEMPT, at_ms=DAY + 7_200_000)])
    writer.write([rows_entry(2, Kind.ATTEMPT, at_ms=DAY + 3_600_000)])
    position = (tmp_path / "positions" / "account-0.json").read_bytes()
    writer.write([rows_entry(3, Kind.ATTEMPT, at_ms=DAY + 3_700_000)])
    (tmp_path / "positions" / "account-0.json").write_bytes(position)  # Killed before the position was written.
    again = ArchiveWriter(tmp_path)
    assert again.leftovers == 1
    assert archived(tmp_path, CALLS) == [1, 2]
    again.write([rows_entry(3, Kind.ATTEMPT, at_ms=DAY + 3_700_000)])
    assert [message.sequence for message in replay(tmp_path)] == [1, 2, 3]


def test_what_a_failed_write_left_is_gone_when_the_next_one_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk refuses the position after the files: the next attempt has more messages, so other names."""
    writer = ArchiveWriter(tmp_path)

    def full(_position: Position) -> None:
        raise UnavailableError("no room", reason="disk")

    with monkeypatch.context() as patch:
        patch.setattr(writer, "_move_to", full)
        with pytest.raises(UnavailableError):
            writer.write([rows_entry(1, Kind.ATTEMPT)])
    writer.write([rows_entry(1, Kind.ATTEMPT), rows_entry(2, Kind.ATTEMPT)])
    assert archived(tmp_path, CALLS) == [1, 2]


@settings(deadline=None, max_examples=10)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), min_size=1, max_size=6))
def test_any_redelivery_archives_each_message_once(tmp_path_factory: pytest.TempPathFactory, deliveries: list[tuple[int, int]]) -> None:
    folder = tmp_path_factory.mktemp("archive")
    reached = 0
    for back, count in deliveries:
        first = max(1, reached + 1 - back)
        ArchiveWriter(folder).write([rows_entry(sequence, Kind.ATTEMPT) for sequence in range(first, first + count)])
        reached = max(reached, first + count - 1)
    assert archived(folder, CALLS) == list(range(1, reached + 1))


WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_writer import rows_entry, tick
from ringfence.archive.replay import replay
from ringfence.archive.writer import ArchiveWriter
from ringfence.telephony.model import Kind
folder, size = Path(sys.argv[1]), int(sys.argv[2])
acknowledged = folder / "acknowledged"
sequence = int(acknowledged.read_text() or 0) if acknowledged.exists() else 0
writer = ArchiveWriter(folder / "archive")
while True:
    numbers = range(sequence + 1, sequence + 1 + size)
    writer.write([rows_entry(n, Kind.ATTEMPT, Kind.REGISTRATION) if n % 3 else tick(n) for n in numbers])
    sequence += size
    Path(f"{acknowledged}.new").write_text(str(sequence))
    Path(f"{acknowledged}.new").replace(acknowledged)
    print("written", flush=True)
"""


@pytest.mark.parametrize("seed", range(2))
def test_kill_9_in_the_middle_loses_and_doubles_nothing(tmp_path: Path, seed: int) -> None:
    """A worker is killed again and again between any two instructions, and comes back with other batch sizes."""
    for round_ in range(5):
        command = [sys.executable, "-c", WORKER, str(tmp_path), str(3 + (seed * 5 + round_) % 7), str(Path(__file__).parent)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"written\n"
            time.sleep(0.04 + 0.013 * ((seed * 7 + round_ * 3) % 11))
            os.kill(worker.pid, signal.SIGKILL)
    acknowledged = int((tmp_path / "acknowledged").read_text())
    writer = ArchiveWriter(tmp_path / "archive")
    assert writer.position.sequence >= acknowledged > 0
    expected = [n for n in range(1, writer.position.sequence + 1) if n % 3]
    assert archived(tmp_path / "archive", CALLS) == expected
    assert archived(tmp_path / "archive", REGISTRATIONS) == expected
    assert archived(tmp_path / "archive", CONTROL) == [n for n in range(1, writer.position.sequence + 1) if n % 3 == 0]
