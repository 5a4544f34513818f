"""One pipelined keep-alive connection to an edge's JSON-RPC.

Up to `WINDOW` requests are under way; Kamailio answers in order, and more than about fifty make it slower. A connection that breaks, stays
silent or answers nonsense ends as a whole: every request fails with UnavailableError or PeerError, and the caller connects again.
"""

import asyncio
import ssl
from collections import deque
from typing import cast
from urllib.parse import urlsplit

import msgspec

from ringfence.base.errors import OperatorError, PeerError, UnavailableError
from ringfence.base.secret import Secret
from ringfence.enforcement.rpc import (
    HttpReply,
    MissingKeyError,
    ReplyReader,
    RunningDialog,
    dialog_of,
    encode_request,
    entries_of,
    request_head,
    result_of,
    value_of,
)

WINDOW = 32
CONNECT_SECONDS = 3.0
SILENCE_SECONDS = 10.0
"""No byte for this long while requests are under way: the edge is stuck."""


class EdgeRpc(asyncio.Protocol):
    """Made by `connect_edge`."""

    def __init__(self, head: bytes, edge: str) -> None:
        self._head = head
        self._edge = edge
        self._reader = ReplyReader()
        self._transport: asyncio.Transport | None = None
        self._under_way: deque[asyncio.Future[msgspec.Raw]] = deque()
        self._waiting: deque[tuple[bytes, asyncio.Future[msgspec.Raw]]] = deque()
        self._pumping = False
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._watchdog: asyncio.TimerHandle | None = None
        self.lost: asyncio.Future[Exception] = self._loop.create_future()
        """Done with the cause when the connection is gone."""

    # -- requests ------------------------------------------------------------------------------------------------------------------

    def set_text(self, table: str, key: str, value: str, seconds: int) -> asyncio.Future[msgspec.Raw]:
        """`htable.setxs`: hold `value` for `seconds`."""
        return self._call("htable.setxs", [table, key, value, seconds])

    def set_number(self, table: str, key: str, value: int) -> asyncio.Future[msgspec.Raw]:
        """`htable.setxi` without an end."""
        return self._call("htable.setxi", [table, key, value, 0])

    def delete(self, table: str, key: str) -> asyncio.Future[msgspec.Raw]:
        """`htable.delete`; MissingKeyError when it was not there."""
        return self._call("htable.delete", [table, key])

    async def get(self, table: str, key: str) -> str | int | None:
        """`htable.get`: the value, None when there is no such key."""
        try:
            return value_of(await self._call("htable.get", [table, key]))
        except MissingKeyError:
            return None

    async def dump(self, table: str) -> dict[str, str | int]:
        """`htable.dump`: all keys of a table with their values."""
        return entries_of(await self._call("htable.dump", [table]))

    async def dialog(self, call_id: str) -> RunningDialog:
        """`dlg.dlg_list`: the dialog of a call; state 0 when the edge knows none. PeerError when it has no dialog module."""
        return dialog_of(await self._call("dlg.dlg_list", [call_id]))

    async def end_dialog(self, dialog: RunningDialog) -> None:
        """`dlg.end_dlg`: BYE to both sides."""
        await self._call("dlg.end_dlg", [dialog.h_entry, dialog.h_id])

    def close(self) -> None:
        """Close; requests under way fail."""
        self._end(UnavailableError("the connection was closed", reason="edge_closed"))

    # -- asyncio.Protocol ----------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        # uvloop's transports are transports in deed, not by inheritance.
        self._transport = cast("asyncio.Transport", transport)
        self._watchdog = self._loop.call_later(SILENCE_SECONDS / 4, self._watch)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        self._heard = self._loop.time()
        try:
            for reply in self._reader.receive_data(data):
                self._answer(reply)
        except PeerError as error:
            self._end(error)
            return
        if self._waiting and not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._end(UnavailableError(f"edge {self._edge} closed the connection: {exc or 'end of stream'}", reason="edge_lost"))

    # -- inside --------------------------------------------------------------------------------------------------------------------

    def _call(self, method: str, params: list[str | int]) -> asyncio.Future[msgspec.Raw]:
        future: asyncio.Future[msgspec.Raw] = self._loop.create_future()
        if self.lost.done():
            future.set_exception(self.lost.result())
            return future
        if not self._under_way:
            self._heard = self._loop.time()
        self._waiting.append((encode_request(method, params, head=self._head), future))
        if not self._pumping:
            # One write for all that is asked in this turn of the loop: a system call each would double the cost.
            self._pumping = True
            self._loop.call_soon(self._pump)
        return future

    def _pump(self) -> None:
        """Send what the window has room for, in one write."""
        self._pumping = False
        if self._transport is None or not self._waiting:
            return
        chunk = []
        while self._waiting and len(self._under_way) < WINDOW:
            request, future = self._waiting.popleft()
            chunk.append(request)
            self._under_way.append(future)
        if chunk:
            self._transport.write(b"".join(chunk))

    def _answer(self, reply: HttpReply) -> None:
        if not self._under_way:
            raise PeerError(f"edge {self._edge} answered what nobody asked", reason="rpc_unasked")
        future = self._under_way.popleft()
        if future.done():  # The caller was cancelled; the reply still belongs to that request.
            return
        try:
            future.set_result(result_of(reply))
        except PeerError as error:
            future.set_exception(error)

    def _watch(self) -> None:
        if self._under_way and self._loop.time() - self._heard > SILENCE_SECONDS:
            self._end(UnavailableError(f"edge {self._edge} did not answer for {SILENCE_SECONDS:.0f} s", reason="edge_silent"))
            return
        self._watchdog = self._loop.call_later(SILENCE_SECONDS / 4, self._watch)

    def _end(self, cause: Exception) -> None:
        if self.lost.done():
            return
        self.lost.set_result(cause)
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._transport is not None:
            self._transport.abort()
        for future in (*self._under_way, *(future for _request, future in self._waiting)):
            if not future.done():
                future.set_exception(cause)
        self._under_way.clear()
        self._waiting.clear()


async def connect_edge(name: str, url: str, token: Secret) -> EdgeRpc:
    """Connect to an edge; UnavailableError when it cannot be reached in three seconds."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise OperatorError(f"edge {name}: {url} is no HTTP address; write it like http://127.0.0.1:5065/rpc", reason="bad_edge_url")
    head = request_head(parts.netloc.rpartition("@")[2], parts.path or "/rpc", token.open())
    context = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (443 if context else 80)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            _transport, rpc = await asyncio.get_running_loop().create_connection(
                lambda: EdgeRpc(head, name), parts.hostname, port, ssl=context
            )
    except (OSError, TimeoutError) as error:
        why = str(error) or "no answer"
        raise UnavailableError(f"edge {name} cannot be reached at {parts.hostname}:{port}: {why}", reason="edge_down") from None
    return rpc
