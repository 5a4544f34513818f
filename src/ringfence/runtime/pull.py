"""Pulling a JetStream consumer for ever, whatever happens to the server meanwhile.

nats-py's ordered consumer does not resume after the server restarts, and its fetches notice a lost server late (18 s measured).
So this is our own loop over plain subscriptions: one long-lived pull request at a time, a server heartbeat, and a new consumer
after every reconnect, refused request or silence. It promises nothing about order or repetition: `read`, `watch` and `consume`
build that from the sequence numbers. One pull at a time also bounds memory: at most BATCH messages or BATCH_BYTES are in flight.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from ringfence.base.errors import UnavailableError

BATCH = 512
BATCH_BYTES = 16 * 1024 * 1024
EXPIRES_SECONDS = 30
HEARTBEAT_SECONDS = 2
SILENCE_SECONDS = 3 * HEARTBEAT_SECONDS
RETRY_SECONDS = 0.1

# 409 with one of these texts ends a pull request in the ordinary way; any other 409 says that the consumer is gone.
_ORDINARY_ENDS = ("batch completed", "message size exceeds maxbytes", "exceeded maxackpending")

Headers = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Created:
    """A consumer was made (again); what follows is from it."""

    name: str
    pending: int
    last_sequence: int


class Idle:
    """The server had nothing to send for a heartbeat."""


IDLE = Idle()


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One stored message as a consumer delivered it. `pending` is how many more the server had at that moment."""

    subject: str
    payload: bytes
    headers: Headers
    sequence: int
    delivery: int
    at_ms: int
    pending: int
    reply: str


@dataclass(slots=True, eq=False)
class Mailbox:
    """An inbox of this connection and the queue behind it. `None` in the queue: the connection was lost and is back, or closed."""

    subject: str
    queue: asyncio.Queue[Msg | None] = field(default_factory=asyncio.Queue)

    async def receive(self, message: Msg) -> None:
        """Callback of the subscription."""
        self.queue.put_nowait(message)

    def interrupt(self) -> None:
        """Wake the reader: whatever it waits for will not come."""
        self.queue.put_nowait(None)

    def clear(self) -> None:
        """Forget what came for a consumer that is gone."""
        while not self.queue.empty():
            self.queue.get_nowait()

    async def next(self, seconds: float) -> Msg | None:
        """The next message, or None after an interruption or silence."""
        try:
            async with asyncio.timeout(seconds):
                return await self.queue.get()
        except TimeoutError:
            return None


_REQUEST = msgspec.json.encode(
    {
        "batch": BATCH,
        "max_bytes": BATCH_BYTES,
        "expires": EXPIRES_SECONDS * 1_000_000_000,
        "idle_heartbeat": HEARTBEAT_SECONDS * 1_000_000_000,
    }
)


async def pull(
    client: Client, stream: str, mailbox: Mailbox, create: Callable[[], Awaitable[Created]]
) -> AsyncGenerator[Created | Arrival | Idle]:
    """Deliver from the consumer that `create` makes, making it again when it is lost.

    Ends only by an exception: UnavailableError when the connection was closed for good, or whatever `create` raises other
    than UnavailableError (which is tried again).
    """
    while True:
        try:
            consumer = await create()
        except UnavailableError:
            if client.is_closed:
                raise
            await asyncio.sleep(RETRY_SECONDS)
            continue
        mailbox.clear()
        yield consumer
        async for arrival in _pull_one(client, stream, mailbox, consumer.name):
            yield arrival
        if client.is_closed:
            raise UnavailableError("The connection to NATS was closed.", reason="bus_closed")
        await asyncio.sleep(RETRY_SECONDS)


async def _pull_one(client: Client, stream: str, mailbox: Mailbox, consumer: str) -> AsyncGenerator[Arrival | Idle]:
    """Deliver from one consumer until it, the server or the connection is gone."""
    outstanding = 0
    while True:
        if outstanding == 0:
            try:
                await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", _REQUEST, reply=mailbox.subject)
            except (nats.errors.Error, OSError):
                return
            outstanding = BATCH
        message = await mailbox.next(SILENCE_SECONDS)
        if message is None:
            return
        arrival = parse_arrival(message, consumer)
        if arrival is not None:
            outstanding -= 1
            yield arrival
            continue
        status = (message.headers or {}).get("Status")
        if status == "100":
            yield IDLE
        elif status in ("404", "408"):
            outstanding = 0
        elif status == "409":
            if not (message.headers or {}).get("Description", "").lower().startswith(_ORDINARY_ENDS):
                return
            outstanding = 0
        elif status is not None:
            return


def parse_arrival(message: Msg, consumer: str) -> Arrival | None:
    """Read the metadata JetStream puts into the reply subject; None when the message is a status or from an older consumer.

    `$JS.ACK.<stream>.<consumer>.<delivered>.<stream sequence>.<consumer sequence>.<time ns>.<pending>`, or the same behind a
    domain and an account hash, with a random token at the end.
    """
    tokens = message.reply.split(".")
    if len(tokens) < 9 or tokens[0] != "$JS" or tokens[1] != "ACK":
        return None
    if len(tokens) > 9:
        tokens = tokens[2:]
    if tokens[3] != consumer:
        return None
    return Arrival(
        subject=message.subject,
        payload=message.data,
        headers=message.headers or {},
        sequence=int(tokens[5]),
        delivery=int(tokens[6]),
        at_ms=int(tokens[7]) // 1_000_000,
        pending=int(tokens[8]),
        reply=message.reply,
    )
