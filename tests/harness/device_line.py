"""A device's connection to the ACS byte by byte, for tests that look at each answer: a status, headers, a body."""

import asyncio

from ringfence.base.secret import Secret
from ringfence.protocols import digest
from ringfence.protocols.cwmp.messages import DeviceId, Event, Inform, ParameterValue

PATIENCE = 60.0
OUI = "00040E"


class Line:
    """A connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def write(self, data: bytes) -> bool:
        """Whether it could still be written."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            return False
        return True

    async def status(self) -> int:
        """Of the answer that comes; 0 when the connection was cut without one."""
        try:
            async with asyncio.timeout(PATIENCE):
                first = await self._reader.readuntil(b"\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            return 0
        return int(first.split()[1])

    async def post(self, body: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (names in lower case) and body of the answer."""
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        head = "\r\n".join(["POST /acs HTTP/1.1", "Host: acs", f"Content-Length: {len(body)}", *lines])
        await self.write(head.encode() + b"\r\n\r\n" + body)
        try:
            async with asyncio.timeout(PATIENCE):
                first, *rest = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                found = {name.lower(): value.strip() for name, _, value in (entry.partition(":") for entry in rest if entry)}
                return int(first.split()[1]), found, await self._reader.readexactly(int(found.get("content-length", "0")))
        except (ConnectionError, asyncio.IncompleteReadError):
            return 0, {}, b""


def answered(challenge: str, name: str, password: str) -> str:
    """Digest credentials for a challenge."""
    parsed = digest.parse_challenge(challenge)
    return digest.answer(parsed, username=name, password=Secret(password), method="POST", uri="/acs", cnonce="c0ffee")


def inform(serial: str, *parameters: ParameterValue, event: str = "2 PERIODIC") -> Inform:
    """An Inform of a device of one model."""
    return Inform(
        device_id=DeviceId(manufacturer="AVM", oui=OUI, product_class="FRITZ", serial_number=serial),
        events=(Event(event, ""),),
        current_time="2026-11-23T02:00:00Z",
        parameters=(ParameterValue("InternetGatewayDevice.DeviceInfo.SoftwareVersion", "8.20"), *parameters),
    )
