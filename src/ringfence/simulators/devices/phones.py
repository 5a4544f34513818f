"""The telephones in devices: each registers at a SIP edge with the account and password that its tree holds at that moment.

So a password that the ACS set is seen by the registrar, as after a rotation; a silent device still telephones, and one without power does
not. The REGISTERs are real SIP over UDP, from one socket for all.
"""

import asyncio
import heapq
from typing import Self

from ringfence.simulators.caller import TIMED_OUT, Caller, CallerLine
from ringfence.simulators.devices.behaviour import draw
from ringfence.simulators.devices.device import Device, Power
from ringfence.simulators.devices.world import World

LINES = ("Services.VoiceService.1.VoiceProfile.1.Line.1.SIP.", "Services.VoiceService.1.SIP.Client.1.")
"""Of TR-104, first and second issue, below the root."""
AT_ONCE = 200


class Phones:
    """Telephones of all devices of a world. Counts `phones_registered`, `phones_refused` and `phones_unanswered` there."""

    def __init__(self, world: World, line: CallerLine, domain: str, every_seconds: float) -> None:
        self._world = world
        self._line = line
        self._domain = domain
        self._every = every_seconds
        self._gate = asyncio.Semaphore(AT_ONCE)

    @classmethod
    async def open(cls, world: World, edge: tuple[str, int], *, domain: str, every_seconds: float = 3600.0) -> Self:
        """Begin: each telephone at its own moment, then again after so many simulated seconds."""
        phones = cls(world, await CallerLine.open(edge), domain, every_seconds)
        world.start(phones._run())
        return phones

    def close(self) -> None:
        """Close the socket; the tasks end with the world."""
        self._line.close()

    def account_of(self, device: Device) -> tuple[str, str]:
        """User name and password of a device's first line; empty where it has none."""
        for line in LINES:
            if name := device.of(line + "AuthUserName"):
                return name, device.of(line + "AuthPassword")
        return "", ""

    async def register(self, device: Device) -> int:
        """Register one telephone now; the final status code, 0 where there is no account or no power."""
        account, password = self.account_of(device)
        if not account or device.power not in {Power.UP, Power.SILENT}:
            return 0
        agent = f"{device.identity.manufacturer} {device.identity.product_class} {device.version}"
        async with self._gate:
            answer = await Caller(self._line, account, password, self._domain, agent).register()
        found = {200: "phones_registered", TIMED_OUT: "phones_unanswered"}
        self._world.count(found.get(answer.status_code, "phones_refused"))
        return answer.status_code

    async def _run(self) -> None:
        """One telephone after the other, each when its time has come."""
        world, seed = self._world, self._world.settings.seed
        turns = [(self._every * draw(seed, device.index, "phone"), device.index) for device in world.devices]
        heapq.heapify(turns)
        began = asyncio.get_running_loop().time()
        while turns:
            due, index = turns[0]
            passed = (asyncio.get_running_loop().time() - began) * world.settings.scale
            if due > passed:
                await world.sleep(due - passed)
            heapq.heapreplace(turns, (due + self._every, index))
            world.start(self._turn(world.devices[index]))

    async def _turn(self, device: Device) -> None:
        await self.register(device)
