"""A capture agent: HEP datagrams of a busy SIP server with our include, made fast enough to measure whoever reads them.

Each dialog and each registration is real SIP in real HEP with the key, but written from templates: only the Call-ID, the account, the
number and the time differ. The order on the wire is that of Kamailio: the INVITE, the verdict event, then the replies.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from ringfence.base.secret import Secret
from ringfence.protocols.hep import Family, HepPacket, PayloadType, encode

_TOKEN = b"@" * 16
"""Stands for the Call-ID's own part; replaced by sixteen digits."""
_ACCOUNT = b"&" * 12
"""Stands for the account; replaced by twelve digits."""
_NUMBER = b"~" * 12
"""Stands for the called number; replaced by twelve digits."""
_TIME = b"\x00\x00\x00\x09\x00\x0a"
"""The head of the HEP chunk of the seconds (generic vendor, type 9, length 10)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Who sends: the HEP key, the name of the edge in the verdict events, and the SIP server's own address."""

    key: Secret
    edge: str = "kamailio-1"
    address: str = "192.0.2.1"
    capture_id: int = 1


class Template:
    """A HEP packet with holes for Call-ID, account, number and time; `fill` costs about a microsecond."""

    def __init__(self, agent: Agent, payload: bytes, *, outgoing: bool, payload_type: int = PayloadType.SIP) -> None:
        caller, server = ("198.51.100.7", 5060), (agent.address, 5060)
        source, destination = (server, caller) if outgoing else (caller, server)
        packet = HepPacket(
            family=Family.IPV4,
            transport=17,
            source_ip=source[0],
            source_port=source[1],
            destination_ip=destination[0],
            destination_port=destination[1],
            seconds=0,
            microseconds=0,
            payload_type=payload_type,
            payload=payload,
            capture_id=agent.capture_id,
            auth_key=agent.key,
        )
        frame = encode(packet)
        place = frame.index(_TIME) + len(_TIME)
        self._before = frame[:place]
        self._between = frame[place + 4 : place + 10]
        self._after = frame[place + 14 :]

    def fill(self, at_us: int, token: bytes, account: bytes, number: bytes) -> bytes:
        """The datagram at a time (Unix microseconds), with the sixteen, twelve and twelve bytes that fill the holes."""
        seconds, microseconds = divmod(at_us, 1_000_000)
        tail = self._after.replace(_TOKEN, token).replace(_ACCOUNT, account).replace(_NUMBER, number)
        return b"".join((self._before, seconds.to_bytes(4), self._between, microseconds.to_bytes(4), tail))


def _message(first_line: str, cseq: str, extra: str = "", *, to_tag: bool = False) -> bytes:
    account, token, number = _ACCOUNT.decode(), _TOKEN.decode(), _NUMBER.decode()
    to = f"<sip:{number}@sip.example.net>" if "REGISTER" not in cseq else f"<sip:{account}@sip.example.net>"
    return (
        f"{first_line}\r\n"
        f"Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK{token}{cseq[:1]};rport\r\n"
        f"From: <sip:{account}@sip.example.net>;tag=f{token}\r\n"
        f"To: {to}{f';tag=t{token}' if to_tag else ''}\r\n"
        f"Call-ID: {token}@198.51.100.7\r\n"
        f"CSeq: {cseq}\r\n"
        "Max-Forwards: 70\r\n"
        "User-Agent: HomeBox 7590 (8.20)\r\n"
        f"{extra}"
        "Content-Length: 0\r\n\r\n"
    ).encode()


def _credentials(method: str) -> str:
    account, number = _ACCOUNT.decode(), _NUMBER.decode()
    header = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
    uri = "sip:sip.example.net" if method == "REGISTER" else f"sip:{number}@sip.example.net"
    return (
        f'{header}: Digest username="{account}", realm="sip.example.net", nonce="Z1a2b3c4d5e6f7a8b9c0d1e2f3a4b5c6", uri="{uri}", '
        'response="0123456789abcdef0123456789abcdef", algorithm=MD5, qop=auth, nc=00000001, cnonce="0a4f113b"\r\n'
    )


def _verdict(agent: Agent, method: str) -> bytes:
    account, token, number = _ACCOUNT.decode(), _TOKEN.decode(), _NUMBER.decode()
    return json.dumps(
        {
            "v": 1,
            "event": "auth",
            "edge": agent.edge,
            "at_s": 0,
            "at_us": 0,
            "call_id": f"{token}@198.51.100.7",
            "from_tag": f"f{token}",
            "to_tag": "",
            "cseq": 2,
            "method": method,
            "account": account,
            "realm": "sip.example.net",
            "code": 1,
            "credential": "new",
            "peer_ip": "198.51.100.7",
            "peer_port": 5060,
            "request_uri": f"sip:{number}@sip.example.net" if method == "INVITE" else "sip:sip.example.net",
            "user_agent": "HomeBox 7590 (8.20)",
        }
    ).encode()


def call_templates(agent: Agent) -> tuple[Template, ...]:
    """One answered call as the edge mirrors it: INVITE, its verdict, 100, 180, 200, ACK, BYE, 200."""
    number = _NUMBER.decode()
    uri = f"sip:{number}@sip.example.net"
    contact = "Contact: <sip:gateway@192.0.2.9:5060>\r\n"
    return (
        Template(agent, _message(f"INVITE {uri} SIP/2.0", "2 INVITE", _credentials("INVITE")), outgoing=False),
        Template(agent, _verdict(agent, "INVITE"), outgoing=False, payload_type=PayloadType.LOG),
        Template(agent, _message("SIP/2.0 100 Trying", "2 INVITE"), outgoing=True),
        Template(agent, _message("SIP/2.0 180 Ringing", "2 INVITE", contact, to_tag=True), outgoing=True),
        Template(agent, _message("SIP/2.0 200 OK", "2 INVITE", contact, to_tag=True), outgoing=True),
        Template(agent, _message(f"ACK {uri} SIP/2.0", "2 ACK", to_tag=True), outgoing=False),
        Template(agent, _message(f"BYE {uri} SIP/2.0", "3 BYE", to_tag=True), outgoing=False),
        Template(agent, _message("SIP/2.0 200 OK", "3 BYE", to_tag=True), outgoing=True),
    )


def registration_templates(agent: Agent) -> tuple[Template, ...]:
    """One refreshed registration: REGISTER with credentials, its verdict and the 200."""
    contact = f"Contact: <sip:{_ACCOUNT.decode()}@198.51.100.7:5060>;expires=3600\r\n"
    return (
        Template(agent, _message("REGISTER sip:sip.example.net SIP/2.0", "2 REGISTER", _credentials("REGISTER") + contact), outgoing=False),
        Template(agent, _verdict(agent, "REGISTER"), outgoing=False, payload_type=PayloadType.LOG),
        Template(agent, _message("SIP/2.0 200 OK", "2 REGISTER", contact, to_tag=True), outgoing=True),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What a stream is made of. `registrations` refreshes stand beside each call; accounts and calls at a time are bounded."""

    accounts: int = 200_000
    calls_at_a_time: int = 2_000
    registrations: int = 4


def mixed_stream(agent: Agent, mix: Mix, first_call: int = 0) -> Iterator[tuple[Template, bytes, bytes, bytes]]:
    """Endless `(template, token, account, number)`; dialogs go in step, so that an answer lies far from its INVITE."""
    call, registration = call_templates(agent), registration_templates(agent)
    number_of = first_call
    while True:
        group = range(number_of, number_of + mix.calls_at_a_time)
        number_of += mix.calls_at_a_time
        for step, template in enumerate(call):
            for index in group:
                token, account = b"%016d" % index, b"4930%08d" % (index * 7_919 % mix.accounts)
                yield template, token, account, b"4989%08d" % (index * 104_729 % 100_000_000)
                if step < mix.registrations:
                    refresh = b"%08d%08d" % (step + 1, index % 100_000_000)
                    for part in registration:
                        yield part, refresh, b"4930%08d" % ((index * mix.registrations + step) % mix.accounts), b"0" * 12
