"""A whole simulation: population, days, ordinary life and fraud, joined a day at a time and in order of time.

Nothing is remembered between two days, so any day can be made alone and memory holds one of them. The one thing to know: fraud is planned
before the first day from generators of its own, so ordinary traffic is the same with it and without.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from ringfence.base.errors import OperatorError
from ringfence.simulators.traffic import calendar, fraud, lines, ordinary, population
from ringfence.simulators.traffic.calendar import Day
from ringfence.simulators.traffic.columns import Calls, Registrations
from ringfence.simulators.traffic.population import Population

MAX_ACCOUNTS = 20_000_000
MAX_DAYS = 730
DEFAULT_START = date(2025, 12, 8)
"""A Monday; thirty days from it hold Christmas and New Year's Eve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What was planned. `day` makes one day of it."""

    seed: int
    who: Population
    days: Sequence[Day]
    attack: fraud.Attack

    def calls(self, day: Day) -> Calls:
        """All calls that start on a day, by start."""
        rows = ordinary.calls_of_day(self.who, day, seed=self.seed)
        hostile = self.attack.calls
        first, last = np.searchsorted(hostile.started_ms, [day.start_ms, day.end_ms])
        return Calls.merged([rows, hostile.take(slice(first, last))]) if last > first else rows

    def registrations(self, day: Day) -> Registrations:
        """All registrations of a day, by time."""
        rows = lines.registrations_of_day(self.who, day, seed=self.seed)
        hostile = self.attack.registrations
        first, last = np.searchsorted(hostile.at_ms, [day.start_ms, day.end_ms])
        return Registrations.joined([rows, hostile.take(slice(first, last))]).sorted() if last > first else rows


def simulation(*, accounts: int, days: int, seed: int, start: date = DEFAULT_START, cases: Mapping[str, int]) -> Simulation:
    """Plan `accounts` accounts for `days` local days, and `cases` of each scenario. OperatorError for a size out of bounds."""
    if not 1 <= accounts <= MAX_ACCOUNTS:
        raise OperatorError(f"{accounts} accounts are not between 1 and {MAX_ACCOUNTS:,}.", reason="bad_accounts")
    if not 1 <= days <= MAX_DAYS:
        raise OperatorError(f"{days} days are not between 1 and {MAX_DAYS}.", reason="bad_days")
    calendar_days = calendar.days_from(start, days)
    who = population.people(accounts, seed=seed, days=days, first_ms=calendar_days[0].start_ms)
    return Simulation(seed=seed, who=who, days=calendar_days, attack=fraud.planned(cases, who, calendar_days, seed=seed))
