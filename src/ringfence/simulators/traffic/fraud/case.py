"""One case of fraud while it is written: its chance, its victims, its rows, and what the truth file says of it.

A scenario draws from the case's own generator and adds calls and registrations; what lies outside the simulated days is dropped. The one
thing to know: victims come from cells of accounts that only one scenario may use, so no two scenarios rob one account and none of them
depends on which others run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ringfence.simulators.traffic import numbers, sources
from ringfence.simulators.traffic.calendar import Day
from ringfence.simulators.traffic.chance import call_identities, mix
from ringfence.simulators.traffic.columns import OUT, Calls, Registrations
from ringfence.simulators.traffic.lines import address_of, agent_of, private_host
from ringfence.simulators.traffic.population import Population
from ringfence.simulators.traffic.sources import Block

Moments = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int64]
HOUR_MS = 3_600_000
MINUTE_MS = 60_000
_ABUSED = {kind: numbers.Patterns(patterns) for kind, patterns in numbers.ABUSED.items()}
_HOSTILE_CALLS = np.uint64(1 << 63)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a case happens in."""

    who: Population
    days: Sequence[Day]
    seed: int

    @property
    def start_ms(self) -> int:
        """The first midnight."""
        return self.days[0].start_ms

    @property
    def end_ms(self) -> int:
        """The last midnight."""
        return self.days[-1].end_ms


@dataclass(frozen=True, slots=True)
class Talk:
    """Calls in time: when they start, how long they ring and are talked (-1: not answered), and their status."""

    started: Moments
    ring: npt.NDArray[np.int32]
    talk: npt.NDArray[np.int32]
    status: npt.NDArray[np.int16]

    @property
    def count(self) -> int:
        """Calls."""
        return len(self.started)


@dataclass(slots=True)
class Hideout:
    """Where a fraudster's SIP comes from: blocks to draw from, and after how long the address changes (0: never)."""

    blocks: Sequence[Block]
    secret: int
    rotates_ms: int = 0

    def at(self, moments: Moments) -> npt.NDArray[np.uint32]:
        """The address at each moment."""
        turn = moments // self.rotates_ms if self.rotates_ms else np.zeros(len(moments), np.int64)
        hashes = mix(turn, self.secret)
        pick = (mix(hashes, 1) % np.uint64(len(self.blocks))).astype(np.int64)
        address = np.zeros(len(moments), np.uint32)
        for place, block in enumerate(self.blocks):
            address[pick == place] = block.addresses(hashes[pick == place])
        return address


@dataclass(slots=True)
class Case:
    """A case being written. `variant` says in a word or two how it went."""

    case_id: str
    scenario: str
    cell: int
    serial: int
    world: World
    rng: np.random.Generator
    cell_accounts: npt.NDArray[np.int64]
    """Accounts that this case may use, in an order of its own."""
    variant: str = ""
    victims: list[int] = field(default_factory=list)
    _calls: list[Calls] = field(default_factory=list)
    _registrations: list[Registrations] = field(default_factory=list)

    def chance(self, share: float) -> bool:
        """True with a probability."""
        return bool(self.rng.random() < share)

    def choose(self, options: dict[str, float]) -> str:
        """One of some words by weight; it becomes part of the variant."""
        shares = np.array(list(options.values()))
        word = list(options)[int(self.rng.choice(len(options), p=shares / shares.sum()))]
        self.variant = f"{self.variant} {word}".strip()
        return word

    def between(self, low: float, high: float) -> float:
        """A number between two."""
        return float(low + (high - low) * self.rng.random())

    def victim(self, *lives: int, least_channels: int = 0) -> int:
        """An account for this case: of one of the lives where the cell has one, else any."""
        who = self.world.who
        free = self.cell_accounts
        if lives:
            able = free[np.isin(who.life[free], lives) & (who.channels[free] >= least_channels)]
            free = able if len(able) else free
        chosen = int(free[0])
        self.cell_accounts = self.cell_accounts[self.cell_accounts != chosen]
        self.victims.append(chosen)
        return chosen

    def many_victims(self, count: int) -> npt.NDArray[np.int64]:
        """As many accounts as the cell has, up to `count`."""
        chosen, self.cell_accounts = self.cell_accounts[:count], self.cell_accounts[count:]
        self.victims.extend(chosen.tolist())
        return chosen

    def night(self, *, weekend: float = 0.6, latest_share: float = 0.9) -> int:
        """A moment in a night, on a weekend with a probability: between ten in the evening and four."""
        days = self.world.days[: max(1, int(len(self.world.days) * latest_share))]
        if self.rng.random() < weekend:
            days = [day for day in days if day.kind] or days
        day = days[int(self.rng.integers(len(days)))]
        return day.at(self.between(0.1, 4.2)) if self.rng.random() < 0.65 else day.at(self.between(21.5, 23.6))

    def daytime(self, low: float = 8, high: float = 20, *, latest_share: float = 0.9) -> int:
        """A moment of a day between two hours."""
        days = self.world.days[: max(1, int(len(self.world.days) * latest_share))]
        return days[int(self.rng.integers(len(days)))].at(self.between(low, high))

    def targets(self, kind: str, ranges: int, each: int) -> Numbers:
        """Numbers of abused ranges: `ranges` of a thousand, `each` numbers in them, in sequence or scattered."""
        patterns = _ABUSED[kind]
        favourite = int(self.rng.integers(len(patterns)))
        found = []
        for _ in range(ranges):
            which = favourite if self.rng.random() < 0.6 else int(self.rng.integers(len(patterns)))
            head = int(patterns.fill(np.array([which]), mix(self.rng.integers(0, 1 << 62, 1)))[0]) // 1_000
            tails = self.rng.integers(0, 1_000) + np.arange(each) if self.rng.random() < 0.5 else self.rng.permutation(1_000)[:each]
            found.append(head * 1_000 + tails % 1_000)
        return np.concatenate(found).astype(np.int64)

    def hideout(self, kind: str) -> Hideout:
        """A place to hide: `hosting`, `botnet` (lines abroad), `vpn` (at home), `mobile` (at home), `neighbour` (other lines at home)."""
        if kind == "botnet":
            abroad = list(sources.LINES_ABROAD.values())
            places: Sequence[Sequence[Block]] = abroad
        else:
            named = {
                "hosting": sources.HOSTING_ABROAD,
                "vpn": sources.HOSTING_HOME,
                "mobile": sources.MOBILE_HOME,
                "neighbour": sources.OTHER_HOME,
            }
            places = [[block] for block in named[kind]]
        chosen = places[int(self.rng.integers(len(places)))]
        rotates = int(self.between(1, 8) * HOUR_MS) if kind in {"botnet", "mobile"} and self.rng.random() < 0.4 else 0
        return Hideout(chosen, int(self.rng.integers(1 << 60)), rotates)

    def agent(self, kind: str) -> int:
        """A User-Agent: `softphone`, `exchange` or `scanner`."""
        first, words = {
            "softphone": (sources.FIRST_SOFTPHONE, sources.SOFTPHONES),
            "exchange": (sources.FIRST_EXCHANGE, sources.EXCHANGES),
            "scanner": (sources.FIRST_SCANNER, sources.SCANNERS),
        }[kind]
        return first + int(self.rng.integers(len(words)))

    def lanes(
        self, start_ms: int, end_ms: int, count: int, *, minutes: float, sigma: float = 0.6, gap_seconds: float = 8, answered: float = 0.85
    ) -> Talk:
        """`count` lines that talk one call after another from start to end, each call for about so many minutes."""
        expected = (end_ms - start_ms) / (answered * minutes * MINUTE_MS * float(np.exp(sigma * sigma / 2)) + (gap_seconds + 8) * 1_000)
        each = int(expected * 1.6 + 4 * expected**0.5) + 6
        shape = (count, each)
        is_answered = self.rng.random(shape) < answered
        talk = np.where(is_answered, minutes * MINUTE_MS * np.exp(sigma * self.rng.standard_normal(shape)), -1)
        talk = np.where(is_answered, np.clip(talk, 1_000, 6 * HOUR_MS), -1).astype(np.int64)
        ring = (1_500 + 5_000 * self.rng.standard_exponential(shape)).astype(np.int64)
        gap = (gap_seconds * 1_000 * self.rng.standard_exponential(shape)).astype(np.int64) + 500
        took = np.maximum(talk, 0) + ring + gap
        offsets = np.cumsum(took, axis=1) - took + (self.rng.random((count, 1)) * 20_000).astype(np.int64)
        started = (start_ms + offsets).ravel()
        kept = np.flatnonzero(started < end_ms)
        kept = kept[np.argsort(started[kept], kind="stable")]
        status = np.where(talk >= 0, 200, self.rng.choice([480, 486, 503, 404], shape, p=[0.4, 0.2, 0.3, 0.1]))
        return Talk(
            started[kept], ring.ravel()[kept].astype(np.int32), talk.ravel()[kept].astype(np.int32), status.ravel()[kept].astype(np.int16)
        )

    def single(self, started: Sequence[int] | Moments, minutes: Sequence[float] | npt.NDArray[np.float64]) -> Talk:
        """Answered calls at given moments, for given minutes."""
        count = len(started)
        ring = (1_500 + 5_000 * self.rng.standard_exponential(count)).astype(np.int32)
        talk = np.maximum(np.asarray(minutes) * MINUTE_MS, 1_000).astype(np.int32)
        return Talk(np.asarray(started, np.int64), ring, talk, np.full(count, 200, np.int16))

    def own_line(self, account: int | npt.NDArray[np.int64], moments: Moments) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int16]]:
        """`(address, User-Agent)` of an account's own line at each moment."""
        whose = np.broadcast_to(np.asarray(account, np.int64), moments.shape)
        return address_of(self.world.who, whose, moments, seed=self.world.seed), agent_of(self.world.who, whose, moments)

    def call(
        self,
        account: int | npt.NDArray[np.int64],
        callee: Numbers,
        when: Talk,
        source: npt.NDArray[np.uint32],
        agent: int | npt.NDArray[np.int16],
        *,
        caller: Numbers | None = None,
        direction: int = OUT,
        forwarded: bool = False,
        authenticated: bool = True,
    ) -> None:
        """Add calls of one account or of one account each."""
        count = when.count
        whose = np.broadcast_to(np.asarray(account, np.int64), (count,))
        number = self.world.who.number[whose]
        self._calls.append(
            Calls(
                call_id=np.zeros(count, np.uint64),
                account=number,
                caller=number if caller is None else caller,
                callee=np.broadcast_to(callee, (count,)).astype(np.int64),
                source=source,
                user_agent=np.broadcast_to(np.asarray(agent, np.int16), (count,)),
                edge=(mix(number) % np.uint64(len(sources.EDGES))).astype(np.int8),
                started_ms=when.started,
                ring_ms=when.ring,
                talk_ms=when.talk,
                status=when.status,
                direction=np.full(count, direction, np.int8),
                forwarded_by=number if forwarded else np.zeros(count, np.int64),
                authenticated=np.full(count, authenticated),
                case=np.full(count, -1, np.int32),
            )
        )

    def register(
        self,
        account: int | npt.NDArray[np.int64],
        at_ms: Sequence[int] | Moments,
        source: npt.NDArray[np.uint32],
        agent: int | npt.NDArray[np.int16],
        *,
        status: int | npt.NDArray[np.int16] = 200,
        expires: int = 600,
    ) -> None:
        """Add registrations of one account or of one account each."""
        moments = np.asarray(at_ms, np.int64)
        count = len(moments)
        self._registrations.append(
            Registrations(
                at_ms=moments,
                account=self.world.who.number[np.broadcast_to(np.asarray(account, np.int64), (count,))],
                source=source,
                user_agent=np.broadcast_to(np.asarray(agent, np.int16), (count,)),
                contact_host=private_host(mix(source, self.serial)),
                contact_port=(5_060 + (mix(source, 2) % np.uint64(3)) * np.uint64(1_000)).astype(np.uint16),
                expires=np.full(count, expires, np.int32),
                status=np.broadcast_to(np.asarray(status, np.int16), (count,)),
            )
        )

    def finished(self, place: int) -> tuple[Calls, Registrations]:
        """The rows within the simulated days, with Call-IDs and the label `place`."""
        world = self.world
        calls = Calls.joined(self._calls)
        calls = calls.take((calls.started_ms >= world.start_ms) & (calls.started_ms < world.end_ms)).sorted()
        counter = np.uint64(self.cell << 48 | self.serial << 24) + np.arange(calls.length, dtype=np.uint64) + _HOSTILE_CALLS
        calls.call_id[:] = call_identities(counter, world.seed)
        calls.case[:] = place
        rows = Registrations.joined([*self._registrations, no_registrations()])
        return calls, rows.take((rows.at_ms >= world.start_ms) & (rows.at_ms < world.end_ms)).sorted()


def no_registrations() -> Registrations:
    """None at all."""
    types = (np.int64, np.int64, np.uint32, np.int16, np.uint32, np.uint16, np.int32, np.int16)
    return Registrations(*_empty(types))


def no_calls() -> Calls:
    """None at all."""
    first = (np.uint64, np.int64, np.int64, np.int64, np.uint32, np.int16, np.int8, np.int64)
    more = (np.int32, np.int32, np.int16, np.int8, np.int64, np.bool_, np.int32)
    return Calls(*_empty((*first, *more)))


def _empty(types: Sequence[type[np.generic]]) -> list[npt.NDArray[Any]]:
    return [np.empty(0, kind) for kind in types]
