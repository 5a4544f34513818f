"""`ringfence fleet` against the real API and PostgreSQL: what a person types and what comes of it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ringfence.access.model import Role
from ringfence.apps.cli.fleet.main import app
from ringfence.base.errors import ConflictError, ForbiddenError, NotFoundError, OperatorError
from tests.harness.command_line import CommandLine
from tests.harness.engines import NatsServer
from tests.harness.surfaces import surfaces
from tests.integration.api.test_devices import SHEET, informed


def test_devices_are_imported_found_and_changed(
    database_url: str, own_nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = tmp_path / "devices.csv"
    sheet.write_text(SHEET + "AAAAAA,OTHER,S2,shipped,,\n")

    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("eva", Role.ENGINEER)
            await found.person("hugo", Role.HOTLINE)
            device = await informed(found, tmp_path, "S9")
            async with found.program(await found.token("eva")) as program:
                line = CommandLine(monkeypatch, program)

                async def said(*arguments: str, typed: str = "") -> str:
                    told = await line.run(app, *arguments, typed=typed)
                    assert told.exit_code == 0, f"{arguments}: {told.output} {told.exception!r}"
                    return str(told.stdout)

                async def data(*arguments: str) -> Any:
                    return json.loads(await said(*arguments, "--json"))

                async def refused(*arguments: str) -> BaseException | None:
                    return (await line.run(app, *arguments)).exception

                assert (await data("import", str(sheet)))["added"] == 3
                assert [one["serial_number"] for one in await data("list", "--life", "shipped")] == ["S2", "S2"]
                assert "S9" in await said("list", "--serial", "S9")
                assert (await data("show", "S9"))["device_id"] == device
                assert isinstance(await refused("show", "S2"), OperatorError), "two makers, one serial number"
                assert isinstance(await refused("show", "S77"), NotFoundError)
                assert "SoftwareVersion = 7.1" in await said("tree", str(device), "--search", "software")
                assert len(await data("history", "S9")) == 1
                assert await said("wake", "S9") == ""
                assert await said("discover", "S9") == ""
                assert (await data("life", "S1", "shipped"))["life"] == "shipped"
                assert isinstance(await refused("life", "S1", "dead"), OperatorError)
                assert isinstance(await refused("life", "S1", "shipped"), ConflictError)
                assert (await data("verify", "S1", "--line", "L7"))["device"]["line"] == "L7"
                assert await data("behind", "S9") == []

                await said("want", "S9", "sip.proxy", "sip.example.net")
                assert "sip.proxy = sip.example.net" in await said("wanted", "S9")
                await said("secret", "S9", "sip.password", typed="planted-typed\nplanted-typed\n")
                kept = tmp_path / "secret"
                kept.write_text("planted-kept\nsecond line\n")
                await said("secret", "S9", "sip.password", "--file", str(kept))
                assert "secret: sip.password" in await said("wanted", "S9")
                assert "planted" not in json.dumps(await data("wanted", "S9"))
                await said("unwant", "S9", "sip.password")
                assert (await data("wanted", "S9"))["secrets"] == []
                assert len(await data("meanings")) > 20

                made = await data("group", "put", "avm", "--oui", "00040e", "--want", "upnp.igd=false", "--want", "wlan.wps@*=false")
                assert [(wish["meaning"], wish["instance"]) for wish in made["wishes"]] == [("upnp.igd", ""), ("wlan.wps", "*")]
                assert "upnp.igd = false" in await said("group", "show", "avm")
                assert [group["name"] for group in await data("group", "list")] == ["avm"]
                assert "WEP" in str(await refused("group", "put", "b", "--oui", "00040E", "--want", "wlan.security=wep"))
                await said("group", "remove", "avm")
                assert await data("group", "list") == []
            async with found.program(await found.token("hugo")) as program:
                line = CommandLine(monkeypatch, program)
                assert isinstance((await line.run(app, "transcript", "S9")).exception, ForbiddenError)

    asyncio.run(run())
