"""`ringfence query`: ask, export."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from ringfence.access.model import Permission
from ringfence.apps.cli.client import DEFAULT_URL, Api, AsJson, ClientApp, Token, Url, tell
from ringfence.base.errors import OperatorError, RingfenceError

client = ClientApp(help="Questions over the history.")
app = client.app

ASK_SECONDS = 120.0
"""Longer than the archive gives itself, so that its own refusal is what one reads."""
CALL_COLUMNS = (
    ("started_at", "started"),
    ("account", "account"),
    ("callee", "called"),
    ("country", "country"),
    ("destination_class", "class"),
    ("seconds", "seconds"),
    ("cost_eur", "cost"),
    ("source_ip", "from"),
    ("user_agent", "device"),
    ("refused", "refused"),
)
GROUP_COLUMNS = (
    ("key", "of"),
    ("calls", "calls"),
    ("answered", "answered"),
    ("refused", "refused"),
    ("accounts", "accounts"),
    ("seconds", "seconds"),
    ("cost_eur", "cost"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which calls: the options that every command of this group has, and the body of the request that they become."""

    since: Annotated[str, typer.Option("--from", help="ISO 8601 with a zone; default: --days before the end.")] = ""
    until: Annotated[str, typer.Option("--to", help="ISO 8601 with a zone; default: now.")] = ""
    days: Annotated[int, typer.Option(min=1, max=400, help="So many days before the end.")] = 1
    account: Annotated[str, typer.Option(help="Of this account.")] = ""
    caller: Annotated[str, typer.Option(help="From numbers that begin so.")] = ""
    callee: Annotated[str, typer.Option(help="To numbers that begin so.")] = ""
    country: Annotated[str, typer.Option(help="To this country, two letters.")] = ""
    class_at_least: Annotated[int, typer.Option("--class", min=0, max=5, help="Of this destination class or dearer.")] = 0
    source: Annotated[str, typer.Option(help="From this address or network.")] = ""
    user_agent: Annotated[str, typer.Option(help="From devices whose User-Agent has this in it.")] = ""
    status: Annotated[int, typer.Option(min=0, max=699, help="That ended with this SIP status.")] = 0
    seconds: Annotated[int, typer.Option(min=0, help="That lasted so long at least.")] = 0
    cost: Annotated[str, typer.Option(help="That cost so many euro at least.")] = ""

    def body(self) -> dict[str, Any]:
        """As the API hears it."""
        return {
            "from": self.since or None,
            "to": self.until or None,
            "days": self.days,
            "account": self.account,
            "caller": self.caller,
            "callee": self.callee,
            "country": self.country,
            "class_at_least": self.class_at_least,
            "source": self.source,
            "user_agent": self.user_agent,
            "status": self.status,
            "seconds_at_least": self.seconds,
            "cost_at_least_eur": self.cost,
        }


def _asks(function: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of `Question` after its own; its function gets them as `question`."""
    own = [parameter for name, parameter in inspect.signature(function).parameters.items() if name != "question"]
    shared = [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
        for field in fields(Question)
    ]
    names = {field.name for field in fields(Question)}

    @wraps(function)
    def command(**given: Any) -> None:
        question = Question(**{name: value for name, value in given.items() if name in names})
        function(question=question, **{name: value for name, value in given.items() if name not in names})

    own = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    command.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
    return command


@client.command("ask", permission=Permission.CALL_READ, route="POST /v1/query", help="Calls that fit, or what they add up to.")
@_asks
def ask(
    *,
    question: Question,
    group: Annotated[str, typer.Option("--by", help="account, destination, country, source, hour or day; default: single calls.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Lines at the most.")] = 200,
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Ask the history."""
    told = Api(url, token).post("/query", question.body() | {"group": group, "limit": limit}, seconds=ASK_SECONDS)
    if as_json:
        tell(told, as_json=True, columns=(), empty="")
        return
    lines, columns = (told["groups"], GROUP_COLUMNS) if group else (told["calls"], CALL_COLUMNS)
    tell(lines, as_json=False, columns=columns, empty="No call fits.")
    total = told["total"]
    shown = f"the first {len(lines):,}; " if told["more"] else ""
    typer.echo(
        f"{shown}{total['calls']:,} calls of {total['accounts']:,} accounts fit, {total['answered']:,} answered,"
        f" {total['refused']:,} refused, EUR {total['cost_eur']:,.2f}",
        err=True,
    )


@client.command(
    "export",
    permission=Permission.CALL_EXPORT,
    route="POST /v1/query/export.csv",
    help="Calls that fit, as a CSV file for outsiders: tokens stand for people.",
)
@_asks
def export(
    *,
    question: Question,
    file: Annotated[Path, typer.Argument(help="Where to write it; it must not exist yet.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
) -> None:
    """Take calls away; the audit chain says who did and what was asked."""
    _write(file, lambda: Api(url, token).take("/query/export.csv", question.body(), seconds=ASK_SECONDS))


@client.command("calls", permission=Permission.CALL_READ, route="POST /v1/query/calls.csv", help="Calls that fit, as a CSV file.")
@_asks
def calls(
    *,
    question: Question,
    file: Annotated[Path, typer.Argument(help="Where to write it; it must not exist yet.")],
    url: Url = DEFAULT_URL,
    token: Token = "",
) -> None:
    """The same with names and numbers, for those who may read calls."""
    _write(file, lambda: Api(url, token).take("/query/calls.csv", question.body(), seconds=ASK_SECONDS))


def _write(file: Path, take: Callable[[], str]) -> None:
    """The file is made first: what cannot be kept is not asked for, since each export stands in the audit chain."""
    try:
        with file.open("x", encoding="utf-8", newline="") as target:
            file.chmod(0o600)
            text = take()
            target.write(text)
    except OSError as error:
        raise OperatorError(f"{file} cannot be written ({error.strerror})", reason="no_write") from error
    except RingfenceError:
        file.unlink()
        raise
    typer.echo(f"{text.count(chr(10)) - 1:,} calls in {file}, readable by you alone", err=True)
