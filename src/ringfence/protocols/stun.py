"""STUN and UDP connection requests as TR-069 Annex G has them: how a device behind NAT stays reachable, and how it is woken. Sans-IO.

A device sends Binding Requests (RFC 3489, or RFC 5389 with the magic cookie) to the ACS's STUN server, which answers with the address it
saw. To wake the device, the ACS sends an HTTP request line in a UDP datagram from that server's own address and port. The one thing to
know: nothing of a datagram is proof of an address; where a wake goes is decided elsewhere, from the operator's own ranges.
"""

import hashlib
import hmac
import re
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import parse_qsl, quote

import msgspec

from ringfence.base.errors import PeerError
from ringfence.base.secret import Secret

MAX_DATAGRAM_BYTES = 1_500
"""`stun_oversized` beyond it."""
MAX_ATTRIBUTES = 32
MAGIC_COOKIE = 0x2112A442
MAX_TEXT_CHARS = 256
"""Of each field of a connection request (`wake_malformed`)."""
MAX_WAKE_BYTES = 1_200
"""Fits a datagram on any path."""

_BINDING_REQUEST = 0x0001
_BINDING_RESPONSE = 0x0101
_BINDING_ERROR = 0x0111
_HEADER = struct.Struct(">HHI12s")
_ATTRIBUTE = struct.Struct(">HH")

_MAPPED_ADDRESS = 0x0001
_RESPONSE_ADDRESS = 0x0002
_USERNAME = 0x0006
_MESSAGE_INTEGRITY = 0x0008
_ERROR_CODE = 0x0009
_XOR_MAPPED_ADDRESS = 0x0020
# TR-069 Annex G.2.1.1 and G.2.1.2
_CONNECTION_REQUEST_BINDING = 0xC001
_BINDING_CHANGE = 0xC002
_BINDING_VALUE = b"dslforum.org/TR-111 "


class BindingRequest(msgspec.Struct, frozen=True):
    """A Binding Request. `transaction` is 12 bytes with the magic cookie, 16 without (RFC 3489)."""

    transaction: bytes
    username: str = ""
    connection_request: bool = False
    """It says that this binding is the one to send connection requests to."""
    binding_change: bool = False
    """It says that the binding has changed."""
    signed: bool = False
    """It has a MESSAGE-INTEGRITY; see `is_signed_by`."""


class BindingResponse(msgspec.Struct, frozen=True):
    """The answer: the address that the request came from. `error_code` instead: 401, 431, ..."""

    transaction: bytes
    address: str = ""
    port: int = 0
    error_code: int = 0


class WakeRequest(msgspec.Struct, frozen=True):
    """A UDP connection request (Annex G.2.2.3). `timestamp` in seconds, strictly larger each time; `id` differs each time."""

    timestamp: int
    id: int
    username: str
    cnonce: str


def decode_request(datagram: bytes) -> BindingRequest:
    """Read a Binding Request. PeerError with a reason for everything else."""
    transaction, attributes = _attributes(datagram, _BINDING_REQUEST)
    if _RESPONSE_ADDRESS in attributes:
        # RFC 3489 let a client name where the answer goes: a mirror for floods, and gone since RFC 5389.
        raise PeerError("A STUN request that wants its answer sent elsewhere.", reason="stun_reflected")
    return BindingRequest(
        transaction,
        attributes.get(_USERNAME, b"")[:MAX_TEXT_CHARS].decode("utf-8", "replace").rstrip("\0 "),
        attributes.get(_CONNECTION_REQUEST_BINDING, b"").rstrip(b"\0 ") == _BINDING_VALUE.rstrip(),
        _BINDING_CHANGE in attributes,
        _MESSAGE_INTEGRITY in attributes,
    )


def is_signed_by(datagram: bytes, password: Secret) -> bool:
    """Whether the MESSAGE-INTEGRITY of this request was made with the device's STUNPassword, in constant time. PeerError as decoding."""
    transaction, attributes = _attributes(datagram, _BINDING_REQUEST)
    given = attributes.get(_MESSAGE_INTEGRITY, b"")
    end = _integrity_offset(datagram)
    if len(given) != 20 or end < 0:
        return False
    covered = datagram[:end]
    if len(transaction) == 12:
        # RFC 5389 15.4: the length counts up to and with the attribute, whatever follows.
        covered = covered[:2] + (end + 24 - 20).to_bytes(2) + covered[4:]
        return hmac.compare_digest(hmac.digest(password.open().encode(), covered, "sha1"), given)
    # RFC 3489 11.2.8: padded with zeros to a multiple of 64 bytes.
    covered += bytes(-len(covered) % 64)
    return hmac.compare_digest(hmac.digest(password.open().encode(), covered, "sha1"), given)


def encode_request(request: BindingRequest, *, password: Secret | None = None) -> bytes:
    """A Binding Request as a device sends it; signed when the password is given."""
    attributes = b""
    if request.connection_request:
        attributes += _attribute(_CONNECTION_REQUEST_BINDING, _BINDING_VALUE)
    if request.binding_change:
        attributes += _attribute(_BINDING_CHANGE, b"")
    if request.username:
        name = request.username.encode()
        attributes += _attribute(_USERNAME, name if _is_new(request.transaction) else name + bytes(-len(name) % 4))
    if password is None:
        return _message(_BINDING_REQUEST, request.transaction, attributes)
    covered = _message(_BINDING_REQUEST, request.transaction, attributes, extra=24)
    if not _is_new(request.transaction):
        covered += bytes(-len(covered) % 64)
    mac = hmac.digest(password.open().encode(), covered, "sha1")
    return _message(_BINDING_REQUEST, request.transaction, attributes + _attribute(_MESSAGE_INTEGRITY, mac))


def encode_response(response: BindingResponse, *, longest: int = MAX_DATAGRAM_BYTES) -> bytes:
    """The server's answer; of more than `longest` bytes (the request's) it says the address once instead of twice.

    So it is never longer than the request by more than one address, and amplifies nothing.
    """
    if response.error_code:
        value = bytes((0, 0, response.error_code // 100, response.error_code % 100))
        return _message(_BINDING_ERROR, response.transaction, _attribute(_ERROR_CODE, value))
    address = ip_address(response.address)
    family = 1 if isinstance(address, IPv4Address) else 2
    mapped = struct.pack(">xBH", family, response.port) + address.packed
    if not _is_new(response.transaction):
        return _message(_BINDING_RESPONSE, response.transaction, _attribute(_MAPPED_ADDRESS, mapped))
    mask = MAGIC_COOKIE.to_bytes(4) + response.transaction
    port = response.port ^ (MAGIC_COOKIE >> 16)
    hidden = struct.pack(">xBH", family, port) + bytes(one ^ other for one, other in zip(address.packed, mask, strict=False))
    # Both: devices of the time of Annex G know only the first, and RFC 5389 12.2 has the others read it too.
    both = _message(_BINDING_RESPONSE, response.transaction, _attribute(_MAPPED_ADDRESS, mapped) + _attribute(_XOR_MAPPED_ADDRESS, hidden))
    return both if len(both) <= longest else _message(_BINDING_RESPONSE, response.transaction, _attribute(_MAPPED_ADDRESS, mapped))


def decode_response(datagram: bytes) -> BindingResponse:
    """Read the server's answer, as a device does. PeerError with a reason for everything else."""
    kind = int.from_bytes(datagram[:2])
    transaction, attributes = _attributes(datagram, _BINDING_ERROR if kind == _BINDING_ERROR else _BINDING_RESPONSE)
    if kind == _BINDING_ERROR:
        code = attributes.get(_ERROR_CODE, b"")
        if len(code) < 4:
            raise PeerError("A STUN error without a code.", reason="stun_malformed")
        return BindingResponse(transaction, error_code=(code[2] & 7) * 100 + code[3] % 100)
    mapped = attributes.get(_MAPPED_ADDRESS, b"")
    if len(mapped) not in {8, 20} or mapped[1] != (1 if len(mapped) == 8 else 2):
        raise PeerError("A STUN answer without an address.", reason="stun_malformed")
    address = IPv4Address(mapped[4:]) if len(mapped) == 8 else IPv6Address(mapped[4:])
    return BindingResponse(transaction, str(address), int.from_bytes(mapped[2:4]))


def build_wake(wake: WakeRequest, *, host: str, port: int, password: Secret) -> bytes:
    """The datagram of a UDP connection request to that address; it is sent three times, as it stands (Annex G.2.2.3)."""
    signature = _signature(wake, password)
    netloc = f"[{host}]" if ":" in host else host
    query = f"ts={wake.timestamp}&id={wake.id}&un={quote(wake.username, safe='')}&cn={quote(wake.cnonce, safe='')}&sig={signature}"
    return f"GET http://{netloc}:{port}?{query} HTTP/1.1\r\nHost: {netloc}:{port}\r\n\r\n".encode()


# Annex G.2.2.3: the message is an HTTP 1.1 GET request whose URI has the arguments ts, id, un, cn and sig.
_request_line = re.compile(r"GET\s+http://[^?\s]{0,300}\?([^\s]{1,1000})\s+HTTP/1\.[01]\r?\n", re.IGNORECASE).match


def read_wake(datagram: bytes, *, password: Secret) -> WakeRequest:
    """Read a UDP connection request as a device does. PeerError when it is none, or its signature is wrong (`wake_signature`).

    Whether its timestamp is larger than the last one and its id a new one is the device's to remember.
    """
    if len(datagram) > MAX_WAKE_BYTES or not datagram.isascii():
        raise PeerError("No UDP connection request.", reason="wake_malformed")
    found = _request_line(datagram.decode("ascii"))
    if found is None:
        raise PeerError("No UDP connection request.", reason="wake_malformed")
    try:
        stated = parse_qsl(found[1], keep_blank_values=True, max_num_fields=16)
    except ValueError:
        raise PeerError("A UDP connection request with too many arguments.", reason="wake_malformed") from None
    arguments = dict(stated)
    if len(arguments) != len(stated) or not {"ts", "id", "un", "cn", "sig"} <= arguments.keys():
        raise PeerError("A UDP connection request without its arguments, or with one twice.", reason="wake_malformed")
    if any(len(value) > MAX_TEXT_CHARS for value in arguments.values()) or not _are_numbers(arguments["ts"], arguments["id"]):
        raise PeerError("A UDP connection request with arguments that make no sense.", reason="wake_malformed")
    wake = WakeRequest(int(arguments["ts"]), int(arguments["id"]), arguments["un"], arguments["cn"])
    # The signature covers the texts as they were sent; a number has one spelling here.
    given = arguments["sig"].lower().encode("utf-8", "replace")
    if arguments["ts"] != str(wake.timestamp) or arguments["id"] != str(wake.id):
        raise PeerError("A UDP connection request with an odd number.", reason="wake_malformed")
    if not hmac.compare_digest(_signature(wake, password).encode(), given):
        raise PeerError("A UDP connection request with a wrong signature.", reason="wake_signature")
    return wake


def _signature(wake: WakeRequest, password: Secret) -> str:
    """Sig = HMAC-SHA1(ConnectionRequestPassword, ts || id || un || cn), in hexadecimal (Annex G.2.2.3)."""
    text = f"{wake.timestamp}{wake.id}{wake.username}{wake.cnonce}"
    return hmac.new(password.open().encode(), text.encode("utf-8", "replace"), hashlib.sha1).hexdigest()


def _are_numbers(*texts: str) -> bool:
    return all(text.isascii() and text.isdigit() and len(text) <= 20 for text in texts)


def _is_new(transaction: bytes) -> bool:
    return len(transaction) == 12


def _message(kind: int, transaction: bytes, attributes: bytes, *, extra: int = 0) -> bytes:
    identity = transaction if len(transaction) == 16 else MAGIC_COOKIE.to_bytes(4) + transaction
    assert len(identity) == 16, "a transaction id of 12 bytes, or of 16"
    return struct.pack(">HH", kind, len(attributes) + extra) + identity + attributes


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(kind, len(value)) + value + bytes(-len(value) % 4)


def _attributes(datagram: bytes, kind: int) -> tuple[bytes, dict[int, bytes]]:
    """Transaction id and attributes; of one that comes twice the first counts (RFC 5389 15)."""
    if len(datagram) > MAX_DATAGRAM_BYTES:
        raise PeerError(f"A STUN message of more than {MAX_DATAGRAM_BYTES} bytes.", reason="stun_oversized")
    if len(datagram) < 20:
        raise PeerError("No STUN message.", reason="not_stun")
    found, size, cookie, rest = _HEADER.unpack_from(datagram)
    if found != kind or size != len(datagram) - 20 or size % 4:
        raise PeerError("No STUN message of the kind that is expected.", reason="not_stun")
    attributes: dict[int, bytes] = {}
    for name, start, length in _walk(datagram):
        attributes.setdefault(name, datagram[start : start + length])
    return (rest if cookie == MAGIC_COOKIE else datagram[4:20]), attributes


def _walk(datagram: bytes) -> list[tuple[int, int, int]]:
    """Type, offset of the value and its length, for each attribute."""
    found: list[tuple[int, int, int]] = []
    offset = 20
    while offset < len(datagram):
        name, length = _ATTRIBUTE.unpack_from(datagram, offset)
        following = offset + 4 + length + -length % 4
        if following > len(datagram) or len(found) >= MAX_ATTRIBUTES:
            raise PeerError("A STUN message whose attributes do not fit.", reason="stun_malformed")
        found.append((name, offset + 4, length))
        offset = following
    return found


def _integrity_offset(datagram: bytes) -> int:
    return next((start - 4 for name, start, _length in _walk(datagram) if name == _MESSAGE_INTEGRITY), -1)
