"""Key-value buckets with optimistic locking, and watches that survive the server.

Keys are any text: NATS refuses `+`, `:` and `@`, so they travel as base32. A value has no time to live of its own (an update
would clear it): whoever needs one puts `until` into the value and sweeps by revision. Deleting leaves a marker for a day.
"""

import base64
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from ringfence.base.errors import ConflictError
from ringfence.runtime.bus import Arrival, Bus, Created, Message
from ringfence.runtime.streams import TOMBSTONE_SECONDS, bucket_prefix, bucket_stream

KEY_BYTES = 512
"""Longest key. Longer ones are a bug of the caller, who bounds what a network may name."""

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_TOMBSTONE = {"KV-Operation": "PURGE", "Nats-Rollup": "sub", "Nats-TTL": f"{TOMBSTONE_SECONDS}s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A key at a revision; `value` None means deleted."""

    key: str
    value: bytes | None
    revision: int


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """A watch has delivered everything the bucket held when it began."""


class Bucket:
    """One bucket. Revisions grow over the whole bucket; a key's revision is that of its last change."""

    def __init__(self, bus: Bus, name: str) -> None:
        self._bus = bus
        self._stream = bucket_stream(name)
        self._prefix = bucket_prefix(name)

    async def get(self, key: str) -> Entry | None:
        """The current value, or None when there is none."""
        entry = await self._newest(key)
        return None if entry is None or entry.value is None else entry

    async def put(self, key: str, value: bytes) -> int:
        """Write whatever was there before; the new revision."""
        return await self._bus.publish(self._subject(key), value)

    async def create(self, key: str, value: bytes) -> int:
        """Write a key that has no value; ConflictError when it has one."""
        try:
            return await self.update(key, value, 0)
        except ConflictError:
            entry = await self._newest(key)
            if entry is None or entry.value is not None:
                raise
            return await self.update(key, value, entry.revision)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """Write if the key is still at `revision`; ConflictError when it is not."""
        return await self._bus.publish(self._subject(key), value, {_EXPECTED: str(revision)})

    async def delete(self, key: str, revision: int | None = None) -> None:
        """Delete, when a revision is given only at that one (else ConflictError)."""
        headers = _TOMBSTONE if revision is None else {**_TOMBSTONE, _EXPECTED: str(revision)}
        await self._bus.publish(self._subject(key), b"", headers)

    async def keys(self) -> list[str]:
        """Keys that have a value, oldest change first."""
        keys = []
        async with contextlib.aclosing(self._watch(headers_only=True)) as entries:
            async for entry in entries:
                if isinstance(entry, CaughtUp):
                    break
                if entry.value is not None:
                    keys.append(entry.key)
        return keys

    def watch(self) -> AsyncGenerator[Entry | CaughtUp]:
        """Everything the bucket holds (deletions of the last day too), then CaughtUp once, then every change, for ever.

        After a reconnect it goes on at the next revision. ConflictError when the bucket was replaced by an older one.
        """
        return self._watch(headers_only=False)

    async def _watch(self, *, headers_only: bool) -> AsyncGenerator[Entry | CaughtUp]:
        """A key that is rewritten meanwhile moves behind the end that was seen first, so the end is looked up again when it is reached."""
        target: int | None = None
        caught_up = False
        arrivals = self._bus.follow(self._stream, newest_per_subject=True, subject=f"{self._prefix}>", headers_only=headers_only)
        async with contextlib.aclosing(arrivals):
            async for arrival in arrivals:
                if isinstance(arrival, Created):
                    target = arrival.last_sequence if target is None else target
                    reached = arrival.pending == 0
                elif isinstance(arrival, Arrival):
                    yield self._entry(arrival.subject, arrival.payload, arrival.headers, arrival.sequence)
                    reached = arrival.pending == 0
                    if not (caught_up or reached) and target is not None and arrival.sequence >= target:
                        target = await self._bus.last_sequence(self._stream)
                        reached = arrival.sequence >= target
                else:
                    reached = True  # The server had nothing to send for a whole heartbeat.
                if reached and not caught_up:
                    caught_up = True
                    yield CaughtUp()

    async def _newest(self, key: str) -> Entry | None:
        message: Message | None = await self._bus.newest(self._stream, self._subject(key))
        return None if message is None else self._entry(message.subject, message.payload, message.headers, message.sequence)

    def _subject(self, key: str) -> str:
        return self._prefix + encode_key(key)

    def _entry(self, subject: str, payload: bytes, headers: object, sequence: int) -> Entry:
        assert isinstance(headers, dict)
        deleted = "KV-Operation" in headers or "Nats-Marker-Reason" in headers
        return Entry(key=decode_key(subject.removeprefix(self._prefix)), value=None if deleted else payload, revision=sequence)


def encode_key(key: str) -> str:
    """Base32 (RFC 4648) without padding: the alphabet NATS takes, and no `.` that would split the subject."""
    raw = key.encode()
    if not 0 < len(raw) <= KEY_BYTES:
        raise ValueError(f"a key has 1 to {KEY_BYTES} bytes, not {len(raw)}")
    return base64.b32encode(raw).decode().rstrip("=")


def decode_key(encoded: str) -> str:
    """The key behind `encode_key`."""
    return base64.b32decode(encoded + "=" * (-len(encoded) % 8)).decode()
