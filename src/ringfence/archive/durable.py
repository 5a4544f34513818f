"""Files that are whole or not there, whatever dies in the middle.

Written beside their place under a name that starts with a dot, synced, renamed, and the folder synced: only then has it happened.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ringfence.base.errors import UnavailableError

UNFINISHED = ".unfinished"
"""Suffix of a file that is being written. One that is found at the start is what a crash left, and is removed."""


def write_durably(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Create or replace `path` with what `write` puts into the file. UnavailableError when the disk refuses; the old file stays then."""
    unfinished = path.with_name(f".{path.name}{UNFINISHED}")
    try:
        with unfinished.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        sync_folder(path.parent)
    except OSError as refused:
        unfinished.unlink(missing_ok=True)
        raise UnavailableError(f"{path.name} cannot be written: {refused.strerror or refused}.", reason="disk") from refused


def make_folder(path: Path) -> None:
    """Create a folder and those above it so that they survive a crash. UnavailableError when that is refused."""
    if path.is_dir():
        return
    make_folder(path.parent)
    try:
        path.mkdir(exist_ok=True)
        sync_folder(path.parent)
    except OSError as refused:
        raise UnavailableError(f"{path} cannot be created: {refused.strerror or refused}.", reason="disk") from refused


def sync_folder(path: Path) -> None:
    """Make renames and removals in a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished(folder: Path) -> int:
    """Remove what a crash left in a folder and below; the number of files."""
    left = [path for path in folder.rglob(f".*{UNFINISHED}") if path.is_file()]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)
