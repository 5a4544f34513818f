"""Bench `edge-sync`: a freshly started Kamailio is filled with all blocks by the real connector.

The product runs with a full record; then Kamailio starts. The clock runs from its first answer until the connector reports that every
key was acknowledged and the epoch is set. Afterwards one turn through all tables by dump proves the agreement: `repaired` counts what
that turn found to differ.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec

from ringfence.base.clock import monotonic_seconds, system_clock
from ringfence.base.errors import UnavailableError
from ringfence.drills.product import EDGE, Product, rehearsal_folder, running_product
from ringfence.enforcement.model import Block, EdgeReport, Scope
from ringfence.runtime.bucket import Bucket
from ringfence.simulators.kamailio import Authentication, RunningKamailio, find_kamailio, start_kamailio

OPTIONS: dict[str, Any] = {"blocks": 100_000}

LASTS_MS = 24 * 3_600_000
WRITERS = 64
"""Blocks written to the record at a time; not timed."""
NUMBERS_SHARE, SOURCES_SHARE = 10, 5
"""One block in ten refuses a number, one in five a source, the rest an account's calls of class C3 and above."""
LIMIT_SECONDS = 120.0
TURN_SECONDS = 60.0


def run(options: dict[str, Any]) -> dict[str, object]:
    """Measure; figures as formats.md names them."""
    find_kamailio()
    with rehearsal_folder() as folder:
        return asyncio.run(_measure(folder, options["blocks"]))


async def _measure(folder: Path, count: int) -> dict[str, object]:
    async with running_product(folder / "product", roles=("policy", "edge"), night=False) as product:
        bus = await product.bus()
        try:
            await _write(bus.bucket("blocks"), count)
            edges = bus.bucket("edges")
            await _until(edges, lambda report: report.keys == count, seconds=LIMIT_SECONDS)
            with _kamailio(folder, product):
                started = monotonic_seconds()
                filled = await _until(edges, lambda report: report.agrees and report.refills == 1, seconds=LIMIT_SECONDS)
                wall_seconds = monotonic_seconds() - started
                _say(f"filled {filled.keys} keys in {wall_seconds:.2f} s; comparing every table")
                turned = await _until(edges, lambda report: report.last_full_check_ms > filled.last_full_check_ms, seconds=TURN_SECONDS)
        finally:
            await bus.close()
    return {
        "wall_seconds": round(wall_seconds, 3),
        "blocks": count,
        "blocks_per_second": round(count / wall_seconds),
        "repaired": turned.repaired,
        "agrees": turned.agrees,
    }


async def _write(bucket: Bucket, count: int) -> None:
    """Fill the record, many at a time."""
    numbers = iter(range(count))
    now_ms = system_clock()

    async def writer() -> None:
        for number in numbers:
            made = _block(number, now_ms)
            await bucket.put(made.block_id, msgspec.json.encode(made))
            if number % 20_000 == 0:
                _say(f"{number} of {count} blocks recorded")

    async with asyncio.TaskGroup() as group:
        for _ in range(WRITERS):
            group.create_task(writer())


def _block(number: int, now_ms: int) -> Block:
    scope, value, destination_class = Scope.CLASS, f"4930{20_000_000 + number}", 3
    if number % NUMBERS_SHARE == 0:
        scope, value, destination_class = Scope.NUMBER, f"23276{number:07d}", 0
    elif number % SOURCES_SHARE == 1:
        scope, value, destination_class = Scope.SOURCE, f"10.{number >> 16}.{(number >> 8) & 255}.{number & 255}", 0
    return Block(
        block_id=f"b-bench{number}",
        scope=scope,
        value=value,
        destination_class=destination_class,
        imposed_ms=now_ms,
        until_ms=now_ms + LASTS_MS,
        origin="person:bench",
        author="bench",
        reason="bench edge-sync",
    )


def _kamailio(folder: Path, product: Product) -> RunningKamailio:
    return start_kamailio(
        folder / "kamailio",
        sip_port=product.ports.sip,
        settings=product.edge_settings,
        accounts={"4930200": "pw"},
        authentication=Authentication.STOCK,
        shared_megabytes=256,
    )


async def _until(bucket: Bucket, holds: Any, *, seconds: float) -> EdgeReport:
    """The connector's report once it says so."""
    deadline = monotonic_seconds() + seconds
    report: EdgeReport | None = None
    while monotonic_seconds() < deadline:
        entry = await bucket.get(EDGE)
        if entry is not None and entry.value is not None:
            report = msgspec.json.decode(entry.value, type=EdgeReport)
            if holds(report):
                return report
        await asyncio.sleep(0.02)
    raise UnavailableError(f"The edge did not come to agree in {seconds:.0f} s; the last report: {report}", reason="edge_sync")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
