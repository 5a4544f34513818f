"""TLS of the front: sessions one after the other, a device that is quick, its certificate's name, and who is refused."""

import asyncio
import contextlib
import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.integration.acs.test_front import HEAD, PATIENCE, Served, looped, serving

REQUEST = HEAD + b"Content-Length: 3\r\n\r\none"
LAST = HEAD + b"Connection: close\r\nContent-Length: 3\r\n\r\ntwo"


def certificate(folder: Path, *names: str) -> tuple[Path, Path]:
    """A self-signed certificate with these common names, and its key."""
    key, now, day = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC), dt.timedelta(days=1)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each) for each in names])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    made = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256())
    files = folder / f"{names[0]}.crt", folder / f"{names[0]}.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return files


def server(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(folder, "localhost"))
    return context


def device(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = version
    return context


async def session(served: Served, context: ssl.SSLContext) -> None:
    """Two requests on a connection of their own, as Inform and empty POST are."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await served.connect(context=context)
        writer.write(REQUEST)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert (await reader.readexactly(4))[:3] == b"one"
        writer.write(LAST)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await reader.read() == b"two|"
        writer.close()


@looped
async def test_a_device_that_says_goodbye_is_let_go_at_once(tmp_path: Path) -> None:
    async with serving(server(tmp_path)) as served:
        async with asyncio.timeout(PATIENCE):
            for _ in range(5):
                _, writer = await served.connect(context=device())
                writer.close()
                await writer.wait_closed()
            while served.front.connections:
                await asyncio.sleep(0.01)
        assert served.refusals == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@looped
async def test_many_sessions_at_once_and_one_after_the_other(tmp_path: Path, version: ssl.TLSVersion) -> None:
    async with serving(server(tmp_path)) as served:
        context = device(version)
        for _ in range(10):
            await asyncio.gather(*(session(served, context) for _ in range(8)))
        assert served.refusals == []
        assert all(caller.tls for caller in served.callers)


@looped
async def test_a_hello_that_comes_with_the_connection_is_not_lost(tmp_path: Path) -> None:
    """By hand, and byte by byte: the handshake may come in any pieces and at any moment."""
    async with serving(server(tmp_path)) as served:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = device().wrap_bio(incoming, outgoing)
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    for byte in outgoing.read():
                        writer.write(bytes([byte]))
                        await writer.drain()
                    incoming.write(await reader.read(65536))
            tls.write(LAST)
            writer.write(outgoing.read())  # The end of the handshake and the request in one piece.
            answer = b""
            while piece := await reader.read(65536):
                incoming.write(piece)
                with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                    while part := tls.read(65536):
                        answer += part
            assert answer.endswith(b"two|")
        writer.close()


@looped
async def test_the_name_in_a_devices_certificate_is_told_and_a_strangers_is_refused(tmp_path: Path) -> None:
    mine, strange = certificate(tmp_path, "00040E-S1"), certificate(tmp_path, "00040E-S2")
    context = server(tmp_path)
    context.load_verify_locations(mine[0])
    context.verify_mode = ssl.CERT_REQUIRED
    async with serving(context) as served:
        known, unknown = device(), device()
        known.load_cert_chain(*mine)
        unknown.load_cert_chain(*strange)
        await session(served, known)
        assert {caller.certificate_name for caller in served.callers} == {"00040E-S1"}
        with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
            await served.talk(LAST, context=unknown)
        assert served.reasons == ["tls_handshake"]
        assert len(served.callers) == 2, "no handler heard the stranger"


@looped
async def test_a_certificate_with_two_names_has_none(tmp_path: Path) -> None:
    double = certificate(tmp_path, "00040E-S1", "00040E-S2")
    context = server(tmp_path)
    context.load_verify_locations(double[0])
    context.verify_mode = ssl.CERT_REQUIRED
    async with serving(context) as served:
        known = device()
        known.load_cert_chain(*double)
        await session(served, known)
        assert {caller.certificate_name for caller in served.callers} == {""}


@looped
async def test_what_is_no_tls_and_what_never_ends_its_handshake_is_cut(tmp_path: Path) -> None:
    async with serving(server(tmp_path), handshake_seconds=0.5) as served:
        assert b"HTTP/1.1" not in await served.talk(LAST)
        assert await served.talk(b"\x16\x03\x01") == b""
        assert served.reasons == ["tls_handshake", "slow_handshake"]
        assert served.callers == []
