"""Lists of the fleet, the firmware catalogue and orders, through the API and the command line, on a real PostgreSQL."""

import asyncio
import hashlib
import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from ringfence.access.model import Role
from ringfence.apps.cli.fleet.main import app
from ringfence.archive.questions import CallQuestions
from ringfence.base.errors import ConflictError, NotFoundError, OperatorError
from ringfence.views.coverage import CoverageView
from tests.harness.command_line import CommandLine
from tests.harness.engines import NatsServer
from tests.harness.surfaces import Surfaces, surfaces
from tests.integration.api.test_devices import CSV, informed
from tests.integration.views.test_coverage import ACCOUNTS, NOW, REGISTRATIONS
from tests.unit.archive.test_calls import filled

STOCK = "oui,product_class,serial_number\n" + "".join(f"00040E,FRITZ,S{number}\n" for number in range(3))
IMAGE = b"firmware " * 40_000
SHA256 = hashlib.sha256(IMAGE).hexdigest()
FILE = {"oui": "00040E", "product_class": "FRITZ", "version": "8.0", "file_name": "fritz.image", "sha256": SHA256}
BINARY = {"Content-Type": "application/octet-stream"}


async def refuse(found: Surfaces, device: int, parameters: tuple[str, ...]) -> None:
    """What the ACS writes when a model refused settings."""
    async with found.api.inventory._db.transaction() as connection:
        await connection.execute(
            "insert into fleet.stops (model_id, software_version, name, fault_code, device_id, stopped_at)"
            " select model_id, software_version, name, 9007, device_id, now() from fleet.devices, unnest(%s::text[]) name where device_id = %s",
            (list(parameters), device),
        )


def test_lists_go_on_after_their_key(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("eva", Role.ENGINEER)
            device = await informed(found, tmp_path, "A1")
            async with found.program(await found.token("eva")) as program:
                await program.post("/v1/devices/import", content=STOCK.encode(), headers=CSV)
                await found.api.inventory.count()
                summary = (await program.get("/v1/fleet/summary")).json()
                assert {(one["life"], one["devices"]) for one in summary} >= {("in_stock", 3)}
                first = (await program.get("/v1/fleet/stock", params={"limit": 2})).json()
                rest = (await program.get("/v1/fleet/stock", params={"limit": 2, "after": first["next"]})).json()
                assert [one["serial_number"] for one in first["devices"] + rest["devices"]] == ["S0", "S1", "S2"]
                assert rest["next"] == 0
                await refuse(found, device, ("Device.A", "Device.B"))
                first = (await program.get("/v1/fleet/stops", params={"limit": 1})).json()
                rest = (await program.get("/v1/fleet/stops", params={"after": first["next"]})).json()
                assert [one["name"] for one in first["stops"] + rest["stops"]] == ["Device.A", "Device.B"]
                stop = {name: first["stops"][0][name] for name in ("oui", "product_class", "software_version", "name")}
                assert (await program.post("/v1/fleet/stops/lift", json=stop)).status_code == 204
                assert (await program.post("/v1/fleet/stops/lift", json=stop)).status_code == 404
                for path, rows in (("refusals", "refusals"), ("replacements", "replacements"), ("drift", "differences")):
                    assert (await program.get(f"/v1/fleet/{path}")).json() == {rows: [], "next": 0 if path == "replacements" else ""}
                assert (await program.get("/v1/fleet/versions")).json() == []
                wishes = [{"meaning": "upnp.igd", "value": "false"}, {"meaning": "upnp.enable", "value": "false"}]
                await program.put("/v1/fleet/groups/avm", json={"oui": "00040E", "wishes": wishes})
                await found.api.inventory.compare()
                first = (await program.get("/v1/fleet/drift", params={"limit": 1})).json()
                rest = (await program.get("/v1/fleet/drift", params={"limit": 2, "after": first["next"], "group": "avm"})).json()
                differ = first["differences"] + rest["differences"]
                assert [(one["device_id"], one["group"], one["wanted"], one["reported"]) for one in differ] == [
                    (device, "avm", "false", None)
                ] * 2
                assert (await program.get("/v1/fleet/drift", params={"group": ""})).json()["differences"] == []
                coverage = (await program.get("/v1/fleet/coverage", params={"anew": True})).json()
                assert (coverage["customers"], coverage["uncovered"], coverage["next"]) == (0, [], "")
                again = (await program.get("/v1/fleet/coverage", params={"anew": True})).json()
                assert again["counted_at"] == coverage["counted_at"], "once a minute is enough"
                numbers = [one["device_id"] for one in (await program.get("/v1/devices")).json()["devices"]]
                labelled = await program.post("/v1/fleet/labels", json={"devices": numbers, "add": ["pilot"]})
                assert labelled.json() == {"changed": 4}
                assert len((await program.get("/v1/devices", params={"label": "pilot"})).json()["devices"]) == 4
                assert (await program.post("/v1/fleet/region", json={"devices": numbers[:1], "region": "north"})).json() == {"changed": 1}
                seen = f"/v1/devices/{device}/behind/02:00:00:00:00:01"
                assert (await program.put(seen, json={"kind": "repeater", "name": "attic"})).json()[0]["origin"] == "hand"
                assert (await program.delete(seen)).status_code == 204
                assert (await program.delete(seen)).status_code == 404
                hostile: tuple[tuple[str, str, object], ...] = (
                    ("GET", "/v1/fleet/stops?after=nonsense", None),
                    ("GET", "/v1/fleet/stops?after=WzEsMl0", None),
                    ("GET", "/v1/fleet/drift?after=W10", None),
                    ("GET", "/v1/fleet/refusals?before=" + "x" * 3_000, None),
                    ("POST", "/v1/fleet/labels", {"devices": numbers, "add": ["NOT A LABEL"]}),
                    ("POST", "/v1/fleet/labels", {"devices": []}),
                    ("POST", "/v1/fleet/region", {"devices": [2**64], "region": "north"}),
                    ("POST", "/v1/fleet/region", {"devices": numbers, "region": "a\u0000b"}),
                    ("PUT", f"/v1/devices/{device}/behind/nonsense", {}),
                )
                for method, path, body in hostile:
                    answer = await program.request(method, path, json=body)
                    assert answer.status_code == 422, f"{path[:80]}: {answer.text}"

    asyncio.run(run())


def test_coverage_is_a_list_to_work_off(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    filled(tmp_path / "archive", *REGISTRATIONS).close()

    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("eva", Role.ENGINEER)
            await found.person("hugo", Role.HOTLINE)
            await found.api.subscribers.import_accounts("anna", BytesIO(ACCOUNTS))
            view = CoverageView(CallQuestions(tmp_path / "archive"), found.api.inventory._db, lambda: NOW)
            found.api = replace(found.api, coverage=view)
            async with found.program(await found.token("eva")) as program:
                listed: list[str] = []
                following = ""
                while not listed or following:
                    told = (await program.get("/v1/fleet/coverage", params={"limit": 1, "after": following})).json()
                    assert len(told["uncovered"]) == 1
                    listed += [one["customer"] for one in told["uncovered"]]
                    following = told["next"]
                assert listed == ["C1", "C2", "C3", "C6"], "page by page, each once"
                assert (told["customers"], told["missing"], told["own"], told["nameless"]) == (5, 4, 1, 2)
                one = (await program.get("/v1/fleet/coverage", params={"model": "snomD785"})).json()
                assert [(entry["customer"], entry["account"]) for entry in one["uncovered"]] == [("C2", "4930103")]
            async with found.program(await found.token("hugo")) as program:
                assert (await program.get("/v1/fleet/coverage")).status_code == 403

    asyncio.run(run())


def test_firmware_comes_in_whole_or_not_at_all(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("eva", Role.ENGINEER)
            await found.person("hugo", Role.HOTLINE)
            await informed(found, tmp_path, "A1")
            async with found.program(await found.token("eva")) as program:

                async def sent(content: bytes, **changed: str) -> httpx.Response:
                    return await program.post("/v1/fleet/firmware", params=FILE | changed, content=content, headers=BINARY)

                for content, changed, sentence in (
                    (IMAGE[:-1], {}, "not the one that was named"),
                    (b"", {}, "not the one that was named"),
                    (IMAGE, {"product_class": "NOBODY"}, "ever seen or imported"),
                    (IMAGE, {"file_name": "../../etc/passwd"}, "no folder"),
                    (IMAGE, {"sha256": "../x"}, "sha256"),
                    (IMAGE, {"signature": "trust me"}, "vendor_checked"),
                ):
                    refused = await sent(content, **changed)
                    assert refused.status_code == 422, changed
                    assert sentence in refused.json()["error"]["message"]
                assert list((tmp_path / "firmware").iterdir()) == [], "what is refused leaves nothing"
                made = await sent(IMAGE)
                assert (made.status_code, made.json()["size_bytes"]) == (201, len(IMAGE))
                assert (tmp_path / "firmware" / SHA256).read_bytes() == IMAGE
                assert (await sent(IMAGE)).status_code == 409
                assert [one["version"] for one in (await program.get("/v1/fleet/firmware")).json()] == ["8.0"]
                (model,) = (await program.get("/v1/fleet/models")).json()
                address = f"/v1/fleet/models/{model['model_id']}/stock-firmware"
                assert (await program.put(address, json={"sha256": "0" * 64})).status_code == 422
                assert (await program.put(address, json={"sha256": SHA256})).status_code == 204
                assert (await program.get("/v1/fleet/models")).json()[0]["stock_version"] == "8.0"
                assert (await program.delete(address)).status_code == 204
                assert (await program.put(f"/v1/fleet/models/{model['model_id']}/twin", json={"twin_id": 9_999})).status_code == 404
            async with found.program(await found.token("hugo")) as program:
                assert (await program.post("/v1/fleet/firmware", params=FILE, content=IMAGE, headers=BINARY)).status_code == 403

    asyncio.run(run())


def test_commands_of_lists_firmware_and_orders(
    database_url: str, own_nats: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "fritz.image"
    file.write_bytes(IMAGE)
    model = ("--oui", "00040e", "--product-class", "FRITZ")

    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("eva", Role.ENGINEER)
            device = await informed(found, tmp_path, "A1")
            async with found.program(await found.token("eva")) as program:
                line = CommandLine(monkeypatch, program)

                async def said(*arguments: str) -> str:
                    told = await line.run(app, *arguments)
                    assert told.exit_code == 0, f"{arguments}: {told.output} {told.exception!r}"
                    return str(told.stdout)

                async def data(*arguments: str) -> Any:
                    return json.loads(await said(*arguments, "--json"))

                async def refused(*arguments: str) -> BaseException | None:
                    return (await line.run(app, *arguments)).exception

                wrong = await refused("firmware", "add", str(file), *model, "--version", "8.0 Beta", "--sha256", "0" * 64)
                assert isinstance(wrong, OperatorError), "hashed here, not sent"
                made = await data("firmware", "add", str(file), *model, "--version", "8.0 Beta")
                assert (made["sha256"], made["version"], made["file_name"]) == (SHA256, "8.0 Beta", "fritz.image")
                assert SHA256 in await said("firmware", "list")
                number = str((await data("models"))[0]["model_id"])
                await said("firmware", "stock", number, SHA256)
                await said("firmware", "clear-stock", number)

                await said("order", "download", "A1", SHA256)
                assert isinstance(await refused("order", "download", "A1", SHA256), ConflictError)
                assert isinstance(await refused("order", "download", "A1", "0" * 64), NotFoundError)
                assert isinstance(await refused("order", "factory-reset", "A1"), OperatorError)
                await said("order", "reboot", "A1")
                await said("order", "inform", "A1", "--seconds", "60")
                orders = (await data("order", "list", "A1"))["wanted"]
                assert {order["method"] for order in orders} == {"Download", "Reboot", "ScheduleInform"}
                await said("order", "cancel", str(orders[0]["order_id"]))
                assert isinstance(await refused("order", "cancel", str(orders[0]["order_id"])), ConflictError)
                assert "waiting" in await said("order", "list", "A1")
                both = await program.post(f"/v1/devices/{device}/orders", json={"method": "Reboot", "sha256": SHA256})
                assert both.status_code == 422

                await refuse(found, device, ("Device.A",))
                stop = (await data("stops"))[0]
                await said("lift-stop", stop["name"], *model, "--version", stop["software_version"])
                await said("label", "--device", "A1", "--add", "pilot")
                await said("region", "north", "--device", str(device))
                await said("link", "mobile", "--device", "A1")
                await said("model", number, "--name", "7590", "--chipset", "VRX518")
                assert (await data("models"))[0]["chipset"] == "VRX518"
                assert isinstance(await refused("twin", number, number), OperatorError)
                assert isinstance(await refused("link", "fast", "--device", "A1"), OperatorError)
                await said("put-behind", "A1", "02-00-00-00-00-01", "--kind", "repeater")
                assert (await data("behind", "A1"))[0]["mac"] == "02:00:00:00:00:01"
                shown = await data("show", "A1")
                assert (shown["labels"], shown["region"], shown["link"]) == (["pilot"], "north", "mobile")
                for name in ("summary", "versions", "drift", "refusals", "replacements", "stock", "stops"):
                    assert isinstance(await data(name), list)
                assert (await data("coverage", "--anew"))["missing"] == 0

    asyncio.run(run())
