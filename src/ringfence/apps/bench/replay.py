"""Bench `replay`: whole calls from Parquet through the kernel with all its detectors, two processes, and SQL over the same files beside it.

The traffic of bench `kernel` is written first, split by account slot, which is not timed. The clock runs from the start of the processes to
the end of the last, interpreters and imports included. DuckDB then answers three cost windows and distinct numbers, far less than the
kernel judges, with as many threads as there were processes.
"""

import multiprocessing
import resource
import sys
import tempfile
import time
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringfence.apps.bench import kernel as traffic
from ringfence.archive.replay_files import CallWriter, read_calls, windows_in_sql
from ringfence.base.errors import OperatorError
from ringfence.detection.agent import built_in_rules, warm_up
from ringfence.detection.engine import Engine
from ringfence.detection.rules import read_rules
from ringfence.telephony.model import Kind

OPTIONS: dict[str, Any] = {"calls": 40_000_000, "accounts": 8_000_000, "seed": 1, "processes": 2, "folder": ""}

SLOTS = 1_024
FEED_ROWS = 4_096
SQL_MEMORY_BYTES = 8 * 2**30
_NAMES = {2: "account_key", 3: "call_key", 4: "range_key", 5: "number_tail", 6: "country", 7: "destination_class", 8: "rate"}
_TIMES = {11: "started_ms", 12: "answered_ms", 13: "ended_ms"}


def run(options: dict[str, Any]) -> dict[str, object]:
    """Write, replay, ask DuckDB. `--folder` says where the files go; by default a temporary one."""
    if options["calls"] < 1 or options["accounts"] < 1 or not 1 <= options["processes"] <= SLOTS:
        raise OperatorError("calls and accounts are 1 or more, processes 1 to 1024", reason="bad_option")
    warm_up()
    with tempfile.TemporaryDirectory(prefix="ringfence-replay-", dir=options["folder"] or None) as name:
        folder = Path(name)
        files = _write(folder, options)
        started = time.perf_counter()
        with ProcessPoolExecutor(options["processes"], mp_context=multiprocessing.get_context("spawn")) as pool:
            parts = list(pool.map(_judge, files, [options["accounts"] // options["processes"]] * len(files)))
        wall = time.perf_counter() - started
        _say(f"{wall:.1f} s; asking DuckDB")
        started = time.perf_counter()
        found = windows_in_sql(folder, memory_bytes=SQL_MEMORY_BYTES, threads=options["processes"])
        sql_wall = time.perf_counter() - started
        size = sum(path.stat().st_size for path in files)
    return {
        "wall_seconds": round(wall, 2),
        "calls_per_second": round(options["calls"] / wall),
        "peak_rss_bytes": sum(part["peak_rss_bytes"] for part in parts),
        "duckdb_wall_seconds": round(sql_wall, 2),
        "duckdb_rows": found[0],
        "cpu_seconds": [part["cpu_seconds"] for part in parts],
        "decode_cpu_seconds": [part["decode_cpu_seconds"] for part in parts],
        "calls": sum(part["calls"] for part in parts),
        "accounts": sum(part["accounts"] for part in parts),
        "crossings": sum(part["crossings"] for part in parts),
        "bytes_per_call": round(size / options["calls"], 1),
    }


def _write(folder: Path, options: dict[str, Any]) -> list[Path]:
    """One file a process, each with its share of the slots."""
    generator = np.random.default_rng(options["seed"])
    keys = generator.permutation(np.unique(generator.integers(-(2**63), 2**63 - 1, options["accounts"])))
    shares = options["processes"]
    files = [folder / f"calls-{share}.parquet" for share in range(shares)]
    writers = [CallWriter(path) for path in files]
    written = 0
    writing: list[Future[None]] = []
    with ThreadPoolExecutor(shares) as pool:  # One chunk is coded and written while the next is made.
        for columns in traffic.whole_calls(generator, keys, options["calls"]):
            share = (columns[2] & (SLOTS - 1)) * shares // SLOTS
            for future in writing:
                future.result()
            writing = [pool.submit(_write_share, writer, columns, share == number) for number, writer in enumerate(writers)]
            written += len(share)
            _say(f"\r{written:,} calls written", end="")
        for future in writing:
            future.result()
    for writer in writers:
        writer.close()
    _say("")
    return files


def _write_share(writer: CallWriter, columns: traffic.Columns, mine: NDArray[np.bool_]) -> None:
    writer.write({name: columns[place][mine] for place, name in {**_NAMES, **_TIMES}.items()})


def _judge(path: Path, accounts: int) -> dict[str, Any]:
    """Judge one file in this process."""
    engine = Engine(read_rules(built_in_rules()), time_zone="Europe/Berlin", accounts=accounts)
    crossings = calls = batch = 0
    decoding = 0.0
    groups = read_calls(path)
    while True:
        before = time.process_time()
        group = next(groups, None)
        decoding += time.process_time() - before
        if group is None:
            break
        length = len(group["started_ms"])
        kinds = np.full(FEED_ROWS, int(Kind.CALL), np.uint8)
        nothing, no_flags = np.zeros(FEED_ROWS, np.int64), np.zeros(FEED_ROWS, np.uint16)
        for first in range(0, length, FEED_ROWS):
            part = slice(first, min(first + FEED_ROWS, length))
            rows = part.stop - first
            columns: list[Any] = [kinds[:rows], group["started_ms"][part]]
            columns += [group[_NAMES[place]][part] for place in range(2, 9)]
            columns += [nothing[:rows], no_flags[:rows], *(group[_TIMES[place]][part] for place in (11, 12, 13))]
            crossings += len(engine.feed_columns(columns, rows, batch * FEED_ROWS, strangers=False))
            batch += 1
        calls += length
    return {
        "calls": calls,
        "crossings": crossings,
        "accounts": engine.accounts,
        "cpu_seconds": round(time.process_time(), 2),
        "decode_cpu_seconds": round(decoding, 2),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def _say(what: str, end: str = "\n") -> None:
    sys.stderr.write(what + end)
    sys.stderr.flush()
