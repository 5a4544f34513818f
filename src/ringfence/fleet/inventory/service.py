"""The operator's side of the fleet: lists, imports, replacement, stock, coverage, firmware, waking (what is wanted: `fleet.wanting`).

Every change by a person carries the person's name into the device's history. The one thing to know: a device that a person puts on a line
takes over what was wanted of the one before it there, and that one is closed for ever.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TextIO

import msgspec

from ringfence.base.errors import ConflictError, NotFoundError, OperatorError
from ringfence.fleet.behind import Behind, BehindKind, Origin
from ringfence.fleet.catalogue.service import CatalogueService
from ringfence.fleet.coverage import Coverage, Registration, coverage_of
from ringfence.fleet.drifting.service import DriftService
from ringfence.fleet.enrolling.service import EnrollingService
from ringfence.fleet.inventory.sheets import DeviceRow, read_devices
from ringfence.fleet.lifecycle import Life, Occurrence, after, allows
from ringfence.fleet.lists.service import ListsService
from ringfence.fleet.model import Count, Device, DevicesImported, Entry, Filter, Link, Reported, Standing
from ringfence.fleet.ordering.service import OrderingService
from ringfence.fleet.store import FleetStore, Row, columns
from ringfence.fleet.waking.service import WakingService

PAGE = 500
"""Devices of a page at the most."""
CHUNK_ROWS = 5_000
SHOWN_BAD = 100


class InventoryService(ListsService, DriftService, CatalogueService, OrderingService, WakingService, EnrollingService):
    """Questions and changes of people."""

    # Reading

    async def page(self, wanted: Filter, *, after: int = 0, limit: int = 50) -> tuple[Device, ...]:
        """A page of devices in the order of their ids; `after` is the last id of the page before."""
        async with self._db.transaction() as connection:
            store = FleetStore(connection)
            await store.run("plan_for_values")
            rows = await store.rows(
                "page_devices",
                after=after,
                limit=min(limit, PAGE),
                serial_beginning=wanted.serial.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%",
                **{name: getattr(wanted, name) for name in Filter.__dataclass_fields__},
            )
        return tuple(_device(row) for row in rows)

    async def device(self, device_id: int) -> Device:
        """One device; NotFoundError when there is none with this id."""
        found = await self.page(Filter(), after=device_id - 1, limit=1)
        if not found or found[0].device_id != device_id:
            raise NotFoundError("there is no such device; search by serial number, line or customer", reason="no_device")
        return found[0]

    async def summary(self) -> tuple[Count, ...]:
        """Devices by model, version, life and region, as the worker counted them last."""
        async with self._db.transaction() as connection:
            return tuple(Count(**row) for row in await FleetStore(connection).rows("read_summary"))

    async def count(self) -> None:
        """Count the fleet anew; for the worker, every minute."""
        async with self._db.transaction() as connection:
            await FleetStore(connection).run("count_summary", now_ms=self._clock())

    async def reported(self, device_id: int, *, search: str = "", after: str = "", limit: int = PAGE) -> tuple[Reported, ...]:
        """The parameters of a device by name; `search` is a part of a name."""
        containing = "%" + search.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        async with self._db.transaction() as connection:
            rows = await FleetStore(connection).rows(
                "read_reported", device_id=device_id, search=search, containing=containing, after_name=after, limit=min(limit, PAGE)
            )
        return tuple(Reported(**row) for row in rows)

    async def history(self, device_id: int, *, before: int = 0, limit: int = PAGE) -> tuple[Entry, ...]:
        """What happened to a device, newest first."""
        async with self._db.transaction() as connection:
            rows = await FleetStore(connection).rows("read_history", device_id=device_id, before=before, limit=min(limit, PAGE))
        return tuple(Entry(**row) for row in rows)

    async def transcripts(self, device_id: int, limit: int = 20) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
        """Session id, end and lines of the last sessions that did more than inform."""
        async with self._db.transaction() as connection:
            rows = await FleetStore(connection).rows("read_transcripts", device_id=device_id, limit=limit)
        return tuple((row["session_id"], row["ended_ms"], msgspec.json.decode(row["lines"], type=tuple[str, ...])) for row in rows)

    async def coverage(self, registrations: Sequence[Registration]) -> Coverage:
        """Who registers and is not managed."""
        customers = sorted({entry.customer for entry in registrations if entry.customer})
        async with self._db.transaction() as connection:
            rows = await FleetStore(connection).rows("managed_of_customers", customers=customers)
        return coverage_of(registrations, frozenset(row["customer"] for row in rows))

    # Stock and life

    async def import_devices(self, by: str, text: TextIO) -> DevicesImported:
        """Add devices that are in stock or were shipped. One that has informed since keeps what it is."""
        added = changed = rows = 0
        bad: list[tuple[int, str]] = []
        entries = read_devices(text)
        async with self._db.transaction() as connection:
            store = FleetStore(connection)
            while chunk := list(islice(entries, CHUNK_ROWS)):
                rows += len(chunk)
                bad += [(line, entry) for line, entry in chunk if isinstance(entry, str)][: SHOWN_BAD - len(bad)]
                good = {(row.oui, row.product_class, row.serial_number): row for _, row in chunk if isinstance(row, DeviceRow)}
                count = await self._merge(store, list(good.values()))
                added, changed = added + count["added"], changed + count["changed"]
            await store.note([(0, self._clock(), "import", "devices", "", f"{added} added, {changed} changed", by)])
        return DevicesImported(rows=rows, added=added, changed=changed, bad=tuple(bad))

    async def happened(self, by: str, device_id: int, occurrence: Occurrence) -> Life:
        """What a person says of a device: stocked, shipped, lost. ConflictError when that means nothing in its life."""
        async with self._db.transaction() as connection:
            store = FleetStore(connection)
            row = await self._held(store, device_id)
            life = Life(row["life"])
            if occurrence in {Occurrence.REPLACED, Occurrence.MANAGED, Occurrence.BOOTSTRAPPED} or not allows(life, occurrence):
                raise ConflictError(f"a device that is {life.value} cannot be {occurrence.value} by hand", reason="life")
            fresh = after(life, occurrence)
            line, customer = ("", "") if occurrence is Occurrence.STOCKED else (row["line"], row["customer"])
            if occurrence is Occurrence.STOCKED:
                await store.run("forget_secrets", device_id=device_id)
            await store.run(
                "set_life", device_id=device_id, life=fresh.value, line=line, customer=customer, replaced_by=0, now_ms=self._clock()
            )
            await store.note([(device_id, self._clock(), "life", "", life.value, fresh.value, by)])
        return fresh

    async def mark_silent(self, silent_ms: int, limit: int = 10_000) -> int:
        """Devices that have not informed for so long fall silent; for the worker."""
        async with self._db.transaction() as connection:
            store, now = FleetStore(connection), self._clock()
            rows = await store.rows("mark_silent", before_ms=now - silent_ms, now_ms=now, limit=limit)
            await store.note([(row["device_id"], now, "life", "", "", Life.SILENT.value, "") for row in rows])
        return len(rows)

    async def verify(self, by: str, device_id: int, line: str) -> tuple[int, ...]:
        """A person says that this device belongs to this line: it takes over what was wanted there, and those before it are closed.

        Wishes are kept in meanings, so they hold across data models; secrets are moved by being sealed anew for the new device. The closed
        ones lose their credentials. Returns their ids.
        """
        now = self._clock()
        async with self._db.transaction() as connection:
            store = FleetStore(connection)
            row = await self._held(store, device_id)
            life = Life(row["life"])
            if life in {Life.REPLACED, Life.LOST, Life.IN_STOCK}:
                raise ConflictError(f"a device that is {life.value} cannot be put on a line; change its life first", reason="life")
            if not line or len(line) > PAGE:
                raise OperatorError("a line has a name", reason="no_line")
            before = await store.rows("devices_of_line", line=line, device_id=device_id)
            for old in before:
                await self._hand_over(store, by, old, device_id, line)
            customer = next((old["customer"] for old in before if old["customer"]), row["customer"])
            await store.run("set_life", device_id=device_id, life=life.value, line=line, customer=customer, replaced_by=0, now_ms=now)
            await store.run("unsettle", devices=[device_id])
            await store.note([(device_id, now, "line", "", row["line"], line, by)])
        return tuple(old["device_id"] for old in before)

    # Behind the device

    async def put_behind(self, device_id: int, found: Iterable[Behind]) -> None:
        """Devices behind a device, from its tables or by hand."""
        rows = [(entry.mac, entry.name, entry.kind.value, entry.origin.value) for entry in found]
        async with self._db.transaction() as connection:
            store = FleetStore(connection)
            await store.run("put_behind", device_id=device_id, now_ms=self._clock(), **columns(rows, ("macs", "names", "kinds", "origins")))

    async def behind(self, device_id: int) -> tuple[Behind, ...]:
        """Devices behind a device."""
        async with self._db.transaction() as connection:
            rows = await FleetStore(connection).rows("read_behind", device_id=device_id)
        return tuple(Behind(mac=row["mac"], name=row["name"], kind=BehindKind(row["kind"]), origin=Origin(row["origin"])) for row in rows)

    # Inside

    async def _merge(self, store: FleetStore, rows: list[DeviceRow]) -> Row:
        models = [(row.oui, row.product_class, "") for row in rows]
        await store.run("add_models", now_ms=self._clock(), **columns(models, ("ouis", "product_classes", "manufacturers")))
        listed = [(row.oui, row.product_class, row.serial_number, row.life, row.line, row.customer, row.region) for row in rows]
        names = ("ouis", "product_classes", "serial_numbers", "lives", "lines", "customers", "regions")
        count = await store.row("import_devices", now_ms=self._clock(), **columns(listed, names))
        assert count is not None, "a count without a group always has a row"
        await self._add_credentials(store, rows)
        return count

    async def _hand_over(self, store: FleetStore, by: str, old: Row, device_id: int, line: str) -> None:
        """From the device before to the new one: wishes and secrets; then it is closed."""
        now, before = self._clock(), old["device_id"]
        await store.run("move_own_wishes", device_id=device_id, from_device=before, now_ms=now, person=by)
        for row in await store.rows("secrets_of_devices", devices=[before]):
            if row["meaning"].startswith("acs."):
                continue  # The device's own link to the ACS: the new one has its own.
            secret = await self._sealer.open(row["sealed"], before, row["meaning"], row["instance"])
            sealed = await self._sealer.seal(secret, device_id, row["meaning"], row["instance"])
            await store.run(
                "put_secret", device_id=device_id, meaning=row["meaning"], instance=row["instance"], sealed=sealed, now_ms=now, person=by
            )
        await store.run("forget_secrets", device_id=before)
        await store.run("close_credentials", device_id=before)
        closed = after(Life(old["life"]), Occurrence.REPLACED)
        await store.run(
            "set_life", device_id=before, life=closed.value, line=line, customer=old["customer"], replaced_by=device_id, now_ms=now
        )
        await store.note([(before, now, "life", "", old["life"], closed.value, by), (device_id, now, "replaces", "", "", str(before), by)])
        told = msgspec.json.encode({"replaced_by": device_id, "line": line}).decode()
        await store.announce([("replaced", before, told)], now)


def _device(row: Row) -> Device:
    return Device(
        **row
        | {
            "life": Life(row["life"]),
            "standing": Standing(row["standing"]),
            "link": Link(row["link"]),
            "labels": tuple(row["labels"]),
        }
    )
