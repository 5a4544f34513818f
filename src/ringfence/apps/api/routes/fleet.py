"""Lists of the fleet that people work off: summary, coverage, models, versions, stops, refusals, replacements, stock; region and labels."""

from typing import Annotated, cast

from fastapi import Path, Query

from ringfence.access.model import Permission
from ringfence.apps.api.cursors import MAX_CHARS, cursor, key_of
from ringfence.apps.api.device_payloads import PLAIN
from ringfence.apps.api.fleet_payloads import (
    ChangedSaid,
    CountSaid,
    CoverageSaid,
    DriftList,
    DriftSaid,
    LabelsHeard,
    LinkHeard,
    ModelHeard,
    ModelSaid,
    PendingList,
    PendingSaid,
    RefusalList,
    RefusalSaid,
    RegionHeard,
    StockList,
    StockSaid,
    StopHeard,
    StopList,
    StopSaid,
    TwinHeard,
    VersionCountSaid,
)
from ringfence.apps.api.routes.devices import MAX_ID, Limit, Word
from ringfence.apps.api.routing import Acting, AtDesk, Routes
from ringfence.base.errors import OperatorError
from ringfence.fleet.model import Link

routes = Routes("fleet")

MANY_BYTES = 512 * 1024
"""Ten thousand numbers of devices."""
ANEW_MS = 60_000
"""Counting reads a month of registrations: nobody makes it happen over and over."""
Oui = Annotated[str, Query(pattern="^([0-9A-F]{6})?$")]
Place = Annotated[str, Query(max_length=MAX_CHARS)]
Start = Annotated[int, Query(ge=0, le=MAX_ID)]
ModelNumber = Annotated[int, Path(ge=1, le=2**31 - 1)]


@routes.get("/fleet/summary", permission=Permission.OVERVIEW_READ)
async def show_summary(desk: AtDesk) -> list[CountSaid]:
    """Devices by model, version, life and region, as they were counted last."""
    return [CountSaid.of(count) for count in await desk.inventory.summary()]


@routes.get("/fleet/coverage", permission=Permission.OVERVIEW_READ)
async def show_coverage(
    desk: AtDesk,
    model: Word = "",
    after: Annotated[str, Query(max_length=256, pattern=PLAIN)] = "",
    limit: Limit = 100,
    *,
    anew: bool = False,
) -> CoverageSaid:
    """Customers whose phone registers and of whom no device informs, counted in the last hour, with `anew` in the last minute.

    `after`: the customer seen last.
    """
    known = desk.coverage.known
    stale = known is None or desk.clock() - known.counted_ms > ANEW_MS
    seen = await (desk.coverage.anew() if anew and stale else desk.coverage.current())
    # In the order of code points, in which `after` is compared; the database's own order may be that of a language.
    fits = sorted((one for one in seen.uncovered if one.customer > after and model in ("", one.model)), key=lambda one: one.customer)
    page = fits[:limit]
    return CoverageSaid.of(seen, page, page[-1].customer if len(fits) > limit else "")


@routes.get("/fleet/models", permission=Permission.DEVICE_READ)
async def list_models(desk: AtDesk) -> list[ModelSaid]:
    """Every model, with its twin and what its stock is brought to."""
    return [ModelSaid.of(model) for model in await desk.inventory.models()]


@routes.put("/fleet/models/{model_id}", permission=Permission.DEVICE_MANAGE, status=204)
async def put_model(desk: AtDesk, actor: Acting, model_id: ModelNumber, entry: ModelHeard) -> None:
    """Say what a model is called, its hardware revision and its chipset."""
    await desk.inventory.describe_model(
        actor.name, model_id, name=entry.name, hardware_version=entry.hardware_version, chipset=entry.chipset
    )
    await desk.access.audit(actor.name, "put_model", str(model_id), {"name": entry.name, "chipset": entry.chipset})


@routes.put("/fleet/models/{model_id}/twin", permission=Permission.DEVICE_MANAGE, status=204)
async def put_twin(desk: AtDesk, actor: Acting, model_id: ModelNumber, entry: TwinHeard) -> None:
    """Say which model this one is inside (an OEM's)."""
    await desk.inventory.set_twin(actor.name, model_id, entry.twin_id)
    await desk.access.audit(actor.name, "put_twin", str(model_id), {"twin_id": entry.twin_id})


@routes.get("/fleet/versions", permission=Permission.OVERVIEW_READ)
async def list_versions(
    desk: AtDesk, oui: Oui = "", product_class: Word = "", days: Annotated[int, Query(ge=1, le=800)] = 90
) -> list[VersionCountSaid]:
    """Versions in the field day by day, the last day first."""
    _whole_model(oui, product_class)
    return [VersionCountSaid.of(count) for count in await desk.inventory.versions(oui=oui, product_class=product_class, days=days)]


@routes.get("/fleet/stops", permission=Permission.DEVICE_READ)
async def list_stops(desk: AtDesk, after: Place = "", limit: Limit = 100) -> StopList:
    """Settings that models refuse; they are set on none of their devices until somebody lifts the stop."""
    key = cast("tuple[str, str, str, str]", key_of(after, "", "", "", ""))
    found = await desk.inventory.stops(after=key, limit=limit)
    following = cursor(found[-1].oui, found[-1].product_class, found[-1].software_version, found[-1].name) if len(found) == limit else ""
    return StopList(stops=[StopSaid.of(stop) for stop in found], next=following)


@routes.post("/fleet/stops/lift", permission=Permission.DESIRED_WRITE, status=204)
async def lift_stop(desk: AtDesk, actor: Acting, entry: StopHeard) -> None:
    """Try a setting again that a model refused."""
    await desk.inventory.lift_stop(actor.name, **entry.model_dump())
    await desk.access.audit(actor.name, "lift_stop", entry.name, entry.model_dump(exclude={"name"}))


@routes.get("/fleet/drift", permission=Permission.DEVICE_READ)
async def list_drift(
    desk: AtDesk, group: Annotated[str | None, Query(max_length=64, pattern=PLAIN)] = None, after: Place = "", limit: Limit = 100
) -> DriftList:
    """What is not as it is wanted, as the worker compared it last; `group` empty: wanted of one device alone."""
    key = cast("tuple[int, str]", key_of(after, 0, ""))
    found = await desk.inventory.drift(group=group, after=key, limit=limit)
    following = cursor(found[-1].device_id, found[-1].name) if len(found) == limit else ""
    return DriftList(differences=[DriftSaid.of(entry) for entry in found], next=following)


@routes.get("/fleet/refusals", permission=Permission.DEVICE_READ)
async def list_refusals(desk: AtDesk, before: Place = "", limit: Limit = 100) -> RefusalList:
    """Who was refused, the last one first."""
    key = cast("tuple[int, int]", key_of(before, 0, 0))
    found = await desk.inventory.refused(before=key, limit=limit)
    following = cursor(found[-1].last_ms, found[-1].refusal_id) if len(found) == limit else ""
    return RefusalList(refusals=[RefusalSaid.of(entry) for entry in found], next=following)


@routes.get("/fleet/replacements", permission=Permission.DEVICE_READ)
async def list_replacements(desk: AtDesk, before: Start = 0, limit: Limit = 100) -> PendingList:
    """Devices on a line that belongs to another; `POST /v1/devices/{device_id}/verify` says that one replaces it."""
    found = await desk.inventory.pending(before=before, limit=limit)
    return PendingList(replacements=[PendingSaid.of(entry) for entry in found], next=found[-1].device_id if len(found) == limit else 0)


@routes.get("/fleet/stock", permission=Permission.DEVICE_READ)
async def list_stock(desk: AtDesk, oui: Oui = "", product_class: Word = "", after: Start = 0, limit: Limit = 100) -> StockList:
    """Devices in stock, and whether each can be shipped as it is."""
    _whole_model(oui, product_class)
    found = await desk.inventory.stock(oui=oui, product_class=product_class, after=after, limit=limit)
    return StockList(devices=[StockSaid.of(entry) for entry in found], next=found[-1].device_id if len(found) == limit else 0)


@routes.post("/fleet/region", permission=Permission.DEVICE_MANAGE, max_body_size=MANY_BYTES)
async def put_region(desk: AtDesk, actor: Acting, entry: RegionHeard) -> ChangedSaid:
    """Put devices into a region."""
    changed = await desk.inventory.set_region(actor.name, entry.devices, entry.region)
    await desk.access.audit(actor.name, "put_region", entry.region or "none", {"devices": len(entry.devices), "changed": changed})
    return ChangedSaid(changed=changed)


@routes.post("/fleet/link", permission=Permission.DEVICE_MANAGE, max_body_size=MANY_BYTES)
async def put_link(desk: AtDesk, actor: Acting, entry: LinkHeard) -> ChangedSaid:
    """State that devices are behind a mobile link or cannot be reached, which their Informs do not show."""
    changed = await desk.inventory.set_link(actor.name, entry.devices, Link(entry.link))
    await desk.access.audit(actor.name, "put_link", entry.link, {"devices": len(entry.devices), "changed": changed})
    return ChangedSaid(changed=changed)


@routes.post("/fleet/labels", permission=Permission.DEVICE_MANAGE, max_body_size=MANY_BYTES)
async def change_labels(desk: AtDesk, actor: Acting, entry: LabelsHeard) -> ChangedSaid:
    """Add and remove labels of devices."""
    changed = await desk.inventory.set_labels(actor.name, entry.devices, add=entry.add, remove=entry.remove)
    told: dict[str, str | int | bool] = {"devices": len(entry.devices), "changed": changed}
    told |= {"added": ",".join(entry.add), "removed": ",".join(entry.remove)}
    await desk.access.audit(actor.name, "change_labels", "devices", told)
    return ChangedSaid(changed=changed)


def _whole_model(oui: str, product_class: str) -> None:
    if product_class and not oui:
        raise OperatorError("a product_class belongs to an oui; name both", reason="bad_filter")
