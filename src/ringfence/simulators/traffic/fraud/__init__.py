"""Every shape of toll fraud that is known from published cases, as scenarios with a name; what they did is the truth of a simulation.

`planned` writes all cases before the first day. The one thing to know: a scenario has accounts and generators of its own, so
whether it runs, and how often, changes neither ordinary traffic nor any other scenario.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ringfence.base.errors import OperatorError
from ringfence.simulators.traffic.calendar import Day
from ringfence.simulators.traffic.chance import generator, mix, salt
from ringfence.simulators.traffic.columns import Calls, Registrations
from ringfence.simulators.traffic.fraud import many, single
from ringfence.simulators.traffic.fraud.case import Case, World, no_calls, no_registrations
from ringfence.simulators.traffic.population import Population

CELLS = 32
"""Accounts fall into as many cells; a scenario has one of them, or more if each case takes many accounts."""
MAX_CASES = 10_000
LEAST_ACCOUNTS = 400
"""With fewer accounts some cell may be empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A shape of fraud: its cells (never changed once published), cases in a million account-days, and how a case is written."""

    cells: tuple[int, ...]
    frequency: float
    write: Callable[[Case], None]

    @property
    def sentence(self) -> str:
        """What happens, in a line."""
        return (self.write.__doc__ or "").strip().partition("\n")[0]


SCENARIOS: dict[str, Scenario] = {
    "stolen-abroad": Scenario(cells=(0,), frequency=4, write=single.stolen_abroad),
    "home-vpn": Scenario(cells=(1,), frequency=3, write=single.home_vpn),
    "own-device": Scenario(cells=(2,), frequency=4, write=single.own_device),
    "slow-drip": Scenario(cells=(3,), frequency=4, write=single.slow_drip),
    "premium": Scenario(cells=(4,), frequency=3, write=single.premium),
    "forwarding": Scenario(cells=(5,), frequency=3, write=single.forwarding),
    "pbx-weekend": Scenario(cells=(6,), frequency=3, write=single.pbx_weekend),
    "brute-force": Scenario(cells=(7,), frequency=3, write=single.brute_force),
    "range-attack": Scenario(cells=(8, 20, 21, 22, 23, 24), frequency=0.35, write=many.range_attack),
    "short-calls": Scenario(cells=(9,), frequency=2, write=single.short_calls),
    "wangiri": Scenario(cells=(10,), frequency=0.7, write=many.wangiri),
    "foreign-source": Scenario(cells=(11, 25, 26, 27, 28, 29), frequency=0.7, write=many.foreign_source),
    "consumer-day": Scenario(cells=(12,), frequency=2, write=single.consumer_day),
    "careful": Scenario(cells=(13,), frequency=3, write=single.careful),
    "mimic": Scenario(cells=(14,), frequency=3, write=single.mimic),
    "spread": Scenario(cells=(15,), frequency=0.35, write=single.spread),
    "flood": Scenario(cells=(16,), frequency=0.7, write=single.flood),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFacts:
    """What the truth file says of a case besides what its rows say. `victims` are account numbers."""

    case_id: str
    scenario: str
    variant: str
    victims: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """All fraud of a simulation: rows by time, and the cases that their labels point at."""

    cases: tuple[CaseFacts, ...]
    calls: Calls
    registrations: Registrations


def cases_of(text: str, *, accounts: int, days: int) -> dict[str, int]:
    """Cases by scenario from what was typed: `all`, `none`, or names, each with `:COUNT` where the default number is not meant.

    OperatorError for a name that is none, a count out of bounds, or fewer accounts than `LEAST_ACCOUNTS`.
    """
    chosen: dict[str, int] = {}
    for part in text.split(","):
        name, _, count = part.strip().partition(":")
        if name in ("none", ""):
            continue
        if name != "all" and name not in SCENARIOS:
            raise OperatorError(f"There is no scenario {name!r}; there is all, none, {', '.join(SCENARIOS)}.", reason="unknown_scenario")
        if count and not (count.isascii() and count.isdigit() and 1 <= int(count) <= MAX_CASES):
            raise OperatorError(f"{count!r} is no number of cases between 1 and {MAX_CASES:,}.", reason="bad_count")
        for one in SCENARIOS if name == "all" else (name,):
            usual = max(1, round(SCENARIOS[one].frequency * accounts * days / 1_000_000))
            chosen[one] = int(count) if count else min(usual, MAX_CASES)
    if chosen and accounts < LEAST_ACCOUNTS:
        raise OperatorError(f"Fraud needs at least {LEAST_ACCOUNTS} accounts; use more, or --fraud none.", reason="too_few_accounts")
    return chosen


def planned(cases: Mapping[str, int], who: Population, days: Sequence[Day], *, seed: int) -> Attack:
    """Write all cases. OperatorError when a scenario has more cases than accounts for them."""
    world = World(who=who, days=days, seed=seed)
    facts: list[CaseFacts] = []
    calls, registrations = [no_calls()], [no_registrations()]
    cell_of = (mix(who.place, seed, salt("cell")) % np.uint64(CELLS)).astype(np.int64)
    for name in sorted(cases):
        scenario = SCENARIOS[name]
        free = np.flatnonzero(np.isin(cell_of, scenario.cells) & (who.since_day < 0))
        free = free[np.argsort(mix(who.place[free], seed, salt("victims")), kind="stable")]
        for serial in range(cases[name]):
            if not len(free):
                raise OperatorError(
                    f"{name} has accounts for {serial} cases, not for {cases[name]}; use more accounts.", reason="too_many_cases"
                )
            case = Case(
                case_id=f"{name}-{serial + 1:04d}",
                scenario=name,
                cell=scenario.cells[0],
                serial=serial,
                world=world,
                rng=generator(seed, f"fraud {name}", serial),
                cell_accounts=free,
            )
            scenario.write(case)
            free = case.cell_accounts
            rows, entered = case.finished(len(facts))
            if not rows.length:
                continue
            calls.append(rows)
            registrations.append(entered)
            victims = tuple(int(number) for number in who.number[np.array(sorted(set(case.victims)))])
            facts.append(CaseFacts(case_id=case.case_id, scenario=name, variant=case.variant, victims=victims))
    return Attack(cases=tuple(facts), calls=Calls.joined(calls).sorted(), registrations=Registrations.joined(registrations).sorted())
