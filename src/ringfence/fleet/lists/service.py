"""Lists that people work off, page by page, and the small changes they make there: region, labels, twins, stops, devices behind a device.

It reads what was counted and kept; it never walks the fleet. The one thing to know: every page goes on after a key, not after a number of
entries, so the ten-thousandth page of three million devices costs what the first one does.
"""

import re
from collections.abc import Sequence

from ringfence.base.errors import ConflictError, NotFoundError, OperatorError
from ringfence.fleet.behind import MAX_BEHIND, MAX_NAME_CHARS, BehindKind
from ringfence.fleet.lists.model import Model, Pending, RefusedEntry, StockEntry, StoppedSetting, VersionCount
from ringfence.fleet.lists.store import ListsStore
from ringfence.fleet.model import Link
from ringfence.fleet.store import FleetStore
from ringfence.fleet.wanting.service import WantingService

PAGE = 500
"""Entries of a page at the most."""
MAX_MODELS = 5_000
MAX_VERSIONS = 4_000
KEEP_DAYS = 800
"""Of versions by day: two years and their holidays."""
MAX_AT_ONCE = 10_000
"""Devices of one change."""
MAX_LABELS = 32
_LABEL = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}", re.ASCII)
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}", re.ASCII)
_MAX_WORD_CHARS = 64


class ListsService(WantingService):
    """Models, stops, refusals, replacements, stock, versions."""

    # Models

    async def models(self) -> tuple[Model, ...]:
        """Every model by OUI and product class, with its twin and what its stock is brought to."""
        async with self._db.transaction() as connection:
            return tuple(Model(**row) for row in await ListsStore(connection).rows("list_models", limit=MAX_MODELS))

    async def describe_model(self, by: str, model_id: int, *, name: str, hardware_version: str, chipset: str) -> None:
        """What a model is called and made of: what an advisory names. NotFoundError when there is none with this number."""
        facts = (name, hardware_version, chipset)
        if any(len(fact) > _MAX_WORD_CHARS or not fact.isprintable() for fact in facts):
            raise OperatorError(f"name, hardware revision and chipset have {_MAX_WORD_CHARS} characters at the most", reason="model")
        async with self._db.transaction() as connection:
            told = {"name": name, "hardware_version": hardware_version, "chipset": chipset}
            if not await ListsStore(connection).run("describe_model", model_id=model_id, **told):
                raise NotFoundError(f"there is no model {model_id}", reason="no_model")
            await FleetStore(connection).note([(0, self._clock(), "model", str(model_id), "", ", ".join(facts), by)])

    async def set_twin(self, by: str, model_id: int, twin_id: int) -> None:
        """Say that a model is another one inside (an OEM's), 0 for none. ConflictError where that would make a chain or a ring."""
        if model_id == twin_id:
            raise OperatorError("a model is no twin of its own", reason="twin")
        async with self._db.transaction() as connection:
            store = ListsStore(connection)
            found = {row["model_id"]: row for row in await store.rows("twins_of", models=[model_id, twin_id])}
            if {model_id, twin_id} - {0} - found.keys():
                raise NotFoundError("there is no such model", reason="no_model")
            if twin_id and (found[twin_id]["twin_of"] is not None or found[model_id]["is_twin"]):
                raise ConflictError("a twin of a twin: name the model that all of them are inside", reason="twin")
            await store.run("set_twin", model_id=model_id, twin=twin_id)
            await FleetStore(connection).note([(0, self._clock(), "twin", str(model_id), "", str(twin_id or "none"), by)])

    # Stops

    async def stops(self, *, after: tuple[str, str, str, str] = ("", "", "", ""), limit: int = PAGE) -> tuple[StoppedSetting, ...]:
        """Settings that models refuse; `after`: OUI, product class, version and name of the last entry of the page before."""
        oui, product_class, software_version, name = after
        async with self._db.transaction() as connection:
            rows = await ListsStore(connection).rows(
                "page_stops", oui=oui, product_class=product_class, software_version=software_version, name=name, limit=min(limit, PAGE)
            )
        return tuple(StoppedSetting(**row) for row in rows)

    async def lift_stop(self, by: str, *, oui: str, product_class: str, software_version: str, name: str) -> None:
        """Try a setting again that a model refused; every device is compared anew at its next Inform."""
        async with self._db.transaction() as connection:
            store = ListsStore(connection)
            row = await store.row("lift_stop", oui=oui, product_class=product_class, software_version=software_version, name=name)
            if row is None:
                raise NotFoundError("no such setting is stopped", reason="no_stop")
            await store.row("grow_policy_again")
            told = f"{oui} {product_class} {software_version}"
            await FleetStore(connection).note(
                [(row["device_id"], self._clock(), "stop", name, str(row["fault_code"]), f"lifted for {told}", by)]
            )

    # Refusals, replacements, stock, versions

    async def refused(self, *, before: tuple[int, int] = (0, 0), limit: int = 50) -> tuple[RefusedEntry, ...]:
        """Who was refused, the last one first; `before`: `last_ms` and `refusal_id` of the last entry of the page before."""
        async with self._db.transaction() as connection:
            rows = await ListsStore(connection).rows("page_refusals", before_ms=before[0], before_id=before[1], limit=min(limit, PAGE))
        return tuple(RefusedEntry(**row) for row in rows)

    async def pending(self, *, before: int = 0, limit: int = 50) -> tuple[Pending, ...]:
        """Replacements that wait for a person, the newest first; `before`: the last device id of the page before."""
        async with self._db.transaction() as connection:
            rows = await ListsStore(connection).rows("page_pending", before=before, limit=min(limit, PAGE))
        return tuple(Pending(**row) for row in rows)

    async def stock(self, *, oui: str = "", product_class: str = "", after: int = 0, limit: int = 50) -> tuple[StockEntry, ...]:
        """Devices in stock in the order of their ids, of one model when named."""
        async with self._db.transaction() as connection:
            await FleetStore(connection).run("plan_for_values")
            rows = await ListsStore(connection).rows(
                "page_stock", oui=oui, product_class=product_class, after=after, limit=min(limit, PAGE)
            )
        return tuple(StockEntry(**row) for row in rows)

    async def versions(self, *, oui: str = "", product_class: str = "", days: int = 90) -> tuple[VersionCount, ...]:
        """Versions in the field day by day, the last day first, of one model when named; 4,000 entries at the most."""
        async with self._db.transaction() as connection:
            rows = await ListsStore(connection).rows(
                "versions_over_time",
                oui=oui,
                product_class=product_class,
                now_ms=self._clock(),
                days=max(1, min(days, KEEP_DAYS)),
                limit=MAX_VERSIONS,
            )
        return tuple(VersionCount(**row) for row in rows)

    async def count_versions(self) -> None:
        """Keep today's count of versions, from the last `count`; for the worker."""
        async with self._db.transaction() as connection:
            store, now = ListsStore(connection), self._clock()
            await store.run("count_versions", now_ms=now)
            await store.run("forget_versions", now_ms=now, days=KEEP_DAYS)

    async def forget(self, transcripts_ms: int, announcements_ms: int, limit: int = 5_000) -> int:
        """Delete transcripts and announcements that are older; how many of the fuller kind. For the worker, until it is below the limit."""
        async with self._db.transaction() as connection:
            store, now = ListsStore(connection), self._clock()
            transcripts = await store.rows("forget_transcripts", before_ms=now - transcripts_ms, limit=limit)
            announcements = await store.rows("forget_announcements", before_ms=now - announcements_ms, limit=limit)
        return max(len(transcripts), len(announcements))

    # Region, labels

    async def set_region(self, by: str, devices: Sequence[int], region: str) -> int:
        """Put devices into a region (empty: none); how many changed. What is wanted of them is compared anew."""
        if len(region) > _MAX_WORD_CHARS or not region.isprintable():
            raise OperatorError(f"a region is a name of {_MAX_WORD_CHARS} characters at the most", reason="region")
        async with self._db.transaction() as connection:
            rows = await ListsStore(connection).rows("set_region", devices=_bounded(devices), region=region)
            changed = [row for row in rows if row["changed"]]
            now = self._clock()
            await FleetStore(connection).note([(row["device_id"], now, "region", "", row["before"], region, by) for row in changed])
        return len(changed)

    async def set_link(self, by: str, devices: Sequence[int], link: Link) -> int:
        """State a link as mobile or unreachable, which nobody sees from outside, or take that back with DIRECT; how many changed."""
        if link not in {Link.MOBILE, Link.UNREACHABLE, Link.DIRECT}:
            raise OperatorError("a link is stated as mobile or unreachable, or as direct to take that back; NAT is seen", reason="link")
        async with self._db.transaction() as connection:
            rows = await ListsStore(connection).rows("set_link", devices=_bounded(devices), link=link.value)
            changed = [row for row in rows if row["changed"]]
            now = self._clock()
            await FleetStore(connection).note([(row["device_id"], now, "link", "", row["before"], link.value, by) for row in changed])
        return len(changed)

    async def set_labels(self, by: str, devices: Sequence[int], *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> int:
        """Add and remove labels; how many devices changed. What is wanted of them is compared anew."""
        if bad := sorted(label for label in {*add, *remove} if _LABEL.fullmatch(label) is None):
            raise OperatorError(f"{bad[0][:40]!a} is no label: small letters, digits, '.', '_' and '-', 32 at the most", reason="label")
        async with self._db.transaction() as connection:
            rows = await ListsStore(connection).rows(
                "set_labels", devices=_bounded(devices), add=list(add), remove=list(remove), most=MAX_LABELS
            )
            if crowded := [row["device_id"] for row in rows if row["crowded"]]:
                raise ConflictError(f"device {crowded[0]} would have more than {MAX_LABELS} labels", reason="labels")
            changed = [row for row in rows if row["changed"]]
            now = self._clock()
            await FleetStore(connection).note([(row["device_id"], now, "labels", "", row["before"], row["fresh"], by) for row in changed])
        return len(changed)

    # Behind the device

    async def put_behind_by_hand(self, by: str, device_id: int, mac: str, name: str, kind: BehindKind) -> None:
        """Say what stands behind a device; no table of the device overwrites it."""
        mac = mac.strip().lower().replace("-", ":")
        if _MAC.fullmatch(mac) is None or len(name) > MAX_NAME_CHARS or not name.isprintable():
            raise OperatorError(f"{mac[:40]!a} {name[:40]!a}: a MAC address, and a name of {MAX_NAME_CHARS} characters", reason="behind")
        async with self._db.transaction() as connection:
            store = ListsStore(connection)
            await self._held(FleetStore(connection), device_id)
            row = await store.row("count_behind", device_id=device_id)
            if row is not None and row["entries"] >= 2 * MAX_BEHIND:
                raise ConflictError(f"{2 * MAX_BEHIND} devices are behind this one already", reason="behind")
            await store.run("put_behind_by_hand", device_id=device_id, mac=mac, name=name, kind=kind.value, now_ms=self._clock())
            await FleetStore(connection).note([(device_id, self._clock(), "behind", mac, "", f"{kind.value} {name}".strip(), by)])

    async def remove_behind(self, by: str, device_id: int, mac: str) -> None:
        """Take an entry away; a table of the device may bring it back."""
        async with self._db.transaction() as connection:
            row = await ListsStore(connection).row("remove_behind", device_id=device_id, mac=mac)
            if row is None:
                raise NotFoundError(f"nothing with the address {mac[:40]!a} is behind this device", reason="no_behind")
            await FleetStore(connection).note([(device_id, self._clock(), "behind", mac, row["name"], "removed", by)])


def _bounded(devices: Sequence[int]) -> list[int]:
    if len(devices) > MAX_AT_ONCE:
        raise OperatorError(f"{MAX_AT_ONCE} devices at once at the most; do it in parts", reason="too_many_devices")
    return sorted(set(devices))
