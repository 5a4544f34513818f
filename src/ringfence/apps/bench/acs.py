"""Bench `acs`: plain sessions (Inform, empty POST) against the real role with the embedded PostgreSQL, each on a new TCP connection.

The client is a process of its own (`acs_client`). Devices are known before the clock runs, unless `--new`. Beside the figures it says
what a session costs in processor time of each part: on a machine that others use too, that is what compares.
"""

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ringfence.apps.bench.acs_client import PASSWORD, Load, device_of
from ringfence.apps.bench.processes import processor_us, resident_bytes
from ringfence.base.clock import system_clock
from ringfence.base.errors import OperatorError, UnavailableError
from ringfence.base.secret import Secret
from ringfence.drills.product import Product, rehearsal_folder, running_product
from ringfence.fleet.adapters import FLEET_KEY, FileKeys, Sealer
from ringfence.fleet.model import REALM, InformSeen, Lane, Proof
from ringfence.fleet.service import FleetService
from ringfence.protocols.digest import ha1_of
from ringfence.runtime.db import Database

OPTIONS: dict[str, Any] = {
    "auth": "none",
    "clients": 32,
    "devices": 10_000,
    "seconds": 20.0,
    "rate": 0,
    "new": False,
    "overload": 0,
}

KINDS = ("none", "digest", "tls")
BATCH = 64
WRITERS = 8
WARM_UP_SECONDS = 4.0
"""Before the clock runs, so that memory afterwards is compared with that of a process at work."""
SECOND_RUN = 50_000_000
"""New devices of the measured run are numbered from here on."""
OVERLOAD_SESSIONS = 32
"""What the ACS takes at once with `--overload`; so many times as many devices come."""
HURRY = 100.0
"""Who is sent away comes back after a hundredth of Retry-After: the spread keeps its shape, and the bench ends today."""


def run(options: dict[str, Any]) -> dict[str, object]:
    """Measure; figures as formats.md names them."""
    if options["auth"] not in KINDS:
        raise OperatorError(f"--auth takes one of {', '.join(KINDS)}.", reason="bad_option")
    if options["new"] and options["auth"] == "digest":
        raise OperatorError("Devices that were never seen have no credentials: --new goes with --auth none or tls.", reason="bad_option")
    if not 0 <= options["overload"] <= 4:
        raise OperatorError(
            "--overload goes from 1 to 4; above that connections are cut before they can be told to come back.", reason="bad_option"
        )
    with rehearsal_folder() as folder:
        return asyncio.run(_measure(folder, options))


async def _measure(folder: Path, options: dict[str, Any]) -> dict[str, object]:
    lane = f'authentication = "{"digest" if options["auth"] == "digest" else "none"}"\n'
    if options["auth"] == "tls":
        lane += _certificate(folder)
    lane += _limits(options)
    async with running_product(folder / "product", roles=("acs",), night=False, acs=lane) as product:
        if not options["new"]:
            _say(f"making {options['devices']} devices known")
            await _prepare(product, options["devices"], credentials=options["auth"] == "digest")
        load = Load(
            port=product.ports.acs,
            tls=options["auth"] == "tls",
            clients=options["overload"] * OVERLOAD_SESSIONS or options["clients"],
            devices=options["devices"],
            seconds=options["seconds"],
            rate=options["rate"],
            new=options["new"],
            hurry=HURRY if options["overload"] else 0.0,
        )
        _say("warming up")
        await _client(load._replace(seconds=min(WARM_UP_SECONDS, load.seconds)))
        resident, before = resident_bytes(product, "acs"), processor_us(product, "acs")
        _say("running")
        found = await _client(load._replace(first=SECOND_RUN))
        after, at_the_end = processor_us(product, "acs"), resident_bytes(product, "acs")
    spent = {name: after[name] - before[name] for name in before} | {"client": found.pop("client_us")}
    sessions, wall_us = max(1, int(found["sessions"])), 1e6 * found["wall_seconds"]
    return {
        **found,
        "processor_us_per_session": {name: round(one / sessions) for name, one in spent.items()},
        "cores_used": {name: round(one / wall_us, 2) for name, one in spent.items()},
        "acs_resident_bytes": {"before": resident, "after": at_the_end},
        "growth_bytes_per_session": round((at_the_end - resident) / sessions, 1),
    }


def _limits(options: dict[str, Any]) -> str:
    """All devices of the bench share an address, and with `--overload` the ACS takes few at once."""
    most = options["overload"] * OVERLOAD_SESSIONS
    sessions = f"sessions = {OVERLOAD_SESSIONS}\n" if most else ""
    return f"[acs]\n{sessions}connections_per_address = {4 * max(most, options['clients'])}\n"


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
