"""The PyPI package CwmpClient, an independent and quirky CPE, completes its sessions against the real front and PostgreSQL.

It sends no cwmp:ID, no RetryCount, no xsi:type and an unprefixed Envelope, returns no cookie, reads NextLevel as a number, and names
objects without their dot. It is under the GPL and runs in a process of its own: nothing here imports it.
"""

import asyncio
import io
import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from ringfence.base.secret import Secret
from ringfence.fleet.binding import Rules
from ringfence.fleet.desired import Group, Wish
from tests.integration.acs.test_sessions import PATIENCE, Acs, ask, run

MODULE = "CwmpClient"
IDENTITY = "oui,product_class,serial_number,state,line\nFFFFFF,DTBox1,0123456,shipped,L1\n"
TRUSTING = Rules(trust_unproven=True, release_without_feed=True)
DRIVER = """
import asyncio, json, logging, sys
from types import SimpleNamespace
from CwmpClient.nodes import BaseNode
from CwmpClient.plugins import tr069

async def main():
    root = BaseNode()
    await tr069.loader(root)
    server = root["Device"]["ManagementServer"]
    server["URL"].set(sys.argv[1])  # Its own default is a host of the public Internet.
    await tr069.start(SimpleNamespace(root=root))
    print(json.dumps({name: str(server[name]) for name in server}))

logging.basicConfig(level=logging.DEBUG)
asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _peer() -> None:
    if find_spec(MODULE) is None:
        message = f"{MODULE} is not installed (pip install {MODULE}==0.0.1b0)"
        if os.environ.get("RINGFENCE_REQUIRE_PEERS") == "1":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)


async def session(acs: Acs) -> dict[str, str]:
    """One run of the client, from its Inform to the end that the ACS gives; its management server afterwards."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", DRIVER, f"http://127.0.0.1:{acs.port}/acs"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()[-4000:]
    first, *lines = output.decode().splitlines()
    assert first == "End session"
    found: dict[str, str] = json.loads(lines[-1])
    return found


def test_its_session_of_an_inform_and_nothing_else(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs) -> None:
        await session(acs)
        assert acs.shared.sessions == {}
        assert await acs.audited() == []

    run(database_url, tmp_path, body)
    assert ask(database_url, "select oui, product_class, serial_number, software_version from fleet.devices") == [
        ("FFFFFF", "DTBox1", "0123456", "0.0.1")
    ]


def test_its_settings_are_read_and_set_and_its_tree_is_asked_for(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs) -> None:
        await acs.fleet.import_devices("anna", io.StringIO(IDENTITY))
        wishes = (Wish(meaning="acs.inform_interval", value="900"), Wish(meaning="acs.request_username", value="acs"))
        await acs.fleet.put_group("anna", Group(name="clients", oui="FFFFFF", wishes=wishes), frozenset())
        first = await session(acs)  # Each run of the client forgets what was set before.
        assert (first["PeriodicInformInterval"], first["ConnectionRequestUsername"]) == ("900", "acs")
        (found,) = await asyncio.to_thread(ask, acs.url, "select device_id from fleet.devices")
        await acs.fleet.put_secret("anna", found[0], "acs.request_password", Secret("planted-request"))
        await acs.fleet.discover(found[0])
        second = await session(acs)
        assert second["ConnectionRequestPassword"] == "planted-request"
        spoken = [line for _session, _at, lines in await acs.fleet.transcripts(found[0]) for line in lines]
        for method in ("GetParameterValues", "SetParameterValues", "GetParameterNames"):
            assert any(line.startswith(f"acs: {method}") for line in spoken)
            assert any(line.startswith(f"device: {method}Response") for line in spoken)
        assert not any("planted-request" in line for line in spoken)
        await session(acs)
        assert await acs.audited() == []

    run(database_url, tmp_path, body, rules=TRUSTING)
    reported = dict(ask(database_url, "select name, value from fleet.reported"))
    assert reported["Device.ManagementServer.PeriodicInformInterval"] == "900"
    assert reported["Device.DeviceInfo.SoftwareVersion"] == "0.0.1"
    assert "planted-request" not in reported.values()
