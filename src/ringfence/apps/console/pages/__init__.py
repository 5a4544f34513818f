"""The pages, one module a subject."""

from ringfence.apps.console.pages import (
    accounts,
    alerts,
    attacks,
    audit,
    blocks,
    composed,
    coverage,
    devices,
    edges,
    exemptions,
    fleet,
    me,
    overview,
    people,
    proposals,
    sign_in,
    thresholds,
    workbench,
)
from ringfence.apps.console.routing import Pages

ALL_PAGES: tuple[Pages, ...] = (
    sign_in.pages,
    overview.pages,
    alerts.pages,
    attacks.pages,
    blocks.pages,
    proposals.pages,
    exemptions.pages,
    thresholds.pages,
    composed.pages,
    edges.pages,
    accounts.pages,
    fleet.pages,
    coverage.pages,
    devices.pages,
    workbench.pages,
    people.pages,
    audit.pages,
    me.pages,
)
