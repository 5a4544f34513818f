"""An orderly stop of the real role: nobody new is taken, and a session that runs comes to its end with everything it tells."""

import asyncio
import contextlib
import io

import psycopg
import pytest

from ringfence.base.clock import system_clock
from ringfence.fleet.adapters import FLEET_KEY, FileKeys, Sealer
from ringfence.fleet.model import InformSeen, Lane, Proof
from ringfence.fleet.service import FleetService
from ringfence.protocols.cwmp import DeviceConnection
from ringfence.protocols.cwmp.messages import Download, TransferComplete
from ringfence.runtime.db import Database
from tests.harness.device_line import OUI, Line, inform
from tests.harness.product import Product
from tests.scenarios.stage import eventually

pytestmark = pytest.mark.timeout(120)


async def ordered(product: Product) -> str:
    """A device with a transfer under way: its CommandKey."""
    async with Database(product.database_url, name="test") as db:
        fleet = FleetService(db, Sealer(FileKeys(product.folder / "keys" / FLEET_KEY)), None)
        await fleet.import_devices("anna", io.StringIO(f"oui,product_class,serial_number,state,line\n{OUI},FRITZ,A1,shipped,L1\n"))
        seen = InformSeen(device=inform("A1").device_id, peer_ip="127.0.0.1", lane=Lane.BOOTSTRAP, proof=Proof.NONE, at_ms=system_clock())
        (admitted,) = await fleet.admit([seen])
        return await fleet.ordered(admitted.device_id, Download(url="https://h/f"))


def test_told_to_stop_it_takes_nobody_new_and_loses_no_session() -> None:
    async def nobody_new() -> bool:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", product.bootstrap_port)
            try:
                status, _, _ = await Line(reader, writer).post(DeviceConnection().start(inform("B2")))
                return status in {0, 503}
            finally:
                writer.close()
        return True

    async def between_connections() -> None:
        """A device that has told something and comes back on another connection, too late for this process."""
        device = DeviceConnection()
        reader, writer = await asyncio.open_connection("127.0.0.1", product.bootstrap_port)
        line = Line(reader, writer)
        device.receive((await line.post(device.start(inform("C3"))))[2])
        await line.post(device.send(TransferComplete("o-of-somebody", 0, "")))
        writer.close()

    async def play() -> None:
        key = await ordered(product)
        await between_connections()
        device = DeviceConnection()
        reader, writer = await asyncio.open_connection("127.0.0.1", product.bootstrap_port)
        line = Line(reader, writer)
        status, _, body = await line.post(device.start(inform("A1")))
        assert status == 200
        device.receive(body)
        stopping = asyncio.create_task(asyncio.to_thread(product.stop, "acs"))
        await eventually(nobody_new, "nobody new is taken")
        status, _, body = await line.post(device.send(TransferComplete(key, 0, "")))
        assert (status, b"TransferCompleteResponse" in body) == (200, True)
        assert (await line.post(b""))[0] == 204
        assert await stopping == 0
        writer.close()

    with Product("acs") as product:
        asyncio.run(play())
        with psycopg.connect(product.database_url) as connection:
            assert connection.execute("select state from fleet.orders").fetchall() == [("done",)]
            assert connection.execute("select count(*) from fleet.transcripts").fetchall() == [(2,)], "also of who was away"
