"""Bench `recovery`: a detector is killed under load, and the time until its successor has judged everything the log holds.

Its snapshot holds 8 million accounts and stands five minutes back; the tail has 2,000 calls a second as batches of 25 ms, and the same load
goes on while the successor catches up. The clock runs from the kill until the new process says it is ready, its start and imports included.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ringfence.archive import batches
from ringfence.base.clock import monotonic_seconds, system_clock
from ringfence.detection.agent import built_in_rules
from ringfence.detection.agent.snapshots import write_snapshot
from ringfence.detection.lane import Found, Lane
from ringfence.detection.rules import read_rules
from ringfence.drills.product import Product, rehearsal_folder, running_product
from ringfence.runtime.bus import Bus
from ringfence.runtime.streams import log_subject
from ringfence.telephony.columns import NUMERIC, TEXT, RowBatch
from ringfence.telephony.model import Kind

OPTIONS: dict[str, Any] = {"accounts": 8_000_000, "rate": 2_000, "tail_seconds": 300}

BATCHES_A_SECOND = 40
FEED_ROWS = 4_096
MINUTE_MS = 60_000
DEAR_SHARE = 0.03
"""Share of calls to C3 and above."""
LIMIT_SECONDS = 120.0
_ROWS = {"Rf-Kind": "rows"}


def run(options: dict[str, Any]) -> dict[str, object]:
    """Measure."""
    with rehearsal_folder() as folder:
        return asyncio.run(_measure(folder, options))


async def _measure(folder: Path, options: dict[str, Any]) -> dict[str, object]:
    rate, seconds = options["rate"], options["tail_seconds"]
    chance = np.random.default_rng(1)
    keys = chance.integers(-(2**63), 2**63 - 1, options["accounts"], dtype=np.int64)
    async with running_product(folder / "product", roles=("detector",), night=False) as product:
        bus = await product.bus()
        try:
            begin = system_clock() - seconds * 1000
            position = await bus.last_sequence("LOG_account_0")
            _say(f"writing a tail of {rate * seconds} calls")
            for place in range(seconds * BATCHES_A_SECOND):
                await _publish(bus, _batch(keys, chance, begin + place * 1000 // BATCHES_A_SECOND, rate // BATCHES_A_SECOND, place))
            _say(f"making a snapshot of {len(keys)} accounts")
            snapshot = product.folder / "snapshots" / "account-0.snapshot"
            size = await asyncio.to_thread(_snapshot, snapshot, keys, begin, position)
            return {**await _kill_and_wait(bus, product, keys, chance, rate), "calls_replayed": rate * seconds, "snapshot_bytes": size}
        finally:
            await bus.close()


async def _kill_and_wait(
    bus: Bus, product: Product, keys: "np.ndarray[Any, np.dtype[np.int64]]", chance: np.random.Generator, rate: int
) -> dict[str, object]:
    ready = product.folder / "run" / "detector.ready"
    first = int(ready.read_text())
    _say("killing the detector under load")
    started = monotonic_seconds()
    os.kill(first, signal.SIGKILL)
    ready.unlink()
    place = 0
    while not ready.exists() and monotonic_seconds() - started < LIMIT_SECONDS:
        await _publish(bus, _batch(keys, chance, system_clock(), rate // BATCHES_A_SECOND, -1 - place))
        place += 1
        await asyncio.sleep(max(0.0, started + place / BATCHES_A_SECOND - monotonic_seconds()))
    return {"wall_seconds": round(monotonic_seconds() - started, 2), "recovered": ready.exists()}


async def _publish(bus: Bus, batch: RowBatch) -> None:
    await bus.publish(log_subject("account", 0), batches.encode(batch), _ROWS)


def _batch(keys: "np.ndarray[Any, np.dtype[np.int64]]", chance: np.random.Generator, at_ms: int, calls: int, place: int) -> RowBatch:
    """Attempt and answer of `calls` new calls, and the end of as many: three rows a call, as ingest would send them."""
    accounts = keys[chance.integers(0, len(keys), calls)]
    call_keys = chance.integers(1, 2**62, calls, dtype=np.int64)
    dear = chance.random(calls) < DEAR_SHARE
    numeric: dict[str, Any] = {name: np.zeros(3 * calls, dtype) for name, dtype in NUMERIC}
    numeric["kind"][:] = np.repeat(np.array([Kind.ATTEMPT, Kind.ANSWER, Kind.END], np.uint8), calls)
    numeric["at_ms"][:] = at_ms
    numeric["received_ms"][:] = at_ms
    numeric["started_ms"][:] = np.concatenate([np.full(calls, at_ms), np.full(calls, at_ms), np.full(calls, at_ms - MINUTE_MS)])
    numeric["answered_ms"][calls:] = numeric["started_ms"][calls:]
    numeric["ended_ms"][2 * calls :] = at_ms
    numeric["account_key"][:] = np.tile(accounts, 3)
    numeric["slot"][:] = numeric["account_key"] & 1023
    numeric["call_key"][:] = np.concatenate([call_keys, call_keys, chance.integers(1, 2**62, calls, dtype=np.int64)])
    numeric["range_key"][:] = np.tile(chance.integers(1, 2**62, calls, dtype=np.int64), 3)
    numeric["destination_class"][:] = np.tile(np.where(dear, 3, 1), 3)
    numeric["rate"][:] = np.tile(np.where(dear, 100_000, 10_000), 3)
    numeric["country"][:] = 21_324
    text = {name: [""] * (3 * calls) for name in TEXT}
    text["account"] = [f"4930{key & 0xFFFFFF:08d}" for key in numeric["account_key"].tolist()]
    text["call_id"] = [f"{place}-{number % calls}@192.0.2.1" for number in range(3 * calls)]
    text["callee"] = ["+498912345678"] * (3 * calls)
    return RowBatch(3 * calls, numeric, text)


def _snapshot(path: Path, keys: "np.ndarray[Any, np.dtype[np.int64]]", begin: int, position: int) -> int:
    """A state in which every account has made a call in the hour before the tail; its size in bytes."""
    lane = Lane.fresh(read_rules(built_in_rules()), time_zone="Europe/Berlin", mode="act", accounts=len(keys))
    chance = np.random.default_rng(2)
    for start in range(0, len(keys), FEED_ROWS):
        part = keys[start : start + FEED_ROWS]
        lane.rows(_whole_calls(part, chance, begin - 60 * MINUTE_MS + start * 55 * MINUTE_MS // len(keys)), 1)
    lane.settle(Found(), position, _Nobody(), closing=False)
    return write_snapshot(path, lane.state())


def _whole_calls(keys: "np.ndarray[Any, np.dtype[np.int64]]", chance: np.random.Generator, at_ms: int) -> RowBatch:
    count = len(keys)
    numeric: dict[str, Any] = {name: np.zeros(count, dtype) for name, dtype in NUMERIC}
    numeric["kind"][:] = Kind.CALL
    numeric["at_ms"][:] = numeric["received_ms"][:] = numeric["started_ms"][:] = numeric["answered_ms"][:] = at_ms
    numeric["ended_ms"][:] = at_ms + 2 * MINUTE_MS
    numeric["account_key"][:] = keys
    numeric["call_key"][:] = chance.integers(1, 2**62, count, dtype=np.int64)
    numeric["range_key"][:] = chance.integers(1, 2**62, count, dtype=np.int64)
    dear = chance.random(count) < DEAR_SHARE
    numeric["destination_class"][:] = np.where(dear, 3, 1)
    numeric["rate"][:] = np.where(dear, 100_000, 10_000)
    return RowBatch(count, numeric, {name: [""] * count for name in TEXT})


class _Nobody:
    """Resolves nothing: no crossing is settled while the snapshot is made."""

    def resolve(self, _row_ref: int) -> None:
        return None


def _say(what: str) -> None:
    sys.stderr.write(what + "\n")
