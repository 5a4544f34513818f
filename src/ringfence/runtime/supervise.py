"""Starting roles, keeping them alive, stopping them in order.

A role is ready when it has written `run/<role>.ready`. One that dies is started again, at once the first time and after a growing
pause when it keeps dying. Exit code 2 before everything is ready is a mistake of the operator: the start is given up with the
role's own sentence. Decides nothing about what roles do and reads nothing of what they say.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from ringfence.base.clock import monotonic_seconds
from ringfence.base.errors import ExitCode, OperatorError
from ringfence.runtime.processes import Child, Command

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
STEADY_SECONDS = 30.0
"""A role that lived this long is given the short pause again."""

GIVE_UP_AFTER = 5
READY_SECONDS = 120.0
_POLL_SECONDS = 0.05
_TRIM_SECONDS = 30.0

_log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class _Seat:
    """A role's place: its present process and how often it died in a row."""

    command: Command
    child: Child | None = None
    started: float = 0.0
    deaths: int = 0


def role_command(role: str, *, data_dir: Path, config: Path | None, run_dir: Path) -> Command:
    """How a role is started."""
    options = ("--data-dir", str(data_dir), *(("--config", str(config)) if config else ()))
    return Command(
        name=role,
        argv=(sys.executable, "-m", f"ringfence.apps.{role}.main", *options),
        run_dir=run_dir,
        log_file=data_dir / "log" / f"{role}.log",
    )


class Supervisor:
    """The roles of one machine. `start`, then `watch` until cancelled, then `stop`, in any case."""

    def __init__(self, commands: Sequence[Command], *, tell: Callable[[str], None]) -> None:
        self._seats = [_Seat(command) for command in commands]
        self._tell = tell

    async def start(self) -> None:
        """Start every role at the same time and wait until all are ready. OperatorError when one cannot be."""
        deadline = monotonic_seconds() + READY_SECONDS
        for seat in self._seats:
            _ready_file(seat).unlink(missing_ok=True)
            await self._launch(seat)
        while waiting := [seat for seat in self._seats if not _ready_file(seat).exists()]:
            for seat in waiting:
                if seat.child is not None and seat.child.returncode is not None:
                    await self._start_again(seat, give_up=True)
            if monotonic_seconds() > deadline:
                name = waiting[0].command.name
                raise OperatorError(
                    f"{name} was not ready after {READY_SECONDS:.0f} seconds; see {waiting[0].command.log_file}.", reason="role_slow"
                )
            await asyncio.sleep(_POLL_SECONDS)

    async def watch(self) -> None:
        """Start dead roles again and keep logs small, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for seat in self._seats:
                group.create_task(self._keep(seat))
            group.create_task(self._trim())

    async def stop(self) -> None:
        """Stop the roles in the opposite order of their start, so that each can still hand over to those before it."""
        for seat in reversed(self._seats):
            if seat.child is not None:
                await seat.child.stop()

    async def _keep(self, seat: _Seat) -> None:
        while True:
            assert seat.child is not None, "started before it is watched"
            await seat.child.wait()
            await self._start_again(seat, give_up=False)

    async def _start_again(self, seat: _Seat, *, give_up: bool) -> None:
        """Deal with a role that has ended: complain, pause, start."""
        assert seat.child is not None, "it has ended, so it was started"
        name, code = seat.command.name, await seat.child.wait()
        if monotonic_seconds() - seat.started > STEADY_SECONDS:
            seat.deaths = 0
        seat.deaths += 1
        if give_up and (code == ExitCode.OPERATOR or seat.deaths >= GIVE_UP_AFTER):
            raise OperatorError(_last_words(seat), reason="role_failed")
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (seat.deaths - 1), LONGEST_PAUSE_SECONDS)
        _log.warning("role_died", name=name, code=code, again_in_seconds=pause)
        self._tell(f"{name} ended ({_describe(code)}) and is started again; see {seat.command.log_file}")
        await asyncio.sleep(pause)
        await self._launch(seat)

    async def _launch(self, seat: _Seat) -> None:
        seat.child = await Child.start(seat.command)
        seat.started = monotonic_seconds()

    async def _trim(self) -> None:
        while True:
            await asyncio.sleep(_TRIM_SECONDS)
            for seat in self._seats:
                if seat.child is not None:
                    seat.child.trim_log()


def _ready_file(seat: _Seat) -> Path:
    return seat.command.run_dir / f"{seat.command.name}.ready"


def _describe(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"code {code}"


def _last_words(seat: _Seat) -> str:
    """The sentence a role wrote for the operator, or where to look when it was a bug."""
    assert seat.child is not None, "it has ended, so it was started"
    said = [line for line in seat.child.tail().splitlines() if line.startswith("ringfence: ")]
    name = seat.command.name
    if said and seat.child.returncode == ExitCode.OPERATOR:
        return f"{name} cannot start: {said[-1].removeprefix('ringfence: ')}"
    return f"{name} does not start ({_describe(seat.child.returncode or 0)}); see {seat.command.log_file}."
