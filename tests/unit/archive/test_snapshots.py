"""Snapshots: whole or skipped, the newest three, and never half of one after a kill."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ringfence.archive.snapshots import Snapshot, SnapshotStore, read_snapshot
from ringfence.base.errors import PeerError, UnavailableError


def snapshot(position: int, size: int = 1000) -> Snapshot:
    return Snapshot(
        position=position,
        at_ms=1_763_769_600_000 + position,
        arrays={"hot": np.full((size, 4), position, "i8"), "empty": np.zeros(0, "u1"), "small": np.arange(3, dtype="u2")},
        scalars={"rules": "x" * 10, "noted": {"rates": 3}, "days": ["2025-12-25"]},
    )


def same(one: Snapshot | None, two: Snapshot) -> bool:
    assert one is not None
    assert (one.position, one.at_ms, dict(one.scalars)) == (two.position, two.at_ms, dict(two.scalars))
    assert list(one.arrays) == list(two.arrays)
    for name, array in two.arrays.items():
        assert one.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(one.arrays[name], array)
    return True


def test_what_is_saved_comes_back_writable(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path / "snapshots", "account-0")
    assert store.newest() is None
    store.save(snapshot(7))
    found = store.newest()
    assert same(found, snapshot(7))
    assert found is not None
    found.arrays["hot"][0, 0] = 1
    assert found.arrays["hot"].flags.c_contiguous


@settings(deadline=None, max_examples=50)
@given(
    st.dictionaries(
        st.text(max_size=10), arrays.arrays(st.sampled_from(["i8", "u1", "i4", "u2"]), arrays.array_shapes(min_side=0)), max_size=4
    )
)
def test_any_arrays_survive(tmp_path_factory: pytest.TempPathFactory, state: dict[str, np.ndarray]) -> None:
    store = SnapshotStore(tmp_path_factory.mktemp("snapshots"), "x")
    saved = Snapshot(position=1, at_ms=2, arrays=state, scalars={})
    store.save(saved)
    assert same(store.newest(), saved)


def test_the_newest_three_stay_and_names_do_not_mix(tmp_path: Path) -> None:
    store, other = SnapshotStore(tmp_path, "account-0"), SnapshotStore(tmp_path, "account-01")
    other.save(snapshot(99))
    for position in (1, 2, 3, 10):
        store.save(snapshot(position))
    assert [int(path.stem.split("-")[-1]) for path in store._files()] == [2, 3, 10]
    assert same(store.newest(), snapshot(10))
    assert same(other.newest(), snapshot(99))


def test_a_damaged_one_is_skipped(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path, "account-0")
    good = store.save(snapshot(1))
    for position, damage in ((2, "flip"), (3, "cut")):
        path = store.save(snapshot(position))
        raw = bytearray(path.read_bytes())
        if damage == "flip":
            raw[len(raw) // 2] ^= 1
        path.write_bytes(raw if damage == "flip" else raw[:-1000])
    assert same(store.newest(), snapshot(1))
    assert [path.name.split("-")[-1] for path in store.damaged] == ["0000000000000003.state", "0000000000000002.state"]
    good.write_bytes(b"")
    assert store.newest() is None


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_any_damage_is_seen(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = SnapshotStore(tmp_path_factory.mktemp("snapshots"), "x").save(snapshot(1, size=10))
    raw = path.read_bytes()
    at = data.draw(st.integers(0, len(raw) - 1))
    damaged = data.draw(st.sampled_from([raw[:at], raw[:at] + bytes([raw[at] ^ (1 + at % 255)]) + raw[at + 1 :], raw + b"x"]))
    path.write_bytes(damaged)
    with pytest.raises(PeerError) as caught:
        read_snapshot(path)
    assert caught.value.reason == "damaged_snapshot"


def test_another_kind_with_a_right_checksum_is_refused(tmp_path: Path) -> None:
    import hashlib

    for content in (b"RFSTATE9" + bytes(8), b"RFSTATE1" + (2**60).to_bytes(8, "little"), b"RFSTATE1" + (2).to_bytes(8, "little") + b"[]"):
        path = tmp_path / "x.state"
        path.write_bytes(content + hashlib.blake2b(content, digest_size=32).digest())
        with pytest.raises(PeerError):
            read_snapshot(path)


def test_a_disk_that_refuses_keeps_the_old_one(tmp_path: Path) -> None:
    store = SnapshotStore(tmp_path, "account-0")
    store.save(snapshot(1))
    in_the_way = tmp_path / f"account-0-{1_763_769_600_002:013d}-{2:016d}.state"
    in_the_way.mkdir()
    (in_the_way / "x").write_bytes(b"")
    with pytest.raises(UnavailableError):
        store.save(snapshot(2))
    in_the_way.joinpath("x").unlink()
    in_the_way.rmdir()
    assert same(store.newest(), snapshot(1))


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_snapshots import snapshot
from ringfence.archive.snapshots import SnapshotStore
store = SnapshotStore(Path(sys.argv[1]), "account-0")
newest = store.newest()
position = newest.position if newest else 0
while True:
    position += 1
    store.save(snapshot(position, size=100_000))
    print(position, flush=True)
"""


def test_kill_9_in_the_middle_leaves_the_old_or_the_new_state(tmp_path: Path) -> None:
    reached = 0
    for round_ in range(5):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(Path(__file__).parent)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            printed = [writer.stdout.readline()]
            time.sleep(0.05 + 0.017 * round_)
            os.kill(writer.pid, signal.SIGKILL)
            printed += writer.stdout.read().split()
        reached = max([reached, *map(int, printed)])
        found = SnapshotStore(tmp_path, "account-0")
        newest = found.newest()
        assert found.damaged == []
        assert newest is not None
        assert newest.position in (reached, reached + 1)
        assert same(newest, snapshot(newest.position, size=100_000))
        reached = newest.position
    assert reached >= 5
