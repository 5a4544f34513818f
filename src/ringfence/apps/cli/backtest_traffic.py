"""The input of a backtest: files that a person names, as the rows that the pipeline would have made of them and what it would have known.

The one thing to know: calls and registrations go through the same pricing, senders and registration tracker as live, under keys of this run
alone; ids of alerts do not depend on those.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from ringfence.archive.call_files import Reading, expand, read_registrations
from ringfence.archive.call_intake import follow_each_other, take_in
from ringfence.archive.call_tables import call_tables
from ringfence.archive.origin_files import open_origins
from ringfence.base.errors import OperatorError
from ringfence.detection.agent import public_holidays
from ringfence.subscribers.model import Account, BadRow, Segment
from ringfence.subscribers.sheets import read_accounts, read_networks
from ringfence.telephony.call_records import RegistrationRecord
from ringfence.telephony.columns import MAX_ROWS, RowBatch, batch_of, joined, take
from ringfence.telephony.control import AccountChanged, ControlRecord, HolidaysChanged, NetworksChanged
from ringfence.telephony.decks import default_deck_text
from ringfence.telephony.emergency import emergency_calls
from ringfence.telephony.model import AccountRow, account_key_of, account_slot
from ringfence.telephony.networks import OwnNetworks, SourceBook
from ringfence.telephony.numbers import plan_for
from ringfence.telephony.pricing import Pricing
from ringfence.telephony.rates import read_deck
from ringfence.telephony.registrations import RegistrationTracker
from ringfence.telephony.senders import Senders
from ringfence.telephony.user_agents import AgentFamilies

KEY: Final = b"backtest"
EDGE: Final = "edge"
"""Where registrations are said to have arrived: their format does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the command line names."""

    calls: Sequence[str]
    registrations: Sequence[str]
    accounts: Path | None
    networks: Path | None
    origins: Sequence[Path]
    rates: Path | None
    country: str
    area_codes: Sequence[str]
    emergency: Sequence[str]
    time_zone: str
    region: str
    strict: bool


class Traffic:
    """Rows and control records of files. What has to be rewritten or sorted goes into `folder`. OperatorError for what cannot be read."""

    def __init__(self, given: Given, folder: Path) -> None:
        self.given = given
        self.intake = take_in(expand(given.calls), folder, strict=given.strict)
        known = _known_accounts(given)
        self.accounts = len(known)
        self.networks = _networks(given)
        intake = self.intake
        years = range(_year(intake.first_ms) - 1, _year(intake.last_ms) + 2) if intake.files else range(0)
        days = public_holidays(given.country.upper(), given.region, years)
        self.control: list[ControlRecord] = [HolidaysChanged(days=days, time_zone=given.time_zone)]
        if self.networks:
            self.control.append(NetworksChanged(version=1, networks=self.networks))
        self.control += known
        self._pricing = _pricing(given, intake.last_ms)
        origins = [open_origins(path, given_by="--origins") for path in given.origins]
        sources = SourceBook(KEY, home=given.country.upper(), origins=origins)
        sources.use(OwnNetworks(self.networks))
        self._senders = Senders(sources, AgentFamilies(KEY))
        self.registrations = Registrations(expand(given.registrations), self._senders, strict=given.strict)

    def key_of(self, account: str) -> int:
        """The key that rows hold of an account."""
        return account_key_of(KEY, account, keyed=True)

    def pieces(self) -> Iterator[RowBatch]:
        """Calls and registrations, in pieces that follow each other in time."""
        registered = self.registrations.batches()
        waiting = next(registered, None)
        for piece in call_tables(self.intake.files, pricing=self._pricing, senders=self._senders, key=KEY):
            parts, until_ms = [piece], int(piece.numeric["at_ms"][-1])
            while waiting is not None:
                # A batch goes with the calls of its time, and is cut where they end: the next piece begins later.
                over = int(np.searchsorted(waiting.numeric["at_ms"], until_ms, "right"))
                parts.append(take(waiting, np.arange(over)))
                if over < waiting.length:
                    waiting = take(waiting, np.arange(over, waiting.length))
                    break
                waiting = next(registered, None)
            yield joined(parts)
        if waiting is not None:
            yield waiting
            yield from registered


class Registrations:
    """Registrations as rows: what changes and what lapses, by time. Figures hold when all have been read."""

    def __init__(self, files: Sequence[Path], senders: Senders, *, strict: bool) -> None:
        self._files = files
        self._senders = senders
        self._strict = strict
        self.rows = self.events = self.bad_rows = 0
        self.first_bad = ""
        self.was_sorted = True

    def batches(self) -> Iterator[RowBatch]:
        """Rows in batches. OperatorError for files that cannot be read."""
        tracker = RegistrationTracker(key=KEY, keyed=True, senders=self._senders)
        rows: list[AccountRow] = []
        for record in self._records():
            due = tracker.next_timeout()
            if due is not None and due <= record.at_ms:
                rows += tracker.handle_timeout(record.at_ms)
            rows += tracker.receive_record(record, EDGE, record.at_ms)
            while len(rows) >= MAX_ROWS:
                yield batch_of(rows[:MAX_ROWS])
                self.events += MAX_ROWS
                del rows[:MAX_ROWS]
        if rows:
            self.events += len(rows)
            yield batch_of(rows)

    def _records(self) -> Iterator[RegistrationRecord]:
        # File by file where they follow each other, which is how a month of them fits into memory.
        for portion in [[path] for path in self._files] if follow_each_other(self._files, "at") else [self._files]:
            if not portion:
                continue
            reading = read_registrations(portion, strict=self._strict)
            self._count(reading)
            yield from reading.records

    def _count(self, reading: Reading[RegistrationRecord]) -> None:
        self.rows += reading.rows
        self.bad_rows += reading.bad_rows
        self.was_sorted = self.was_sorted and reading.was_sorted
        if reading.noted and not self.first_bad:
            first = reading.noted[0]
            self.first_bad = f"the first is line {first.line} of {first.file}: {first.message}"


def text_of(path: Path) -> str:
    """The text in a file; OperatorError when there is none."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"{path} cannot be read: {error}.", reason="no_file") from None


def _pricing(given: Given, at_ms: int) -> Pricing:
    plan = plan_for(given.country, list(given.area_codes))
    # Of several versions in one file, the deck that is in force when the calls end.
    deck = read_deck(text_of(given.rates) if given.rates else default_deck_text(), home=given.country.upper(), at_ms=at_ms)
    return Pricing(key=KEY, plan=plan, emergency=emergency_calls(plan.country_code, given.area_codes, given.emergency), deck=deck)


def _known_accounts(given: Given) -> list[AccountChanged]:
    found = []
    for row in _sheet(given.accounts, read_accounts, strict=given.strict):
        key = account_key_of(KEY, row.account, keyed=True)
        account = Account(
            account=row.account,
            account_key=key,
            slot=account_slot(key),
            segment=row.segment or Segment.RESIDENTIAL,
            channels=row.channels or 1,
            since_ms=row.since_ms or 0,
            own_device=bool(row.own_device),
            sensitivity=row.sensitivity or 0,
            exempt_until_ms=row.exempt_until_ms or 0,
            removed=row.removed,
        )
        found.append(account.changed())
    return found


def _networks(given: Given) -> tuple[tuple[str, str], ...]:
    rows = _sheet(given.networks, read_networks, strict=given.strict)
    return tuple((str(network.prefix), str(network.kind)) for _, network in rows)


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


def _year(at_ms: int) -> int:
    return datetime.fromtimestamp(at_ms / 1000, UTC).year
