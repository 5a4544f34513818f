"""What reports make of sessions: nothing for a repetition, the same in any order, and never a wrong name for an address."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ringfence.subscribers.sessions.merging import SKEW_MS, Book, SessionRow
from ringfence.subscribers.sessions.model import EndedBy, Origin, ReportKind, SessionReport

T = 1_790_000_000_000
PREFIX = "192.0.2.1/32"
MINUTE = 60_000


class Table:
    """The table as the service keeps it, in memory."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str, int], SessionRow] = {}

    def record(self, *reports: SessionReport) -> int:
        names = {(report.nas, report.session_id) for report in reports}
        book = Book(deepcopy([row for row in self.rows.values() if (row.nas, row.session_id) in names]))
        for report in reports:
            book.apply(report)
        contested = set(book.contested())
        book.take_over(deepcopy([row for row in self.rows.values() if row.prefix in contested]))
        changes = book.changes()
        for row in changes:
            self.rows.pop((row.nas, row.session_id, row.prefix, row.stored_ms), None)
            row.stored_ms, row.changed = row.started_ms, False
            key = (row.nas, row.session_id, row.prefix, row.started_ms)
            assert key not in self.rows
            self.rows[key] = row
        return len(changes)

    def lines(self, at_ms: int, prefix: str = PREFIX) -> set[str]:
        return {
            row.line
            for row in self.rows.values()
            if row.prefix == prefix and row.started_ms <= at_ms and (not row.ended_ms or row.ended_ms > at_ms)
        }

    def periods(self) -> list[tuple[str, int, int, EndedBy]]:
        return sorted((row.session_id, row.started_ms - T, row.ended_ms and row.ended_ms - T, row.ended_by) for row in self.rows.values())


def start(session: str, at: int, **changes: object) -> SessionReport:
    report = SessionReport(
        kind=ReportKind.START, nas="n", session_id=session, at_ms=T + at, started_ms=T + at, prefixes=(PREFIX,), line=f"line-{session}"
    )
    return replace(report, **changes)  # type: ignore[arg-type]


def interim(session: str, at: int, started: int | None = None, **changes: object) -> SessionReport:
    return start(session, at, **({"kind": ReportKind.INTERIM, "started_ms": 0 if started is None else T + started} | changes))


def stop(session: str, at: int, started: int | None = None, **changes: object) -> SessionReport:
    return interim(session, at, started, **({"kind": ReportKind.STOP} | changes))


def table(*reports: SessionReport) -> Table:
    made = Table()
    for report in reports:
        made.record(report)
    return made


def test_a_life() -> None:
    made = table(start("a", 0), interim("a", MINUTE, 0), stop("a", 2 * MINUTE, 0))
    assert made.periods() == [("a", 0, 2 * MINUTE, EndedBy.STOP)]
    assert (made.lines(T - 1), made.lines(T), made.lines(T + 2 * MINUTE)) == (set(), {"line-a"}, set())


def test_a_stop_or_an_interim_alone_makes_the_row() -> None:
    assert table(stop("a", 5 * MINUTE, MINUTE)).periods() == [("a", MINUTE, 5 * MINUTE, EndedBy.STOP)]
    assert table(interim("a", 5 * MINUTE)).periods() == [("a", 5 * MINUTE, 0, EndedBy.OPEN)]
    assert table(stop("a", 5 * MINUTE, prefixes=())).periods() == []


def test_a_stop_without_addresses_ends_all_of_them() -> None:
    both = ("192.0.2.1/32", "2001:db8:0:1::/64")
    made = table(start("a", 0, prefixes=both), stop("a", MINUTE, 0, prefixes=()))
    assert made.periods() == [("a", 0, MINUTE, EndedBy.STOP)] * 2
    made = table(start("a", 0), interim("a", MINUTE, 0, prefixes=both), stop("a", 2 * MINUTE, 0, prefixes=both[:1]))
    assert made.periods() == [("a", 0, 2 * MINUTE, EndedBy.STOP)] * 2


reports_of_one_life = st.permutations(
    [
        start("a", 0),
        interim("a", 5 * MINUTE, 0),
        interim("a", 20 * MINUTE),
        interim("a", 25 * MINUTE, prefixes=()),
        stop("a", 40 * MINUTE, 0),
    ]
)


@given(reports_of_one_life, st.lists(st.integers(1, 4), max_size=4), st.integers(0, 4))
def test_one_life_is_the_same_in_any_order_and_division(reports: Sequence[SessionReport], cuts: list[int], again: int) -> None:
    made = Table()
    queue = [*reports, reports[again]]
    for cut in cuts:
        made.record(*queue[:cut])
        queue = queue[cut:]
    made.record(*queue)
    assert made.periods() == [("a", 0, 40 * MINUTE, EndedBy.STOP)]
    (row,) = made.rows.values()
    assert (row.line, row.last_seen_ms) == ("line-a", T + 40 * MINUTE)


@given(st.permutations([start("a", 0), interim("a", MINUTE, 0), start("b", 60 * MINUTE), interim("b", 70 * MINUTE, 60 * MINUTE)]))
def test_a_newer_session_with_the_address_ends_the_older(reports: Sequence[SessionReport]) -> None:
    """The Stop was lost; in whatever order the rest comes."""
    made = table(*reports)
    assert made.periods() == [("a", 0, 60 * MINUTE, EndedBy.TAKEN), ("b", 60 * MINUTE, 0, EndedBy.OPEN)]
    assert made.lines(T + 80 * MINUTE) == {"line-b"}


lives = st.lists(st.tuples(st.integers(2, 30), st.integers(2, 30), st.booleans(), st.booleans(), st.integers(0, 3)), min_size=1, max_size=5)


@given(lives, st.randoms(use_true_random=False), st.integers(1, 6))
def test_who_held_an_address_is_named_rightly_or_not_at_all(
    lives: list[tuple[int, int, bool, bool, int]], chance: object, size: int
) -> None:
    """One address goes from line to line. Starts and Stops get lost, everything comes in any order and division, some of it twice."""
    reports: list[SessionReport] = []
    truth: list[tuple[int, int, str]] = []
    at = 0
    for number, (gap, length, started_lost, stop_lost, interims) in enumerate(lives):
        begun, over = at + gap * MINUTE, at + (gap + length) * MINUTE
        session, at = str(number), over
        truth.append((begun, over, f"line-{session}"))
        reports += [start(session, begun)] * (not started_lost)
        reports += [interim(session, begun + (over - begun) * (part + 1) // 5, begun) for part in range(interims)]
        reports += [stop(session, over, begun)] * (not stop_lost)
    reports += reports[:2]
    chance.shuffle(reports)  # type: ignore[attr-defined]
    made = Table()
    for first in range(0, len(reports), size):
        made.record(*reports[first : first + size])
    seen = {report.line for report in reports}
    for begun, over, line in truth:
        held = made.lines(T + (begun + over) // 2)
        # An earlier session whose Stop was lost, and of whose successor nothing came at all, cannot be known to be over.
        earlier = {name for first, _, name in truth if first < begun}
        assert held == {line} if line in seen else held <= earlier
    assert made.record(*reports) == 0, "the whole again changes nothing"


def test_two_that_contradict_each_other_stay_both() -> None:
    made = table(start("a", 0), start("b", 10 * MINUTE), interim("a", 30 * MINUTE, 0))
    assert made.lines(T + 31 * MINUTE) == {"line-a", "line-b"}, "a ended when b took its address, and its NAS says that it lasts"
    made.record(stop("b", 40 * MINUTE, 10 * MINUTE))
    assert made.lines(T + 41 * MINUTE) == {"line-a"}


def test_a_clock_that_is_a_little_off_means_nothing() -> None:
    made = table(start("a", 0), interim("a", 10 * MINUTE + SKEW_MS - 1, 0), start("b", 10 * MINUTE))
    assert made.lines(T + 11 * MINUTE) == {"line-b"}
    made = table(start("a", 0), stop("a", 10 * MINUTE, 0), interim("a", 10 * MINUTE + SKEW_MS, 0))
    assert made.periods() == [("a", 0, 10 * MINUTE, EndedBy.STOP)]


def test_a_name_that_comes_again_is_another_session() -> None:
    """A NAS that lost power counts from the beginning; no Accounting-On was heard."""
    made = table(start("a", 0), start("a", 60 * MINUTE, line="line-z"))
    assert made.periods() == [("a", 0, 60 * MINUTE, EndedBy.TAKEN), ("a", 60 * MINUTE, 0, EndedBy.OPEN)]
    assert (made.lines(T + MINUTE), made.lines(T + 61 * MINUTE)) == ({"line-a"}, {"line-z"})
    made.record(stop("a", 2 * MINUTE, 0))
    assert made.periods()[0] == ("a", 0, 2 * MINUTE, EndedBy.STOP), "a late Stop is of the use that it was about"
    assert made.lines(T + 61 * MINUTE) == {"line-z"}
    made = table(start("a", 0), stop("a", MINUTE, 0), interim("a", 9 * MINUTE, line="line-z"))
    assert made.periods() == [("a", 0, MINUTE, EndedBy.STOP), ("a", 9 * MINUTE, 0, EndedBy.OPEN)]


def lease(line: str, begun: int, ended: int | None) -> SessionReport:
    return SessionReport(
        kind=ReportKind.LEASE, nas="dhcp", session_id=f"{line}@{begun}", at_ms=T + begun, started_ms=T + begun,
        ended_ms=0 if ended is None else T + ended, prefixes=(PREFIX,), line=line, origin=Origin.DHCP,
    )  # fmt: skip


def test_leases_last_until_they_end_are_renewed_or_taken() -> None:
    made = table(lease("x", 0, 60 * MINUTE))
    assert (made.lines(T + 59 * MINUTE), made.lines(T + 60 * MINUTE)) == ({"x"}, set())
    assert made.record(lease("x", 0, 60 * MINUTE)) == 0
    assert made.record(lease("x", 0, 90 * MINUTE)) == 1
    assert made.lines(T + 80 * MINUTE) == {"x"}
    made.record(lease("y", 30 * MINUTE, None))
    assert made.lines(T + 80 * MINUTE) == {"y"}
    assert made.record(lease("x", 0, 90 * MINUTE)) == 0, "what was taken stays taken"


anything = st.builds(
    SessionReport,
    kind=st.sampled_from([ReportKind.START, ReportKind.INTERIM, ReportKind.STOP, ReportKind.LEASE]),
    nas=st.sampled_from("nm"),
    session_id=st.sampled_from("ab"),
    at_ms=st.integers(1, 8).map(lambda minute: T + minute * MINUTE),
    started_ms=st.just(0) | st.integers(0, 9).map(lambda minute: T + minute * MINUTE),
    ended_ms=st.just(0) | st.integers(0, 9).map(lambda minute: T + minute * MINUTE),
    prefixes=st.lists(st.sampled_from([PREFIX, "192.0.2.2/32"]), unique=True).map(tuple),
    line=st.sampled_from(["", "x", "y"]),
)


@given(st.lists(st.lists(anything, max_size=6), max_size=6))
def test_reports_that_make_no_sense_break_nothing(batches: list[list[SessionReport]]) -> None:
    made = Table()
    for batch in batches:
        made.record(*batch)
    for row in made.rows.values():
        assert not row.ended_ms or row.started_ms <= row.ended_ms
        assert bool(row.ended_ms) == bool(row.ended_by)
