"""`AttackAgent`: reads every alert from the start of its stream and says which belong together.

It keeps no state of its own: the stream holds a week of alerts, the book gives the same steps whenever it is read, and each step is
published once. So any number of detector processes may run it. A measure is proposed before the step is told, because people wait for it.
"""

import asyncio
import contextlib

import msgspec

from ringfence.base.clock import Clock
from ringfence.base.errors import ConflictError, UnavailableError
from ringfence.detection.attacks import AttackBook, AttackStep, encode_attack, suspicion_of
from ringfence.detection.model import decode_alert
from ringfence.runtime.bus import Bus
from ringfence.runtime.log import get_logger
from ringfence.runtime.metrics import counter, gauge
from ringfence.runtime.status import StatusBoard
from ringfence.telephony.suspicion import encode_suspicion

RETRY_SECONDS = 1.0
TURN_SECONDS = 1.0
LATE_MS = 600_000
"""The clock closes an attack only this long after it could: a late alert then finds it as the next reader of the stream will."""
FRESH_MS = 86_400_000
"""What happened longer before the start was told then. The stream drops alerts after a week, and what it dropped an attack's beginning from
would get another id."""

_log = get_logger(__name__)
_steps = counter("ringfence_detection_attack_steps_total", "Steps of attacks published, by what happened.", ("state",))
_running = gauge("ringfence_detection_attacks_running", "Attacks that go on.")


class AttackAgent:
    """The attacks of the whole installation."""

    def __init__(self, bus: Bus, *, clock: Clock, board: StatusBoard) -> None:
        self._bus = bus
        self._clock = clock
        self._board = board
        self._book = AttackBook()
        self._position = 0
        self._fresh_from_ms = clock() - FRESH_MS
        self._caught_up = asyncio.Event()

    async def run(self) -> None:
        """Follow the alerts until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._close())

    async def _follow(self) -> None:
        while True:
            try:
                await self._read()
            except UnavailableError as error:
                self._board.trouble("attacks", f"Alerts cannot be read: {error}")
                await asyncio.sleep(RETRY_SECONDS)
            except ConflictError:
                _log.warning("alerts_replaced", position=self._position)
                self._book, self._position = AttackBook(), 0

    async def _read(self) -> None:
        last = await self._bus.last_sequence("ALERTS")
        if self._position >= last:
            self._caught_up.set()
        async with contextlib.aclosing(self._bus.read("ALERTS", from_sequence=self._position + 1)) as messages:
            async for message in messages:
                with contextlib.suppress(msgspec.DecodeError, ValueError):  # The worker counts what cannot be read.
                    await self._tell(self._book.feed(decode_alert(message.payload)))
                self._position = message.sequence
                self._board.settled("attacks")
                if message.sequence >= last:
                    self._caught_up.set()

    async def _close(self) -> None:
        """Time alone ends attacks when no alert comes any more."""
        await self._caught_up.wait()
        while True:
            await asyncio.sleep(TURN_SECONDS)
            await self._tell(self._book.tick(self._clock() - LATE_MS))
            _running.set(self._book.running)
            self._board.figures["attacks_running"] = float(self._book.running)

    async def _tell(self, steps: list[AttackStep]) -> None:
        for step in steps:
            if step.at_ms < self._fresh_from_ms:
                continue
            suspicion = suspicion_of(step)
            if suspicion is not None:
                await self._publish(f"suspicion.{suspicion.suspicion_id}", encode_suspicion(suspicion))
            if await self._publish(f"attack.{step.attack_id}.{step.step}", encode_attack(step)):
                _steps.labels(state=step.state).inc()
                _log.info("attack_step", attack_id=step.attack_id, state=step.state, accounts=step.accounts)

    async def _publish(self, subject: str, payload: bytes) -> bool:
        """Publish once, waiting while the bus is away: the book has moved on, so nothing may be left out."""
        while True:
            try:
                fresh = await self._bus.publish_once(subject, payload)
            except UnavailableError as error:
                self._board.trouble("attacks", f"Attacks wait for the bus: {error}")
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._board.settled("attacks")
                return fresh
