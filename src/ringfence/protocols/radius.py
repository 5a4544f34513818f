"""RADIUS accounting (RFC 2866) as a server reads and answers it, and as a NAS writes it: bytes to values and back, nothing else.

The one thing to know: the Request Authenticator is checked before any attribute is looked at, so whoever does not know the shared secret
reaches a hash and no parser. What the house has no use for (octets, ports, other vendors) is skipped, and Proxy-State is carried because
the answer must repeat it.
"""

import hashlib
import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum, unique
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Any, NamedTuple

from ringfence.base.errors import PeerError
from ringfence.base.secret import Secret

MIN_PACKET_BYTES = 20
MAX_PACKET_BYTES = 4_096
"""RFC 2866 3: Length is 20 to 4096; what is shorter or longer is discarded. Octets beyond Length are padding."""
MAX_PREFIXES = 16
"""Addresses and prefixes of IPv6 in one packet; more is refused as `radius_too_many`."""
MAX_PROXY_STATES = 16
"""Each proxy on the way adds one."""

_REQUEST, _RESPONSE = 4, 5
_HEADER = struct.Struct(">BBH16s")
_NO_AUTHENTICATOR = bytes(16)
_DSL_FORUM = 3561
"""Enterprise number of the DSL Forum (RFC 4679)."""


@unique
class AcctStatus(IntEnum):
    """Acct-Status-Type (RFC 2866 5.1)."""

    START = 1
    STOP = 2
    INTERIM_UPDATE = 3
    ACCOUNTING_ON = 7
    ACCOUNTING_OFF = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountingRequest:
    """An Accounting-Request. Texts that are not printable UTF-8 stand as `0x` and hexadecimal; empty or None: not in the packet."""

    identifier: int
    status: int
    """Acct-Status-Type; one that `AcctStatus` does not know is read too, so that it can be answered."""
    session_id: str = ""
    user_name: str = ""
    nas_ip_address: str = ""
    nas_ipv6_address: str = ""
    nas_identifier: str = ""
    nas_port_id: str = ""
    framed_ip_address: str = ""
    framed_ipv6_addresses: tuple[str, ...] = ()
    framed_ipv6_prefixes: tuple[str, ...] = ()
    delegated_ipv6_prefixes: tuple[str, ...] = ()
    event_timestamp: int | None = None
    """Unix seconds (RFC 2869 5.3)."""
    delay_seconds: int = 0
    """How long the NAS has been trying to send this (Acct-Delay-Time)."""
    session_seconds: int | None = None
    terminate_cause: int | None = None
    calling_station_id: str = ""
    called_station_id: str = ""
    circuit_id: str = ""
    """Agent-Circuit-Id of the access node (RFC 4679 3.3.1)."""
    remote_id: str = ""
    proxy_states: tuple[bytes, ...] = ()
    authenticator: bytes = field(default=b"", compare=False, repr=False)
    """As it was received; `encode_request` makes its own."""


_DELAY, _VENDOR_SPECIFIC, _PROXY_STATE = 41, 26, 33
_AGENT_TEXTS = {1: "circuit_id", 2: "remote_id"}


def decode_request(datagram: bytes, secret: Secret) -> AccountingRequest:
    """Read an Accounting-Request of a client with that secret.

    PeerError: `radius_length`, `not_accounting`, `radius_authenticator` (before any attribute is read), `radius_malformed`,
    `radius_too_many`. Of an attribute that may stand once the first counts.
    """
    if not MIN_PACKET_BYTES <= len(datagram) <= MAX_PACKET_BYTES:
        raise PeerError(f"A RADIUS packet of {len(datagram)} bytes; 20 to 4096 are possible.", reason="radius_length")
    code, identifier, length, authenticator = _HEADER.unpack_from(datagram)
    if not MIN_PACKET_BYTES <= length <= len(datagram):
        raise PeerError("A RADIUS packet that is shorter than it says.", reason="radius_length")
    if code != _REQUEST:
        raise PeerError(f"A RADIUS packet with code {code}, which is no Accounting-Request.", reason="not_accounting")
    packet = datagram[:length]
    if not hmac.compare_digest(_request_authenticator(packet, secret), authenticator):
        raise PeerError("An Accounting-Request that was not made with the shared secret.", reason="radius_authenticator")
    return _request(identifier, authenticator, packet[MIN_PACKET_BYTES:])


def encode_response(request: AccountingRequest, secret: Secret) -> bytes:
    """The Accounting-Response: the NAS may forget the record now. It repeats every Proxy-State, and is never longer than the request."""
    attributes = b"".join(_attribute(_PROXY_STATE, state) for state in request.proxy_states)
    head = struct.pack(">BBH", _RESPONSE, request.identifier, MIN_PACKET_BYTES + len(attributes))
    # RFC 2866 3: MD5(Code + Identifier + Length + Request Authenticator + attributes + secret).
    authenticator = _md5(head + request.authenticator + attributes + secret.open().encode())
    return head + authenticator + attributes


def encode_request(request: AccountingRequest, secret: Secret) -> bytes:
    """An Accounting-Request as a NAS sends it. ValueError when it does not fit into 4096 bytes."""
    attributes = bytearray()
    for kind, (name, form) in _ATTRIBUTES.items():
        stated = getattr(request, name)
        values = stated if isinstance(stated, tuple) else () if stated in {None, ""} or (kind == _DELAY and not stated) else (stated,)
        for value in values:
            attributes += _attribute(kind, form.write(value))
    for kind, name in _AGENT_TEXTS.items():
        if text := getattr(request, name):
            attributes += _attribute(_VENDOR_SPECIFIC, struct.pack(">I", _DSL_FORUM) + _attribute(kind, text.encode()))
    for state in request.proxy_states:
        attributes += _attribute(_PROXY_STATE, state)
    if len(attributes) > MAX_PACKET_BYTES - MIN_PACKET_BYTES:
        raise ValueError("the attributes do not fit into one packet")
    packet = _HEADER.pack(_REQUEST, request.identifier, MIN_PACKET_BYTES + len(attributes), _NO_AUTHENTICATOR) + attributes
    return packet[:4] + _request_authenticator(packet, secret) + packet[MIN_PACKET_BYTES:]


def check_response(datagram: bytes, request: bytes, secret: Secret) -> int:
    """The identifier that an Accounting-Response answers; `request` is the packet that was sent. PeerError when it is no answer to it."""
    if not MIN_PACKET_BYTES <= len(datagram) <= MAX_PACKET_BYTES:
        raise PeerError("A RADIUS answer of impossible length.", reason="radius_length")
    code, identifier, length, authenticator = _HEADER.unpack_from(datagram)
    if code != _RESPONSE or identifier != request[1] or not MIN_PACKET_BYTES <= length <= len(datagram):
        raise PeerError("No Accounting-Response to this request.", reason="not_accounting")
    expected = _md5(datagram[:4] + request[4:MIN_PACKET_BYTES] + datagram[MIN_PACKET_BYTES:length] + secret.open().encode())
    if not hmac.compare_digest(expected, authenticator):
        raise PeerError("An Accounting-Response that was not made with the shared secret.", reason="radius_authenticator")
    return int(identifier)


def _request_authenticator(packet: bytes, secret: Secret) -> bytes:
    """RFC 2866 3: MD5(Code + Identifier + Length + 16 zero octets + request attributes + shared secret)."""
    return _md5(packet[:4] + _NO_AUTHENTICATOR + packet[MIN_PACKET_BYTES:] + secret.open().encode())


def _md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def _request(identifier: int, authenticator: bytes, attributes: bytes) -> AccountingRequest:
    found: dict[str, object] = {}
    many: dict[str, list[object]] = {name: [] for name in _MANY}
    proxy_states: list[bytes] = []
    for kind, value in _walk(attributes):
        if (known := _ATTRIBUTES.get(kind)) is not None:
            name, form = known
            if name in many:
                many[name].append(form.read(value))
            elif name not in found:
                found[name] = form.read(value)
        elif kind == _PROXY_STATE:
            proxy_states.append(value)
        elif kind == _VENDOR_SPECIFIC:
            found = _of_agent(value) | found
    if "status" not in found:
        # RFC 2866 5.13: exactly one.
        raise PeerError("An Accounting-Request without Acct-Status-Type.", reason="radius_malformed")
    if sum(map(len, many.values())) > MAX_PREFIXES or len(proxy_states) > MAX_PROXY_STATES:
        raise PeerError("An Accounting-Request with too many prefixes or Proxy-States.", reason="radius_too_many")
    found |= {name: tuple(values) for name, values in many.items()}
    found |= {"proxy_states": tuple(proxy_states), "authenticator": authenticator}
    return AccountingRequest(identifier=identifier, **found)  # type: ignore[arg-type]  # Names and kinds stand in `_ATTRIBUTES`.


def _walk(attributes: bytes) -> list[tuple[int, bytes]]:
    """Type and value of each attribute, whose length covers both its own octets."""
    found: list[tuple[int, bytes]] = []
    offset, size = 0, len(attributes)
    while offset < size:
        length = attributes[offset + 1] if offset + 1 < size else 0
        if length < 2 or offset + length > size:
            raise PeerError("A RADIUS packet whose attributes do not fit.", reason="radius_malformed")
        found.append((attributes[offset], attributes[offset + 2 : offset + length]))
        offset += length
    return found


def _of_agent(value: bytes) -> dict[str, object]:
    """Circuit and remote id, when the vendor is the DSL Forum; what other vendors write is their own."""
    if len(value) < 4 or int.from_bytes(value[:4]) != _DSL_FORUM:
        return {}
    return {_AGENT_TEXTS[kind]: _text(content) for kind, content in reversed(_walk(value[4:])) if kind in _AGENT_TEXTS}


def _sized(value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise PeerError(f"A RADIUS attribute of {len(value)} bytes where {size} belong.", reason="radius_malformed")
    return value


def _prefix(value: bytes) -> str:
    """RFC 3162 2.3: a reserved octet, Prefix-Length, and as many octets of the prefix as were worth sending; other bits count as 0."""
    if not 2 <= len(value) <= 18 or value[1] > 128:
        raise PeerError("A RADIUS attribute that holds no IPv6 prefix.", reason="radius_malformed")
    return str(IPv6Network((value[2:].ljust(16, b"\0"), value[1]), strict=False))


def _text(value: bytes) -> str:
    """Printable UTF-8 as it is, without the zeros that some put behind it; everything else in hexadecimal, so that nothing gets lost."""
    bare = value.rstrip(b"\0")
    try:
        text = bare.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    return text if text.isprintable() and (text or not bare) else _in_hexadecimal(bare)


def _in_hexadecimal(value: bytes) -> str:
    """Short enough to be an attribute of the DSL Forum again (247 bytes): of a long value the beginning, and a digest of all of it."""
    return f"0x{value.hex()}" if len(value) <= 120 else f"0x{value[:90].hex()}{hashlib.sha256(value).hexdigest()}"


def _attribute(kind: int, value: bytes) -> bytes:
    if not len(value) <= 253:
        raise ValueError(f"an attribute holds 253 bytes, not {len(value)}")
    return bytes((kind, len(value) + 2)) + value


def _write_prefix(text: str) -> bytes:
    network = IPv6Network(text)
    return bytes((0, network.prefixlen)) + network.network_address.packed[: -(-network.prefixlen // 8)]


class _Form(NamedTuple):
    """How a kind of value is read and written."""

    read: Callable[[bytes], object]
    write: Callable[[Any], bytes]


_TEXT = _Form(_text, str.encode)
_NUMBER = _Form(lambda value: int.from_bytes(_sized(value, 4)), lambda number: struct.pack(">I", number))
_IPV4 = _Form(lambda value: str(IPv4Address(_sized(value, 4))), lambda text: IPv4Address(text).packed)
_IPV6 = _Form(lambda value: str(IPv6Address(_sized(value, 16))), lambda text: IPv6Address(text).packed)
_PREFIX = _Form(_prefix, _write_prefix)

# RFC 2865 5, 2866 5, 2869 5, 3162 2, 4818 3, 6911 3.1.
_ATTRIBUTES: dict[int, tuple[str, _Form]] = {
    1: ("user_name", _TEXT),
    4: ("nas_ip_address", _IPV4),
    8: ("framed_ip_address", _IPV4),
    30: ("called_station_id", _TEXT),
    31: ("calling_station_id", _TEXT),
    32: ("nas_identifier", _TEXT),
    40: ("status", _NUMBER),
    41: ("delay_seconds", _NUMBER),
    44: ("session_id", _TEXT),
    46: ("session_seconds", _NUMBER),
    49: ("terminate_cause", _NUMBER),
    55: ("event_timestamp", _NUMBER),
    87: ("nas_port_id", _TEXT),
    95: ("nas_ipv6_address", _IPV6),
    97: ("framed_ipv6_prefixes", _PREFIX),
    123: ("delegated_ipv6_prefixes", _PREFIX),
    168: ("framed_ipv6_addresses", _IPV6),
}
_MANY = frozenset(name for name, _form in _ATTRIBUTES.values() if name.endswith(("prefixes", "addresses")))
