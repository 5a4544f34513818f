"""Pages out of templates: one environment that escapes everything and knows how values look.

A variable that a page forgot is an error, never an empty place. Every page gets the same frame (person, counts of the navigation,
time zone, outage line) from here, so a handler passes only what is its own.
"""

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from ringfence import __version__
from ringfence.access.model import Permission
from ringfence.apps.console import show
from ringfence.apps.console.session import THEME_COOKIE, set_visit
from ringfence.base.clock import Clock

HERE = Path(__file__).parent
STATIC = HERE / "static"

# What a page says after an order was carried out: the address bar carries the key, never a text.
SAID: Mapping[str, str] = {
    "imposed": "The block is in force. Every edge gets it within the second.",
    "proposed": "It waits for approval: see Proposals.",
    "lifted": "The block is lifted. The same evidence does not bring it back for 24 hours.",
    "acknowledged": "Acknowledged. Nobody else is paged for this alert.",
    "wake": "The device is asked to call in.",
    "counted": "Counted anew.",
    "group": "The group is kept. Its devices find their work at their next Inform.",
    "group_removed": "The group is removed. Its devices keep what was set.",
    "ordered": "Ordered. It leaves at the device's next session.",
    "order_canceled": "The order is taken back.",
    "placed": "Kept. What is wanted of it is compared at its next Inform.",
    "life": "Its life is changed.",
    "discover": "Its whole tree is read from its next Inform on.",
    "secret": "Sealed. The device gets it at its next session; nobody sees it again.",
    "stop_lifted": "The setting is tried again at the next Inform of each device of this version.",
    "behind": "Kept. No table of the device overwrites it.",
    "verified": "It belongs to this line. It gets what is wanted at its next Inform; devices that were there before are closed.",
    "feedback": "Thank you, your verdict is recorded with the alert.",
    "approved": "Your approval is recorded.",
    "rejected": "The proposal is rejected.",
    "exempted": "The exemption is in force.",
    "exemption_ended": "The exemption has ended.",
    "breaker_reset": "Automatic blocks of this kind may happen again.",
    "password": "The new password is set. Other browsers were signed out.",
    "totp": "The second factor is on. You are asked for a code at the next sign-in.",
    "totp_removed": "The second factor is off.",
    "token_revoked": "The token no longer works.",
    "roles": "The roles are set, in running sessions too.",
    "disabled": "This person is signed out everywhere and can no longer sign in.",
    "enabled": "This person can sign in again.",
    "on_call": "The on-call line is set.",
    "limits_saved": "Kept as a new version of the rule set; it judges nothing until it is activated.",
    "limits_active": "The new limits judge from the next call on.",
    "rule_saved": "Kept. It judges nothing yet: put it on probation when its preview looks right.",
    "rule_probation": "It is on probation from the next call on. Its alerts have severity info.",
    "rule_active": "It judges from the next call on.",
    "rule_retired": "It judges no more. Its alerts and versions stay.",
}


class Renderer:
    """Makes answers from templates."""

    def __init__(self, *, zone: show.Zone, clock: Clock) -> None:
        self.zone = zone
        self._clock = clock
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(
            zone=zone,
            asset=_asset,
            iso=show.iso,
            span=show.span,
            euro=show.euro,
            grouped=show.grouped,
            number=show.number,
            version=__version__,
        )

    def page(self, request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        """A whole page for the person behind the request."""
        visit = getattr(request.state, "visit", None)
        actor = visit.actor if visit else None
        desk = request.app.state.desk
        frame = {
            "counts": desk.counts(),
            "outage": desk.outage,
            "actor": actor,
            "may": may_of(actor.permissions if actor else frozenset()),
            "form_token": visit.form_token if visit else "",
            "theme": theme if (theme := request.cookies.get(THEME_COOKIE, "")) in {"light", "dark"} else "",
            "here": f"/{request.url.path.split('/')[1]}",
            "said": SAID.get(request.query_params.get("said", ""), ""),
            "now_ms": self._clock(),
        }
        response = HTMLResponse(self._environment.get_template(template).render(frame | context), status_code=status)
        if visit:
            set_visit(response, request, visit)
        return response

    def fragment(self, template: str, **context: Any) -> str:
        """A region of a page, for live updates and htmx."""
        return self._environment.get_template(template).render({"now_ms": self._clock()} | context)


def may_of(permissions: frozenset[Permission]) -> Callable[[str], bool]:
    """What templates ask: `may("block.lift")`. A word that is no permission is a bug and raises."""
    return lambda name: Permission(name) in permissions


@lru_cache(maxsize=32)
def _asset(path: str) -> str:
    """Address of a static file with a digest of its content, so that browsers may keep it for ever."""
    digest = hashlib.blake2b((STATIC / path).read_bytes(), digest_size=6).hexdigest()
    return f"/static/{path}?v={digest}"
