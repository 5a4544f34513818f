"""What reports of sessions make of the rows that are known: pure, and the same whatever comes twice or late.

UDP repeats, loses and overtakes, so no report is believed to be the first of its session: a Stop alone makes a row that is over, a late
Start only moves the beginning. The one thing to know: where two sessions claim an address and neither was over when the other began, both
stay open, and whoever asks for the address is told nobody, because a guess could hand one customer's secrets to another.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ringfence.subscribers.sessions.model import EndedBy, Origin, ReportKind, SessionReport

SKEW_MS = 60_000
"""How far the clocks of two NAS may be apart, and a session's reports from each other, without meaning anything."""


@dataclass(slots=True, kw_only=True)
class SessionRow:
    """A row of the table: one address or prefix of one session. `stored_ms`: its beginning as it is stored, 0 when it is not yet."""

    nas: str
    session_id: str
    prefix: str
    line: str
    access_node: str
    origin: Origin
    started_ms: int
    last_seen_ms: int
    ended_ms: int = 0
    ended_by: EndedBy = EndedBy.OPEN
    stored_ms: int = 0
    changed: bool = field(default=False, compare=False)

    def end(self, at_ms: int, by: EndedBy) -> None:
        """It was over then, unless it was before."""
        at_ms = max(at_ms, self.started_ms)
        if not self.ended_ms or at_ms < self.ended_ms:
            self.ended_ms, self.ended_by, self.changed = at_ms, by, True
        self.last_seen_ms = min(self.last_seen_ms, self.ended_ms)


class Book:
    """The sessions that a batch of reports is about. First all their rows, then the reports in their order, then `take_over`."""

    def __init__(self, rows: Iterable[SessionRow]) -> None:
        self._periods: dict[tuple[str, str, str], list[SessionRow]] = {}
        self._prefixes: dict[tuple[str, str], list[str]] = {}
        self._contested: set[str] = set()
        for row in rows:
            self._put(row)

    def apply(self, report: SessionReport) -> None:
        """One report of one session."""
        match report.kind:
            case ReportKind.START | ReportKind.INTERIM:
                for prefix in report.prefixes or self._prefixes.get((report.nas, report.session_id), ()):
                    self._alive(report, prefix)
            case ReportKind.STOP:
                known = self._prefixes.get((report.nas, report.session_id), [])
                for prefix in dict.fromkeys((*report.prefixes, *known)):
                    self._over(report, prefix)
            case ReportKind.LEASE:
                for prefix in report.prefixes:
                    self._lease(report, prefix)
            case ReportKind.NAS_RESTART:
                raise ValueError("a restart ends the sessions of a NAS, which this book does not hold")

    def contested(self) -> list[str]:
        """Prefixes whose other sessions matter now."""
        return sorted(self._contested)

    def take_over(self, neighbours: Iterable[SessionRow]) -> None:
        """End the older of two sessions with one address, when the newer began after the older was last seen.

        `neighbours`: rows of the contested prefixes; those of this book's own sessions are passed over.
        """
        others = [row for row in neighbours if (row.nas, row.session_id) not in self._prefixes]
        for row in others:
            self._put(row)
        found: dict[str, list[SessionRow]] = {prefix: [] for prefix in self._contested}
        for periods in self._periods.values():
            if (same := found.get(periods[0].prefix)) is not None:
                same += periods
        for same in found.values():
            end_older(same)

    def changes(self) -> list[SessionRow]:
        """Rows to write, in the order of their key."""
        rows = [row for periods in self._periods.values() for row in periods if row.changed]
        return sorted(rows, key=lambda row: (row.nas, row.session_id, row.prefix, row.started_ms))

    def _put(self, row: SessionRow) -> None:
        periods = self._periods.setdefault((row.nas, row.session_id, row.prefix), [])
        if not periods:
            self._prefixes.setdefault((row.nas, row.session_id), []).append(row.prefix)
        periods.append(row)
        periods.sort(key=lambda period: period.started_ms)

    def _period(self, report: SessionReport, prefix: str) -> SessionRow | None:
        """The use of the session's name that a report is about: names begin anew when a NAS does."""
        periods = self._periods.get((report.nas, report.session_id, prefix), [])
        begun = [period for period in periods if period.started_ms <= report.at_ms + SKEW_MS]
        return begun[-1] if begun else periods[0] if periods else None

    def _add(self, report: SessionReport, prefix: str) -> SessionRow:
        row = SessionRow(
            nas=report.nas,
            session_id=report.session_id,
            prefix=prefix,
            line=report.line,
            access_node=report.access_node,
            origin=report.origin,
            started_ms=min(report.started_ms or report.at_ms, report.at_ms),
            last_seen_ms=report.at_ms,
            changed=True,
        )
        self._put(row)
        self._contested.add(prefix)
        return row

    def _alive(self, report: SessionReport, prefix: str) -> None:
        row = self._period(report, prefix)
        if row is None or _is_another(row, report):
            if report.prefixes:
                self._add(report, prefix)
            return
        if row.ended_ms and report.at_ms > row.ended_ms + SKEW_MS:
            # It was taken for over, and its NAS says that it lasts.
            row.ended_ms, row.ended_by = 0, EndedBy.OPEN
            self._contested.add(prefix)
        self._widen(row, report)

    def _over(self, report: SessionReport, prefix: str) -> None:
        row = self._period(report, prefix)
        if row is None or _is_another(row, report):
            if prefix not in report.prefixes:
                return
            row = self._add(report, prefix)
        elif report.at_ms < row.started_ms - SKEW_MS:
            return  # Late, and of an earlier use of the name.
        self._widen(row, report)
        row.end(report.at_ms, EndedBy.STOP)

    def _lease(self, report: SessionReport, prefix: str) -> None:
        row = self._period(report, prefix) or self._add(report, prefix)
        ended_by = EndedBy.LEASE if report.ended_ms else EndedBy.OPEN
        told = (report.ended_ms and max(report.ended_ms, row.started_ms), ended_by, report.line, report.access_node)
        if (row.ended_ms, row.ended_by, row.line, row.access_node) != told and not (
            row.ended_by is EndedBy.TAKEN and (row.line, row.access_node) == told[2:]
        ):
            row.ended_ms, row.ended_by, row.line, row.access_node = told
            row.changed = True
            self._contested.add(prefix)

    def _widen(self, row: SessionRow, report: SessionReport) -> None:
        """What a report adds to its row."""
        before = (row.started_ms, row.last_seen_ms, row.line, row.access_node, row.ended_ms)
        started = min(row.started_ms, report.started_ms or report.at_ms, report.at_ms)
        # Never into an earlier use of the name, which is a session of its own.
        periods = self._periods[row.nas, row.session_id, row.prefix]
        started = max(started, *(period.started_ms + 1 for period in periods if period.started_ms < row.started_ms), 0)
        if started < row.started_ms:
            row.started_ms = started
            self._contested.add(row.prefix)
        row.last_seen_ms = max(row.last_seen_ms, report.at_ms)
        if row.ended_ms:
            row.last_seen_ms = min(row.last_seen_ms, row.ended_ms)
        row.line = report.line or row.line
        row.access_node = report.access_node or row.access_node
        row.changed = row.changed or before != (row.started_ms, row.last_seen_ms, row.line, row.access_node, row.ended_ms)


def end_older(rows: Sequence[SessionRow]) -> None:
    """Rows of one prefix: each ends where the first other began that was not there yet when it was last seen."""
    ordered = sorted(rows, key=lambda row: row.started_ms)
    starts = [row.started_ms for row in ordered]
    for row in ordered:
        place = bisect_right(starts, max(row.started_ms, row.last_seen_ms - SKEW_MS - 1))
        if place < len(starts) and (not row.ended_ms or row.ended_ms > starts[place]):
            row.end(starts[place], EndedBy.TAKEN)


def _is_another(row: SessionRow, report: SessionReport) -> bool:
    """Whether the report is about a later session under the same name than the row."""
    over = row.ended_ms or row.last_seen_ms
    if report.started_ms:
        return min(report.started_ms, report.at_ms) > over + SKEW_MS
    return bool(row.ended_ms) and report.kind is ReportKind.INTERIM and report.at_ms > over + SKEW_MS
