"""The fleet at a glance: how many devices are managed, silent, in stock, refused, and which versions they run.

Every figure leads to what it is made of. The figures come from the worker's count of each minute; what was never counted is said so.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import Request
from starlette.responses import Response

from ringfence.access.model import Permission
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.places import desk_of
from ringfence.apps.console.routing import Pages
from ringfence.fleet.model import Count, Filter

pages = Pages()

LIVES = ("in_stock", "shipped", "bootstrapped", "managed", "silent", "replaced", "lost")
IN_FIELD = frozenset({"bootstrapped", "managed", "silent"})
TOP_VERSIONS = 12
COUNTED_TO = 500
"""Of standings, which nobody counts ahead: so many are counted, and more are called more."""


@pages.page("/fleet", permission=Permission.OVERVIEW_READ)
async def show_fleet(request: Request) -> Response:
    """Figures and versions."""
    desk = desk_of(request)
    counts = await desk.or_else(desk.inventory.summary(), ())
    return desk.renderer.page(
        request,
        "fleet.html",
        tab="/fleet",
        pending=await _standing(desk, "replacement_pending"),
        refused=await _standing(desk, "refused"),
        coverage=desk.coverage.known,
        **figures(counts),
    )


async def _standing(desk: Desk, standing: str) -> str:
    """How many devices stand so: `17`, or `500+`."""
    found = await desk.or_else(desk.inventory.page(Filter(standing=standing), limit=COUNTED_TO), None)
    if found is None:
        return "–"
    return f"{len(found):,}{'+' if len(found) == COUNTED_TO else ''}"


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
        "by_life": [(life, lives[life]) for life in LIVES if life in lives],
        "lives": {life: lives.get(life, 0) for life in LIVES},
        "versions": [
            {"oui": oui, "product": product, "version": version, "devices": devices, "silent": silent}
            for (oui, product, version), (devices, silent) in ordered[:TOP_VERSIONS]
        ],
        "more_versions": max(0, len(ordered) - TOP_VERSIONS),
        "most": ordered[0][1][0] if ordered else 1,
        "counted_ms": max((each.counted_ms for each in counts), default=0),
    }
