"""What accounts spend on C2+ calls: a small file a day, and from twelve weeks of them what is ordinary for each account.

A day is the operator's own, local one; it is added up once, when it is over, so a night's work reads one day of calls and not a quarter of
a year. Statistics are robust (median, and median absolute deviation) and sparse: most accounts spend nothing in most hours, and nothing is
kept for those. The one thing to know: a quarter of an hour without a call counts as zero, so an hour's median is above zero only for an
account that calls in that hour more often than not.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from ringfence.archive import layout
from ringfence.archive.database import open_database
from ringfence.archive.durable import make_folder, write_durably
from ringfence.archive.layout import CALLS
from ringfence.archive.writer import put_table
from ringfence.base.errors import UnavailableError
from ringfence.base.ids import SLOTS
from ringfence.telephony.control import AccountBaseline
from ringfence.telephony.model import Flag, Kind

SPENDING: Final = "spending"
WEEKS: Final = 12
MONTHS: Final = 6
KEPT_DAYS: Final = 220
"""Six billing months, the running one, and some."""
GROUP_SLOTS: Final = 64
"""Slots whose accounts are looked at together; bounds the memory."""
MEMORY_BYTES: Final = 1024 * 1024 * 1024

QUARTER_MS: Final = 900_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
DEAR_CLASS: Final = 4
_MARGIN_HOURS: Final = 24
"""A call that ends on a day may have begun on the one before."""

_DAY_SQL = f"""
WITH whole AS (
    SELECT account_key, any_value(slot) AS slot, max(answered_ms) AS answered, max(ended_ms) AS ended, max(rate) AS rate,
        max(connect_micro) AS connect, max(destination_class) AS class, max(country) AS country
    FROM read_parquet($files)
    WHERE kind IN ({int(Kind.END)}, {int(Kind.CALL)}) AND answered_ms > 0 AND ended_ms >= $from_ms AND ended_ms < $to_ms
        AND destination_class >= 2 AND account_key <> 0 AND (flags & {int(Flag.UNKEYED)}) = 0
    GROUP BY account_key, call_key
), pieces AS (
    SELECT account_key, slot, class, country, answered, ended, rate, connect,
        unnest(range(answered // {QUARTER_MS}, greatest(ended - 1, answered) // {QUARTER_MS} + 1)) AS q
    FROM whole WHERE ended - answered <= {DAY_MS}
)
SELECT account_key, slot, ($hours)[(q * {QUARTER_MS} - $from_ms + {_MARGIN_HOURS * HOUR_MS}) // {HOUR_MS} + 1] AS hour_of_week,
    (q % 4)::TINYINT AS quarter, $day::INTEGER AS day,
    sum(rate * greatest(least(ended, (q + 1) * {QUARTER_MS}) - greatest(answered, q * {QUARTER_MS}), 0) // 60000
        + CASE WHEN q = answered // {QUARTER_MS} THEN connect ELSE 0 END)::BIGINT AS micro,
    list_sort(list_distinct(list(country) FILTER (class >= {DEAR_CLASS} AND country > 0)))::USMALLINT[] AS lands
FROM pieces GROUP BY ALL ORDER BY slot, account_key
"""  # noqa: S608 - numbers of ours only

_BINS_SQL = """
SELECT account_key, hour_of_week, list_sort(list(micro)) FROM read_parquet($files)
WHERE slot BETWEEN $low AND $high AND day >= $since AND micro > 0 GROUP BY ALL HAVING count(*) * 2 > $samples
"""
_DAYS_SQL = """
SELECT account_key, list_sort(list(micro)) FROM (
    SELECT account_key, day, sum(micro)::BIGINT AS micro FROM read_parquet($files)
    WHERE slot BETWEEN $low AND $high AND day >= $since GROUP BY ALL
) WHERE micro > 0 GROUP BY account_key HAVING count(*) * 2 > $samples
"""
_MONTHS_SQL = """
SELECT account_key, any_value(slot), coalesce(sum(micro) FILTER (month = $month), 0)::BIGINT,
    coalesce(max(micro) FILTER (month < $month AND month >= $oldest), 0)::BIGINT, list_sort(list_distinct(flatten(list(lands))))
FROM (
    SELECT account_key, any_value(slot) AS slot, ($months)[day - $first + 1] AS month, sum(micro)::BIGINT AS micro,
        flatten(list(coalesce(lands, []))) AS lands
    FROM read_parquet($files) WHERE slot BETWEEN $low AND $high GROUP BY ALL
) GROUP BY account_key
"""


class History(NamedTuple):
    """The span that baselines tell of. Times in Unix milliseconds."""

    since_ms: int
    month_ms: int
    until_ms: int


class SlotBaselines(NamedTuple):
    """What is ordinary for the accounts of one slot, ascending by key."""

    slot: int
    accounts: tuple[AccountBaseline, ...]


def midnight_ms(day: date, zone: ZoneInfo) -> int:
    """When a local day begins."""
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)


def local_day(at_ms: int, zone: ZoneInfo) -> date:
    """The local day of an instant."""
    return datetime.fromtimestamp(at_ms / 1000, zone).date()


class Spending:
    """The daily files below an archive folder. One writer; a question needs at most `MEMORY_BYTES`."""

    def __init__(self, folder: Path, *, zone: ZoneInfo) -> None:
        self._folder = folder.resolve()
        self._zone = zone
        self._database: duckdb.DuckDBPyConnection | None = None

    def close(self) -> None:
        """Let go of memory and files."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def missing(self, today: date) -> list[date]:
        """Whole local days before `today` that the archive has calls of and that were not added up yet, oldest first."""
        archived = [day for day, _ in layout.days(self._folder, CALLS)]
        if not archived:
            return []
        first = max(archived[0], today - timedelta(days=KEPT_DAYS))
        done = set(self._files())
        return [day for day in (first + timedelta(days=n) for n in range((today - first).days)) if day not in done]

    def add_day(self, day: date) -> int:
        """Add a whole day up; the number of quarter hours with spend. UnavailableError when files cannot be read or written."""
        from_ms, to_ms = midnight_ms(day, self._zone), midnight_ms(day + timedelta(days=1), self._zone)
        files = [str(path) for path in layout.files(self._folder, CALLS, from_ms=from_ms, to_ms=to_ms)]
        table = None
        if files:
            values = {"files": files, "from_ms": from_ms, "to_ms": to_ms, "hours": _hours(from_ms, self._zone), "day": _number(day)}
            table = self._table(_DAY_SQL, values)
        path = self._path(day)
        make_folder(path.parent)
        write_durably(path, partial(put_table, table) if table is not None else _put_nothing)
        return 0 if table is None else int(table.num_rows)

    def expire(self, today: date) -> None:
        """Remove days that no baseline looks at any more."""
        for day, path in self._files().items():
            if day < today - timedelta(days=KEPT_DAYS):
                path.unlink()

    def history(self, today: date) -> History | None:
        """The span of `baselines`; None before the first day was added up."""
        days = [day for day in self._files() if day < today]
        if not days:
            return None
        return History(
            since_ms=midnight_ms(max(min(days), today - timedelta(weeks=WEEKS)), self._zone),
            month_ms=midnight_ms(today.replace(day=1), self._zone),
            until_ms=midnight_ms(today, self._zone),
        )

    def baselines(self, today: date) -> Iterator[SlotBaselines]:
        """Every slot with its accounts, from all whole days before `today`; slots without any account come empty."""
        files = {day: path for day, path in self._files().items() if day < today}
        if not files:
            return
        since = max(min(files), today - timedelta(weeks=WEEKS))
        first = min(files)
        values: dict[str, Any] = {
            "files": [str(path) for path in files.values() if path.stat().st_size],
            "since": _number(since),
            "first": _number(first),
            "months": [_month(first + timedelta(days=n)) for n in range((today - first).days)],
            "month": _month(today),
            "oldest": _month(today) - MONTHS,
        }
        span_days = (today - since).days
        for low in range(0, SLOTS, GROUP_SLOTS):
            yield from self._group(values | {"low": low, "high": low + GROUP_SLOTS - 1}, span_days)

    def _group(self, values: dict[str, Any], span_days: int) -> Iterator[SlotBaselines]:
        accounts: dict[int, list[AccountBaseline]] = {slot: [] for slot in range(values["low"], values["high"] + 1)}
        if values["files"]:
            quarters = 4 * (span_days // 7)
            bins: dict[int, list[tuple[int, int, int]]] = {}
            for key, hour, spent in self._rows(_BINS_SQL, values | {"samples": quarters}):
                bins.setdefault(key, []).append((hour, *median_and_mad(spent, max(quarters, len(spent)))))
            daily = {key: median_and_mad(spent, span_days) for key, spent in self._rows(_DAYS_SQL, values | {"samples": span_days})}
            for key, slot, month, highest, lands in self._rows(_MONTHS_SQL, values):
                median, mad = daily.get(key, (0, 0))
                accounts[slot].append(
                    AccountBaseline(
                        account_key=key,
                        month_micro=month,
                        highest_month_micro=highest,
                        day_median_micro=median,
                        day_mad_micro=mad,
                        countries=tuple(lands),
                        bins=tuple(sorted(bins.get(key, ()))),
                    )
                )
        for slot, found in accounts.items():
            yield SlotBaselines(slot, tuple(sorted(found, key=lambda account: account.account_key)))

    def _files(self) -> dict[date, Path]:
        parent = self._folder / SPENDING
        found = sorted(parent.glob("????-??-??.parquet")) if parent.is_dir() else []
        return {date.fromisoformat(path.stem): path for path in found}

    def _path(self, day: date) -> Path:
        return self._folder / SPENDING / f"{day.isoformat()}.parquet"

    def _rows(self, question: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        columns = self._table(question, values).to_pydict()
        return list(zip(*columns.values(), strict=True))

    def _table(self, question: str, values: dict[str, Any]) -> "pa.Table":
        named = {name: value for name, value in values.items() if f"${name}" in question}
        if self._database is None:
            self._database = self._open()
        try:
            table: pa.Table = self._database.sql(question, params=named).to_arrow_table()
        except duckdb.Error as refused:
            raise UnavailableError(f"What accounts spend cannot be added up: {str(refused)[:200]}", reason="archive_unreadable") from None
        return table

    def _open(self) -> "duckdb.DuckDBPyConnection":
        """A database without reach beyond the folder. It may spill there: a night's work is allowed to be slow, not to fail."""
        scratch = self._folder / SPENDING / "scratch"
        make_folder(scratch.parent)
        make_folder(scratch)
        return open_database(self._folder, memory_bytes=MEMORY_BYTES, threads=1, scratch=scratch)


def median_and_mad(spent: Sequence[int], samples: int) -> tuple[int, int]:
    """Median and median absolute deviation of `samples` values of which all but `spent` (ascending) are zero; lower medians."""
    values = [0] * (samples - len(spent)) + list(spent)
    middle = (len(values) - 1) // 2
    median = values[middle]
    return median, sorted(abs(value - median) for value in values)[middle]


def _put_nothing(_file: BinaryIO) -> None:
    """A day without calls is a day that was added up: an empty file says so."""


def _hours(from_ms: int, zone: ZoneInfo) -> list[int]:
    """Hour of the local week of each hour from a day before `from_ms` on, through nights that have 23 or 25."""
    found = []
    for hour in range(-_MARGIN_HOURS, 2 * _MARGIN_HOURS + 2):
        local = datetime.fromtimestamp((from_ms + hour * HOUR_MS) / 1000, UTC).astimezone(zone)
        found.append(local.weekday() * 24 + local.hour)
    return found


def _number(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def _month(day: date) -> int:
    return day.year * 12 + day.month
