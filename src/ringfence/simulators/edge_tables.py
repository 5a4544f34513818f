"""The tables of a simulated SIP edge and the JSON-RPC that fills them, as Kamailio 5.6 with our include behaves.

Answers in order on a keep-alive connection, byte for byte in Kamailio's forms (500 for a missing key on get, 404 on delete, `NEVER`, dumps
as slots). Look-ups follow the include: shards by MD5, prefixes of 3 to 15 digits, `until` inside the value. It imports nothing of the room
that drives it.
"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from ringfence.base.clock import Clock
from ringfence.base.secret import Secret

TABLES = (*(f"rf_{digit:x}" for digit in range(16)), "rf_num", "rf_meta")
VERSION = "1"
MAX_HEAD_BYTES = 8 * 1024
MAX_BODY_BYTES = 64 * 1024
MAX_KEYS = 20_000
"""Of one table: beyond, a stock Kamailio answers no dump."""

Value = str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogs:
    """What `dlg.*` commands reach: the running calls of the edge."""

    find: Callable[[str], tuple[int, int] | None]
    """The two numbers of the running call with a Call-ID."""
    end: Callable[[int, int], bool]
    """End the call of two numbers; whether there was one."""


class EdgeTables:
    """What the edge holds. `forget` is a restart."""

    def __init__(self, clock: Clock, dialogs: Dialogs | None = None) -> None:
        self._clock = clock
        self.dialogs = dialogs
        """None: an edge without the dialog module."""
        self._held: dict[str, dict[str, tuple[Value, int]]] = {}
        self.sets = 0
        self.forget()

    def forget(self) -> None:
        """Shared memory starts empty."""
        self._held = {table: {} for table in TABLES}

    def set(self, table: str, key: str, value: Value, seconds: int) -> None:
        """Hold a value for some seconds; 0 for ever (a year in Kamailio's tables)."""
        if table in self._held:
            self._held[table][key] = (value, self._clock() // 1000 + seconds if seconds > 0 else 0)
            self.sets += 1

    def get(self, table: str, key: str) -> Value | None:
        """The value, None when there is none or its time is over."""
        found = self._held.get(table, {}).get(key)
        if found is None or (found[1] and found[1] < self._clock() // 1000):
            return None
        return found[0]

    def delete(self, table: str, key: str) -> bool:
        """Whether there was something to delete."""
        return self._held.get(table, {}).pop(key, None) is not None

    def all(self, table: str) -> dict[str, Value] | None:
        """Keys and values of a table; None when there is no such table."""
        if table not in self._held:
            return None
        return {key: value for key in self._held[table] if (value := self.get(table, key)) is not None}

    def blocked_source(self, address: str) -> str:
        """Id of the block of a source; empty when there is none."""
        action, block_id = self._judge(f"s:{address}")
        return block_id if action == "all" else ""

    def blocked_account(self, account: str, destination_class: int) -> str:
        """Id of the account's block that refuses a call of this class."""
        action, block_id = self._judge(f"a:{account}")
        if action == "all" or (action[:1] == "C" and destination_class >= int(action[1:])):
            return block_id
        return ""

    def blocked_number(self, digits: str) -> tuple[str, str]:
        """Block and key of a called number or of a range it is in, the longest first; empty when there is none."""
        for length in range(min(15, len(digits)), 2, -1):
            action, block_id = self._read(self.get("rf_num", digits[:length]))
            if action == "all":
                return block_id, digits[:length]
        return "", ""

    def _judge(self, key: str) -> tuple[str, str]:
        shard = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()[0]
        return self._read(self.get(f"rf_{shard}", key))

    def _read(self, value: Value | None) -> tuple[str, str]:
        """Action and block of a value `action|until|block_id`; nothing when it is past its time."""
        parts = value.split("|") if isinstance(value, str) else []
        if len(parts) != 3 or not parts[1].isdigit() or int(parts[1]) <= self._clock() // 1000:
            return "", ""
        return parts[0], parts[2]


class RpcServer(asyncio.Protocol):
    """One connection to the JSON-RPC listener."""

    def __init__(self, tables: EdgeTables, token: Secret, connections: set["RpcServer"]) -> None:
        self._tables = tables
        self._token = token
        self._connections = connections
        self._buffer = bytearray()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        # uvloop's transports are transports in deed, not by inheritance.
        self.transport = cast("asyncio.Transport", transport)
        self._connections.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Called by the loop."""
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._buffer += data
        replies = []
        while (request := self._next()) is not None:
            replies.append(self._answer(*request))
        if replies and self.transport is not None:
            self.transport.write(b"".join(replies))

    def _next(self) -> tuple[dict[str, str], bytes] | None:
        end = self._buffer.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
        if end < 0:
            if len(self._buffer) >= MAX_HEAD_BYTES:
                self._hang_up()
            return None
        lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY_BYTES:
            self._hang_up()
            return None
        whole = end + 4 + int(length)
        if len(self._buffer) < whole:
            return None
        body = bytes(self._buffer[end + 4 : whole])
        del self._buffer[:whole]
        return {**headers, ":line": lines[0]}, body

    def _hang_up(self) -> None:
        self._buffer.clear()
        if self.transport is not None:
            self.transport.abort()

    def _answer(self, headers: dict[str, str], body: bytes) -> bytes:
        if not hmac.compare_digest(headers.get("x-ringfence-token", "").encode(), self._token.open().encode()):
            return _http(403, "Forbidden", b"Wrong token\n", "text/plain")
        try:
            request = json.loads(body)
            method, params, number = request["method"], list(request["params"]), request["id"]
        except (ValueError, KeyError, TypeError):
            return _http(400, "Bad Request", b"", "text/plain")
        if self._tables.get("rf_meta", "version") is None:
            self._tables.set("rf_meta", "version", VERSION, 0)
        status, phrase, member = self._carry_out(method, params)
        content = json.dumps({"jsonrpc": "2.0", **member, "id": number}, ensure_ascii=False).encode()
        return _http(status, phrase, content, "application/json")

    def _carry_out(self, method: str, params: list[Any]) -> tuple[int, str, dict[str, Any]]:
        table = params[0] if params else ""
        match method, params[1:]:
            case ("htable.setxs", [str(key), str() as value, int(seconds)]) | ("htable.setxi", [str(key), int() as value, int(seconds)]):
                answer = self._set(table, key, value, seconds)
            case "htable.get", [str(key)]:
                answer = self._get(table, key)
            case "htable.delete", [str(key)]:
                answer = _ok("Ok. Key deleted.") if self._tables.delete(table, key) else _error(404, "Key not found in htable.")
            case "htable.dump", []:
                answer = self._dump(table)
            case _ if self._tables.dialogs is not None and method.startswith("dlg."):
                answer = self._dialog(self._tables.dialogs, method, params)
            case _:
                answer = _error(500, "Method Not Found")
        return answer

    def _dialog(self, dialogs: Dialogs, method: str, params: list[Any]) -> tuple[int, str, dict[str, Any]]:
        match method, params:
            case "dlg.dlg_list", [str(call_id)]:
                found = dialogs.find(call_id)
                described = {"h_entry": found[0], "h_id": found[1], "call-id": call_id, "state": 4} if found else {}
                return 200, "OK", {"result": described}
            case "dlg.end_dlg", [int(entry), int(number)]:
                return (200, "OK", {"result": {}}) if dialogs.end(entry, number) else _error(404, "Dialog not found")
            case _:
                return _error(500, "Method Not Found")

    def _get(self, table: str, key: str) -> tuple[int, str, dict[str, Any]]:
        value = self._tables.get(table, key)
        if value is None:
            return _error(500, "Key name doesn't exist in htable.")
        item = {"name": key, "value": value, "flags": 0 if isinstance(value, int) else 2, "expire": "NEVER"}
        return 200, "OK", {"result": {"item": item}}

    def _set(self, table: str, key: str, value: Value, seconds: int) -> tuple[int, str, dict[str, Any]]:
        if table not in TABLES:
            return _error(500, "No such htable")
        self._tables.set(table, key, value, seconds)
        return _ok("Ok. Key set to new value.")

    def _dump(self, table: str) -> tuple[int, str, dict[str, Any]]:
        held = self._tables.all(table)
        if held is None:
            return _error(500, "No such htable")
        if len(held) > MAX_KEYS:
            return _error(500, "Internal error (out of memory)")
        slots = [
            {"entry": entry, "size": 1, "slot": [{"name": key, "value": value, "type": "int" if isinstance(value, int) else "str"}]}
            for entry, (key, value) in enumerate(held.items())
        ]
        return 200, "OK", {"result": slots}


def _ok(words: str) -> tuple[int, str, dict[str, Any]]:
    return 200, "OK", {"result": words}


def _error(code: int, words: str) -> tuple[int, str, dict[str, Any]]:
    return code, words, {"error": {"code": code, "message": words}}


def _http(status: int, phrase: str, body: bytes, content_type: str) -> bytes:
    head = f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {content_type}\r\nServer: simulated edge\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body
