"""Drift: the worker compares every device in the field with what is wanted of it, a batch of ids at a time, and keeps what differs.

Sessions compare a device when its Inform changes; this looks at those that nobody asked for a while. Secrets are never read back, and so
are no part of it. The one thing to know: a device that had settled and differs now is unsettled, so its next Inform sets it right.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ringfence.fleet.desired import Group, Subject, Wish, compiled, drift, lay_named
from ringfence.fleet.drifting.store import DriftStore
from ringfence.fleet.lists.model import DriftEntry
from ringfence.fleet.meanings import DataModel
from ringfence.fleet.session import Setting, Template
from ringfence.fleet.store import FleetStore, Row, columns, names_like
from ringfence.fleet.wanting.service import WantingService

PAGE = 500
COMPARED_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A batch of the comparison. `last`: where the next one goes on, 0 when there is none."""

    last: int
    devices: int
    drifted: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """The settings of devices that are alike, and the group that each is from. Instances are each device's own, so they come later."""

    settings: tuple[Setting, ...]
    groups: dict[str, str]
    templates: tuple[tuple[str, Template], ...] = ()


class DriftService(WantingService):
    """The comparison and its page."""

    async def drift(self, *, group: str | None = None, after: tuple[int, str] = (0, ""), limit: int = 50) -> tuple[DriftEntry, ...]:
        """What is not as wanted, by device and name; `group` empty: wanted of one device alone, None: all.

        `after`: device id and name of the last entry of the page before.
        """
        async with self._db.transaction() as connection:
            await FleetStore(connection).run("plan_for_values")
            rows = await DriftStore(connection).rows(
                "page_drift",
                after_device=after[0],
                after_name=after[1],
                any_group=group is None,
                group=group or "",
                limit=min(limit, PAGE),
            )
        return tuple(DriftEntry(**row) for row in rows)

    async def compare(self, after: int = 0, limit: int = COMPARED_AT_ONCE) -> Compared:
        """Compare the next devices after an id; for the worker, around and around."""
        now = self._clock()
        async with self._db.transaction() as connection:
            store, fleet = DriftStore(connection), FleetStore(connection)
            devices = await store.rows("devices_to_compare", after=after, limit=limit)
            last = devices[-1]["device_id"] if len(devices) == limit else 0
            plans = await self._plans(fleet, [row for row in devices if row["data_model"]])
            reported = await _reported(fleet, plans)
            stops = {(row["model_id"], row["software_version"], row["name"]) for row in await fleet.rows("list_stops")}
            found, anew = [], []
            for row in devices:
                device_id, plan = row["device_id"], plans.get(row["device_id"])
                if plan is None:
                    continue
                differences = drift(plan.settings, reported.get(device_id, {}))
                found += [(device_id, one.name, plan.groups[one.name], one.wanted, one.reported) for one in differences]
                if any((row["model_id"], row["software_version"], one.name) not in stops for one in differences):
                    anew.append(device_id)
            fields = columns(found, ("devices", "names", "groups", "wanteds", "reporteds"))
            await store.run("forget_drift", after=after, last=last, devices=fields["devices"], names=fields["names"])
            if found:
                await store.run("keep_drift", now_ms=now, **fields)
                await store.run("unsettle_drifted", devices=anew)
        return Compared(last=last, devices=len(devices), drifted=len({entry[0] for entry in found}))

    # Inside

    async def _plans(self, store: FleetStore, devices: list[Row]) -> dict[int, _Plan]:
        """What is wanted of each device; of one that nobody has proven to be, only what its groups want."""
        groups = await self._groups(store)
        own: dict[int, list[Wish]] = {}
        managed = [row["device_id"] for row in devices if row["standing"] == "managed"]
        for row in await store.rows("wanted_of_devices", devices=managed):
            own.setdefault(row["device_id"], []).append(Wish(meaning=row["meaning"], instance=row["instance"], value=row["value"]))
        alike: dict[Subject, _Plan] = {}
        plans = {}
        for row in devices:
            if row["standing"] not in {"managed", "unbound"}:
                continue
            subject = _subject(row)
            if row["device_id"] in own:
                plans[row["device_id"]] = _plan(subject, groups, own[row["device_id"]])
                continue
            if subject not in alike:
                alike[subject] = _plan(subject, groups, ())
            plans[row["device_id"]] = alike[subject]
        known = await names_like(store, {device_id: [one.pattern for _, one in plan.templates] for device_id, plan in plans.items()})
        plans |= {device_id: _with_instances(plans[device_id], names) for device_id, names in known.items()}
        return {device_id: plan for device_id, plan in plans.items() if plan.settings}


def _subject(row: Row) -> Subject:
    return Subject(
        oui=row["oui"],
        product_class=row["product_class"],
        software_version=row["software_version"],
        region=row["region"],
        labels=frozenset(row["labels"]),
        data_model=DataModel(row["data_model"]),
    )


def _plan(subject: Subject, groups: Iterable[Group], own: Iterable[Wish]) -> _Plan:
    settings: dict[str, Setting] = {}
    froms: dict[str, str] = {}
    templates: list[tuple[str, Template]] = []
    for name, wish in lay_named(subject, groups, own):
        one = compiled(subject.data_model, (wish,))
        templates += [(name, template) for template in one.templates]
        for setting in one.settings:
            settings[setting.name], froms[setting.name] = setting, name
    return _Plan(tuple(settings[name] for name in sorted(settings)), froms, tuple(templates))


def _with_instances(plan: _Plan, names: list[str]) -> _Plan:
    """The plan with what is wanted of every instance that one device has; a wish of one instance goes before it."""
    every = {setting.name: (group, setting) for group, template in plan.templates for setting in template.among(names)}
    settings = {name: setting for name, (_, setting) in every.items()} | {setting.name: setting for setting in plan.settings}
    froms = {name: group for name, (group, _) in every.items()} | plan.groups
    return _Plan(tuple(settings[name] for name in sorted(settings)), froms)


async def _reported(store: FleetStore, plans: dict[int, _Plan]) -> dict[int, dict[str, str]]:
    names = sorted({setting.name for plan in plans.values() for setting in plan.settings})
    found: dict[int, dict[str, str]] = {}
    if names:
        for row in await store.rows("reported_of_devices", devices=sorted(plans), names=names, fresh_ms=1):
            found.setdefault(row["device_id"], {})[row["name"]] = row["value"]
    return found
