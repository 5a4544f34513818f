"""A new JetStream gets the record of enforcement back: what holds by the copy in PostgreSQL goes to policy, in bounded commands.

Policy stays the only writer of the record, asks its invariants again and announces what came back; the worker never touches those buckets.
The one thing to know: a marker in the bucket `leases` says that this JetStream was compared once, so an empty record later on is a fact.
"""

from collections.abc import Iterator

import msgspec

from ringfence.enforcement.agent import ask_policy
from ringfence.enforcement.commands import MAX_COMMAND_BYTES, RestoreRecord
from ringfence.enforcement.service import EnforcementService, InForce
from ringfence.runtime.bus import Bus
from ringfence.runtime.log import get_logger

MARKER_BUCKET, MARKER = "leases", "record-compared"
CHUNK_BYTES = MAX_COMMAND_BYTES * 3 // 4
ASK_SECONDS = 30.0
"""A command holds about a hundred blocks, and each is one synced write."""

# Exemptions, graces and breakers hold blocks back, so they go first; approvals before the proposal that they count for.
ORDER = ("exemptions", "releases", "breakers", "blocks", "approvals", "proposals")

_log = get_logger(__name__)
_encoder = msgspec.json.Encoder()


async def is_new(bus: Bus) -> bool:
    """Whether this JetStream was never compared with PostgreSQL."""
    return await bus.bucket(MARKER_BUCKET).get(MARKER) is None


async def refill(bus: Bus, enforcement: EnforcementService) -> int:
    """Give policy everything that holds by the copy, and remember that; entries that came back. Doing it again changes nothing."""
    found, restored = await enforcement.in_force(), 0
    for command in commands_of(found):
        restored += (await ask_policy(bus, command, timeout_seconds=ASK_SECONDS)).restored
    await bus.bucket(MARKER_BUCKET).put(MARKER, b"{}")
    if restored:
        _log.warning("record_refilled", entries=restored)
    return restored


def commands_of(found: InForce) -> Iterator[RestoreRecord]:
    """As many commands as the bound on one needs."""
    for name in ORDER:
        chunk: list[msgspec.Struct] = []
        size = 0
        for entry in getattr(found, name):
            length = len(_encoder.encode(entry)) + 1
            if chunk and size + length > CHUNK_BYTES:
                yield msgspec.convert({name: chunk}, RestoreRecord)
                chunk, size = [], 0
            chunk.append(entry)
            size += length
        if chunk:
            yield msgspec.convert({name: chunk}, RestoreRecord)
