"""Drill `toll-fraud`: a night with 2,000 households, and one of their accounts in a thief's hands, calling Sierra Leone.

Everything goes over the wire: SIP with digest to the edge, HEP from the edge to ingest, 603 back. The score counts what the thief's
answered calls cost to their planned end, because running calls are not ended. It passes when the account is blocked in time, no
household is refused, and the stolen account's owner still reaches 112.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from ringfence.base.clock import monotonic_seconds, system_clock
from ringfence.base.errors import UnavailableError
from ringfence.base.money import as_euro
from ringfence.drills.model import DrillResult, Timeline
from ringfence.drills.product import EDGE, Product, running_product
from ringfence.runtime.bus import Bus
from ringfence.runtime.keys import read_key
from ringfence.simulators.answerer import Answerer
from ringfence.simulators.caller import Call, Caller, CallerLine
from ringfence.simulators.kamailio import DOMAIN, Authentication, find_kamailio, start_kamailio
from ringfence.simulators.sip_edge import SipEdge, SipEdgePlan
from ringfence.telephony import decks
from ringfence.telephony.emergency import emergency_calls
from ringfence.telephony.numbers import plan_for
from ringfence.telephony.rates import Deck, read_deck

NAME = "toll-fraud"
HOUSEHOLDS = 2_000
HOUSEHOLD_CALLS_PER_SECOND = 15.0
HOUSEHOLD_LINES = 8
THIEF_EVERY_SECONDS = 0.7
THIEF_CALLS = 40
THIEF_MINUTES = 30
"""Planned length of each fraudulent call."""
QUIET_SECONDS = 4.0
AFTERMATH_SECONDS = 6.0
PASS_SECONDS = 30.0
"""From the first fraudulent call to the first refusal."""
REFUSED = 603

Progress = Callable[[str], None]


@dataclass(slots=True)
class Score:
    """What the drill saw, on the monotonic clock in seconds; 0 when it did not happen."""

    first_fraud: float = 0.0
    alerted: float = 0.0
    blocked: float = 0.0
    fraud_answered: int = 0
    fraud_refused: int = 0
    household_calls: int = 0
    household_failed: int = 0
    wrongly_refused: set[str] = field(default_factory=set)
    emergency_code: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Who plays: accounts with their passwords, the stolen one, and chance."""

    accounts: dict[str, str]
    stolen: str
    chance: random.Random


@dataclass(frozen=True, slots=True)
class Watch:
    """Where what happens is written down and told."""

    score: Score
    timeline: Timeline
    tell: Progress

    def note(self, what: str) -> float:
        """Note it now; the monotonic time."""
        now = monotonic_seconds()
        self.timeline.add(now, what)
        self.tell(what)
        return now


async def toll_fraud(folder: Path, *, seed: int, tell: Progress) -> DrillResult:
    """Run the drill in an empty folder. UnavailableError when the product or the edge cannot be started."""
    chance = random.Random(seed)
    accounts = {f"4930{7_000_000 + number}": f"pw-{number}" for number in range(HOUSEHOLDS)}
    stolen = chance.choice(sorted(accounts))
    score = Score()
    tell("starting a product of its own")
    async with running_product(folder / "product") as product:
        timeline = Timeline(started=monotonic_seconds())
        async with _edge(product, folder, accounts, tell) as proxy:
            await _night(product, proxy, Cast(accounts=accounts, stolen=stolen, chance=chance), Watch(score, timeline, tell))
    return _judge(score, timeline)


@contextlib.asynccontextmanager
async def _edge(product: Product, folder: Path, accounts: dict[str, str], tell: Progress) -> AsyncIterator[tuple[str, int]]:
    """The edge's SIP address: a real Kamailio where one is installed, else the simulated edge with the same JSON-RPC."""
    try:
        find_kamailio()
    except UnavailableError:
        tell("Kamailio is not installed: a simulated edge takes its place")
        async with await SipEdge.open(_simulated(product, accounts), system_clock) as edge:
            yield edge.sip_address
        return
    tell("starting a real Kamailio")
    async with await Answerer.open() as gateway:
        with start_kamailio(
            folder / "kamailio",
            sip_port=product.ports.sip,
            settings=product.edge_settings,
            accounts=accounts,
            gateway=gateway.address,
            authentication=Authentication.OWN,
        ) as kamailio:
            yield kamailio.sip_address


def _simulated(product: Product, accounts: dict[str, str]) -> SipEdgePlan:
    operator = product.settings.operator
    plan = plan_for(operator.country, operator.area_codes)
    deck = _deck(operator.country)
    keys = product.settings.keys_dir
    return SipEdgePlan(
        accounts=accounts,
        plan=plan,
        emergency=emergency_calls(plan.country_code, operator.area_codes, operator.emergency),
        class_of=lambda digits: deck.look_up(digits).destination_class,
        token=read_key(keys / f"edge-{EDGE}.token"),
        name=EDGE,
        hep_target=("127.0.0.1", product.ports.hep),
        hep_key=read_key(keys / f"agent-{EDGE}.key"),
        sip_port=product.ports.sip,
        rpc_port=product.ports.rpc,
    )


def _deck(country: str) -> Deck:
    return read_deck(files(decks).joinpath("default.csv").read_text(), home=country, at_ms=system_clock())


async def _night(product: Product, proxy: tuple[str, int], cast: Cast, watch: Watch) -> None:
    bus = await product.bus()
    stolen, accounts = cast.stolen, cast.accounts
    try:
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            lines = [await stack.enter_async_context(await CallerLine.open(proxy)) for _ in range(HOUSEHOLD_LINES)]
            thief_line = await stack.enter_async_context(await CallerLine.open(proxy))
            watch.note(f"{len(accounts)} households begin to call")
            tasks = [group.create_task(_households(lines, cast, watch.score)), group.create_task(_watch_alerts(bus, stolen, watch))]
            await asyncio.sleep(QUIET_SECONDS)
            thief = Caller(thief_line, stolen, accounts[stolen], DOMAIN, user_agent="eyeBeam release 3015c")
            await _thief(thief, cast.chance, watch)
            owner = Caller(lines[0], stolen, accounts[stolen], DOMAIN)
            watch.score.emergency_code = (await owner.invite("112")).answer.status_code
            watch.note(f"the owner of {stolen} calls 112: {watch.score.emergency_code}")
            await asyncio.sleep(AFTERMATH_SECONDS)
            for task in tasks:
                task.cancel()
    finally:
        await bus.close()


async def _thief(thief: Caller, chance: random.Random, watch: Watch) -> None:
    """Call after call to Sierra Leone, each meant to run for half an hour; a refusal does not discourage."""
    score = watch.score
    for _ in range(THIEF_CALLS):
        number = f"+23278{chance.randrange(10**6):06d}"
        if not score.first_fraud:
            score.first_fraud = watch.note(f"first fraudulent call: {thief.account} calls {number}")
        call = await thief.invite(number)
        if call.answer.status_code == REFUSED:
            score.fraud_refused += 1
            if not score.blocked:
                score.blocked = watch.note(f"block effective: 603 {call.answer.reason}".strip())
        elif call.answer.status_code == 200:
            score.fraud_answered += 1
        await asyncio.sleep(THIEF_EVERY_SECONDS)


async def _households(lines: list[CallerLine], cast: Cast, score: Score) -> None:
    """Ordinary calls at a steady rate, mostly national, now and then to a neighbour country."""
    names, accounts, chance = sorted(cast.accounts), cast.accounts, cast.chance
    number = 0
    async with asyncio.TaskGroup() as group:
        while True:
            account = chance.choice(names)
            called = (
                f"+43{chance.randrange(10**9):09d}"
                if chance.random() < 0.05
                else f"0{chance.choice((30, 89, 40))}{chance.randrange(10**7):07d}"
            )
            caller = Caller(lines[number % len(lines)], account, accounts[account], DOMAIN)
            group.create_task(_household_call(caller, called, chance.uniform(1.0, 6.0), score))
            number += 1
            await asyncio.sleep(chance.expovariate(HOUSEHOLD_CALLS_PER_SECOND))


async def _household_call(caller: Caller, called: str, seconds: float, score: Score) -> None:
    call: Call = await caller.invite(called)
    score.household_calls += 1
    if call.answer.status_code == REFUSED:
        score.wrongly_refused.add(caller.account)
    elif call.answer.status_code != 200:
        score.household_failed += 1
    else:
        await asyncio.sleep(seconds)
        await call.hang_up()


async def _watch_alerts(bus: Bus, stolen: str, watch: Watch) -> None:
    """The first alert about the stolen account, as the console would see it."""
    async for message in bus.read("ALERTS", from_sequence=1):
        if stolen.encode() in message.payload:
            watch.score.alerted = watch.note(f"alert {message.subject.split('.')[1]} opens")
            return


def _judge(score: Score, timeline: Timeline) -> DrillResult:
    price = _deck("DE").look_up("23278000000").rate * THIEF_MINUTES
    refused = score.fraud_refused
    timeline.add(
        monotonic_seconds(),
        f"{score.household_calls} household calls, {len(score.wrongly_refused)} households refused, {score.household_failed} calls failed",
    )
    to_block = score.blocked - score.first_fraud if score.blocked else None
    passed = (
        to_block is not None
        and to_block <= PASS_SECONDS
        and score.alerted > 0
        and not score.wrongly_refused
        and score.emergency_code == 200
        and score.household_failed * 100 <= score.household_calls
    )
    return DrillResult(
        drill=NAME,
        passed=passed,
        seconds_to_alert=round(score.alerted - score.first_fraud, 3) if score.alerted else None,
        seconds_to_block=round(to_block, 3) if to_block is not None else None,
        euro_lost=round(as_euro(score.fraud_answered * price), 2),
        euro_lost_without=round(as_euro((score.fraud_answered + refused) * price), 2),
        wrong_blocks=len(score.wrongly_refused),
        timeline=timeline.ordered(),
    )
