"""One active instance at a time, by an entry in the bucket `leases`.

The holder writes its name and an `until` ahead of now and renews it at a third of the time; whoever waits takes over once
`until` has passed. All writes are by revision, so of two that try one fails. A holder that cannot renew in time stops being
one by its own clock before anybody else may start: `held` is what guards each decision.
"""

import asyncio
import contextlib

import msgspec

from ringfence.base.clock import Clock
from ringfence.base.errors import ConflictError, UnavailableError
from ringfence.runtime.bucket import Bucket


class LeaseEntry(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the bucket."""

    instance: str
    until_ms: int


class Lease:
    """A lease named `name` for `instance`; after a restart the same instance has it back at once."""

    def __init__(self, bucket: Bucket, name: str, instance: str, *, seconds: float, clock: Clock) -> None:
        self._bucket = bucket
        self._name = name
        self._instance = instance
        self._ms = int(seconds * 1000)
        self._clock = clock
        self._revision = 0
        self._until_ms = 0

    @property
    def held(self) -> bool:
        """Whether this instance may act now."""
        return self._clock() < self._until_ms

    async def acquire(self) -> None:
        """Wait until the lease is ours."""
        while True:
            with contextlib.suppress(UnavailableError):
                if await self._try():
                    return
            await asyncio.sleep(self._ms / 3000)

    async def keep(self) -> None:
        """Renew for ever; ConflictError when the lease is lost, by time or to somebody else."""
        while True:
            await asyncio.sleep(self._ms / 3000)
            try:
                kept = await self._try()
            except UnavailableError:
                kept = self.held
            if not kept:
                self._until_ms = 0
                raise ConflictError(f"The lease {self._name} was lost.", reason="lease_lost")

    async def release(self) -> None:
        """Give it up, so that a standby need not wait."""
        if self.held:
            self._until_ms = 0
            await self._bucket.delete(self._name, self._revision)

    async def _try(self) -> bool:
        entry = await self._bucket.get(self._name)
        now_ms = self._clock()
        if entry is not None and entry.value is not None:
            holder = msgspec.json.decode(entry.value, type=LeaseEntry)
            if holder.instance != self._instance and now_ms < holder.until_ms:
                return False
        until_ms = now_ms + self._ms
        value = msgspec.json.encode(LeaseEntry(instance=self._instance, until_ms=until_ms))
        try:
            if entry is None:
                self._revision = await self._bucket.create(self._name, value)
            else:
                self._revision = await self._bucket.update(self._name, value, entry.revision)
        except ConflictError:
            return False
        self._until_ms = until_ms
        return True
