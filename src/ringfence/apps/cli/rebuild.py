"""`ringfence rebuild`: proves a detector's newest snapshot by judging the archived log again and comparing both states.

It needs neither bus nor database, changes nothing, and may run beside a running installation. Equal hashes mean that archive and detector
saw the same log and that every verdict can be derived again.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from ringfence.archive.replay import ReplayedRows, replay
from ringfence.base.errors import ConflictError, OperatorError
from ringfence.detection.agent import Found, Lane, built_in_rules, read_rules, read_snapshot
from ringfence.runtime.settings import load_settings
from ringfence.telephony.columns import RowBatch, split_ref
from ringfence.telephony.control import decode_control
from ringfence.telephony.model import AccountRow

app = typer.Typer(add_completion=False)


class _Batches:
    """Resolves rows of the batches that were just read; older ones come from the state's own episodes."""

    def __init__(self) -> None:
        self.batches: dict[int, RowBatch] = {}

    def resolve(self, row_ref: int) -> AccountRow | None:
        sequence, place = split_ref(row_ref)
        batch = self.batches.get(sequence)
        return batch.row(place) if batch is not None and place < batch.length else None


@app.command()
def run(
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Folder of the installation.")] = None,
    config: Annotated[Path | None, typer.Option("--config", help="Settings file.")] = None,
    lane: Annotated[int, typer.Option("--lane", min=0, help="Lane of the account view.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Judge the archived log again and compare with the newest snapshot."""
    settings = load_settings(data_dir=data_dir, config=config)
    state, _ = read_snapshot(settings.data_dir / "snapshots" / f"account-{lane}.snapshot")
    if state is None:
        raise OperatorError(f"There is no snapshot of lane {lane} in {settings.data_dir / 'snapshots'}.", reason="no_snapshot")
    mode = settings.detection.mode
    kept = Lane.restore(state, mode=mode)
    position = kept.position
    fresh = Lane.fresh(read_rules(built_in_rules()), time_zone=settings.operator.time_zone, mode=mode)
    figures = {
        **_replay(fresh, settings.archive_dir, lane, position),
        "kept": kept.judged_hash(),
        "rebuilt": fresh.judged_hash(),
    }
    figures["equal"] = figures["kept"] == figures["rebuilt"]
    typer.echo(json.dumps(figures) if as_json else _sentence(figures))
    if not figures["equal"]:
        raise ConflictError("The snapshot and the archive disagree.", reason="states_differ")


def _replay(fresh: Lane, folder: Path, lane: int, position: int) -> dict[str, Any]:
    """Feed everything up to `position`; what was fed."""
    resolver = _Batches()
    rows = messages = 0
    first = 0
    for message in replay(folder, lane=lane):
        if message.sequence > position:
            break
        first = first or message.sequence
        messages += 1
        closing, found = False, Found()
        if isinstance(message, ReplayedRows):
            rows += message.batch.length
            resolver.batches[message.sequence] = message.batch
            found = fresh.rows(message.batch, message.sequence)
        elif message.kind == "tick" and len(message.payload) == 8:
            closing = True
            found = fresh.tick(int.from_bytes(message.payload))
        elif message.kind == "control":
            try:
                fresh.control(decode_control(message.payload))
            except msgspec.DecodeError:
                continue
        fresh.settle(found, message.sequence, resolver, closing=closing)
    if fresh.position < position:
        raise OperatorError(
            f"The archive ends at {fresh.position}, the snapshot stands at {position}: wait a minute for the archive and try again.",
            reason="archive_behind",
        )
    return {"position": position, "from": first, "messages": messages, "rows": rows}


def _sentence(figures: dict[str, Any]) -> str:
    verdict = "equals" if figures["equal"] else "differs from"
    return (
        f"Judged {figures['rows']:,} rows in {figures['messages']:,} messages up to {figures['position']}: "
        f"the rebuilt state {figures['rebuilt']} {verdict} the snapshot's {figures['kept']}."
    )
