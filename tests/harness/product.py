"""The product as a test runs it: real engines, and real roles as processes of their own on ports of their own.

Only ingest is played: `Wire` writes what ingest would have written into the log, so that a test decides to the millisecond what was seen.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import msgspec

from ringfence.archive import batches
from ringfence.base.clock import system_clock
from ringfence.base.secret import Secret
from ringfence.fleet.adapters import FLEET_KEY
from ringfence.runtime.bus import Bus
from ringfence.runtime.db import migrate
from ringfence.runtime.keys import ACS_KEY, HASH_KEY, nats_password_file
from ringfence.runtime.settings import ROLES
from ringfence.runtime.status import Status, status_subject
from ringfence.telephony.columns import batch_of
from ringfence.telephony.model import AccountRow, Flag, Kind, account_key_of, account_slot, call_key_of, country_code, number_key_of
from tests.harness.engines import NatsServer, PostgresServer, free_port, running_postgres, short_folder

KEY = b"test"
MINUTE_MS = 60_000


class Product:
    """Engines and the roles that a test names. `mode` is the detectors' mode; `metrics_port` 0: no metrics; `settings`: further `RINGFENCE_*`."""

    def __init__(self, *roles: str, mode: str = "act", metrics_port: int = 0, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        self._settings = settings
        self._roles = roles
        self._mode = mode
        self._metrics_port = metrics_port
        self._stack = ExitStack()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.console_port, self.api_port = free_port(), free_port()
        self.acs_port, self.bootstrap_port, self.firmware_port = free_port(), free_port(), free_port()

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _begin(self) -> None:
        self.folder = Path(self._stack.enter_context(short_folder()))
        engines = self.folder / "engines"
        engines.mkdir(mode=0o755)
        self.nats = NatsServer(engines)
        self.nats.start()
        self._stack.callback(self.nats.stop)
        database_folder = Path(self._stack.enter_context(short_folder()))
        self.postgres: PostgresServer = self._stack.enter_context(running_postgres(database_folder))
        asyncio.run(self.nats.prepare())
        self.database_url = self.postgres.create("product")
        asyncio.run(migrate(self.database_url))
        self._lay_out()
        for role in self._roles:
            self.start(role)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for role in reversed(list(self._processes)):
            self.stop(role)
        self._stack.close()

    @property
    def console_url(self) -> str:
        """Where people go."""
        return f"http://127.0.0.1:{self.console_port}"

    @property
    def api_url(self) -> str:
        """Where programs go."""
        return f"http://127.0.0.1:{self.api_port}"

    def metrics_url(self, role: str) -> str:
        """The metrics of a role."""
        return f"http://127.0.0.1:{self._metrics_port + ROLES.index(role)}/metrics"

    def start(self, role: str) -> None:
        """Start a role and wait until it is ready."""
        ready = self.folder / "run" / f"{role}.ready"
        ready.unlink(missing_ok=True)
        log = (self.folder / "log" / f"{role}.log").open("ab")
        command = (sys.executable, "-m", f"ringfence.apps.{role}.main", "--data-dir", str(self.folder))
        self._processes[role] = subprocess.Popen(command, env=self._environment(), stdout=log, stderr=log)
        log.close()
        deadline = time.monotonic() + 60
        while not ready.exists():
            if self._processes[role].poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{role} did not start:\n{self.log(role)[-4000:]}")
            time.sleep(0.05)

    def stop(self, role: str) -> int:
        """End a role in order; its exit code."""
        process = self._processes.pop(role)
        process.terminate()
        try:
            return process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def log(self, role: str) -> str:
        """What a role said."""
        return (self.folder / "log" / f"{role}.log").read_text()

    def _environment(self) -> dict[str, str]:
        own = {
            "RINGFENCE_NATS_PORT": str(self.nats.port),
            "RINGFENCE_DATABASE_URL": self.database_url,
            "RINGFENCE_CONSOLE__LISTEN": f"127.0.0.1:{self.console_port}",
            "RINGFENCE_API__LISTEN": f"127.0.0.1:{self.api_port}",
            "RINGFENCE_ACS__MANAGED__LISTEN": f"127.0.0.1:{self.acs_port}",
            "RINGFENCE_ACS__BOOTSTRAP__LISTEN": f"127.0.0.1:{self.bootstrap_port}",
            "RINGFENCE_ACS__FIRMWARE__LISTEN": f"127.0.0.1:{self.firmware_port}",
            "RINGFENCE_ACS__FIRMWARE__URL": f"http://127.0.0.1:{self.firmware_port}",
            "RINGFENCE_METRICS__BASE_PORT": str(self._metrics_port),
            "RINGFENCE_DETECTION__MODE": self._mode,
        }
        return {name: value for name, value in os.environ.items() if not name.startswith("RINGFENCE_")} | own | dict(self._settings)

    def _lay_out(self) -> None:
        for name in ("keys", "run", "log", "archive", "snapshots", "edges"):
            (self.folder / name).mkdir(mode=0o700)
        secrets = {nats_password_file(role): "test" for role in ROLES} | {
            HASH_KEY: KEY.decode(),
            "edge-kamailio-1.token": "test",
            FLEET_KEY: "test",
            ACS_KEY: "test",
        }
        for name, value in secrets.items():
            file = self.folder / "keys" / name
            file.write_text(value)
            file.chmod(0o600)


class Wire:
    """Writes what ingest would have seen."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._calls = 0

    @classmethod
    async def connect(cls, product: Product) -> "Wire":
        """As the role ingest."""
        return cls(await Bus.connect(product.nats.url, user="ingest", password=Secret("test"), name="ingest"))

    async def close(self) -> None:
        """Let go."""
        await self._bus.close()

    async def send(self, rows: Sequence[AccountRow]) -> None:
        """A batch of rows."""
        for start in range(0, len(rows), 4096):
            payload = batches.encode(batch_of(rows[start : start + 4096]))
            await self._bus.publish("log.account.0", payload, {"Rf-Kind": "rows"})

    async def tick(self, at_ms: int) -> None:
        """The second has passed."""
        await self._bus.publish("log.account.0", at_ms.to_bytes(8), {"Rf-Kind": "tick"})

    async def beat(self, calls_per_second: float) -> None:
        """The heartbeat of ingest."""
        status = Status(role="ingest", instance="i-test", at_ms=system_clock(), figures={"calls_per_second": calls_per_second})
        await self._bus.announce(status_subject("ingest"), msgspec.json.encode(status))

    def call(
        self,
        account: str,
        callee: str,
        *,
        at_ms: int,
        country: str = "DE",
        destination_class: int = 1,
        euro_per_minute: float = 0.0,
        answered_after_ms: int = 4000,
        seconds: float | None = 90,
        status_code: int = 200,
        user_agent: str = "FRITZ!OS 7.57",
        source_ip: str = "203.0.113.7",
        blocked: bool = False,
    ) -> list[AccountRow]:
        """The rows of a call; `seconds` None: it still runs."""
        self._calls += 1
        call_id = f"{self._calls:06d}-{at_ms}@example.net"
        key = account_key_of(KEY, account, keyed=True)
        range_key, tail = number_key_of(KEY, callee.removeprefix("+"))
        common: dict[str, Any] = {
            "account": account,
            "account_key": key,
            "slot": account_slot(key),
            "call_id": call_id,
            "call_key": call_key_of(KEY, call_id),
            "caller": "+4930123456",
            "callee": callee,
            "range_key": range_key,
            "number_tail": tail,
            "country": country_code(country),
            "destination_class": destination_class,
            "rate": round(euro_per_minute * 1_000_000),
            "flags": int(Flag(0)),
            "started_ms": at_ms,
            "source_ip": source_ip,
            "source_port": 5060,
            "user_agent": user_agent,
            "edge": "kamailio-1",
        }
        if blocked:
            return [AccountRow(kind=Kind.BLOCKED, at_ms=at_ms, received_ms=at_ms, status_code=603, **common)]
        rows = [AccountRow(kind=Kind.ATTEMPT, at_ms=at_ms, received_ms=at_ms, **common)]
        answered = at_ms + answered_after_ms
        if status_code != 200:
            return [
                *rows,
                AccountRow(kind=Kind.END, at_ms=answered, received_ms=answered, status_code=status_code, ended_ms=answered, **common),
            ]
        rows.append(AccountRow(kind=Kind.ANSWER, at_ms=answered, received_ms=answered, answered_ms=answered, status_code=200, **common))
        if seconds is not None:
            ended = answered + round(seconds * 1000)
            rows.append(
                AccountRow(kind=Kind.END, at_ms=ended, received_ms=ended, answered_ms=answered, ended_ms=ended, status_code=200, **common)
            )
        return rows
