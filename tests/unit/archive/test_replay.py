"""The archive gives back the log it was written from: the same messages, the same rows at the same places."""

from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.archive import batches
from ringfence.archive.calls import CallArchive
from ringfence.archive.compaction import compact
from ringfence.archive.replay import ReplayedControl, ReplayedRows, replay
from ringfence.archive.writer import ArchiveWriter, LogEntry, Position
from ringfence.base.errors import UnavailableError
from ringfence.telephony.columns import RowBatch, batch_of
from ringfence.telephony.model import AccountRow, Kind

DAY = 1_763_769_600_000  # 2025-11-22T00:00:00Z


def entry(sequence: int, kinds: tuple[int, ...], at_ms: int) -> LogEntry:
    """Rows of these kinds, or a tick when there are none."""
    if not kinds:
        return LogEntry(sequence, at_ms, "tick", at_ms.to_bytes(8))
    rows = [
        AccountRow(kind=kind, at_ms=at_ms, received_ms=at_ms, account=f"a{place}", number_tail=place) for place, kind in enumerate(kinds)
    ]
    return LogEntry(sequence, at_ms, "rows", batches.encode(batch_of(rows)))


Content = list[AccountRow] | bytes


def rows_in(batch: RowBatch) -> list[AccountRow]:
    return [batch.row(place) for place in range(batch.length)]


def content(message: ReplayedRows | ReplayedControl | LogEntry) -> tuple[int, str, Content]:
    if isinstance(message, ReplayedRows):
        return message.sequence, "rows", rows_in(message.batch)
    if message.kind == "rows":
        return message.sequence, "rows", rows_in(batches.decode(message.payload))
    return message.sequence, message.kind, message.payload


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.lists(st.lists(st.sampled_from(list(map(int, Kind))), max_size=6).map(tuple), min_size=1, max_size=5), max_size=4),
    st.integers(0, 20),
)
def test_what_was_written_comes_back(tmp_path_factory: pytest.TempPathFactory, minutes: list[list[tuple[int, ...]]], after: int) -> None:
    folder = tmp_path_factory.mktemp("archive")
    writer = ArchiveWriter(folder)
    written: list[LogEntry] = []
    for number, kinds in enumerate(minutes):
        # Ten hours a minute, so that the files lie in several days.
        entries = [entry(len(written) + place, each, DAY + number * 36_000_000 + place) for place, each in enumerate(kinds, 1)]
        writer.write(entries)
        written.extend(entries)
    expected = [content(one) for one in written]
    assert [content(message) for message in replay(folder)] == expected
    position = Position(after, next((one.at_ms for one in written if one.sequence == after), 0 if after == 0 else DAY * 2))
    assert [content(message) for message in replay(folder, after=position)] == [one for one in expected if one[0] > after]


def test_lanes_logs_that_count_anew_and_damage(tmp_path: Path) -> None:
    ArchiveWriter(tmp_path, lane=1).write([entry(1, (1,), DAY)])
    ArchiveWriter(tmp_path).write([entry(8, (1, 5), DAY), LogEntry(9, DAY + 1, "rows", b"no arrow")])
    ArchiveWriter(tmp_path).write([entry(1, (1,), DAY + 90_000)])
    assert [(message.sequence, type(message)) for message in replay(tmp_path)] == [
        (8, ReplayedRows),
        (9, ReplayedControl),
        (1, ReplayedRows),
    ]
    assert [message.sequence for message in replay(tmp_path, after=Position(9, DAY + 1))] == [1]
    assert [message.sequence for message in replay(tmp_path, lane=1)] == [1]
    assert list(replay(tmp_path, lane=2)) == []
    next((tmp_path / "calls").rglob("account-0*.parquet")).write_bytes(b"damaged")
    with pytest.raises(UnavailableError, match="cannot be read"):
        list(replay(tmp_path))


def test_a_file_of_an_older_version_lacks_columns_and_is_read_with_empty_ones(tmp_path: Path) -> None:
    writer = ArchiveWriter(tmp_path)
    for sequence in (1, 2):
        writer.write([entry(sequence, (int(Kind.ATTEMPT), int(Kind.REGISTRATION)), DAY + sequence)])
    added = ["direction", "source_key", "network_key", "network_kind", "source_country", "family_key", "network", "forwarded_by"]
    for kind in ("calls", "registrations"):
        oldest = min((tmp_path / kind).rglob("*.parquet"))
        pq.write_table(pq.read_table(oldest, partitioning=None).drop_columns(added), oldest)
    expected = [content(entry(sequence, (int(Kind.ATTEMPT), int(Kind.REGISTRATION)), DAY + sequence)) for sequence in (1, 2)]
    assert [content(message) for message in replay(tmp_path)] == expected
    (span,) = CallArchive(tmp_path).calls(from_ms=DAY, to_ms=DAY + 1_000, account="a0")
    assert span.account == "a0"
    assert [group.after for group in compact(tmp_path, today=date(2025, 11, 24), lane=0)]
    assert [content(message) for message in replay(tmp_path)] == expected
