"""One HEP version 3 packet: a copy of one SIP message (or one log line) and where it travelled.

Written after "The Extensible Encapsulation Protocol, HEP3", sipcapture, revision 37. A packet is a claim by an agent; who is believed is
decided by the telephony room, never here. The authenticate key is a Secret, so that a packet can be printed.
"""

from enum import IntEnum

import msgspec

from ringfence.base.secret import Secret

MAGIC = b"HEP3"

MAX_PACKET_BYTES = 65_535
"""The length field has 16 bits and counts itself; nothing larger can be framed."""
MAX_CHUNKS = 64
"""Kamailio sends 13, heplify 16. More than this is refused: `too_many_chunks`."""
MAX_PAYLOAD_BYTES = 65_535
"""Also the bound of an inflated payload: a zip bomb is refused as `payload_too_large` after this many bytes."""
MAX_CORRELATION_ID_BYTES = 1_024
MAX_AUTH_KEY_BYTES = 256


class Family(IntEnum):
    """Address family, in the numbers of the specification (those of Linux)."""

    IPV4 = 2
    IPV6 = 10


class PayloadType(IntEnum):
    """The payload types Ringfence reads; a packet may carry any other number."""

    SIP = 1
    LOG = 100


class ChunkType(IntEnum):
    """Generic chunks (vendor 0) that are read. All others, and other vendors' chunks, are stepped over."""

    FAMILY = 0x01
    TRANSPORT = 0x02
    SOURCE_IPV4 = 0x03
    DESTINATION_IPV4 = 0x04
    SOURCE_IPV6 = 0x05
    DESTINATION_IPV6 = 0x06
    SOURCE_PORT = 0x07
    DESTINATION_PORT = 0x08
    SECONDS = 0x09
    MICROSECONDS = 0x0A
    PAYLOAD_TYPE = 0x0B
    CAPTURE_ID = 0x0C
    AUTH_KEY = 0x0E
    PAYLOAD = 0x0F
    ZIPPED_PAYLOAD = 0x10
    CORRELATION_ID = 0x11


class HepPacket(msgspec.Struct, frozen=True):
    """One packet. Addresses are text (`192.0.2.1`, `2001:db8::1`), `transport` is the IP protocol number (17 UDP, 6 TCP)."""

    family: int
    transport: int
    source_ip: str
    source_port: int
    destination_ip: str
    destination_port: int
    seconds: int
    microseconds: int
    payload_type: int
    payload: bytes
    capture_id: int = 0
    correlation_id: str = ""
    auth_key: Secret | None = None

    @property
    def at_ms(self) -> int:
        """The agent's time in Unix milliseconds."""
        return self.seconds * 1000 + self.microseconds // 1000
