"""Bench `growth`: how time and memory of the kernel grow with accounts, expensive calls, rules and lanes, one of them changed at a time.

The traffic is that of bench `kernel`, shorter. Lanes share the accounts by slot, as in the log, and are judged one after the other: what is
given is their CPU time together. `tools/growth_chart.py` draws the chart of the docs from what this prints.
"""

import sys
import time
from typing import Any

import numpy as np

from ringfence.apps.bench.kernel import SHARES, Columns, whole_calls
from ringfence.base.errors import OperatorError
from ringfence.detection.agent import built_in_rules, warm_up
from ringfence.detection.engine import Engine
from ringfence.detection.rules import read_rules

OPTIONS: dict[str, Any] = {"calls": 3_000_000, "seed": 1}

ACCOUNTS = (1_000_000, 2_000_000, 4_000_000, 8_000_000)
DEAR = (1, 3, 10)
"""Per cent of calls to C3 and above."""
LANES = (1, 2)
RULES = ("one", "all")
ONE_RULE = """version = 1
[rules.D02]
residential = { warn = 20, act = 50 }
business = { warn = 50, act = 150 }
trunk = { warn = 150, act = 500 }
"""
_USUAL = {"accounts": 8_000_000, "dear": 3, "lanes": 1, "rules": "all"}
FEED_ROWS = 4_096
SLOTS = 1_024


def run(options: dict[str, Any]) -> dict[str, object]:
    """`points`: each with what was changed, nanoseconds of CPU time a call, and bytes of state an account."""
    if options["calls"] < 1:
        raise OperatorError("calls is 1 or more", reason="bad_option")
    warm_up()
    points: list[dict[str, Any]] = []
    for name, values in (("accounts", ACCOUNTS), ("dear", DEAR), ("lanes", LANES), ("rules", RULES)):
        for value in values:
            point = {**_USUAL, name: value}
            known = next((old for old in points if all(old[key] == place for key, place in point.items())), None)
            found = {**known, "changed": name} if known else {**point, "changed": name, **_measure(point, options)}
            points.append(found)
            sys.stderr.write(f"{name} {value}: {found['nanoseconds_per_call']} ns, {found['state_bytes_per_account']} B\n")
    return {"points": points}


def _measure(point: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    generator = np.random.default_rng(options["seed"])
    keys = generator.permutation(np.unique(generator.integers(-(2**63), 2**63 - 1, point["accounts"])))
    lane_of_key = (keys & (SLOTS - 1)) * point["lanes"] // SLOTS
    rules = read_rules(ONE_RULE if point["rules"] == "one" else built_in_rules())
    engines = []
    for lane in range(point["lanes"]):
        mine = np.ascontiguousarray(keys[lane_of_key == lane])
        engines.append(Engine(rules, time_zone="Europe/Berlin", accounts=len(mine)))
        engines[-1].settle_in(mine)
    dear = point["dear"] / 100
    scale = dear / sum(SHARES[2:])
    shares = (1 - SHARES[1] - dear, SHARES[1], *(share * scale for share in SHARES[2:]))
    cpu = 0.0
    for columns in whole_calls(generator, keys, options["calls"], shares):
        lanes = (columns[2] & (SLOTS - 1)) * point["lanes"] // SLOTS
        for lane, engine in enumerate(engines):
            cpu += _feed(engine, [np.ascontiguousarray(column[lanes == lane]) for column in columns])
    figures = [engine.figures() for engine in engines]
    size = sum(found["state_bytes"] for found in figures) / sum(found["accounts"] for found in figures)
    return {"nanoseconds_per_call": round(cpu / options["calls"] * 1e9, 1), "state_bytes_per_account": round(size, 1)}


def _feed(engine: Engine, columns: Columns) -> float:
    """Judge calls; the CPU time that it took."""
    for column in columns:
        column.flags.writeable = False
    batches = [[column[first : first + FEED_ROWS] for column in columns] for first in range(0, len(columns[0]), FEED_ROWS)]
    started = time.process_time()
    for number, batch in enumerate(batches):
        engine.feed_columns(batch, len(batch[0]), number * FEED_ROWS, strangers=False)
    return time.process_time() - started
