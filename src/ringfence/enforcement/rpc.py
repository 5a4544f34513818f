"""JSON-RPC 2.0 over HTTP/1.1 as Kamailio's xhttp and jsonrpcs speak it: requests to bytes, bytes to replies. Sans-IO.

Members stand in the order that the include insists on. Replies come in the order of the requests; batches are not used because Kamailio
5.6 answers them with nothing. Whatever an edge sends is bounded and either a reply or a PeerError.
"""

from dataclasses import dataclass

import msgspec

from ringfence.base.errors import PeerError

MAX_HEAD_BYTES = 8 * 1024
MAX_BODY_BYTES = 16 * 1024 * 1024
"""A dump of 20,000 keys is about 3 MB."""
MAX_DUMP_KEYS = 200_000
OVER = 5
"""State of a dialog that ended."""

_STATUS = b"HTTP/1."


class _Request(msgspec.Struct):
    jsonrpc: str
    method: str
    params: list[str | int]
    id: int


class _Error(msgspec.Struct):
    message: str = ""
    code: int = 0


class _Reply(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw()
    error: _Error | None = None


class _Item(msgspec.Struct):
    name: str
    value: str | int


class _Got(msgspec.Struct):
    item: _Item


class _Slot(msgspec.Struct):
    slot: list[_Item]


class RunningDialog(msgspec.Struct, frozen=True):
    """A dialog of the edge, as `dlg.dlg_list` describes it; all zero when the edge knows none with that Call-ID."""

    h_entry: int = 0
    h_id: int = 0
    state: int = 0
    """1 to 3 not answered or not acknowledged yet, 4 confirmed, 5 over."""

    @property
    def runs(self) -> bool:
        """Whether it can be ended now, or will be able to be."""
        return 0 < self.state < OVER

    @property
    def confirmed(self) -> bool:
        """Whether `dlg.end_dlg` ends it: in no other state does it send anything, and it answers the same."""
        return self.state == OVER - 1


@dataclass(frozen=True, slots=True)
class HttpReply:
    """One reply of the edge."""

    status: int
    body: bytes


class MissingKeyError(PeerError):
    """The edge has no such key: an ordinary answer to get and delete."""


_encoder = msgspec.json.Encoder()
_reply = msgspec.json.Decoder(_Reply)
_got = msgspec.json.Decoder(_Got)
_slots = msgspec.json.Decoder(list[_Slot])
_dialog = msgspec.json.Decoder(RunningDialog)


def encode_request(method: str, params: list[str | int], *, head: bytes, request_id: int = 1) -> bytes:
    """A whole HTTP request. `head` comes from `request_head`."""
    body = _encoder.encode(_Request("2.0", method, params, request_id))
    return b"%b%d\r\n\r\n%b" % (head, len(body), body)


def request_head(host: str, path: str, token: str) -> bytes:
    """What all requests of a connection have in common."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nX-Ringfence-Token: {token}\r\nContent-Type: application/json\r\nContent-Length: "
    ).encode()


class ReplyReader:
    """Cuts a byte stream into replies."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._status = 0
        self._missing: int | None = None
        """Bytes of the body in hand; None while the head is read."""

    def receive_data(self, data: bytes) -> list[HttpReply]:
        """The replies that are complete now; PeerError when the stream is no HTTP or too large."""
        self._buffer += data
        replies = []
        while (reply := self._next()) is not None:
            replies.append(reply)
        return replies

    def _next(self) -> HttpReply | None:
        if self._missing is None:
            end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
            if end < 0:
                if len(self._buffer) >= MAX_HEAD_BYTES:
                    raise PeerError("the edge sent an endless head of a reply", reason="rpc_head_too_long")
                return None
            self._status, self._missing = _parse_head(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
        if len(self._buffer) < self._missing:
            return None
        body = bytes(self._buffer[: self._missing])
        del self._buffer[: self._missing]
        self._missing = None
        return HttpReply(self._status, body)


def result_of(reply: HttpReply) -> msgspec.Raw:
    """The result in a reply; MissingKeyError when the key is absent, PeerError with the edge's words otherwise."""
    if reply.status == 403:
        raise PeerError("the edge refused our token or address; compare its settings include with the token file", reason="rpc_forbidden")
    try:
        # Keys of other programs may hold any bytes; ours do not, and are read beside them.
        answer = _reply.decode(reply.body.decode("utf-8", "replace"))
    except msgspec.DecodeError:
        raise PeerError(f"the edge answered {reply.status} with something else than JSON-RPC", reason="rpc_malformed") from None
    if answer.error is not None:
        words = answer.error.message[:200]
        if "exist" in words or "not found in htable" in words:
            raise MissingKeyError(f"the edge says: {words!a}", reason="rpc_no_key")
        raise PeerError(f"the edge says: {words!a}", reason="rpc_error")
    return answer.result


def value_of(result: msgspec.Raw) -> str | int:
    """The value in the result of `htable.get`."""
    try:
        return _got.decode(result).item.value
    except msgspec.DecodeError:
        raise PeerError("the edge answered htable.get in an unknown form", reason="rpc_malformed") from None


def entries_of(result: msgspec.Raw) -> dict[str, str | int]:
    """Keys and values in the result of `htable.dump`."""
    try:
        found = {item.name: item.value for slot in _slots.decode(result) for item in slot.slot}
    except msgspec.DecodeError:
        raise PeerError("the edge answered htable.dump in an unknown form", reason="rpc_malformed") from None
    if len(found) > MAX_DUMP_KEYS:
        raise PeerError(f"a table of the edge holds more than {MAX_DUMP_KEYS} keys", reason="rpc_dump_too_long")
    return found


def dialog_of(result: msgspec.Raw) -> RunningDialog:
    """The dialog in the result of `dlg.dlg_list` for one call."""
    try:
        return _dialog.decode(result)
    except msgspec.DecodeError:
        raise PeerError("the edge answered dlg.dlg_list in an unknown form", reason="rpc_malformed") from None


def _parse_head(head: bytes) -> tuple[int, int]:
    """Status and length of the body. Kamailio always sends a length; other transfer codings are refused."""
    lines = head.split(b"\r\n")
    parts = lines[0].split(b" ", 2)
    if not lines[0].startswith(_STATUS) or len(parts) < 2 or not parts[1].isdigit() or len(parts[1]) != 3:
        raise PeerError("the edge's listener does not speak HTTP", reason="rpc_not_http")
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            text = value.strip()
            if not text.isdigit() or len(text) > 9 or int(text) > MAX_BODY_BYTES:
                raise PeerError("the edge announced a reply of an impossible length", reason="rpc_body_too_long")
            return int(parts[1]), int(text)
    raise PeerError("the edge sent a reply without Content-Length", reason="rpc_no_length")
