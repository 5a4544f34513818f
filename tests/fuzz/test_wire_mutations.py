"""Mutated datagrams through HEP and SIP, as an attacker or a broken agent would send them: only PeerError leaves, memory stays bounded.

20,000 in the ordinary run, a million under `make soak`. The seed is printed on failure by the assertion, so a find can be repeated.
"""

import random
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

from ringfence.base.errors import PeerError
from ringfence.protocols.hep import HepConnection, HepPacket, decode, encode
from ringfence.protocols.sip import SipMessage, Uri, parse

CORPUS = Path(__file__).parents[1] / "corpus" / "sip"
SEED = 4475
MAX_GROWTH_BYTES = 32 * 1024 * 1024


def seeds() -> list[bytes]:
    return [path.read_bytes() for path in sorted(CORPUS.glob("*.dat"))]


def mutated(chance: random.Random, original: bytes, other: bytes) -> bytes:
    """One to four damages: bytes changed, removed, doubled, cut, or a piece of another message put in."""
    raw = bytearray(original)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(raw) + 1)
        match chance.randrange(6):
            case 0 if raw:
                raw[at % len(raw)] = chance.randrange(256)
            case 1:
                del raw[at : at + chance.randint(1, 40)]
            case 2:
                raw[at:at] = raw[at : at + chance.randint(1, 200)]
            case 3:
                del raw[at:]
            case 4:
                start = chance.randrange(len(other))
                raw[at:at] = other[start : start + chance.randint(1, 200)]
            case _:
                raw[at:at] = chance.choice(
                    [b"\r\n", b"\n ", b'"', b"<", b">", b";", b",", b":", b"\0", b"\xff", b"%00", b"@", b"\\", b"=" * 3]
                )
    return bytes(raw)


def packet_around(payload: bytes) -> bytes:
    return encode(HepPacket(2, 17, "192.0.2.1", 5060, "192.0.2.2", 5060, 1_700_000_000, 1, 1, payload[:60_000] or b"x", 7, "c"))


def read_everything(message: SipMessage) -> None:
    """All that later code may ask for."""
    assert len(message.call_id) <= 256
    assert len(message.branch) <= 65_535
    for text in (message.request_uri, message.from_uri, message.to_uri, message.contact, *message.diversions, *message.history):
        assert len(text) <= 1_024
        try:
            Uri.parse(text)
        except PeerError:
            continue
    _ = (message.expires, message.session_expires, message.user_agent, message.challenges, message.asserted_identities)


def run(count: int) -> Counter[str]:
    chance = random.Random(SEED)
    originals = seeds()
    assert originals
    outcomes: Counter[str] = Counter()
    for number in range(count):
        payload = mutated(chance, chance.choice(originals), chance.choice(originals))
        datagram = packet_around(payload)
        if number % 2:
            datagram = mutated(chance, datagram, payload or b"x")
        try:
            packet = decode(datagram)
            outcomes["hep read"] += 1
            read_everything(parse(packet.payload))
            outcomes["sip read"] += 1
        except PeerError as refused:
            outcomes[refused.reason] += 1
        if number % 10 == 0:
            outcomes["stream packets"] += packets_of_a_stream(datagram + packet_around(payload))
    return outcomes


def packets_of_a_stream(stream: bytes) -> int:
    connection = HepConnection()
    connection.receive_data(stream)
    packets = 0
    while not connection.broken:
        try:
            if connection.next_event() is None:
                return packets
            packets += 1
        except PeerError:
            continue
    return packets


def test_mutated_datagrams() -> None:
    outcomes = run(20_000)
    assert outcomes["sip read"] > 1_000
    assert outcomes["unspecified"] == 0
    assert len(outcomes) > 15, outcomes


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_million_mutated_datagrams() -> None:
    outcomes = run(1_000_000)
    assert outcomes["sip read"] > 50_000
    assert outcomes["unspecified"] == 0


def test_memory_stays_bounded() -> None:
    run(200)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        run(2_000)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < MAX_GROWTH_BYTES
    assert peak - before < MAX_GROWTH_BYTES
