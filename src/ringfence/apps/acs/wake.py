"""Wakes the devices that somebody wants awake: takes them from the queue, finds the way to each, and sends at the pace that was set.

Where a connection request may go and how many may leave is decided in `fleet.wake`; whether a device woke up is told by its Inform. The one
thing to know: a device that cannot be reached is given up, which costs nothing but time, because it informs by itself sooner or later.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ringfence.apps.acs.knock import knock
from ringfence.apps.acs.stun import StunServer
from ringfence.base.clock import Clock
from ringfence.base.errors import PeerError, UnavailableError
from ringfence.fleet.links import Reach
from ringfence.fleet.model import Admitted, InformSeen, Sleeper, Standing
from ringfence.fleet.ports import Lines
from ringfence.fleet.service import FleetService
from ringfence.fleet.wake import Ground, Outcome, Pace, Plan, RequestCredential, Whereabouts, claimed, ground_of, plan
from ringfence.runtime.metrics import counter, histogram

IDLE_SECONDS, BUSY_SECONDS = 1.0, 0.1
"""Between two looks at the queue."""
AT_ONCE = 1_000
"""Connection requests under way; a device that does not answer takes ten seconds."""
LONGEST_WAIT_MS = 2_000
"""Who would have to wait longer for the pace goes back into the queue."""
GROUND_MS = 60_000
"""So long the operator's ranges are believed to be as they were."""
REMEMBERED = 100_000

_wakes = counter("ringfence_acs_wakes_total", "Connection requests, by way and outcome.", ("way", "outcome"))
_given_up = counter("ringfence_acs_wakes_given_up_total", "Devices that wait for their next Inform instead, by reason.", ("reason",))
_seconds = histogram("ringfence_acs_wake_seconds", "From a connection request to the Inform.", (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300))


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeLimits:
    """How many connection requests leave, and how often a device is tried."""

    per_second: int
    per_access_node: int
    device_spacing_ms: int
    tries: int


class Waker:
    """The queue's other end. `lines` None: nobody knows who holds an address; `server` None: there is no STUN server of ours."""

    def __init__(
        self,
        fleet: FleetService,
        ranges: Callable[[], Awaitable[Sequence[str]]],
        limits: WakeLimits,
        *,
        lines: Lines | None,
        server: StunServer | None,
        own: frozenset[tuple[str, int]],
        clock: Clock,
        refused: Callable[[str, str], None],
    ) -> None:
        self._fleet = fleet
        self._ranges = ranges
        self._limits = limits
        self._lines = lines
        self._server = server
        self._own = own
        self._clock = clock
        self._refused = refused
        self._pace = Pace(per_second=limits.per_second, per_node=limits.per_access_node, device_spacing_ms=limits.device_spacing_ms)
        self._ground: tuple[int, Ground] = (0, ground_of([]))
        self._sent: OrderedDict[int, tuple[int, Outcome]] = OrderedDict()
        self._informed: set[int] = set()
        self._running: set[asyncio.Task[None]] = set()

    def noticing(
        self, admit: Callable[[Sequence[InformSeen]], Awaitable[Sequence[Admitted]]]
    ) -> Callable[[Sequence[InformSeen]], Awaitable[Sequence[Admitted]]]:
        """The same admission, of which this hears: who informs is awake."""

        async def admitted(informs: Sequence[InformSeen]) -> Sequence[Admitted]:
            answers = await admit(informs)
            for answer in answers:
                if answer.standing is not Standing.REFUSED and answer.device_id in self._sent:
                    sent_ms, outcome = self._sent.pop(answer.device_id)
                    self._informed.add(answer.device_id)
                    if outcome is Outcome.SENT:
                        _seconds.observe(max(0, self._clock() - sent_ms) / 1_000)
            return answers

        return admitted

    async def run(self) -> None:
        """Take and send, for ever; while PostgreSQL is away there is nobody to wake."""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    taken = await self.turn(group)
                except UnavailableError:
                    taken = 0
                await asyncio.sleep(BUSY_SECONDS if taken else IDLE_SECONDS)

    async def turn(self, group: asyncio.TaskGroup) -> int:
        """Take some devices and begin with each; how many were taken."""
        if self._informed:
            awake = list(self._informed)
            await self._fleet.awake(awake)
            self._informed.difference_update(awake)
        ground = await self._current_ground(self._clock())
        room = min(AT_ONCE - len(self._running), max(1, self._limits.per_second))
        sleepers = await self._fleet.sleepers(room, self._limits.device_spacing_ms) if room > 0 else ()
        if not sleepers:
            return 0
        plans = await self._plans(sleepers, ground)
        credentials = await self._fleet.request_credentials([sleeper.device_id for sleeper in sleepers])
        given_up: list[tuple[int, str]] = []
        for sleeper, (planned, access_node) in zip(sleepers, plans, strict=True):
            reason = self._hopeless(sleeper, planned, credentials.get(sleeper.device_id))
            if reason:
                given_up.append((sleeper.device_id, reason))
                continue
            task = group.create_task(self._wake(sleeper, planned, access_node, credentials.get(sleeper.device_id)))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        if given_up:
            await self._fleet.give_up(given_up)
            for device_id, reason in given_up:
                self._sent.pop(device_id, None)
                _given_up.labels(reason).inc()
        return len(sleepers)

    # Inside

    async def _plans(self, sleepers: Sequence[Sleeper], ground: Ground) -> list[tuple[Plan, str]]:
        """For each device the way to it and the access node it is behind."""
        now = self._clock()
        addresses = sorted({address for sleeper in sleepers for address in claimed(sleeper)})
        held = await self._lines(addresses, now) if self._lines is not None and addresses else {}
        found: list[tuple[Plan, str]] = []
        for sleeper in sleepers:
            mine = {address: held[address] for address in claimed(sleeper) if address in held}
            node = next((at.access_node for at in mine.values() if at.line == sleeper.line), "")
            holders = {address: at.line for address, at in mine.items()}
            whereabouts = Whereabouts(line=sleeper.line, holders=holders, seen_udp=sleeper.seen_udp)
            found.append((plan(sleeper, whereabouts, ground, udp=self._server is not None), node))
        return found

    async def _current_ground(self, now_ms: int) -> Ground:
        read_ms, ground = self._ground
        if now_ms - read_ms >= GROUND_MS or not ground.ranges:
            ground = ground_of(await self._ranges(), self._own)
            self._ground = (now_ms, ground)
            if self._server is not None:
                self._server.ground = ground
        return ground

    def _hopeless(self, sleeper: Sleeper, planned: Plan, credential: RequestCredential | None) -> str:
        """Why a device is left to its next Inform; empty when it is to be tried (again)."""
        if sleeper.tries > self._limits.tries:
            _, outcome = self._sent.get(sleeper.device_id, (0, Outcome.SENT))
            return "no_inform" if outcome is Outcome.SENT else outcome.value
        if planned.suspicious:
            self._refused(sleeper.peer_ip, f"wake_{planned.reason}")
        if planned.target is None:
            return planned.reason
        if planned.way is Reach.UDP and credential is None:
            return Outcome.NO_CREDENTIAL.value
        return ""

    async def _wake(self, sleeper: Sleeper, planned: Plan, access_node: str, credential: RequestCredential | None) -> None:
        assert planned.target is not None, "a device without a way was given up"
        waited = 0
        while wait := self._pace.take(self._clock(), sleeper.device_id, access_node):
            waited += wait
            if waited > LONGEST_WAIT_MS:
                await self._put_back(sleeper.device_id, wait)
                return
            await asyncio.sleep(wait / 1_000)
        # Before it is sent: a device may inform sooner than it answers.
        self._remember(sleeper.device_id, Outcome.SENT)
        try:
            outcome = await self._send(planned, credential)
        except PeerError as error:
            self._refused(sleeper.peer_ip, f"wake_{error.reason}")
            outcome = Outcome.ODD
        if sleeper.device_id in self._sent:
            self._remember(sleeper.device_id, outcome)
        _wakes.labels(planned.way.value, outcome.value).inc()

    async def _send(self, planned: Plan, credential: RequestCredential | None) -> Outcome:
        assert planned.target is not None
        if planned.way is Reach.HTTP:
            return await knock(planned.target, credential, cnonce=lambda: secrets.token_hex(8))
        assert self._server is not None, "the way was planned with it"
        assert credential is not None, "a device without a credential was given up"
        return Outcome.SENT if self._server.wake(planned.target, credential) else Outcome.UNREACHABLE

    async def _put_back(self, device_id: int, wait_ms: int) -> None:
        try:
            await self._fleet.put_back([device_id], self._clock() + wait_ms)
        except UnavailableError:
            _wakes.labels("none", "not_put_back").inc()  # It comes again all the same, one try poorer.

    def _remember(self, device_id: int, outcome: Outcome) -> None:
        sent_ms, _ = self._sent.get(device_id, (self._clock(), outcome))
        self._sent[device_id] = (sent_ms, outcome)
        if len(self._sent) > REMEMBERED:
            self._sent.popitem(last=False)
