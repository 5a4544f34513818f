"""Devices through the API, on a real PostgreSQL: lists, imports, life, what is wanted, hostile bodies, and a planted secret."""

import asyncio
import io
import json
from pathlib import Path

import httpx
import pytest
import structlog
from psycopg.sql import SQL, Identifier

from ringfence.access.model import Role
from ringfence.base.clock import system_clock
from ringfence.fleet.adapters import FLEET_KEY, FileKeys, Sealer
from ringfence.fleet.model import InformSeen, Lane, Proof
from ringfence.fleet.service import FleetService
from ringfence.protocols.cwmp.messages import DeviceId, ParameterValue
from tests.harness.engines import NatsServer
from tests.harness.surfaces import Surfaces, surfaces

SHEET = "oui,product_class,serial_number,state,line,customer\n00040E,FRITZ,S1,in_stock,,\n00040E,FRITZ,S2,shipped,L1,C1\n00040E,FRITZ,,,,\n"
CSV = {"Content-Type": "text/csv"}
TREE = (
    ParameterValue("InternetGatewayDevice.DeviceInfo.SoftwareVersion", "7.1"),
    ParameterValue("InternetGatewayDevice.ManagementServer.ParameterKey", ""),
)


async def informed(found: Surfaces, folder: Path, serial: str) -> int:
    """A device that has informed; its id."""
    fleet = FleetService(found.api.inventory._db, Sealer(FileKeys(folder / FLEET_KEY)), None)
    seen = InformSeen(
        device=DeviceId("AVM", "00040E", "FRITZ", serial),
        peer_ip="192.0.2.7",
        lane=Lane.MANAGED,
        proof=Proof.DIGEST,
        proven_name=f"00040E-{serial}",
        parameters=TREE,
        at_ms=system_clock(),
    )
    return (await fleet.admit([seen]))[0].device_id


def test_an_import_lists_and_a_life(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("root", Role.ADMINISTRATOR)
            await found.person("eva", Role.ENGINEER)
            async with found.program(await found.token("eva")) as program:
                report = (await program.post("/v1/devices/import", content=SHEET.encode(), headers=CSV)).json()
                assert (report["rows"], report["added"], report["changed"]) == (3, 2, 0)
                assert [row["line"] for row in report["skipped"]] == [4]
                page = (await program.get("/v1/devices", params={"limit": 1})).json()
                rest = (await program.get("/v1/devices", params={"limit": 2, "after": page["next"]})).json()
                assert ([one["serial_number"] for one in page["devices"] + rest["devices"]], rest["next"]) == (["S1", "S2"], 0)
                shelf, home = (one["device_id"] for one in page["devices"] + rest["devices"])
                for query, serials in (
                    ({"life": "shipped"}, ["S2"]),
                    ({"serial": "S"}, ["S1", "S2"]),
                    ({"line": "L1", "customer": "C1"}, ["S2"]),
                    ({"oui": "00040E", "product_class": "FRITZ"}, ["S1", "S2"]),
                    ({"label": "x"}, []),
                ):
                    told = (await program.get("/v1/devices", params=query)).json()
                    assert [one["serial_number"] for one in told["devices"]] == serials, query
                again = await program.post(f"/v1/devices/{shelf}/life/stocked")
                assert (again.status_code, again.json()["error"]["kind"]) == (409, "conflict")
                shipped = (await program.post(f"/v1/devices/{shelf}/life/shipped")).json()
                assert shipped["life"] == "shipped"
                assert (await program.post(f"/v1/devices/{home}/life/lost")).json()["life"] == "lost"
                verified = await program.post(f"/v1/devices/{shelf}/verify", json={"line": "L1"})
                assert (verified.json()["device"]["line"], verified.json()["replaced"]) == ("L1", [home])
                assert (await program.get(f"/v1/devices/{home}")).json()["replaced_by"] == shelf
                assert (await program.post(f"/v1/devices/{home}/verify", json={"line": "L1"})).status_code == 409
                history = (await program.get(f"/v1/devices/{shelf}/history")).json()["entries"]
                assert {entry["person"] for entry in history if entry["kind"] in {"life", "line"}} >= {"eva"}
                assert (await program.post(f"/v1/devices/{shelf}/wake")).status_code == 204
                assert (await program.post(f"/v1/devices/{shelf}/wake")).status_code == 204
                never = await program.post(f"/v1/devices/{shelf}/discover")
                assert "never said which parameters" in never.json()["error"]["message"]
                assert (await program.get(f"/v1/devices/{shelf}/behind")).json() == []
                assert (await program.get("/v1/devices/999999")).status_code == 404
            async with found.program(await found.token("root")) as program:
                actions = {entry["action"]: entry["actor"] for entry in (await program.get("/v1/audit")).json()}
                for action in ("import_devices", "device_shipped", "device_lost", "verify_device", "wake_device"):
                    assert actions[action] == "eva"

    asyncio.run(run())


def test_what_it_reported_and_said(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("eva", Role.ENGINEER)
            await found.person("hugo", Role.HOTLINE)
            device = await informed(found, tmp_path, "S9")
            async with found.program(await found.token("eva")) as program:
                told = (await program.get(f"/v1/devices/{device}/parameters", params={"search": "software"})).json()
                assert [(one["name"], one["value"]) for one in told["parameters"]] == [(TREE[0].name, "7.1")]
                every = (await program.get(f"/v1/devices/{device}/parameters", params={"limit": 1})).json()
                assert every["next"] == every["parameters"][0]["name"]
                assert (await program.get(f"/v1/devices/{device}/transcripts")).json() == []
                assert (await program.post(f"/v1/devices/{device}/discover")).status_code == 204
            async with found.program(await found.token("hugo")) as program:
                assert (await program.get(f"/v1/devices/{device}")).status_code == 200
                assert (await program.get(f"/v1/devices/{device}/transcripts")).status_code == 403

    asyncio.run(run())


def test_groups_and_wishes_and_their_refusals(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("eva", Role.ENGINEER)
            device = await informed(found, tmp_path, "S9")
            async with found.program(await found.token("eva")) as program:
                group = {"rank": 5, "oui": "00040E", "wishes": [{"meaning": "upnp.igd", "value": "false"}]}
                assert (await program.put("/v1/fleet/groups/avm", json=group)).json()["name"] == "avm"
                assert (await program.put("/v1/fleet/groups/avm", json=group | {"rank": 6})).status_code == 200
                assert [one["rank"] for one in (await program.get("/v1/fleet/groups")).json()] == [6]
                for wishes, sentence in (
                    ([{"meaning": "wlan.security", "value": "wep"}], "WEP"),
                    ([{"meaning": "sip.password", "value": "x"}], "is a secret"),
                    ([{"meaning": "acs.url", "value": "http://evil.example/"}], "not a host of this ACS"),
                    ([{"meaning": "nonsense", "value": "x"}], "no meaning"),
                ):
                    refused = await program.put("/v1/fleet/groups/bad", json=group | {"wishes": wishes})
                    assert refused.status_code == 422
                    assert sentence in refused.json()["error"]["message"]
                everyone = await program.put("/v1/fleet/groups/all", json=group | {"oui": ""})
                assert "whole fleet" in everyone.json()["error"]["message"]
                wish = await program.put(f"/v1/devices/{device}/wishes/sip.proxy", json={"value": "sip.example.net"})
                assert [one["meaning"] for one in wish.json()["own"]] == ["sip.proxy"]
                assert wish.json()["groups"] == ["avm"]
                assert len(wish.json()["differences"]) == 2
                assert (await program.delete(f"/v1/devices/{device}/wishes/sip.proxy")).status_code == 204
                assert (await program.delete(f"/v1/devices/{device}/wishes/sip.proxy")).status_code == 404
                assert (await program.delete("/v1/fleet/groups/avm")).status_code == 204
                assert (await program.get("/v1/fleet/groups/avm")).status_code == 404
                meanings = {one["meaning"]: one for one in (await program.get("/v1/fleet/meanings")).json()}
                assert meanings["sip.password"]["secret"] is True

    asyncio.run(run())


HOSTILE: tuple[tuple[str, str, object], ...] = (
    ("GET", "/v1/devices?after=-1", None),
    ("GET", f"/v1/devices?after={2**70}", None),
    ("GET", "/v1/devices?oui=zz", None),
    ("GET", "/v1/devices?life=undead", None),
    ("GET", "/v1/devices?line=%00", None),
    ("GET", "/v1/devices?product_class=FRITZ", None),
    ("GET", f"/v1/devices/{2**64}", None),
    ("GET", "/v1/devices/..%2f1", None),
    ("GET", "/v1/devices/1/parameters?search=" + "x" * 200, None),
    ("POST", "/v1/devices/1/life/replaced", {}),
    ("POST", "/v1/devices/1/verify", {"line": ""}),
    ("POST", "/v1/devices/1/verify", {"line": "a\nb"}),
    ("POST", "/v1/devices/1/verify", {"line": "L1", "force": True}),
    ("PUT", "/v1/devices/1/wishes/sip.proxy", {"value": "x" * 2000}),
    ("PUT", "/v1/devices/1/wishes/sip.proxy", {"value": "a\u0000b"}),
    ("PUT", "/v1/devices/1/wishes/sip.proxy", {"value": "a", "instance": "../1"}),
    ("PUT", "/v1/devices/1/wishes/nonsense", {"value": "a"}),
    ("PUT", "/v1/devices/1/secrets/sip.proxy", {"secret": "a"}),
    ("PUT", "/v1/devices/1/secrets/sip.password", {"secret": ""}),
    ("PUT", "/v1/devices/1/secrets/sip.password", {"secret": {"a": 1}}),
    ("PUT", "/v1/fleet/groups/a%00b", {"oui": "00040E", "wishes": []}),
    ("PUT", "/v1/fleet/groups/a", {"oui": "00040E", "wishes": [{"meaning": "sip.proxy", "value": "x"}] * 300}),
    ("PUT", "/v1/fleet/groups/a", {"rank": 2**40, "oui": "00040E", "wishes": []}),
)


def test_hostile_bodies_are_sentences(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("eva", Role.ENGINEER)
            await informed(found, tmp_path, "S9")
            async with found.program(await found.token("eva")) as program:
                for method, path, body in HOSTILE:
                    answer = await program.request(method, path, json=body)
                    assert answer.status_code in {404, 409, 422}, f"{method} {path}: {answer.status_code} {answer.text}"
                    assert answer.json()["error"]["message"]
                for sheet in (b"", b"\xff\xfe\x00", b"serial\nx\n", b'oui,product_class,serial_number\n"' + b"x" * 300_000):
                    answer = await program.post("/v1/devices/import", content=sheet, headers=CSV)
                    assert answer.status_code == 422, sheet[:40]
                odd = b"oui,product_class,serial_number\n00040E,FRITZ,a\x00b\n00040E,FRITZ,\xe2\x80\xaeevil\n"
                report = (await program.post("/v1/devices/import", content=odd, headers=CSV)).json()
                assert (report["added"], len(report["skipped"])) == (0, 2)
                huge = await program.put("/v1/devices/1/wishes/sip.proxy", content=b'{"value": "' + b"x" * 70_000 + b'"}')
                assert huge.status_code == 413

    asyncio.run(run())


def test_a_secret_goes_in_and_never_comes_out(
    database_url: str, own_nats: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = "planted-7f3a-secret"
    told = io.StringIO()

    async def said(program: httpx.AsyncClient, path: str) -> None:
        answer = await program.get(path)
        assert answer.status_code == 200, path
        told.write(answer.text)

    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("eva", Role.ENGINEER)
            await found.person("root", Role.ADMINISTRATOR)
            device = await informed(found, tmp_path, "S9")
            async with found.program(await found.token("eva")) as program:
                address = f"/v1/devices/{device}/secrets/sip.password"
                done = await program.put(address, json={"secret": planted})
                assert (done.status_code, done.content) == (204, b"")
                for wrong in ({"secret": planted * 20}, {"secret": [planted]}, {"secret": planted, "more": planted}, {"value": planted}):
                    refused = await program.put(address, json=wrong)
                    assert refused.status_code == 422
                    told.write(refused.text)
                elsewhere = await program.put(f"/v1/devices/{device}/secrets/sip.proxy", json={"secret": planted})
                told.write(elsewhere.text)
                for path in ("", "/parameters", "/history", "/transcripts", "/wanted", "/behind"):
                    await said(program, f"/v1/devices/{device}{path}")
                for path in ("/v1/devices", "/v1/fleet/groups", "/v1/openapi.json"):
                    await said(program, path)
                assert '"sip.password"' in told.getvalue()
            async with found.program(await found.token("root")) as program:
                await said(program, "/v1/audit?limit=500")
            async with found.api.inventory._db.transaction() as connection:
                for table in ("history", "outbox", "wanted_of_device", "reported", "transcripts"):
                    rows = await (await connection.execute(SQL("select t::text from fleet.{} t").format(Identifier(table)))).fetchall()
                    told.write(json.dumps(rows))
                (sealed,) = (await (await connection.execute("select sealed from fleet.secrets")).fetchall())[0]
                assert planted.encode() not in bytes(sealed)

    with structlog.testing.capture_logs() as logged:
        asyncio.run(run())
    told.write(repr(logged) + caplog.text + "".join(capsys.readouterr()))
    assert "put_secret" in told.getvalue(), "the audit chain names the change"
    assert planted not in told.getvalue()
