"""The PROXY protocol, version 2: what a trusted proxy says about the connection that it passes on.

Binary form only (haproxy's proxy-protocol.txt, section 2.2): the text form is easier to forge through a proxy that passes bytes on.
Pure. The one thing to know: whoever may send this header can say to be anybody, so `front` reads it from the stated proxy alone.
"""

import ipaddress
from dataclasses import dataclass

from ringfence.base.errors import PeerError

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
HEADER_BYTES = 16
MAX_BYTES = 2048
"""Of addresses and their additions (TLV) together."""

_SSL, _SSL_CN = 0x20, 0x22
_CLIENT_SSL, _CLIENT_CERT = 0x01, 0x06


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxied:
    """Who is behind the proxy; `used` bytes were read. `address` empty: the proxy speaks for itself (a health check)."""

    address: str
    port: int
    tls: bool
    certificate_name: str
    used: int


def read_proxy_header(data: bytes) -> Proxied | None:
    """Read the header at the beginning of a stream; None while more bytes are needed. PeerError when it is none."""
    if data[: len(SIGNATURE)] != SIGNATURE[: len(data)]:
        raise PeerError("No PROXY header of version 2.", reason="proxy_header")
    if len(data) < HEADER_BYTES:
        return None
    version, family, length = data[12], data[13], int.from_bytes(data[14:16])
    if version not in {0x20, 0x21} or length > MAX_BYTES:
        raise PeerError("A PROXY header of another version or command.", reason="proxy_header")
    if len(data) < HEADER_BYTES + length:
        return None
    body, used = data[HEADER_BYTES : HEADER_BYTES + length], HEADER_BYTES + length
    if version == 0x20:  # LOCAL
        return Proxied(address="", port=0, tls=False, certificate_name="", used=used)
    size = {0x11: 4, 0x21: 16}.get(family)
    if size is None or length < 2 * size + 4:
        raise PeerError("A PROXY header without TCP addresses.", reason="proxy_header")
    tls, name = _tls(body[2 * size + 4 :])
    return Proxied(
        address=str(ipaddress.ip_address(body[:size])),
        port=int.from_bytes(body[2 * size : 2 * size + 2]),
        tls=tls,
        certificate_name=name,
        used=used,
    )


def _tls(additions: bytes) -> tuple[bool, str]:
    """Whether the client spoke TLS with the proxy, and the common name of its certificate when the proxy verified one."""
    found = dict(_values(additions)).get(_SSL, b"")
    if len(found) < 5 or not found[0] & _CLIENT_SSL:
        return False, ""
    verified = found[0] & _CLIENT_CERT and found[1:5] == bytes(4)
    name = dict(_values(found[5:])).get(_SSL_CN, b"") if verified else b""
    return True, name.decode("utf-8", "replace")


def _values(data: bytes) -> list[tuple[int, bytes]]:
    values, at = [], 0
    while at + 3 <= len(data):
        end = at + 3 + int.from_bytes(data[at + 1 : at + 3])
        if end > len(data):
            raise PeerError("A PROXY header with an addition that is cut short.", reason="proxy_header")
        values.append((data[at], data[at + 3 : end]))
        at = end
    return values
