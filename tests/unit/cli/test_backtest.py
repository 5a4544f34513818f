"""`ringfence backtest` over files: every view judged, what was read told, and rows in the order of time."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from typer.testing import CliRunner

from ringfence.apps.cli.backtest import app
from ringfence.apps.cli.backtest_traffic import Given, Traffic
from ringfence.detection.agent import in_order
from ringfence.telephony.model import Kind, NetworkKind

CALLS = "call_id,account,caller,callee,source_ip,user_agent,edge,started_at,answered_at,ended_at,status_code,direction"
REGISTRATIONS = "at,account,source_ip,user_agent,contact,expires,status_code"
NIGHT = datetime(2026, 11, 21, 1, tzinfo=UTC)


def call(number: int, account: str, callee: str, start: datetime, *, source: str, direction: str = "out", seconds: int = 300) -> str:
    times = ",".join(each.isoformat() for each in (start, start + timedelta(seconds=4), start + timedelta(seconds=seconds)))
    return f"c{number},{account},+49309018200,{callee},{source},FRITZ!OS 7.57,e1,{times},200,{direction}"


def register(account: str, at: datetime, *, source: str, status: int = 200) -> str:
    return f"{at.isoformat()},{account},{source},FRITZ!OS 7.57,sip:{account}@{source},3600,{status}"


def files(folder: Path) -> list[str]:
    """Twelve accounts at home; a stranger guesses, registers, and calls one range with all of them."""
    accounts = [f"4930{number:04d}" for number in range(12)]
    registrations = [register(name, NIGHT - timedelta(hours=20 - 6 * turn), source="10.0.0.7") for turn in range(3) for name in accounts]
    for place, name in enumerate(accounts):
        guessed = NIGHT + timedelta(seconds=4 * place)
        registrations += [register(name, guessed, source="203.0.113.9", status=401) for _ in range(6)]
        registrations.append(register(name, guessed + timedelta(seconds=3), source="203.0.113.9"))
    registrations.append(register(accounts[0], NIGHT + timedelta(hours=2), source="10.0.0.7"))
    calls = [call(n, accounts[n % 12], f"+2322255{n:04d}", NIGHT + timedelta(seconds=60 + 3 * n), source="203.0.113.9") for n in range(60)]
    calls.append(call(60, accounts[0], accounts[0], NIGHT - timedelta(hours=3), source="", direction="in"))
    contents = {
        "calls.csv": [CALLS, *calls],
        "registrations.csv": [REGISTRATIONS, *registrations],
        "networks.csv": ["prefix,kind,comment", "10.0.0.0/8,own_pool,"],
        "origins.tsv": ["prefix\tasn\tcountry", "203.0.113.0/24\t64511\tPS"],
    }
    for name, lines in contents.items():
        (folder / name).write_text("\n".join([*lines, ""]))
    names = ("calls", "registrations", "networks")
    return [part for name in names for part in (f"--{name}", str(folder / f"{name}.csv"))] + ["--origins", str(folder / "origins.tsv")]


def test_registrations_networks_and_origins_are_judged(tmp_path: Path) -> None:
    given, alerts = files(tmp_path), tmp_path / "alerts.jsonl"
    done = CliRunner().invoke(app, [*given, "--alerts", str(alerts), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["rows"], told["calls"], told["inbound_calls"], told["registrations"], told["sorted"]) == (61, 60, 1, 121, True)
    found = [json.loads(line) for line in alerts.read_text().splitlines()]
    assert {alert["subject"]["kind"] for alert in found} >= {"account", "prefix", "source"}
    assert any("AS64511" in json.dumps(alert) for alert in found)
    by_rule = {line["rule"]: line for line in told["rules"]}
    assert by_rule["E01"]["alerts"] > 0
    assert by_rule["N01"]["alerts"] > 0
    assert told["total"]["accounts"] == 12
    assert told["total"]["cost_seen_eur"] >= told["total"]["cost_after_eur"] > 0
    alone = json.loads(CliRunner().invoke(app, [*given[:2], "--json"]).stdout)
    assert {line["rule"]: line for line in alone["rules"]}["E01"]["alerts"] == 0


def test_the_table_says_what_was_read_and_which_rules_were_silent(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*files(tmp_path), "--report", str(tmp_path / "page.html")], env={"COLUMNS": "160"})
    assert done.exit_code == 0, done.output
    said = " ".join(done.stdout.split())
    assert "60 outgoing or forwarded calls of an account and 1 calls towards one" in said
    assert "have been sorted by start" in said
    assert "Without an alert: D" in said
    assert "N01" in (tmp_path / "page.html").read_text()


def test_calls_and_registrations_come_in_the_order_of_time(tmp_path: Path) -> None:
    files(tmp_path)
    given = Given(
        calls=[str(tmp_path / "calls.csv")],
        registrations=[str(tmp_path / "registrations.csv")],
        accounts=None,
        networks=tmp_path / "networks.csv",
        origins=[],
        rates=None,
        country="DE",
        area_codes=(),
        emergency=("110", "112"),
        time_zone="Europe/Berlin",
        region="",
        strict=True,
    )
    traffic = Traffic(given, tmp_path)
    rows = [batch.row(place) for batch in in_order(traffic.pieces()) for place in range(batch.length)]
    assert [row.at_ms for row in rows] == sorted(row.at_ms for row in rows)
    kinds = [row.kind for row in rows]
    assert (kinds.count(Kind.ATTEMPT), kinds.count(Kind.END), kinds.count(Kind.INBOUND)) == (60, 60, 1)
    assert traffic.registrations.events == kinds.count(Kind.REGISTRATION) + kinds.count(Kind.AUTH_FAILURE)
    assert {row.network_kind for row in rows if row.source_ip == "10.0.0.7"} == {NetworkKind.OWN_POOL}
    assert {row.account_key for row in rows if row.kind == Kind.ATTEMPT} == {traffic.key_of(f"4930{number:04d}") for number in range(12)}
