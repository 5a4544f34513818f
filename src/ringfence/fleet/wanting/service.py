"""What people want of devices: groups, wishes of one device, its secrets, and what of it is not so yet.

A group is of many and holds no secret; a secret is of one device, sealed here and never shown again. The one thing to know: a change of a
group grows the policy's revision, a change of one device unsettles it, and so the next Inform finds its work.
"""

from ringfence.base.clock import Clock
from ringfence.base.errors import ConflictError, NotFoundError, OperatorError
from ringfence.base.secret import Secret
from ringfence.fleet.adapters import Sealer
from ringfence.fleet.desired import Group, Subject, Wanted, Wish, belongs, compiled, drift, lay, patterns, refusals, wish_refusals
from ringfence.fleet.meanings import MEANINGS, DataModel, fill
from ringfence.fleet.store import FleetStore, Row, columns, names_like
from ringfence.runtime.db import Database

MAX_GROUPS = 1_000
"""Every Inform that has work looks at all of them."""


class WantingService:
    """The changes and questions of those who may write what is wanted."""

    def __init__(self, db: Database, sealer: Sealer, clock: Clock) -> None:
        self._db = db
        self._sealer = sealer
        self._clock = clock

    # Groups

    async def groups(self) -> tuple[Group, ...]:
        """Every group, the lowest rank first: each is laid over those before it."""
        async with self._db.transaction() as connection:
            return await self._groups(FleetStore(connection))

    async def put_group(self, by: str, group: Group, acs_hosts: frozenset[str]) -> None:
        """Save a group; OperatorError with every reason why it cannot be."""
        if sentences := refusals(group, acs_hosts):
            raise OperatorError(" ".join(sentences), reason="policy")
        wishes = [(wish.meaning, wish.instance, wish.value) for wish in group.wishes]
        async with self._db.transaction() as connection:
            store = FleetStore(connection)
            fields = {
                name: getattr(group, name) for name in ("name", "rank", "oui", "product_class", "software_version", "region", "label")
            }
            known = {row["name"] for row in await store.rows("list_groups")}
            if group.name not in known and len(known) >= MAX_GROUPS:
                raise OperatorError(f"there are {MAX_GROUPS} groups already; remove one that nobody needs", reason="too_many_groups")
            await store.run("put_group", **fields, now_ms=self._clock(), person=by)
            await store.run("clear_wanted", name=group.name)
            await store.run("add_wanted", name=group.name, **columns(wishes, ("meanings", "instances", "values")))
            await store.row("grow_policy")
            await store.note([(0, self._clock(), "group", group.name, "", f"{len(wishes)} wishes", by)])

    async def remove_group(self, by: str, name: str) -> None:
        """Take a group away; its devices keep what was set until something else is wanted."""
        async with self._db.transaction() as connection:
            store = FleetStore(connection)
            if await store.row("remove_group", name=name) is None:
                raise NotFoundError(f"there is no group {name[:60]!a}", reason="no_group")
            await store.row("grow_policy")
            await store.note([(0, self._clock(), "group", name, "", "removed", by)])

    # One device

    async def want(self, by: str, device_id: int, wish: Wish, acs_hosts: frozenset[str]) -> None:
        """Want something of one device that is no secret."""
        sentences = wish_refusals(wish, acs_hosts)
        if not sentences and MEANINGS[wish.meaning].secret:
            sentences = (f"{wish.meaning} is a secret: give it as one, so that it is sealed.",)
        if sentences:
            raise OperatorError(" ".join(sentences), reason="policy")
        async with self._db.transaction() as connection:
            store, now = FleetStore(connection), self._clock()
            await self._held(store, device_id)
            fields = {"meaning": wish.meaning, "instance": wish.instance, "value": wish.value}
            await store.run("put_own_wish", device_id=device_id, **fields, now_ms=now, person=by)
            await store.run("unsettle", devices=[device_id])
            await store.note([(device_id, now, "wish", wish.meaning, "", wish.value, by)])

    async def put_secret(self, by: str, device_id: int, meaning: str, secret: Secret, instance: str = "") -> None:
        """Seal a secret for a device; it is written at the next session and never shown."""
        found = MEANINGS.get(meaning)
        if found is None or not found.secret or not any(name and fill(name, instance) for name in (found.tr098, found.tr181)):
            raise OperatorError(
                f"{meaning[:60]!a} is no secret that a device can be given, or its instance does not fit.", reason="meaning"
            )
        sealed = await self._sealer.seal(secret, device_id, meaning, instance)
        async with self._db.transaction() as connection:
            store, now = FleetStore(connection), self._clock()
            await self._held(store, device_id)
            await store.run("put_secret", device_id=device_id, meaning=meaning, instance=instance, sealed=sealed, now_ms=now, person=by)
            await store.run("unsettle", devices=[device_id])
            await store.note([(device_id, now, "secret", meaning, "", "(secret)", by)])

    async def wish_no_more(self, by: str, device_id: int, meaning: str, instance: str = "") -> None:
        """Take a wish or a secret of one device away; the device keeps what was set until something else is wanted."""
        async with self._db.transaction() as connection:
            store, now = FleetStore(connection), self._clock()
            await self._held(store, device_id)
            if await store.row("remove_own_wish", device_id=device_id, meaning=meaning, instance=instance) is None:
                raise NotFoundError(f"nothing of the meaning {meaning[:60]!a} is wanted of this device alone", reason="no_wish")
            await store.run("unsettle", devices=[device_id])
            await store.note([(device_id, now, "wish", meaning, "", "no longer wanted", by)])

    async def wanted(self, device_id: int) -> Wanted:
        """What is wanted of a device, from where, and what of it differs from what the device last reported."""
        async with self._db.transaction() as connection:
            store = FleetStore(connection)
            row = await store.row("subject_of_device", device_id=device_id)
            if row is None:
                raise NotFoundError(f"there is no device {device_id}", reason="no_device")
            subject = Subject(**row | {"labels": frozenset(row["labels"]), "data_model": DataModel(row["data_model"])})
            groups = tuple(group for group in await self._groups(store) if belongs(subject, group))
            own = tuple(
                Wish(meaning=found["meaning"], instance=found["instance"], value=found["value"])
                for found in await store.rows("wanted_of_devices", devices=[device_id])
            )
            sealed = await store.rows("names_of_secrets", device_id=device_id)
            wishes = lay(subject, groups, own)
            known = await names_like(store, {device_id: patterns(subject.data_model, wishes)})
            laid = compiled(subject.data_model, wishes, names=known.get(device_id, ()))
            names = [setting.name for setting in laid.settings]
            rows = await store.rows("reported_of_devices", devices=[device_id], names=names, fresh_ms=1)
        return Wanted(
            groups=tuple(group.name for group in groups),
            own=own,
            secrets=tuple((found["meaning"], found["instance"], found["changed_ms"]) for found in sealed),
            differences=drift(laid.settings, {found["name"]: found["value"] for found in rows}),
            impossible=laid.impossible,
        )

    async def discover(self, device_id: int, by: str = "") -> None:
        """Read a device's whole tree, level by level, from its next Inform on. ConflictError while nobody knows its data model."""
        async with self._db.transaction() as connection:
            store, now = FleetStore(connection), self._clock()
            if not (await self._held(store, device_id))["data_model"]:
                raise ConflictError("the device never said which parameters it has; wait for its first Inform", reason="no_tree")
            await store.row("discover", device_id=device_id, now_ms=now)
            await store.run("unsettle", devices=[device_id])
            await store.note([(device_id, now, "discover", "", "", "", by)])

    # Inside

    async def _groups(self, store: FleetStore) -> tuple[Group, ...]:
        wishes: dict[str, list[Wish]] = {}
        for row in await store.rows("list_wanted"):
            wishes.setdefault(row["group_name"], []).append(Wish(meaning=row["meaning"], instance=row["instance"], value=row["value"]))
        return tuple(Group(**row, wishes=tuple(wishes.get(row["name"], ()))) for row in await store.rows("list_groups"))

    async def _held(self, store: FleetStore, device_id: int) -> Row:
        row = await store.row("hold_device", device_id=device_id)
        if row is None:
            raise NotFoundError(f"there is no device {device_id}", reason="no_device")
        return row
