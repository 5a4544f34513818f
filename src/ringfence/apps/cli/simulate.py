"""`ringfence simulate`: labelled traffic of a whole operator, as files of the formats that `backtest` and others read, and its devices.

Joins the generators with the writer of Parquet files, and runs devices against an ACS; it decides nothing about either.
Progress goes to stderr, the sums to stdout.
"""

import asyncio
import csv
import json
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ringfence.archive.record_writer import (
    Addresses,
    Column,
    Contacts,
    Digits,
    Identities,
    Moments,
    PhoneNumbers,
    RecordWriter,
    Truths,
    Whole,
    Words,
)
from ringfence.base.errors import OperatorError
from ringfence.simulators.devices.behaviour import Behaviour, Oddity, read_behaviour
from ringfence.simulators.devices.factory import Factory
from ringfence.simulators.devices.models import built_in, read_models
from ringfence.simulators.devices.phones import Phones
from ringfence.simulators.devices.wake import Doorbell
from ringfence.simulators.devices.wire import target_of
from ringfence.simulators.devices.world import FACTORY_PASSWORD, World, WorldSettings
from ringfence.simulators.traffic import population, sources
from ringfence.simulators.traffic.columns import Calls, Registrations
from ringfence.simulators.traffic.fraud import SCENARIOS, cases_of
from ringfence.simulators.traffic.simulation import DEFAULT_START, Simulation, simulation
from ringfence.simulators.traffic.truth import ordinary_rows, truth_rows
from ringfence.telephony.decks import default_deck_text
from ringfence.telephony.rates import read_deck

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Traffic of a made-up operator with the truth beside it, and its devices."
)

HOME = "DE"
DIRECTIONS = ("out", "in", "forwarded")


@app.callback()
def _group() -> None:
    """Traffic of a made-up operator, with the truth beside it."""


@app.command()
def calls(
    out: Annotated[Path | None, typer.Option("--out", help="A new or empty folder for the files.")] = None,
    accounts: Annotated[int, typer.Option("--accounts", help="SIP accounts.")] = 100_000,
    days: Annotated[int, typer.Option("--days", help="Local days.")] = 30,
    fraud: Annotated[str, typer.Option("--fraud", help="all, none, or scenarios with commas, each with :COUNT if need be.")] = "all",
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed makes the same traffic.")] = 1,
    start: Annotated[str, typer.Option("--start", help="The first day, such as 2025-12-08.")] = DEFAULT_START.isoformat(),
    progress: Annotated[bool, typer.Option("--progress/--no-progress", help="Show a bar on stderr.")] = True,
    listing: Annotated[bool, typer.Option("--list", help="Name the scenarios and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object about what was written.")] = False,
) -> None:
    """Write calls, registrations, accounts and networks of a made-up operator, and the truth about its fraud."""
    if listing:
        for name, scenario in SCENARIOS.items():
            typer.echo(f"{name:<15} {scenario.sentence}")
        return
    folder = _empty_folder(out)
    cases = cases_of(fraud, accounts=accounts, days=days)
    planned = simulation(accounts=accounts, days=days, seed=seed, start=_day(start), cases=cases)
    written = _write_days(planned, folder, shown=progress)
    written |= _write_around(planned, folder)
    facts = {"accounts": accounts, "days": days, "seed": seed, "start": start, "fraud": cases, **written}
    (folder / "manifest.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        typer.echo(
            f"{folder}: {written['calls']:,} calls and {written['registrations']:,} registrations of {accounts:,} accounts in {days} days, "
            f"{written['cases']:,} cases of fraud with {written['fraud_calls']:,} calls for EUR {written['fraud_eur']:,.2f}."
        )


@app.command()
def devices(
    acs: Annotated[str, typer.Option("--acs", help="URL of the ACS.")],
    count: Annotated[int, typer.Option("--devices", min=1, max=200_000, help="How many.")] = 100,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, help="Real seconds to run.")] = 60.0,
    trees: Annotated[Path | None, typer.Option("--trees", help="A folder of CSV files with trees; else two made-up models.")] = None,
    behaviour: Annotated[Path | None, typer.Option("--behaviour", help="A TOML file about how they behave.")] = None,
    oddity: Annotated[list[Oddity] | None, typer.Option("--oddity", help="A habit of real devices; may be repeated.")] = None,
    scale: Annotated[float, typer.Option("--scale", min=0.01, max=100_000, help="Simulated seconds in a real one.")] = 1.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed makes the same devices.")] = 1,
    password: Annotated[str, typer.Option("--password", help="Of the factory; {serial} is the serial number.")] = FACTORY_PASSWORD,
    ca: Annotated[Path | None, typer.Option("--ca", help="Certificates to trust, PEM.")] = None,
    certificate: Annotated[Path | None, typer.Option("--certificate", help="Certificate and key of all devices, PEM.")] = None,
    certificates: Annotated[
        Path | None, typer.Option("--certificates", help="A folder for a certificate of each device; those that are missing are made.")
    ] = None,
    sip: Annotated[str, typer.Option("--sip", help="HOST:PORT of the SIP edge at which their telephones register.")] = "",
    domain: Annotated[str, typer.Option("--domain", help="Their SIP domain.")] = "sip.example.net",
    register_seconds: Annotated[float, typer.Option("--register-seconds", min=1, help="Simulated seconds between two REGISTERs.")] = 3600.0,
    listening: Annotated[int, typer.Option("--listening", min=0, max=10_000, help="So many hear connection requests (HTTP).")] = 0,
    spread: Annotated[bool, typer.Option("--spread", help="Give each an address of its own in 127.0.0.0/8.")] = False,
    power_cut: Annotated[float, typer.Option("--power-cut", min=0, help="Real seconds until all lose power; 0 is never.")] = 0.0,
    progress: Annotated[bool, typer.Option("--progress/--no-progress", help="Show a bar on stderr.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object about what happened.")] = False,
) -> None:
    """Run devices of TR-069 against an ACS for a while, and count what happened."""
    told = read_behaviour(_text(behaviour)) if behaviour is not None else Behaviour()
    if oddity:
        told = msgspec.structs.replace(told, oddities=tuple(dict.fromkeys((*told.oddities, *oddity))))
    target_of(acs)
    settings = WorldSettings(
        acs=acs,
        devices=count,
        models=built_in() if trees is None else read_models(trees),
        behaviour=told,
        seed=seed,
        scale=scale,
        password=password,
        tls=_trust(ca, certificate),
        spread=spread,
        authority=ca,
        certificates=certificates,
    )
    around = _Around(sip=_edge(sip), domain=domain, register_seconds=register_seconds, listening=listening, power_cut=power_cut)
    facts = asyncio.run(_live(settings, seconds, around, shown=progress))
    if as_json:
        typer.echo(json.dumps(facts))
        return
    for name, value in facts.items():
        typer.echo(f"{name:<24} {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Around:
    """What happens to devices besides their sessions."""

    sip: tuple[str, int] | None
    domain: str
    register_seconds: float
    listening: int
    power_cut: float


async def _live(settings: WorldSettings, seconds: float, around: _Around, *, shown: bool) -> dict[str, Any]:
    """Run a world for so many seconds; its report."""
    world = World(settings)
    if settings.certificates is not None:
        await asyncio.to_thread(_make_certificates, world, settings.certificates)
    bells = [Doorbell(device, "127.0.0.1") for device in world.devices[: around.listening]]
    phones: Phones | None = None
    try:
        for bell in bells:
            await bell.open()
        world.start_all()
        if around.sip is not None:
            phones = await Phones.open(world, around.sip, domain=around.domain, every_seconds=around.register_seconds)
        if around.power_cut:
            asyncio.get_running_loop().call_later(around.power_cut, world.power_cut)
        await _watch(world, seconds, shown=shown)
        return world.report()
    finally:
        if phones is not None:
            phones.close()
        for bell in bells:
            await bell.close()
        await world.close()


async def _watch(world: World, seconds: float, *, shown: bool) -> None:
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as bar:
        task = bar.add_task("devices", total=seconds)
        while (left := ends - loop.time()) > 0:
            await asyncio.sleep(min(0.5, left))
            done = world.counters["sessions_done"]
            bar.update(task, completed=seconds - max(0.0, left), description=f"{done:,} sessions")


def _make_certificates(world: World, folder: Path) -> None:
    factory = Factory(folder)
    for device in world.devices:
        factory.certificate(device.identity.serial_number, device.login()[0])


def _edge(text: str) -> tuple[str, int] | None:
    if not text:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65_536:
        raise OperatorError(f"{text[:60]!r} is no address such as 127.0.0.1:5060.", reason="bad_option")
    return host, int(port)


def _trust(ca: Path | None, certificate: Path | None) -> ssl.SSLContext | None:
    if ca is None and certificate is None:
        return None
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
        if certificate is not None:
            context.load_cert_chain(certificate)
    except OSError as refused:  # ssl.SSLError is one.
        raise OperatorError(f"The certificates cannot be used: {refused}.", reason="bad_certificate") from None
    return context


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as refused:
        raise OperatorError(f"{path} cannot be read: {refused}.", reason="bad_behaviour") from None


def _write_days(planned: Simulation, folder: Path, *, shown: bool) -> dict[str, Any]:
    """One file of calls and one of registrations a day."""
    for name in ("calls", "registrations"):
        (folder / name).mkdir()
    rows = registered = 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as bar:
        task = bar.add_task("days", total=len(planned.days))
        for day in planned.days:
            with RecordWriter(folder / "calls" / f"{day.date}.parquet") as file:
                file.write(call_columns(planned.calls(day)))
                rows += file.rows
            with RecordWriter(folder / "registrations" / f"{day.date}.parquet") as file:
                file.write(registration_columns(planned.registrations(day)))
                registered += file.rows
            bar.advance(task)
    return {"calls": rows, "registrations": registered}


def _write_around(planned: Simulation, folder: Path) -> dict[str, Any]:
    """Everything but the days; what the truth sums up to."""
    text = default_deck_text()
    (folder / "rates.csv").write_text(text, encoding="utf-8")
    first_ms = planned.days[0].start_ms
    truth = list(truth_rows(planned.attack, read_deck(text, home=HOME, at_ms=first_ms)))
    _write_lines(folder / "truth.jsonl", truth)
    _write_lines(folder / "ordinary.jsonl", ordinary_rows(planned.who))
    hostile = planned.attack.calls
    with RecordWriter(folder / "labels.parquet") as file:
        names = tuple(case.case_id for case in planned.attack.cases) or ("",)
        file.write({"call_id": Identities(hostile.call_id), "case_id": Words(hostile.case, names)})
    _write_table(
        folder / "accounts.csv", ("account", "customer", "segment", "channels", "since", "country", "own_device"), _accounts(planned)
    )
    _write_table(folder / "networks.csv", ("prefix", "kind", "comment"), sources.network_rows())
    with (folder / "origins.tsv").open("w", encoding="utf-8") as file_of_origins:
        file_of_origins.writelines(f"{prefix}\t{asn}\t{country}\n" for prefix, asn, country in sources.origin_rows())
    return {"cases": len(truth), "fraud_calls": hostile.length, "fraud_eur": round(sum(row["cost_eur"] for row in truth), 2)}


def call_columns(rows: Calls) -> dict[str, Column]:
    """Calls as the columns of the format."""
    answered = rows.talk_ms >= 0
    answer_ms = rows.started_ms + rows.ring_ms
    return {
        "call_id": Identities(rows.call_id),
        "account": Digits(rows.account),
        "caller": PhoneNumbers(rows.caller),
        "callee": PhoneNumbers(rows.callee),
        "source_ip": Addresses(rows.source),
        "user_agent": Words(rows.user_agent, sources.USER_AGENTS),
        "edge": Words(rows.edge, sources.EDGES),
        "started_at": Moments(rows.started_ms),
        "answered_at": Moments(np.where(answered, answer_ms, 0)),
        "ended_at": Moments(answer_ms + np.maximum(rows.talk_ms, 0)),
        "status_code": Whole(rows.status),
        "direction": Words(rows.direction, DIRECTIONS),
        "forwarded_by": Digits(rows.forwarded_by),
        "authenticated": Truths(rows.authenticated),
        "ring_seconds": Whole(rows.ring_ms // 1000),
    }


def registration_columns(rows: Registrations) -> dict[str, Column]:
    """Registrations as the columns of the format."""
    return {
        "at": Moments(rows.at_ms),
        "account": Digits(rows.account),
        "source_ip": Addresses(rows.source),
        "user_agent": Words(rows.user_agent, sources.USER_AGENTS),
        "contact": Contacts(rows.account, rows.contact_host, rows.contact_port),
        "expires": Whole(rows.expires),
        "status_code": Whole(rows.status),
    }


def _accounts(planned: Simulation) -> Iterator[tuple[object, ...]]:
    who = planned.who
    first = planned.days[0].date
    since = {int(day): (first + timedelta(days=int(day))).isoformat() for day in np.unique(who.since_day)}
    own = who.user_agent >= sources.FIRST_PHONE
    columns = (who.number, who.place // 3, who.segment, who.channels, who.since_day, own)
    for number, customer, segment, channels, day, own_device in zip(*(column.tolist() for column in columns), strict=True):
        yield number, f"C{customer:07}", population.SEGMENTS[segment], channels, since[day], HOME, "true" if own_device else "false"


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)


def _write_table(path: Path, header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _empty_folder(out: Path | None) -> Path:
    if out is None:
        raise OperatorError("Say where the files go: --out FOLDER.", reason="no_folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise OperatorError(f"{out} is not empty; name a new folder.", reason="folder_not_empty")
    except OSError as refused:
        raise OperatorError(f"{out} cannot be used: {refused.strerror or refused}.", reason="no_folder") from None
    return out


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise OperatorError(f"{text[:40]!r} is no day such as 2025-12-08.", reason="bad_day") from None
