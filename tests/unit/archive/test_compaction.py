"""Days are merged: the same log, the same answers, whatever dies in the middle, and once merged nothing more to do."""

import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.archive import batches, compaction, durable, layout
from ringfence.archive.calls import CallArchive, Refusals
from ringfence.archive.compaction import compact
from ringfence.archive.layout import FOLDERS
from ringfence.archive.replay import ReplayedRows, replay
from ringfence.archive.retention import expire
from ringfence.archive.writer import ArchiveWriter, LogEntry, Position
from ringfence.base.errors import UnavailableError
from ringfence.telephony.columns import batch_of
from ringfence.telephony.model import AccountRow, Kind
from ringfence.telephony.suspicion import Measure

DAY = 1_763_769_600_000  # 2025-11-22T00:00:00Z
TOMORROW = date(2025, 11, 24)
KINDS = (Kind.ATTEMPT, Kind.REGISTRATION, Kind.END, Kind.AUTH_FAILURE)


class Span(TypedDict):
    """Arguments of a question."""

    from_ms: int
    to_ms: int


def entry(sequence: int, at_ms: int, *, log: str = "") -> LogEntry:
    """Every third message a tick, the others up to four rows of different accounts."""
    if sequence % 3 == 0:
        return LogEntry(sequence, at_ms, "tick", f"{log}{sequence}".encode())
    rows = [
        AccountRow(
            kind=int(kind), at_ms=at_ms, received_ms=at_ms, started_ms=at_ms, account=f"a{(sequence * 7 + place) % 5}{log}",
            call_id=f"c{log}{sequence}-{place}", call_key=sequence * 4 + place, callee="+23276123456", destination_class=4, status_code=200,
        )
        for place, kind in enumerate(KINDS[: sequence % 4 + 1])
    ]  # fmt: skip
    return LogEntry(sequence, at_ms, "rows", batches.encode(batch_of(rows)))


def write_minutes(folder: Path, count: int, *, first: int = 1, size: int = 5, log: str = "", from_ms: int = DAY) -> None:
    writer = ArchiveWriter(folder)
    for minute in range(count):
        start = first + minute * size
        writer.write([entry(number, from_ms + minute * 60_000 + number, log=log) for number in range(start, start + size)])


def content(folder: Path) -> list[object]:
    """The whole log, as it is replayed."""
    return [
        (message.sequence, [message.batch.row(place) for place in range(message.batch.length)])
        if isinstance(message, ReplayedRows)
        else (message.sequence, message.at_ms, message.kind, message.payload)
        for message in replay(folder)
    ]


def answers(folder: Path) -> list[object]:
    archive = CallArchive(folder)
    span: Span = {"from_ms": DAY, "to_ms": DAY + 2 * 86_400_000}
    found: list[object] = [archive.calls(**span), archive.calls(**span, account="a1"), archive.registrations("a3", **span)]
    found.append(archive.would_refuse(Measure(scope="range", value="23276"), **span))
    archive.close()
    return found


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.parquet") if path.is_file())


def test_a_day_becomes_one_file_of_each_kind_and_everything_stays_as_it_was(tmp_path: Path) -> None:
    write_minutes(tmp_path, 12)
    log, told = content(tmp_path), answers(tmp_path)
    (done,) = compact(tmp_path, today=TOMORROW)
    assert done == (36, 3)
    assert [path.parent.parent.name for path in files(tmp_path)] == sorted(FOLDERS)
    assert len({path.name for path in files(tmp_path)}) == 1
    assert content(tmp_path) == log
    assert answers(tmp_path) == told
    assert list(compact(tmp_path, today=TOMORROW)) == [], "a second time there is nothing to do"
    assert ArchiveWriter(tmp_path).leftovers == 0
    assert len(files(tmp_path)) == 3


def test_today_and_what_is_beyond_the_position_are_left_alone(tmp_path: Path) -> None:
    write_minutes(tmp_path, 3)
    assert list(compact(tmp_path, today=date(2025, 11, 22))) == []
    position = (tmp_path / "positions" / "account-0.json").read_bytes()
    write_minutes(tmp_path, 2, first=16, from_ms=DAY + 3_600_000)
    (tmp_path / "positions" / "account-0.json").write_bytes(position)  # Killed before the position was written.
    (done,) = compact(tmp_path, today=TOMORROW)
    assert done == (9, 3)
    assert ArchiveWriter(tmp_path).leftovers == 6


def test_groups_have_bounds_and_late_minutes_join_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "MAX_ROWS", 60)
    write_minutes(tmp_path, 20)
    log, told = content(tmp_path), answers(tmp_path)
    groups = list(compact(tmp_path, today=TOMORROW))
    assert len(groups) > 2
    write_minutes(tmp_path, 1, first=101, from_ms=DAY + 7_200_000)
    log += content(tmp_path)[len(log) :]
    assert len(log) == 105
    assert len(list(compact(tmp_path, today=TOMORROW))) <= 1
    assert list(compact(tmp_path, today=TOMORROW)) == []
    assert content(tmp_path) == log
    assert answers(tmp_path)[3] != told[3]
    for after in (0, 7, 42, 104):
        position = Position(after, DAY + (after - 1) // 5 * 60_000 + after if after <= 100 else DAY + 7_200_000 + after)
        assert [message.sequence for message in replay(tmp_path, after=position)] == list(range(after + 1, 106))


def test_a_log_that_counts_anew_stays_apart(tmp_path: Path) -> None:
    write_minutes(tmp_path, 6)
    write_minutes(tmp_path, 9, log="x", from_ms=DAY + 36_000_000)
    log = content(tmp_path)
    assert len(list(compact(tmp_path, today=TOMORROW))) == 2
    assert content(tmp_path) == log
    assert list(compact(tmp_path, today=TOMORROW)) == []


def test_lanes_are_merged_for_themselves(tmp_path: Path) -> None:
    one, two = ArchiveWriter(tmp_path, lane=0), ArchiveWriter(tmp_path, lane=1)
    for sequence in range(1, 9):
        one.write([entry(sequence, DAY + sequence)])
        two.write([entry(sequence, DAY + sequence, log="y")])
    told = answers(tmp_path)
    assert len(list(compact(tmp_path, today=TOMORROW, lane=1))) == 1
    assert answers(tmp_path) == told
    assert len(list(compact(tmp_path, today=TOMORROW))) == 1
    assert answers(tmp_path) == told


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", range(14))
def test_killed_at_any_step_it_goes_on_and_readers_see_everything_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Three files are written and twelve removed; the process dies before one of these."""
    write_minutes(tmp_path, 4)
    log, told = content(tmp_path), answers(tmp_path)
    steps = iter(range(100))
    write, unlink = durable.write_durably, Path.unlink

    def counted() -> None:
        if next(steps) == step:
            raise Killed

    def dying_write(*arguments: object) -> None:
        counted()
        write(*arguments)  # type: ignore[arg-type]

    def dying_unlink(path: Path, *, missing_ok: bool = False) -> None:
        if path.suffix == ".parquet":
            counted()
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(compaction, "write_durably", dying_write)
    monkeypatch.setattr(Path, "unlink", dying_unlink)
    with pytest.raises(Killed):
        list(compact(tmp_path, today=TOMORROW))
    monkeypatch.undo()
    assert content(tmp_path) == log
    assert answers(tmp_path) == told
    assert ArchiveWriter(tmp_path).leftovers == 0
    list(compact(tmp_path, today=TOMORROW))
    assert content(tmp_path) == log
    assert answers(tmp_path) == told
    assert len(files(tmp_path)) == 3


WORKER = """
import sys
from datetime import date
from pathlib import Path
from ringfence.archive import compaction
compaction.MAX_ROWS = 40
print("merging", flush=True)
for _ in compaction.compact(Path(sys.argv[1]), today=date(2025, 11, 24)):
    pass
"""


def test_kill_9_again_and_again(tmp_path: Path) -> None:
    write_minutes(tmp_path, 60)
    log = content(tmp_path)
    for round_ in range(6):
        with subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)], stdout=subprocess.PIPE) as worker:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"merging\n"
            time.sleep(0.01 + 0.02 * round_)
            os.kill(worker.pid, signal.SIGKILL)
        assert content(tmp_path) == log
    subprocess.run([sys.executable, "-c", WORKER, str(tmp_path)], check=True, stdout=subprocess.DEVNULL)
    assert content(tmp_path) == log
    assert len(files(tmp_path)) < 90, "of 180"
    ArchiveWriter(tmp_path)
    assert not list(tmp_path.rglob(".*parquet*")), "what was half written is removed at the next start"


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.integers(1, 7), st.integers(0, 40_000_000)), min_size=1, max_size=8), st.integers(4, 60))
def test_any_minutes_and_bounds_replay_the_same(
    tmp_path_factory: pytest.TempPathFactory, minutes: list[tuple[int, int]], bound: int
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    writer, reached, at_ms = ArchiveWriter(folder), 0, DAY
    for size, pause in minutes:
        at_ms += pause
        writer.write([entry(number, at_ms + number) for number in range(reached + 1, reached + size + 1)])
        reached += size
    log = content(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compaction, "MAX_ROWS", bound)
        list(compact(folder, today=date(2026, 1, 1)))
        assert content(folder) == log
        assert list(compact(folder, today=date(2026, 1, 1))) == []


def test_a_question_goes_on_when_its_files_are_merged_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_minutes(tmp_path, 5)
    archive = CallArchive(tmp_path)
    listed = layout.files

    def slow(*arguments: object, **named: object) -> list[Path]:
        found = list(listed(*arguments, **named))  # type: ignore[arg-type]
        list(compact(tmp_path, today=TOMORROW))
        return found

    monkeypatch.setattr(layout, "files", slow)
    assert archive.would_refuse(Measure(scope="range", value="23276"), from_ms=DAY, to_ms=DAY + 86_400_000) != Refusals(0, 0)
    archive.close()


def test_a_damaged_minute_stops_its_day_and_loses_nothing(tmp_path: Path) -> None:
    write_minutes(tmp_path, 4)
    victim = files(tmp_path)[1]
    victim.write_bytes(victim.read_bytes()[:-20])
    before = files(tmp_path)
    with pytest.raises(UnavailableError, match=victim.name):
        list(compact(tmp_path, today=TOMORROW))
    assert files(tmp_path) == before
    assert expire(tmp_path, keep_days=1, today=date(2026, 1, 1)) == []
