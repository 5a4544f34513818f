"""Files of bare calls: what is written comes back, and SQL over them counts what plain Python counts."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ringfence.archive.replay_files import ROWS_A_GROUP, CallWriter, read_calls, windows_in_sql

Calls = dict[str, NDArray[Any]]
GIB = 2**30


def some_calls(count: int, seed: int) -> Calls:
    chance = np.random.default_rng(seed)
    started = 1_790_000_000_000 + np.sort(chance.integers(0, 3 * 3_600_000, count))
    answered = np.where(chance.random(count) < 0.6, started + chance.integers(0, 20_000, count), 0)
    return {
        "account_key": chance.choice(np.array([-(2**63), -5, 7, 2**63 - 1]), count),
        "call_key": chance.integers(-(2**63), 2**63 - 1, count),
        "range_key": chance.integers(0, 3, count),
        "number_tail": chance.integers(-1, 3, count).astype(np.int16),
        "country": chance.integers(0, 65_536, count).astype(np.uint16),
        "destination_class": chance.integers(1, 6, count).astype(np.uint8),
        "rate": chance.integers(0, 2_000_000, count),
        "started_ms": started,
        "answered_ms": answered,
        "ended_ms": np.maximum(answered, started) + chance.integers(0, 600_000, count),
    }


def write(path: Path, *many: Calls) -> None:
    writer = CallWriter(path)
    for calls in many:
        writer.write(calls)
    writer.close()


def test_what_is_written_comes_back_in_groups(tmp_path: Path) -> None:
    one, two = some_calls(ROWS_A_GROUP + 17, 1), some_calls(400, 2)
    write(tmp_path / "calls-0.parquet", one, two)
    groups = list(read_calls(tmp_path / "calls-0.parquet"))
    assert [len(group["started_ms"]) for group in groups] == [ROWS_A_GROUP, 17, 400]
    for name, expected in one.items():
        found = np.concatenate([group[name] for group in groups])
        np.testing.assert_array_equal(found, np.concatenate((expected, two[name])), name)
        assert found.dtype == expected.dtype, name


def test_hashes_and_times_are_not_coded_with_a_dictionary(tmp_path: Path) -> None:
    write(tmp_path / "calls-0.parquet", some_calls(2_000, 3))
    group = pq.ParquetFile(tmp_path / "calls-0.parquet").metadata.row_group(0)
    coded = {group.column(place).path_in_schema for place in range(group.num_columns) if group.column(place).has_dictionary_page}
    assert coded == {"country", "destination_class"}


def test_sql_over_all_files_is_what_a_list_gives(tmp_path: Path) -> None:
    many = [some_calls(300, 4), some_calls(300, 5)]
    many[0]["account_key"][:] = 1
    many[1]["account_key"][:] = 2
    for number, calls in enumerate(many):
        write(tmp_path / f"calls-{number}.parquet", calls)
    highest = [0, 0, 0, 0]
    count = 0
    for calls in many:
        dear = [place for place in range(300) if calls["destination_class"][place] >= 2]
        count += len(dear)
        for place in dear:
            now = int(calls["started_ms"][place])
            for which, window in enumerate((300_000, 3_600_000, 86_400_000)):
                near = [p for p in dear if now - window < int(calls["started_ms"][p]) <= now]
                cost = [
                    int(calls["rate"][p]) * int(calls["ended_ms"][p] - calls["answered_ms"][p]) // 60_000
                    for p in near
                    if calls["answered_ms"][p]
                ]
                highest[which] = max(highest[which], sum(cost))
                if window == 3_600_000:
                    numbers = {(int(calls["range_key"][p]), int(calls["number_tail"][p])) for p in near}
                    highest[3] = max(highest[3], len(numbers))
    assert windows_in_sql(tmp_path, memory_bytes=GIB, threads=1) == (count, *highest)
