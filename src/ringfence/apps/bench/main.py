"""Runs one bench and prints exactly one JSON object (formats.md); progress goes to stderr.

Exit code 0 when it ran, whatever the figure; 3 when a peer program is missing, with the package to install. A bench module has
`OPTIONS`, its parameters with their defaults, and `run(options)`, which gives its figures.
"""

import argparse
import json
import os
import sys
from importlib import import_module
from typing import Any

from ringfence import __version__
from ringfence.base.errors import ExitCode, OperatorError, RingfenceError, kind_of

BENCHES = {
    "acs": "ringfence.apps.bench.acs",
    "hep": "ringfence.apps.bench.hep",
    "kernel": "ringfence.apps.bench.kernel",
    "block-latency": "ringfence.apps.bench.block_latency",
    "edge-sync": "ringfence.apps.bench.edge_sync",
    "growth": "ringfence.apps.bench.growth",
    "radius": "ringfence.apps.bench.radius",
    "recovery": "ringfence.apps.bench.recovery",
    "replay": "ringfence.apps.bench.replay",
    "quality": "ringfence.apps.bench.quality",
}


def main() -> None:
    """`python -m ringfence.apps.bench.main NAME [--option value ...]`."""
    try:
        _run(sys.argv[1:])
    except RingfenceError as error:
        sys.stderr.write(f"ringfence: {error}\n")
        sys.exit(ExitCode.PEER_MISSING if error.reason == "peer_missing" else kind_of(error)[1])


def _run(arguments: list[str]) -> None:
    if not arguments or arguments[0] not in BENCHES:
        raise OperatorError(f"Name a bench: {', '.join(BENCHES)}.", reason="unknown_bench")
    name, *rest = arguments
    module = import_module(BENCHES[name])
    options = _parse(name, module.OPTIONS, rest)
    figures: dict[str, object] = module.run(options)
    cores = len(os.sched_getaffinity(0))
    print(json.dumps({"bench": name, "cores": cores, "version": __version__, **figures, "parameters": options}))  # noqa: T201


def _parse(name: str, defaults: dict[str, Any], rest: list[str]) -> dict[str, Any]:
    """Options of a bench: each takes the type of its default; a flag's default is False."""
    parser = argparse.ArgumentParser(prog=f"ringfence bench {name}")
    parser.add_argument("--json", action="store_true", help="one JSON object, which is what is printed in any case")
    for key, default in defaults.items():
        flag = f"--{key.replace('_', '-')}"
        if default is False:
            parser.add_argument(flag, action="store_true")
        else:
            parser.add_argument(flag, type=type(default), default=default, help=f"default {default}")
    values = vars(parser.parse_args(rest))
    del values["json"]
    return values


if __name__ == "__main__":
    main()
