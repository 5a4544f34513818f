"""Ordinary calls at a steady rate, made by sipp: the load beside which something is measured.

sipp is the caller and the gateway, so neither shares a process with what is measured. Each call authenticates, is answered, talks for two
seconds and is ended by BYE. UnavailableError (`peer_missing`) when sipp is not installed.
"""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ringfence.base.errors import UnavailableError

SCENARIOS = Path(__file__).parent / "sipp"
TALK_SECONDS = 2
GRACE_SECONDS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`rate` calls a second for `seconds`, from accounts (name, password) in turn, to numbers in turn."""

    rate: int
    seconds: int
    accounts: Sequence[tuple[str, str]]
    numbers: Sequence[str]


@dataclass(slots=True, kw_only=True)
class RunningLoad:
    """A sipp that calls. `finish` waits for its end and says how many calls succeeded and failed."""

    process: subprocess.Popen[bytes]
    folder: Path

    def finish(self) -> tuple[int, int]:
        """`(successful, failed)` calls, from sipp's own statistics."""
        self.process.wait()
        rows = sorted(self.folder.glob("*_.csv"))
        if not rows:
            raise UnavailableError(f"sipp wrote no statistics; see {self.folder / 'calls.log'}", reason="sipp_failed")
        lines = rows[-1].read_text().splitlines()
        names, values = lines[0].split(";"), lines[-1].split(";")
        found = dict(zip(names, values, strict=False))
        return int(found["SuccessfulCall(C)"]), int(found["FailedCall(C)"])


def find_sipp() -> str:
    """Path of sipp."""
    program = shutil.which("sipp")
    if program is None:
        raise UnavailableError("sipp is not installed; apt-get install sip-tester", reason="peer_missing")
    return program


@contextlib.contextmanager
def gateway(folder: Path, port: int) -> Iterator[tuple[str, int]]:
    """A gateway that answers every call, on 127.0.0.1:`port`."""
    folder.mkdir(parents=True, exist_ok=True)
    command = (find_sipp(), "-sf", str(SCENARIOS / "gateway.xml"), "-i", "127.0.0.1", "-p", str(port), "-nostdin", "-buff_size", "4000000")
    with (folder / "gateway.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
    try:
        yield ("127.0.0.1", port)
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def calls(folder: Path, proxy: tuple[str, int], port: int, load: Load) -> Iterator[RunningLoad]:
    """Calls towards a proxy, from 127.0.0.1:`port`."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = folder / "fields.csv"
    with fields.open("w") as file:
        file.write("SEQUENTIAL\n")
        for place, (account, password) in enumerate(load.accounts):
            number = load.numbers[place % len(load.numbers)]
            file.write(f"{account};[authentication username={account} password={password}];{number}\n")
    count = load.rate * load.seconds
    command = (
        *(find_sipp(), f"{proxy[0]}:{proxy[1]}", "-sf", str(SCENARIOS / "call.xml"), "-inf", str(fields)),
        *("-i", "127.0.0.1", "-p", str(port), "-m", str(count), "-r", str(load.rate), "-l", str(load.rate * 20), "-nostdin"),
        *("-timeout", str(load.seconds + GRACE_SECONDS), "-recv_timeout", "8000", "-trace_stat", "-fd", "1", "-buff_size", "4000000"),
    )
    with (folder / "calls.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
    try:
        yield RunningLoad(process=process, folder=folder)
    finally:
        process.kill()
        process.wait()
