"""A lane's states on disk: `archive.snapshots` with the names of this room.

`account-0` is a lane. What a file looks like, and that a damaged one is skipped for the one before, is the archive's business.
"""

from pathlib import Path

from ringfence.archive.snapshots import Snapshot, SnapshotStore
from ringfence.detection.engine import EngineState


def write_snapshot(path: Path, state: EngineState) -> int:
    """Keep a state of the lane that `path` names by its last part; its size in bytes. UnavailableError when the disk refuses."""
    scalars = dict(state.scalars)
    snapshot = Snapshot(position=scalars["position"], at_ms=max(scalars["at_ms"], 0), arrays=state.arrays, scalars=scalars)
    return SnapshotStore(folder=path.parent, name=path.stem).save(snapshot).stat().st_size


def read_snapshot(path: Path) -> tuple[EngineState | None, list[Path]]:
    """The newest state of the lane that is whole, None when there is none; and the damaged files that were skipped for it."""
    store = SnapshotStore(folder=path.parent, name=path.stem)
    newest = store.newest()
    return (None if newest is None else EngineState(arrays=newest.arrays, scalars=newest.scalars)), store.damaged
