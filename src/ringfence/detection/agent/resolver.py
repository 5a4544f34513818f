"""Rows of the log by reference: what an alert needs to name its calls. Recent batches are kept; older ones are read again."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable

from ringfence.archive import batches
from ringfence.base.errors import PeerError, UnavailableError
from ringfence.runtime.bus import Bus
from ringfence.telephony.columns import RowBatch, split_ref
from ringfence.telephony.model import AccountRow

KEPT_BYTES = 64 * 1024 * 1024


class LogResolver:
    """`remember` what was read anyway, `fetch` what is missing, then `resolve` without waiting."""

    def __init__(self, bus: Bus, stream: str) -> None:
        self._bus = bus
        self._stream = stream
        self._batches: OrderedDict[int, tuple[RowBatch, int]] = OrderedDict()
        self._bytes = 0

    def remember(self, sequence: int, batch: RowBatch, size: int) -> None:
        """Keep a batch of `size` bytes; the longest unused go."""
        if sequence in self._batches:
            return
        self._batches[sequence] = (batch, size)
        self._bytes += size
        while self._bytes > KEPT_BYTES and len(self._batches) > 1:
            _, (_, dropped) = self._batches.popitem(last=False)
            self._bytes -= dropped

    async def fetch(self, refs: Iterable[int]) -> None:
        """Read the batches of these rows that are not kept. One that the log has dropped, or that cannot be read, stays unknown."""
        missing = sorted({split_ref(ref)[0] for ref in refs} - self._batches.keys())
        for sequence, message in zip(missing, await asyncio.gather(*(self._get(sequence) for sequence in missing)), strict=True):
            if message is not None:
                self.remember(sequence, *message)

    def resolve(self, row_ref: int) -> AccountRow | None:
        """The row, or None when its batch is not known."""
        sequence, place = split_ref(row_ref)
        found = self._batches.get(sequence)
        if found is None or place >= found[0].length:
            return None
        self._batches.move_to_end(sequence)
        return found[0].row(place)

    async def _get(self, sequence: int) -> tuple[RowBatch, int] | None:
        try:
            message = await self._bus.get(self._stream, sequence)
        except UnavailableError:
            return None  # An alert without the text of one call is better than none.
        if message is None or message.headers.get("Rf-Kind") != "rows":
            return None
        try:
            return batches.decode(message.payload), len(message.payload)
        except PeerError:
            return None
