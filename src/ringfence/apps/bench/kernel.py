"""`kernel`: how many calls a second one core judges, all detectors on, and what an account costs in memory.

Traffic is made before the clock starts: heavy-tailed accounts, 3 % of calls C3 and above, in the order of event time. By default rows are
whole calls; `--live` makes starts, answers and ends of them. The memory is touched once before, as in a process that has been running.
"""

import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringfence.base.errors import OperatorError
from ringfence.detection.agent import built_in_rules, warm_up
from ringfence.detection.engine import Engine
from ringfence.detection.rules import read_rules

OPTIONS: dict[str, Any] = {"accounts": 8_000_000, "calls": 24_000_000, "seed": 1, "batch": 4_096, "live": False}

START_MS = 1_790_000_000_000
CALLS_PER_SECOND = 130
CLASSES = (1, 2, 3, 4, 5)
SHARES = (0.93, 0.04, 0.0285, 0.0012, 0.0003)
RATES = (0, 10_000, 30_000, 120_000, 500_000, 1_500_000)
ANSWERED = 0.65
CHUNK = 1_000_000
"""Calls made at a time: the whole traffic as columns would need four gigabytes."""

Columns = list[NDArray[Any]]


def run(options: dict[str, Any]) -> dict[str, object]:
    """Figures of `formats.md`, and what limits them."""
    accounts, calls, size = options["accounts"], options["calls"], options["batch"]
    if accounts < 1 or calls < 1 or not 1 <= size <= 4_096:
        raise OperatorError("accounts and calls are 1 or more, batch is 1 to 4096", reason="bad_option")
    warm_up()
    engine = Engine(read_rules(built_in_rules()), time_zone="Europe/Berlin", accounts=accounts)
    generator = np.random.default_rng(options["seed"])
    keys = generator.permutation(np.unique(generator.integers(-(2**63), 2**63 - 1, accounts)))
    engine.settle_in(keys)
    cpu = wall = 0.0
    rows = crossings = done = 0
    chunks = _live(whole_calls(generator, keys, calls)) if options["live"] else whole_calls(generator, keys, calls)
    for columns in chunks:
        length = len(columns[0])
        for column in columns:
            column.flags.writeable = False  # as the log's decoder gives them
        batches = [[column[first : first + size] for column in columns] for first in range(0, length, size)]
        started, cpu_started = time.perf_counter(), time.process_time()
        for number, batch in enumerate(batches):
            crossings += len(engine.feed_columns(batch, len(batch[0]), (done + number) * 4_096, strangers=False))
        cpu += time.process_time() - cpu_started
        wall += time.perf_counter() - started
        done += len(batches)
        rows += length
        sys.stderr.write(f"\r{rows:,} rows, {cpu / rows * 1e9:.1f} ns each")
        sys.stderr.flush()
    sys.stderr.write("\n")
    figures = engine.figures()
    return {
        "calls_per_second_per_core": round(calls / cpu),
        "events_per_second_per_core": round(rows / cpu),
        "nanoseconds_per_row": round(cpu / rows * 1e9, 1),
        "state_bytes_per_account": round(figures["state_bytes"] / figures["accounts"], 1),
        "accounts": int(figures["accounts"]),
        "arena_bytes_in_use": int(figures["arena_bytes"]),
        "crossings": crossings,
        "judgements": int(figures["judgements"]),
        "wakes": int(figures["wakes"]),
        "cpu_seconds": round(cpu, 2),
        "wall_seconds": round(wall, 2),
    }


def whole_calls(
    generator: np.random.Generator, keys: NDArray[np.int64], calls: int, shares: tuple[float, ...] = SHARES
) -> Iterator[Columns]:
    """Whole calls in the order of their start, as columns in the kernel's order; `shares` of the classes C1 to C5."""
    accounts = len(keys)
    now_ms = START_MS
    for first in range(0, calls, CHUNK):
        count = min(CHUNK, calls - first)
        spread = generator.integers(0, int(count * 1_000 / CALLS_PER_SECOND), count)
        spread.sort()
        start = spread + now_ms
        now_ms = int(start[-1])
        # The busiest one per cent of the accounts makes ten per cent of the calls, the busiest account some thousands a day.
        rank = (accounts * generator.random(count) ** 2).astype(np.int64)
        level = generator.choice(CLASSES, count, p=shares).astype(np.uint8)
        answered = np.where(generator.random(count) < ANSWERED, start + generator.integers(2_000, 15_000, count), 0)
        length = (generator.exponential(180_000, count) + 1_000).astype(np.int64)
        ended = np.where(answered > 0, answered + length, start + 20_000)
        yield [
            np.full(count, 4, np.uint8),
            start,
            keys[rank],
            generator.integers(1, 2**62, count),
            generator.integers(1, 2**40, count),
            generator.integers(0, 1_000, count).astype(np.int16),
            generator.integers(1, 60, count).astype(np.uint16),
            level,
            np.array(RATES)[level],
            np.zeros(count, np.int64),
            np.zeros(count, np.uint16),
            start,
            answered,
            ended,
        ]


def _live(chunks: Iterator[Columns]) -> Iterator[Columns]:
    """Starts, answers and ends as rows of their own, in the order of event time within each chunk's span and across chunks."""
    kept: Columns | None = None
    for columns in chunks:
        start, answered, ended = columns[11], columns[12], columns[13]
        talked = np.flatnonzero(answered > 0)
        every = np.arange(len(start))
        source = np.concatenate((every, talked, every))
        kind = np.concatenate((np.full(len(start), 1, np.uint8), np.full(len(talked), 2, np.uint8), np.full(len(start), 3, np.uint8)))
        at = np.concatenate((start, answered[talked], ended))
        rows = [column[source] for column in columns]
        rows[0], rows[1] = kind, at
        rows[12] = np.where(kind >= 2, rows[12], 0)
        rows[13] = np.where(kind == 3, rows[13], 0)
        if kept is not None:
            rows = [np.concatenate(pair) for pair in zip(kept, rows, strict=True)]
        order = np.argsort(rows[1], kind="stable")
        rows = [np.ascontiguousarray(column[order]) for column in rows]
        cut = int(np.searchsorted(rows[1], start[-1]))
        kept = [column[cut:] for column in rows]
        yield [column[:cut] for column in rows]
    if kept is not None:
        yield kept
