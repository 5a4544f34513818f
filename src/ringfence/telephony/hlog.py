"""What our Kamailio include says in HEP log packets: JSON, version 1.

One event is one frozen value. Unknown fields are ignored; a field whose text is not plain comes as `<name>_hex` and is decoded here;
everything is cut to a bound. The one thing to know: `auth` with a positive code is the only way a call becomes an account's at an agent
of trust `hlog`, and `call_id` is shortened exactly as the SIP reader does it, so that both name the same call.
"""

import hashlib
from typing import Literal

import msgspec

from ringfence.base.errors import PeerError
from ringfence.protocols.sip.parse import MAX_IDENTIFIER_CHARS
from ringfence.telephony.model import Flag

MAX_EVENT_BYTES = 16_384
MAX_TEXT_CHARS = 512
"""Of request_uri, account and the rest, when longer: cut."""

REFUSED_CODES = frozenset({-2, -3, -8, 401, 403, 404})
"""Credentials were given and are wrong. A missing (-5) or stale (-4) nonce is the protocol at work and no failure."""


NONCE_REUSED_CODE = -6
"""A nonce that was used before, where each counts once. Kamailio says so before it looks at the password: that may be right or wrong."""
STATUS_OF_CODE = {-2: 401, -3: 404, -8: 403, NONCE_REUSED_CODE: 0}
"""Kamailio's verdicts as the status they mean: wrong password, unknown user, user that does not match; a used nonce is none of these."""


def flags_of_code(code: int) -> int:
    """What a verdict says beyond its status: NONCE_REUSED, USER_MISMATCH."""
    return int(Flag.NONCE_REUSED) if code == NONCE_REUSED_CODE else int(Flag.USER_MISMATCH) if code == -8 else 0


class HlogEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event. Texts are empty when absent; `code` is Kamailio's verdict (positive: authenticated) or the status sent."""

    v: int
    event: Literal["auth", "blocked", "dialog_start", "dialog_end"]
    edge: str = ""
    at_s: int = 0
    at_us: int = 0
    call_id: str = ""
    from_tag: str = ""
    to_tag: str = ""
    cseq: int = 0
    method: str = ""
    account: str = ""
    realm: str = ""
    code: int = 0
    credential: str = ""
    peer_ip: str = ""
    peer_port: int = 0
    request_uri: str = ""
    user_agent: str = ""
    key: str = ""
    block_id: str = ""

    @property
    def at_ms(self) -> int:
        """The edge's time in Unix milliseconds, 0 when it gave none."""
        return self.at_s * 1000 + self.at_us // 1000

    @property
    def authenticated(self) -> bool:
        """Whether this server accepted the credentials."""
        return self.event == "auth" and self.code > 0 and self.code not in REFUSED_CODES and self.code != 407


_HEX = ("call_id", "from_tag", "to_tag", "method", "account", "realm", "request_uri", "user_agent", "key", "block_id", "edge", "peer_ip")
_Raw = msgspec.defstruct("_Raw", [(f"{name}_hex", str, "") for name in _HEX])
_decoder = msgspec.json.Decoder(HlogEvent)
_hex_decoder = msgspec.json.Decoder(_Raw)
_encoder = msgspec.json.Encoder()


def decode_event(payload: bytes) -> HlogEvent:
    """Read one event. PeerError (`hlog_too_long`, `hlog_malformed`, `hlog_version`) when it is none."""
    if len(payload) > MAX_EVENT_BYTES:
        raise PeerError(f"An event has more than {MAX_EVENT_BYTES} bytes.", reason="hlog_too_long")
    try:
        event = _decoder.decode(payload)
        spelled = _unspelled(payload) if b'_hex"' in payload else {}
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise PeerError("An event is not the JSON of version 1.", reason="hlog_malformed") from None
    if event.v != 1:
        raise PeerError(f"An event has version {event.v}; only 1 is known.", reason="hlog_version")
    if not (0 <= event.at_s < 2**33 and 0 <= event.at_us < 1_000_000 and 0 <= event.peer_port < 65_536 and 0 <= event.cseq < 2**32):
        raise PeerError("An event has a number out of its range.", reason="hlog_malformed")
    # A text has no more characters than the whole has bytes: an ordinary event needs one look.
    for name in _HEX if len(payload) > MAX_TEXT_CHARS else ("call_id",):
        if len(getattr(event, name)) > (MAX_IDENTIFIER_CHARS if name == "call_id" else MAX_TEXT_CHARS):
            spelled.setdefault(name, getattr(event, name))
    if spelled:
        event = msgspec.structs.replace(event, **{name: _bounded(name, text) for name, text in spelled.items()})
    return event


def encode_event(event: HlogEvent) -> bytes:
    """JSON of an event, for simulators and tests."""
    return _encoder.encode(event)


def _unspelled(payload: bytes) -> dict[str, str]:
    raw = _hex_decoder.decode(payload)
    found: dict[str, str] = {}
    for name in _HEX:
        text = getattr(raw, f"{name}_hex")
        if text:
            try:
                found[name] = bytes.fromhex(text).decode("utf-8", "backslashreplace")
            except ValueError:
                raise PeerError(f"The field {name}_hex of an event is not hexadecimal.", reason="hlog_malformed") from None
    return found


def _bounded(name: str, text: str) -> str:
    if name != "call_id":
        return text[:MAX_TEXT_CHARS]
    if len(text) <= MAX_IDENTIFIER_CHARS:
        return text
    whole = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
    return f"{text[: MAX_IDENTIFIER_CHARS - 25]}~{whole}"
