"""`ringfence up`: everything on one machine, until Ctrl-C.

Order of a start: settings, preflight, lock, keys, engines, streams and schema, roles, first administrator, screen. Whatever fails,
what was started is stopped in the opposite order and the reason is one sentence. Of two starts on a data folder the second is
refused.
"""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ringfence.access.model import OneTimePassword
from ringfence.apps.cli import first_start, preflight
from ringfence.apps.cli.screen import show_screen
from ringfence.base.clock import monotonic_seconds
from ringfence.base.errors import OperatorError, RingfenceError
from ringfence.runtime.engines import Engines, hold_data_dir
from ringfence.runtime.log import set_up_logging
from ringfence.runtime.processes import end_leftovers
from ringfence.runtime.role import first_failure, until_stopped
from ringfence.runtime.settings import ROLES, RoleName, Settings, load_settings
from ringfence.runtime.supervise import Supervisor, role_command

app = typer.Typer(add_completion=False)


@app.command()
def up(
    data_dir: Annotated[Path | None, typer.Option(help="Folder of the installation.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file (default: ringfence.toml in the data folder).")] = None,
    roles: Annotated[str, typer.Option(help=f"Only these roles, separated by commas, of: {', '.join(ROLES)}.")] = "",
) -> None:
    """Start everything on this machine: engines and roles, until Ctrl-C."""
    os.umask(0o022)
    config = config.absolute() if config is not None else None
    settings = load_settings(data_dir=data_dir, config=config)
    if roles:
        settings = settings.model_copy(update={"roles": _chosen(roles)})
    set_up_logging("up", style=settings.log.format, level="error")
    failure: RingfenceError | None = None
    with hold_data_dir(settings.data_dir):
        try:
            asyncio.run(until_stopped(_live(settings, config, _console())))
        except* RingfenceError as group:
            failure = first_failure(group)
    if failure is not None:
        raise failure


def _console() -> Console:
    """A file or a pipe has no width to keep."""
    console = Console()
    return console if console.is_terminal else Console(width=200)


def _chosen(text: str) -> tuple[RoleName, ...]:
    names = {name.strip() for name in text.split(",") if name.strip()}
    unknown = sorted(names - set(ROLES))
    if unknown or not names:
        raise OperatorError(f"{', '.join(unknown) or text!r} is no role; choose of {', '.join(ROLES)}.", reason="unknown_role")
    return tuple(role for role in ROLES if role in names)


async def _live(settings: Settings, config: Path | None, console: Console) -> None:
    began = monotonic_seconds()
    engines = Engines(settings)
    await end_leftovers(settings.run_dir)
    for finding in preflight.inspect(settings):
        if finding.problem and finding.fatal:
            raise OperatorError(finding.problem, reason="preflight")
        if finding.problem:
            console.print(f"[yellow]Warning:[/yellow] {finding.problem}", highlight=False)
    first_start.make_keys(settings)
    commands = [role_command(role, data_dir=settings.data_dir, config=config, run_dir=settings.run_dir) for role in settings.roles]
    supervisor = Supervisor(commands, tell=lambda line: console.print(line, highlight=False))
    try:
        await engines.start()
        edge_files = first_start.write_edge_settings(settings, await first_start.deck_in_force(settings))
        await supervisor.start()
        # Last: a password that was made and never shown would lock everybody out.
        password, nobody_yet = await _administrator(settings, console)
        show_screen(
            console,
            settings,
            edge_files=edge_files,
            include=first_start.copy_include(settings),
            password=password,
            nobody_yet=nobody_yet,
            seconds=monotonic_seconds() - began,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(engines.keep(lambda line: console.print(line, highlight=False)))
            group.create_task(supervisor.watch())
    finally:
        await _stop(supervisor, engines, console)


async def _stop(supervisor: Supervisor, engines: Engines, console: Console) -> None:
    """Roles first, then the engines they use; a second Ctrl-C does not hurry a database."""
    console.print("Stopping ...", highlight=False)
    await supervisor.stop()
    await engines.stop()


async def _administrator(settings: Settings, console: Console) -> tuple[OneTimePassword | None, bool]:
    """The first password, made only when there is a terminal to show it on; else whether nobody can sign in yet."""
    if console.is_terminal:
        return await first_start.first_administrator(settings), False
    return None, await first_start.nobody_can_sign_in(settings)
