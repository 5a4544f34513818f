"""`docs/commands.md` from the commands of `ringfence` as typer knows them, and from the parameters of the benches."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer.main

from ringfence.apps.bench.main import BENCHES
from ringfence.apps.cli.main import COMMANDS
from ringfence.base.errors import ExitCode
from tools.docs.text import page, table

INTRO = """\
`ringfence COMMAND --help` says the same. Answers go to stdout, progress and errors to stderr; `--json` prints one JSON value.

Commands with `--url` are clients of the API: they need a token of `ringfence user login` (kept in `~/.config/ringfence/token`) or in
`RINGFENCE_API_TOKEN`, and the permission that each names. The others work on this machine, on the data folder."""

EXITS: dict[ExitCode, str] = {
    ExitCode.OK: "done",
    ExitCode.BUG: "a fault of ours, with a traceback",
    ExitCode.OPERATOR: "a mistake in a command, a setting or a permission: one sentence says what to do",
    ExitCode.PEER_MISSING: "a program that a bench needs is not installed; the sentence names the package",
    ExitCode.UNAVAILABLE: "something it depends on is down; try again",
    ExitCode.CONFLICT: "somebody else was faster; look again and repeat",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """An argument or an option. `default` empty: none, or it must be given."""

    names: str
    help: str
    default: str
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command as one types it, without `ringfence`."""

    name: str
    help: str
    arguments: tuple[str, ...]
    parameters: tuple[Parameter, ...]

    @property
    def usage(self) -> str:
        """The line to type; options follow."""
        return " ".join(("ringfence", self.name, *self.arguments))


def commands_page() -> str:
    """The whole page."""
    found = list(commands())
    parts = ["# Commands", INTRO, table(("exit code", "meaning"), ((str(int(code)), said) for code, said in EXITS.items()))]
    parts.append(table(("command", "what it does"), ((f"[`{command.name}`](#{_anchor(command.name)})", command.help) for command in found)))
    for command in found:
        parts += [f"## {command.name}", f"    {command.usage}", command.help]
        rows = ((f"`{one.names}`", "must be given" if one.required else one.default or "-", one.help) for one in command.parameters)
        if command.parameters:
            parts.append(table(("parameter", "default", "meaning"), rows))
        if command.name == "bench":
            parts += ["Parameters of each bench; `--json` is accepted by all.", table(("bench", "parameters and defaults"), bench_rows())]
    return page(*parts)


def commands() -> Iterator[Command]:
    """Every command with its parameters, in the order of `ringfence --help`."""
    for name, (module, _) in COMMANDS.items():
        yield from _below(name, typer.main.get_command(import_module(module).app))


def _below(name: str, command: Any) -> Iterator[Command]:
    """A command, or those of a group."""
    below = getattr(command, "commands", None)
    if below is None:
        yield _command(name, command)
        return
    for verb, each in below.items():
        yield from _below(f"{name} {verb}", each)


def bench_rows() -> Iterator[tuple[str, str]]:
    """Each bench with its parameters."""
    for name, module in BENCHES.items():
        options = import_module(module).OPTIONS
        yield f"`{name}`", ", ".join(f"`--{key.replace('_', '-')}`" + _shown(value) for key, value in options.items()) or "-"


def _command(name: str, command: Any) -> Command:
    visible = [one for one in command.params if not getattr(one, "hidden", False) and one.name != "help"]
    arguments = [one for one in visible if one.param_type_name == "argument"]
    return Command(
        name=name,
        help=" ".join((command.help or "").split()),
        arguments=tuple(one.name.upper() if one.required else f"[{one.name.upper()}]" for one in arguments),
        parameters=tuple(_parameter(one) for one in visible),
    )


def _parameter(one: Any) -> Parameter:
    is_argument = one.param_type_name == "argument"
    names = one.name.upper() if is_argument else ", ".join(one.opts)
    said = " ".join((one.help or "").split())
    variable = f" Variable `{one.envvar}`." if one.envvar else ""
    default = "" if one.default in (None, "", False) or one.required else f"`{one.default}`"
    return Parameter(names=names, help=f"{said}{variable}", default=default, required=bool(one.required))


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return ""
    return f" {value:,}" if isinstance(value, int) else f" {value}"


def _anchor(name: str) -> str:
    return name.replace(" ", "-")
