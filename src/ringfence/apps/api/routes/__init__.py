"""The routes, one module a subject."""

from ringfence.apps.api.routes import (
    alerts,
    attacks,
    blocks,
    composed,
    contracts,
    customers,
    devices,
    people,
    query,
    rules,
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
    devices.routes,
    wanted.routes,
    rules.routes,
    composed.routes,
)
