"""The only writer of control records: what rooms changed in PostgreSQL goes into the bucket `control` and into every lane's log.

The bucket comes first, then the log, then the outbox entry goes: whoever reads the bucket and then the log from a position taken before
misses nothing, and a crash in between only repeats records that change nothing. It decides nothing about what it carries.
"""

import asyncio
from collections.abc import Iterable

import msgspec

from ringfence.base.errors import UnavailableError
from ringfence.base.ids import SLOTS
from ringfence.detection.composing.service import ComposingService
from ringfence.detection.service import DetectionService
from ringfence.runtime.bus import Bus
from ringfence.runtime.log import get_logger
from ringfence.runtime.metrics import counter
from ringfence.runtime.status import StatusBoard
from ringfence.runtime.streams import LANES, log_subject
from ringfence.subscribers.service import SubscribersService
from ringfence.telephony.control import AccountChanged, BaselinesChanged, ControlRecord, encode_control

TURN_SECONDS = 0.5
ACCOUNT_CHANGES = 20_000
"""Outbox entries of one turn: an import of a hundred million accounts is one turn, and writes each slot once."""

MAX_SLOT_BYTES = 8_000_000
"""What the bus takes in one message, less its headers: about 50,000 accounts, 50 million in all slots."""

HEADERS = {"Rf-Kind": "control"}

_log = get_logger(__name__)
_records = counter("ringfence_worker_control_records_total", "Control records written to the log, by kind.", ("kind",))


class ControlWriter:
    """Carries outbox entries to the bucket and the log."""

    def __init__(
        self, bus: Bus, subscribers: SubscribersService, detection: DetectionService, composing: ComposingService, board: StatusBoard
    ) -> None:
        self._bus = bus
        self._bucket = bus.bucket("control")
        self._subscribers = subscribers
        self._detection = detection
        self._composing = composing
        self._board = board
        self._compared = False

    async def run(self) -> None:
        """Carry until cancelled; while PostgreSQL or the bus is away, wait."""
        while True:
            try:
                if not self._compared:
                    await self.compare()
                worked = await self.turn()
                self._board.settled("control")
            except UnavailableError as error:
                self._board.trouble("control", f"Changes wait to be told to the detectors: {error}")
                worked = False
            if not worked:
                await asyncio.sleep(TURN_SECONDS)

    async def turn(self) -> bool:
        """Carry what waits now; whether there was anything."""
        versions = await self._detection.pending(1_000)
        for kind, subject in dict.fromkeys((change.kind, change.subject) for change in versions):
            if kind == "composed":
                for composed in await self._composing.told(subject):
                    await self._put(f"composed.{composed.rule_id}", [composed])
                continue
            record = await self._detection.changed(kind)
            if record is not None:
                await self._put(kind, [record])
        if versions:
            await self._detection.settle(versions)
        changes = await self._subscribers.pending(ACCOUNT_CHANGES)
        if any(change.kind == "networks" for change in changes):
            await self._put("networks", [await self._subscribers.networks_changed()])
        await self._tell_accounts([change.revision for change in changes if change.kind == "accounts"])
        if changes:
            await self._subscribers.settle(changes)
        return bool(versions or changes)

    async def publish(self, records: list[ControlRecord], views: Iterable[str] = tuple(LANES)) -> None:
        """Write records into the log of every lane of some views, of all unless said, where they take effect."""
        payload = encode_control(records)
        for view in views:
            for lane in range(LANES[view]):
                await self._bus.publish(log_subject(view, lane), payload, HEADERS)
        for record in records:
            _records.labels(kind=str(type(record).__struct_config__.tag)).inc()

    async def put_baselines(self, record: BaselinesChanged) -> bool:
        """Tell the account view what is ordinary in a slot; False when the bucket holds just this already."""
        key, value = f"baselines.{record.slot}", encode_control([record])
        if len(value) > MAX_SLOT_BYTES:
            self._board.trouble("slots", f"Slot {record.slot} has {len(record.accounts)} baselines, more than one message can hold.")
            _log.error("slot_too_large", slot=record.slot, accounts=len(record.accounts), bytes=len(value))
            return False
        entry = await self._bucket.get(key)
        if entry is not None and entry.value == value:
            return False
        await self._bucket.put(key, value)
        await self.publish([record], views=("account",))
        return True

    async def compare(self) -> None:
        """Fill the bucket from PostgreSQL where it lacks or differs: a new or restored JetStream, or a restored database."""
        for kind in ("rules", "rates", "holidays"):
            record = await self._detection.changed(kind)
            if record is not None:
                await self._put_if_other(kind, record)
        for composed in await self._composing.told():
            await self._put_if_other(f"composed.{composed.rule_id}", composed)
        networks = await self._subscribers.networks_changed()
        if networks.version:
            await self._put_if_other("networks", networks)
        present = set(await self._bucket.keys())
        missing = [slot for slot in await self._subscribers.slots() if f"accounts.{slot}" not in present]
        for slot in missing:
            accounts = await self._subscribers.accounts_of_slot(slot)
            await self._put_slot(slot, accounts)
            for start in range(0, len(accounts), 5_000):
                await self.publish(list[ControlRecord](accounts[start : start + 5_000]))
        if missing:
            _log.info("control_bucket_filled", slots=len(missing))
        self._compared = True

    async def _put_if_other(self, key: str, record: ControlRecord) -> None:
        entry = await self._bucket.get(key)
        if entry is None or entry.value != encode_control([record]):
            await self._put(key, [record])

    async def _put(self, key: str, records: list[ControlRecord]) -> None:
        await self._bucket.put(key, encode_control(records))
        await self.publish(records)
        _log.info("control_record_written", key=key)

    async def _tell_accounts(self, revisions: Iterable[int]) -> None:
        """Every touched slot once into the bucket, then each revision into the log."""
        revisions = list(revisions)
        slots: set[int] = set()
        for revision in revisions:
            slots.update(account.slot for account in await self._subscribers.changed_accounts(revision))
        assert all(0 <= slot < SLOTS for slot in slots), "the table checks it"
        for slot in sorted(slots):
            await self._put_slot(slot, await self._subscribers.accounts_of_slot(slot))
        for revision in revisions:
            accounts = await self._subscribers.changed_accounts(revision)
            if accounts:
                await self.publish(list[ControlRecord](accounts))
        if revisions:
            _log.info("accounts_told", revisions=len(revisions), slots=len(slots))

    async def _put_slot(self, slot: int, accounts: list[AccountChanged]) -> None:
        # `encode_control` bounds a message of the log; a slot of 80 million accounts has more records than that.
        value = msgspec.msgpack.encode(accounts)
        if len(value) > MAX_SLOT_BYTES:
            self._board.trouble("slots", f"Slot {slot} has {len(accounts)} accounts, more than one entry of the bucket can hold.")
            _log.error("slot_too_large", slot=slot, accounts=len(accounts), bytes=len(value))
            return
        await self._bucket.put(f"accounts.{slot}", value)
