"""`ringfence simulate calls`: the files are those of the formats, the same seed writes the same, and the truth fits the calls."""

import csv
import hashlib
import json
import tracemalloc
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from ringfence.apps.cli.simulate import app, call_columns, registration_columns
from ringfence.archive.call_files import read_calls, read_registrations
from ringfence.base.errors import OperatorError
from ringfence.simulators.traffic.fraud import SCENARIOS
from ringfence.simulators.traffic.simulation import simulation
from ringfence.subscribers.sheets import read_accounts, read_networks

SIZE = ["--accounts", "1200", "--days", "3", "--seed", "5", "--no-progress"]
CALLS = {
    "call_id": "string", "account": "string", "caller": "string", "callee": "string", "source_ip": "string", "user_agent": "string",
    "edge": "string", "started_at": "timestamp[ms, tz=UTC]", "answered_at": "timestamp[ms, tz=UTC]", "ended_at": "timestamp[ms, tz=UTC]",
    "status_code": "int32", "direction": "string", "forwarded_by": "string", "authenticated": "bool", "ring_seconds": "int32",
}  # fmt: skip
REGISTRATIONS = {
    "at": "timestamp[ms, tz=UTC]", "account": "string", "source_ip": "string", "user_agent": "string", "contact": "string",
    "expires": "int32", "status_code": "int32",
}  # fmt: skip


def run(*words: str) -> str:
    found = CliRunner().invoke(app, ["calls", *words], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("traffic") / "one"
    run("--out", str(out), *SIZE)
    return out


def schema(path: Path) -> dict[str, str]:
    return {field.name: str(field.type) for field in pq.read_schema(path)}


def test_a_file_of_calls_and_one_of_registrations_a_day(folder: Path) -> None:
    names = ["2025-12-08.parquet", "2025-12-09.parquet", "2025-12-10.parquet"]
    assert sorted(file.name for file in (folder / "calls").iterdir()) == names
    assert sorted(file.name for file in (folder / "registrations").iterdir()) == names
    assert {json.dumps(schema(file)) for file in (folder / "calls").iterdir()} == {json.dumps(CALLS)}
    assert {json.dumps(schema(file)) for file in (folder / "registrations").iterdir()} == {json.dumps(REGISTRATIONS)}
    assert schema(folder / "labels.parquet") == {"call_id": "string", "case_id": "string"}


def test_the_product_reads_every_row(folder: Path) -> None:
    calls = read_calls(sorted((folder / "calls").iterdir()), strict=True)
    registrations = read_registrations(sorted((folder / "registrations").iterdir()), strict=True)
    facts = json.loads((folder / "manifest.json").read_text())
    assert (calls.rows, registrations.rows) == (facts["calls"], facts["registrations"])
    assert calls.was_sorted
    assert registrations.was_sorted
    assert {record.direction.value for record in calls.records} == {"out", "in", "forwarded"}
    with (folder / "accounts.csv").open("rb") as file:
        accounts = list(read_accounts(file))
    with (folder / "networks.csv").open("rb") as file:
        networks = list(read_networks(file))
    names = {row.account for row in accounts if hasattr(row, "account")}
    assert len(names) == len(accounts) == 1200
    assert len(networks) == 9
    assert all(isinstance(row, tuple) for row in networks)
    assert {record.account for record in calls.records} <= names


def test_labels_are_the_calls_of_the_truth(folder: Path) -> None:
    truth = [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]
    assert {row["scenario"] for row in truth} == set(SCENARIOS)
    labels = pq.read_table(folder / "labels.parquet").to_pylist()
    calls = {record.call_id: record for record in read_calls(sorted((folder / "calls").iterdir())).records}
    by_case: dict[str, int] = {}
    for label in labels:
        assert label["call_id"] in calls
        by_case[label["case_id"]] = by_case.get(label["case_id"], 0) + 1
    assert by_case == {row["case_id"]: row["calls"] for row in truth}


def test_hard_lives_and_origins_are_listed(folder: Path) -> None:
    lives = [json.loads(line) for line in (folder / "ordinary.jsonl").read_text().splitlines()]
    assert {"expatriate", "practice", "alarm_line", "call_shop"} <= {row["life"] for row in lives}
    origins = list(csv.reader((folder / "origins.tsv").read_text().splitlines(), delimiter="\t"))
    assert all(len(row) == 3 and int(row[1]) >= 64_512 for row in origins)


def test_the_same_seed_writes_the_same(folder: Path, tmp_path: Path) -> None:
    run("--out", str(tmp_path / "two"), *SIZE)

    def digest(root: Path) -> dict[str, str]:
        files = sorted(file for file in root.rglob("*") if file.is_file())
        return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    assert digest(folder) == digest(tmp_path / "two")


def test_scenarios_are_listed_with_a_sentence_each() -> None:
    lines = run("--list").splitlines()
    assert len(lines) == len(SCENARIOS)
    assert all(len(line.split(maxsplit=1)[1]) > 30 for line in lines)


def test_one_json_object(tmp_path: Path) -> None:
    facts = json.loads(run("--out", str(tmp_path / "x"), "--accounts", "500", "--days", "1", "--fraud", "none", "--no-progress", "--json"))
    assert facts["cases"] == facts["fraud_calls"] == 0
    assert facts["calls"] > 100
    assert pq.read_table(tmp_path / "x" / "labels.parquet").num_rows == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--accounts", "0", "--fraud", "none"], "not between"),
        (["--days", "0"], "not between"),
        (["--start", "yesterday"], "no day such as"),
        (["--fraud", "theft"], "no scenario 'theft'"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, words: list[str], sentence: str) -> None:
    with pytest.raises(OperatorError, match=sentence):
        run("--out", str(tmp_path / "x"), "--no-progress", *words)


def test_a_full_folder_is_left_alone(folder: Path) -> None:
    with pytest.raises(OperatorError, match="not empty"):
        run("--out", str(folder), *SIZE)
    with pytest.raises(OperatorError, match="--out"):
        run()


def test_memory_holds_one_day_and_not_all_of_them() -> None:
    made = simulation(accounts=20_000, days=6, seed=1, cases={})
    peaks = []
    tracemalloc.start()
    try:
        for day in made.days[:5]:
            tracemalloc.reset_peak()
            call_columns(made.calls(day))
            registration_columns(made.registrations(day))
            peaks.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()
    assert max(peaks) < 60_000_000
    assert peaks[-1] < 1.3 * peaks[1]
