"""Refusals, written to the audit chain: one entry a reason and address each ten seconds, however often it happened.

What a stranger can cause without limit must not grow a table without limit. The one thing to know: while PostgreSQL is away the counts
go on in memory and are written later; only a process that dies takes them with it.
"""

import asyncio
from collections import Counter

from ringfence.access.service import AccessService
from ringfence.base.errors import UnavailableError

FLUSH_SECONDS = 10.0
MOST = 200
"""Pairs of reason and address in one turn; what is beyond counts under the address `others`."""


class Auditor:
    """Counts, then writes."""

    def __init__(self, access: AccessService) -> None:
        self._access = access
        self._counts: Counter[tuple[str, str]] = Counter()

    def refused(self, address: str, reason: str) -> None:
        """Something was refused."""
        key = (reason, address)
        if key not in self._counts and len(self._counts) >= MOST:
            key = (reason, "others")
        self._counts[key] += 1

    async def run(self) -> None:
        """Write every ten seconds, for ever."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what was counted."""
        counts, self._counts = self._counts, Counter()
        for (reason, address), count in counts.items():
            try:
                await self._access.audit("role:acs", "device.refused", address, {"reason": reason, "count": count})
            except UnavailableError:
                self._counts[reason, address] += count
