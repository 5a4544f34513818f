"""What other limits of a built-in rule would have done in the last days: the kernel over the archive, on all accounts or a sample of them.

A sample is some of the 1,024 slots: whole accounts, so their windows are whole. Figures are those of the sample; `share` says of how much.
The one thing to know: rows are judged in order of the log, so the crossings are those of the live kernel under these limits.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ringfence.archive.selection import Condition, RowSelection
from ringfence.base.clock import Clock, monotonic_seconds
from ringfence.base.errors import OperatorError, UnavailableError
from ringfence.base.ids import SLOTS
from ringfence.detection.engine import Crossing, Engine
from ringfence.detection.layout import WINDOW_OF, Detector
from ringfence.detection.rules import RuleSet
from ringfence.telephony.columns import MAX_ROWS, RowBatch
from ringfence.telephony.control import AccountChanged
from ringfence.telephony.model import Kind
from ringfence.views.composed_preview import DAY_MS, MAX_DAYS

MAX_ROWS_HELD: Final = 3_000_000
"""Rows of one preview (about 350 MB); beyond, a smaller sample or fewer days."""
SECONDS: Final = 25.0

_COLUMNS: Final = (
    "kind",
    "at_ms",
    "account_key",
    "call_key",
    "range_key",
    "number_tail",
    "country",
    "destination_class",
    "rate",
    "connect_micro",
    "flags",
    "started_ms",
    "answered_ms",
    "ended_ms",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdPreview:
    """The figures of one rule under the limits tried. Money is micro-euro of calls to C2 and above."""

    rule: str
    from_ms: int
    to_ms: int
    rows: int
    share: float
    """Of all accounts, those that were looked at."""
    alerts: int
    critical: int
    accounts: int
    seen_micro: int
    caught_micro: int
    seconds: float


class ThresholdPreviews:
    """Previews over the archive folder; one at a time."""

    def __init__(self, selection: RowSelection, clock: Clock, *, time_zone: str) -> None:
        self._selection = selection
        self._clock = clock
        self._zone = time_zone
        self._one = asyncio.Semaphore(1)

    async def preview(
        self, rules: RuleSet, detector: Detector, accounts: Sequence[AccountChanged], *, days: int, slots: int
    ) -> ThresholdPreview:
        """One rule of a set over the last days, for the accounts of the first `slots` slots. UnavailableError when it takes too long."""
        if not 1 <= days <= MAX_DAYS or not 1 <= slots <= SLOTS:
            raise OperatorError(f"ask for 1 to {MAX_DAYS} days and 1 to {SLOTS} slots", reason="bad_span")
        to_ms = self._clock()
        async with self._one:
            return await asyncio.to_thread(
                self.preview_span, rules, detector, accounts, from_ms=to_ms - days * DAY_MS, to_ms=to_ms, slots=slots
            )

    def preview_span(
        self, rules: RuleSet, detector: Detector, accounts: Sequence[AccountChanged], *, from_ms: int, to_ms: int, slots: int
    ) -> ThresholdPreview:
        """The same over a span, in the caller's thread."""
        started = monotonic_seconds()
        logs, rows = self._rows(from_ms, to_ms, slots)
        crossings: list[Crossing] = []
        for log in np.unique(logs).tolist():
            engine = Engine(rules, time_zone=self._zone)
            for account in accounts:
                engine.control(account)
            places = np.flatnonzero(logs == log)
            for first in range(0, len(places), MAX_ROWS):
                chosen = places[first : first + MAX_ROWS]
                batch = RowBatch(len(chosen), {name: np.ascontiguousarray(column[chosen]) for name, column in rows.items()}, {})
                crossings += [crossing for crossing in engine.feed(batch, first // MAX_ROWS) if crossing.detector is detector]
                if monotonic_seconds() > started + SECONDS:
                    raise UnavailableError("The preview took too long; try a smaller sample or fewer days.", reason="preview_slow")
            crossings += [crossing for crossing in engine.tick(to_ms) if crossing.detector is detector]
        alerts, critical = _episodes(crossings, WINDOW_OF[detector])
        first_ms: dict[int, int] = {}
        for crossing in sorted(crossings, key=lambda one: one.at_ms):
            first_ms.setdefault(crossing.account_key, crossing.at_ms)
        spent = self._selection.spent(first_ms, from_ms=from_ms, to_ms=to_ms).values()
        return ThresholdPreview(
            rule=detector.name,
            from_ms=from_ms,
            to_ms=to_ms,
            rows=len(logs),
            share=slots / SLOTS,
            alerts=alerts,
            critical=critical,
            accounts=len(first_ms),
            seen_micro=sum(one.all_micro for one in spent),
            caught_micro=sum(one.after_micro for one in spent),
            seconds=monotonic_seconds() - started,
        )

    def _rows(self, from_ms: int, to_ms: int, slots: int) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """Which log each row is of, and the columns, in order of the log."""
        conditions = [
            Condition("kind", "between", low=int(Kind.ATTEMPT), high=int(Kind.CALL)),
            Condition("slot", "between", high=slots - 1),
        ]
        logs, refs, batches, held = [], [], [], 0
        for lane, log, places, batch in self._selection.rows("calls", conditions, numeric=_COLUMNS, from_ms=from_ms, to_ms=to_ms):
            held += batch.length
            if held > MAX_ROWS_HELD:
                raise OperatorError(f"more than {MAX_ROWS_HELD:,} rows; try a smaller sample or fewer days", reason="sample_large")
            logs.append(np.full(batch.length, lane * 1_000_000 + log, np.int64))
            refs.append(places)
            batches.append(batch)
        if not batches:
            return np.zeros(0, np.int64), {}
        all_logs, all_refs = np.concatenate(logs), np.concatenate(refs)
        order = np.lexsort((all_refs, all_logs))
        return all_logs[order], {name: np.concatenate([batch.numeric[name] for batch in batches])[order] for name in _COLUMNS}


def _episodes(crossings: Sequence[Crossing], window_ms: int) -> tuple[int, int]:
    """Alerts as episodes, and those that became critical."""
    last: dict[tuple[int, bool], tuple[int, bool]] = {}
    alerts = critical = 0
    for crossing in crossings:
        key = (crossing.account_key, crossing.unkeyed)
        until_ms, was_critical = last.get(key, (0, False))
        if key not in last or crossing.at_ms >= until_ms:
            alerts, was_critical = alerts + 1, False
        if crossing.level >= 2 and not was_critical:
            critical, was_critical = critical + 1, True
        last[key] = (max(until_ms, crossing.at_ms + window_ms), was_critical)
    return alerts, critical
