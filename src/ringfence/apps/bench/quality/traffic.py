"""Labelled traffic from a folder of `ringfence simulate calls`, as the pipeline would have seen it, with the truth about each call."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from ringfence.archive.call_files import read_registrations
from ringfence.archive.call_tables import call_tables, text_columns
from ringfence.detection.agent import public_holidays
from ringfence.subscribers.model import BadRow, Segment
from ringfence.subscribers.sheets import read_accounts, read_networks
from ringfence.telephony.columns import MAX_ROWS, RowBatch, batch_of, joined
from ringfence.telephony.control import AccountChanged, ControlRecord, HolidaysChanged, NetworksChanged
from ringfence.telephony.emergency import emergency_calls
from ringfence.telephony.model import AccountRow, account_key_of, account_slot, call_key_of
from ringfence.telephony.networks import OwnNetworks, SourceBook, read_origins
from ringfence.telephony.numbers import plan_for
from ringfence.telephony.pricing import Pricing
from ringfence.telephony.rates import read_deck
from ringfence.telephony.registrations import RegistrationTracker
from ringfence.telephony.senders import Senders
from ringfence.telephony.user_agents import AgentFamilies

KEY: Final = b"quality"
HOME: Final = "DE"
TIME_ZONE: Final = "Europe/Berlin"


class Case(msgspec.Struct, frozen=True):
    """One case of fraud, as the generator tells it."""

    case_id: str
    scenario: str
    first_at: datetime
    last_at: datetime
    calls: int
    cost_eur: float
    account: str = ""
    accounts: tuple[str, ...] = ()
    accounts_tried: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    calling_numbers: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def first_ms(self) -> int:
        """When its first call began, Unix milliseconds."""
        return round(self.first_at.timestamp() * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What happened."""

    cases: tuple[Case, ...]
    case_of_call: dict[int, str]
    """By call key."""
    victims: frozenset[str]
    """Accounts that any case used, or tried to use."""


class Traffic:
    """A folder's calls and registrations, a day at a time."""

    def __init__(self, folder: Path, *, history: Path | None = None) -> None:
        """`history`: a folder of the same population's time before, without fraud."""
        self._folder = folder
        self._history = history
        plan = plan_for(HOME, [])
        first_ms = round(datetime.fromisoformat(f"{self._days()[0].stem}T00:00:00+01:00").timestamp() * 1000)
        deck = read_deck((folder / "rates.csv").read_text("utf-8"), home=HOME, at_ms=first_ms)
        emergency = emergency_calls(plan.country_code, [], ["110", "112"])
        self.pricing = Pricing(key=KEY, plan=plan, emergency=emergency, deck=deck)
        with (folder / "networks.csv").open("rb") as file:
            rows = [row for row in read_networks(file) if not isinstance(row, BadRow)]
        self.networks = tuple((str(network.prefix), str(network.kind)) for _, network in rows)
        with (folder / "origins.tsv").open("r", encoding="utf-8") as lines:
            sources = SourceBook(KEY, home=HOME, origins=[read_origins(lines)])
        sources.use(OwnNetworks(self.networks))
        self.senders = Senders(sources, AgentFamilies(KEY))

    @property
    def days(self) -> int:
        """Local days of calls."""
        return len(self._days())

    @property
    def history_days(self) -> int:
        """Local days of the time before."""
        return len(self._days_before())

    @property
    def accounts(self) -> int:
        """Accounts of the operator."""
        with (self._folder / "accounts.csv").open("rb") as file:
            return sum(1 for _ in file) - 1

    def control(self) -> list[ControlRecord]:
        """What a detector knows before the first call: accounts, networks, holidays."""
        days = self._days()
        years = range(int(days[0].stem[:4]) - 1, int(days[-1].stem[:4]) + 2)
        holidays = HolidaysChanged(days=public_holidays(HOME, "", years), time_zone=TIME_ZONE)
        return [holidays, NetworksChanged(version=1, networks=self.networks), *self._accounts()]

    def pieces(self) -> Iterator[RowBatch]:
        """Whole calls and registrations of each day."""
        tracker = RegistrationTracker(key=KEY, keyed=True, senders=self.senders)
        for path in self._days():
            parts = list(call_tables([path], pricing=self.pricing, senders=self.senders, key=KEY))
            registered = self._registrations(self._folder / "registrations" / path.name, tracker)
            yield joined([*parts, *registered])

    def before(self) -> Iterator[RowBatch]:
        """Whole calls of the time before, by time."""
        yield from call_tables(self._days_before(), pricing=self.pricing, senders=self.senders, key=KEY)

    def truth(self) -> Truth:
        """Cases and labels."""
        lines = (self._folder / "truth.jsonl").read_text("utf-8").splitlines()
        cases = tuple(msgspec.convert(json.loads(line), Case, strict=False) for line in lines)
        call_ids, case_ids = text_columns(self._folder / "labels.parquet", ("call_id", "case_id"))
        return Truth(
            cases=cases,
            case_of_call={call_key_of(KEY, call_id): case_id for call_id, case_id in zip(call_ids, case_ids, strict=True)},
            victims=frozenset(name for case in cases for name in (case.account, *case.accounts, *case.accounts_tried) if name),
        )

    def _days(self) -> list[Path]:
        return sorted((self._folder / "calls").glob("*.parquet"))

    def _days_before(self) -> list[Path]:
        return sorted((self._history / "calls").glob("*.parquet")) if self._history is not None else []

    def _accounts(self) -> Iterator[AccountChanged]:
        with (self._folder / "accounts.csv").open("rb") as file:
            for row in read_accounts(file):
                if isinstance(row, BadRow):
                    continue
                key = account_key_of(KEY, row.account, keyed=True)
                yield AccountChanged(
                    account=row.account,
                    account_key=key,
                    slot=account_slot(key),
                    segment=(row.segment or Segment.RESIDENTIAL).value,
                    channels=row.channels or 1,
                    since_ms=row.since_ms or 0,
                    own_device=bool(row.own_device),
                )

    def _registrations(self, path: Path, tracker: RegistrationTracker) -> Iterator[RowBatch]:
        rows: list[AccountRow] = []
        for record in read_registrations([path]).records if path.exists() else ():
            due = tracker.next_timeout()
            if due is not None and due <= record.at_ms:
                rows += tracker.handle_timeout(record.at_ms)
            rows += tracker.receive_record(record, "edge", record.at_ms)
        for start in range(0, len(rows), MAX_ROWS):
            yield batch_of(rows[start : start + MAX_ROWS])


def fraud_keys(truth: Truth) -> NDArray[np.int64]:
    """Account keys of everybody that a case used, ascending."""
    return np.sort(np.array([account_key_of(KEY, name, keyed=True) for name in truth.victims], np.int64))
