"""Roles as the processes they are in production: started, killed with -9, started again."""

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from ringfence.runtime.bus import Bus
from tests.harness.engines import NatsServer

START_SECONDS = 30.0


class RoleProcess:
    """`python -m ringfence.apps.<role>.main` with a data folder of its own."""

    def __init__(self, role: str, folder: Path, nats: NatsServer, extra: str = "") -> None:
        self.role = role
        self.folder = folder
        for name in ("keys", "run"):
            folder.joinpath(name).mkdir(parents=True, mode=0o700)
        self.write_key(f"nats-{role}.password", "test")
        folder.joinpath("ringfence.toml").write_text(f"nats_port = {nats.port}\n[metrics]\nbase_port = 0\n{extra}")
        self.process: subprocess.Popen[bytes] | None = None

    def write_key(self, name: str, secret: str) -> Path:
        file = self.folder / "keys" / name
        file.touch(mode=0o600)
        file.write_text(secret)
        return file

    def start(self, *, wait: bool = True) -> None:
        ready = self.folder / "run" / f"{self.role}.ready"
        ready.unlink(missing_ok=True)
        with self.folder.joinpath("log").open("ab") as log:
            command = (sys.executable, "-m", f"ringfence.apps.{self.role}.main", "--data-dir", str(self.folder))
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while wait and not ready.exists():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.02)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)

    def log(self) -> str:
        return self.folder.joinpath("log").read_text()[-4000:]


@contextlib.contextmanager
def stopped_at_the_end(*roles: RoleProcess) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for role in roles:
            print(role.role, role.log(), sep="\n")  # pytest shows it with the failure
        raise
    finally:
        for role in roles:
            if role.process is not None and role.process.poll() is None:
                role.kill()


@contextlib.asynccontextmanager
async def connected(nats: NatsServer, user: str = "supervisor") -> AsyncIterator[Bus]:
    bus = await nats.connect(user)
    try:
        yield bus
    finally:
        await bus.close()


async def until(holds: Callable[[], Awaitable[bool]], *, seconds: float = 15.0, what: str = "") -> float:
    """Wait until it holds; how long it took."""
    started = time.monotonic()
    while not await holds():
        assert time.monotonic() < started + seconds, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.01)
    return time.monotonic() - started
