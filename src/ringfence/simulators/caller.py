"""Telephones: they register, call, answer a digest challenge, hang up. Thousands share one UDP socket.

`CallerLine` is the socket with its transactions, `Caller` an account on it, `Call` what an INVITE became. Requests are retransmitted as
RFC 3261 17.1 says for UDP, so a lost datagram is no failed call. The one thing to know: a call that gets no final answer in time has
status code 408, as a phone would show it.
"""

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, cast

from ringfence.base.errors import PeerError
from ringfence.base.ids import new_token
from ringfence.base.secret import Secret
from ringfence.protocols import digest
from ringfence.simulators.wire import HeaderFields, Message, read, uri_of, write

T1_SECONDS = 0.5
ANSWER_SECONDS = 8.0
"""A request without a final answer for so long has failed."""
TIMED_OUT = 408


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The final answer to a request."""

    status_code: int
    phrase: str
    reason: str
    """The Reason header field (RFC 3326), whole; empty when there is none."""
    message: Message | None
    """None when nothing came in time."""


class CallerLine(asyncio.DatagramProtocol):
    """One UDP socket towards a proxy, shared by any number of callers."""

    def __init__(self, proxy: tuple[str, int]) -> None:
        self.proxy = proxy
        self.address = ("", 0)
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: dict[tuple[str, str], asyncio.Queue[Message]] = {}
        self._confirmed: dict[str, bytes] = {}

    @classmethod
    async def open(cls, proxy: tuple[str, int], *, address: str = "127.0.0.1") -> Self:
        """Bind a free port of a loopback address."""
        loop = asyncio.get_running_loop()
        transport, line = await loop.create_datagram_endpoint(lambda: cls(proxy), local_addr=(address, 0))
        host, port = transport.get_extra_info("sockname")[:2]
        line.address = (host, port)
        return line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the socket."""
        # The transport of Python 3.11 is one in deed, not by inheritance.
        self._transport = cast("asyncio.DatagramTransport", transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; what is still waiting times out."""
        if self._transport is not None:
            self._transport.close()

    def send(self, data: bytes) -> None:
        """Send bytes to the proxy as they are."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.sendto(data, self.proxy)

    async def transact(self, method: str, uri: str, headers: HeaderFields, *, branch: str) -> Answer:
        """Send a request and wait for its final answer; a refused INVITE is acknowledged here (RFC 3261 17.1.1.3)."""
        queue: asyncio.Queue[Message] = asyncio.Queue()
        self._waiting[branch, method] = queue
        request = write(f"{method} {uri} SIP/2.0", headers)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                final = await self._final(request, queue)
        except TimeoutError:
            return Answer(status_code=TIMED_OUT, phrase="Request Timeout", reason="", message=None)
        finally:
            del self._waiting[branch, method]
        if method == "INVITE" and final.status_code >= 300:
            kept = tuple((name, value) for name, value in headers if name in {"Via", "From", "Call-ID", "Max-Forwards", "Route"})
            number = final.first("cseq").partition(" ")[0]
            self.send(write(f"ACK {uri} SIP/2.0", (*kept, ("To", final.first("to")), ("CSeq", f"{number} ACK"))))
        return Answer(status_code=final.status_code, phrase=final.phrase, reason=final.first("reason"), message=final)

    def confirm(self, call_id: str, acknowledgement: bytes) -> None:
        """Send the ACK of a 2xx, and again whenever that 2xx is retransmitted."""
        self._confirmed[call_id] = acknowledgement
        self.send(acknowledgement)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        """Hand an answer to its transaction; say 200 to whatever request arrives (BYE of the other side, OPTIONS)."""
        try:
            message = read(data)
        except PeerError:
            return
        if message.status_code:
            queue = self._waiting.get((message.branch, message.method))
            if queue is not None:
                queue.put_nowait(message)
            elif message.method == "INVITE" and 200 <= message.status_code < 300 and message.first("call-id") in self._confirmed:
                self.send(self._confirmed[message.first("call-id")])
        elif message.method != "ACK" and self._transport is not None:
            copied = [(name, value) for name, value in message.headers if name in {"via", "from", "to", "call-id", "cseq"}]
            self._transport.sendto(write("SIP/2.0 200 OK", copied), addr)

    async def _final(self, request: bytes, queue: asyncio.Queue[Message]) -> Message:
        interval = T1_SECONDS
        self.send(request)
        provisional = False
        while True:
            try:
                async with asyncio.timeout(None if provisional else interval):
                    message = await queue.get()
            except TimeoutError:
                self.send(request)
                interval *= 2
                continue
            if message.status_code >= 200:
                return message
            provisional = True


@dataclass(slots=True, kw_only=True)
class Call:
    """What an INVITE became. `answer.status_code` 200: it runs until `hang_up`."""

    caller: "Caller"
    request_uri: str
    call_id: str
    from_tag: str
    answer: Answer
    cseq: int
    routes: tuple[str, ...] = ()
    target: str = ""
    to: str = ""

    async def invite_again(self) -> Answer:
        """A re-INVITE (RFC 3261 14.1), as for hold or a session timer."""
        return await self._within("INVITE")

    async def hang_up(self) -> Answer:
        """BYE."""
        return await self._within("BYE")

    async def _within(self, method: str) -> Answer:
        self.cseq += 1
        headers, branch = self.caller.fields(
            method, call_id=self.call_id, from_tag=self.from_tag, to=self.to, cseq=self.cseq, routes=self.routes
        )
        answer = await self.caller.line.transact(method, self.target, headers, branch=branch)
        if method == "INVITE" and 200 <= answer.status_code < 300:
            self.acknowledge()
        return answer

    def acknowledge(self) -> None:
        """ACK of the 2xx, a transaction of its own along the route set."""
        headers, _ = self.caller.fields("ACK", call_id=self.call_id, from_tag=self.from_tag, to=self.to, cseq=self.cseq, routes=self.routes)
        self.caller.line.confirm(self.call_id, write(f"ACK {self.target} SIP/2.0", headers))


@dataclass(slots=True)
class Caller:
    """An account on a line. `domain` is the proxy's, in From and in numbers that are no whole URI."""

    line: CallerLine
    account: str
    password: str = field(repr=False)
    domain: str
    user_agent: str = "Ringfence-Caller"

    async def invite(
        self, number: str, *, credentials: bool = True, call_id: str = "", ring_seconds: float | None = None, extra: HeaderFields = ()
    ) -> Call:
        """Call a number or a whole URI (`sip:`, `tel:`, `urn:`) and wait for the final answer.

        Without `credentials` a challenge is the final answer. With `ring_seconds` the caller gives up after them (CANCEL).
        """
        uri = number if number.startswith(("sip:", "sips:", "tel:", "urn:")) else f"sip:{number}@{self.domain}"
        call_id = call_id or new_token()
        from_tag = new_token()[:10]
        answer = await self._try("INVITE", uri, call_id, from_tag, 1, extra, ring_seconds=ring_seconds)
        cseq = 1
        authorization = self._authorization(answer, "INVITE", uri) if credentials else None
        if authorization is not None:
            cseq = 2
            answer = await self._try("INVITE", uri, call_id, from_tag, cseq, (authorization, *extra), ring_seconds=ring_seconds)
        call = Call(caller=self, request_uri=uri, call_id=call_id, from_tag=from_tag, answer=answer, cseq=cseq)
        if answer.message is not None and 200 <= answer.status_code < 300:
            recorded = [value.strip() for row in answer.message.all("record-route") for value in row.split(",")]
            call.routes = tuple(reversed(recorded))
            call.target = uri_of(answer.message.first("contact")) or uri
            call.to = answer.message.first("to")
            call.acknowledge()
        return call

    async def register(self, *, expires: int = 3600) -> Answer:
        """REGISTER at the domain, answering the challenge."""
        return await self.request("REGISTER", f"sip:{self.domain}", extra=(("Expires", str(expires)),))

    async def request(self, method: str, uri: str, *, credentials: bool = True, extra: HeaderFields = ()) -> Answer:
        """Any request outside a call."""
        call_id, from_tag = new_token(), new_token()[:10]
        answer = await self._try(method, uri, call_id, from_tag, 1, extra)
        authorization = self._authorization(answer, method, uri) if credentials else None
        if authorization is None:
            return answer
        return await self._try(method, uri, call_id, from_tag, 2, (authorization, *extra))

    def fields(
        self, method: str, *, call_id: str, from_tag: str, to: str, cseq: int, routes: tuple[str, ...] = (), extra: HeaderFields = ()
    ) -> tuple[HeaderFields, str]:
        """Header fields of a request and the branch of its Via."""
        host, port = self.line.address
        branch = f"z9hG4bK{new_token()[:16]}"
        given = {name.lower() for name, _ in extra}
        headers = [("Via", f"SIP/2.0/UDP {host}:{port};branch={branch};rport"), ("Max-Forwards", "70")]
        headers += [("Route", route) for route in routes]
        headers += [
            ("From", f"<sip:{self.account}@{self.domain}>;tag={from_tag}"),
            ("To", to),
            ("Call-ID", call_id),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", f"<sip:{self.account}@{host}:{port}>"),
            ("User-Agent", self.user_agent),
        ]
        return (*(row for row in headers if row[0].lower() not in given), *extra), branch

    async def _try(
        self, method: str, uri: str, call_id: str, from_tag: str, cseq: int, extra: HeaderFields, *, ring_seconds: float | None = None
    ) -> Answer:
        to = f"<sip:{self.account}@{self.domain}>" if method == "REGISTER" else f"<{uri}>"
        headers, branch = self.fields(method, call_id=call_id, from_tag=from_tag, to=to, cseq=cseq, extra=extra)
        if ring_seconds is None:
            return await self.line.transact(method, uri, headers, branch=branch)
        async with asyncio.TaskGroup() as group:
            call = group.create_task(self.line.transact(method, uri, headers, branch=branch))
            _, pending = await asyncio.wait([call], timeout=ring_seconds)
            if pending:
                # RFC 3261 9.1: the CANCEL has the branch of the request it cancels.
                kept = tuple((name, value) for name, value in headers if name in {"Via", "From", "To", "Call-ID", "Max-Forwards"})
                self.line.send(write(f"CANCEL {uri} SIP/2.0", (*kept, ("CSeq", f"{cseq} CANCEL"))))
        return call.result()

    def _authorization(self, answer: Answer, method: str, uri: str) -> tuple[str, str] | None:
        """The header field that answers a challenge; None when there is none."""
        if answer.message is None or answer.status_code not in {401, 407}:
            return None
        asked, answered = (
            ("www-authenticate", "Authorization") if answer.status_code == 401 else ("proxy-authenticate", "Proxy-Authorization")
        )
        challenge = digest.parse_challenge(answer.message.first(asked))
        value = digest.answer(
            challenge, username=self.account, password=Secret(self.password), method=method, uri=uri, cnonce=new_token()[:12]
        )
        return answered, value
