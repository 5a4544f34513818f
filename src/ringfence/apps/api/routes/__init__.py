"""The routes, one module a subject."""

from ringfence.apps.api.routes import (
    alerts,
    attacks,
    blocks,
    composed,
    contracts,
    customers,
    devices,
    firmware,
    fleet,
    orders,
    people,
    query,
    rules,
    sessions,
    wanted,
    watching,
)
from ringfence.apps.api.routing import Routes

ALL_ROUTES: tuple[Routes, ...] = (
    people.routes,
    watching.routes,
    alerts.routes,
    attacks.routes,
    blocks.routes,
    query.routes,
    customers.routes,
    contracts.routes,
    sessions.routes,
    devices.routes,
    orders.routes,
    fleet.routes,
    firmware.routes,
    wanted.routes,
    rules.routes,
    composed.routes,
)
