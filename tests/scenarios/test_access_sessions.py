"""Who is on the line gets the line's secrets, and nobody else: RADIUS Start at the worker, Inform at the ACS, both as processes of their own.

The lines are addresses of loopback: a device connects from the address that the NAS says its line has.
"""

import asyncio
import contextlib
import io
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from ringfence.base.secret import Secret
from ringfence.fleet.adapters import FLEET_KEY, FileKeys, Sealer
from ringfence.fleet.desired import Wish
from ringfence.fleet.model import REALM
from ringfence.fleet.service import FleetService
from ringfence.protocols.cwmp import DeviceConnection
from ringfence.protocols.cwmp.device import Asked
from ringfence.protocols.cwmp.messages import GetParameterValues, GetParameterValuesResponse, ParameterValue, SetParameterValuesResponse
from ringfence.protocols.digest import ha1_of
from ringfence.protocols.radius import AccountingRequest, AcctStatus, check_response, encode_request
from ringfence.runtime.db import Database
from tests.harness.device_line import OUI, Line, answered, inform
from tests.harness.engines import free_port
from tests.harness.product import Product

pytestmark = pytest.mark.timeout(240)

RADIUS = Secret("shared secret of the test")
PASSWORD, SIP_NAME, SIP_PASSWORD = "devices-own", "4930555012345", "planted-sip-password"
LINE, OTHER_LINE = "DSLAM-17 atm 1/1/03:1.32", "DSLAM-17 atm 1/1/04:1.32"
HOME, ELSEWHERE = "127.0.4.1", "127.0.4.2"


def account(port: int, status: AcctStatus, session: str, address: str, line: str) -> None:
    """Tell the worker, until it answers: it does so when it is committed."""
    request = AccountingRequest(
        identifier=1, status=status, session_id=session, nas_identifier="bng-1", framed_ip_address=address, circuit_id=line
    )
    packet = encode_request(request, RADIUS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nas:
        nas.settimeout(2)
        for _ in range(15):
            nas.sendto(packet, ("127.0.0.1", port))
            with contextlib.suppress(TimeoutError):
                assert check_response(nas.recv(4096), packet, RADIUS) == 1
                return
    raise AssertionError("the worker did not answer")


@contextlib.asynccontextmanager
async def connected(product: Product, address: str) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection("127.0.0.1", product.acs_port, local_addr=(address, 0))
    try:
        yield Line(reader, writer)
    finally:
        writer.close()


async def session(product: Product, serial: str, address: str) -> bytes:
    """A whole session of a device with its own credential, which does what it is asked: everything that it was told."""
    told, device = b"", DeviceConnection()
    async with connected(product, address) as line:
        begin = device.start(inform(serial))
        _, headers, _ = await line.post(begin)
        status, _, body = await line.post(begin, Authorization=answered(headers["www-authenticate"], f"{OUI}-{serial}", PASSWORD))
        assert status == 200
        device.receive(body)
        reply = device.hand_over()
        while True:
            status, _, body = await line.post(reply)
            assert status in {200, 204}
            told += body
            match device.receive(body):
                case Asked(request=GetParameterValues(names=names)):
                    reply = device.answer(GetParameterValuesResponse(tuple(ParameterValue(name, "") for name in names)))
                case Asked():
                    reply = device.answer(SetParameterValuesResponse(0))
                case _:
                    return told


async def prepare(product: Product) -> None:
    async with Database(product.database_url, name="test") as db:
        fleet = FleetService(db, Sealer(FileKeys(product.folder / "keys" / FLEET_KEY)), None)
        sheet = f"oui,product_class,serial_number,state,line\n{OUI},FRITZ,OWN,shipped,{LINE}\n{OUI},FRITZ,NEW,shipped,\n"
        assert (await fleet.import_devices("anna", io.StringIO(sheet))).added == 2
        rows = await asyncio.to_thread(ask, product.database_url, "select serial_number, device_id from fleet.devices")
        for serial, device_id in rows:
            name = f"{OUI}-{serial}"
            await fleet.put_credential(device_id, name, ha1_of(username=name, realm=REALM, password=Secret(PASSWORD)))
        own = dict(rows)["OWN"]
        await fleet.want("anna", own, Wish(meaning="sip.username", instance="1", value=SIP_NAME), frozenset())
        await fleet.put_secret("anna", own, "sip.password", Secret(SIP_PASSWORD), "1")


def ask(url: str, query: str) -> list[tuple[str, int]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def standing(product: Product, serial: str) -> tuple[str, str]:
    rows = ask(product.database_url, f"select standing, standing_reason from fleet.devices where serial_number = '{serial}'")
    return rows[0]  # type: ignore[return-value]


def test_the_device_of_the_line_is_managed_and_no_other_gets_its_secret(tmp_path: Path) -> None:
    secret = tmp_path / "radius.secret"
    secret.touch(mode=0o600)
    secret.write_text(RADIUS.open())
    port = free_port()
    settings = {
        "RINGFENCE_SESSIONS__FEED": "true",
        "RINGFENCE_SESSIONS__RADIUS__LISTEN": f"127.0.0.1:{port}",
        "RINGFENCE_SESSIONS__RADIUS__CLIENTS": f'[{{"name": "core", "sources": ["127.0.0.0/8"], "secret_file": "{secret}"}}]',
    }
    with Product("worker", "acs", settings=settings) as product:

        async def play() -> None:
            await prepare(product)
            assert SIP_PASSWORD.encode() not in await session(product, "OWN", HOME)
            assert standing(product, "OWN") == ("unbound", "no_session_of_address"), "nobody has said who has that address"

            await asyncio.to_thread(account, port, AcctStatus.START, "s1", HOME, LINE)
            told = await session(product, "OWN", HOME)
            assert standing(product, "OWN") == ("managed", "")
            assert SIP_PASSWORD.encode() in told
            assert SIP_NAME.encode() in told

            told = await session(product, "NEW", HOME)
            assert standing(product, "NEW")[0] == "replacement_pending"
            assert SIP_PASSWORD.encode() not in told
            assert SIP_NAME.encode() not in told

            # The address goes to another line; its Stop got lost.
            await asyncio.to_thread(account, port, AcctStatus.START, "s2", HOME, OTHER_LINE)
            told = await session(product, "OWN", HOME)
            assert standing(product, "OWN") == ("unbound", "other_line")
            assert SIP_PASSWORD.encode() not in told
            assert SIP_NAME.encode() not in told

            await asyncio.to_thread(account, port, AcctStatus.START, "s3", ELSEWHERE, LINE)
            await session(product, "OWN", ELSEWHERE)
            assert standing(product, "OWN") == ("managed", ""), "the line has another address now"

        asyncio.run(play())
        assert SIP_PASSWORD not in product.log("acs") + product.log("worker")
        assert RADIUS.open() not in product.log("worker")
