"""One HTTP connection request (TR-069 3.2.2): a GET with Digest, one challenge round, and nothing of the answer kept but its status.

It goes to a `Target` that the guard made, follows no redirect, reads a head of 8 KB at the most, and sends no password but inside a
Digest. The one thing to know: silence is no failure. A FRITZ!Box never answers, others begin their session first; whether a device was
woken is told by its Inform alone.
"""

import asyncio
import re
from collections.abc import Callable

from ringfence.base.errors import PeerError, UnavailableError
from ringfence.fleet.wake import Outcome, RequestCredential, Target
from ringfence.protocols import digest

HEAD_BYTES = 8 * 1024
SKIPPED_BYTES = 4 * 1024
"""So much of a challenge's body is read away to keep its connection; a longer one costs a new connection."""
MAX_HEADERS = 64
SECONDS = 5.0
"""To connect, and again for an answer."""

_status = re.compile(r"HTTP/1\.[01] ([0-9]{3})(?: |$)").match


async def knock(target: Target, credential: RequestCredential | None, *, cnonce: Callable[[], str], seconds: float = SECONDS) -> Outcome:
    """Send it. PeerError (`host_ours`) when the address turns out to be one of this machine's."""
    visit = _Visit(target, seconds)
    try:
        answer = await visit.ask("")
        if answer is not None and answer.status == 401:
            if credential is None:
                return Outcome.NO_CREDENTIAL
            answer = await visit.ask(_authorization(answer, target, credential, cnonce()))
            if answer is not None and answer.status == 401:
                return Outcome.WRONG_CREDENTIAL
    except UnavailableError:
        return Outcome.UNREACHABLE
    except PeerError as error:
        if error.reason == "host_ours":
            raise
        return Outcome.ODD
    finally:
        visit.close()
    if answer is None or answer.status in {200, 204}:
        return Outcome.SENT
    return Outcome.BUSY if answer.status == 503 else Outcome.ODD


class _Answer:
    """What is read of an answer."""

    def __init__(self, status: int, headers: list[tuple[str, str]]) -> None:
        self.status = status
        self.challenges = [value for name, value in headers if name == "www-authenticate"]
        first = dict(reversed(headers))
        length = first.get("content-length", "")
        kept = "close" not in first.get("connection", "").lower() and "transfer-encoding" not in first
        self.skip = int(length) if kept and length.isdecimal() and len(length) <= 9 else -1
        """Bytes of the body; -1 when the connection cannot be used on."""


class _DroppedError(Exception):
    """The connection ended before a byte of the answer came."""


class _Visit:
    """The connections of one connection request. Devices drop their first one, so what was dropped is sent once more on a fresh one."""

    def __init__(self, target: Target, seconds: float) -> None:
        self._target = target
        self._seconds = seconds
        self._line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, authorization: str) -> _Answer | None:
        """The answer; None for silence after the request was sent. UnavailableError when it was never sent."""
        sent = False
        for _ in range(2):
            try:
                line = self._line or await self._open()
            except UnavailableError:
                if sent:
                    return None
                raise
            self._line = line
            try:
                sent = True
                return await self._exchange(*line, authorization)
            except _DroppedError:
                self.close()
        return None

    def close(self) -> None:
        """Without waiting for the device."""
        if self._line is not None:
            self._line[1].transport.abort()
            self._line = None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with asyncio.timeout(self._seconds):
                reader, writer = await asyncio.open_connection(self._target.host, self._target.port, limit=HEAD_BYTES)
        except (OSError, TimeoutError):
            raise UnavailableError("The device does not answer.", reason="no_connection") from None
        own, peer = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
        # A connection to oneself comes from the address it goes to. In a lab, where a range names loopback, `own` of the guard looks.
        if own and peer and own[0] == peer[0] and not own[0].startswith("127."):
            writer.transport.abort()
            raise PeerError("That address is one of this machine's.", reason="host_ours")
        return reader, writer

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authorization: str) -> _Answer | None:
        writer.write(_request(self._target, authorization))
        try:
            async with asyncio.timeout(self._seconds):
                answer = _read(await reader.readuntil(b"\r\n\r\n"))
                if 0 <= answer.skip <= SKIPPED_BYTES:
                    await reader.readexactly(answer.skip)
                else:
                    self.close()
        except TimeoutError:
            self.close()
            return None
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise PeerError("What came is no whole answer.", reason="http_cut") from None
            raise _DroppedError from None
        except OSError:
            raise _DroppedError from None
        except asyncio.LimitOverrunError:
            raise PeerError("The head of the answer is too long.", reason="http_head") from None
        return answer


def _request(target: Target, authorization: str) -> bytes:
    host = f"[{target.host}]" if ":" in target.host else target.host
    authority = host if target.port == 80 else f"{host}:{target.port}"
    login = f"Authorization: {authorization}\r\n" if authorization else ""
    return f"GET {target.path} HTTP/1.1\r\nHost: {authority}\r\n{login}\r\n".encode()


def _read(head: bytes) -> _Answer:
    first, *lines = head.decode("latin-1").split("\r\n")
    found = _status(first)
    if found is None or len(lines) > MAX_HEADERS + 2:
        raise PeerError("What came is no answer of HTTP/1.", reason="http_status")
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines if line)]
    return _Answer(int(found[1]), headers)


def _authorization(answer: _Answer, target: Target, credential: RequestCredential, cnonce: str) -> str:
    """Digest only: Basic would hand the password to whoever listens on the way."""
    challenge = next((text for text in answer.challenges if digest.is_digest(text)), "")
    if not challenge.isascii() or not challenge.isprintable():
        raise PeerError("A challenge with characters that no header has.", reason="digest_malformed")
    return digest.answer(
        digest.parse_challenge(challenge),
        username=credential.username,
        password=credential.password,
        method="GET",
        uri=target.path,
        cnonce=cnonce,
    )
