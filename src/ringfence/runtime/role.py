"""What every role's `main.py` shares: settings, log, metrics, bus, heartbeat, signals, ready file, exit code.

A main is ten lines: it names its role and hands over one coroutine. That coroutine wires the role and runs until it is
cancelled (SIGTERM, SIGINT). A dependency that is down ends the process with code 4 and the supervisor starts it again; a mistake
of the operator ends it with code 2 and one sentence; a bug ends it with a traceback. Knows no database: policy and edge run
without one.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, get_args

import structlog
import uvloop

from ringfence.base.clock import Clock, system_clock
from ringfence.base.errors import ExitCode, OperatorError, RingfenceError, UnavailableError, kind_of
from ringfence.base.ids import derived_id
from ringfence.base.secret import Secret
from ringfence.runtime.bus import Bus
from ringfence.runtime.keys import nats_password_file, read_key
from ringfence.runtime.log import set_up_logging
from ringfence.runtime.metrics import serve_metrics
from ringfence.runtime.settings import ROLES, RoleName, Settings, load_settings
from ringfence.runtime.status import StatusBoard

RETRY_SECONDS = 1.0

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What a role's coroutine gets. `instance` stays the same over restarts on this machine and data folder."""

    name: str
    instance: str
    settings: Settings
    bus: Bus
    clock: Clock
    board: StatusBoard

    def ready(self) -> None:
        """Say that the role does its work now: `ringfence up` waits for it."""
        self.settings.run_dir.joinpath(f"{self.name}.ready").write_text(f"{os.getpid()}\n")
        _log.info("role_ready")


def run_role(name: RoleName, main: Callable[[Role], Awaitable[None]]) -> NoReturn:
    """Run a role as this process until it is told to stop, and exit with the code that says how it went."""
    assert name in get_args(RoleName)
    arguments = _parse_arguments(name)
    failure: RingfenceError | None = None
    try:
        settings = load_settings(data_dir=arguments.data_dir, config=arguments.config)
        set_up_logging(name, style=settings.log.format, level=settings.log.level)
        if settings.metrics.base_port:
            serve_metrics(settings.metrics.base_port + ROLES.index(name))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(until_stopped(_live(name, settings, main)))
    except* RingfenceError as group:
        failure = first_failure(group)
    sys.exit(ExitCode.OK if failure is None else _report(failure))


async def connect_bus(settings: Settings, user: str) -> Bus:
    """Connect as `user`: with the generated password for the embedded server, with what the URL says for another."""
    if settings.nats_url:
        return await Bus.connect(settings.nats_url, user="", password=Secret(""), name=user)
    password = read_key(settings.keys_dir / nats_password_file(user))
    return await Bus.connect(settings.bus_url, user=user, password=password, name=user)


def instance_of(name: str, settings: Settings) -> str:
    """Name of this role on this machine and data folder."""
    return derived_id("i", name, socket.gethostname(), str(settings.data_dir))


async def _live(name: str, settings: Settings, main: Callable[[Role], Awaitable[None]]) -> None:
    bus = await _connect_patiently(name, settings)
    instance = instance_of(name, settings)
    role = Role(name=name, instance=instance, settings=settings, bus=bus, clock=system_clock, board=StatusBoard(name, instance))
    try:
        async with asyncio.TaskGroup() as group:
            beat = group.create_task(role.board.beat(bus, role.clock))
            await main(role)
            beat.cancel()
    finally:
        settings.run_dir.joinpath(f"{name}.ready").unlink(missing_ok=True)
        await bus.close()


async def _connect_patiently(name: str, settings: Settings) -> Bus:
    """NATS may be away longer than a role lives; waiting here keeps the role from counting as broken."""
    waiting = False
    while True:
        try:
            return await connect_bus(settings, name)
        except UnavailableError as error:
            if not waiting:
                _log.warning("waiting_for_bus", why=str(error))
            waiting = True
            await asyncio.sleep(RETRY_SECONDS)


async def until_stopped(work: Coroutine[None, None, None]) -> None:
    """Run `work`; SIGINT and SIGTERM cancel it, and being cancelled that way is success."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    told = False

    def stop() -> None:
        # Once: a second Ctrl-C must not cut the orderly end short.
        nonlocal told
        if not told:
            told = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _parse_arguments(name: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m ringfence.apps.{name}.main")
    parser.add_argument("--data-dir", type=Path, help="folder of the installation")
    parser.add_argument("--config", type=Path, help="settings file (default: ringfence.toml in the data folder)")
    return parser.parse_args()


def first_failure(group: BaseExceptionGroup[RingfenceError]) -> RingfenceError:
    """The one to report: a mistake of the operator before anything else, since repeating does not cure it."""
    leaves = list(_leaves(group))
    return next((leaf for leaf in leaves if isinstance(leaf, OperatorError)), leaves[0])


def _leaves(group: BaseExceptionGroup[RingfenceError]) -> Iterator[RingfenceError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _report(error: RingfenceError) -> ExitCode:
    _status, code, kind = kind_of(error)
    if code is ExitCode.OPERATOR:
        sys.stderr.write(f"ringfence: {error}\n")
    else:
        _log.error("role_ended", kind=kind, reason=error.reason, message=str(error))
    return code
