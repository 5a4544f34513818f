"""A real nats-server and a real PostgreSQL for tests, started and killed by the test that wants to."""

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from ringfence.base.secret import Secret
from ringfence.runtime import nats_server
from ringfence.runtime.bus import Bus
from ringfence.runtime.engines import engine_user
from ringfence.runtime.postgres import Postgres, copy_binaries, find_binaries
from ringfence.runtime.settings import ROLES, Settings
from ringfence.runtime.streams import BUCKETS, STREAMS

PROJECT = Path(__file__).resolve().parents[2]


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of 127.0.0.1 that nobody has at the moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A temporary folder that other users may enter, with a path short enough for a Unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="rf-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class NatsServer:
    """nats-server with the product's configuration: users, permissions, synced writes. Every password is `test`."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._config = folder / "nats.conf"
        users = (nats_server.SUPERVISOR, *ROLES)
        config = json.loads(nats_server.build_config(port=self.port, folder=folder, passwords=dict.fromkeys(users, "test")))
        self._config.write_text(json.dumps(config))
        self._log = folder / "nats.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen((nats_server.find_binary(), "-c", self._config), stdout=log, stderr=log)
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            if self._process.poll() is not None:
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05)
        raise AssertionError(self._log.read_text()[-2000:])

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    async def connect(self, user: str = nats_server.SUPERVISOR) -> Bus:
        """A bus as one of the roles, or as the supervisor, who may everything."""
        return await Bus.connect(self.url, user=user, password=Secret("test"), name=user)

    async def prepare(self) -> None:
        """Make every stream and bucket of the plan."""
        bus = await self.connect()
        try:
            for stream in STREAMS:
                await bus.ensure_stream(stream)
            for bucket in BUCKETS:
                await bus.ensure_bucket(bucket.name)
        finally:
            await bus.close()


@dataclass(frozen=True)
class PostgresServer:
    """The embedded PostgreSQL. `url(name)` names a database of it; `admin_url` is the superuser's."""

    socket_dir: Path

    @property
    def admin_url(self) -> str:
        return self._url("postgres", "postgres")

    def url(self, database: str) -> str:
        return self._url("ringfence", database)

    def _url(self, user: str, database: str) -> str:
        return f"postgresql:///{database}?user={user}&host={self.socket_dir}"

    def create(self, database: str, *, template: str = "template1") -> str:
        """Make a database owned by the product's role; its URL."""
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}" OWNER ringfence TEMPLATE "{template}"'.encode())
        return self.url(database)

    def drop(self, database: str) -> None:
        """Drop it, whoever is connected."""
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)'.encode())


@contextlib.contextmanager
def running_postgres(folder: Path) -> Iterator[PostgresServer]:
    """Start the product's embedded PostgreSQL in a folder."""
    settings = Settings(data_dir=folder)
    for name in ("run", "log"):
        folder.joinpath(name).mkdir(mode=0o755)
    owner: pwd.struct_passwd | None = engine_user(folder)
    binaries = find_binaries() if owner is None else copy_binaries(find_binaries(), folder / "engines")
    postgres = Postgres(settings, binaries=binaries, owner=owner)
    with asyncio.Runner() as runner:
        runner.run(postgres.start())
        try:
            yield PostgresServer(settings.postgres_socket_dir)
        finally:
            runner.run(postgres.stop())


def run_ringfence(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line, as a person would call it."""
    return subprocess.run(
        (sys.executable, "-m", "ringfence.apps.cli.main", *arguments),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env={**os.environ, **environment},
    )
