"""The fleet at a glance: how many devices are managed, silent, in stock, refused, and which versions they run.

Every figure leads to what it is made of. The figures come from the worker's count of each minute; what was never counted is said so.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from fastapi import Request
from starlette.responses import Response

from ringfence.access.model import Permission
from ringfence.apps.console import layers
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.forms import read_query
from ringfence.apps.console.places import desk_of
from ringfence.apps.console.routing import Pages
from ringfence.fleet.lists.model import VersionCount
from ringfence.fleet.model import Count, Filter

pages = Pages()

LIVES = ("in_stock", "shipped", "bootstrapped", "managed", "silent", "replaced", "lost")
IN_FIELD = frozenset({"bootstrapped", "managed", "silent"})
TOP_VERSIONS = 12
PERIODS = ((30, "30 days"), (90, "90 days"), (365, "a year"))
COUNTED_TO = 500
"""Of what nobody counts ahead: so many are counted, and more are called more."""
WEEK_MS = 7 * 86_400_000


class _Wanted(msgspec.Struct, frozen=True):
    model: Annotated[str, msgspec.Meta(max_length=80)] = ""
    """OUI, a blank, product class."""
    days: Annotated[int, msgspec.Meta(ge=7, le=730)] = 30


@pages.page("/fleet", permission=Permission.OVERVIEW_READ)
async def show_fleet(request: Request) -> Response:
    """Figures and versions."""
    desk = desk_of(request)
    wanted = read_query(request, _Wanted)
    shown = figures(await desk.or_else(desk.inventory.summary(), ()))
    models = list(shown.pop("models"))
    chosen = wanted.model if wanted.model or not models else models[0]
    oui, _, product_class = chosen.partition(" ")
    over_time = desk.inventory.versions(oui=oui, product_class=product_class, days=wanted.days)
    return desk.renderer.page(
        request,
        "fleet.html",
        tab="/fleet",
        pending=await _pending(desk),
        refused=await _refused(desk),
        coverage=desk.coverage.known,
        chosen=chosen,
        models=models,
        period=wanted.days,
        periods=PERIODS,
        picture=layers.layers("Devices in the field by version", _by_day(await desk.or_else(over_time, ()))),
        **shown,
    )


async def _pending(desk: Desk) -> str:
    """How many devices wait for a person: `17`, or `500+`."""
    found = await desk.or_else(desk.inventory.page(Filter(standing="replacement_pending"), limit=COUNTED_TO), None)
    return "–" if found is None else _bounded(len(found))


async def _refused(desk: Desk) -> str:
    """How many were refused in the last week."""
    found = await desk.or_else(desk.inventory.refused(limit=COUNTED_TO), None)
    return "–" if found is None else _bounded(sum(each.last_ms >= desk.clock() - WEEK_MS for each in found))


def _bounded(count: int) -> str:
    return f"{count:,}{'+' if count >= COUNTED_TO else ''}"


def _by_day(counts: Sequence[VersionCount]) -> dict[int, dict[str, int]]:
    """Devices by version, by the day's noon in UTC: at noon it is the same day for everybody."""
    days: dict[int, dict[str, int]] = {}
    for each in counts:
        noon = int(datetime.fromisoformat(f"{each.day}T12:00").replace(tzinfo=UTC).timestamp() * 1000)
        found = days.setdefault(noon, {})
        found[each.software_version] = found.get(each.software_version, 0) + each.devices
    return days


def figures(counts: Sequence[Count]) -> dict[str, Any]:
    """Devices by life, and those in the field by model and version."""
    lives: dict[str, int] = {}
    versions: dict[tuple[str, str, str], tuple[int, int]] = {}
    for each in counts:
        lives[each.life] = lives.get(each.life, 0) + each.devices
        if each.life in IN_FIELD:
            key = (each.oui, each.product_class, each.software_version)
            devices, silent = versions.get(key, (0, 0))
            versions[key] = devices + each.devices, silent + (each.devices if each.life == "silent" else 0)
    ordered = sorted(versions.items(), key=lambda each: (-each[1][0], each[0]))
    return {
        "models": dict.fromkeys(f"{oui} {product}" for (oui, product, _), _ in ordered),
        "lives": {life: lives.get(life, 0) for life in LIVES},
        "versions": [
            {"oui": oui, "product": product, "version": version, "devices": devices, "silent": silent}
            for (oui, product, version), (devices, silent) in ordered[:TOP_VERSIONS]
        ],
        "more_versions": max(0, len(ordered) - TOP_VERSIONS),
        "most": ordered[0][1][0] if ordered else 1,
        "counted_ms": max((each.counted_ms for each in counts), default=0),
    }
