"""Composed questions through API and command line: the console's answers, limits, permissions and audit."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer.testing

from ringfence.access.model import Role
from ringfence.apps.cli import client as cli_client
from ringfence.apps.cli.query import app
from ringfence.base.clock import system_clock
from tests.harness.engines import NatsServer
from tests.harness.surfaces import surfaces
from tests.integration.console.test_workbench import _archive


def test_a_question_its_file_and_its_trace(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        _archive(tmp_path, system_clock())
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("anna", Role.LEAD)
            await found.person("ben", Role.ANALYST)
            async with found.program(await found.token("anna")) as program:
                for group, lines in (("account", 2), ("destination", 2), ("country", 1), ("source", 1), ("hour", 2), ("day", 2)):
                    told = (await program.post("/v1/query", json={"days": 2, "callee": "+23277", "group": group})).json()
                    assert (told["total"]["calls"], told["total"]["answered"], told["total"]["cost_eur"]) == (2, 1, 6.0), group
                    assert 1 <= len(told["groups"]) <= lines, group
                    assert sum(line["calls"] for line in told["groups"]) == 2, group
                told = (await program.post("/v1/query", json={"callee": "23277", "limit": 1})).json()
                assert told["more"] is True
                assert [call["account"] for call in told["calls"]] == ["4930222"]
                for wrong, sentence in (
                    ({"days": 90}, "more than 31 days"),
                    ({"country": "1x"}, "two letters"),
                    ({"from": "2026-11-21T23:40:00"}, "has no zone"),
                    ({"source": "10.0.0.0/8"}, "/16 at the widest"),
                    ({"cost_at_least_eur": "much"}, "euro"),
                ):
                    answer = await program.post("/v1/query", json=wrong)
                    assert answer.status_code == 422, wrong
                    assert sentence in answer.json()["error"]["message"], wrong
                assert (await program.post("/v1/query", json={"colour": "red"})).status_code == 422
                plain = await program.post("/v1/query/calls.csv", json={"callee": "23277"})
                tokens = await program.post("/v1/query/export.csv", json={"callee": "23277"})
                assert "4930111" in plain.text
                assert "4930111" not in tokens.text
                assert len(tokens.text.splitlines()) == 3
                entries = (await program.get("/v1/audit")).json()
                assert json.dumps(entries).count("export_calls") == 2
            async with found.program(await found.token("ben")) as program:
                assert (await program.post("/v1/query/calls.csv", json={})).status_code == 200
                assert (await program.post("/v1/query/export.csv", json={})).status_code == 403

    asyncio.run(run())


def test_the_command_line_asks_and_writes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What leaves as a request, and where the file goes; the API's own half is tested above."""
    asked: list[tuple[str, dict[str, Any]]] = []
    totals = {"calls": 2, "accounts": 2, "answered": 1, "refused": 0, "seconds": 600, "cost_eur": 6.0}

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.path, json.loads(request.content)))
        if request.url.path.endswith(".csv"):
            return httpx.Response(200, text="call,account\r\nx,y\r\n")
        return httpx.Response(200, json={"total": totals, "calls": [], "groups": [totals | {"key": "SL"}], "more": False})

    def through(**given: Any) -> httpx.Client:
        return httpx.Client(**{name: value for name, value in given.items() if name != "trust_env"}, transport=httpx.MockTransport(answer))

    class Seam:
        Client = staticmethod(through)
        Timeout = httpx.Timeout
        Response = httpx.Response
        TransportError = httpx.TransportError

    monkeypatch.setattr(cli_client, "httpx", Seam)
    runner = typer.testing.CliRunner()
    shown = runner.invoke(app, ["ask", "--by", "country", "--to", "2026-11-22T00:00:00Z", "--class", "3", "--token", "rf_x"])
    assert shown.exit_code == 0, shown.output
    assert "EUR 6.00" in shown.output
    path, entry = asked[0]
    assert path == "/v1/query"
    assert (entry["group"], entry["class_at_least"], entry["to"], entry["from"]) == ("country", 3, "2026-11-22T00:00:00Z", None)
    target = tmp_path / "calls.csv"
    assert runner.invoke(app, ["export", str(target), "--callee", "23277", "--token", "rf_x"]).exit_code == 0
    assert target.read_text().startswith("call,account")
    assert target.stat().st_mode & 0o077 == 0
    again = runner.invoke(app, ["export", str(target), "--token", "rf_x"])
    assert again.exit_code != 0
    assert "cannot be written" in str(again.exception)
    assert [path for path, _ in asked[1:]] == ["/v1/query/export.csv"], "what cannot be kept is not asked for"
