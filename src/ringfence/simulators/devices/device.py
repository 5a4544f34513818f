"""One device: power, events that wait for delivery, retries, transfers, and its answers.

Idle it is a timer and a few references. The one thing to know: an event leaves the list when the ACS has answered the Inform that told
it (a transfer's when the ACS has answered the TransferComplete), so that lost sessions are repeated by the standard's retry policy.
"""

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import quote

from ringfence.base.errors import RingfenceError
from ringfence.base.secret import Secret
from ringfence.protocols.cwmp.messages import (
    AutonomousTransferComplete,
    DeviceId,
    Download,
    Event,
    FactoryReset,
    Inform,
    ParameterValue,
    Reboot,
    TransferComplete,
    Upload,
)
from ringfence.simulators.devices.behaviour import Oddity, between, draw, retry_wait
from ringfence.simulators.devices.session import run_session
from ringfence.simulators.devices.transfers import transfer
from ringfence.simulators.devices.tree import Model, Tree

if TYPE_CHECKING:
    from ringfence.simulators.devices.world import World

BOOTSTRAP, BOOT, PERIODIC, SCHEDULED = "0 BOOTSTRAP", "1 BOOT", "2 PERIODIC", "3 SCHEDULED"
VALUE_CHANGE, CONNECTION_REQUEST, TRANSFER_COMPLETE = "4 VALUE CHANGE", "6 CONNECTION REQUEST", "7 TRANSFER COMPLETE"
AUTONOMOUS = "10 AUTONOMOUS TRANSFER COMPLETE"
_WITH_TRANSFER = frozenset({TRANSFER_COMPLETE, AUTONOMOUS, "M Download", "M Upload"})
MAX_EVENTS = 64
MAX_TRANSFERS = 3
"""The least that TR-069 A.3.2.8 allows."""
_INFORMED = (
    "DeviceSummary",
    "DeviceInfo.SpecVersion",
    "DeviceInfo.HardwareVersion",
    "DeviceInfo.SoftwareVersion",
    "DeviceInfo.ProvisioningCode",
    "ManagementServer.ParameterKey",
    "ManagementServer.ConnectionRequestURL",
)


class Power(Enum):
    """What a device is up to."""

    OFF = 0
    BOOTING = 1
    UP = 2
    SILENT = 3
    """It works and telephones, but informs no more."""
    BRICKED = 4


class Device:
    """A device of a world. Every method is called in the world's loop."""

    __slots__ = (
        "_again",
        "_attempt",
        "_changes",
        "_downloads",
        "_events",
        "_queue",
        "_session",
        "_timer",
        "_transfer",
        "index",
        "power",
        "running",
        "told",
        "tree",
        "world",
    )

    def __init__(self, world: "World", index: int, model: Model) -> None:
        self.world = world
        self.index = index
        # A tree from a file names the ACS of its first owner: no device of a world may ever speak to that one.
        own = {"DeviceInfo.SerialNumber": f"RF{world.settings.seed:02d}{index:08d}", "ManagementServer.URL": world.settings.acs}
        self.tree = Tree(model, {model.root + name: value for name, value in own.items()})
        self.power = Power.OFF
        self.told: tuple[TransferComplete | AutonomousTransferComplete, ...] = ()
        """Finished transfers that the ACS has not acknowledged."""
        self._events: tuple[Event, ...] = (Event(BOOTSTRAP),)
        self._changes: tuple[str, ...] = ()
        self._attempt = 0
        self.running: Download | Upload | None = None
        self._queue: tuple[Download | Upload, ...] = ()
        self._downloads = 0
        self._again = False
        self._timer: asyncio.TimerHandle | None = None
        self._session: asyncio.Task[None] | None = None
        self._transfer: asyncio.Task[None] | None = None

    # Who it is ---------------------------------------------------------------------------------------------------------

    @property
    def identity(self) -> DeviceId:
        """As its Inform says it."""
        model = self.tree.model
        return DeviceId(model.manufacturer, model.oui, model.product_class, self.of("DeviceInfo.SerialNumber"))

    @property
    def version(self) -> str:
        """The software that runs."""
        return self.of("DeviceInfo.SoftwareVersion")

    @property
    def acs(self) -> str:
        """Where it informs."""
        return self.of("ManagementServer.URL")

    @property
    def transfers(self) -> tuple[tuple[Download | Upload, int], ...]:
        """What runs (state 2) and what waits (1), as GetAllQueuedTransfers tells it."""
        running = () if self.running is None else ((self.running, 2),)
        return (*running, *((order, 1) for order in self._queue))

    def login(self) -> tuple[str, Secret]:
        """User name and password at the ACS: those it was given, else those of the factory."""
        who = self.identity
        name = self.of("ManagementServer.Username") or f"{quote(who.oui, safe='._~')}-{quote(who.serial_number, safe='._~')}"
        given = self.of("ManagementServer.Password")
        return name, Secret(given) if given else self.world.password_of(who.serial_number)

    def of(self, name: str) -> str:
        """A value by its name below the root; empty where there is none."""
        return self.tree.value(self.tree.model.root + name) or ""

    def inform(self) -> Inform:
        """The first message of a session."""
        root = self.tree.model.root
        names = [root + name for name in _INFORMED if self.tree.value(root + name) is not None]
        if Oddity.OWN_PASSWORDS in self.world.settings.behaviour.oddities:
            names += [f"{root}ManagementServer.Password"]
        names += [name for name in self._changes if name not in names]
        parameters = tuple(ParameterValue(name, self.tree.value(name) or "") for name in names)
        return Inform(self.identity, self._events[:MAX_EVENTS], 1, self.world.time_text(), self._attempt, parameters)

    # Power -------------------------------------------------------------------------------------------------------------

    def power_on(self, wait: float | None = None) -> None:
        """Boot; `wait` seconds, else as long as its kind boots."""
        if self.power in {Power.BRICKED, Power.BOOTING}:
            return
        silent = self.power is Power.SILENT
        self._stop()
        self.power = Power.BOOTING
        self.world.count("boots")
        seconds = between(self.world.settings.behaviour.boot_seconds, self.draw("boot")) if wait is None else wait
        self._after(seconds, self._silent if silent else self._booted)

    def power_off(self) -> None:
        """At once, whatever it was doing. A transfer that ran has failed."""
        self._stop()
        if self.power is not Power.BRICKED:
            self.power = Power.OFF

    def _booted(self) -> None:
        self.power = Power.UP
        self.wake(BOOT)
        self._transfer_next()

    def _silent(self) -> None:
        self.power = Power.SILENT
        self.world.count("silent_boots")

    def _stop(self) -> None:
        power, self.power = self.power, Power.OFF
        self._break_off()
        self.power = power
        if self._session is not None and self._session is not asyncio.current_task():
            self._session.cancel()
        self._session = self._transfer = self.running = None
        self._again = False
        if self._timer is not None:
            self._timer.cancel()

    # Sessions ----------------------------------------------------------------------------------------------------------

    def wake(self, code: str, command_key: str = "") -> None:
        """An event happened: open a session, or one more after the one that runs."""
        if self.power is not Power.UP:
            return
        self.note(code, command_key)
        if self._session is not None:
            self._again = True
            return
        if self._timer is not None:
            self._timer.cancel()
        self._session = self.world.start(self._run())

    def note(self, code: str, command_key: str = "") -> None:
        """Add an event for the next session; single ones appear once (TR-069 3.7.1.5)."""
        event = Event(code, command_key)
        if event not in self._events and len(self._events) < MAX_EVENTS:
            self._events = (*self._events, event)

    def informed(self) -> None:
        """The ACS has answered the Inform."""
        self.world.count("informs")
        self._events = tuple(event for event in self._events if event.event_code in _WITH_TRANSFER)
        self._changes = ()
        self._attempt = 0

    def acknowledged(self) -> None:
        """The ACS has answered the TransferComplete that was told first."""
        self.told = self.told[1:]
        if not self.told:
            self._events = tuple(event for event in self._events if event.event_code not in _WITH_TRANSFER)

    async def _run(self) -> None:
        after: list[Reboot | FactoryReset] = []
        try:
            async with self.world.gate:
                self.world.count("sessions")
                async with asyncio.timeout(self.world.settings.session_timeout):
                    await run_session(self, after)
        except (RingfenceError, TimeoutError) as failed:
            self._session = None
            self.world.count("session_failures")
            self.world.count(f"failed_{failed.reason if isinstance(failed, RingfenceError) else 'timeout'}")
            self._attempt += 1
            self._after(retry_wait(self._attempt, self.draw("retry")), self._retry)
            self._obey(after)  # What it had answered it does, whatever became of the session.
            return
        finally:
            if self._session is asyncio.current_task():
                self._session = None
        self.world.count("sessions_done")
        if self._obey(after):
            return
        if self._again:
            self._again = False
            self._session = self.world.start(self._run())
            return
        own = self.of("ManagementServer.PeriodicInformInterval")
        seconds = float(own) if own.isdigit() and int(own) > 0 else self.world.settings.behaviour.periodic_seconds
        if self.of("ManagementServer.PeriodicInformEnable") in {"1", "true", ""}:
            self._after(seconds, lambda: self.wake(PERIODIC))

    def _retry(self) -> None:
        if self.power is Power.UP and self._session is None:
            self._session = self.world.start(self._run())

    def _obey(self, orders: Sequence[Reboot | FactoryReset]) -> bool:
        """Do what a session ordered, in its order; True when the device boots. Transfers wait until it is back."""
        for order in orders:
            if isinstance(order, FactoryReset):
                self._forget()
            else:
                self.note("M Reboot", order.command_key)
        if orders:
            self.power_on()
        else:
            self._transfer_next()
        return bool(orders)

    def factory_reset(self) -> None:
        """The owner presses the button: the factory's URL and credentials again."""
        if self.power is Power.UP:
            self.world.count("owner_resets")
            self._forget()
            self.power_on()

    def _forget(self) -> None:
        self.tree.reset()
        self._queue = ()
        self.note(BOOTSTRAP)

    def changed(self, names: tuple[str, ...]) -> None:
        """Values changed from inside, by an owner or a call: what has active notification opens a session (3.7.1.5)."""
        noticed = tuple(name for name in names if self.tree.notify(name))
        self._changes = (*self._changes, *noticed)[:MAX_EVENTS]
        if any(self.tree.notify(name) == 2 for name in noticed):
            self.wake(VALUE_CHANGE)
        elif noticed:
            self.note(VALUE_CHANGE)

    # Firmware ----------------------------------------------------------------------------------------------------------

    def own_update(self) -> None:
        """The owner installs firmware by himself."""
        if self.power is Power.UP:
            behaviour, now = self.world.settings.behaviour, self.world.time_text()
            self._install(behaviour.own_version)
            self.world.count("own_updates")
            if self.draw("tells_own_update") < behaviour.tells_own_update:
                kind = "1 Firmware Upgrade Image"
                self.told = (*self.told, AutonomousTransferComplete("", "", True, kind, start_time=now, complete_time=now))
                self.note(AUTONOMOUS)
            self.note(VALUE_CHANGE)  # SoftwareVersion is always noticed (TR-069 3.7.1.5).
            self.power_on()

    def _install(self, version: str) -> None:
        self.tree.own[f"{self.tree.model.root}DeviceInfo.SoftwareVersion"] = version

    def enqueue(self, order: Download | Upload) -> bool:
        """Take an order on; False when there are as many as it can remember. It begins when the session is over."""
        if len(self.transfers) >= MAX_TRANSFERS:
            return False
        self._queue = (*self._queue, order)
        return True

    def transferred(self, order: Download | Upload, code: int, text: str, started: str) -> None:
        """A transfer ended: its TransferComplete waits for the next session."""
        self.running = self._transfer = None
        behaviour = self.world.settings.behaviour
        key = "" if self.draw("forgets_key") < behaviour.forgets_key else order.command_key
        self.told = (*self.told, TransferComplete(key, code, text, started, self.world.time_text()))
        self.note(TRANSFER_COMPLETE)
        self.note("M Download" if isinstance(order, Download) else "M Upload", key)
        if code or isinstance(order, Upload):
            self.wake(TRANSFER_COMPLETE)
            self._transfer_next()

    def installed(self, version: str) -> None:
        """The image was good: it is installed, and the device comes back with it, or as its lot is."""
        behaviour = self.world.settings.behaviour
        if self.draw("wrong_image") < behaviour.wrong_image:
            self.world.count("wrong_images")
        else:
            self._install(version)
        if self.draw("brick") < behaviour.brick:
            self._stop()
            self.power = Power.BRICKED
            self.world.count("bricks")
            return
        if self.draw("silence") < behaviour.silence:
            self.power = Power.SILENT
            self.world.count("silences")
        self.power_on()

    def _transfer_next(self) -> None:
        """Begin the order that waits longest, if none runs."""
        if self.running is None and self._queue and self.power in {Power.UP, Power.SILENT}:
            self.running, *rest = self._queue
            self._queue = tuple(rest)
            self._downloads += 1
            self._transfer = self.world.start(transfer(self, self.running))

    def _break_off(self) -> None:
        """Power or a reboot ends the transfer that runs."""
        if self.running is not None and self._transfer is not None and self._transfer is not asyncio.current_task():
            self._transfer.cancel()
            self.world.count("transfers_broken_off")
            order, queue, self._queue = self.running, self._queue, ()
            self.transferred(order, 9010, "File transfer failure", self.world.time_text())
            self._queue = queue

    # Time and chance ---------------------------------------------------------------------------------------------------

    def _after(self, seconds: float, then: Callable[[], object]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.world.later(seconds, then)

    def draw(self, what: str) -> float:
        """An even number from 0 to below 1, the same for the same device, event and count of transfers."""
        return draw(self.world.settings.seed, self.index, what, self._downloads * 1_000 + self._attempt)
