"""A finished day's files become few: what the archivist wrote by the minute is merged, so that a question over weeks opens hundreds of
files and not tens of thousands.

The minutes of a lane are merged in groups that follow each other, each group into one file of every kind under one name. The name says
which times it covers, so a file that lies within a merged one is superseded by its name alone: readers pass it over, and a crash between
writing and removing leaves nothing twice and nothing missing. The one thing to know: rows are sorted by account in a merged file; their
place in the log is in their columns.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ringfence.archive import layout
from ringfence.archive.durable import sync_folder, write_durably
from ringfence.archive.layout import CONTROL, FOLDERS, FileName
from ringfence.archive.writer import put_table, read_position
from ringfence.base.errors import UnavailableError

MAX_ROWS = 500_000
"""Rows of a merged file at the most, all kinds together: what a merge or a replay holds in memory, some 300 MB."""
GROUP_ROWS = 65_536
"""Rows of a row group: a question for an account reads one or two of them in a file."""


class Compacted(NamedTuple):
    """What one call did."""

    before: int
    """Files that were merged."""
    after: int
    """Files they became."""


class _Minute(NamedTuple):
    """One write of the archivist, or what was merged before: its files by kind."""

    name: FileName
    files: dict[str, list[Path]]
    rows: int


def compact(folder: Path, *, today: date, view: str = "account", lane: int = 0) -> Iterator[Compacted]:
    """Merge the days of a lane before `today`, a group at a time; call it to its end, or stop after any group.

    UnavailableError when the disk refuses or a file cannot be read: what was merged stays, the rest stays as it is.
    """
    position = read_position(folder, view, lane)
    for day in sorted({day for kind in FOLDERS for day, _ in layout.days(folder, kind) if day < today}):
        minutes = _minutes(folder, day, view, lane, until_ms=position.at_ms)
        for group in _groups(minutes):
            yield _merge(folder, day, group)


def _minutes(folder: Path, day: date, view: str, lane: int, *, until_ms: int) -> list[_Minute]:
    """The archived minutes of a day in log order. Those within a merged one are put to it: a crash left them."""
    found: dict[FileName, dict[str, list[Path]]] = {}
    for kind in FOLDERS:
        parent = layout.day_folder(folder, kind, day)
        for path in sorted(parent.iterdir()) if parent.is_dir() else ():
            name = layout.parse_name(path.name)
            if name and (name.view, name.lane) == (view, lane) and name.at_ms <= until_ms:
                found.setdefault(name, {}).setdefault(kind, []).append(path)
    return [
        _Minute(name, files, sum(_rows(path) for paths in layout.effective(files).values() for path in paths))
        for name, files in layout.gathered(found)
    ]


def _rows(path: Path) -> int:
    try:
        return pq.read_metadata(path).num_rows
    except (OSError, pa.ArrowException) as refused:
        raise UnavailableError(f"{path.name} cannot be merged: {str(refused)[:200]}", reason="archive_unreadable") from None


def _groups(minutes: Iterable[_Minute]) -> Iterator[list[_Minute]]:
    """Minutes that follow each other in one log and fit together; a group of one only when a crash left it unfinished."""
    group: list[_Minute] = []
    rows = 0
    for minute in minutes:
        follows = group and minute.name.first > group[-1].name.last
        if group and not (follows and rows + minute.rows <= MAX_ROWS):
            yield from _worth_merging(group)
            group, rows = [], 0
        group.append(minute)
        rows += minute.rows
    yield from _worth_merging(group)


def _worth_merging(group: list[_Minute]) -> Iterator[list[_Minute]]:
    if len(group) > 1 or any(len(paths) > 1 or paths[0].name != group[0].name.text() for one in group for paths in one.files.values()):
        yield group


def _merge(folder: Path, day: date, group: Sequence[_Minute]) -> Compacted:
    """Write every kind's merged file, then remove what it supersedes."""
    first, last = group[0].name, group[-1].name
    name = FileName(first.view, first.lane, first.first, last.last, last.at_ms, first.since_ms)
    before = after = 0
    for kind in FOLDERS:
        sources = [path for minute in group for path in layout.effective(minute.files).get(kind, [])]
        everything = [path for minute in group for path in minute.files.get(kind, [])]
        if not sources:
            continue
        target = layout.day_folder(folder, kind, day) / name.text()
        if sources != [target]:
            write_durably(target, partial(put_table, _merged(kind, sources), row_group_rows=GROUP_ROWS))
        before, after = before + len(everything), after + 1
        try:
            for path in everything:
                if path != target:
                    path.unlink(missing_ok=True)
            sync_folder(target.parent)
        except OSError as refused:
            raise UnavailableError(f"{target.parent} cannot be cleared: {refused.strerror or refused}.", reason="disk") from refused
    return Compacted(before, after)


def _merged(kind: str, paths: Sequence[Path]) -> pa.Table:
    """The rows of all files: by account, then place in the log; control messages stay in log order."""
    try:
        tables = (pq.read_table(path, partitioning=None) for path in paths)
        table = pa.concat_tables([found if kind == CONTROL else layout.widened(found) for found in tables])
    except (OSError, pa.ArrowException) as refused:
        first = f"{paths[0].name} or one of the {len(paths) - 1} after it"
        raise UnavailableError(f"{first} cannot be merged: {str(refused)[:200]}", reason="archive_unreadable") from None
    columns = ("sequence",) if kind == CONTROL else ("account", "sequence", "row")
    return table.sort_by([(column, "ascending") for column in columns])
