"""`ringfence query`: ask, export."""

from collections.abc import Callable
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

Since = Annotated[str, typer.Option("--from", help="ISO 8601 with a zone; default: --days before the end.")]
Until = Annotated[str, typer.Option("--to", help="ISO 8601 with a zone; default: now.")]
Days = Annotated[int, typer.Option(min=1, max=400, help="So many days before the end.")]
Account = Annotated[str, typer.Option(help="Of this account.")]
Caller = Annotated[str, typer.Option(help="From numbers that begin so.")]
Callee = Annotated[str, typer.Option(help="To numbers that begin so.")]
Country = Annotated[str, typer.Option(help="To this country, two letters.")]
AtLeast = Annotated[int, typer.Option("--class", min=0, max=5, help="Of this destination class or dearer.")]
Source = Annotated[str, typer.Option(help="From this address or network.")]
UserAgent = Annotated[str, typer.Option(help="From devices whose User-Agent has this in it.")]
Status = Annotated[int, typer.Option(min=0, max=699, help="That ended with this SIP status.")]
Seconds = Annotated[int, typer.Option(min=0, help="That lasted so long at least.")]
Cost = Annotated[str, typer.Option(help="That cost so many euro at least.")]


@client.command("ask", permission=Permission.CALL_READ, route="POST /v1/query", help="Calls that fit, or what they add up to.")
def ask(
    group: Annotated[str, typer.Option("--by", help="account, destination, country, source, hour or day; default: single calls.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Lines at the most.")] = 200,
    since: Since = "",
    until: Until = "",
    days: Days = 1,
    account: Account = "",
    caller: Caller = "",
    callee: Callee = "",
    country: Country = "",
    class_at_least: AtLeast = 0,
    source: Source = "",
    user_agent: UserAgent = "",
    status: Status = 0,
    seconds: Seconds = 0,
    cost: Cost = "",
    url: Url = DEFAULT_URL,
    token: Token = "",
    as_json: AsJson = False,
) -> None:
    """Ask the history."""
    entry = _entry(since, until, days, account, caller, callee, country, class_at_least, source, user_agent, status, seconds, cost)
    told = Api(url, token).post("/query", entry | {"group": group, "limit": limit}, seconds=ASK_SECONDS)
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
def export(
    file: Annotated[Path, typer.Argument(help="Where to write it; it must not exist yet.")],
    since: Since = "",
    until: Until = "",
    days: Days = 1,
    account: Account = "",
    caller: Caller = "",
    callee: Callee = "",
    country: Country = "",
    class_at_least: AtLeast = 0,
    source: Source = "",
    user_agent: UserAgent = "",
    status: Status = 0,
    seconds: Seconds = 0,
    cost: Cost = "",
    url: Url = DEFAULT_URL,
    token: Token = "",
) -> None:
    """Take calls away; the audit chain says who did and what was asked."""
    entry = _entry(since, until, days, account, caller, callee, country, class_at_least, source, user_agent, status, seconds, cost)
    _write(file, lambda: Api(url, token).take("/query/export.csv", entry, seconds=ASK_SECONDS))


@client.command("calls", permission=Permission.CALL_READ, route="POST /v1/query/calls.csv", help="Calls that fit, as a CSV file.")
def calls(
    file: Annotated[Path, typer.Argument(help="Where to write it; it must not exist yet.")],
    since: Since = "",
    until: Until = "",
    days: Days = 1,
    account: Account = "",
    caller: Caller = "",
    callee: Callee = "",
    country: Country = "",
    class_at_least: AtLeast = 0,
    source: Source = "",
    user_agent: UserAgent = "",
    status: Status = 0,
    seconds: Seconds = 0,
    cost: Cost = "",
    url: Url = DEFAULT_URL,
    token: Token = "",
) -> None:
    """The same with names and numbers, for those who may read calls."""
    entry = _entry(since, until, days, account, caller, callee, country, class_at_least, source, user_agent, status, seconds, cost)
    _write(file, lambda: Api(url, token).take("/query/calls.csv", entry, seconds=ASK_SECONDS))


def _entry(
    since: str,
    until: str,
    days: int,
    account: str,
    caller: str,
    callee: str,
    country: str,
    class_at_least: int,
    source: str,
    user_agent: str,
    status: int,
    seconds: int,
    cost: str,
) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "from": since or None,
        "to": until or None,
        "days": days,
        "account": account,
        "caller": caller,
        "callee": callee,
        "country": country,
        "class_at_least": class_at_least,
        "source": source,
        "user_agent": user_agent,
        "status": status,
        "seconds_at_least": seconds,
        "cost_at_least_eur": cost,
    }
    return fields


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
