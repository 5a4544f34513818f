"""Days leave the archive whole; the newest stays."""

from datetime import date
from pathlib import Path

import pytest

from ringfence.archive import layout
from ringfence.archive.retention import expire
from ringfence.base.errors import UnavailableError

TODAY = date(2025, 11, 22)


def fill(folder: Path, kind: str, *days: str) -> None:
    for day in days:
        path = folder / kind / f"day={day}"
        path.mkdir(parents=True)
        (path / "account-0-0000000000000001-0000000000000002-1763769600000.parquet").write_bytes(b"x")


def test_days_before_the_last_ninety_go(tmp_path: Path) -> None:
    fill(tmp_path, "calls", "2025-08-23", "2025-08-24", "2025-08-25", "2025-11-22")
    fill(tmp_path, "registrations", "2025-01-01", "2025-11-21")
    (tmp_path / "calls" / "notes").mkdir()
    gone = expire(tmp_path, keep_days=90, today=TODAY)
    assert [path.relative_to(tmp_path).as_posix() for path in gone] == ["calls/day=2025-08-23", "registrations/day=2025-01-01"]
    assert sorted(path.name for path in (tmp_path / "calls").iterdir()) == ["day=2025-08-24", "day=2025-08-25", "day=2025-11-22", "notes"]
    assert expire(tmp_path, keep_days=90, today=TODAY) == []


def test_the_newest_day_stays_whatever_the_clock_says(tmp_path: Path) -> None:
    fill(tmp_path, "calls", "2025-11-20", "2025-11-21")
    expire(tmp_path, keep_days=1, today=date(2099, 1, 1))
    assert [day for day, _ in layout.days(tmp_path, "calls")] == [date(2025, 11, 21)]


def test_what_a_crash_left_of_a_removal_goes_with_the_next(tmp_path: Path) -> None:
    fill(tmp_path, "calls", "2025-01-01", "2025-11-22")
    half = tmp_path / "calls" / ".day=2024-12-31.unfinished"
    half.mkdir()
    (half / "left").write_bytes(b"x")
    expire(tmp_path, keep_days=90, today=TODAY)
    assert [path.name for path in (tmp_path / "calls").iterdir()] == ["day=2025-11-22"]


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    fill(tmp_path, "calls", "2025-01-01", "2025-11-22")
    (tmp_path / "calls" / ".day=2025-01-01.unfinished").write_bytes(b"a file in the way")
    with pytest.raises(UnavailableError, match="cannot be removed"):
        expire(tmp_path, keep_days=90, today=TODAY)
    with pytest.raises(ValueError, match="at least one day"):
        expire(tmp_path, keep_days=0, today=TODAY)
