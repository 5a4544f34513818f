"""Every SIP message of real captures is read (sngrep's test captures, not part of this repository)."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringfence.protocols.sip import SipMessage, build, parse

CAPTURES = Path(__file__).parents[4] / "shared" / "data" / "sip-captures"
LINK_HEADER_BYTES = {1: 14, 101: 0, 113: 16, 228: 0, 229: 0}


def payloads(capture: bytes) -> Iterator[bytes]:
    """UDP and TCP payloads of a classic pcap file: Ethernet, Linux cooked or raw IP; IP in IP; IPv6 fragments put together."""
    order = "<" if capture[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    (link,) = struct.unpack_from(order + "I", capture, 20)
    fragments: dict[bytes, bytes] = {}
    at = 24
    while at + 16 <= len(capture):
        (size,) = struct.unpack_from(order + "I", capture, at + 8)
        frame = capture[at + 16 : at + 16 + size]
        at += 16 + size
        skip = LINK_HEADER_BYTES[link]
        if link == 1 and frame[12:14] == b"\x81\x00":
            skip += 4
        yield from _payloads_of(frame[skip:], fragments)


def _payloads_of(packet: bytes, fragments: dict[bytes, bytes]) -> Iterator[bytes]:
    version = packet[0] >> 4 if packet else 0
    if version == 4:
        protocol, content = packet[9], packet[(packet[0] & 15) * 4 : int.from_bytes(packet[2:4])]
    elif version == 6:
        protocol, content = packet[6], packet[40 : 40 + int.from_bytes(packet[4:6])]
    else:
        return
    if protocol == 44:  # IPv6 fragment header; the captures hold their fragments in order
        identity = packet[8:40] + content[4:8]
        fragments[identity] = fragments.get(identity, b"") + content[8:]
        if content[3] & 1:
            return
        protocol, content = content[0], fragments.pop(identity)
    if protocol in (4, 41):
        yield from _payloads_of(content, fragments)
    elif protocol == 17:
        yield content[8:]
    elif protocol == 6:  # each message of the capture over TCP is one segment
        yield content[(content[12] >> 4) * 4 :]


def messages(name: str) -> list[SipMessage]:
    path = CAPTURES / name
    if not path.exists():
        pytest.skip(f"{name} of the shared SIP captures is not there")
    return [parse(payload) for payload in payloads(path.read_bytes()) if b"SIP/2.0" in payload]


@pytest.mark.parametrize(("name", "count", "calls"), [("aaa.pcap", 81, 6), ("ipip.pcap", 4, 1), ("ipv6frag.pcap", 32, 1)])
def test_every_message_is_read(name: str, count: int, calls: int) -> None:
    read = messages(name)
    assert (len(read), len({message.call_id for message in read})) == (count, calls)
    for message in read:
        assert message.branch
        assert message.from_tag
        assert parse(build(message)) == message
