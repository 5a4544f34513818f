"""`ringfence backtest`: what the rules would have said about calls that are over, without a running service.

Hands files (`backtest_traffic`) to `detection.backtest` and shows figures: a table or one JSON object on stdout, alerts as JSON lines, a
page to pass on. Progress goes to stderr.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ringfence.apps.cli.backtest_page import backtest_page
from ringfence.apps.cli.backtest_traffic import Given, Traffic, text_of
from ringfence.base.errors import OperatorError
from ringfence.base.money import as_euro, show_euro
from ringfence.detection.agent import Result, RuleFigures, RuleSet, backtest, built_in_rules, read_rules
from ringfence.detection.model import encode_alert

app = typer.Typer(add_completion=False)


@app.command()
def run(
    calls: Annotated[list[str], typer.Option("--calls", help="Call records: CSV or Parquet, a file or a glob.")],
    more: Annotated[list[str] | None, typer.Argument(help="More files or globs of call records.")] = None,
    registrations: Annotated[
        list[str] | None, typer.Option("--registrations", help="Registrations: CSV or Parquet, a file or a glob; may be repeated.")
    ] = None,
    accounts: Annotated[
        Path | None, typer.Option("--accounts", help="Accounts with segment, channels, since, exempt_until, sensitivity.")
    ] = None,
    networks: Annotated[Path | None, typer.Option("--networks", help="The operator's own networks: prefix, kind.")] = None,
    origins: Annotated[
        list[Path] | None,
        typer.Option(
            "--origins", help="Where addresses belong: MaxMind DB (.mmdb) or lines of prefix, asn, country (TSV); may be repeated."
        ),
    ] = None,
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
    rule_set = read_rules(text_of(rules) if rules else built_in_rules())
    given = Given(
        calls=[*calls, *(more or [])],
        registrations=registrations or [],
        accounts=accounts,
        networks=networks,
        origins=origins or [],
        rates=rates,
        country=country,
        area_codes=_words(dial_plan),
        emergency=_words(emergency),
        time_zone=_zone(time_zone),
        region=region,
        strict=strict,
    )
    with tempfile.TemporaryDirectory(prefix="ringfence-backtest-") as folder:
        traffic = Traffic(given, Path(folder))
        with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
            task = bar.add_task("Judging", total=traffic.intake.charged)
            result = backtest(
                traffic.pieces(),
                rules=rule_set,
                time_zone=given.time_zone,
                key_of=traffic.key_of,
                control=traffic.control,
                accounts=traffic.accounts,
                reaction_ms=reaction_seconds * 1_000,
                progress=lambda done: bar.update(task, completed=done),
            )
    notes = _notes(traffic, result)
    figures = _figures(result, traffic, rule_set, reaction_seconds)
    if alerts:
        _write(alerts, b"".join(encode_alert(alert) + b"\n" for alert in result.alerts))
    if report:
        _write(report, backtest_page(result, rule_set, notes, reaction_seconds).encode())
    if as_json:
        typer.echo(json.dumps(figures))
        return
    _show(result, notes, reaction_seconds)


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


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.replace(" ", "").split(",") if word)


def _notes(traffic: Traffic, result: Result) -> list[str]:
    """What a reader has to know about the input, in sentences."""
    intake, given = traffic.intake, traffic.given
    inbound = f" and {result.inbound:,} calls towards one" if result.inbound else ""
    notes = [f"{intake.rows:,} rows read: {result.calls:,} outgoing or forwarded calls of an account{inbound}."]
    if not intake.was_sorted:
        notes.append("Rows were not in order of time and have been sorted by start.")
    if intake.bad_rows:
        first = intake.noted[0]
        notes.append(f"{intake.bad_rows:,} rows could not be read; the first is line {first.line} of {first.file}: {first.message}")
    if given.registrations:
        notes.append(f"{traffic.registrations.rows:,} registrations read: {traffic.registrations.events:,} changes and lapses.")
        if not traffic.registrations.was_sorted:
            notes.append("Registrations were not in order of time and have been sorted.")
        if traffic.registrations.bad_rows:
            notes.append(f"{traffic.registrations.bad_rows:,} registrations could not be read; {traffic.registrations.first_bad}")
    else:
        notes.append("Without --registrations, rules about devices and passwords see calls only.")
    if traffic.accounts:
        notes.append(f"{traffic.accounts:,} accounts have attributes; the others are residential with one channel.")
    if not traffic.networks:
        notes.append("Without --networks, every address counts as foreign.")
    return notes


def _figures(result: Result, traffic: Traffic, rules: RuleSet, reaction_seconds: int) -> dict[str, Any]:
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
        "rows": traffic.intake.rows,
        "bad_rows": traffic.intake.bad_rows,
        "bad_rows_by_reason": traffic.intake.bad,
        "sorted": not traffic.intake.was_sorted,
        "calls": result.calls,
        "inbound_calls": result.inbound,
        "registrations": traffic.registrations.rows,
        "cost_eur": as_euro(result.cost_micro),
        "rule_version": rules.version,
        "reaction_seconds": reaction_seconds,
        "rules": [line(figures) for figures in result.rules],
        "total": line(result.total),
    }


def _show(result: Result, notes: list[str], reaction_seconds: int) -> None:
    table = Table(title="What the rules would have said", title_justify="left")
    table.add_column("Rule")
    table.add_column("What", min_width=20)
    for name in ("Alerts", "Critical", "Accounts", "Cost seen", "Loss avoided"):
        table.add_column(name, justify="right", no_wrap=True)
    assert result.total is not None
    speaking = [figures for figures in result.rules if figures.alerts]
    for figures in (*speaking, result.total):
        table.add_row(
            figures.rule,
            figures.name,
            f"{figures.alerts:,}",
            f"{figures.critical:,}",
            f"{figures.accounts:,}",
            show_euro(figures.cost_seen_micro),
            show_euro(figures.cost_after_micro),
            end_section=bool(speaking) and figures is speaking[-1],
        )
    console = Console()
    console.print(table)
    if quiet := [figures.rule for figures in result.rules if not figures.alerts]:
        console.print(f"Without an alert: {', '.join(quiet)}.", highlight=False)
    for note in notes:
        console.print(note, highlight=False)
    console.print(
        "Cost seen: C2+ calls of the accounts that alerts name. "
        f"Loss avoided: those that began {reaction_seconds} s or more after the first alert.",
        highlight=False,
    )
