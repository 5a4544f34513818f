"""Whole sessions on a real PostgreSQL: Inform, empty POST, 204, and a row; and everything that must get nothing."""

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
import uvloop

from ringfence.access.service import AccessService
from ringfence.apps.acs.auditor import Auditor
from ringfence.apps.acs.batch import Batcher
from ringfence.apps.acs.conversations import STORM_BURST, Conversations, InformTold, Shared, Storms, settling
from ringfence.apps.acs.front import Front
from ringfence.apps.acs.proof import Authentication, Prover
from ringfence.apps.acs.seal import CookieSealer
from ringfence.apps.acs.wire import Limits
from ringfence.base.clock import system_clock
from ringfence.base.secret import Secret
from ringfence.fleet.adapters import FLEET_KEY, FileKeys, Sealer
from ringfence.fleet.binding import Rules
from ringfence.fleet.model import REALM, Lane
from ringfence.fleet.orders import ImageUrl
from ringfence.fleet.service import FleetService
from ringfence.fleet.strangers import Strangers
from ringfence.protocols import digest
from ringfence.protocols.cwmp import DeviceConnection, build, built_in
from ringfence.protocols.cwmp.messages import DeviceId, Envelope, Event, Inform, ParameterValue, TransferComplete
from ringfence.protocols.nonces import NonceMint
from ringfence.runtime.db import Database
from ringfence.runtime.http import open_listener
from ringfence.runtime.keys import ensure_key

PATIENCE = 30.0
PASSWORD = "planted-device-password"


def inform(serial: str = "A1", **changes: Any) -> Inform:
    fields: dict[str, Any] = {
        "device_id": DeviceId(manufacturer="AVM", oui="00040E", product_class="FRITZ", serial_number=serial),
        "events": (Event("2 PERIODIC", ""),),
        "current_time": "2026-11-23T02:00:00Z",
        "parameters": (ParameterValue("InternetGatewayDevice.DeviceInfo.SoftwareVersion", "8.20"),),
    }
    return Inform(**(fields | changes))


class Answer(msgspec.Struct):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def cookie(self) -> str:
        return self.headers.get("set-cookie", "").partition(";")[0]


class Wire:
    """A device's connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def post(self, body: bytes, **headers: str) -> Answer:
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        head = "\r\n".join(["POST /acs HTTP/1.1", "Host: acs", f"Content-Length: {len(body)}", *lines])
        self._writer.write(head.encode() + b"\r\n\r\n" + body)
        async with asyncio.timeout(PATIENCE):
            first, *rest = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            found = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest if line)}
            return Answer(int(first.split()[1]), found, await self._reader.readexactly(int(found.get("content-length", "0"))))

    def close(self) -> None:
        self._writer.close()


class Acs:
    """The lane under test."""

    def __init__(self, port: int, fleet: FleetService, shared: Shared, auditor: Auditor, told: list[tuple[str, bytes]], url: str) -> None:
        self.port, self.fleet, self.shared, self.auditor, self.told, self.url = port, fleet, shared, auditor, told, url

    @contextlib.asynccontextmanager
    async def connected(self, address: str = "127.0.0.1") -> AsyncIterator[Wire]:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", self.port, local_addr=(address, 0)))
        try:
            yield wire
        finally:
            wire.close()

    async def audited(self) -> list[tuple[str, str]]:
        """Reasons and addresses in the audit chain."""
        await self.auditor.flush()
        rows = await asyncio.to_thread(ask, self.url, "select detail, subject from access.audit where action = 'device.refused' order by 1")
        return sorted(
            (str(detail["reason"] if isinstance(detail, dict) else msgspec.json.decode(detail)["reason"]), str(subject))
            for detail, subject in rows
        )

    async def give_credential(self, serial: str, password: str = PASSWORD) -> str:
        (admitted,) = await self.fleet.admit([_seen(serial)])
        name = f"00040E-{serial}"
        ha1 = hashlib.md5(f"{name}:{REALM}:{password}".encode(), usedforsecurity=False).hexdigest()
        await self.fleet.put_credential(admitted.device_id, name, Secret(ha1))
        return name


def _seen(serial: str) -> Any:
    from ringfence.fleet.model import InformSeen, Proof

    return InformSeen(device=inform(serial).device_id, peer_ip="127.0.0.1", lane=Lane.MANAGED, proof=Proof.NONE, at_ms=system_clock())


def ask(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def run(
    url: str,
    folder: Path,
    body: Callable[[Acs], Awaitable[None]],
    *,
    authentication: Authentication = "none",
    most: int = 100,
    rules: Rules | None = None,
    tls: ssl.SSLContext | None = None,
    image_url: ImageUrl | None = None,
) -> None:
    async def main() -> None:
        ensure_key(folder / FLEET_KEY)
        told: list[tuple[str, bytes]] = []

        async def announce(subject: str, payload: bytes) -> None:
            told.append((subject, payload))

        async with Database(url, name="test", wait_seconds=5.0) as db, asyncio.TaskGroup() as group:
            fleet = FleetService(db, Sealer(FileKeys(folder / FLEET_KEY)), None, rules)
            auditor = Auditor(AccessService(db))
            shared = Shared(
                fleet=fleet,
                admit=Batcher(fleet.admit, group),
                settle=Batcher(settling(fleet), group),
                take_step=Batcher(fleet.take_steps, group),
                announce=announce,
                quirks=built_in(),
                cookies=CookieSealer(Secret("key")),
                clock=system_clock,
                most=most,
                sessions={},
                storms=Storms(),
                image_url=image_url,
                refused=auditor.refused,
            )
            mint = NonceMint(b"a key of 16 bytes")
            prover = Prover(fleet.credential, mint, system_clock, lane=Lane.MANAGED, authentication=authentication, refused=auditor.refused)
            conversations = Conversations(shared, prover, Lane.MANAGED)
            front = Front(
                conversations.handle,
                name="test",
                limits=Limits(),
                group=group,
                tls=tls,
                refused=auditor.refused,
                left=conversations.left,
            )
            listener = open_listener("127.0.0.1:0", name="test")
            await front.start(listener)
            sweeping = group.create_task(front.sweep())
            try:
                await body(Acs(listener.getsockname()[1], fleet, shared, auditor, told, url))
            finally:
                front.stop()
                front.abort()
                sweeping.cancel()

    uvloop.run(main())


def test_a_session_and_its_row(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs) -> None:
        device = DeviceConnection()
        async with acs.connected() as wire:
            for _ in range(2):  # A second session on the same connection.
                device = DeviceConnection()
                answer = await wire.post(device.start(inform()))
                assert answer.status == 200
                assert "httponly" in answer.headers["set-cookie"].lower()
                device.receive(answer.body)
                device.hand_over()
                assert (await wire.post(b"")).status == 204
        assert acs.shared.sessions == {}
        subject, payload = acs.told[0]
        told = msgspec.json.decode(payload, type=InformTold)
        assert subject == f"inform.{told.device_id}"
        assert (told.serial_number, told.events, told.peer_ip) == ("A1", ("2 PERIODIC",), "127.0.0.1")

    run(database_url, tmp_path, body)
    assert ask(database_url, "select serial_number from fleet.devices") == [("A1",)]


def test_a_transfer_is_committed_before_it_is_answered_and_the_session_goes_on(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs) -> None:
        device = DeviceConnection()
        async with acs.connected() as wire:
            device.receive((await wire.post(device.start(inform()))).body)
            answer = await wire.post(device.send(TransferComplete("o-unknown", 0, "", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z")))
            assert b"TransferCompleteResponse" in answer.body
            device.receive(answer.body)
            assert (await wire.post(device.hand_over())).status == 204

    run(database_url, tmp_path, body)


def test_a_device_goes_on_over_another_connection_with_its_cookie_once(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs) -> None:
        async with acs.connected() as wire:
            cookie = (await wire.post(DeviceConnection().start(inform()))).cookie
        async with acs.connected() as wire:
            assert (await wire.post(b"", Cookie=f"other=1; {cookie}")).status == 204
        async with acs.connected() as wire:
            assert (await wire.post(b"", Cookie=cookie)).status in {400, 403}, "the same cookie again"
        async with acs.connected() as wire:
            assert (await wire.post(b"", Cookie="ringfence=" + "A" * 200)).status == 400
        async with acs.connected() as wire:
            cookie = (await wire.post(DeviceConnection().start(inform()))).cookie
            async with acs.connected("127.0.0.2") as thief:
                assert (await thief.post(b"", Cookie=cookie)).status == 403
            assert (await wire.post(b"")).status == 204, "whose cookie was stolen goes on"
        reasons = [reason for reason, _ in await acs.audited()]
        assert "cookie_forged" in reasons
        assert "cookie_stolen" in reasons

    run(database_url, tmp_path, body)


def answered(challenge: str, name: str, password: str = PASSWORD) -> str:
    parsed = digest.parse_challenge(challenge)
    return digest.answer(parsed, username=name, password=Secret(password), method="POST", uri="/acs", cnonce="c0ffee")


def test_digest_on_a_new_connection_after_the_401_and_never_twice(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs) -> None:
        name = await acs.give_credential("A1")
        begin = DeviceConnection().start(inform())
        async with acs.connected() as wire:
            challenge = await wire.post(begin)
            assert challenge.status == 401
        credentials = answered(challenge.headers["www-authenticate"], name)
        async with acs.connected() as wire:
            assert (await wire.post(begin, Authorization=credentials)).status == 200
            assert (await wire.post(b"")).status == 204
        async with acs.connected() as wire:
            assert (await wire.post(begin, Authorization=credentials)).status == 401, "replayed"
        async with acs.connected("127.0.0.2") as wire:
            assert (await wire.post(begin, Authorization=credentials)).status == 401, "from elsewhere"
        async with acs.connected() as wire:
            wrong = answered((await wire.post(begin)).headers["www-authenticate"], name, "guess")
            assert (await wire.post(begin, Authorization=wrong)).status == 401
        assert {("digest_replayed", "127.0.0.1"), ("nonce_forged", "127.0.0.2"), ("wrong_credentials", "127.0.0.1")} <= set(
            await acs.audited()
        )

    run(database_url, tmp_path, body, authentication="digest")


def test_own_credentials_do_not_speak_for_another_serial(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs) -> None:
        name = await acs.give_credential("A1")
        await acs.give_credential("B2")
        async with acs.connected() as wire:
            begin = DeviceConnection().start(inform("B2"))
            credentials = answered((await wire.post(begin)).headers["www-authenticate"], name)
            assert (await wire.post(begin, Authorization=credentials)).status == 403
        assert [reason for reason, _ in await acs.audited() if reason.startswith("device_")] != []
        assert acs.told == []

    run(database_url, tmp_path, body, authentication="digest")


@pytest.mark.parametrize(
    "hostile",
    [
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
        b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 50_000 + b'">]><x>' + b"&a;" * 50_000 + b"</x>",
        b"<x " + b" ".join(b'a%d="b"' % number for number in range(50_000)) + b"/>",
        b"<x>" * 50_000,
        b"not xml",
    ],
)
def test_hostile_xml_ends_the_session(database_url: str, tmp_path: Path, hostile: bytes) -> None:
    async def body(acs: Acs) -> None:
        async with acs.connected() as wire:
            answer = await wire.post(hostile)
            assert (answer.status, answer.body) == (400, b"")
        async with acs.connected() as wire:
            await wire.post(DeviceConnection().start(inform()))
            assert (await wire.post(hostile)).status == 400, "a body that cannot be read is no empty POST"
        assert acs.shared.sessions == {}
        assert len(await acs.audited()) == 1

    run(database_url, tmp_path, body)


def test_above_the_bound_devices_are_sent_away_and_spread(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs) -> None:
        begin = DeviceConnection().start(inform())
        waits = set()
        async with acs.connected() as first:
            assert (await first.post(begin)).status == 200
            for _ in range(5):
                async with acs.connected() as wire:
                    answer = await wire.post(begin)
                    assert answer.status == 503
                    waits.add(int(answer.headers["retry-after"]))
            assert len(waits) > 1
            assert all(30 <= wait <= 300 for wait in waits)
            assert (await first.post(b"")).status == 204, "who is inside is served"

    run(database_url, tmp_path, body, most=1)


def test_a_device_that_informs_all_the_time_is_slowed(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs) -> None:
        statuses = []
        for _ in range(STORM_BURST + 1):
            async with acs.connected() as wire:
                statuses.append((await wire.post(DeviceConnection().start(inform(retry_count=1490)))).status)
        assert statuses == [200] * STORM_BURST + [503]
        async with acs.connected() as wire:
            assert (await wire.post(DeviceConnection().start(inform("B2")))).status == 200, "another device is not held back"

    run(database_url, tmp_path, body)


def test_without_postgresql_devices_are_asked_to_come_back(tmp_path: Path) -> None:
    async def body(acs: Acs) -> None:
        async with acs.connected() as wire:
            answer = await wire.post(build(Envelope(inform(), "1")))
        assert answer.status == 503
        assert "retry-after" in answer.headers

    async def quick(acs: Acs) -> None:
        await body(acs)

    run("postgresql://nobody@127.0.0.1:1/none", tmp_path, quick)


def test_an_invented_device_too_many_is_sent_away_for_a_while_and_audited(database_url: str, tmp_path: Path) -> None:
    async def body(acs: Acs) -> None:
        acs.fleet._strangers = Strangers(per_address=1, in_all=1, now_ms=system_clock())
        statuses = []
        for serial in ("A1", "B2"):
            async with acs.connected() as wire:
                answer = await wire.post(DeviceConnection().start(inform(serial)))
                statuses.append(answer.status)
        assert statuses == [200, 503]
        assert "retry-after" in answer.headers
        assert await acs.audited() == [("too_many_strangers", "127.0.0.1")]

    run(database_url, tmp_path, body)
    assert ask(database_url, "select serial_number from fleet.devices") == [("A1",)]
