"""Secrets on disk."""

import stat
from pathlib import Path

import pytest

from ringfence.base.errors import OperatorError
from ringfence.runtime.keys import ensure_key, read_key


def test_a_key_is_made_once_and_for_nobody_else(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "hash.key"
    assert ensure_key(file)
    secret = read_key(file).open()
    assert len(secret) == 32
    assert not ensure_key(file)
    assert read_key(file).open() == secret
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["hash.key"]


@pytest.mark.parametrize(
    ("content", "mode", "sentence"), [("", 0o600, "must hold"), ("x" * 5000, 0o600, "must hold"), ("x", 0o640, "chmod 600")]
)
def test_a_key_that_cannot_be_trusted_is_refused(tmp_path: Path, content: str, mode: int, sentence: str) -> None:
    file = tmp_path / "a.key"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(OperatorError, match=sentence):
        read_key(file)


def test_a_missing_key_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="run `ringfence up` once"):
        read_key(tmp_path / "none.key")


def test_a_folder_that_cannot_be_written_is_the_operators_matter(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match="cannot be written"):
        ensure_key(tmp_path / "file" / "a.key")
