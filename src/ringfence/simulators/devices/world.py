"""A world of devices: settings, clock, counters, and everything that happens to many at once.

Drills and benches build a `World`, `start_all` it and `wait` for what they want to see; `close` ends every task. Time may run faster
than real (`scale`): boots, retries, periodic Informs and downloads keep their proportions, sockets do not.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ringfence.base.errors import OperatorError
from ringfence.base.secret import Secret
from ringfence.simulators.devices.behaviour import Behaviour, between, draw
from ringfence.simulators.devices.device import Device, Power
from ringfence.simulators.devices.models import built_in
from ringfence.simulators.devices.tree import Model

DAY_SECONDS = 86_400.0
FACTORY_PASSWORD = "{serial}"
_START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldSettings:
    """What a world is made of."""

    acs: str
    """URL of the ACS, of the factory's settings."""
    devices: int
    models: tuple[Model, ...] = field(default_factory=built_in)
    behaviour: Behaviour = field(default_factory=Behaviour)
    seed: int = 1
    scale: float = 1.0
    """Simulated seconds in a real one."""
    password: str = "{serial}"
    """Of the factory; `{serial}` is the device's serial number."""
    tls: ssl.SSLContext | None = None
    """Trust for https, and one client certificate for all where `certificates` is None."""
    authority: Path | None = None
    """PEM file of the ACS's authority, where each device has a certificate of its own; None trusts what the machine trusts."""
    certificates: Path | None = None
    """Folder with `<serial number>.pem` of each device, as `Factory` makes it."""
    spread: bool = False
    """Each device speaks from an address of its own in 127.0.0.0/8."""
    sessions: int = 500
    """At the same time."""
    downloads: int = 500
    """At the same time."""
    session_timeout: float = 60.0
    """Real seconds."""


class World:
    """All devices, and what they have in common. Make it inside a running loop."""

    def __init__(self, settings: WorldSettings) -> None:
        self.settings = settings
        self.counters: Counter[str] = Counter()
        self.gate = asyncio.Semaphore(settings.sessions)
        self.downloads = asyncio.Semaphore(settings.downloads)
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._tasks: set[asyncio.Task[None]] = set()
        self._moved = asyncio.Event()
        self.devices = [Device(self, index, settings.models[index % len(settings.models)]) for index in range(settings.devices)]

    # What happens to many -----------------------------------------------------------------------------------------------

    def start_all(self) -> None:
        """Switch all on, spread as the behaviour says; the first session is a bootstrap."""
        behaviour, seed = self.settings.behaviour, self.settings.seed
        for device in self.devices:
            device.power_on(between(behaviour.first_inform_seconds, draw(seed, device.index, "first")))
            if behaviour.own_update and draw(seed, device.index, "own_update") < behaviour.own_update:
                self.later(DAY_SECONDS * draw(seed, device.index, "own_update_at"), device.own_update)
            if behaviour.owner_reset and draw(seed, device.index, "owner_reset") < behaviour.owner_reset:
                self.later(DAY_SECONDS * draw(seed, device.index, "owner_reset_at"), device.factory_reset)

    def power_cut(self, share: float = 1.0) -> None:
        """All of a share lose power at once and boot when it returns, each in its own time."""
        for device in self.devices:
            if draw(self.settings.seed, device.index, "power_cut") < share:
                device.power_off()
                device.power_on()

    def with_power(self, power: Power) -> Iterable[Device]:
        """Devices in a state."""
        return (device for device in self.devices if device.power is power)

    async def wait(self, ready: Callable[["World"], bool], seconds: float = 60.0) -> bool:
        """Until counters make `ready` true; False when that takes longer than so many real seconds."""
        try:
            async with asyncio.timeout(seconds):
                while not ready(self):
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """End everything that runs."""
        for device in self.devices:
            device.power_off()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def report(self) -> dict[str, Any]:
        """Counters, states and versions."""
        powers = Counter(device.power.name.lower() for device in self.devices)
        versions = Counter(device.version for device in self.devices)
        return {"devices": len(self.devices), "power": dict(powers), "versions": dict(versions), **dict(sorted(self.counters.items()))}

    # What devices use ----------------------------------------------------------------------------------------------------

    def count(self, what: str, by: int = 1) -> None:
        """Count something that happened."""
        self.counters[what] += by
        self._moved.set()

    def later(self, seconds: float, then: Callable[[], object]) -> asyncio.TimerHandle:
        """Call after simulated seconds."""
        return self._loop.call_later(seconds / self.settings.scale, then)

    async def sleep(self, seconds: float) -> None:
        """Simulated seconds."""
        await asyncio.sleep(seconds / self.settings.scale)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that ends with the world."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def time_text(self) -> str:
        """The devices' clock."""
        passed = (self._loop.time() - self._began) * self.settings.scale
        return (_START + timedelta(seconds=int(passed))).strftime("%Y-%m-%dT%H:%M:%SZ")

    def password_of(self, serial: str) -> Secret:
        """The factory's password of a device."""
        return Secret(self.settings.password.replace("{serial}", serial))

    def tls_of(self, serial: str) -> ssl.SSLContext | None:
        """What a device trusts and shows. OperatorError when its certificate is not there."""
        folder = self.settings.certificates
        if folder is None:
            return self.settings.tls
        try:
            context = ssl.create_default_context(cafile=None if self.settings.authority is None else str(self.settings.authority))
            context.load_cert_chain(folder / f"{serial}.pem")
        except OSError as refused:  # ssl.SSLError is one.
            raise OperatorError(f"The certificate of {serial} cannot be used: {refused}.", reason="bad_certificate") from None
        return context

    def source_of(self, index: int) -> str:
        """The address a device speaks from; empty: whichever."""
        number = index + 256
        return f"127.{1 + (number >> 16) % 250}.{number >> 8 & 255}.{number & 255}" if self.settings.spread else ""

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "A simulated device failed.", "exception": bug, "task": task})
