"""What is too old leaves the archive, a whole day at a time.

The newest day of each kind stays, however old it is: a clock that is wrong by a year must not empty the archive.
"""

import shutil
from datetime import date, timedelta
from pathlib import Path

from ringfence.archive import layout
from ringfence.archive.durable import UNFINISHED, sync_folder
from ringfence.base.errors import UnavailableError


def expire(folder: Path, *, keep_days: int, today: date) -> list[Path]:
    """Remove the days before the last `keep_days`; the folders that went. UnavailableError when the disk refuses; call again then."""
    if keep_days < 1:
        raise ValueError("at least one day is kept")
    oldest = today - timedelta(days=keep_days)
    gone: list[Path] = []
    for kind in layout.FOLDERS:
        for day, path in layout.days(folder, kind)[:-1]:
            if day < oldest:
                _remove(path)
                gone.append(path)
    return gone


def _remove(path: Path) -> None:
    """The folder is renamed first, so that a crash leaves a whole day or none; what is left of it goes with the next removal."""
    leaving = path.with_name(f".{path.name}{UNFINISHED}")
    try:
        for left in path.parent.glob(f".day=*{UNFINISHED}"):
            shutil.rmtree(left)
        path.rename(leaving)
        sync_folder(path.parent)
        shutil.rmtree(leaving)
    except OSError as refused:
        raise UnavailableError(f"{path} cannot be removed: {refused.strerror or refused}.", reason="disk") from refused
