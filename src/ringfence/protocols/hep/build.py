"""A `HepPacket` to the bytes of one HEP3 packet, in the chunk order of Kamailio's siptrace.

Used by simulators, benches and tests. `decode(encode(packet))` gives the packet back.
"""

import struct
from ipaddress import ip_address

from ringfence.base.errors import PeerError
from ringfence.protocols.hep.messages import MAGIC, MAX_PACKET_BYTES, ChunkType, Family, HepPacket


def encode(packet: HepPacket) -> bytes:
    """Bytes of the packet. PeerError (`oversized`, `bad_address`) when its values cannot be framed."""
    v4 = packet.family == Family.IPV4
    chunks = [
        _chunk(ChunkType.FAMILY, bytes([packet.family])),
        _chunk(ChunkType.TRANSPORT, bytes([packet.transport])),
        _chunk(ChunkType.SOURCE_IPV4 if v4 else ChunkType.SOURCE_IPV6, _packed(packet.source_ip, packet.family)),
        _chunk(ChunkType.DESTINATION_IPV4 if v4 else ChunkType.DESTINATION_IPV6, _packed(packet.destination_ip, packet.family)),
        _chunk(ChunkType.SOURCE_PORT, packet.source_port.to_bytes(2)),
        _chunk(ChunkType.DESTINATION_PORT, packet.destination_port.to_bytes(2)),
        _chunk(ChunkType.SECONDS, packet.seconds.to_bytes(4)),
        _chunk(ChunkType.MICROSECONDS, packet.microseconds.to_bytes(4)),
        _chunk(ChunkType.PAYLOAD_TYPE, bytes([packet.payload_type])),
        _chunk(ChunkType.CAPTURE_ID, packet.capture_id.to_bytes(4)),
    ]
    if packet.auth_key is not None:
        chunks.append(_chunk(ChunkType.AUTH_KEY, packet.auth_key.open().encode()))
    if packet.correlation_id:
        chunks.append(_chunk(ChunkType.CORRELATION_ID, packet.correlation_id.encode()))
    chunks.append(_chunk(ChunkType.PAYLOAD, packet.payload))
    body = b"".join(chunks)
    if len(body) + 6 > MAX_PACKET_BYTES:
        raise PeerError(f"The packet would have more than {MAX_PACKET_BYTES} bytes.", reason="oversized")
    return MAGIC + (len(body) + 6).to_bytes(2) + body


def _chunk(kind: ChunkType, value: bytes) -> bytes:
    if len(value) + 6 > MAX_PACKET_BYTES:
        raise PeerError(f"A chunk would have more than {MAX_PACKET_BYTES} bytes.", reason="oversized")
    return struct.pack(">HHH", 0, kind, len(value) + 6) + value


def _packed(address: str, family: int) -> bytes:
    parsed = ip_address(address)
    if (parsed.version == 4) != (family == Family.IPV4):
        raise PeerError(f"{address} is not an address of family {family}.", reason="bad_address")
    return parsed.packed
