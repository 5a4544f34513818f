"""Bytes of one HEP3 packet to a `HepPacket`; everything else leaves as a `PeerError` with a reason to count.

This runs for every SIP message of the operator, so the loop works on offsets and looks at each chunk once. A chunk that comes twice
counts with its last value, as in heplify-server and Kamailio's sipcapture.
"""

import struct
import zlib
from functools import lru_cache
from ipaddress import IPv6Address

from ringfence.base.errors import PeerError
from ringfence.base.secret import Secret
from ringfence.protocols.hep.messages import (
    MAGIC,
    MAX_AUTH_KEY_BYTES,
    MAX_CHUNKS,
    MAX_CORRELATION_ID_BYTES,
    MAX_PACKET_BYTES,
    MAX_PAYLOAD_BYTES,
    ChunkType,
    Family,
    HepPacket,
)

# Generic chunk header: vendor u16, type u16, length u16 (with these six bytes). Read as one number, a generic chunk is its type.
_chunk_header = struct.Struct(">IH").unpack_from
_u16 = struct.Struct(">H").unpack_from
_u32 = struct.Struct(">I").unpack_from

# Plain integers: a comparison with an IntEnum member costs five times as much, and this is the hot loop.
_FAMILY = int(ChunkType.FAMILY)
_TRANSPORT = int(ChunkType.TRANSPORT)
_SOURCE_IPV4 = int(ChunkType.SOURCE_IPV4)
_DESTINATION_IPV4 = int(ChunkType.DESTINATION_IPV4)
_SOURCE_IPV6 = int(ChunkType.SOURCE_IPV6)
_DESTINATION_IPV6 = int(ChunkType.DESTINATION_IPV6)
_SOURCE_PORT = int(ChunkType.SOURCE_PORT)
_DESTINATION_PORT = int(ChunkType.DESTINATION_PORT)
_SECONDS = int(ChunkType.SECONDS)
_MICROSECONDS = int(ChunkType.MICROSECONDS)
_PAYLOAD_TYPE = int(ChunkType.PAYLOAD_TYPE)
_CAPTURE_ID = int(ChunkType.CAPTURE_ID)
_AUTH_KEY = int(ChunkType.AUTH_KEY)
_PAYLOAD = int(ChunkType.PAYLOAD)
_ZIPPED_PAYLOAD = int(ChunkType.ZIPPED_PAYLOAD)
_CORRELATION_ID = int(ChunkType.CORRELATION_ID)
_V4 = int(Family.IPV4)
_V6 = int(Family.IPV6)

# Nearly every packet opens with the same ten chunks in the same order (Kamailio, OpenSIPS, Asterisk over IPv4). Their headers are
# compared in one step, as one masked number, and their values read in another: 1.3 us a packet instead of 3.7. Whatever looks
# different goes through the loop; both readings of one packet are equal (a test holds them together).
_USUAL = (
    _FAMILY,
    _TRANSPORT,
    _SOURCE_IPV4,
    _DESTINATION_IPV4,
    _SOURCE_PORT,
    _DESTINATION_PORT,
    _SECONDS,
    _MICROSECONDS,
    _PAYLOAD_TYPE,
    _CAPTURE_ID,
)
_usual_values = struct.Struct(">6x6xB6xB6x4s6x4s6xH6xH6xI6xI6xB6xI").unpack_from

# What may be read from each chunk by type, as the whole chunk's length; 0 is any. Asked before the value is touched.
_LENGTHS = (0, 7, 7, 10, 10, 22, 22, 8, 8, 10, 10, 7, 10, 0, 0, 0, 0, 0)
_usual_headers = b"".join(kind.to_bytes(4) + _LENGTHS[kind].to_bytes(2) + bytes(_LENGTHS[kind] - 6) for kind in _USUAL)
_usual_mask = b"".join(b"\xff" * 6 + bytes(_LENGTHS[kind] - 6) for kind in _USUAL)
_USUAL_END = 6 + len(_usual_headers)
_USUAL_HEADERS = int.from_bytes(_usual_headers)
_USUAL_MASK = int.from_bytes(_usual_mask)


def decode(datagram: bytes) -> HepPacket:  # noqa: C901, PLR0912, PLR0915 - one loop over the chunks, unrolled for speed
    """Read one packet. PeerError with a reason when it is not a whole, sensible HEP3 packet with a payload, addresses and a time."""
    end = len(datagram)
    if not 6 <= end <= MAX_PACKET_BYTES or datagram[:4] != MAGIC or (datagram[4] << 8 | datagram[5]) != end:
        raise _misframed(datagram)
    family = transport = source_port = destination_port = capture_id = 0
    seconds = microseconds = payload_type = -1
    source = destination = payload = auth_key = b""
    correlation_id = ""
    offset, chunks = 6, 0
    if end >= _USUAL_END and int.from_bytes(datagram[6:_USUAL_END]) & _USUAL_MASK == _USUAL_HEADERS:
        (
            family,
            transport,
            source,
            destination,
            source_port,
            destination_port,
            seconds,
            microseconds,
            payload_type,
            capture_id,
        ) = _usual_values(datagram)
        offset, chunks = _USUAL_END, len(_USUAL)
    while offset < end:
        if offset + 6 > end:
            raise PeerError("A chunk header is cut off.", reason="truncated_chunk")
        kind, length = _chunk_header(datagram, offset)
        following = offset + length
        if length < 6 or following > end:
            raise PeerError(f"A chunk states {length} bytes, which do not fit.", reason="bad_chunk_length")
        if kind <= _CORRELATION_ID and (expected := _LENGTHS[kind]) and length != expected:
            raise PeerError(f"Chunk {kind} has {length} bytes instead of {expected}.", reason="bad_chunk_length")
        chunks += 1
        at = offset + 6
        offset = following
        if kind == _PAYLOAD:
            payload = datagram[at:following]
        elif kind == _AUTH_KEY:
            auth_key = datagram[at:following]
        elif kind in (_SOURCE_IPV4, _SOURCE_IPV6):
            source = datagram[at:following]
        elif kind in (_DESTINATION_IPV4, _DESTINATION_IPV6):
            destination = datagram[at:following]
        elif kind == _SOURCE_PORT:
            (source_port,) = _u16(datagram, at)
        elif kind == _DESTINATION_PORT:
            (destination_port,) = _u16(datagram, at)
        elif kind == _SECONDS:
            (seconds,) = _u32(datagram, at)
        elif kind == _MICROSECONDS:
            (microseconds,) = _u32(datagram, at)
        elif kind == _PAYLOAD_TYPE:
            payload_type = datagram[at]
        elif kind == _FAMILY:
            family = datagram[at]
        elif kind == _TRANSPORT:
            transport = datagram[at]
        elif kind == _CAPTURE_ID:
            (capture_id,) = _u32(datagram, at)
        elif kind == _CORRELATION_ID:
            correlation_id = _correlation_id(datagram[at:following])
        elif kind == _ZIPPED_PAYLOAD:
            payload = _inflate(datagram[at:following])
        if chunks > MAX_CHUNKS:
            raise PeerError(f"The packet has more than {MAX_CHUNKS} chunks.", reason="too_many_chunks")
    if not payload:
        raise PeerError("The packet has no payload.", reason="no_payload")
    if payload_type < 0:
        raise PeerError("The packet does not say what its payload is.", reason="no_payload_type")
    if seconds < 0 or not 0 <= microseconds < 1_000_000:
        raise PeerError("The packet has no sensible time.", reason="bad_time")
    if not (family == _V4 and len(source) == len(destination) == 4) and not (family == _V6 and len(source) == len(destination) == 16):
        raise PeerError("The packet has no two addresses of its family.", reason="bad_address")
    return HepPacket(
        family,
        transport,
        address_text(source),
        source_port,
        address_text(destination),
        destination_port,
        seconds,
        microseconds,
        payload_type,
        payload,
        capture_id,
        correlation_id,
        _auth_key(auth_key) if auth_key else None,
    )


def _misframed(datagram: bytes) -> PeerError:
    """Why the datagram is not exactly one packet by its header."""
    size = len(datagram)
    if size > MAX_PACKET_BYTES:
        return PeerError(f"The datagram has more than {MAX_PACKET_BYTES} bytes.", reason="oversized")
    if datagram[:4] != MAGIC:
        if datagram[:1] in (b"\x01", b"\x02"):
            return PeerError(f"This is HEP version {datagram[0]}; set the agent to version 3.", reason="old_version")
        return PeerError("This is not a HEP3 packet.", reason="not_hep")
    if size < 6:
        return PeerError("The packet ends inside its header.", reason="truncated")
    (stated,) = _u16(datagram, 4)
    reason = "truncated" if stated > size else "trailing_bytes"
    return PeerError(f"The packet states {stated} bytes and has {size}.", reason=reason)


@lru_cache(maxsize=65_536)
def address_text(packed: bytes) -> str:
    """Text of a packed address of 4 or 16 bytes. Remembered: an edge talks with the same boxes all day."""
    if len(packed) == 4:
        return f"{packed[0]}.{packed[1]}.{packed[2]}.{packed[3]}"
    return str(IPv6Address(packed))


def _correlation_id(raw: bytes) -> str:
    if len(raw) > MAX_CORRELATION_ID_BYTES:
        raise PeerError("The correlation id is too long.", reason="bad_correlation_id")
    return raw.decode("utf-8", "replace")


@lru_cache(maxsize=256)
def _auth_key(raw: bytes) -> Secret:
    """One Secret for the same bytes, so that whoever has compared it knows it again."""
    if len(raw) > MAX_AUTH_KEY_BYTES:
        raise PeerError("The authenticate key is too long.", reason="bad_auth_key")
    try:
        return Secret(raw.decode())
    except UnicodeDecodeError:
        raise PeerError("The authenticate key is not UTF-8.", reason="bad_auth_key") from None


def _inflate(zipped: bytes) -> bytes:
    """Zlib (RFC 1950) or gzip (RFC 1952), told apart by their headers; agents use both."""
    unzip = zlib.decompressobj(wbits=32 + zlib.MAX_WBITS)
    try:
        payload = unzip.decompress(zipped, MAX_PAYLOAD_BYTES + 1)
    except zlib.error:
        raise PeerError("The zipped payload cannot be inflated.", reason="bad_zipped_payload") from None
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise PeerError(f"The payload inflates to more than {MAX_PAYLOAD_BYTES} bytes.", reason="payload_too_large")
    if not unzip.eof:
        raise PeerError("The zipped payload is cut off.", reason="bad_zipped_payload")
    return payload
