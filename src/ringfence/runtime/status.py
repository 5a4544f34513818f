"""What a role says about itself every second, on the subject `status.<role>`: the console's view of the machinery.

Nothing is stored. Silence for three seconds means that the role is down, which nobody has to say.
"""

import asyncio
import contextlib

import msgspec

from ringfence.base.clock import Clock
from ringfence.base.errors import UnavailableError
from ringfence.runtime.bus import Bus

BEAT_SECONDS = 1.0
SILENT_MS = 3000


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """One beat. `figures` are numbers worth a look, by a name that says the unit."""

    role: str
    instance: str
    at_ms: int
    healthy: bool = True
    message: str = ""
    figures: dict[str, float] = {}


def status_subject(role: str) -> str:
    """Where a role beats; `status.*` for all of them."""
    return f"status.{role}"


class StatusBoard:
    """What the role's tasks write and the heartbeat sends."""

    def __init__(self, role: str, instance: str) -> None:
        self._role = role
        self._instance = instance
        self._troubles: dict[str, str] = {}
        self.figures: dict[str, float] = {}

    def trouble(self, about: str, message: str) -> None:
        """Something is not as it should be, in one sentence; `about` names it for `settled`."""
        self._troubles[about] = message

    def settled(self, about: str) -> None:
        """It is as it should be again."""
        self._troubles.pop(about, None)

    def status(self, at_ms: int) -> Status:
        """The present state as a beat."""
        return Status(
            role=self._role,
            instance=self._instance,
            at_ms=at_ms,
            healthy=not self._troubles,
            message=" ".join(self._troubles.values()),
            figures=dict(self.figures),
        )

    async def beat(self, bus: Bus, clock: Clock) -> None:
        """Announce the state every second until cancelled."""
        while True:
            with contextlib.suppress(UnavailableError):
                await bus.announce(status_subject(self._role), msgspec.json.encode(self.status(clock())))
            await asyncio.sleep(BEAT_SECONDS)
