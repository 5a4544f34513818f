"""HEP3: what is read, what is refused and why, and that both readings of a packet (usual layout and loop) agree."""

import gzip
import struct
import tracemalloc
import zlib
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.base.errors import PeerError
from ringfence.base.secret import Secret
from ringfence.protocols.hep import HepConnection, HepPacket, decode, encode
from ringfence.protocols.hep.connection import MAX_BUFFER_BYTES
from ringfence.protocols.hep.messages import MAX_AUTH_KEY_BYTES, MAX_CHUNKS, MAX_CORRELATION_ID_BYTES, MAX_PAYLOAD_BYTES

INVITE = b"INVITE sip:+4930123456@example.com SIP/2.0\r\nCall-ID: a\r\n\r\n"
PACKET = HepPacket(2, 17, "192.0.2.1", 5060, "198.51.100.7", 5062, 1_700_000_000, 123_456, 1, INVITE, 2001)


def chunk(kind: int, value: bytes, vendor: int = 0) -> bytes:
    return struct.pack(">HHH", vendor, kind, len(value) + 6) + value


def frame(*chunks: bytes) -> bytes:
    body = b"".join(chunks)
    return b"HEP3" + struct.pack(">H", len(body) + 6) + body


CHUNKS = {
    1: b"\x02",
    2: b"\x11",
    3: bytes([192, 0, 2, 1]),
    4: bytes([198, 51, 100, 7]),
    7: struct.pack(">H", 5060),
    8: struct.pack(">H", 5062),
    9: struct.pack(">I", 1_700_000_000),
    10: struct.pack(">I", 123_456),
    11: b"\x01",
    12: struct.pack(">I", 2001),
    15: INVITE,
}


def packet_of(changes: dict[int, bytes | None] | None = None, order: list[int] | None = None) -> bytes:
    chunks = {**CHUNKS, **(changes or {})}
    return frame(*(chunk(kind, value) for kind in (order or list(chunks)) if (value := chunks[kind]) is not None))


def refusal(datagram: bytes) -> str:
    with pytest.raises(PeerError) as caught:
        decode(datagram)
    return caught.value.reason


packets = st.builds(
    HepPacket,
    family=st.just(2),
    transport=st.integers(0, 255),
    source_ip=st.ip_addresses(v=4).map(str),
    source_port=st.integers(0, 65535),
    destination_ip=st.ip_addresses(v=4).map(str),
    destination_port=st.integers(0, 65535),
    seconds=st.integers(0, 2**32 - 1),
    microseconds=st.integers(0, 999_999),
    payload_type=st.integers(0, 255),
    payload=st.binary(min_size=1, max_size=3000),
    capture_id=st.integers(0, 2**32 - 1),
    correlation_id=st.text(st.characters(codec="utf-8"), max_size=100),
    auth_key=st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=50).map(Secret),
)
v6_addresses = st.ip_addresses(v=6).map(str)
v6_packets = st.builds(
    lambda packet, source, destination: msgspec.structs.replace(packet, family=10, source_ip=source, destination_ip=destination),
    packets,
    v6_addresses,
    v6_addresses,
)


@given(packets | v6_packets)
def test_what_is_encoded_decodes_to_the_same(packet: HepPacket) -> None:
    assert decode(encode(packet)) == packet


def test_a_packet_of_kamailio() -> None:
    packet = decode(packet_of())
    assert packet == PACKET
    assert packet.at_ms == 1_700_000_000_123


@given(st.permutations(list(CHUNKS)))
def test_chunks_may_come_in_any_order(order: list[int]) -> None:
    assert decode(packet_of(order=order)) == PACKET


def test_unknown_and_foreign_chunks_are_stepped_over() -> None:
    extra = chunk(0x13, b"node-1") + chunk(0x0D, b"\x00\x01") + chunk(0x15, b"x") + chunk(0x0F, b"not this", vendor=9)
    assert decode(frame(*(chunk(kind, value) for kind, value in CHUNKS.items()), extra)) == PACKET


def test_hlog_order_and_key() -> None:
    """Kamailio's hlog puts chunk 08 before 07 and carries the key and a correlation id."""
    datagram = packet_of({11: b"\x64", 14: b"s3cret", 17: b"call-1"}, order=[1, 2, 3, 4, 8, 7, 9, 10, 11, 12, 17, 14, 15])
    packet = decode(datagram)
    assert (packet.payload_type, packet.source_port, packet.destination_port) == (100, 5060, 5062)
    assert packet.correlation_id == "call-1"
    assert packet.auth_key == Secret("s3cret")
    assert "s3cret" not in repr(packet)


@pytest.mark.parametrize("squeeze", [zlib.compress, gzip.compress])
def test_zipped_payloads(squeeze: Callable[[bytes], bytes]) -> None:
    assert decode(packet_of({15: None, 16: squeeze(INVITE)})).payload == INVITE


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", "not_hep"),
        (b"HEP", "not_hep"),
        (b"GET / HTTP/1.1\r\n", "not_hep"),
        (b"\x01\x10\x02\x11" + bytes(12), "old_version"),
        (b"\x02\x10\x02\x11" + bytes(18), "old_version"),
        (b"HEP3", "truncated"),
        (b"HEP3\x00", "truncated"),
        (b"HEP3\x00\x06", "no_payload"),
        (b"HEP3\x00\x05", "trailing_bytes"),
        (packet_of()[:-1], "truncated"),
        (packet_of() + b"x", "trailing_bytes"),
        (b"HEP3\xff\xff" + bytes(65_530), "oversized"),
        (frame(chunk(1, b"\x02"), b"\x00\x00\x00"), "truncated_chunk"),
        (frame(chunk(1, b"\x02"), b"\x00\x00\x00\x0f\x00\x05"), "bad_chunk_length"),
        (frame(chunk(1, b"\x02"), b"\x00\x00\x00\x0f\x00\x00"), "bad_chunk_length"),
        (frame(b"\x00\x00\x00\x0f\x00\xff"), "bad_chunk_length"),
        (packet_of({1: b"\x02\x00"}), "bad_chunk_length"),
        (packet_of({3: b"\x01\x02\x03"}), "bad_chunk_length"),
        (packet_of({7: b""}), "bad_chunk_length"),
        (packet_of({9: bytes(8)}), "bad_chunk_length"),
        (packet_of({15: None}), "no_payload"),
        (packet_of({15: b""}), "no_payload"),
        (packet_of({11: None}), "no_payload_type"),
        (packet_of({9: None}), "bad_time"),
        (packet_of({10: None}), "bad_time"),
        (packet_of({10: struct.pack(">I", 1_000_000)}), "bad_time"),
        (packet_of({1: None}), "bad_address"),
        (packet_of({1: b"\x0a"}), "bad_address"),
        (packet_of({1: b"\x07"}), "bad_address"),
        (packet_of({3: None}), "bad_address"),
        (packet_of({4: None}), "bad_address"),
        (packet_of({4: None, 6: bytes(16)}), "bad_address"),
        (packet_of({14: b"\xff\xfe"}), "bad_auth_key"),
        (packet_of({14: b"k" * (MAX_AUTH_KEY_BYTES + 1)}), "bad_auth_key"),
        (packet_of({17: b"c" * (MAX_CORRELATION_ID_BYTES + 1)}), "bad_correlation_id"),
        (packet_of({15: None, 16: b"not zipped"}), "bad_zipped_payload"),
        (packet_of({15: None, 16: zlib.compress(INVITE)[:-3]}), "bad_zipped_payload"),
        (packet_of({15: None, 16: zlib.compress(bytes(MAX_PAYLOAD_BYTES + 1))}), "payload_too_large"),
        (packet_of({15: None, 16: zlib.compress(bytes(60_000_000))}), "payload_too_large"),
        (frame(*[chunk(0x20, b"")] * (MAX_CHUNKS + 1)), "too_many_chunks"),
    ],
)
def test_every_malformation_has_its_reason(datagram: bytes, reason: str) -> None:
    if len(datagram) > 65_535:
        assert reason == "oversized"
    assert refusal(datagram) == reason


def test_a_zip_bomb_is_not_unpacked() -> None:
    bomb = packet_of({15: None, 16: zlib.compress(bytes(50_000_000))})
    tracemalloc.start()
    try:
        assert refusal(bomb) == "payload_too_large"
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("cut", range(len(packet_of())))
def test_a_packet_cut_anywhere_is_refused(cut: int) -> None:
    whole = packet_of()
    assert refusal(whole[:cut]) in {"not_hep", "truncated"}
    # The same with a length field that agrees, so that the loop over the chunks meets the cut.
    if cut >= 6:
        with pytest.raises(PeerError):
            decode(b"HEP3" + cut.to_bytes(2) + whole[6:cut])


@pytest.mark.parametrize("missing", range(1, 4))
def test_the_usual_layout_is_not_seen_in_a_packet_too_short_for_it(missing: int) -> None:
    """A body that lacks leading zero bytes is the same number: without a look at the length, struct.error would leave the decoder."""
    body = packet_of({15: None})[6:][missing:]
    with pytest.raises(PeerError):
        decode(b"HEP3" + (len(body) + 6).to_bytes(2) + body)


@given(st.binary(max_size=400) | st.binary(max_size=300).map(lambda body: b"HEP3" + (len(body) + 6).to_bytes(2) + body))
def test_only_peer_errors_leave(datagram: bytes) -> None:
    try:
        packet = decode(datagram)
    except PeerError:
        return
    assert decode(encode(packet)) == packet


def test_encode_refuses_what_cannot_be_framed() -> None:
    for packet in (
        HepPacket(2, 17, "192.0.2.1", 1, "192.0.2.2", 2, 0, 0, 1, bytes(65_530)),
        HepPacket(2, 17, "192.0.2.1", 1, "192.0.2.2", 2, 0, 0, 1, bytes(65_450)),
        HepPacket(2, 17, "2001:db8::1", 1, "192.0.2.2", 2, 0, 0, 1, b"x"),
    ):
        with pytest.raises(PeerError):
            encode(packet)


class TestConnection:
    @given(st.lists(packets, max_size=5), st.integers(1, 700))
    def test_packets_survive_any_split(self, sent: list[HepPacket], step: int) -> None:
        stream = b"".join(map(encode, sent))
        connection = HepConnection()
        received = []
        for start in range(0, len(stream), step):
            connection.receive_data(stream[start : start + step])
            while (packet := connection.next_event()) is not None:
                received.append(packet)
        assert received == sent

    def test_a_bad_packet_costs_only_itself(self) -> None:
        connection = HepConnection()
        connection.receive_data(packet_of({15: None}) + packet_of())
        with pytest.raises(PeerError, match="no payload"):
            connection.next_event()
        assert not connection.broken
        assert connection.next_event() == PACKET

    @pytest.mark.parametrize("garbage", [b"GET / HTTP", b"X", b"HEP2\x00\x10", b"HEP3\x00\x05"])
    def test_a_broken_frame_costs_the_connection(self, garbage: bytes) -> None:
        connection = HepConnection()
        connection.receive_data(packet_of() + garbage)
        assert connection.next_event() == PACKET
        with pytest.raises(PeerError):
            connection.next_event()
        assert connection.broken
        with pytest.raises(PeerError):
            connection.receive_data(packet_of())
        with pytest.raises(PeerError):
            connection.next_event()

    def test_a_reader_that_is_not_drained_is_stopped(self) -> None:
        connection = HepConnection()
        connection.receive_data(bytes(MAX_BUFFER_BYTES))
        with pytest.raises(PeerError, match="waiting"):
            connection.receive_data(b"x")
        assert connection.broken
