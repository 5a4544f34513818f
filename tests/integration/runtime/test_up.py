"""`ringfence up` as a person meets it: real engines and roles, killed and stopped in every way."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ringfence.base.errors import UnavailableError
from ringfence.base.secret import Secret
from ringfence.detection.service import DetectionService
from ringfence.runtime.bus import Bus
from ringfence.runtime.db import Database
from tests.harness.engines import free_port, run_ringfence, short_folder

ROLES = "policy,edge"
SENTENCE_LIMIT = 400


class Installation:
    """A data folder with ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nats_port = free_port()
        self.environment = {
            "RINGFENCE_NATS_PORT": str(self.nats_port),
            "RINGFENCE_METRICS__BASE_PORT": "0",
            "RINGFENCE_CONSOLE__LISTEN": f"127.0.0.1:{free_port()}",
            "RINGFENCE_API__LISTEN": f"127.0.0.1:{free_port()}",
            "RINGFENCE_INGEST__HEP_LISTEN": f"127.0.0.1:{free_port()}",
        }

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_ringfence(*arguments, "--data-dir", str(self.folder), **{**self.environment, **environment})

    @contextlib.contextmanager
    def up(self) -> Iterator[subprocess.Popen[str]]:
        """A running `ringfence up`, ready; stopped at the end if it still runs."""
        process = subprocess.Popen(
            (sys.executable, "-m", "ringfence.apps.cli.main", "up", "--data-dir", str(self.folder), "--roles", ROLES),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **self.environment},
        )
        assert process.stdout is not None
        try:
            self.screen = ""
            while "RF_AUTH_OK" not in self.screen:
                line = process.stdout.readline()
                assert line, self.screen
                self.screen += line
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
            process.stdout.close()

    def processes(self) -> dict[int, str]:
        """What runs for this folder now."""
        found = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if any(str(self.folder).encode() in word for word in words) and int(entry.name) != os.getpid():
                    found[int(entry.name)] = b" ".join(words).decode()
        return found

    def pid(self, name: str) -> int:
        return int((self.folder / "run" / f"{name}.pid").read_text().split()[0])

    def gone(self, seconds: float = 10) -> dict[int, str]:
        """Wait until nothing is left; what is left."""
        deadline = time.monotonic() + seconds
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.processes()

    async def bus(self) -> Bus:
        password = (self.folder / "keys" / "nats-supervisor.password").read_text().strip()
        return await Bus.connect(f"nats://127.0.0.1:{self.nats_port}", user="supervisor", password=Secret(password), name="test")


@pytest.fixture
def installation() -> Iterator[Installation]:
    with short_folder() as folder:
        yield Installation(folder / "d")


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """The sentence of a refusal: exit code 2, no traceback."""
    assert result.returncode == 2, result.stdout + result.stderr
    sentence = result.stderr.strip()
    assert sentence.startswith("ringfence: ")
    assert "\n" not in sentence
    assert len(sentence) < SENTENCE_LIMIT
    assert "Traceback" not in result.stdout + result.stderr
    return sentence


def test_a_start_shows_one_screen_and_ctrl_c_leaves_no_process(installation: Installation) -> None:
    with installation.up() as process:
        assert "nobody can yet: run `ringfence user add" in installation.screen
        assert f"{installation.folder}/edges/kamailio-1/ringfence-settings.cfg" in installation.screen
        for name in ("agent-kamailio-1.key", "edge-kamailio-1.token", "hash.key", "nats-policy.password"):
            assert (installation.folder / "keys" / name).stat().st_mode & 0o777 == 0o600
            assert (installation.folder / "keys" / name).read_text().strip() not in installation.screen
        assert (installation.folder / "edges" / "kamailio-1" / "ringfence-settings.cfg").stat().st_mode & 0o777 == 0o600

        second = refused(installation.run("up", "--roles", ROLES))
        assert f"already runs on {installation.folder} (process {process.pid})" in second

        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert installation.processes() == {}
    began = time.monotonic()
    with installation.up():
        assert time.monotonic() - began < 15


def test_killing_the_supervisor_leaves_no_process_and_the_next_start_continues(installation: Installation) -> None:
    async def put() -> None:
        bus = await installation.bus()
        await bus.bucket("control").put("mark", b"kept")
        await bus.close()

    async def kept() -> bytes | None:
        bus = await installation.bus()
        entry = await bus.bucket("control").get("mark")
        await bus.close()
        return entry.value if entry is not None else None

    with installation.up() as process:
        asyncio.run(put())
        process.kill()
        process.wait()
        with installation.up() as again:  # At once: it waits for what is still ending.
            assert asyncio.run(kept()) == b"kept"
            again.kill()
            again.wait()
            assert installation.gone(20) == {}


@pytest.mark.parametrize("name", ["nats", "postgres", "policy"])
def test_what_is_killed_is_started_again_and_keeps_its_state(installation: Installation, name: str) -> None:
    with installation.up():
        before = installation.pid(name)
        os.kill(before, signal.SIGKILL)
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, IndexError, ValueError):
                if installation.pid(name) != before and answers(installation):
                    break
            time.sleep(0.05)
        else:
            raise AssertionError((installation.folder / "log" / f"{name}.log").read_text()[-1000:])
    assert installation.gone() == {}


def answers(installation: Installation) -> bool:
    """Whether both engines and policy do."""

    async def ping() -> bool:
        bus = await installation.bus()
        try:
            return b'"ok":true' in await bus.request("policy.command", b'{"type":"ping"}', timeout_seconds=2)
        finally:
            await bus.close()

    url = f"postgresql:///ringfence?user=ringfence&host={installation.folder}/run/postgres"
    try:
        with psycopg.connect(url) as connection:
            connection.execute("SELECT 1")
        return asyncio.run(ping())
    except (psycopg.OperationalError, UnavailableError):
        return False


def test_a_taken_port_is_one_sentence_and_nothing_is_half_started(installation: Installation) -> None:
    with socket.create_server(("127.0.0.1", installation.nats_port)):
        sentence = refused(installation.run("up", "--roles", ROLES))
    assert f"127.0.0.1:{installation.nats_port} cannot be used" in sentence
    assert "change nats_port" in sentence
    assert installation.processes() == {}
    assert not (installation.folder / "postgres").exists()


def test_a_database_of_a_newer_version_is_refused_and_everything_stops(installation: Installation) -> None:
    with (
        installation.up(),
        psycopg.connect(f"postgresql:///ringfence?user=ringfence&host={installation.folder}/run/postgres", autocommit=True) as connection,
    ):
        connection.execute("INSERT INTO public.migration (version, name) VALUES (9999, 'from the future')")
    assert "The database is of version 9999" in refused(installation.run("up", "--roles", ROLES))
    assert installation.gone() == {}


def test_wrong_settings_are_one_sentence(installation: Installation) -> None:
    installation.folder.mkdir()
    file = installation.folder / "ringfence.toml"
    for toml, words in (("colour = 1", "colour in"), ("nats_url = 'http://x'", "nats_url in"), ("[", "is not TOML")):
        file.write_text(toml)
        assert words in refused(installation.run("up"))
    file.unlink()
    assert "RINGFENCE_COLOUR is no setting" in refused(installation.run("up", RINGFENCE_COLOUR="red"))
    assert "is no role" in refused(installation.run("up", "--roles", "fax"))
    assert not (installation.folder / "run").exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(installation: Installation) -> None:
    installation.folder.write_text("a file")
    below = installation.folder / "data"
    assert "cannot be written" in refused(run_ringfence("up", "--data-dir", str(below), **installation.environment))


def test_engines_elsewhere_that_do_not_answer_are_one_sentence(installation: Installation) -> None:
    nowhere = f"nats://127.0.0.1:{free_port()}"
    sentence = refused(
        installation.run("up", "--roles", ROLES, RINGFENCE_NATS_URL=nowhere, RINGFENCE_DATABASE_URL="postgresql://x@127.0.0.1:1/x")
    )
    assert "NATS cannot be reached" in sentence


def test_check_lists_everything_and_starts_nothing(installation: Installation) -> None:
    result = installation.run("check", "--json")
    report = json.loads(result.stdout)
    assert (result.returncode, report["passed"]) == (0, True)
    assert len(report["checks"]) > 5
    assert not installation.folder.exists()
    with socket.create_server(("127.0.0.1", installation.nats_port)):
        result = installation.run("check", "--json")
    assert (result.returncode, json.loads(result.stdout)["passed"]) == (2, False)


def test_help_answers_at_once_and_an_unknown_command_is_said() -> None:
    result = run_ringfence("--help")
    assert result.returncode == 0
    assert "Start everything on this machine." in result.stdout
    assert run_ringfence("nonsense").returncode == 2


def test_an_imported_rate_deck_reaches_the_edges_class_table_at_the_next_start(installation: Installation) -> None:
    file = installation.folder / "edges" / "kamailio-1" / "ringfence-settings.cfg"

    async def save() -> None:
        address = f"postgresql:///ringfence?user=ringfence&host={installation.folder / 'run' / 'postgres'}"
        async with Database(address, name="test", size=1) as database:
            await DetectionService(database).save_rates("prefix,country,kind,eur_per_minute\n33,FR,fixed,0.60\n", "anna", home="DE")

    with installation.up():
        before = file.read_text()
        asyncio.run(save())
    with installation.up():
        after = file.read_text()
    france, sierra_leone = re.compile(r"(?<![0-9])33=4;|(?<![0-9])33=4\""), re.compile(r"(?<![0-9])232=")
    assert france.search(after)
    assert not france.search(before)
    assert sierra_leone.search(before)
    assert not sierra_leone.search(after)
