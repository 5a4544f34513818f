"""A stranger at the running ACS: every attack of the catalogue gets nothing, is refused with the status that belongs to it, and stands in
the audit chain under the address it came from. Afterwards an honest device is served as if nothing had been.

Each attack has an address of its own (127.0.1.1 and on), so that its entry can be told from the others'.
"""

import asyncio
import contextlib
import gzip
import hashlib
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import msgspec
import psycopg
import pytest

from ringfence.base.clock import system_clock
from ringfence.base.secret import Secret
from ringfence.fleet.adapters import FLEET_KEY, FileKeys, Sealer
from ringfence.fleet.desired import Wish
from ringfence.fleet.image_urls import ImageGrant, sign
from ringfence.fleet.model import REALM, InformSeen, Lane, Proof
from ringfence.fleet.service import FleetService
from ringfence.protocols.cwmp import DeviceConnection
from ringfence.runtime.db import Database
from tests.harness.device_line import OUI, Line, answered, inform
from tests.harness.product import Product

pytestmark = pytest.mark.timeout(240)

OWN, VICTIM = "OWN1", "VICTIM1"
PASSWORD = "attacker-owns-this-one"
SIP_NAME, SIP_PASSWORD = "4930555012345", "planted-sip-password-of-the-victim"


@dataclass(frozen=True)
class Attack:
    """What a stranger does, and what comes of it."""

    name: str
    play: Callable[["Stranger"], Awaitable[int]]
    """Returns the status of the answer; 0 when the connection was cut without one."""
    status: int
    reason: str


class Stranger:
    """A peer with an address of its own."""

    def __init__(self, address: str, product: Product) -> None:
        self.address, self.product, self._port = address, product, product.acs_port

    @contextlib.asynccontextmanager
    async def connected(self, address: str = "", port: int = 0) -> AsyncIterator[Line]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self._port, local_addr=(address or self.address, 0))
        try:
            yield Line(reader, writer)
        finally:
            writer.close()

    async def raw(self, *pieces: bytes, pause: float = 0.0, port: int = 0) -> int:
        """Send pieces as they are; the status that comes back."""
        async with self.connected(port=port) as line:
            answer = asyncio.ensure_future(line.status())
            for piece in pieces:
                if answer.done() or not await line.write(piece):
                    break
                await asyncio.sleep(pause)
            return await answer

    async def post(self, body: bytes, **headers: str) -> int:
        async with self.connected() as line:
            return (await line.post(body, **headers))[0]

    async def signed_in(self, line: Line, serial: str, name: str = f"{OUI}-{OWN}") -> tuple[int, str, str]:
        """An Inform with the Digest of the attacker's own device: status, cookie, credentials."""
        begin = DeviceConnection().start(inform(serial))
        _, headers, _ = await line.post(begin)
        credentials = answered(headers["www-authenticate"], name, PASSWORD)
        status, headers, body = await line.post(begin, Authorization=credentials)
        assert SIP_PASSWORD.encode() not in body
        assert SIP_NAME.encode() not in body
        return status, headers.get("set-cookie", "").partition(";")[0], credentials


# The attacks


async def another_serial(stranger: Stranger) -> int:
    async with stranger.connected() as line:
        return (await stranger.signed_in(line, VICTIM))[0]


async def digest_again(stranger: Stranger) -> int:
    async with stranger.connected() as line:
        status, _, credentials = await stranger.signed_in(line, OWN)
        assert status == 200
    return await stranger.post(DeviceConnection().start(inform(OWN)), Authorization=credentials)


async def digest_from_elsewhere(stranger: Stranger) -> int:
    async with stranger.connected("127.0.2.1") as line:
        _, headers, _ = await line.post(DeviceConnection().start(inform(OWN)))
    return await stranger.post(
        DeviceConnection().start(inform(OWN)), Authorization=answered(headers["www-authenticate"], f"{OUI}-{OWN}", PASSWORD)
    )


async def guessed_password(stranger: Stranger) -> int:
    async with stranger.connected() as line:
        return (await stranger.signed_in(line, VICTIM, f"{OUI}-{VICTIM}"))[0]


async def guessed_cookie(stranger: Stranger) -> int:
    return await stranger.post(b"", Cookie="ringfence=" + "A" * 200)


async def stolen_cookie(stranger: Stranger) -> int:
    async with stranger.connected("127.0.2.2") as line:
        _, cookie, _ = await stranger.signed_in(line, OWN)
        return await stranger.post(b"", Cookie=cookie)


async def cookie_again(stranger: Stranger) -> int:
    async with stranger.connected() as line:
        _, cookie, _ = await stranger.signed_in(line, OWN)
        assert (await line.post(b"", Cookie=cookie))[0] == 204
    async with stranger.connected() as line:
        _, headers, _ = await line.post(b"", Cookie=cookie)
        return (await line.post(b"", Cookie=cookie, Authorization=answered(headers["www-authenticate"], f"{OUI}-{OWN}", PASSWORD)))[0]


def xml(body: bytes) -> Callable[[Stranger], Awaitable[int]]:
    """After one's own honest sign-in: what a device of one's own may send once it is inside."""

    async def play(stranger: Stranger) -> int:
        async with stranger.connected() as line:
            assert (await stranger.signed_in(line, OWN))[0] == 200
            return (await line.post(body))[0]

    return play


def packed(coding: str) -> Callable[[Stranger], Awaitable[int]]:
    nothing = b" " * 50_000_000
    bomb = gzip.compress(nothing) if coding.endswith("gzip") else zlib.compress(nothing)
    return lambda stranger: stranger.post(bomb, Content_Encoding=coding)


def bytes_of(*pieces: bytes, pause: float = 0.0) -> Callable[[Stranger], Awaitable[int]]:
    return lambda stranger: stranger.raw(*pieces, pause=pause)


def fetch(path: str, *headers: str, method: str = "GET") -> Callable[[Stranger], Awaitable[int]]:
    """A request to the firmware host."""
    head = "\r\n".join((f"{method} {path} HTTP/1.1", "Host: fw", *headers, "", "")).encode()
    return lambda stranger: stranger.raw(head, port=stranger.product.firmware_port)


async def fetch_slowly(stranger: Stranger) -> int:
    return await stranger.raw(b"GET / HTTP/1.1\r\n", *[b"X: y\r\n"] * 60, pause=0.5, port=stranger.product.firmware_port)


async def others_link(stranger: Stranger) -> int:
    """A link that was made for one device, with another device in it."""
    grant = ImageGrant(digest="a" * 64, device_id=1, size=9, expires_s=system_clock() // 1000 + 600)
    link = sign(b"k" * 32, grant)
    return await fetch(link.replace("/1/9/", "/2/9/"))(stranger)


HEAD = b"POST /acs HTTP/1.1\r\nHost: acs\r\n"
XXE = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'
LAUGHS = b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 50_000 + b'">]><x>' + b"&a;" * 50_000 + b"</x>"
ATTRIBUTES = b"<x " + b" ".join(b'a%d="b"' % number for number in range(100_000)) + b"/>"

ATTACKS = (
    Attack("another device's serial with one's own credential", another_serial, 403, "device_identity_mismatch"),
    Attack("a Digest a second time", digest_again, 401, "digest_replayed"),
    Attack("a Digest from another address", digest_from_elsewhere, 401, "nonce_forged"),
    Attack("a guessed password", guessed_password, 401, "wrong_credentials"),
    Attack("a guessed cookie", guessed_cookie, 400, "cookie_forged"),
    Attack("a stolen cookie", stolen_cookie, 403, "cookie_stolen"),
    Attack("a cookie a second time", cookie_again, 403, "cookie_replayed"),
    Attack("an external entity", xml(XXE), 400, "dtd"),
    Attack("entities that blow up", xml(LAUGHS), 400, "dtd"),
    Attack("attributes without end", xml(ATTRIBUTES), 400, "tag_too_long"),
    Attack("elements without end", xml(b"<x>" * 1_300_000), 400, "too_many_tags"),
    Attack("elements within elements", xml(b"<x>" * 20_000 + b"</x>" * 20_000), 400, "malformed"),
    Attack("a bomb in gzip", packed("gzip"), 413, "compression_bomb"),
    Attack("a bomb in x-gzip", packed("x-gzip"), 413, "compression_bomb"),
    Attack("a bomb in deflate", packed("deflate"), 413, "compression_bomb"),
    Attack("a header that comes slowly", bytes_of(HEAD, *[b"X: y\r\n"] * 60, pause=0.5), 408, "slow_header"),
    Attack("a body that comes slowly", bytes_of(HEAD + b"Content-Length: 900\r\n\r\n", *[b"<"] * 80, pause=0.5), 408, "slow_body"),
    Attack("a header without end", bytes_of(HEAD, *[b"X-Pad: " + b"a" * 1000 + b"\r\n"] * 100), 431, "header_too_large"),
    Attack("a header line without end", bytes_of(HEAD + b"X-Pad: ", *[b"a" * 4096] * 100), 431, "header_too_large"),
    Attack("a body that says it has no end", bytes_of(HEAD + b"Content-Length: 99999999999\r\n\r\n"), 413, "body_too_large"),
    Attack(
        "chunks without end",
        bytes_of(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[b"10000\r\n" + b"a" * 65536 + b"\r\n"] * 100),
        413,
        "body_too_large",
    ),
    Attack("a path that climbs", bytes_of(b"POST /../../etc/passwd HTTP/1.1\r\nHost: acs\r\nContent-Length: 0\r\n\r\n"), 404, "path"),
    Attack(
        "two lengths, for two readers",
        bytes_of(HEAD + b"Content-Length: 4\r\nContent-Length: 40\r\n\r\nabcd"),
        400,
        "not_http",
    ),
    Attack("firmware: a path that climbs", fetch("/firmware/../../../etc/passwd"), 403, "firmware_bad_link"),
    Attack("firmware: a path that climbs, encoded", fetch("/firmware/%2e%2e/%2e%2e/etc/passwd"), 403, "firmware_bad_link"),
    Attack("firmware: a name in the place of a hash", fetch(f"/firmware/{'/' * 64}/1/9/9999999999/{'0' * 64}"), 403, "firmware_bad_link"),
    Attack("firmware: a key file", fetch("/keys/fleet.key"), 403, "firmware_bad_link"),
    Attack(
        "firmware: a signature that was guessed", fetch(f"/firmware/{'a' * 64}/1/9/9999999999/{'0' * 64}"), 403, "firmware_bad_signature"
    ),
    Attack("firmware: a link of another device", others_link, 403, "firmware_bad_signature"),
    Attack("firmware: nginx asked to check a climb", fetch("/firmware-check", "X-Original-URI: /firmware/../x"), 403, "firmware_bad_link"),
    Attack("firmware: another method", fetch("/firmware/x", method="PUT"), 405, "firmware_bad_method"),
    Attack("firmware: a header without end", fetch("/", "X-Pad: " + "a" * 20_000), 400, "firmware_header_too_large"),
    Attack("firmware: a header that comes slowly", fetch_slowly, 400, "firmware_slow_header"),
)


@pytest.fixture
def product() -> Iterator[Product]:
    with Product("acs") as product:
        asyncio.run(furnish(product))
        yield product


async def furnish(product: Product) -> None:
    """Two devices with credentials; the victim's SIP account is wanted on it."""
    async with Database(product.database_url, name="test") as db:
        fleet = FleetService(db, Sealer(FileKeys(product.folder / "keys" / FLEET_KEY)), None)
        for serial, password in ((OWN, PASSWORD), (VICTIM, "the-victims-own")):
            seen = InformSeen(
                device=inform(serial).device_id, peer_ip="127.0.3.1", lane=Lane.MANAGED, proof=Proof.NONE, at_ms=system_clock()
            )
            (admitted,) = await fleet.admit([seen])
            name = f"{OUI}-{serial}"
            ha1 = hashlib.md5(f"{name}:{REALM}:{password}".encode(), usedforsecurity=False).hexdigest()
            await fleet.put_credential(admitted.device_id, name, Secret(ha1))
        await fleet.want("test", admitted.device_id, Wish(meaning="sip.username", value=SIP_NAME), frozenset())
        await fleet.put_secret("test", admitted.device_id, "sip.password", Secret(SIP_PASSWORD))


def test_every_attack_is_refused_and_audited_and_an_honest_device_is_served(product: Product) -> None:
    async def play() -> list[int]:
        strangers = [Stranger(f"127.0.1.{place + 1}", product) for place in range(len(ATTACKS))]
        return await asyncio.gather(*(attack.play(stranger) for attack, stranger in zip(ATTACKS, strangers, strict=True)))

    statuses = asyncio.run(play())
    assert {attack.name: status for attack, status in zip(ATTACKS, statuses, strict=True)} == {
        attack.name: attack.status for attack in ATTACKS
    }
    asyncio.run(serve_an_honest_device(product))
    assert product.stop("acs") == 0, "an orderly stop writes what is still to be audited"
    audited = read_audit(product.database_url)
    missing = [attack.name for place, attack in enumerate(ATTACKS) if (f"127.0.1.{place + 1}", attack.reason) not in audited]
    assert missing == []
    assert SIP_PASSWORD not in product.log("acs")
    assert PASSWORD not in product.log("acs")
    with psycopg.connect(product.database_url) as connection:
        rows = connection.execute("select proven_name, serial_number, reason from fleet.refusals").fetchall()
    assert rows == [(f"{OUI}-{OWN}", VICTIM, "identity_mismatch")]


async def serve_an_honest_device(product: Product) -> None:
    stranger = Stranger("127.0.3.1", product)
    async with stranger.connected() as line:
        assert (await stranger.signed_in(line, OWN))[0] == 200
        assert (await line.post(b""))[0] == 204


def read_audit(url: str) -> set[tuple[str, str]]:
    """Address and reason of every refusal."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("select subject, detail from access.audit where action = 'device.refused'").fetchall()
    return {(subject, (detail if isinstance(detail, dict) else msgspec.json.decode(detail))["reason"]) for subject, detail in rows}
