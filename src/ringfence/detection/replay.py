"""Traffic that is over, judged as it would have been live: every view of the log, in the order of time, without a bus.

Backtests, previews and benches give it rows; what comes out is what the detectors would have published, with the same ids. The one thing to
know: rows must come in the order of their event times (`in_order` makes it so for whole calls), because live, replay and backtest are equal
in log order.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

import numpy as np

from ringfence.detection.alerts import Output
from ringfence.detection.lane import Lane
from ringfence.detection.rules import RuleSet
from ringfence.detection.views import VIEWS, View
from ringfence.telephony.columns import MAX_ROWS, NUMERIC, TEXT, RowBatch, joined, split_ref, take
from ringfence.telephony.control import ControlRecord
from ringfence.telephony.model import AccountRow, Kind
from ringfence.telephony.network_second import NetworkTotals
from ringfence.telephony.suspicion import Mode
from ringfence.telephony.views import ViewRows, batch_in_view, row_in_view, rows_in

REMEMBERED_MS: Final = 26 * 3_600_000
"""How long the text of a row can be asked for: the longest window and what the log itself holds."""
TICK_MS: Final = 1_000
PORTION_MS: Final = 10_000
"""The network view is told this often, not every second, and only of C4+ calls, which its rules are about."""
DEAR_CLASS: Final = 4
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
        self._totals = NetworkTotals()
        self._next_ms = 0
        self._texts = {view: _Texts() for view in VIEWS}
        self.control(control)

    @property
    def now_ms(self) -> int:
        """The event clock of the account view."""
        return self.lanes["account"].now_ms

    def control(self, records: Sequence[ControlRecord]) -> None:
        """Control records, where they stand, in every view."""
        for lane in self.lanes.values():
            lane.control(list(records))

    def feed(self, batch: RowBatch) -> Output:
        """Judge up to `MAX_ROWS` rows of the account view, ascending by event time; the rows of other views are derived."""
        output = Output()
        if not batch.length:
            return output
        for view, lane in self.lanes.items():
            sequence = lane.position + 1
            if view == "network":
                self._count(batch, lane, output)
                continue
            rows = batch if view == "account" else batch_in_view(view, batch)
            if rows.length:
                self._texts[view].remember(sequence, batch, None if view == "account" else rows_in(view, batch))
                output.add(lane.settle(lane.rows(rows, sequence), sequence, self._texts[view], closing=False))
            output.alerts.extend(lane.book.tick(lane.now_ms))
        return output

    def _count(self, batch: RowBatch, lane: Lane, output: Output) -> None:
        numeric = batch.numeric
        dear = (numeric["destination_class"] >= DEAR_CLASS) & (numeric["kind"] <= Kind.END)
        for place in np.flatnonzero(dear).tolist():
            row = batch.row(place)
            self._pass(row.at_ms, lane, output)
            self._totals.take(row)
        self._pass(int(numeric["at_ms"][-1]), lane, output)

    def _pass(self, at_ms: int, lane: Lane, output: Output) -> None:
        """Close the portions of time that end up to `at_ms`."""
        if not self._next_ms:
            self._next_ms = at_ms // PORTION_MS * PORTION_MS + PORTION_MS
        while self._next_ms <= at_ms:
            for second in self._totals.seconds(self._next_ms):
                output.add(lane.settle(lane.second(second, lane.position + 1), lane.position + 1, self._texts["network"], closing=False))
            self._next_ms += PORTION_MS

    def finish(self, at_ms: int) -> Output:
        """Let time pass up to `at_ms`, so that what is silent ends."""
        output = Output()
        for view, lane in self.lanes.items():
            start = lane.now_ms
            step = max(TICK_MS, (at_ms - start) // LATE_TICKS) if start else TICK_MS
            for now_ms in (*range(start + step, at_ms, step), at_ms) if start else (at_ms,):
                output.add(lane.settle(lane.tick(now_ms), lane.position + 1, self._texts[view], closing=True))
        return output


class _Texts:
    """Rows by reference, for as long as somebody may ask what they said.

    The rows of a view are kept as places in the batch of the account view, which is there anyway, not as copies.
    """

    def __init__(self) -> None:
        self._batches: dict[int, tuple[RowBatch, ViewRows | None]] = {}
        self._order: deque[tuple[int, int]] = deque()

    def remember(self, sequence: int, batch: RowBatch, held: ViewRows | None) -> None:
        """Keep the rows of a message: all of a batch, or those that a view holds."""
        self._batches[sequence] = batch, held
        now_ms = int(batch.numeric["at_ms"][-1])
        self._order.append((now_ms, sequence))
        while self._order[0][0] < now_ms - REMEMBERED_MS:
            del self._batches[self._order.popleft()[1]]

    def resolve(self, ref: int) -> AccountRow | None:
        """The row, as its view holds it; None when it is too old."""
        sequence, place = split_ref(ref)
        if sequence not in self._batches:
            return None
        batch, held = self._batches[sequence]
        return batch.row(place) if held is None else row_in_view(batch.row(int(held.places[place])), int(held.keys[place]))


def in_order(pieces: Iterable[RowBatch]) -> Iterator[RowBatch]:
    """Whole calls and other rows, in pieces that follow each other in time, as batches in the order in which the wire showed them.

    Each call (kind CALL) becomes an ATTEMPT at its start, an ANSWER if there was one, and an END; an INBOUND row stands where its call
    ended. Rows of one piece may have any order, but none may begin before the end of the piece before it by more than what it waits for.
    """
    waiting: RowBatch | None = None
    for piece in pieces:
        if not piece.length:
            continue
        first_ms = int(piece.numeric["at_ms"].min())
        shown = _shown(piece)
        if waiting is not None:
            over = int(np.searchsorted(waiting.numeric["at_ms"], first_ms, "right"))
            yield from _cut(waiting, over)
            rest = take(waiting, np.arange(over, waiting.length))
            shown = _sorted(joined([rest, shown]))
        waiting = shown
    if waiting is not None:
        yield from _cut(waiting, waiting.length)


def _shown(piece: RowBatch) -> RowBatch:
    """Rows of whole calls by their moments, and all other rows, by event time."""
    kind, at = piece.numeric["kind"], piece.numeric["at_ms"]
    started, answered, ended = (piece.numeric[name] for name in ("started_ms", "answered_ms", "ended_ms"))
    calls = np.flatnonzero(kind == Kind.CALL)
    talked = calls[answered[calls] > 0]
    others = np.flatnonzero(kind != Kind.CALL)
    inbound = kind[others] == Kind.INBOUND
    over = np.maximum(ended, np.maximum(started, answered))
    places = np.concatenate((calls, talked, calls, others))
    moments = (started[calls], answered[talked], over[calls], np.where(inbound, over[others], at[others]))
    kinds = [np.full(len(part), value, "u1") for part, value in ((calls, Kind.ATTEMPT), (talked, Kind.ANSWER), (calls, Kind.END))]
    rows = take(piece, places)
    numeric = dict(rows.numeric)
    numeric["kind"] = np.concatenate((*kinds, kind[others]))
    numeric["at_ms"] = numeric["received_ms"] = np.concatenate(moments)
    attempts, answers = len(calls), len(talked)
    numeric["answered_ms"][:attempts] = 0
    numeric["ended_ms"][: attempts + answers] = 0
    numeric["ended_ms"][attempts + answers : 2 * attempts + answers] = over[calls]
    return _sorted(RowBatch(rows.length, numeric, rows.text))


def _sorted(rows: RowBatch) -> RowBatch:
    # Rows of one moment and one call: the attempt before the answer before the end, which is how they stand.
    return take(rows, np.argsort(rows.numeric["at_ms"], kind="stable"))


def _cut(rows: RowBatch, until: int) -> Iterator[RowBatch]:
    """The first rows in batches that look into the same columns: whoever keeps them keeps no copies."""
    for start in range(0, until, MAX_ROWS):
        part = slice(start, min(start + MAX_ROWS, until))
        numeric = {name: rows.numeric[name][part] for name, _ in NUMERIC}
        yield RowBatch(part.stop - part.start, numeric, {name: rows.text[name][part] for name in TEXT})
