"""The record in JetStream: six buckets, read into `State` and written by revision.

The active policy is the only writer; a standby follows the same watches and is as warm. A write that meets another revision is a
ConflictError: the caller looks at the state again and decides again. A write whose acknowledgement was lost is found to be there by its own
bytes. Every write can be announced from what the bucket holds, so announcing can be caught up after a crash (`unannounced`).
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from ringfence.base.errors import ConflictError
from ringfence.enforcement.events import (
    ApprovalGiven,
    BlockExpired,
    BlockImposed,
    BlockLifted,
    BreakerOpened,
    BreakerReset,
    EntryRestored,
    Event,
    ExemptionEnded,
    ExemptionMade,
    ProposalApproved,
    ProposalExpired,
    ProposalMade,
    ProposalRejected,
)
from ringfence.enforcement.model import Approval, Block, Breaker, Exemption, Proposal, Release
from ringfence.enforcement.state import State
from ringfence.runtime.bucket import Bucket, CaughtUp, Entry
from ringfence.runtime.bus import Bus
from ringfence.runtime.log import get_logger
from ringfence.telephony.control import AccountChanged, NetworksChanged, decode_control

Record = Block | Exemption | Release | Proposal | Approval | Breaker

CURSOR_BUCKET, CURSOR_KEY = "leases", "policy-announced"

_log = get_logger(__name__)
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    bucket: str
    type: type[Any]
    key: Callable[[Any], str]
    put: Callable[[State, Any], None]
    drop: Callable[[State, str], object]


def _nothing(_state: State, _key: str) -> None:
    """Approvals go with their proposal, breakers stay."""


_KINDS = (
    _Kind(bucket="blocks", type=Block, key=lambda r: r.block_id, put=State.put_block, drop=State.drop_block),
    _Kind(
        bucket="exemptions",
        type=Exemption,
        key=lambda r: r.exemption_id,
        put=State.put_exemption,
        drop=lambda state, key: state.exemptions.pop(key, None),
    ),
    _Kind(
        bucket="releases",
        type=Release,
        key=lambda r: r.block_id,
        put=State.put_release,
        drop=lambda state, key: state.releases.pop(key, None),
    ),
    _Kind(bucket="proposals", type=Proposal, key=lambda r: r.proposal_id, put=State.put_proposal, drop=State.drop_proposal),
    _Kind(bucket="approvals", type=Approval, key=lambda r: f"{r.proposal_id}/{r.by}", put=State.put_approval, drop=_nothing),
    _Kind(bucket="breaker", type=Breaker, key=lambda r: r.kind, put=State.put_breaker, drop=_nothing),
)
_KIND_OF = {kind.type: kind for kind in _KINDS}


class Table:
    """The record and the state that follows it."""

    def __init__(self, bus: Bus) -> None:
        self.state = State()
        self.networks_version = 0
        """Counts changes of the own networks, so that a sweep knows when to look at blocks again."""
        self._buckets: dict[str, Bucket] = {kind.bucket: bus.bucket(kind.bucket) for kind in _KINDS}
        self._control = bus.bucket("control")
        self._cursor_bucket = bus.bucket(CURSOR_BUCKET)
        self._held: dict[tuple[str, str], tuple[int, Record | None]] = {}
        self._cursor: dict[str, int] = {}
        self._waiting = {*self._buckets, "control"}
        self._ready = asyncio.Event()

    async def follow(self) -> None:
        """Keep the state in step with the buckets, for ever."""
        async with asyncio.TaskGroup() as group:
            for kind in _KINDS:
                group.create_task(self._follow_kind(kind))
            group.create_task(self._follow_control())

    async def ready(self) -> None:
        """Until every bucket was read once."""
        await self._ready.wait()

    async def write(self, record: Record) -> int:
        """Put a record at the revision we know; its new revision. ConflictError when the bucket holds another one."""
        kind = _KIND_OF[type(record)]
        key, value = kind.key(record), _encoder.encode(record)
        bucket = self._buckets[kind.bucket]
        known, before = self._held.get((kind.bucket, key), (0, None))
        try:
            revision = await (bucket.create(key, value) if before is None else bucket.update(key, value, known))
        except ConflictError:
            entry = await bucket.get(key)
            if entry is not None:
                self._apply(kind, entry)
            if entry is None or entry.value != value:
                raise
            revision = entry.revision
        self._apply(kind, Entry(key=key, value=value, revision=revision))
        return revision

    async def forget(self, record: Record) -> None:
        """Delete a record that nothing needs any more; somebody else's change to it is left alone."""
        kind = _KIND_OF[type(record)]
        key = kind.key(record)
        known, before = self._held.get((kind.bucket, key), (0, None))
        if before is not None:
            with contextlib.suppress(ConflictError):
                await self._buckets[kind.bucket].delete(key, known)
            kind.drop(self.state, key)
            self._held.pop((kind.bucket, key), None)

    def holds(self, record: Record) -> bool:
        """Whether the record has an entry by this key, whatever it says."""
        kind = _KIND_OF[type(record)]
        return self._held.get((kind.bucket, kind.key(record)), (0, None))[1] is not None

    def is_current(self, record: Record) -> bool:
        """Whether the record is what the bucket holds, as far as we know."""
        kind = _KIND_OF[type(record)]
        return self._held.get((kind.bucket, kind.key(record)), (0, None))[1] == record

    # -- announcing ----------------------------------------------------------------------------------------------------------------

    async def load_cursor(self) -> None:
        """How far an earlier writer had announced."""
        entry = await self._cursor_bucket.get(CURSOR_KEY)
        if entry is not None and entry.value is not None:
            self._cursor = msgspec.json.decode(entry.value, type=dict[str, int])

    def unannounced(self) -> Iterator[tuple[Record, int]]:
        """Records changed after the cursor, with their revisions, oldest first."""
        late = [
            (revision, record)
            for (bucket, _key), (revision, record) in self._held.items()
            if record is not None and revision > self._cursor.get(bucket, 0)
        ]
        return ((record, revision) for revision, record in sorted(late, key=lambda pair: pair[0]))

    async def save_cursor(self) -> None:
        """Everything written so far was announced. Call it only when that is so."""
        cursor = dict.fromkeys(self._buckets, 0)
        for (bucket, _key), (revision, _record) in self._held.items():
            cursor[bucket] = max(cursor[bucket], revision)
        if cursor != self._cursor:
            await self._cursor_bucket.put(CURSOR_KEY, _encoder.encode(cursor))
            self._cursor = cursor

    # -- watching ------------------------------------------------------------------------------------------------------------------

    async def _follow_kind(self, kind: _Kind) -> None:
        async with contextlib.aclosing(self._buckets[kind.bucket].watch()) as entries:
            async for entry in entries:
                if isinstance(entry, CaughtUp):
                    self._caught_up(kind.bucket)
                else:
                    self._apply(kind, entry)

    async def _follow_control(self) -> None:
        async with contextlib.aclosing(self._control.watch()) as entries:
            async for entry in entries:
                if isinstance(entry, CaughtUp):
                    self._caught_up("control")
                elif entry.value is not None:
                    self._apply_control(entry.key, entry.value)

    def _caught_up(self, bucket: str) -> None:
        self._waiting.discard(bucket)
        if not self._waiting:
            self._ready.set()

    def _apply(self, kind: _Kind, entry: Entry) -> None:
        """Take an entry unless we know a newer one: our own writes come back through the watch."""
        place = (kind.bucket, entry.key)
        if entry.revision <= self._held.get(place, (0, None))[0]:
            return
        if entry.value is None:
            kind.drop(self.state, entry.key)
            self._held.pop(place, None)
            return
        try:
            record = msgspec.json.decode(entry.value, type=kind.type)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.error("record_unreadable", bucket=kind.bucket, key=entry.key, error=str(error))
            return
        self._held[place] = (entry.revision, record)
        kind.put(self.state, record)

    def _apply_control(self, key: str, value: bytes) -> None:
        """Facts that the worker keeps: own networks and accounts; the other keys are for detection."""
        slot = key.removeprefix("accounts.")
        if key != "networks" and not slot.isdecimal():
            return
        try:
            records = decode_control(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.error("control_unreadable", key=key, error=str(error))
            return
        if key == "networks":
            for record in records:
                if isinstance(record, NetworksChanged):
                    self.state.put_networks(record.networks)
                    self.networks_version += 1
            return
        accounts = [record for record in records if isinstance(record, AccountChanged) and not record.removed]
        exempt = {record.account: record.exempt_until_ms for record in accounts if record.exempt_until_ms}
        self.state.put_accounts(int(slot), len(accounts), exempt)


def event_of(record: Record) -> Event | None:
    """The announcement of a record's present state; None for those that are part of another's (a release, of its block's end)."""
    match record:
        case Block():
            return _BLOCK_EVENTS[record.state](block=record)
        case Proposal():
            return _PROPOSAL_EVENTS[record.state](proposal=record)
        case Approval():
            return ApprovalGiven(approval=record)
        case Exemption():
            return ExemptionEnded(exemption=record) if record.ended_ms else ExemptionMade(exemption=record)
        case Breaker():
            return BreakerOpened(breaker=record) if record.is_open else BreakerReset(breaker=record)
        case Release():
            return None


def restored_event_of(record: Record) -> Event | None:
    """The announcement of an entry that came back; None for those that are part of another's."""
    match record:
        case Block():
            return EntryRestored(block=record)
        case Exemption():
            return EntryRestored(exemption=record)
        case Proposal():
            return EntryRestored(proposal=record)
        case Breaker():
            return EntryRestored(breaker=record)
        case Approval() | Release():
            return None


_BLOCK_EVENTS: dict[str, Callable[..., Event]] = {"active": BlockImposed, "lifted": BlockLifted, "expired": BlockExpired}
_PROPOSAL_EVENTS: dict[str, Callable[..., Event]] = {
    "open": ProposalMade,
    "approved": ProposalApproved,
    "rejected": ProposalRejected,
    "expired": ProposalExpired,
}
