"""The bus: JetStream streams, key-value buckets and plain requests behind one small door.

The only module that talks to nats-py, and of nats-py it uses the connection alone: JetStream's own requests are JSON over
`$JS.API` and are made here, so that every failure is one of two kinds (UnavailableError, ConflictError) and a request that was
under way when the server died fails at once instead of after its time-out. While the connection is down nothing is buffered:
a call waits for the connection as long as its own time-out allows. What was published and not acknowledged may be stored
nevertheless; readers are idempotent.
"""

import asyncio
import base64
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from ringfence.base.errors import ConflictError, OperatorError, UnavailableError
from ringfence.base.ids import new_id
from ringfence.base.secret import Secret
from ringfence.runtime.pull import IDLE, Arrival, Created, Idle, Mailbox, pull
from ringfence.runtime.streams import BUCKETS, BucketPlan, StreamPlan

if TYPE_CHECKING:
    from ringfence.runtime.bucket import Bucket

REQUEST_SECONDS = 5.0
CONNECT_SECONDS = 5.0
RECONNECT_SECONDS = 0.25
LISTEN_LIMIT = 65_536
"""Messages a plain subscription holds for a slow listener; further ones are dropped, as core NATS may always do."""

_NOT_FOUND = frozenset({10014, 10037, 10059})  # consumer, message, stream
_WRONG_SEQUENCE = frozenset({10071, 10164})
_STORE_FAILED = 10077

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message of a stream, or of a plain subject (then `sequence` and `at_ms` are 0). `at_ms` is the server's time."""

    subject: str
    payload: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    sequence: int = 0
    at_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Message):
    """A message of a durable consumer: it comes again until `ack()`."""

    bus: "Bus"
    reply: str

    async def ack(self) -> None:
        """Say that it was dealt with. When the connection is down the acknowledgement is lost and the message comes again."""
        await self.bus.acknowledge(self.reply)


class _Refusal(msgspec.Struct, frozen=True):
    code: int = 0
    err_code: int = 0
    description: str = ""


class _Answer(msgspec.Struct, frozen=True):
    error: _Refusal | None = None


class _PubAck(msgspec.Struct, frozen=True):
    seq: int = 0
    error: _Refusal | None = None


class RefusedError(UnavailableError):
    """JetStream answered with an error; `code` is its number."""

    def __init__(self, refusal: _Refusal) -> None:
        super().__init__(f"NATS refused: {refusal.description}", reason="bus_refused")
        self.code = refusal.err_code
        self.description = refusal.description


class Bus:
    """One connection. Made by `connect`; every coroutine raises UnavailableError when the server cannot be reached in time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._up = asyncio.Event()
        self._mailboxes: set[Mailbox] = set()
        self._connecting = True

    @classmethod
    async def connect(cls, url: str, *, user: str, password: Secret, name: str) -> "Bus":
        """Connect within five seconds or raise; afterwards reconnect for ever.

        Replies travel under `_INBOX_<user>.`, so that a permission can keep roles from reading each other's.
        """
        bus = cls(Client())
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await bus._client.connect(
                    url,
                    user=user or None,
                    password=password.open() or None,
                    name=name,
                    inbox_prefix=f"_INBOX_{user}" if user else "_INBOX",
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type]  # compared and slept as a float
                    ping_interval=5,
                    pending_size=-1,
                    error_cb=bus._on_error,
                    disconnected_cb=bus._on_disconnected,
                    reconnected_cb=bus._on_reconnected,
                    closed_cb=bus._on_closed,
                )
        except (TimeoutError, nats.errors.Error, OSError) as error:
            cause = bus._client.last_error if bus._client.last_error is not None else error
            await bus._client.close()
            if "Authorization" in str(cause):
                raise OperatorError(
                    f"NATS does not know user {user!r} with its password; compare nats_url or the keys folder with the server.",
                    reason="nats_password",
                ) from error
            raise UnavailableError(f"NATS cannot be reached: {cause}.", reason="nats_down") from error
        bus._connecting = False
        bus._up.set()
        return bus

    async def close(self) -> None:
        """Close the connection; readers end with UnavailableError."""
        await self._client.close()
        self._lose()

    @property
    def connected(self) -> bool:
        """Whether the server can be reached right now."""
        return self._up.is_set()

    # Streams

    async def ensure_stream(self, plan: StreamPlan | BucketPlan) -> None:
        """Create the stream unless it exists. An existing one keeps its settings (an operator may have given it replicas)."""
        name = plan.stream if isinstance(plan, BucketPlan) else plan.name
        try:
            await self.api(f"STREAM.INFO.{name}")
        except RefusedError as refused:
            if refused.code not in _NOT_FOUND:
                raise
            await self.api(f"STREAM.CREATE.{name}", plan.config())

    async def ensure_bucket(self, name: str) -> None:
        """Create a bucket of the plan unless it exists."""
        await self.ensure_stream(next(plan for plan in BUCKETS if plan.name == name))

    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str] | None = None) -> int:
        """Store a message in the stream of its subject; its sequence. JetStream has acknowledged (and, embedded, synced) it."""
        reply = await self._ask(subject, payload, headers)
        ack = msgspec.json.decode(reply.data, type=_PubAck)
        if ack.error is not None:
            if ack.error.err_code in _WRONG_SEQUENCE:
                raise ConflictError("The entry was changed by somebody else meanwhile.", reason="wrong_revision")
            raise RefusedError(ack.error)
        return ack.seq

    async def publish_once(self, subject: str, payload: bytes) -> bool:
        """Store the one message of this subject; False when it already has one."""
        try:
            await self.publish(subject, payload)
        except RefusedError as refused:
            if refused.code == _STORE_FAILED and "per subject" in refused.description:
                return False
            raise
        return True

    async def read(self, stream: str, *, from_sequence: int) -> AsyncGenerator[Message]:
        """Everything from `from_sequence` on, in order, without gap or repetition, for ever; through reconnects and restarts.

        Only a sequence that the stream has dropped by age is missing. ConflictError when the stream ends before
        `from_sequence - 1`: it is not the stream it was, and waiting for it to grow would skip messages silently.
        """
        async with contextlib.aclosing(self.follow(stream, from_sequence=from_sequence)) as arrivals:
            async for arrival in arrivals:
                if isinstance(arrival, Arrival):
                    yield _message(arrival)

    async def follow(
        self,
        stream: str,
        *,
        from_sequence: int = 0,
        newest_per_subject: bool = False,
        subject: str = "",
        headers_only: bool = False,
    ) -> AsyncGenerator[Created | Arrival | Idle]:
        """What `read` and `watch` are made of: an ordered consumer, re-created at the next sequence whenever it is lost."""
        position = max(from_sequence, 1) - 1
        resumed = not newest_per_subject
        delivered = 0

        async def create() -> Created:
            nonlocal delivered
            delivered = 0
            last = await self.last_sequence(stream)
            if last < position:
                raise ConflictError(
                    f"Stream {stream} ends at {last}, before {position}: it was deleted or restored.", reason="stream_replaced"
                )
            start = {"deliver_policy": "by_start_sequence", "opt_start_seq": position + 1}
            return await self._create_consumer(
                stream,
                last,
                {
                    **(start if resumed else {"deliver_policy": "last_per_subject"}),
                    "ack_policy": "none",
                    "max_deliver": 1,
                    "mem_storage": True,
                    "num_replicas": 1,
                    "inactive_threshold": 60 * 1_000_000_000,
                    "headers_only": headers_only,
                    **({"filter_subject": subject} if subject else {}),
                },
            )

        async with self._mailbox() as mailbox, contextlib.aclosing(pull(self._client, stream, mailbox, create)) as arrivals:
            async for arrival in arrivals:
                if isinstance(arrival, Arrival):
                    if arrival.delivery != delivered + 1:
                        # The server counts what it sent; a hole in that count is a message lost under way.
                        mailbox.clear()
                        mailbox.interrupt()
                        continue
                    delivered, position, resumed = arrival.delivery, arrival.sequence, True
                yield arrival

    async def consume(
        self, stream: str, *, durable: str, subject: str = "", ack_wait_seconds: float = 30.0, in_flight: int = 1000
    ) -> AsyncGenerator[Delivery]:
        """Deliver each message until it is acknowledged; the position survives every restart under the name `durable`.

        One process consumes a durable at a time. What an earlier one left unacknowledged comes again at once, what this one
        does not acknowledge within `ack_wait_seconds` comes again then; the order is kept except for such repetitions.
        """
        config = {
            "durable_name": durable,
            "deliver_policy": "all",
            "ack_policy": "explicit",
            "ack_wait": int(ack_wait_seconds * 1_000_000_000),
            "max_ack_pending": in_flight,
            **({"filter_subject": subject} if subject else {}),
        }

        async def create() -> Created:
            created = await self._create_consumer(stream, 0, config, name=durable)
            # Servers before 2.14 lack the reset; there the repetition comes after ack_wait.
            with contextlib.suppress(UnavailableError):
                await self.api(f"CONSUMER.RESET.{stream}.{durable}", seconds=1.0)
            return created

        async with self._mailbox() as mailbox, contextlib.aclosing(pull(self._client, stream, mailbox, create)) as arrivals:
            async for arrival in arrivals:
                if isinstance(arrival, Arrival):
                    message = _message(arrival)
                    yield Delivery(
                        subject=message.subject,
                        payload=message.payload,
                        headers=message.headers,
                        sequence=message.sequence,
                        at_ms=message.at_ms,
                        bus=self,
                        reply=arrival.reply,
                    )

    async def get(self, stream: str, sequence: int) -> Message | None:
        """One stored message, or None when the stream does not hold it."""
        reply = await self._ask(f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode({"seq": sequence}))
        headers = dict(reply.headers or {})
        if headers.get("Status") == "404":
            return None
        if "Nats-Subject" not in headers:
            raise UnavailableError(f"NATS refused: {headers.get('Description', 'no message')}.", reason="bus_refused")
        own = {name: value for name, value in headers.items() if not name.startswith("Nats-")}
        return Message(subject=headers["Nats-Subject"], payload=reply.data, headers=own, sequence=sequence)

    async def last_sequence(self, stream: str) -> int:
        """Sequence of the newest message ever stored; 0 for none."""
        return int((await self.api(f"STREAM.INFO.{stream}"))["state"]["last_seq"])

    async def first_sequence(self, stream: str) -> int:
        """Sequence of the oldest message still held."""
        return int((await self.api(f"STREAM.INFO.{stream}"))["state"]["first_seq"])

    async def acknowledge(self, reply: str) -> None:
        """Acknowledge a delivery by its reply subject."""
        with contextlib.suppress(nats.errors.Error, OSError):
            await self._client.publish(reply, b"+ACK")

    # Plain subjects

    async def request(self, subject: str, payload: bytes, *, timeout_seconds: float = REQUEST_SECONDS) -> bytes:
        """Ask whoever serves the subject; UnavailableError when nobody does or the answer does not come in time."""
        return (await self._ask(subject, payload, seconds=timeout_seconds)).data

    async def serve(self, subject: str, handler: Callable[[bytes], Awaitable[bytes]]) -> None:
        """Answer requests one after the other until cancelled. An exception of the handler is a bug and ends this coroutine."""
        async with self._mailbox(subject) as mailbox:
            while True:
                message = await mailbox.queue.get()
                if message is None:
                    self._raise_if_closed()
                    continue
                answer = await handler(message.data)
                if message.reply:
                    with contextlib.suppress(nats.errors.Error, OSError):
                        await self._client.publish(message.reply, answer)

    async def announce(self, subject: str, payload: bytes) -> None:
        """Tell whoever listens; nothing is stored or acknowledged."""
        try:
            await self._client.publish(subject, payload)
        except (nats.errors.Error, OSError) as error:
            raise UnavailableError("NATS cannot be reached.", reason="nats_down") from error

    async def listen(self, subject: str) -> AsyncGenerator[Message]:
        """What is announced from now on; gaps while the connection is down are the nature of it."""
        async with self._mailbox(subject) as mailbox:
            while True:
                message = await mailbox.queue.get()
                if message is None:
                    self._raise_if_closed()
                    continue
                yield Message(subject=message.subject, payload=message.data, headers=message.headers or {})

    def bucket(self, name: str) -> "Bucket":
        """The bucket of that name (see `runtime.bucket`)."""
        from ringfence.runtime.bucket import Bucket  # Bucket is made of this class

        return Bucket(self, name)

    # JetStream's own requests

    async def api(self, verb: str, body: object = None, *, seconds: float = REQUEST_SECONDS) -> dict[str, Any]:
        """A request of the JetStream API; `RefusedError` (an UnavailableError with a code) when the answer is an error."""
        reply = await self._ask(f"$JS.API.{verb}", b"" if body is None else msgspec.json.encode(body), seconds=seconds)
        if (refusal := msgspec.json.decode(reply.data, type=_Answer).error) is not None:
            raise RefusedError(refusal)
        answer: dict[str, Any] = msgspec.json.decode(reply.data)
        return answer

    async def newest(self, stream: str, subject: str) -> Message | None:
        """The newest message of a subject, read where it is written (a replica might be behind)."""
        try:
            found = (await self.api(f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject}))["message"]
        except RefusedError as refused:
            if refused.code in _NOT_FOUND and refused.code != 10059:
                return None
            raise
        return Message(
            subject=found["subject"],
            payload=base64.b64decode(found.get("data", "")),
            headers=_parse_headers(base64.b64decode(found.get("hdrs", ""))),
            sequence=found["seq"],
        )

    async def _create_consumer(self, stream: str, last: int, config: dict[str, Any], *, name: str = "") -> Created:
        name = name or new_id("c")
        answer = await self.api(f"CONSUMER.CREATE.{stream}.{name}", {"stream_name": stream, "config": {"name": name, **config}})
        return Created(name=name, pending=int(answer.get("num_pending", 0)), last_sequence=last)

    # The connection

    async def _ask(self, subject: str, payload: bytes, headers: Mapping[str, str] | None = None, seconds: float = REQUEST_SECONDS) -> Msg:
        """Send a request and await its reply, its time-out or the loss of the connection, whichever comes first."""
        try:
            async with asyncio.timeout(seconds):
                await self._up.wait()
        except TimeoutError:
            raise UnavailableError("NATS cannot be reached.", reason="nats_down") from None
        self._raise_if_closed()
        request = asyncio.ensure_future(self._client.request(subject, payload, timeout=seconds, headers=dict(headers) if headers else None))
        try:
            await asyncio.wait((request, self._lost), return_when=asyncio.FIRST_COMPLETED)
            if not request.done():
                raise UnavailableError("NATS went away before it answered.", reason="nats_down")
            return request.result()
        except nats.errors.MaxPayloadError as error:
            raise ValueError(f"{len(payload)} bytes are more than NATS takes on {subject}") from error
        except nats.errors.NoRespondersError as error:
            raise UnavailableError(f"Nobody answers on {subject}.", reason="no_responders") from error
        except (nats.errors.Error, OSError) as error:
            raise UnavailableError(f"NATS did not answer on {subject} in time.", reason="nats_timeout") from error
        finally:
            request.cancel()

    @contextlib.asynccontextmanager
    async def _mailbox(self, subject: str = "") -> AsyncIterator[Mailbox]:
        """A subscription that lives as long as the block, to an inbox of our own when no subject is given."""
        mailbox = Mailbox(subject=subject or self._client.new_inbox())
        self._raise_if_closed()
        self._mailboxes.add(mailbox)
        try:
            subscription = await self._client.subscribe(
                mailbox.subject, cb=mailbox.receive, pending_msgs_limit=LISTEN_LIMIT, pending_bytes_limit=256 * 1024 * 1024
            )
            try:
                yield mailbox
            finally:
                with contextlib.suppress(nats.errors.Error, OSError):
                    await subscription.unsubscribe()
        except nats.errors.ConnectionClosedError as error:
            raise UnavailableError("The connection to NATS was closed.", reason="bus_closed") from error
        finally:
            self._mailboxes.discard(mailbox)

    def _raise_if_closed(self) -> None:
        if self._client.is_closed:
            raise UnavailableError("The connection to NATS was closed.", reason="bus_closed")

    def _lose(self) -> None:
        self._up.clear()
        if not self._lost.done():
            self._lost.set_result(None)
        if self._client.is_closed:
            # Nobody may wait for a connection that will not come back: `_ask` wakes and finds it closed.
            self._up.set()
            for mailbox in self._mailboxes:
                mailbox.interrupt()

    async def _on_disconnected(self) -> None:
        if not self._client.is_closed:
            _log.warning("bus_disconnected")
        self._lose()

    async def _on_reconnected(self) -> None:
        _log.info("bus_reconnected")
        self._lost = asyncio.get_running_loop().create_future()
        self._up.set()
        for mailbox in self._mailboxes:
            mailbox.interrupt()

    async def _on_closed(self) -> None:
        self._lose()

    async def _on_error(self, error: Exception) -> None:
        if self._connecting:
            if "Authorization" in str(error):
                raise error  # Another attempt in a quarter of a second would be refused as well.
        elif not isinstance(error, OSError | nats.errors.UnexpectedEOF):
            _log.warning("bus_error", error=str(error) or type(error).__name__)


def _message(arrival: Arrival) -> Message:
    return Message(
        subject=arrival.subject,
        payload=arrival.payload,
        headers=arrival.headers,
        sequence=arrival.sequence,
        at_ms=arrival.at_ms,
    )


def _parse_headers(raw: bytes) -> dict[str, str]:
    """Headers as JetStream stores them: `NATS/1.0`, then `Name: value` lines."""
    lines = raw.decode("utf-8", "replace").split("\r\n")[1:]
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}


__all__ = ["IDLE", "Arrival", "Bus", "Created", "Delivery", "Idle", "Message", "RefusedError"]
