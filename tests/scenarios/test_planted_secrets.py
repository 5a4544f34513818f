"""No secret in any log, page, export or transcript: they are planted wherever the product takes one, then everything it gives out is searched.

What is searched: every page of the console that an administrator can reach by links, every GET route of the API, the metrics and logs of
each role, the whole database, the log of the bus and the archive. The plain text may stand nowhere; sealed it may stand in `fleet.secrets`
and `fleet.credentials`, which the search would not find anyway. The search is tried first on something that must be found.
"""

import asyncio
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from ringfence.base.clock import system_clock
from ringfence.base.secret import Secret
from ringfence.fleet.adapters import FLEET_KEY, FileKeys, Sealer
from ringfence.fleet.meanings import is_secret
from ringfence.fleet.model import REALM, InformSeen, Lane, Proof
from ringfence.fleet.service import FleetService
from ringfence.protocols.cwmp import Asked, DeviceConnection
from ringfence.protocols.cwmp.messages import (
    Fault,
    GetParameterNames,
    GetParameterNamesResponse,
    GetParameterValues,
    GetParameterValuesResponse,
    ParameterInfo,
    ParameterValue,
    SetParameterValues,
    SetParameterValuesResponse,
)
from ringfence.runtime.db import Database
from tests.harness.device_line import OUI, Line, answered, inform
from tests.harness.engines import free_port
from tests.harness.product import Product
from tests.harness.saturday import PASSWORD, people
from tests.harness.surfaces import form_token

pytestmark = pytest.mark.timeout(300)

ROOT = "InternetGatewayDevice."
SERIAL = "VISIBLE-SERIAL"
"""Not a secret: it shows that the search finds what is there."""
TOO_MANY_PAGES = 400
BOUND = {"RINGFENCE_ACS__RELEASE_WITHOUT_FEED": "true"}
"""The line that the test gives the device counts, so that it does get its secrets."""

INFORMED = {
    ROOT + "ManagementServer.Password": "planted-1-acs-password",
    ROOT + "ManagementServer.ConnectionRequestPassword": "planted-2-request-password",
    ROOT + "X_AVM-DE_WebUserPassword": "planted-3-vendors-own",
}
READ = {
    ROOT + "LANDevice.1.WLANConfiguration.1.KeyPassphrase": "planted-4-passphrase",
    ROOT + "LANDevice.1.WLANConfiguration.1.WEPKey.1.WEPKey": "planted-5-wep",
    ROOT + "X_HW_WebUserInfo.1.AdminPassword": "planted-6-web-user",
    ROOT + "X_VENDOR_Backup.URL": "ftp://admin:planted-7-in-a-url@192.0.2.9/backup",
    ROOT + "DeviceInfo.HardwareVersion": "visible-hardware",
}
SEALED = {"sip.password": "planted-8-sip-password", "wlan.passphrase": "planted-9-sealed-passphrase"}
CREDENTIAL = "planted-10-device-credential"
QUOTED = "planted-8-sip-password"
"""The device quotes it in the text of its fault."""
PLANTED = (*INFORMED.values(), *[value for value in READ.values() if "planted" in value], *SEALED.values(), CREDENTIAL, PASSWORD)


def needles() -> tuple[str, ...]:
    return tuple(re.sub(r"^.*(planted-[0-9]+-[a-z-]+).*$", r"\1", value) for value in PLANTED)


@pytest.fixture
def product() -> Iterator[Product]:
    with Product("worker", "acs", "console", "api", metrics_port=free_port(), settings=BOUND) as product:
        asyncio.run(people(product.database_url))
        yield product


def test_no_planted_secret_leaves(product: Product) -> None:
    outputs, made = asyncio.run(play(product))
    assert made, "the ACS gave the device a password of its own making, for connection requests"
    for role in ("api", "console", "acs", "worker"):
        assert product.stop(role) == 0
        outputs[f"log of {role}"] = product.log(role)
    outputs |= read_database(product.database_url) | read_files(product.folder)

    found = {what for what, text in outputs.items() if SERIAL in text}
    assert any(what.startswith("page ") for what in found), "the search finds what is there: pages"
    assert any(what.startswith("route ") for what in found), "the search finds what is there: routes"
    assert any(what.startswith("table ") for what in found), "the search finds what is there: tables"
    assert "visible-hardware" in outputs["table fleet.reported"], "what the device holds was read"
    leaks = sorted({(what, needle) for what, text in outputs.items() for needle in (*needles(), *made) if needle in text})
    assert leaks == []


# The device and its secrets


async def play(product: Product) -> tuple[dict[str, str], set[str]]:
    """Everything that was given out, and the secrets that the product made itself."""
    async with Database(product.database_url, name="test") as db:
        fleet = FleetService(db, Sealer(FileKeys(product.folder / "keys" / FLEET_KEY)), None)
        device = inform(SERIAL).device_id
        (admitted,) = await fleet.admit(
            [InformSeen(device=device, peer_ip="127.0.0.1", lane=Lane.MANAGED, proof=Proof.NONE, at_ms=system_clock())]
        )
        name = f"{OUI}-{SERIAL}"
        ha1 = hashlib.md5(f"{name}:{REALM}:{CREDENTIAL}".encode(), usedforsecurity=False).hexdigest()
        await fleet.put_credential(admitted.device_id, name, Secret(ha1))
        await asyncio.to_thread(put_on_line, product.database_url)
        for meaning, value in SEALED.items():
            await fleet.put_secret("root", admitted.device_id, meaning, Secret(value))
        written = await serve(product, name)
        secrets = {value for name, value in written.items() if is_secret(name)}
        assert set(SEALED.values()) <= secrets, "the device did get its secrets"
        await fleet.discover(admitted.device_id)
        await serve(product, name)
    outputs = await crawl(product) | await ask_routes(product, admitted.device_id) | await read_metrics(product)
    return outputs, secrets - set(SEALED.values())


def put_on_line(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("update fleet.devices set line = 'L1', customer = 'K-1'")


async def serve(product: Product, name: str) -> dict[str, str]:
    """A session of the device; what it was told to set. It refuses the first SetParameterValues and quotes what it does not like."""
    reader, writer = await asyncio.open_connection("127.0.0.1", product.acs_port)
    line, device = Line(reader, writer), DeviceConnection()
    values = tuple(ParameterValue(name, value) for name, value in INFORMED.items())
    begin = device.start(inform(SERIAL, *values))
    _, headers, _ = await line.post(begin)
    status, _, body = await line.post(begin, Authorization=answered(headers["www-authenticate"], name, CREDENTIAL))
    assert status == 200
    device.receive(body)
    status, _, body = await line.post(device.hand_over())
    written: dict[str, str] = {}
    refused = False
    while status == 200 and body:
        event = device.receive(body)
        assert isinstance(event, Asked)
        answer, refused = reply(event.request, written, refused=refused)
        status, _, body = await line.post(device.answer(answer))
    assert status == 204
    writer.close()
    return written


def reply(request: Any, written: dict[str, str], *, refused: bool) -> tuple[Any, bool]:
    match request:
        case SetParameterValues(parameters=parameters):
            written |= {parameter.name: parameter.value for parameter in parameters}
            if not refused:
                quoting = f"cannot take {', '.join(parameter.value for parameter in parameters)}"
                return Fault(9002, quoting), True
            return SetParameterValuesResponse(0), refused
        case GetParameterNames(path=path):
            return GetParameterNamesResponse(names_below(path)), refused
        case GetParameterValues(names=names):
            return GetParameterValuesResponse(tuple(ParameterValue(name, READ.get(name, "")) for name in names)), refused
        case _:
            raise AssertionError(f"unexpected {request}")


def names_below(path: str) -> tuple[ParameterInfo, ...]:
    below = {name[len(path) :].partition(".") for name in READ if name.startswith(path)}
    return tuple(ParameterInfo(path + head + dot, writable=True) for head, dot in sorted({(head, dot) for head, dot, _ in below}))


# What the product gives out


async def crawl(product: Product) -> dict[str, str]:
    """Every page an administrator and a lead reach by links."""
    pages: dict[str, str] = {}
    for person in ("root", "anna"):
        async with httpx.AsyncClient(base_url=product.console_url, follow_redirects=True, timeout=30) as browser:
            token = form_token((await browser.get("/login")).text)
            await browser.post("/login", data={"form_token": token, "name": person, "password": PASSWORD})
            waiting, seen = ["/", "/devices", f"/devices?serial={SERIAL}"], set[str]()
            while waiting and len(seen) < TOO_MANY_PAGES:
                path = waiting.pop()
                if path in seen or path.startswith(("/static", "/logout", "/live")):
                    continue
                seen.add(path)
                answer = await browser.get(path)
                pages[f"page {path} of {person}"] = f"{answer.headers} {answer.text}"
                waiting += re.findall(r'(?:href|hx-get)="(/[^"#]*)"', answer.text.replace("&amp;", "&"))
    return pages


async def ask_routes(product: Product, device_id: int) -> dict[str, str]:
    """Every GET route; a name in its path is filled where the device gives one."""
    answers: dict[str, str] = {}
    async with httpx.AsyncClient(base_url=product.api_url, timeout=30) as program:
        for person in ("root", "anna"):
            token = (await program.post("/v1/session", json={"name": person, "password": PASSWORD})).json()["token"]
            program.headers["Authorization"] = f"Bearer {token}"
            document = (await program.get("/v1/openapi.json")).json()
            for path in [path for path, methods in document["paths"].items() if "get" in methods]:
                place = path.replace("{device_id}", str(device_id)).replace("{customer}", "K-1").replace("{line}", "L1")
                place = re.sub(r"\{\w+\}", "1", place)
                async with program.stream("GET", place) as answer:
                    if "event-stream" in answer.headers.get("content-type", ""):
                        continue
                    answers[f"route {place} of {person}"] = (await answer.aread()).decode()
    return answers


async def read_metrics(product: Product) -> dict[str, str]:
    async with httpx.AsyncClient(timeout=30) as client:
        return {f"metrics of {role}": (await client.get(product.metrics_url(role))).text for role in ("acs", "worker", "api", "console")}


def read_database(url: str) -> dict[str, str]:
    """Every table as text."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "select table_schema, table_name from information_schema.tables where table_type = 'BASE TABLE'"
            " and table_schema not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        query = "select coalesce(string_agg(t::text, ' '), '') from {} t"
        return {
            f"table {schema}.{table}": str(connection.execute(sql.SQL(query).format(sql.Identifier(schema, table))).fetchone())
            for schema, table in tables
        }


def read_files(folder: Path) -> dict[str, str]:
    """The bus, the archive and whatever else lies in the data folder; keys are where secrets belong."""
    files = (file for file in folder.rglob("*") if file.is_file() and "keys" not in file.parts)
    return {f"file {file.relative_to(folder)}": file.read_bytes().decode("latin-1") for file in files}
