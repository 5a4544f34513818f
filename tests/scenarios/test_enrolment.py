"""From the box to the customer's phone number: a shipped device gets a credential of its own in the bootstrap lane, on its own line and nowhere
else, proves itself with it in the managed lane, and only there it gets the customer's secret.
"""

import asyncio
import io
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from msgspec.structs import replace

from ringfence.base.secret import Secret
from ringfence.fleet.adapters import FLEET_KEY, FileKeys, Sealer
from ringfence.fleet.service import FleetService
from ringfence.protocols.cwmp import Asked, DeviceConnection
from ringfence.protocols.cwmp.messages import (
    GetParameterValues,
    GetParameterValuesResponse,
    ParameterValue,
    SetParameterValues,
    SetParameterValuesResponse,
)
from ringfence.runtime.db import Database
from tests.harness.device_line import OUI, Line, answered, inform
from tests.harness.product import Product

pytestmark = pytest.mark.timeout(180)

HOME, NEIGHBOUR, NOWHERE = "127.0.0.5", "127.0.0.6", "127.0.0.7"
URL = "http://acs.example.net:7547/"
LIST = f"""oui,product_class,serial_number,state,line,customer,password
{OUI},FRITZ,NEW1,shipped,L1,K-1,
{OUI},FRITZ,OLD1,shipped,L1,K-1,planted-factory
{OUI},,FRITZ-OLD1,shipped,L1,K-1,
"""
ROOT = "InternetGatewayDevice."
SIP_PASSWORD = "planted-sip"


@pytest.fixture
def product() -> Iterator[Product]:
    with Product("acs", settings={"RINGFENCE_SESSIONS__FEED": "true", "RINGFENCE_ACS__MANAGED__URL": URL}) as product:
        asyncio.run(furnish(product))
        yield product


async def furnish(product: Product) -> None:
    async with Database(product.database_url, name="test") as db:
        fleet = FleetService(db, Sealer(FileKeys(product.folder / "keys" / FLEET_KEY)), None)
        report = await fleet.import_devices("anna", io.StringIO(LIST))
        assert (report.added, report.bad) == (3, ())
    with psycopg.connect(product.database_url) as connection:
        for address, line in ((HOME, "L1"), (NEIGHBOUR, "L2")):
            connection.execute(
                "insert into subscribers.access_sessions (nas, acct_session_id, prefix, line, origin, started_at, last_seen_at)"
                " values ('bng', %s, %s, %s, 'radius', now() - interval '1 hour', now())",
                (address, address, line),
            )


async def session(
    product: Product,
    serial: str,
    *,
    product_class: str = "FRITZ",
    name: str = "",
    address: str = HOME,
    password: str = "",
    event: str = "0 BOOTSTRAP",
) -> tuple[int, dict[str, str]]:
    """A session, in the managed lane when there is a password: the status it ends with, and what was set."""
    port = product.acs_port if password else product.bootstrap_port
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    with closing(writer):
        line, device = Line(reader, writer), DeviceConnection()
        said = inform(serial, event=event)
        begin = device.start(replace(said, device_id=replace(said.device_id, product_class=product_class)))
        status, headers, body = await line.post(begin)
        if password:
            assert status == 401
            status, _, body = await line.post(
                begin, Authorization=answered(headers["www-authenticate"], name or f"{OUI}-FRITZ-{serial}", password)
            )
        if status != 200:
            return status, {}
        device.receive(body)
        status, _, body = await line.post(device.hand_over())
        written: dict[str, str] = {}
        while status == 200 and body:
            asked = device.receive(body)
            assert isinstance(asked, Asked)
            match asked.request:
                case SetParameterValues(parameters=parameters):
                    written |= {parameter.name.removeprefix(ROOT): parameter.value for parameter in parameters}
                    answer = device.answer(SetParameterValuesResponse(0))
                case GetParameterValues(names=names):
                    answer = device.answer(GetParameterValuesResponse(tuple(ParameterValue(name, "") for name in names)))
                case other:
                    raise AssertionError(f"unexpected {other}")
            status, _, body = await line.post(answer)
        return status, written


async def want_phone(product: Product) -> None:
    async with Database(product.database_url, name="test") as db:
        fleet = FleetService(db, Sealer(FileKeys(product.folder / "keys" / FLEET_KEY)), None)
        with psycopg.connect(product.database_url) as connection:
            for (device_id,) in connection.execute("select device_id from fleet.devices").fetchall():
                await fleet.put_secret("anna", device_id, "sip.password", Secret(SIP_PASSWORD))


def restart(product: Product) -> None:
    product.stop("acs")
    product.start("acs")


def test_a_new_device_gets_its_own_credential_on_its_own_line_and_its_phone_once_it_has_proven_itself(product: Product) -> None:
    async def play() -> None:
        await want_phone(product)
        assert await session(product, "NEW1", address=NEIGHBOUR) == (204, {}), "on another line"
        assert await session(product, "NEW1", address=NOWHERE) == (204, {}), "from an address that nobody holds"
        assert await session(product, "STRANGER") == (204, {}), "a serial number that nobody expected, on a known line"

        status, given = await session(product, "NEW1")
        assert status == 204
        password = given.pop("ManagementServer.Password")
        assert len(password) >= 32
        assert given == {"ManagementServer.URL": URL, "ManagementServer.Username": f"{OUI}-FRITZ-NEW1"}

        assert (await session(product, "NEW1", password="guess"))[0] == 401
        status, managed = await session(product, "NEW1", password=password, event="1 BOOT")
        assert status == 204
        assert SIP_PASSWORD in managed.values()

        again = (await session(product, "NEW1"))[1]
        assert again["ManagementServer.Password"] == password, "after a factory reset the same one, not a second"
        assert SIP_PASSWORD not in again.values()

    asyncio.run(play())
    assert "planted" not in product.log("acs")


def test_a_password_from_the_delivery_list_opens_the_managed_lane_until_the_device_has_its_own(product: Product) -> None:
    async def play() -> None:
        await want_phone(product)
        status, managed = await session(product, "OLD1", password="planted-factory", event="1 BOOT")
        assert status == 204
        assert SIP_PASSWORD in managed.values()
        own = (await session(product, "OLD1"))[1]["ManagementServer.Password"]
        await asyncio.to_thread(restart, product)  # A process keeps what it verified with for a minute.
        assert (await session(product, "OLD1", password="planted-factory", event="1 BOOT"))[0] == 401
        assert (await session(product, "OLD1", password=own, event="1 BOOT"))[0] == 204
        status, given = await session(product, "FRITZ-OLD1", product_class="")
        assert status == 204, "who shares a name with another has a session"
        assert "ManagementServer.Password" not in given
        borrowed = await session(product, "FRITZ-OLD1", product_class="", name=f"{OUI}-FRITZ-OLD1", password=own)
        assert borrowed == (403, {}), "the shared name speaks for the one whose credential it is"

    asyncio.run(play())
    with psycopg.connect(product.database_url) as connection:
        rows = connection.execute("select string_agg(t::text, ' ') from fleet.credentials t").fetchone()
    assert rows is not None
    assert "planted" not in str(rows)
