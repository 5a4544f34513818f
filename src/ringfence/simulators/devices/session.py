"""One session of a device: a TCP connection, HTTP with its logins and cookies, and the conversation of CWMP over it."""

import base64
import gzip
from typing import TYPE_CHECKING, TypeAlias

from ringfence.base.errors import PeerError, UnavailableError
from ringfence.protocols.cwmp import Answered, Asked, DeviceConnection, Informed, OneMore, SessionEnded
from ringfence.protocols.cwmp.messages import FactoryReset, Fault, Reboot
from ringfence.protocols.digest import Challenge, is_digest, parse_challenge
from ringfence.protocols.digest import answer as digest_answer
from ringfence.simulators.devices.answers import answer
from ringfence.simulators.devices.behaviour import Oddity, chunks, distort
from ringfence.simulators.devices.wire import HttpConnection, Reply, connect, target_of

if TYPE_CHECKING:
    from ringfence.simulators.devices.device import Device

MAX_ROUNDS = 10_000
Order: TypeAlias = Reboot | FactoryReset


async def run_session(device: "Device", after: list[Order]) -> None:
    """From Inform to the end. What is to be done afterwards is added to `after`. PeerError or UnavailableError when it failed."""
    post = Poster(device)
    try:
        talk = DeviceConnection()
        body = talk.start(device.inform())
        for _round in range(MAX_ROUNDS):
            reply = await post(body)
            event = talk.receive(reply.body, _charset(reply))
            match event:
                case SessionEnded(fault):
                    if fault is not None:
                        raise PeerError("The ACS refused the Inform.", reason="inform_refused")
                    return
                case OneMore():
                    body = talk.hand_over()
                    continue
                case Asked(request):
                    answered = answer(device, request)
                    body = talk.answer(answered)
                    if isinstance(request, Order) and not isinstance(answered, Fault):
                        after.append(request)
                    continue
                case Informed():
                    device.informed()
                case Answered():
                    device.acknowledged()
                    if Oddity.LEAVES_AFTER_TRANSFER in device.world.settings.behaviour.oddities:
                        return
            body = talk.send(device.told[0]) if device.told else talk.hand_over()
        raise PeerError("The ACS does not come to an end.", reason="endless_session")
    finally:
        post.close()


class Poster:
    """POSTs of one session."""

    __slots__ = ("_challenge", "_connection", "_cookies", "_count", "_device", "_odd", "_target", "_tls")

    def __init__(self, device: "Device") -> None:
        self._device = device
        self._odd = device.world.settings.behaviour.oddities
        self._target = target_of(device.acs)
        self._tls = device.world.tls_of(device.identity.serial_number) if self._target.secure else None
        self._connection: HttpConnection | None = None
        self._challenge: Challenge | str | None = None
        self._cookies: dict[str, str] = {}
        self._count = 0

    async def __call__(self, body: bytes) -> Reply:
        """The answer to a body, after a login if one is asked for."""
        body = distort(body, self._odd)
        if body and Oddity.GZIP in self._odd:
            body = gzip.compress(body, 1)
        reply = await self._once(body)
        for _login in range(2):  # The second for a nonce that is stale.
            if reply.status != 401:
                break
            self._challenge = _challenge_of(reply)
            self._count = 0
            if Oddity.RECONNECT_AFTER_401 in self._odd:
                self.close()
            reply = await self._once(body)
        if reply.status not in {200, 204}:
            kind = UnavailableError if reply.status >= 500 else PeerError
            raise kind(f"The ACS answered {reply.status}.", reason=f"http_{reply.status}")
        if Oddity.NO_XML_DECLARATION in self._odd and reply.body.startswith(b"<?xml"):
            raise PeerError("A body that begins with an XML declaration is not understood.", reason="xml_declaration")
        return reply

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _once(self, body: bytes) -> Reply:
        if self._connection is None:
            world = self._device.world
            self._connection = await connect(self._target, self._tls, world.source_of(self._device.index))
            world.count("connections")
        chunked = Oddity.CHUNKED in self._odd and bool(body)
        reply = await self._connection.post(self._head(body, chunked=chunked), chunks(body) if chunked else body)
        for line in reply.headers.get("set-cookie", "").split("\n"):
            name, equals, value = line.partition(";")[0].partition("=")
            if equals:
                self._cookies[name.strip()] = value.strip()
        if reply.closes or Oddity.RECONNECTS in self._odd:
            self.close()
        return reply

    def _head(self, body: bytes, *, chunked: bool) -> bytes:
        target = self._target
        lines = [f"POST {target.path} HTTP/1.1", f"Host: {target.authority}", "User-Agent: ringfence-simulate"]
        if body:
            charset = "iso-8859-1" if Oddity.LATIN_1 in self._odd else "utf-8"
            lines += [f'Content-Type: text/xml; charset="{charset}"', 'SOAPAction: ""']
            if Oddity.GZIP in self._odd:
                lines.append("Content-Encoding: gzip")
        lines.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}")
        if self._cookies and Oddity.NO_COOKIE not in self._odd:
            sent = [f"{name}={value}" for name, value in self._cookies.items()]
            lines.append("Cookie: " + (", ".join(("own=1", *sent)) if Oddity.COMMA_COOKIES in self._odd else "; ".join(sent)))
        if self._challenge is not None:
            lines.append(f"Authorization: {self._login()}")
        return "\r\n".join((*lines, "\r\n")).encode("latin-1")

    def _login(self) -> str:
        name, password = self._device.login()
        if not isinstance(self._challenge, Challenge):
            return "Basic " + base64.b64encode(f"{name}:{password.open()}".encode()).decode()
        self._count += 1
        return digest_answer(
            self._challenge,
            username=name,
            password=password,
            method="POST",
            uri=self._target.path,
            cnonce=f"{self._device.index:08x}",
            count=self._count,
        )


def _challenge_of(reply: Reply) -> Challenge | str:
    offered = reply.headers.get("www-authenticate", "").split("\n")
    for text in offered:
        if is_digest(text):
            return parse_challenge(text)
    if any(text.lower().startswith("basic") for text in offered):
        return "basic"
    raise PeerError("The ACS asks for a login that is not known.", reason="http_401")


def _charset(reply: Reply) -> str:
    for part in reply.headers.get("content-type", "").split(";")[1:]:
        name, _, value = part.strip().partition("=")
        if name.lower() == "charset":
            return value.strip('"')
    return ""
