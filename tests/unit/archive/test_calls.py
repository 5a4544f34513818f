"""Questions to the archive: rows folded to calls, dry runs of blocks, and no reach beyond the folder."""

from pathlib import Path
from typing import TypedDict

import duckdb
import pytest

from ringfence.archive import batches, layout
from ringfence.archive.calls import CallArchive, Refusals, cost_of
from ringfence.archive.writer import ArchiveWriter, LogEntry
from ringfence.base.errors import OperatorError, UnavailableError
from ringfence.telephony.columns import batch_of
from ringfence.telephony.model import AccountRow, Kind
from ringfence.telephony.suspicion import Measure

DAY = 1_763_769_600_000  # 2025-11-22T00:00:00Z
HOUR = 3_600_000


class Span(TypedDict):
    """Arguments of a question."""

    from_ms: int
    to_ms: int


SPAN: Span = {"from_ms": DAY, "to_ms": DAY + 24 * HOUR - 1}


def row(kind: Kind, at_ms: int, call: str, account: str = "alice", **more: object) -> AccountRow:
    fields: dict[str, object] = {
        "call_id": call,
        "call_key": hash(call),
        "account": account,
        "caller": "+4930123456",
        "callee": "+23277000111",
        "destination_class": 4,
        "rate": 600_000,
        "connect_micro": 50_000,
        "country": 0x534C,
        "source_ip": "192.0.2.1",
        "user_agent": "FRITZ!OS",
        "edge": "kamailio-1",
        "started_ms": at_ms,
    }
    return AccountRow(kind=int(kind), at_ms=at_ms, received_ms=at_ms, **(fields | more))  # type: ignore[arg-type]


def filled(folder: Path, *rows: AccountRow) -> CallArchive:
    writer = ArchiveWriter(folder)
    for sequence, one in enumerate(rows, 1):
        writer.write([LogEntry(sequence, one.received_ms, "rows", batches.encode(batch_of([one])))])
    return CallArchive(folder)


@pytest.fixture
def archive(tmp_path: Path) -> CallArchive:
    start = DAY + 23 * HOUR
    answer, end = start + 5_000, start + 2 * HOUR
    return filled(
        tmp_path,
        row(Kind.ATTEMPT, DAY + 1_000, "old"),
        row(Kind.END, DAY + 2_000, "old", started_ms=DAY + 1_000, ended_ms=DAY + 2_000, status_code=486),
        row(Kind.ATTEMPT, DAY + HOUR, "112", callee="112", destination_class=0, rate=0, connect_micro=0),
        row(Kind.BLOCKED, DAY + 2 * HOUR, "refused", status_code=603),
        row(Kind.CALL, DAY + 3 * HOUR, "cdr", "bob", callee="+4989555", destination_class=1, answered_ms=DAY + 3 * HOUR, ended_ms=DAY + 3 * HOUR + 90_500,
            source_ip="2001:db8:1:2::7", rate=10_000, connect_micro=0, status_code=200),
        row(Kind.REGISTRATION, DAY + 4 * HOUR, "", "alice", contact="sip:a@192.0.2.1", expires=300, status_code=200),
        row(Kind.AUTH_FAILURE, DAY + 5 * HOUR, "", "alice", status_code=401, source_ip="203.0.113.9"),
        row(Kind.ATTEMPT, start, "long"),
        row(Kind.ANSWER, answer, "long", started_ms=start, answered_ms=answer, status_code=200),
        row(Kind.END, end, "long", started_ms=start, answered_ms=answer, ended_ms=end, status_code=200),
        row(Kind.ATTEMPT, DAY + 30 * HOUR, "tomorrow", "carol"),
    )  # fmt: skip


def test_rows_fold_to_whole_calls_newest_first(archive: CallArchive) -> None:
    calls = archive.calls(account="alice", **SPAN)
    assert [call.call_id for call in calls] == ["long", "refused", "112", "old"]
    long, refused, emergency, old = calls
    assert (long.attempted_ms, long.answered_ms, long.ended_ms) == (DAY + 23 * HOUR, DAY + 23 * HOUR + 5_000, DAY + 25 * HOUR)
    assert long.duration_ms == 2 * HOUR - 5_000
    assert long.cost_micro == 50_000 + 600_000 * (2 * HOUR - 5_000) // 60_000
    assert (long.status_code, long.country, long.destination_class, long.blocked) == (200, 0x534C, 4, False)
    assert (refused.blocked, refused.status_code, refused.cost_micro) == (True, 603, 0)
    assert (old.status_code, old.cost_micro, old.duration_ms, old.ended_ms) == (486, 0, 0, DAY + 2_000)
    assert (emergency.callee, emergency.destination_class) == ("112", 0)


def test_a_whole_call_of_a_record(archive: CallArchive) -> None:
    (call,) = archive.calls(account="bob", **SPAN)
    assert (call.duration_ms, call.cost_micro) == (90_500, 15_083)
    assert cost_of(10_000, 7, 1_000, 0) == 7


def test_a_call_that_runs_costs_up_to_the_end_of_the_span(tmp_path: Path) -> None:
    archive = filled(tmp_path, row(Kind.ATTEMPT, DAY, "x"), row(Kind.ANSWER, DAY + 1_000, "x", started_ms=DAY, answered_ms=DAY + 1_000))
    (call,) = archive.calls(from_ms=DAY, to_ms=DAY + 61_000)
    assert (call.ended_ms, call.duration_ms, call.cost_micro) == (0, 0, 650_000)


def test_by_number_and_by_call_id(archive: CallArchive) -> None:
    assert [call.call_id for call in archive.calls(number="+4989555", **SPAN)] == ["cdr"]
    assert len(archive.calls(number="+4930123456", **SPAN)) == 5
    assert [call.call_id for call in archive.calls(call_ids=["old", "cdr", "none"], **SPAN)] == ["cdr", "old"]
    assert archive.calls(call_ids=[], **SPAN) == []
    assert len(archive.calls(limit=2, **SPAN)) == 2
    with pytest.raises(OperatorError, match="at most 1000"):
        archive.calls(call_ids=["x"] * 1_001, **SPAN)


def test_what_people_type_is_a_value(archive: CallArchive) -> None:
    for hostile in ("' OR '1'='1", "alice'; DROP TABLE x; --", "$files", "\x00", "%", "a" * 100_000):
        assert archive.calls(account=hostile, number=hostile, call_ids=[hostile], **SPAN) == []
        assert archive.registrations(hostile, **SPAN) == []


def test_registrations(archive: CallArchive) -> None:
    refused, changed = archive.registrations("alice", **SPAN)
    assert (refused.refused, refused.status_code, refused.source_ip) == (True, 401, "203.0.113.9")
    assert (changed.refused, changed.contact, changed.expires) == (False, "sip:a@192.0.2.1", 300)
    assert archive.registrations("bob", **SPAN) == []


@pytest.mark.parametrize(
    ("measure", "refusals"),
    [
        (Measure(scope="number", value="23277000111"), Refusals(2, 1)),
        (Measure(scope="range", value="232"), Refusals(2, 1)),
        (Measure(scope="range", value="49"), Refusals(1, 1)),
        (Measure(scope="class", value="alice", destination_class=3), Refusals(2, 1)),
        (Measure(scope="class", value="alice", destination_class=5), Refusals(0, 0)),
        (Measure(scope="account", value="alice"), Refusals(2, 1)),
        (Measure(scope="account", value="nobody"), Refusals(0, 0)),
        (Measure(scope="source", value="192.0.2.1"), Refusals(2, 1)),
        (Measure(scope="source", value="192.0.2.0/24"), Refusals(2, 1)),
        (Measure(scope="source", value="2001:db8:1:2::/64"), Refusals(1, 1)),
        (Measure(scope="source", value="2001:db8:1:3::/64"), Refusals(0, 0)),
    ],
)
def test_what_a_block_would_have_refused(archive: CallArchive, measure: Measure, refusals: Refusals) -> None:
    """Emergency calls, calls that were refused anyway and calls of other days are not in the figures."""
    assert archive.would_refuse(measure, **SPAN) == refusals


def test_an_empty_archive_and_bad_spans(tmp_path: Path) -> None:
    archive = CallArchive(tmp_path)
    assert archive.calls(**SPAN) == []
    assert archive.would_refuse(Measure(scope="account", value="x"), **SPAN) == Refusals(0, 0)
    with pytest.raises(OperatorError, match="span"):
        archive.calls(from_ms=2, to_ms=1)
    with pytest.raises(OperatorError, match="span"):
        archive.calls(from_ms=0, to_ms=500 * layout.DAY_MS)
    with pytest.raises(OperatorError, match="no network"):
        archive.would_refuse(Measure(scope="source", value="here"), **SPAN)


def test_a_damaged_file_is_unavailable(tmp_path: Path, archive: CallArchive) -> None:
    victim = next(iter((tmp_path / "calls").rglob("*.parquet")))
    victim.write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(UnavailableError, match="cannot be read"):
        archive.calls(**SPAN)


def test_a_question_that_takes_too_long_is_stopped(tmp_path: Path, archive: CallArchive) -> None:
    impatient = CallArchive(tmp_path, seconds=0.3)
    endless = "SELECT count(*) FROM read_parquet($files), range(1000000000) a WHERE $from_ms <= $to_ms AND a.range % 7 = 8"
    with pytest.raises(UnavailableError, match="too long"):
        impatient._ask(endless, "calls", SPAN)
    impatient._seconds = 60
    assert impatient.calls(account="bob", **SPAN) == archive.calls(account="bob", **SPAN)


def test_memory_is_capped(tmp_path: Path, archive: CallArchive) -> None:
    small = CallArchive(tmp_path, memory_bytes=64 * 1024 * 1024)
    hungry = (
        "SELECT list(a.range::TEXT || 'xxxxxxxxxxxxxxxxxxxxxxxxx') FROM read_parquet($files), range(10000000) a WHERE $from_ms <= $to_ms"
    )
    with pytest.raises(UnavailableError, match="memory"):
        small._ask(hungry, "calls", SPAN)


@pytest.mark.parametrize(
    "reach",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "COPY (SELECT 1) TO '/var/tmp/x.csv'",
        "ATTACH '/var/tmp/x.db' AS x",
        "INSTALL httpfs",
        "SET threads = 1",
    ],
)
def test_duckdb_reaches_nothing_else(archive: CallArchive, reach: str) -> None:
    with pytest.raises((duckdb.PermissionException, duckdb.InvalidInputException)):
        archive._database.execute(reach)


def test_an_inbound_call_is_none_of_the_accounts_own(tmp_path: Path) -> None:
    archive = filled(tmp_path, row(Kind.CALL, DAY, "out"), row(Kind.INBOUND, DAY, "in"), row(Kind.UNAUTHENTICATED, DAY, "scan", account=""))
    assert [call.call_id for call in archive.calls(**SPAN)] == ["out"]
    assert archive.would_refuse(Measure(scope="number", value="23277000111"), **SPAN) == Refusals(1, 1)
