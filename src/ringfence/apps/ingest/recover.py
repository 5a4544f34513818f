"""What ingest must know after a restart: the calls that run, read back from its own log.

A call that began before the restart ends after it, and only who knows the call can say whose end it is. Reads the last `MESSAGES`
messages of each lane; a call that began before them and is still running ends for detection at its own silence limit. The one thing to
know: this reads what was acknowledged, so what a crash took from the open batch was never a call for anybody.
"""

import contextlib

from ringfence.archive.batches import decode
from ringfence.runtime.bus import Bus
from ringfence.runtime.streams import LANES, log_stream
from ringfence.telephony.model import AccountRow, Kind

MESSAGES = 20_000
"""Of each lane: over five hours of an idle system, eight minutes at forty batches a second."""

_STARTS = frozenset({int(Kind.ATTEMPT), int(Kind.ANSWER)})


async def running_calls(bus: Bus) -> list[AccountRow]:
    """ATTEMPT and ANSWER rows of calls that had not ended, in log order."""
    found: list[AccountRow] = []
    for lane in range(LANES["account"]):
        found += await _of_lane(bus, log_stream("account", lane))
    return found


async def _of_lane(bus: Bus, stream: str) -> list[AccountRow]:
    last = await bus.last_sequence(stream)
    first = max(await bus.first_sequence(stream), last - MESSAGES + 1, 1)
    if last < first:
        return []
    running: dict[int, list[AccountRow]] = {}
    async with contextlib.aclosing(bus.read(stream, from_sequence=first)) as messages:
        async for message in messages:
            if message.headers.get("Rf-Kind") == "rows":
                _take(running, message.payload)
            if message.sequence >= last:
                break
    return [row for rows in running.values() for row in rows]


def _take(running: dict[int, list[AccountRow]], payload: bytes) -> None:
    batch = decode(payload)
    kinds, keys = batch.numeric["kind"].tolist(), batch.numeric["call_key"].tolist()
    for place, (kind, call_key) in enumerate(zip(kinds, keys, strict=True)):
        if kind in _STARTS:
            running.setdefault(call_key, []).append(batch.row(place))
        elif kind == Kind.END:
            running.pop(call_key, None)
