"""Datagrams out of a UDP socket, as many as are waiting in one system call (`recvmmsg`, Linux), one by one where that is missing.

Python's own socket takes one datagram a call and lets go of the interpreter's lock each time, which a busy reader wins back late: that,
not the kernel, was what limited reception. Both readers read what the kernel says it dropped (SO_RXQ_OVFL). The one thing to know: the
buffers are one allocation of 16 MiB that is reused by every call, of which only pages that datagrams have touched become memory.
"""

import ctypes
import errno
import os
import socket
import struct
from typing import Protocol

MANY = 256
"""Datagrams of one call at the most."""
MAX_DATAGRAM_BYTES = 65_535
MAX_REMEMBERED_SOURCES = 4_096
"""Sender addresses whose text is remembered; beyond, the memory starts anew."""
POLL_SECONDS = 0.2
"""A call comes back empty after this long, so that its thread can be told to stop."""

SO_RXQ_OVFL = getattr(socket, "SO_RXQ_OVFL", 40)
_ADDRESS_BYTES = 28
"""A sockaddr_in6; a sockaddr_in has 16."""
_CONTROL_BYTES = 64
_PASSING = frozenset({errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED})
_MSG_WAITFORONE = 0x10000
"""Wait for the first datagram, and for no other (recvmmsg(2))."""

Received = list[tuple[bytes, str]]
"""Payload and the sender's address, in order of arrival."""


class Reader(Protocol):
    """What takes datagrams from a socket."""

    lost: int
    """Datagrams that the kernel dropped because the socket's buffer was full, in all."""

    def read(self) -> Received:
        """What is waiting, at least one datagram, or nothing after `POLL_SECONDS`. OSError when the socket is no more."""


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Head(ctypes.Structure):
    """`struct msghdr`."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint),
        ("vectors", ctypes.POINTER(_Vector)),
        ("vectors_length", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    """`struct mmsghdr`: a msghdr, and how long what came is."""

    _fields_ = (("head", _Head), ("length", ctypes.c_uint))


class _ControlHead(ctypes.Structure):
    _fields_ = (("length", ctypes.c_size_t), ("level", ctypes.c_int), ("kind", ctypes.c_int))


def reader_of(receiver: socket.socket) -> Reader:
    """The quickest reader this system has. The socket blocks from now on, `POLL_SECONDS` at the longest."""
    receiver.setblocking(True)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, int(POLL_SECONDS * 1_000_000)))
    return ManyReader(receiver) if hasattr(ctypes.CDLL(None), "recvmmsg") else OneReader(receiver)


class OneReader:
    """One datagram a call."""

    def __init__(self, receiver: socket.socket) -> None:
        self._socket = receiver
        self.lost = 0

    def read(self) -> Received:
        """The next datagram, or nothing."""
        try:
            payload, ancillary, _flags, address = self._socket.recvmsg(MAX_DATAGRAM_BYTES, _CONTROL_BYTES)
        except (BlockingIOError, InterruptedError, ConnectionError):
            return []
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == SO_RXQ_OVFL:
                (self.lost,) = struct.unpack_from("=I", content)
        return [(payload, address[0])]


class ManyReader:
    """Up to `MANY` datagrams a call, into buffers that are made once."""

    def __init__(self, receiver: socket.socket) -> None:
        self._descriptor = receiver.fileno()
        self._family = receiver.family
        # Where the address stands in a sockaddr_in (after family and port) and in a sockaddr_in6 (after the flow label too).
        self._address_starts, self._address_bytes = (8, 16) if self._family == socket.AF_INET6 else (4, 4)
        self._call = ctypes.CDLL(None, use_errno=True).recvmmsg
        self._call.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
        self._lay_out()
        self._sources: dict[bytes, str] = {}
        self.lost = 0

    def read(self) -> Received:
        """What is waiting."""
        count = self._call(self._descriptor, self._messages, MANY, _MSG_WAITFORONE, None)
        if count < 0:
            number = ctypes.get_errno()
            if number in _PASSING:
                return []
            raise OSError(number, os.strerror(number))
        # Fields of ctypes structures cost a tenth of a microsecond each; the lengths come out as one list.
        lengths = self._lengths[:count].tolist()
        # The drop count stands on a datagram only once something was dropped, and grows: the newest says it all.
        if self._messages[count - 1].head.control_length:
            self._note_lost(count - 1)
        # The kernel wrote what it used over the room that it was given.
        ctypes.memmove(self._messages, self._fresh, count * ctypes.sizeof(_Message))
        payloads, known = self._payloads, self._sources
        senders = self._senders[: count * _ADDRESS_BYTES].tobytes()
        received: Received = []
        place, start, size = 0, self._address_starts, self._address_bytes
        for length in lengths:
            packed = senders[start : start + size]
            source = known.get(packed)
            if source is None:
                source = self._source(packed)
            received.append((payloads[place : place + length].tobytes(), source))
            place += MAX_DATAGRAM_BYTES
            start += _ADDRESS_BYTES
        return received

    def _lay_out(self) -> None:
        payloads = (ctypes.c_char * (MANY * MAX_DATAGRAM_BYTES))()
        senders = (ctypes.c_char * (MANY * _ADDRESS_BYTES))()
        self._controls = (ctypes.c_char * (MANY * _CONTROL_BYTES))()
        self._vectors = (_Vector * MANY)()
        self._messages = (_Message * MANY)()
        for number in range(MANY):
            vector, head = self._vectors[number], self._messages[number].head
            vector.base = ctypes.addressof(payloads) + number * MAX_DATAGRAM_BYTES
            vector.length = MAX_DATAGRAM_BYTES
            head.name = ctypes.addressof(senders) + number * _ADDRESS_BYTES
            head.name_length = _ADDRESS_BYTES
            head.vectors = ctypes.pointer(vector)
            head.vectors_length = 1
            head.control = ctypes.addressof(self._controls) + number * _CONTROL_BYTES
            head.control_length = _CONTROL_BYTES
        self._fresh = bytes(self._messages)
        self._payloads = memoryview(payloads).cast("B")
        self._senders = memoryview(senders).cast("B")
        words = memoryview(self._messages).cast("B").cast("I")
        self._lengths = words[_Message.length.offset // 4 :: ctypes.sizeof(_Message) // 4]

    def _source(self, packed: bytes) -> str:
        if len(self._sources) >= MAX_REMEMBERED_SOURCES:
            self._sources.clear()
        text = self._sources[packed] = socket.inet_ntop(self._family, packed)
        return text

    def _note_lost(self, number: int) -> None:
        start = number * _CONTROL_BYTES
        head = _ControlHead.from_buffer(self._controls, start)
        if head.level == socket.SOL_SOCKET and head.kind == SO_RXQ_OVFL:
            (self.lost,) = struct.unpack_from("=I", self._controls, start + ctypes.sizeof(_ControlHead))
