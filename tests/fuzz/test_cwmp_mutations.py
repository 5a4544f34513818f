"""Mutated CWMP bodies, STUN datagrams and digest headers, as an attacker or a broken device would send them: only PeerError leaves.

Every body is given to a reader, to a session of the ACS in each state, and to a device. What is read of a device can be written again.
3,000 in the ordinary run, 300,000 under `make soak`.
"""

import random
import re
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ringfence.base.errors import PeerError
from ringfence.base.secret import Secret
from ringfence.protocols import digest, stun
from ringfence.protocols.cwmp import AcsConnection, DeviceConnection, SecretNames, build, built_in, parse, redacted
from ringfence.protocols.cwmp import messages as m
from ringfence.protocols.cwmp.layout import FROM_ACS
from ringfence.protocols.cwmp.messages import Envelope

CORPUS = Path(__file__).parents[1] / "corpus" / "cwmp"
SHARED = Path(__file__).parents[3] / "shared" / "data" / "cwmp-messages"
SEED = 69
TABLE = built_in()
SECRETS = SecretNames()
PIECES = (
    b"<", b">", b"</", b"/>", b"&", b"&#0;", b"&#x110000;", b"&lt;", b"<!--", b"-->", b"<![CDATA[", b"]]>", b"<?x ?>", b"<!DOCTYPE a>", b"\0",
    b"\xff", b"\xef\xbf\xbf", b"\xed\xa0\x80", b'"', b"=", b" xmlns=''", b"xmlns:cwmp='urn:dslforum-org:cwmp-1-9'", b"cwmp:", b":", b"-1",
    b"99999999999999999999", b"\xd9\xa3", b"\xe2\x80\xa8", b'<?xml version="1.0" encoding="iso-8859-1"?>', b"<Name/>", b"<Value><b/></Value>",
    b"<FaultStruct><FaultStruct/></FaultStruct>", b"<a>" * 300, b"<s:Body>", b"Fault", b"Response",
)  # fmt: skip
CHARSETS = ("", "utf-8", "iso-8859-1", "windows-1252", "utf-16", "latin1", "\xff", "x" * 100)


def seeds() -> list[bytes]:
    kinds = (*m.AcsRequest.__args__, *m.DeviceResponse.__args__, *m.DeviceRequest.__args__)
    whole = [kind() for kind in kinds if kind not in {m.AddObject, m.DeleteObject, m.RequestDownload}]
    whole += [m.AddObject("Device.A."), m.DeleteObject("Device.A.1."), m.RequestDownload("1 F", (m.Argument("a", "b"),))]
    written = [build(Envelope(message, "1", "1-2")) for message in whole]
    written.append(build(Envelope(m.Fault(9003, "x", (m.ParameterFault("Device.A", 9007, "y"),)), "1")))
    return written + [file.read_bytes() for folder in (CORPUS, SHARED) for file in sorted(folder.glob("*.xml"))]


def mutated(chance: random.Random, original: bytes, other: bytes) -> bytes:
    """One to four damages: bytes changed, removed, doubled, cut, or a piece put in."""
    if chance.random() < 0.4:
        return swapped(chance, original)
    raw = bytearray(original)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(raw) + 1)
        match chance.randrange(7):
            case 0 if raw:
                raw[at % len(raw)] = chance.randrange(256)
            case 1:
                del raw[at : at + chance.randint(1, 60)]
            case 2:
                raw[at:at] = raw[at : at + chance.randint(1, 300)]
            case 3 if chance.random() < 0.2:
                del raw[at:]
            case 4:
                start = chance.randrange(len(other))
                raw[at:at] = other[start : start + chance.randint(1, 300)]
            case _:
                raw[at:at] = chance.choice(PIECES)
    return bytes(raw)


def swapped(chance: random.Random, original: bytes) -> bytes:
    """Well-formed damage: another text, an element twice, gone, or under another name."""
    parts = re.split(rb"(<[A-Za-z]+>[^<]*</[A-Za-z]+>)", original)
    for at in range(1, len(parts), 2):
        if chance.random() > 2 / len(parts):
            continue
        name = re.sub(rb"<([A-Za-z]+)>.*", rb"\1", parts[at], flags=re.DOTALL)
        text = chance.choice(
            [b"", b" 1 ", b"-7", b"x" * 70_000, b"y" * 1_500, "é\u2028".encode(), b"9" * 12, b"true", b"<z>1</z>", b"&#13;"]
        )
        other = chance.choice([name, name, b"Value", b"Name", b"Fault", b"FaultStruct", b"ParameterList", b"Event"])
        parts[at] = chance.choice([b"", parts[at] * 2, b"<" + other + b">" + text + b"</" + other + b">"])
    return b"".join(parts)


def sessions(chance: random.Random) -> tuple[Any, ...]:
    """A session in any of its states, from either side."""
    acs, device = AcsConnection(TABLE), DeviceConnection()
    inform = device.start(m.Inform(m.DeviceId("M", "00147F", "SpeedTouch", "S")))
    steps = chance.randrange(4)
    if steps:
        acs.receive(inform)
        device.receive(acs.respond(m.InformResponse()))
    if steps > 1:
        acs.receive(device.hand_over())
    if steps > 2:
        acs.ask(m.GetParameterValues(("Device.",)) if chance.random() < 0.5 else m.Reboot("k"))
    return acs, device


def rewritten(message: Any) -> Any:
    """The message as it reads after it was written: texts for people are shortened, times that are none are the unknown one."""
    return parse(build(Envelope(message))).message


def run(count: int) -> Counter[str]:
    """Feed that many bodies; count what became of them."""
    outcomes: Counter[str] = Counter()
    chance, originals = random.Random(SEED), seeds()
    for number in range(count):
        body = mutated(chance, chance.choice(originals), chance.choice(originals))
        charset = chance.choice(CHARSETS) if chance.random() < 0.2 else ""
        where = f"body {number} of seed {SEED}"
        try:
            envelope = parse(body, charset)
        except PeerError as error:
            outcomes[error.reason] += 1
        else:
            outcomes["read"] += 1
            redacted(envelope.message, SECRETS)
            # What the ACS sends may break the schema by now, and is refused then; what a device sends is always written again.
            if type(envelope.message) not in FROM_ACS and not isinstance(envelope.message, m.UnknownMessage):
                again = rewritten(envelope.message)
                assert type(again) is type(envelope.message), where
                assert rewritten(again) == again, where
        for side in sessions(chance):
            with suppress(PeerError):
                side.receive(body, charset)
        with suppress(PeerError):
            stun.decode_request(body[:200])
        with suppress(PeerError):
            digest.verify("Digest " + body[:300].decode("latin-1"), ha1=Secret("x"), method="POST")
    assert "unspecified" not in outcomes
    return outcomes


def test_mutated_bodies_raise_only_peer_error() -> None:
    outcomes = run(3_000)
    assert outcomes["read"] > 200
    assert outcomes["malformed"] > 200
    assert len(outcomes) >= 5


@pytest.mark.soak
def test_many_mutated_bodies_raise_only_peer_error() -> None:
    assert run(300_000)["read"] > 20_000


def test_random_bytes_are_never_read() -> None:
    chance = random.Random(SEED)
    for _ in range(2_000):
        with pytest.raises(PeerError):
            parse(chance.randbytes(chance.randrange(300)), chance.choice(CHARSETS))
