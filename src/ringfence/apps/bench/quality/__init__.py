"""`ringfence bench quality`: how much fraud is found, how soon, at what loss, and who is wronged, on traffic that nobody tuned for.

Traffic comes from `ringfence simulate calls` with seeds of this bench alone. Beside the product stand the rules of OpenSIPS'
fraud_detection on the same calls. What is usual for each account is learned as in operation: from the months before, which the same people
spend without fraud, and from then on every night. `--table FILE` writes the page as well.
"""

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from ringfence.apps.bench.quality.judge import judge
from ringfence.apps.bench.quality.page import page
from ringfence.apps.bench.quality.peer import Peer
from ringfence.apps.bench.quality.score import by_scenario, outcomes, wronged
from ringfence.apps.bench.quality.traffic import Traffic
from ringfence.base.errors import OperatorError
from ringfence.detection.agent import built_in_rules, read_rules

SEED: Final = 7_000_001
"""Seeds from here on belong to this bench. Rules are tuned on others."""

HISTORY: Final = "history"

OPTIONS: dict[str, Any] = {
    "accounts": 100_000,
    "days": 30,
    "history": 68,
    "seed": SEED,
    "start": "2025-12-08",
    "folder": "",
    "table": "",
    "no_peer": False,
}


def run(options: dict[str, Any]) -> dict[str, object]:
    """Play the traffic of `folder` (its `history` folder before it), or of a new one that is removed afterwards."""
    if options["folder"]:
        folder = Path(options["folder"])
        if not any((folder / "calls").glob("*")):
            raise OperatorError(
                f"{folder} holds no traffic; write some with `ringfence simulate calls --out {folder}`, or leave --folder out.",
                reason="no_traffic",
            )
        return _run(folder, options)
    with tempfile.TemporaryDirectory(prefix="ringfence-quality-") as made:
        folder = Path(made) / "traffic"
        _simulate(folder, options)
        return _run(folder, options)


def _simulate(folder: Path, options: dict[str, Any]) -> None:
    """Traffic with fraud, and as many days before it as the history has: the same people, because the seed is the same."""
    _make(folder, options)
    if options["history"]:
        start = date.fromisoformat(options["start"]) - timedelta(days=options["history"])
        _make(folder / HISTORY, options | {"days": options["history"], "start": start.isoformat(), "fraud": "none"})


def _make(folder: Path, options: dict[str, Any]) -> None:
    command = [sys.executable, "-m", "ringfence.apps.cli.main", "simulate", "calls", "--out", str(folder), "--no-progress"]
    for name in ("accounts", "days", "seed", "start", "fraud"):
        if name in options:
            command += [f"--{name}", str(options[name])]
    made = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if made.returncode:
        raise OperatorError(f"The traffic cannot be made: {made.stderr.strip()[-300:]}", reason="no_traffic")


def _run(folder: Path, options: dict[str, Any]) -> dict[str, object]:
    before = folder / HISTORY
    traffic = Traffic(folder, history=before if before.is_dir() else None)
    truth = traffic.truth()
    accounts, account_days = traffic.accounts, traffic.accounts * traffic.days
    # The peer is judged beside it, in a process of its own.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as beside:
        peer = None if options["no_peer"] else beside.submit(_peer, folder)
        began = time.monotonic()
        verdicts = judge(traffic, truth, read_rules(built_in_rules()), accounts=accounts, progress=_progress(began))
        seconds = time.monotonic() - began
        opensips = peer.result() if peer is not None else None
    figures: dict[str, object] = {
        "account_days": account_days,
        "history_days": traffic.history_days,
        "rows": verdicts.rows,
        "wall_seconds": round(seconds, 1),
        "scenarios": by_scenario(outcomes(truth, verdicts)),
        **wronged(truth, verdicts, account_days=account_days),
        "proposed": verdicts.proposed,
    }
    if opensips is not None:
        figures["opensips"] = opensips
    if options["table"]:
        Path(options["table"]).write_text(page(figures, options), "utf-8")
    return figures


def _peer(folder: Path) -> dict[str, object]:
    traffic = Traffic(folder)
    truth = traffic.truth()
    verdicts = Peer(traffic, truth).play()
    account_days = traffic.accounts * traffic.days
    return {"scenarios": by_scenario(outcomes(truth, verdicts)), **wronged(truth, verdicts, account_days=account_days)}


def _progress(began: float) -> Any:
    shown = [began]

    def show(rows: int) -> None:
        now = time.monotonic()
        if now - shown[0] >= 10:
            shown[0] = now
            sys.stderr.write(f"{rows:,} rows in {now - began:.0f} s\n")

    return show
