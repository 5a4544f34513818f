"""Bench `acs`: plain sessions (Inform, empty POST) against the real role with the embedded PostgreSQL, each on a new TCP connection.

The client is a process of its own (`acs_client`). Devices are known before the clock runs, unless `--new`. Beside the figures it says
what a session costs in processor time of each part: on a machine that others use too, that is what compares.
"""

import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ringfence.apps.bench.acs_client import PASSWORD, Load, device_of
from ringfence.base.clock import system_clock
from ringfence.base.errors import OperatorError, UnavailableError
from ringfence.base.secret import Secret
from ringfence.drills.product import Product, rehearsal_folder, running_product
from ringfence.fleet.adapters import FLEET_KEY, FileKeys, Sealer
from ringfence.fleet.model import REALM, InformSeen, Lane, Proof
from ringfence.fleet.service import FleetService
from ringfence.protocols.digest import ha1_of
from ringfence.runtime.db import Database

OPTIONS: dict[str, Any] = {"auth": "none", "clients": 32, "devices": 10_000, "seconds": 20.0, "rate": 0, "new": False}

KINDS = ("none", "digest", "tls")
BATCH = 64
WRITERS = 8
_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")


def run(options: dict[str, Any]) -> dict[str, object]:
    """Measure; figures as formats.md names them."""
    if options["auth"] not in KINDS:
        raise OperatorError(f"--auth takes one of {', '.join(KINDS)}.", reason="bad_option")
    with rehearsal_folder() as folder:
        return asyncio.run(_measure(folder, options))


async def _measure(folder: Path, options: dict[str, Any]) -> dict[str, object]:
    lane = f'authentication = "{"digest" if options["auth"] == "digest" else "none"}"\n'
    if options["auth"] == "tls":
        lane += _certificate(folder)
    async with running_product(folder / "product", roles=("acs",), night=False, acs=lane) as product:
        if not options["new"]:
            _say(f"making {options['devices']} devices known")
            await _prepare(product, options["devices"], credentials=options["auth"] == "digest")
        before = _processor_us(product)
        _say("running")
        load = Load(
            port=product.ports.acs,
            tls=options["auth"] == "tls",
            clients=options["clients"],
            devices=options["devices"],
            seconds=options["seconds"],
            rate=options["rate"],
        )
        found = await _client(load)
        after = _processor_us(product)
    sessions = max(1, int(found["sessions"]))
    cost = {name: round((after[name] - before[name]) / sessions) for name in before} | {"client": round(found.pop("client_us") / sessions)}
    return {**found, "processor_us_per_session": cost}


async def _client(load: Load) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ringfence.apps.bench.acs_client", json.dumps(load._asdict())), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise UnavailableError("The client of the bench failed; see above.", reason="bench_client")
    found: dict[str, Any] = json.loads(output)
    return found


async def _prepare(product: Product, count: int, *, credentials: bool) -> None:
    """Devices as an earlier Inform would have left them, some with credentials."""
    settings = product.settings
    async with Database(settings.database, name="bench") as db:
        fleet = FleetService(db, Sealer(FileKeys(settings.keys_dir / FLEET_KEY)), None)
        known: list[tuple[int, str]] = []
        for start in range(0, count, BATCH):
            numbers = range(start, min(count, start + BATCH))
            seen = [
                InformSeen(device=device_of(number), peer_ip="127.0.0.1", lane=Lane.MANAGED, proof=Proof.NONE, at_ms=system_clock())
                for number in numbers
            ]
            admitted = await fleet.admit(seen)
            known += [(one.device_id, _username(number)) for one, number in zip(admitted, numbers, strict=True)]
        waiting = iter(known if credentials else [])

        async def give() -> None:
            for device_id, name in waiting:
                await fleet.put_credential(device_id, name, ha1_of(username=name, realm=REALM, password=Secret(PASSWORD)))

        async with asyncio.TaskGroup() as group:
            for _ in range(WRITERS):
                group.create_task(give())


def _username(number: int) -> str:
    device = device_of(number)
    return f"{device.oui}-{device.serial_number}"


def _processor_us(product: Product) -> dict[str, int]:
    """Processor time so far of the role, and of PostgreSQL with its sessions."""
    postgres = _pid(product, "postgres")
    children = [pid for pid in _processes() if _stat(pid)[1] == postgres]
    return {"acs": _stat(_pid(product, "acs"))[0], "postgres": sum(_stat(pid)[0] for pid in (postgres, *children))}


def _pid(product: Product, name: str) -> int:
    return int((product.folder / "run" / f"{name}.pid").read_text().split()[0])


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _stat(pid: int) -> tuple[int, int]:
    """Processor time in microseconds, ended children included, and the parent."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    return sum(int(ticks) for ticks in fields[11:15]) * _TICK_US, int(fields[1])


def _certificate(folder: Path) -> str:
    """A certificate of the bench's own (ECDSA, P-256), as settings of the lane."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.fromtimestamp(system_clock() / 1000, UTC)
    day = timedelta(days=1)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day).sign(
        key, hashes.SHA256()
    )
    certificate, private = folder / "acs.crt", folder / "acs.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    return f'certificate_file = "{certificate}"\nkey_file = "{private}"\n'


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
