"""`ringfence bench NAME`: hands over to the bench process, which measures and prints one JSON object."""

import os
import sys

import typer

app = typer.Typer(add_completion=False)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})
def bench(context: typer.Context) -> None:
    """Measure hep, kernel, growth, replay, recovery, block-latency, edge-sync, acs, radius, quality; each has `--help`."""
    os.execv(sys.executable, (sys.executable, "-m", "ringfence.apps.bench.main", *context.args))  # noqa: S606  # The whole point.
