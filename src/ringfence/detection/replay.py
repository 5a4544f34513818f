"""Traffic that is over, judged as it would have been live: every view of the log, in the order of time, without a bus.

Backtests, previews and benches give it rows; what comes out is what the detectors would have published, with the same ids. The one thing to
know: rows must come in the order of their event times (`in_order` makes it so for whole calls), because live, replay and backtest are equal
in log order.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

import msgspec

from ringfence.detection.alerts import Output
from ringfence.detection.lane import Lane
from ringfence.detection.rules import RuleSet
from ringfence.detection.views import VIEWS, View
from ringfence.telephony.columns import MAX_ROWS, batch_of, row_ref
from ringfence.telephony.control import ControlRecord
from ringfence.telephony.model import AccountRow, Kind
from ringfence.telephony.network_second import NetworkTotals
from ringfence.telephony.suspicion import Mode
from ringfence.telephony.views import row_in_view, views_of

REMEMBERED_MS: Final = 26 * 3_600_000
"""How long the text of a C2+ row can be asked for: the longest window and what the log itself holds."""
LIGHT_REMEMBERED_MS: Final = 15 * 60_000
"""The same for all other rows: windows over every call are of minutes."""
TICK_MS: Final = 1_000
LATE_TICKS: Final = 60
"""Ticks that stand for silence between two batches; a longer silence is crossed in steps of its own sixtieth."""


class Replay:
    """All views in one process. `mode` overrides the mode of every rule unless it is empty."""

    def __init__(
        self, rules: RuleSet, *, time_zone: str, mode: Mode | Literal[""] = "", control: Sequence[ControlRecord] = (), accounts: int = 0
    ) -> None:
        self.lanes: dict[View, Lane] = {
            view: Lane.fresh(rules, time_zone=time_zone, mode=mode, accounts=accounts if view == "account" else 0, view=view)
            for view in VIEWS
        }
        self._texts = {view: _Texts() for view in VIEWS}
        self._totals = NetworkTotals()
        self.control(control)

    @property
    def now_ms(self) -> int:
        """The event clock of the account view."""
        return self.lanes["account"].now_ms

    def control(self, records: Sequence[ControlRecord]) -> None:
        """Control records, where they stand, in every view."""
        for lane in self.lanes.values():
            lane.control(list(records))

    def feed(self, rows: Sequence[AccountRow]) -> Output:
        """Judge rows of the account view, ascending by event time; the slots of other views are derived."""
        output = Output()
        for start in range(0, len(rows), MAX_ROWS):
            self._feed(rows[start : start + MAX_ROWS], output)
        return output

    def finish(self, at_ms: int) -> Output:
        """Let time pass up to `at_ms`, so that what is silent ends."""
        output = Output()
        for view, lane in self.lanes.items():
            start = lane.now_ms
            step = max(TICK_MS, (at_ms - start) // LATE_TICKS) if start else TICK_MS
            for now_ms in (*range(start + step, at_ms, step), at_ms) if start else (at_ms,):
                output.add(lane.settle(lane.tick(now_ms), lane.position + 1, self._texts[view], closing=True))
        return output

    def _feed(self, rows: Sequence[AccountRow], output: Output) -> None:
        of_view: dict[str, list[AccountRow]] = {view: [] for view in VIEWS}
        for row in rows:
            self._totals.take(row)
            for view, key in views_of(row):
                of_view[view].append(row if view == "account" else row_in_view(row, key))
        for view, lane in self.lanes.items():
            chosen = of_view[view]
            sequence = lane.position + 1
            if view == "network":
                for second in self._totals.seconds(rows[-1].at_ms) if rows else ():
                    output.add(lane.settle(lane.second(second, sequence), sequence, self._texts[view], closing=False))
            elif chosen:
                self._texts[view].remember(sequence, chosen)
                output.add(lane.settle(lane.rows(batch_of(chosen), sequence), sequence, self._texts[view], closing=False))
            output.alerts.extend(lane.book.tick(lane.now_ms))


class _Texts:
    """Rows by reference, for as long as somebody may ask what they said."""

    def __init__(self) -> None:
        self._rows: dict[int, AccountRow] = {}
        self._heavy: deque[tuple[int, int]] = deque()
        self._light: deque[tuple[int, int]] = deque()

    def remember(self, sequence: int, rows: Sequence[AccountRow]) -> None:
        for place, row in enumerate(rows):
            ref = row_ref(sequence, place)
            self._rows[ref] = row
            (self._heavy if row.destination_class >= 2 else self._light).append((row.at_ms, ref))
        now_ms = rows[-1].at_ms
        for queue, kept_ms in ((self._heavy, REMEMBERED_MS), (self._light, LIGHT_REMEMBERED_MS)):
            while queue and queue[0][0] < now_ms - kept_ms:
                del self._rows[queue.popleft()[1]]

    def resolve(self, ref: int) -> AccountRow | None:
        return self._rows.get(ref)


def in_order(whole: Iterable[AccountRow], others: Iterable[AccountRow] = ()) -> Iterator[AccountRow]:
    """Whole calls (kind CALL, ascending by start) as the wire would have shown them, among other rows (ascending by event time).

    Each call becomes an ATTEMPT at its start, an ANSWER if there was one, and an END; an INBOUND row stands where its call ended.
    """
    calls = _Started(whole)
    yield from heapq.merge(calls, others, key=lambda row: row.at_ms)


class _Started:
    """Rows of whole calls in the order of time."""

    def __init__(self, whole: Iterable[AccountRow]) -> None:
        self._whole = whole

    def __iter__(self) -> Iterator[AccountRow]:
        waiting: list[tuple[int, int, AccountRow]] = []
        number = 0
        for call in self._whole:
            while waiting and waiting[0][0] <= call.started_ms:
                yield heapq.heappop(waiting)[2]
            if call.kind == Kind.INBOUND:
                number += 1
                end_ms = max(call.ended_ms, call.started_ms)
                heapq.heappush(waiting, (end_ms, number, msgspec.structs.replace(call, at_ms=end_ms)))
                continue
            started, *later = parts_of(call)
            yield started
            for row in later:
                number += 1
                heapq.heappush(waiting, (row.at_ms, number, row))
        while waiting:
            yield heapq.heappop(waiting)[2]


def parts_of(call: AccountRow) -> list[AccountRow]:
    """The rows that the wire would have shown of a whole call: ATTEMPT, ANSWER if there was one, END."""
    replace = msgspec.structs.replace
    end_ms = max(call.ended_ms, call.answered_ms, call.started_ms)
    rows = [replace(call, kind=int(Kind.ATTEMPT), at_ms=call.started_ms, received_ms=call.started_ms, answered_ms=0, ended_ms=0)]
    if call.answered_ms:
        rows.append(replace(call, kind=int(Kind.ANSWER), at_ms=call.answered_ms, received_ms=call.answered_ms, ended_ms=0))
    rows.append(replace(call, kind=int(Kind.END), at_ms=end_ms, received_ms=end_ms, ended_ms=end_ms))
    return rows
