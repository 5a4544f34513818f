"""What the archive would know when traffic is judged: the days before the first one, then each judged day, night by night.

The product's own sums make the baselines: calls go through the archive writer, `Spending` adds a day up when it is over, and detectors are
told of every slot at three in the morning. The one thing to know: only answered C2+ calls are kept, because nothing else is spent.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from ringfence.archive import batches
from ringfence.archive.spending import Spending, local_day
from ringfence.archive.writer import ArchiveWriter, LogEntry
from ringfence.telephony.columns import MAX_ROWS, TEXT, RowBatch, joined
from ringfence.telephony.control import BaselinesChanged
from ringfence.telephony.model import Kind

NIGHT_HOUR: Final = 3
"""Local hour at which the worker begins to add up the day before."""


class History:
    """An archive of its own in a folder that is removed by whoever made it."""

    def __init__(self, folder: Path, *, time_zone: str) -> None:
        self._zone = ZoneInfo(time_zone)
        self._writer = ArchiveWriter(folder)
        self._spending = Spending(folder, zone=self._zone)
        self._waiting: list[RowBatch] = []
        self._sequence = 0
        self._next_ms = 0

    def close(self) -> None:
        """Let go of memory and files."""
        self._spending.close()

    def begin(self, pieces: Iterable[RowBatch], since_ms: Mapping[int, int]) -> None:
        """Whole calls of the time before, by time; without those before an account's contract began (`since_ms` by key)."""
        keys = np.array(sorted(since_ms), np.int64)
        since = np.array([since_ms[key] for key in keys.tolist()], np.int64)
        for piece in pieces:
            spent = _numbers(piece, _spent(piece, Kind.CALL))
            place = np.minimum(np.searchsorted(keys, spent.numeric["account_key"]), len(keys) - 1)
            known = (keys[place] == spent.numeric["account_key"]) & (since[place] <= spent.numeric["started_ms"])
            self._waiting.append(_numbers(spent, np.flatnonzero(known)))
            self._write()

    def take(self, rows: RowBatch, kind: Kind) -> None:
        """Calls that are over: rows of this kind."""
        spent = _spent(rows, kind)
        if len(spent):
            self._waiting.append(_numbers(rows, spent))

    def night(self, now_ms: int) -> list[BaselinesChanged]:
        """What detectors are told when a night has passed since the last time, else nothing."""
        if now_ms < self._next_ms:
            return []
        today = local_day(now_ms - NIGHT_HOUR * 3_600_000, self._zone)
        self._next_ms = _night_of(today + timedelta(days=1), self._zone)
        self._write()
        for day in self._spending.missing(today):
            self._spending.add_day(day)
        history = self._spending.history(today)
        if history is None:
            return []
        return [
            BaselinesChanged(
                version=today.toordinal(),
                slot=slot.slot,
                since_ms=history.since_ms,
                month_ms=history.month_ms,
                until_ms=history.until_ms,
                accounts=slot.accounts,
            )
            for slot in self._spending.baselines(today)
        ]

    def _write(self) -> None:
        if not sum(rows.length for rows in self._waiting):
            return
        rows, entries = joined(self._waiting), []
        at_ms = int(rows.numeric["ended_ms"].min())  # The archive's day that the sums look for them in.
        for start in range(0, rows.length, MAX_ROWS):
            self._sequence += 1
            part = _numbers(rows, np.arange(start, min(start + MAX_ROWS, rows.length)))
            entries.append(LogEntry(self._sequence, at_ms, "rows", batches.encode(part)))
        self._writer.write(entries)
        self._waiting.clear()


def _spent(rows: RowBatch, kind: Kind) -> NDArray[np.intp]:
    numeric = rows.numeric
    return np.flatnonzero((numeric["kind"] == kind) & (numeric["destination_class"] >= 2) & (numeric["answered_ms"] > 0))


def _numbers(rows: RowBatch, places: NDArray[np.intp]) -> RowBatch:
    """Rows without their texts, which no sum looks at."""
    blank = [""] * len(places)
    return RowBatch(len(places), {name: column[places] for name, column in rows.numeric.items()}, dict.fromkeys(TEXT, blank))


def _night_of(day: date, zone: ZoneInfo) -> int:
    """When a day's night work begins."""
    return int(datetime(day.year, day.month, day.day, NIGHT_HOUR, tzinfo=zone).timestamp() * 1000)
