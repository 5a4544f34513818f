"""What ingest must know after a restart, read back from its own log: the calls that run, and the calls it has told of.

A call that began before the restart ends after it, and only who knows the call can say whose end it is; a call that ended needs no call
record any more. Reads the last `MESSAGES` messages of each lane; a call that began before them and is still running ends for detection at
its own silence limit. The one thing to know: this reads what was acknowledged, so what a crash took from the open batch was never a call
for anybody.
"""

import contextlib
from typing import NamedTuple

from ringfence.archive.batches import decode
from ringfence.runtime.bus import Bus
from ringfence.runtime.streams import LANES, log_stream
from ringfence.telephony.model import AccountRow, Flag, Kind

MESSAGES = 20_000
"""Of each lane: over five hours of an idle system, eight minutes at forty batches a second."""

_STARTS = frozenset({int(Kind.ATTEMPT), int(Kind.ANSWER)})


class ReadBack(NamedTuple):
    """What the log told."""

    running: list[AccountRow]
    """ATTEMPT and ANSWER rows of calls that had not ended, in log order."""
    seen: dict[int, None]
    """Keys of all calls, oldest first: their call records add nothing."""


async def read_back(bus: Bus) -> ReadBack:
    """Read the newest messages of every lane."""
    running: dict[int, list[AccountRow]] = {}
    seen: dict[int, None] = {}
    for lane in range(LANES["account"]):
        await _read_lane(bus, log_stream("account", lane), running, seen)
    return ReadBack([row for rows in running.values() for row in rows], seen)


async def _read_lane(bus: Bus, stream: str, running: dict[int, list[AccountRow]], seen: dict[int, None]) -> None:
    last = await bus.last_sequence(stream)
    first = max(await bus.first_sequence(stream), last - MESSAGES + 1, 1)
    if last < first:
        return
    async with contextlib.aclosing(bus.read(stream, from_sequence=first)) as messages:
        async for message in messages:
            if message.headers.get("Rf-Kind") == "rows":
                _take(running, seen, message.payload)
            if message.sequence >= last:
                return


def _take(running: dict[int, list[AccountRow]], seen: dict[int, None], payload: bytes) -> None:
    batch = decode(payload)
    columns = (batch.numeric[name].tolist() for name in ("kind", "call_key", "flags"))
    for place, (kind, call_key, flags) in enumerate(zip(*columns, strict=True)):
        if kind in _STARTS:
            running.setdefault(call_key, []).append(batch.row(place))
        elif kind == Kind.END:
            running.pop(call_key, None)
        if kind in (Kind.ATTEMPT, Kind.CALL) and not flags & Flag.UNKEYED:
            seen[call_key] = None
