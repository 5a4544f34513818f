"""`ringfence backtest`: what the rules would have said about calls that are over, without a running service.

Reads files, hands them to `detection.backtest`, and shows figures: a table or one JSON object on stdout, alerts as JSON lines, a page to
pass on. Progress goes to stderr.
"""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ringfence.apps.cli.backtest_page import backtest_page
from ringfence.archive.call_files import Reading, expand, read_calls, read_registrations
from ringfence.base.errors import OperatorError
from ringfence.base.money import as_euro, show_euro
from ringfence.detection.agent import Result, RuleFigures, RuleSet, backtest, built_in_rules, public_holidays, read_rules
from ringfence.detection.model import encode_alert
from ringfence.subscribers.model import Account, BadRow, Segment
from ringfence.subscribers.sheets import read_accounts, read_networks
from ringfence.telephony.call_records import CallRecord, row_of_call
from ringfence.telephony.control import AccountChanged
from ringfence.telephony.decks import default_deck_text
from ringfence.telephony.emergency import emergency_calls
from ringfence.telephony.model import AccountRow, account_key_of, account_slot
from ringfence.telephony.numbers import plan_for
from ringfence.telephony.pricing import Pricing
from ringfence.telephony.rates import read_deck

KEY = b"backtest"
"""Keys of this run alone: ids of alerts do not depend on them."""

app = typer.Typer(add_completion=False)


@app.command()
def run(
    calls: Annotated[list[str], typer.Option("--calls", help="Call records: CSV or Parquet, a file or a glob.")],
    more: Annotated[list[str] | None, typer.Argument(help="More files or globs of call records.")] = None,
    registrations: Annotated[
        list[str] | None, typer.Option("--registrations", help="Registrations: checked and counted; no rule of this version uses them.")
    ] = None,
    accounts: Annotated[
        Path | None, typer.Option("--accounts", help="Accounts with segment, channels, since, exempt_until, sensitivity.")
    ] = None,
    networks: Annotated[Path | None, typer.Option("--networks", help="The operator's own networks: checked and counted.")] = None,
    rates: Annotated[Path | None, typer.Option("--rates", help="Rate deck (default: the built-in one).")] = None,
    rules: Annotated[Path | None, typer.Option("--rules", help="Rules (default: the built-in ones).")] = None,
    alerts: Annotated[Path | None, typer.Option("--alerts", help="Write every alert there as JSON lines.")] = None,
    report: Annotated[Path | None, typer.Option("--report", help="Write a page there that needs nothing else.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of the table.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="End at the first row that cannot be read.")] = False,
    country: Annotated[str, typer.Option("--country", help="Country of the dial plan and of the public holidays.")] = "DE",
    dial_plan: Annotated[
        str, typer.Option("--dial-plan", help="Own area codes, such as 30,40: a number without one belongs to the first.")
    ] = "",
    emergency: Annotated[str, typer.Option("--emergency", help="Emergency numbers.")] = "110,112",
    time_zone: Annotated[str, typer.Option("--time-zone", help="Zone in which nights, weekends and holidays are meant.")] = "Europe/Berlin",
    region: Annotated[str, typer.Option("--region", help="Region whose public holidays hold, such as BE.")] = "",
    reaction_seconds: Annotated[
        int, typer.Option("--reaction-seconds", min=0, help="From an alert to the block, for the loss avoided.")
    ] = 60,
) -> None:
    """Judge past calls by the rules: alerts, accounts, cost seen, loss avoided."""
    rule_set = read_rules(_text(rules) if rules else built_in_rules())
    reading = read_calls(expand([*calls, *(more or [])]), strict=strict)
    registered = read_registrations(expand(registrations), strict=strict) if registrations else None
    rows = _rows(reading, _pricing(country, dial_plan, emergency, rates, reading))
    known = _accounts(accounts, strict=strict)
    owned = _networks(networks, strict=strict)
    years = range(_year(rows[0].started_ms) - 1, _year(rows[-1].started_ms) + 2) if rows else ()
    holidays = public_holidays(country.upper(), region, years)
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("Judging", total=None)
        result = backtest(
            rows,
            rules=rule_set,
            accounts=known,
            time_zone=_zone(time_zone),
            holidays=holidays,
            reaction_ms=reaction_seconds * 1_000,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    notes = _notes(reading, registered, known, owned, rows)
    figures = _figures(result, reading, rule_set, reaction_seconds)
    if alerts:
        _write(alerts, b"".join(encode_alert(alert) + b"\n" for alert in result.alerts))
    if report:
        _write(report, backtest_page(result, rule_set, notes, reaction_seconds).encode())
    if as_json:
        typer.echo(json.dumps(figures))
        return
    _show(result, notes, reaction_seconds)


def _pricing(country: str, dial_plan: str, emergency: str, rates: Path | None, reading: Reading[CallRecord]) -> Pricing:
    area_codes = [code for code in dial_plan.replace(" ", "").split(",") if code]
    plan = plan_for(country, area_codes)
    # A call is priced by the deck of its own time; of several versions in one file, by the one in force when the calls end.
    at_ms = reading.records[-1].started_ms if reading.records else 0
    deck = (
        read_deck(_text(rates), home=country.upper(), at_ms=at_ms)
        if rates
        else read_deck(default_deck_text(), home=country.upper(), at_ms=at_ms)
    )
    numbers = [number for number in emergency.replace(" ", "").split(",") if number]
    return Pricing(key=KEY, plan=plan, emergency=emergency_calls(plan.country_code, area_codes, numbers), deck=deck)


def _rows(reading: Reading[CallRecord], pricing: Pricing) -> list[AccountRow]:
    rows = (row_of_call(record, pricing, key=KEY, now_ms=record.started_ms) for record in reading.records)
    return [row for row in rows if row is not None]


def _accounts(path: Path | None, *, strict: bool) -> list[AccountChanged]:
    found = []
    for row in _sheet(path, read_accounts, strict=strict):
        key = account_key_of(KEY, row.account, keyed=True)
        account = Account(
            account=row.account,
            account_key=key,
            slot=account_slot(key),
            segment=row.segment or Segment.RESIDENTIAL,
            channels=row.channels or 1,
            since_ms=row.since_ms or 0,
            sensitivity=row.sensitivity or 0,
            exempt_until_ms=row.exempt_until_ms or 0,
        )
        found.append(account.changed())
    return found


def _networks(path: Path | None, *, strict: bool) -> int:
    return len(_sheet(path, read_networks, strict=strict))


def _sheet(path: Path | None, read: Callable[[Any], Any], *, strict: bool) -> list[Any]:
    """Rows of an accounts or networks file; more than one per cent of bad rows, or with `strict` the first, ends the run."""
    if path is None:
        return []
    try:
        with path.open("rb") as file:
            rows = list(read(file))
    except OSError as error:
        raise OperatorError(f"{path} cannot be read: {error.strerror}.", reason="no_file") from None
    bad = [row for row in rows if isinstance(row, BadRow)]
    if bad and (strict or len(bad) * 100 > len(rows)):
        raise OperatorError(f"Line {bad[0].line} of {path} cannot be read: {bad[0].message}", reason="bad_row")
    for row in bad:
        sys.stderr.write(f"ringfence: line {row.line} of {path} is left out: {row.message}\n")
    return [row for row in rows if not isinstance(row, BadRow)]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"{path} cannot be read: {error}.", reason="no_file") from None


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {error.strerror}.", reason="not_writable") from None


def _zone(name: str) -> str:
    from zoneinfo import available_timezones

    if name not in available_timezones():
        raise OperatorError(f"{name!r} is not a time zone; write one such as Europe/Berlin.", reason="bad_time_zone")
    return name


def _year(at_ms: int) -> int:
    return datetime.fromtimestamp(at_ms / 1000, UTC).year


def _notes(reading: Reading[CallRecord], registered: Reading[Any] | None, known: list[Any], owned: int, rows: list[Any]) -> list[str]:
    """What a reader has to know about the input, in sentences."""
    notes = [f"{reading.rows:,} rows read, {len(rows):,} are outgoing calls of an account."]
    if not reading.was_sorted:
        notes.append("Rows were not in order of time and have been sorted by start.")
    if reading.bad_rows:
        first = reading.noted[0]
        notes.append(f"{reading.bad_rows:,} rows could not be read; the first is line {first.line} of {first.file}: {first.message}")
    if registered is not None:
        notes.append(f"{len(registered.records):,} registrations read; no rule of this version uses them.")
    if known:
        notes.append(f"{len(known):,} accounts have attributes; the others are residential with one channel.")
    if owned:
        notes.append(f"{owned:,} networks read; no rule of this version uses them.")
    return notes


def _figures(result: Result, reading: Reading[CallRecord], rules: RuleSet, reaction_seconds: int) -> dict[str, Any]:
    def line(figures: RuleFigures) -> dict[str, Any]:
        return {
            "rule": figures.rule,
            "name": figures.name,
            "alerts": figures.alerts,
            "critical": figures.critical,
            "accounts": figures.accounts,
            "cost_seen_eur": as_euro(figures.cost_seen_micro),
            "cost_after_eur": as_euro(figures.cost_after_micro),
        }

    assert result.total is not None
    return {
        "rows": reading.rows,
        "bad_rows": reading.bad_rows,
        "bad_rows_by_reason": reading.bad,
        "sorted": not reading.was_sorted,
        "calls": result.calls,
        "cost_eur": as_euro(result.cost_micro),
        "rule_version": rules.version,
        "reaction_seconds": reaction_seconds,
        "rules": [line(figures) for figures in result.rules],
        "total": line(result.total),
    }


def _show(result: Result, notes: list[str], reaction_seconds: int) -> None:
    table = Table(title="What the rules would have said", title_justify="left")
    table.add_column("Rule")
    table.add_column("What", overflow="fold")
    for name in ("Alerts", "Critical", "Accounts", "Cost seen", "Loss avoided"):
        table.add_column(name, justify="right", no_wrap=True)
    assert result.total is not None
    for figures in (*result.rules, result.total):
        table.add_row(
            figures.rule,
            figures.name,
            f"{figures.alerts:,}",
            f"{figures.critical:,}",
            f"{figures.accounts:,}",
            show_euro(figures.cost_seen_micro),
            show_euro(figures.cost_after_micro),
            end_section=figures is result.rules[-1],
        )
    console = Console()
    console.print(table)
    for note in notes:
        console.print(note, highlight=False)
    console.print(
        f"Cost seen: C2+ calls of the alerted accounts. Loss avoided: those that began {reaction_seconds} s or more after the first alert.",
        highlight=False,
    )
