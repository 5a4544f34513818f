"""An ACS of a page for tests of devices: real sockets, Digest, cookies, and a script of requests."""

import asyncio
from collections.abc import Callable
from typing import Self

from ringfence.protocols.cwmp import AcsConnection, HandedOver, InformReceived, RequestReceived, ResponseReceived, built_in
from ringfence.protocols.cwmp.messages import (
    AcsRequest,
    AutonomousTransferComplete,
    AutonomousTransferCompleteResponse,
    Inform,
    InformResponse,
    TransferComplete,
    TransferCompleteResponse,
)
from ringfence.protocols.digest import Algorithm, Challenge, build_challenge, expected_response, hash_text, parse_credentials

Script = Callable[[Inform], list[AcsRequest]]


class TestAcs:
    """`script` says what to ask after an Inform; what came is kept."""

    __test__ = False

    def __init__(self, script: Script = lambda _inform: [], *, login: bool = False, fail: int = 0) -> None:
        self.script = script
        self.login = login
        self.fail = fail
        self.informs: list[Inform] = []
        self.answers: list[object] = []
        self.transfers: list[TransferComplete] = []
        self.autonomous: list[AutonomousTransferComplete] = []
        self.heads: list[str] = []
        self.connections = 0
        self.url = ""
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/acs"
        return self

    async def __aexit__(self, *_gone: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        talk, queue = AcsConnection(built_in()), list[AcsRequest]()
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                body = await _read_body(reader, head)
                self.heads.append(head)
                reply = self._reply(talk, queue, head, body)
                writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _reply(self, talk: AcsConnection, queue: list[AcsRequest], head: str, body: bytes) -> bytes:  # noqa: PLR0911 - one an event
        if self.fail:
            self.fail -= 1
            return _http(503, b"")
        if self.login and not _proven(head):
            challenge = build_challenge(Challenge("acs", "n0nce", "MD5", ("auth",)))
            return _http(401, b"", f"WWW-Authenticate: {challenge}\r\n")
        charset = "iso-8859-1" if "iso-8859-1" in head else ""
        event = talk.receive(body, charset)
        match event:
            case InformReceived():
                inform = event.inform
                self.informs.append(inform)
                queue.extend(self.script(inform))
                return _http(200, talk.respond(InformResponse()), "Set-Cookie: s=1; Path=/\r\n")
            case RequestReceived(TransferComplete() as request):
                self.transfers.append(request)
                return _http(200, talk.respond(TransferCompleteResponse()))
            case RequestReceived(AutonomousTransferComplete() as request):
                self.autonomous.append(request)
                return _http(200, talk.respond(AutonomousTransferCompleteResponse()))
            case ResponseReceived():
                self.answers.append(event.response)
            case HandedOver():
                pass
            case _:
                return _http(204, b"")
        if queue:
            return _http(200, talk.ask(queue.pop(0)))
        ending = talk.finish()
        return _http(ending.status_code, ending.body)


async def _read_body(reader: asyncio.StreamReader, head: str) -> bytes:
    lowered = head.lower()
    if "transfer-encoding: chunked" in lowered:
        parts = []
        while size := int(await reader.readuntil(b"\r\n"), 16):
            parts.append((await reader.readexactly(size + 2))[:-2])
        await reader.readexactly(2)
        return b"".join(parts)
    length = int(lowered.partition("content-length:")[2].partition("\r\n")[0])
    return await reader.readexactly(length)


def _proven(head: str) -> bool:
    value = head.partition("\r\nAuthorization: ")[2].partition("\r\n")[0]
    if not value:
        return False
    credentials = parse_credentials(value)
    serial = credentials.username.rpartition("-")[2]
    ha1 = hash_text(Algorithm.MD5, f"{credentials.username}:acs:{serial}")
    return f'response="{expected_response(credentials, ha1=ha1, method="POST")}"' in value


def _http(status: int, body: bytes, extra: str = "") -> bytes:
    length = "" if status == 204 else f"Content-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status} X\r\n{extra}{length}Content-Type: text/xml\r\n\r\n".encode() + body
