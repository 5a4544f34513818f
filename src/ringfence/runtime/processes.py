"""Child processes that cannot outlive us, and finding those that did nevertheless.

Each child gets a session of its own (Ctrl-C reaches the supervisor alone, which stops them in order), a log file, and a signal
from the kernel when the supervisor dies, so that kill -9 leaves nothing behind. A child may need a while to end after that:
its pid and start time stand in `run/<name>.pid`, and the next start waits for it instead of starting beside it.
Linux only, like the product.
"""

import asyncio
import ctypes
import os
import pwd
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ringfence.base.errors import OperatorError

LOG_BYTES = 16 * 1024 * 1024
TAIL_BYTES = 4096
POLL_SECONDS = 0.05

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to start. `stop_signal` asks it to end in order; `patience_seconds` later it is killed, unless that is None."""

    name: str
    argv: Sequence[str]
    run_dir: Path
    log_file: Path
    stop_signal: signal.Signals = signal.SIGTERM
    patience_seconds: float | None = 10.0
    user: pwd.struct_passwd | None = None
    environment: Mapping[str, str] | None = None


class Child:
    """A started command."""

    def __init__(self, command: Command, process: asyncio.subprocess.Process) -> None:
        self.command = command
        self._process = process

    @classmethod
    async def start(cls, command: Command) -> "Child":
        """Start it. Must be called in the main thread: the kernel ties the child to the thread that made it."""
        parent = os.getpid()
        log = os.open(command.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)

        def die_with_parent() -> None:
            # After the change of user, which clears this setting. Nothing here allocates or locks.
            _libc.prctl(_PR_SET_PDEATHSIG, int(command.stop_signal))
            if os.getppid() != parent:
                os._exit(1)

        owner = command.user
        try:
            process = await asyncio.create_subprocess_exec(
                *command.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,  # The supervisor has one thread.
                user=owner.pw_uid if owner else None,
                group=owner.pw_gid if owner else None,
                extra_groups=[] if owner else None,
                env=dict(command.environment) if command.environment is not None else None,
                cwd="/" if owner else None,
            )
        except OSError as error:
            raise OperatorError(f"{command.argv[0]} cannot be started ({error.strerror}).", reason="no_program") from error
        finally:
            os.close(log)
        _pid_file(command).write_text(f"{process.pid} {_started_at(process.pid)} {int(command.stop_signal)}\n")
        return cls(command, process)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait for the end."""
        code = await self._process.wait()
        _pid_file(self.command).unlink(missing_ok=True)
        return code

    async def stop(self) -> None:
        """Ask it to end, wait, and kill it after its patience; at once when it has ended."""
        if self._process.returncode is None:
            self._process.send_signal(self.command.stop_signal)
            try:
                async with asyncio.timeout(self.command.patience_seconds):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
        await self.wait()

    def tail(self) -> str:
        """The end of its log."""
        with self.command.log_file.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            return file.read().decode("utf-8", "replace")

    def trim_log(self) -> None:
        """Keep the log below a size: the old part moves to `.1`. The child appends, so the file may be cut under it."""
        file = self.command.log_file
        if file.stat().st_size > LOG_BYTES:
            file.with_name(file.name + ".1").write_bytes(file.read_bytes())
            os.truncate(file, 0)


async def end_leftovers(run_dir: Path) -> None:
    """End what an earlier supervisor left behind when it was killed. The caller holds the lock of the data folder.

    Such a process has already been told to stop by the kernel; it is told again and waited for, however long it takes: a
    database that writes its last checkpoint must not be killed.
    """
    for file, pid, started_at, number in _leftovers(run_dir):
        if _started_at(pid) == started_at:
            os.kill(pid, number)
        while _started_at(pid) == started_at:  # noqa: ASYNC110  # A process that is not our child sends no event.
            await asyncio.sleep(POLL_SECONDS)
        file.unlink()


def _leftovers(run_dir: Path) -> list[tuple[Path, int, int, int]]:
    found = []
    for file in run_dir.glob("*.pid"):
        try:
            pid, started_at, number = (int(part) for part in file.read_text().split())
        except ValueError:  # Cut short by a crash, before the child did anything.
            file.unlink()
        else:
            found.append((file, pid, started_at, number))
    return found


def _started_at(pid: int) -> int:
    """Start time of a process in clock ticks since boot, which tells it from a later one with its pid; 0 when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    fields = stat.rpartition(")")[2].split()  # The name before it may hold spaces.
    return 0 if fields[0] == "Z" else int(fields[19])


def _pid_file(command: Command) -> Path:
    return command.run_dir / f"{command.name}.pid"
