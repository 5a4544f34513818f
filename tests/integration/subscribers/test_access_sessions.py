"""Access sessions on a real PostgreSQL: recorded once, found by address and line, forgotten in time."""

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import pytest

from ringfence.base.errors import PeerError
from ringfence.runtime.db import Database
from ringfence.subscribers.sessions import service
from ringfence.subscribers.sessions.model import EndedBy, Origin, ReportKind, SessionReport
from ringfence.subscribers.sessions.service import AccessSessions

T = 1_790_000_000_000
MINUTE = 60_000


def run(url: str, body: Callable[[AccessSessions], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Database(url, name="test") as db:
            await body(AccessSessions(db, lambda: T + 90 * MINUTE))

    asyncio.run(main())


def report(kind: ReportKind, session: str, at: int, *prefixes: str, line: str = "", nas: str = "core/bng-1") -> SessionReport:
    return SessionReport(
        kind=kind, nas=nas, session_id=session, at_ms=T + at, started_ms=T + at if kind is ReportKind.START else 0, prefixes=prefixes,
        line=line or f"line-{session}", access_node="node-1",
    )  # fmt: skip


def test_a_batch_is_recorded_once_and_found_by_address(database_url: str) -> None:
    batch = [
        report(ReportKind.START, "a", 0, "192.0.2.1/32", "2001:db8:0:1::/64", "2001:db8:1::/56"),
        report(ReportKind.START, "b", 0, "192.0.2.2/32"),
        report(ReportKind.STOP, "b", MINUTE),
        report(ReportKind.START, "c", 2 * MINUTE, "192.0.2.2/32"),
    ]

    async def body(sessions: AccessSessions) -> None:
        assert await sessions.record(batch) == 5
        assert await sessions.record(batch) == 0, "the same batch again changes nothing"
        asked = [
            "192.0.2.1",
            "::ffff:192.0.2.1",
            "192.0.2.2",
            "2001:db8:0:1::77",
            "2001:db8:1:ff::1",
            "2001:db8:1:100::1",
            "192.0.2.9",
            "x",
        ]
        found = await sessions.lines_at(asked, T + 10 * MINUTE)
        assert {address: session.line for address, session in found.items()} == {
            "192.0.2.1": "line-a",
            "::ffff:192.0.2.1": "line-a",
            "192.0.2.2": "line-c",
            "2001:db8:0:1::77": "line-a",
            "2001:db8:1:ff::1": "line-a",
        }
        (first, *_) = found.values()
        assert (first.access_node, first.customer, first.origin, first.started_ms, first.ended_ms) == ("node-1", "", Origin.RADIUS, T, 0)
        assert [session.line for session in (await sessions.lines_at(["192.0.2.2"], T + 1)).values()] == ["line-b"]
        assert await sessions.lines_at(["192.0.2.2"], T + 90_000) == {}
        assert await sessions.lines_at([], T) == {}
        assert await sessions.count_open_sessions() == 4

    run(database_url, body)


def test_what_is_claimed_twice_names_nobody(database_url: str) -> None:
    async def body(sessions: AccessSessions) -> None:
        await sessions.record(
            [report(ReportKind.START, "a", 0, "2001:db8:1::/56"), report(ReportKind.START, "b", MINUTE, "2001:db8:1:1::/64")]
        )
        found = await sessions.lines_at(["2001:db8:1:1::5", "2001:db8:1:2::5"], T + 2 * MINUTE)
        assert {address: session.line for address, session in found.items()} == {"2001:db8:1:2::5": "line-a"}
        await sessions.record([report(ReportKind.STOP, "b", 3 * MINUTE)])
        assert (await sessions.lines_at(["2001:db8:1:1::5"], T + 4 * MINUTE))["2001:db8:1:1::5"].line == "line-a"
        # A session of which nobody says the line holds its address all the same.
        nameless = SessionReport(kind=ReportKind.START, nas="n", session_id="x", at_ms=T + 5 * MINUTE, started_ms=T + 5 * MINUTE,
                                 prefixes=("192.0.2.1/32",))  # fmt: skip
        await sessions.record([report(ReportKind.START, "v4", 0, "192.0.2.1/32"), nameless])
        assert await sessions.lines_at(["192.0.2.1"], T + 6 * MINUTE) == {}

    run(database_url, body)


def test_a_restart_ends_the_sessions_of_its_nas(database_url: str) -> None:
    restart = SessionReport(kind=ReportKind.NAS_RESTART, nas="core/bng-1", at_ms=T + 5 * MINUTE)

    async def body(sessions: AccessSessions) -> None:
        await sessions.record(
            [
                report(ReportKind.START, "a", 0, "192.0.2.1/32"),
                report(ReportKind.START, "b", 0, "192.0.2.2/32", nas="core/bng-2"),
                restart,
                report(ReportKind.START, "a", 6 * MINUTE + 1, "192.0.2.3/32"),
            ]
        )
        await sessions.record([restart])
        found = await sessions.lines_at(["192.0.2.1", "192.0.2.2", "192.0.2.3"], T + 7 * MINUTE)
        assert sorted(found) == ["192.0.2.2", "192.0.2.3"]
        (ended,) = await sessions.history_of_address("192.0.2.1")
        assert (ended.ended_ms, ended.ended_by) == (T + 5 * MINUTE, EndedBy.NAS)

    run(database_url, body)


def test_a_nas_with_many_sessions_ends_in_portions(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "RESTART_ROWS", 3)
    both = ("192.0.2.{}/32", "2001:db8:0:{}::/64")
    starts = [report(ReportKind.START, f"s{number:02}", 0, *(prefix.format(number) for prefix in both)) for number in range(10)]

    async def body(sessions: AccessSessions) -> None:
        await sessions.record(starts)
        assert await sessions.record([SessionReport(kind=ReportKind.NAS_RESTART, nas="core/bng-1", at_ms=T + MINUTE)]) == 20
        assert await sessions.count_open_sessions() == 0

    run(database_url, body)


def test_histories_and_what_is_forgotten(database_url: str) -> None:
    async def body(sessions: AccessSessions) -> None:
        for number in range(6):
            line = "x" if number % 2 else "y"
            await sessions.record([report(ReportKind.START, f"s{number}", number * 10 * MINUTE, "192.0.2.1/32", line=line)])
        held = await sessions.history_of_address("192.0.2.1")
        assert [(session.session_id, session.ended_by) for session in held] == [
            ("s5", EndedBy.OPEN), *((f"s{number}", EndedBy.TAKEN) for number in (4, 3, 2, 1, 0)),
        ]  # fmt: skip
        assert [session.session_id for session in await sessions.history_of_line("x")] == ["s5", "s3", "s1"]
        page = await sessions.history_of_line("x", before_ms=held[0].started_ms, limit=1)
        assert [(session.session_id, session.address, session.prefix) for session in page] == [("s3", "192.0.2.1", "192.0.2.1/32")]
        assert await sessions.history_of_line("") == ()
        with pytest.raises(PeerError):
            await sessions.history_of_address("nowhere")
        assert await sessions.forget_sessions(T + 30 * MINUTE) == 2
        assert len(await sessions.history_of_address("192.0.2.1")) == 4
        assert await sessions.forget_sessions(T + 300 * MINUTE) == 3, "what is open is never forgotten"

    run(database_url, body)


def test_customer_and_access_node_come_from_the_list_of_lines(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "insert into subscribers.lines (line, customer, access_node, removed, changed_at)"
            " values ('line-a', 'C7', 'listed', false, now()), ('line-b', 'C8', 'gone', true, now())"
        )

    async def body(sessions: AccessSessions) -> None:
        bare = SessionReport(
            kind=ReportKind.START, nas="n", session_id="a", at_ms=T, started_ms=T, prefixes=("192.0.2.1/32",), line="line-a"
        )
        await sessions.record([bare, report(ReportKind.START, "b", 0, "192.0.2.2/32")])
        found = await sessions.lines_at(["192.0.2.1", "192.0.2.2"], T)
        assert [(session.customer, session.access_node) for _, session in sorted(found.items())] == [("C7", "listed"), ("", "node-1")]

    run(database_url, body)


def test_batches_of_two_listeners_do_not_miss_each_other(database_url: str) -> None:
    """Both take the same addresses at once; in the end each address has one open session."""

    async def body(sessions: AccessSessions) -> None:
        def batch(listener: int, at: int) -> list[SessionReport]:
            return [
                report(ReportKind.START, f"{listener}-{at}-{number}", at, f"192.0.2.{number}/32", nas=f"l{listener}/n")
                for number in range(20)
            ]

        async with asyncio.TaskGroup() as group:
            for turn in range(6):
                group.create_task(sessions.record(batch(turn % 2, turn * 5 * MINUTE)))
        assert await sessions.count_open_sessions() == 20
        found = await sessions.lines_at([f"192.0.2.{number}" for number in range(20)], T + 60 * MINUTE)
        assert {session.line.rpartition("-")[0] for session in found.values()} == {f"line-1-{25 * MINUTE}"}

    run(database_url, body)
