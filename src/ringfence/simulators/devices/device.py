"""One device: power, events that wait for delivery, retries, transfers, and its answers.

Idle it is a timer and a few references. The one thing to know: an event leaves the list when the ACS has answered the Inform that told
it (a transfer's when the ACS has answered the TransferComplete), so that lost sessions are repeated by the standard's retry policy.
"""

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import quote

from ringfence.base.errors import PeerError, RingfenceError, UnavailableError
from ringfence.base.secret import Secret
from ringfence.protocols.cwmp.messages import DeviceId, Download, Event, FactoryReset, Inform, ParameterValue, Reboot, TransferComplete
from ringfence.simulators.devices.behaviour import Oddity, between, draw, retry_wait
from ringfence.simulators.devices.images import ImageReader
from ringfence.simulators.devices.session import run_session
from ringfence.simulators.devices.tree import Model, Tree
from ringfence.simulators.devices.wire import fetch

if TYPE_CHECKING:
    from ringfence.simulators.devices.world import World

BOOTSTRAP, BOOT, PERIODIC, SCHEDULED = "0 BOOTSTRAP", "1 BOOT", "2 PERIODIC", "3 SCHEDULED"
VALUE_CHANGE, CONNECTION_REQUEST, TRANSFER_COMPLETE = "4 VALUE CHANGE", "6 CONNECTION REQUEST", "7 TRANSFER COMPLETE"
_WITH_TRANSFER = frozenset({TRANSFER_COMPLETE, "M Download", "M Upload"})
MAX_EVENTS = 64
FETCH_ATTEMPTS = 4
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
        "_session",
        "_timer",
        "_transfer",
        "index",
        "power",
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
        self.told: tuple[TransferComplete, ...] = ()
        """Finished transfers that the ACS has not acknowledged."""
        self._events: tuple[Event, ...] = (Event(BOOTSTRAP),)
        self._changes: tuple[str, ...] = ()
        self._attempt = 0
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
    def busy(self) -> bool:
        """Whether a transfer is under way."""
        return self._transfer is not None

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
        seconds = between(self.world.settings.behaviour.boot_seconds, self._draw("boot")) if wait is None else wait
        self._after(seconds, self._silent if silent else self._booted)

    def power_off(self) -> None:
        """At once, whatever it was doing. A transfer that ran has failed."""
        if self._transfer is not None:
            self._tell("", 9010, "File transfer failure", self.world.time_text())
        self._stop()
        if self.power is not Power.BRICKED:
            self.power = Power.OFF

    def _booted(self) -> None:
        self.power = Power.UP
        self.wake(BOOT)

    def _silent(self) -> None:
        self.power = Power.SILENT
        self.world.count("silent_boots")

    def _stop(self) -> None:
        for task in (self._session, self._transfer):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        self._session = self._transfer = None
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
        after: list[Download | Reboot | FactoryReset | None] = []
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
            self._after(retry_wait(self._attempt, self._draw("retry")), self._retry)
            return
        finally:
            if self._session is asyncio.current_task():
                self._session = None
        self._settle(after[-1] if after else None)
        self.world.count("sessions_done")

    def _retry(self) -> None:
        if self.power is Power.UP and self._session is None:
            self._session = self.world.start(self._run())

    def _settle(self, order: Download | Reboot | FactoryReset | None) -> None:
        if isinstance(order, FactoryReset):
            self.tree.reset()
            self.note(BOOTSTRAP)
        if isinstance(order, Reboot):
            self.note("M Reboot", order.command_key)
        if isinstance(order, (Reboot, FactoryReset)):
            self.power_on()
            return
        if isinstance(order, Download):
            self._transfer = self.world.start(self._download(order))
        if self._again:
            self._again = False
            self._session = self.world.start(self._run())
            return
        own = self.of("ManagementServer.PeriodicInformInterval")
        seconds = float(own) if own.isdigit() and int(own) > 0 else self.world.settings.behaviour.periodic_seconds
        if self.of("ManagementServer.PeriodicInformEnable") in {"1", "true", ""}:
            self._after(seconds, lambda: self.wake(PERIODIC))

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
            self._install(self.world.settings.behaviour.own_version)
            self.world.count("own_updates")
            self.power_on()

    async def _download(self, order: Download) -> None:
        """Fetch, check, install, reboot; or tell why not."""
        behaviour, started = self.world.settings.behaviour, self.world.time_text()
        await self.world.sleep(order.delay_seconds)
        self._downloads += 1
        reader = ImageReader()
        try:
            await self._fetch(order, reader)
            if order.file_size and reader.size != order.file_size:
                raise PeerError("The image has another size than was said.", reason="image_size")
            head = reader.finish(self.tree.model.product_class)
        except RingfenceError as failed:
            self._transfer = None
            code, text = _FAULTS.get(failed.reason, (9017, "File transfer failure: unable to complete download"))
            self.world.count("downloads_failed")
            self._tell(order.command_key, code, text, started)
            self.wake(TRANSFER_COMPLETE)
            return
        self.world.count("downloads")
        self._transfer = None
        self._tell(order.command_key, 0, "", started)
        if self._draw("wrong_image") < behaviour.wrong_image:
            self.world.count("wrong_images")
        else:
            self._install(head.version)
        if self._draw("brick") < behaviour.brick:
            self._stop()
            self.power = Power.BRICKED
            self.world.count("bricks")
            return
        if self._draw("silence") < behaviour.silence:
            self.power = Power.SILENT
            self.world.count("silences")
        self.power_on()

    async def _fetch(self, order: Download, reader: ImageReader) -> None:
        rate = between(self.world.settings.behaviour.download_bytes_per_second, self._draw("rate"))
        broken = self._draw("download_failure") < self.world.settings.behaviour.download_failure
        limit = (order.file_size or 100_000) * self._draw("broken_at") if broken else float("inf")
        for attempt in range(1, FETCH_ATTEMPTS + 1):
            try:
                async with self.world.downloads:
                    async for data in fetch(order.url, reader.size, self.world.settings.tls):
                        reader.feed(data)
                        self.world.count("bytes", len(data))
                        if reader.size > limit:
                            raise PeerError("The line broke down.", reason="broken_download")
                        await self.world.sleep(len(data) / rate)
            except UnavailableError:
                if attempt == FETCH_ATTEMPTS:
                    raise
            except PeerError as refused:
                if refused.reason not in {"http_503", "http_429"} or attempt == FETCH_ATTEMPTS:
                    raise
            else:
                return
            self.world.count("resumed")
            await self.world.sleep(retry_wait(attempt, self._draw("resume")))

    def _install(self, version: str) -> None:
        self.tree.own[f"{self.tree.model.root}DeviceInfo.SoftwareVersion"] = version

    def _tell(self, command_key: str, code: int, text: str, started: str) -> None:
        self.told = (*self.told, TransferComplete(command_key, code, text, started, self.world.time_text()))
        self.note(TRANSFER_COMPLETE)
        self.note("M Download", command_key)

    # Time and chance ---------------------------------------------------------------------------------------------------

    def _after(self, seconds: float, then: Callable[[], object]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.world.later(seconds, then)

    def _draw(self, what: str) -> float:
        return draw(self.world.settings.seed, self.index, what, self._downloads * 1_000 + self._attempt)


_FAULTS = {
    "http_401": (9012, "File transfer server authentication failure"),
    "http_403": (9016, "File transfer failure: unable to access file"),
    "http_404": (9016, "File transfer failure: unable to access file"),
    "no_connection": (9015, "File transfer failure: unable to contact file server"),
    "bad_url": (9013, "Unsupported protocol for file transfer"),
    "no_image": (9018, "File transfer failure: file corrupted"),
    "broken_image": (9018, "File transfer failure: file corrupted"),
    "image_size": (9018, "File transfer failure: file corrupted"),
    "foreign_image": (9019, "File transfer failure: file authentication failure"),
}
