"""HEP3 packets out of a TCP or TLS byte stream, where they stand back to back.

Sans-IO: `receive_data` takes what the socket gave, `next_event` gives packets until it has none. A packet that is framed well and
makes no sense costs only itself; a broken frame costs the connection, because nothing marks the next packet's start.
"""

from ringfence.base.errors import PeerError
from ringfence.protocols.hep.messages import MAGIC, MAX_PACKET_BYTES, HepPacket
from ringfence.protocols.hep.parse import decode

HEADER_BYTES = 6
MAX_BUFFER_BYTES = 4 * MAX_PACKET_BYTES
"""A caller drains the reader after each `receive_data`; one that does not is stopped here (`buffer_full`)."""


class HepConnection:
    """Reader of one connection. Not a writer: nothing is ever answered to an agent."""

    __slots__ = ("_buffer", "_offset", "broken")

    def __init__(self) -> None:
        self._buffer = b""
        self._offset = 0
        self.broken = False
        """True after a framing error: close the connection; every later call raises."""

    def receive_data(self, received: bytes) -> None:
        """Take bytes from the socket. PeerError when the connection is broken or the reader is not drained."""
        if self.broken:
            raise PeerError("The stream lost its framing.", reason="broken_stream")
        self._buffer = self._buffer[self._offset :] + received
        self._offset = 0
        if len(self._buffer) > MAX_BUFFER_BYTES:
            self.broken = True
            self._buffer = b""
            raise PeerError(f"More than {MAX_BUFFER_BYTES} bytes are waiting.", reason="buffer_full")

    def next_event(self) -> HepPacket | None:
        """The next packet, or None when more bytes are needed. PeerError for a bad packet: go on unless `broken`."""
        if self.broken:
            raise PeerError("The stream lost its framing.", reason="broken_stream")
        start = self._offset
        waiting = len(self._buffer) - start
        magic = self._buffer[start : start + 4]
        if magic != MAGIC[: len(magic)]:
            raise self._break("The stream has something else where a HEP3 packet should start.", "not_hep")
        if waiting < HEADER_BYTES:
            return None
        size = int.from_bytes(self._buffer[start + 4 : start + 6])
        if size < HEADER_BYTES:
            raise self._break(f"A packet states {size} bytes.", "truncated")
        if waiting < size:
            return None
        self._offset = start + size
        return decode(self._buffer[start : start + size])

    def _break(self, message: str, reason: str) -> PeerError:
        self.broken = True
        self._buffer = b""
        self._offset = 0
        return PeerError(message, reason=reason)
