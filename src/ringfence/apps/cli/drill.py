"""`ringfence drill NAME`: rehearse an incident on a product of its own, over real protocols, and print the score.

The live installation is never touched. Progress goes to stderr, the score to stdout.
"""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from ringfence.apps.cli.report import drill_page
from ringfence.base.errors import OperatorError
from ringfence.drills import toll_fraud
from ringfence.drills.model import DrillResult
from ringfence.drills.product import rehearsal_folder

app = typer.Typer(add_completion=False)

DRILLS = {toll_fraud.NAME: toll_fraud.toll_fraud}


@app.command()
def drill(
    name: Annotated[str, typer.Argument(help="Which drill: " + ", ".join(DRILLS))],
    *,
    seed: Annotated[int, typer.Option(help="The same seed plays the same night.")] = 1,
    report: Annotated[Path | None, typer.Option(help="Write a page about it to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Rehearse an incident end to end: simulated callers and attackers, the real product, a real Kamailio where installed."""
    play = DRILLS.get(name)
    if play is None:
        raise OperatorError(f"There is no drill {name!r}; there is {', '.join(DRILLS)}.", reason="unknown_drill")
    progress = Console(stderr=True)
    with rehearsal_folder() as folder, progress.status("rehearsing") as status:

        def tell(what: str) -> None:
            progress.print(what, style="dim", highlight=False, markup=False)
            status.update(what.replace("[", "("))

        result = asyncio.run(play(folder, seed=seed, tell=tell))
    if report is not None:
        try:
            report.write_text(drill_page(result), encoding="utf-8")
        except OSError as error:
            raise OperatorError(f"{report} cannot be written ({error.strerror}); name another file.", reason="no_write") from error
    if as_json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    else:
        _show(result)


def _show(result: DrillResult) -> None:
    console = Console()
    table = Table("seconds", "what", title=f"drill {result.drill}: {'passed' if result.passed else 'FAILED'}", title_justify="left")
    for moment in result.timeline:
        table.add_row(f"{moment.at_seconds:8.2f}", moment.what)
    console.print(table)
    for label, value, unit in (
        ("alert after the first fraudulent call", result.seconds_to_alert, "s"),
        ("block effective after it", result.seconds_to_block, "s"),
        ("lost", result.euro_lost, "EUR"),
        ("lost without Ringfence", result.euro_lost_without, "EUR"),
        ("customers refused wrongly", result.wrong_blocks, ""),
    ):
        if value is not None:
            console.print(f"{label:<40} {value:>10,} {unit}".rstrip(), highlight=False)
