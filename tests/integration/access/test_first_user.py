"""`ringfence user add`: the first administrator on the machine itself, shown on a terminal only."""

import asyncio
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from ringfence.access.service import AccessService
from ringfence.base.secret import Secret
from ringfence.runtime.db import Database

PROGRAM = "from ringfence.apps.cli.user import app; from ringfence.base.errors import RingfenceError\nimport sys\ntry:\n    app()\nexcept RingfenceError as error:\n    sys.exit(str(error))"


def call(folder: Path, *arguments: str) -> tuple[int, str]:
    """The command on a terminal of its own; exit code and what it showed."""
    master, slave = pty.openpty()
    process = subprocess.Popen((sys.executable, "-c", PROGRAM, *arguments, "--data-dir", folder), stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 4096):
            shown += chunk
    except OSError:  # The other end is closed.
        pass
    os.close(master)
    return process.wait(30), shown.decode()


def test_first_user_is_made_once_and_may_sign_in(database_url: str, tmp_path: Path) -> None:
    tmp_path.joinpath("ringfence.toml").write_text(f'database_url = "{database_url}"\n')
    code, shown = call(tmp_path, "add", "anna")
    assert code == 0, shown
    found = re.search(r"anna may sign in with the one-time password (\w{20}) ", shown)
    assert found, shown

    async def sign_in() -> None:
        async with Database(database_url, name="test") as db:
            session = await AccessService(db).authenticate("anna", Secret(found[1]), "", "127.0.0.1")
            assert session.actor.must_change_password

    asyncio.run(sign_in())
    code, shown = call(tmp_path, "add", "eve")
    assert code != 0
    assert "there are users already" in shown


def test_without_a_terminal_nothing_is_made(database_url: str, tmp_path: Path) -> None:
    tmp_path.joinpath("ringfence.toml").write_text(f'database_url = "{database_url}"\n')
    finished = subprocess.run((sys.executable, "-c", PROGRAM, "add", "--data-dir", tmp_path), capture_output=True, text=True, check=False)
    assert finished.returncode != 0
    assert "on a terminal only" in finished.stderr
    code, shown = call(tmp_path, "add")
    assert code == 0, shown
