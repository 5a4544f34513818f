"""Files that are whole or not there: the order of sync and rename, and a death in the middle of a write."""

import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from ringfence.archive.durable import make_folder, remove_unfinished, write_durably
from ringfence.base.errors import UnavailableError


class Put:
    """Writes one content."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __call__(self, file: BinaryIO) -> None:
        file.write(self.content)


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    """The new file is another inode, so who has the old one open goes on reading the old one."""
    path = tmp_path / "x"
    write_durably(path, Put(b"old"))
    with path.open("rb") as open_before:
        write_durably(path, Put(b"new and longer"))
        assert open_before.read() == b"old"
    assert path.read_bytes() == b"new and longer"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_synced_before_the_rename_and_the_folder_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    sync, replace = os.fsync, Path.replace

    def noted_sync(descriptor: int) -> None:
        order.append("folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file")
        sync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        order.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_durably(tmp_path / "x", Put(b"x"))
    assert order == ["file", "rename", "folder"]


DIES = """
import os, signal, sys
from pathlib import Path
from ringfence.archive.durable import write_durably
def half(file):
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
write_durably(Path(sys.argv[1]), half)
"""


def test_a_death_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x"
    make_folder(path.parent)
    write_durably(path, Put(b"old"))
    died = subprocess.run([sys.executable, "-c", DIES, str(path)], check=False)
    assert died.returncode == -9
    assert path.read_bytes() == b"old"
    assert len(list(path.parent.iterdir())) == 2
    assert remove_unfinished(tmp_path) == 1
    assert list(path.parent.iterdir()) == [path]


def test_a_disk_that_refuses_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_durably(path, Put(b"old"))

    def full(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(UnavailableError, match="x cannot be written: No space left on device"):
        write_durably(path, full)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(UnavailableError):
        make_folder(path / "below a file")
