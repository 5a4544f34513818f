"""The far end of calls: a gateway that answers (or refuses, or only rings) and remembers who was called.

It keeps a count of requests by method and the Request-URIs of INVITEs, so a test can say "this call arrived" and "that one did not".
"""

import asyncio
from collections import Counter
from types import TracebackType
from typing import Self, cast

from ringfence.base.errors import PeerError
from ringfence.base.ids import new_token
from ringfence.simulators.wire import Message, read, write

MAX_REMEMBERED = 100_000
"""INVITEs whose Request-URI is kept."""


class Answerer(asyncio.DatagramProtocol):
    """Answers INVITE with `status_code` (0: rings for ever), everything else with 200."""

    def __init__(self, status_code: int = 200) -> None:
        self.status_code = status_code
        self.address = ("", 0)
        self.received: Counter[str] = Counter()
        self.invites: list[Message] = []
        """INVITEs without retransmissions, in order."""
        self._seen: set[str] = set()
        self._ringing: dict[str, tuple[Message, tuple[str | int, ...]]] = {}
        self._transport: asyncio.DatagramTransport | None = None

    @classmethod
    async def open(cls, *, status_code: int = 200, address: str = "127.0.0.1", port: int = 0) -> Self:
        """Bind; port 0 takes a free one."""
        loop = asyncio.get_running_loop()
        transport, answerer = await loop.create_datagram_endpoint(lambda: cls(status_code), local_addr=(address, port))
        host, bound = transport.get_extra_info("sockname")[:2]
        answerer.address = (host, bound)
        return answerer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        # The transport of Python 3.11 is one in deed, not by inheritance.
        self._transport = cast("asyncio.DatagramTransport", transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()

    def was_called(self, text: str) -> bool:
        """Whether an INVITE arrived whose Request-URI or To holds the text."""
        return any(text in invite.request_uri or text in invite.first("to") for invite in self.invites)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        """Answer one request."""
        try:
            request = read(data)
        except PeerError:
            return
        if request.status_code:
            return
        self.received[request.method] += 1
        if request.method == "INVITE":
            self._invited(request, addr)
        elif request.method == "CANCEL":
            self._answer(request, 200, addr)
            ringing = self._ringing.pop(request.branch, None)
            if ringing is not None:
                self._answer(ringing[0], 487, ringing[1])
        elif request.method != "ACK":
            self._answer(request, 200, addr)

    def _invited(self, invite: Message, addr: tuple[str | int, ...]) -> None:
        if invite.branch not in self._seen and len(self.invites) < MAX_REMEMBERED:
            self._seen.add(invite.branch)
            self.invites.append(invite)
        if self.status_code == 0:
            self._ringing[invite.branch] = (invite, addr)
            self._answer(invite, 180, addr)
        else:
            self._answer(invite, self.status_code, addr)

    def _answer(self, request: Message, status_code: int, addr: tuple[str | int, ...]) -> None:
        phrase = {180: "Ringing", 200: "OK", 487: "Request Terminated"}.get(status_code, "Answer")
        headers = [(name, value) for name, value in request.headers if name in {"via", "from", "call-id", "cseq", "record-route"}]
        to = request.first("to")
        headers.append(("To", to if request.to_tag else f"{to};tag={new_token()[:8]}"))
        host, port = self.address
        headers.append(("Contact", f"<sip:gateway@{host}:{port}>"))
        if self._transport is not None:
            self._transport.sendto(write(f"SIP/2.0 {status_code} {phrase}", headers), addr)
