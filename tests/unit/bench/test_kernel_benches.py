"""The benches of the kernel, run small: what they print is there and of this run."""

from pathlib import Path

import pytest

from ringfence.apps.bench import growth, kernel, replay
from ringfence.base.errors import OperatorError

pytestmark = pytest.mark.timeout(400)  # The first one may compile the kernel, on a busy machine.


@pytest.mark.parametrize("live", [False, True])
def test_kernel_counts_every_row(live: bool) -> None:
    found = kernel.run({**kernel.OPTIONS, "accounts": 2_000, "calls": 5_000, "live": live})
    assert isinstance(found["crossings"], int)
    assert isinstance(found["judgements"], int)
    assert found["judgements"] > 0
    assert found["accounts"] == 2_000
    calls, events = found["calls_per_second_per_core"], found["events_per_second_per_core"]
    assert isinstance(calls, int)
    assert isinstance(events, int)
    assert events > 2 * calls if live else events == calls


def test_replay_judges_what_it_wrote_as_the_kernel_does_and_leaves_nothing(tmp_path: Path) -> None:
    sizes = {"accounts": 300, "calls": 6_000, "seed": 3}
    found = replay.run({**replay.OPTIONS, **sizes, "processes": 2, "folder": str(tmp_path)})
    assert (found["calls"], found["accounts"]) == (6_000, 300)
    assert found["duckdb_rows"] == pytest.approx(6_000 * 0.07, rel=0.25)
    assert list(tmp_path.iterdir()) == []
    assert found["crossings"] == kernel.run({**kernel.OPTIONS, **sizes})["crossings"]
    assert found["crossings"] != 0


def test_growth_changes_one_thing_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "ACCOUNTS", (1_000, 2_000))
    monkeypatch.setattr(growth, "_USUAL", {"accounts": 2_000, "dear": 3, "lanes": 1, "rules": "all"})
    points = growth.run({"calls": 2_000, "seed": 1})["points"]
    assert isinstance(points, list)
    assert [(point["changed"], point[point["changed"]]) for point in points] == [
        ("accounts", 1_000),
        ("accounts", 2_000),
        ("dear", 1),
        ("dear", 3),
        ("dear", 10),
        ("lanes", 1),
        ("lanes", 2),
        ("rules", "one"),
        ("rules", "all"),
    ]
    assert all(point["nanoseconds_per_call"] > 0 and point["state_bytes_per_account"] > 32 for point in points)
    usual = [point for point in points if all(point[key] == value for key, value in {"accounts": 2_000, "dear": 3, "lanes": 1}.items())]
    assert len({point["nanoseconds_per_call"] for point in usual if point["rules"] == "all"}) == 1, "measured once"


def test_a_bench_of_nothing_is_refused() -> None:
    for bench in (kernel, replay, growth):
        with pytest.raises(OperatorError, match="1 or more"):
            bench.run({**bench.OPTIONS, "calls": 0})
