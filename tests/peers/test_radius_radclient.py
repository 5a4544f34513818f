"""Accounting from FreeRADIUS's radclient: it checks the answer's authenticator itself, and knows the attributes by their names."""

import asyncio
import subprocess
from ipaddress import ip_network

import pytest
import uvloop

from ringfence.access.service import AccessService
from ringfence.apps.worker.radius import Client, RadiusListener, Refusals, open_socket, serve_radius
from ringfence.base.clock import system_clock
from ringfence.base.secret import Secret
from ringfence.runtime.db import Database
from ringfence.runtime.settings import Radius
from ringfence.runtime.status import StatusBoard
from ringfence.subscribers.sessions.accounting import LineFrom
from ringfence.subscribers.sessions.model import EndedBy
from ringfence.subscribers.sessions.service import AccessSessions

SECRET = "a-secret-of-the-test"
SESSION = """
NAS-Identifier = "bng-1"
NAS-IP-Address = 198.51.100.7
NAS-Port-Id = "ge-0/0/1.7"
User-Name = "user@isp.example"
Acct-Session-Id = "00A1B2C3"
Framed-IP-Address = 192.0.2.10
Framed-IPv6-Prefix = 2001:db8:1:2::/64
Delegated-IPv6-Prefix = 2001:db8:3::/56
Framed-IPv6-Address = 2001:db8:1:2::77
ADSL-Agent-Circuit-Id = "DSLAM-17 atm 1/1/03:1.32"
ADSL-Agent-Remote-Id = "0049301234"
Proxy-State = 0x0102
"""


async def radclient(port: int, *packets: str, secret: str = SECRET, tries: int = 5) -> tuple[int, str]:
    """Exit code and output."""
    process = await asyncio.create_subprocess_exec(
        *("radclient", "-x", "-c", "1", "-r", str(tries), "-t", "2", f"127.0.0.1:{port}", "acct", secret),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate("\n\n".join(packet.strip() for packet in packets).encode() + b"\n")
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.mark.peer("radclient")
def test_a_session_that_radclient_tells(database_url: str) -> None:
    async def main() -> None:
        async with Database(database_url, name="test") as db, asyncio.TaskGroup() as group:
            sessions, refusals = AccessSessions(db), Refusals(AccessService(db))
            clients = (Client(name="core", sources=(ip_network("127.0.0.0/8"),), secret=Secret(SECRET)),)
            listener = RadiusListener(clients, LineFrom.CIRCUIT_ID, sessions.record, refusals, system_clock)
            receiver = open_socket(Radius.model_construct(listen="127.0.0.1:0"))
            port = receiver.getsockname()[1]
            serving = group.create_task(serve_radius(listener, receiver, refusals, StatusBoard("worker", "i")))
            try:
                code, output = await radclient(port, f"Acct-Status-Type = Start{SESSION}")
                assert (code, "Received Accounting-Response" in output) == (0, True), output
                asked = ["192.0.2.10", "2001:db8:1:2::5", "2001:db8:3:7::1"]
                found = await sessions.lines_at(asked, system_clock())
                assert [(found[text].line, found[text].access_node, found[text].nas) for text in asked] == [
                    ("DSLAM-17 atm 1/1/03:1.32", "DSLAM-17", "core/bng-1")
                ] * 3
                code, output = await radclient(port, f"Acct-Status-Type = Start{SESSION}", secret="wrong", tries=1)
                assert (code, "No reply" in output) == (1, True), output

                stop = 'Acct-Status-Type = Stop\nNAS-Identifier = "bng-1"\nAcct-Session-Id = "00A1B2C3"\nAcct-Session-Time = 5'
                assert (await radclient(port, stop))[0] == 0
                assert await sessions.lines_at(asked, system_clock()) == {}
                (ended,) = await sessions.history_of_address("192.0.2.10")
                assert ended.ended_by is EndedBy.STOP
                other = SESSION.replace("00A1B2C3", "00A1B2C4").replace("192.0.2.10", "192.0.2.11")
                assert (await radclient(port, f"Acct-Status-Type = Interim-Update{other}"))[0] == 0
                assert (await radclient(port, 'Acct-Status-Type = Accounting-On\nNAS-Identifier = "bng-1"'))[0] == 0
                (ended,) = await sessions.history_of_address("192.0.2.11")
                assert ended.ended_by is EndedBy.NAS
            finally:
                serving.cancel()

    uvloop.run(main())
