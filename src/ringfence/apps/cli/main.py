"""`ringfence`: finds the command and imports only that one, so that `--help` answers at once.

A command module has an `app` (a Typer). A mistake of the operator is one sentence on stderr and exit code 2, for every command,
here and nowhere else.
"""

import sys
from importlib import import_module
from typing import Any

import typer
import typer.core
import typer.main

from ringfence import __version__
from ringfence.base.errors import RingfenceError, kind_of

COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("ringfence.apps.cli.up", "Start everything on this machine."),
    "check": ("ringfence.apps.cli.check", "Check settings and environment without starting anything."),
    "user": ("ringfence.apps.cli.user_client", "People: the first administrator, sign in, list, invite."),
    "alert": ("ringfence.apps.cli.alert", "Alerts: what is burning and why."),
    "attack": ("ringfence.apps.cli.attack", "Attacks: alerts that belong together."),
    "block": ("ringfence.apps.cli.block", "Blocks: list, impose, lift, approve."),
    "edge": ("ringfence.apps.cli.edge", "Edges: whether each holds what is in force."),
    "call": ("ringfence.apps.cli.call", "Calls, by account or number."),
    "query": ("ringfence.apps.cli.query", "Questions over the history: which calls, and what they add up to."),
    "account": ("ringfence.apps.cli.account", "Accounts: show one, import many."),
    "customer": ("ringfence.apps.cli.customer", "Customers: find one, show one, import many."),
    "line": ("ringfence.apps.cli.line", "Access lines: show one, import many."),
    "session": ("ringfence.apps.cli.session", "Access sessions: which line held an address, when."),
    "fleet": ("ringfence.apps.cli.fleet.main", "Devices: what is in the field, what is wanted of it."),
    "network": ("ringfence.apps.cli.network", "The operator's own address ranges."),
    "rate": ("ringfence.apps.cli.rate", "Versions of the rate deck."),
    "rule": ("ringfence.apps.cli.rule", "Versions of the rules."),
    "backtest": ("ringfence.apps.cli.backtest", "What rules would have found in past calls."),
    "rebuild": ("ringfence.apps.cli.rebuild", "Judge the archived log again and compare."),
    "drill": ("ringfence.apps.cli.drill", "Rehearse an incident on a product of its own."),
    "simulate": ("ringfence.apps.cli.simulate", "Traffic of a made-up operator, with the truth beside it."),
    "bench": ("ringfence.apps.cli.bench", "Measure this machine and print one JSON object."),
}
"""Name -> (module, what it does)."""


class Commands(typer.core.TyperGroup):
    """The group of all commands; a module is imported when its command runs, not to be listed."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # click's signature, here and below.
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """A stand-in that knows its help, for the list."""
        if cmd_name not in COMMANDS:
            return None
        return typer.core.TyperCommand(cmd_name, help=COMMANDS[cmd_name][1])

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """The real command, for running it."""
        if args and args[0] in COMMANDS:
            module = import_module(COMMANDS[args[0]][0])
            command = typer.main.get_command(module.app)
            command.name = args[0]
            return args[0], command, args[1:]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Ringfence finds toll fraud on SIP traffic and blocks it at the SIP edge.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ringfence {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
) -> None:
    """Options before the command."""


def main() -> None:
    """Entry point of the `ringfence` script."""
    try:
        app()
    except RingfenceError as error:
        sys.stderr.write(f"ringfence: {error}\n")
        sys.exit(kind_of(error)[1])


if __name__ == "__main__":
    main()
