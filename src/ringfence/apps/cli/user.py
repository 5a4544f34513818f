"""`ringfence user add`: the first administrator, made on the machine itself. It needs the database and nothing else.

Everybody after the first is added by an administrator, in the console or through the API. The one-time password is shown once, on a
terminal only, so that it stands in no log and no pipe.
"""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from ringfence.access.model import OneTimePassword
from ringfence.access.service import FIRST_NAME, AccessService
from ringfence.base.errors import ConflictError, OperatorError
from ringfence.runtime.db import Database, migrate
from ringfence.runtime.settings import Settings, load_settings

app = typer.Typer(no_args_is_help=True, help="People who use Ringfence.", add_completion=False)


@app.callback()
def _root() -> None:
    """Keep `add` a command of its own."""


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Name to sign in with.")] = FIRST_NAME,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Folder of the installation.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="Settings file.")] = None,
) -> None:
    """Make the first administrator and show the one-time password."""
    if not sys.stdout.isatty():
        raise OperatorError("the one-time password is shown on a terminal only; run this command in one", reason="no_terminal")
    made = asyncio.run(add_first(load_settings(data_dir=data_dir, config=config), name))
    typer.echo(f"{made.name} may sign in with the one-time password {made.password.open()} and must change it then.")


async def add_first(settings: Settings, name: str) -> OneTimePassword:
    """Make the first administrator; ConflictError when there is anybody already."""
    await migrate(settings.database)
    async with Database(settings.database, name="user-add", size=1) as database:
        made = await AccessService(database).ensure_first_administrator(name)
    if made is None:
        raise ConflictError(
            "there are users already; an administrator adds further ones in the console or through the API", reason="not_first"
        )
    return made
