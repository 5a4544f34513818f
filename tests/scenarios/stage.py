"""The whole product as `ringfence up` starts it, a real Kamailio before it, and people who call: what every scenario plays on.

A stage lives as long as its module; each test takes accounts that nobody used before. Everything is waited for, nothing is slept for: a
deadline here is what a loaded machine may need, never what the product promises. What a test learns, it learns from outside: answers
to calls, the bus as the console reads it, the edge's own tables.
"""

import asyncio
import contextlib
import hashlib
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from ringfence.base.errors import UnavailableError
from ringfence.base.secret import Secret
from ringfence.detection.model import Alert, decode_alert
from ringfence.detection.service import DetectionService
from ringfence.drills.product import BLOCKING_ROLES, EDGE, Product, rehearsal_folder, running_product
from ringfence.enforcement.agent import ask_policy
from ringfence.enforcement.commands import Command, Done
from ringfence.enforcement.model import Block
from ringfence.runtime.bus import Bus, Message
from ringfence.runtime.db import Database
from ringfence.runtime.keys import read_key
from ringfence.runtime.status import Status, status_subject
from ringfence.simulators import load
from ringfence.simulators.answerer import Answerer
from ringfence.simulators.caller import Call, Caller, CallerLine
from ringfence.simulators.kamailio import DOMAIN, Authentication, RunningKamailio, start_kamailio
from ringfence.telephony.suspicion import Suspicion, decode_suspicion
from tests.peers.kamailio import Rpc
from tests.unit.detection.published import published_rules

PATIENCE_SECONDS = 60.0
"""The longest that anything is waited for."""
PASSWORD = "pw"
SIERRA_LEONE = "+23278"
ACCOUNTS = 600
T = TypeVar("T")


Bend = Callable[[bytes], Iterable[tuple[float, bytes]]]
"""A datagram on its way -> what arrives, each after some seconds."""


def straight(datagram: bytes) -> Iterable[tuple[float, bytes]]:
    """As it is, at once."""
    return ((0.0, datagram),)


async def eventually(look: Callable[[], Awaitable[T]], what: str, *, seconds: float = PATIENCE_SECONDS) -> T:
    """Look again and again until what is found is true; a bus that is away meanwhile is looked for again."""
    deadline = time.monotonic() + seconds
    while True:
        found: T | None = None
        with contextlib.suppress(UnavailableError):
            found = await look()
        if found:
            return found
        assert time.monotonic() < deadline, f"after {seconds:.0f} s still not: {what}"
        await asyncio.sleep(0.05)


def table_of(key: str) -> str:
    """The edge's table that holds a key."""
    return "rf_" + hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()[0] if key[1:2] == ":" else "rf_num"


@dataclass(slots=True, kw_only=True)
class Fraud:
    """A run of expensive calls of one account."""

    account: str
    calls: list[Call] = field(default_factory=list)
    seconds_to_block: float = 0.0
    """From the second call, which crosses, to the first 603."""

    async def hang_up(self) -> None:
        """End what still runs."""
        for call in self.calls:
            if call.answer.status_code == 200:
                await call.hang_up()


class Traffic:
    """Ordinary calls by sipp, all the time, until `finish`."""

    def __init__(self, running: load.RunningLoad) -> None:
        self._running = running

    async def finish(self) -> tuple[int, int]:
        """Let the calls under way end; how many calls succeeded and failed."""
        self._running.process.send_signal(signal.SIGUSR1)
        return await asyncio.to_thread(self._running.finish)


class Tap(asyncio.DatagramProtocol):
    """The wire between Kamailio and ingest: what goes through is kept, and `bend` may change it on its way."""

    def __init__(self, ingest: tuple[str, int]) -> None:
        self._ingest = ingest
        self._transport: asyncio.DatagramTransport
        self.port = 0
        self.passed: list[bytes] = []
        self.bend: Bend = straight

    @classmethod
    async def open(cls, ingest: tuple[str, int]) -> Self:
        """Bind a free port."""
        loop = asyncio.get_running_loop()
        transport, tap = await loop.create_datagram_endpoint(lambda: cls(ingest), local_addr=("127.0.0.1", 0))
        tap._transport = transport
        tap.port = transport.get_extra_info("sockname")[1]
        return tap

    def close(self) -> None:
        """Close the socket."""
        self._transport.close()

    def datagram_received(self, data: bytes, _addr: tuple[str | int, ...]) -> None:
        """Pass on what `bend` makes of it."""
        self.passed.append(data)
        for seconds, datagram in self.bend(data):
            if seconds:
                asyncio.get_running_loop().call_later(seconds, self.send, datagram)
            else:
                self.send(datagram)

    def send(self, datagram: bytes) -> None:
        """Send to ingest from where Kamailio's HEP comes from."""
        self._transport.sendto(datagram, self._ingest)


class Stage:
    """Made by `open_stage`. `run` plays a coroutine on the stage's own loop."""

    def __init__(
        self, runner: asyncio.Runner, folder: Path, product: Product, kamailio: RunningKamailio, gateway: Answerer, tap: Tap | None
    ) -> None:
        self._runner = runner
        self._names = iter([f"4930{7_000_000 + number}" for number in range(100, ACCOUNTS)])
        self._lines: dict[str, CallerLine] = {}
        self._numbers = iter(range(1, 1_000_000))
        self._loads = 0
        self.folder = folder
        self.product = product
        self.kamailio = kamailio
        self.gateway = gateway
        self._tap = tap
        self.bus: Bus

    @property
    def tap(self) -> Tap:
        """The wire from Kamailio to ingest, of a stage that was opened with one."""
        assert self._tap is not None
        return self._tap

    def run(self, play: Coroutine[Any, Any, T]) -> T:
        """Play on the stage's loop."""
        return self._runner.run(play)

    async def close(self) -> None:
        """Close lines and bus."""
        for line in self._lines.values():
            line.close()
        await self.bus.close()

    # -- people ----------------------------------------------------------------------------------------------------------------------

    def account(self) -> str:
        """An account that nobody used before."""
        return next(self._names)

    async def caller(self, account: str, *, address: str = "127.0.0.1", password: str = PASSWORD, domain: str = DOMAIN) -> Caller:
        """A telephone of an account, at an address."""
        if address not in self._lines:
            self._lines[address] = await CallerLine.open(self.kamailio.sip_address, address=address)
        return Caller(self._lines[address], account, password, domain)

    def expensive_number(self) -> str:
        """A number in Sierra Leone that nobody called before, in another range than those before: D14 blocks a range for everybody."""
        return f"{SIERRA_LEONE}{next(self._numbers) * 611_953 % 1_000_000:06d}"

    async def dial(self, account: str, number: str, *, address: str = "127.0.0.1", hang_up: bool = True) -> int:
        """Call a number; the status code of the answer."""
        call = await (await self.caller(account, address=address)).invite(number)
        if hang_up and call.answer.status_code == 200:
            await call.hang_up()
        return call.answer.status_code

    async def defraud(
        self,
        account: str,
        *,
        address: str = "127.0.0.1",
        seconds: float = PATIENCE_SECONDS,
        between: Callable[[int], Awaitable[None]] | None = None,
    ) -> Fraud:
        """Call Sierra Leone again and again, three times a second, until a call is refused with 603. `between` hears each call's number."""
        fraud, caller = Fraud(account=account), await self.caller(account, address=address)
        deadline, crossing = time.monotonic() + seconds, 0.0
        while True:
            began = time.monotonic()
            call = await caller.invite(self.expensive_number())
            fraud.calls.append(call)
            if len(fraud.calls) == 2:
                crossing = began
            if call.answer.status_code == 603:
                fraud.seconds_to_block = time.monotonic() - (crossing or began)
                return fraud
            assert time.monotonic() < deadline, (
                f"{account} was not refused within {seconds:.0f} s: {[c.answer.status_code for c in fraud.calls]}"
            )
            if between is not None:
                await between(len(fraud.calls))
            await asyncio.sleep(0.3)

    @contextlib.contextmanager
    def traffic(self, *, rate: int = 10) -> Iterator[Traffic]:
        """Ordinary calls by sipp from a hundred accounts that do nothing else."""
        self._loads += 1
        ordinary = load.Load(
            rate=rate,
            seconds=600,
            accounts=[(f"4930{7_000_000 + number}", PASSWORD) for number in range(100)],
            numbers=[f"0{area}{number:07d}" for number in range(100, 133) for area in (30, 40, 89)],
        )
        with load.calls(self.folder / f"calls-{self._loads}", self.kamailio.sip_address, free_udp_port(), ordinary) as running:
            yield Traffic(running)

    # -- what the console would see --------------------------------------------------------------------------------------------------

    async def messages(self, stream: str) -> list[Message]:
        """Everything that a stream holds now."""
        found: list[Message] = []
        last = await self.bus.last_sequence(stream)
        if last:
            async with contextlib.aclosing(self.bus.read(stream, from_sequence=1)) as arrivals:
                async for message in arrivals:
                    found.append(message)
                    if message.sequence >= last:
                        break
        return found

    async def alerts(self, account: str = "") -> list[Alert]:
        """Alert messages in order, of one account or of all."""
        found = [decode_alert(message.payload) for message in await self.messages("ALERTS")]
        return [alert for alert in found if account in ("", alert.account)]

    async def suspicions(self, account: str = "") -> list[Suspicion]:
        """Suspicions in order, of one account or of all."""
        found = [decode_suspicion(message.payload) for message in await self.messages("SUSPICIONS")]
        return [suspicion for suspicion in found if account in ("", suspicion.account)]

    async def blocks(self, account: str = "") -> list[Block]:
        """Blocks in the record, of one account or all, whatever their state."""
        bucket, found = self.bus.bucket("blocks"), []
        for key in await bucket.keys():
            entry = await bucket.get(key)
            if entry is not None and entry.value is not None:
                found.append(msgspec.json.decode(entry.value, type=Block))
        return [block for block in found if account in ("", block.account, block.value)]

    async def ask(self, command: Command) -> Done:
        """Ask policy, as console and API do; while a standby takes over, ask again."""
        return await eventually(lambda: ask_policy(self.bus, command), f"an answer of policy to {type(command).__name__}")

    async def status(self, role: str) -> Status:
        """A role's next heartbeat."""

        async def next_beat() -> Status | None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5), contextlib.aclosing(self.bus.listen(status_subject(role))) as beats:
                    async for beat in beats:
                        return msgspec.json.decode(beat.payload, type=Status)
            return None

        found = await eventually(next_beat, f"a heartbeat of {role}")
        assert found is not None
        return found

    async def figures(self, role: str) -> dict[str, float]:
        """The figures of a role's next heartbeat that has any: the first after a start may come before them."""
        while not (figures := (await self.status(role)).figures):
            pass
        return figures

    async def judged(self) -> None:
        """Until everything that the edge has told so far was judged: an account that was never seen crosses after it, and is blocked."""
        await (await self.defraud(self.account())).hang_up()

    # -- the edge's own tables -------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def rpc(self) -> Iterator[Rpc]:
        """JSON-RPC of the edge, as its connector speaks it."""
        token = read_key(self.product.settings.keys_dir / f"edge-{EDGE}.token")
        rpc = Rpc(self.product.ports.rpc, token=token.open())
        try:
            yield rpc
        finally:
            rpc.close()

    def at_edge(self, key: str) -> str:
        """What the edge holds for a key; empty when nothing."""
        with self.rpc() as rpc:
            found = rpc.call("htable.get", table_of(key), key)
        return "" if found is None else str(found["item"]["value"])

    # -- processes -------------------------------------------------------------------------------------------------------------------

    def pid(self, name: str) -> int:
        """Process id of a role or an engine; 0 while there is none."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int((self.product.settings.run_dir / f"{name}.pid").read_text().split()[0])
        return 0

    def kill(self, name: str) -> int:
        """kill -9; the process id that it had."""
        pid = self.pid(name)
        assert pid, f"{name} runs"
        os.kill(pid, signal.SIGKILL)
        return pid

    async def back(self, name: str, killed: int) -> None:
        """Until the supervisor has started it again and, of a role, until it does its work."""
        ready = self.product.settings.run_dir / f"{name}.ready"

        async def again() -> bool:
            pid = self.pid(name)
            if pid in (0, killed):
                return False
            if name in BLOCKING_ROLES:
                return ready.exists() and ready.read_text().strip() == str(pid)
            return self.bus.connected if name == "nats" else True

        await eventually(again, f"{name} runs again")

    @property
    def hep_key(self) -> Secret:
        """The key of the edge's HEP."""
        return read_key(self.product.settings.keys_dir / f"agent-{EDGE}.key")


@contextlib.contextmanager
def open_stage(*, mode: str = "act", tapped: bool = False) -> Iterator[Stage]:
    """Start product and Kamailio, wait until the connector has filled the edge, and stop everything in the end.

    With `tapped`, Kamailio's HEP goes through `stage.tap`.
    """
    with rehearsal_folder() as folder, asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        try:
            yield runner.run(_begin(runner, stack, folder, mode=mode, tapped=tapped))
        finally:
            runner.run(stack.aclose())


async def _judge_by_published_limits(product: Product) -> None:
    """Activate rules as an analyst would: scenarios need known limits, and tuning the built-in ones changes none of them.

    Through PostgreSQL, because the worker tells its rules once more while it starts. Waits until it has told these to every lane.
    """
    async with Database(product.settings.database, name="stage") as database:
        detection = DetectionService(database)

        async def activated() -> bool:
            await detection.activate_rules(await detection.save_rules(published_rules(), "stage", "published limits"), "stage")
            return True

        async def told() -> bool:
            return not await detection.pending(1)

        await eventually(activated, "the rules of the stage are active")
        await eventually(told, "the worker has told the detectors the rules of the stage")


async def _begin(runner: asyncio.Runner, stack: contextlib.AsyncExitStack, folder: Path, *, mode: str, tapped: bool) -> Stage:
    product = await stack.enter_async_context(running_product(folder / "product", mode=mode))
    await _judge_by_published_limits(product)
    gateway = await stack.enter_async_context(await Answerer.open())
    tap, settings = None, product.edge_settings
    if tapped:
        tap = await Tap.open(("127.0.0.1", product.ports.hep))
        stack.callback(tap.close)
        settings = settings.replace(f"127.0.0.1:{product.ports.hep}", f"127.0.0.1:{tap.port}")
        assert settings != product.edge_settings
    kamailio = start_kamailio(
        folder / "kamailio",
        sip_port=product.ports.sip,
        settings=settings,
        accounts={f"4930{7_000_000 + number}": PASSWORD for number in range(ACCOUNTS)},
        gateway=gateway.address,
        authentication=Authentication.OWN,
    )
    # Killed, because its orderly end takes seconds and nothing here is about it.
    stack.callback(kamailio.kill)
    stage = Stage(runner, folder, product, kamailio, gateway, tap)
    stage.bus = await product.bus()
    stack.push_async_callback(stage.close)
    await eventually(lambda: filled(stage), "the connector has filled the edge")
    return stage


async def filled(stage: Stage) -> bool:
    """Whether the edge says that its tables are complete."""
    with contextlib.suppress(OSError), stage.rpc() as rpc:
        return rpc.call("htable.get", "rf_meta", "epoch") is not None
    return False


def free_udp_port() -> int:
    """A UDP port of 127.0.0.1 that nobody has at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
