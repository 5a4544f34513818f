"""How a page says which permission it needs, and the one place that checks it.

`Pages.page` and `Pages.action` are the only way to add a route; both demand a permission, so a page without one cannot be written.
The gate runs before the handler: session, permission, and for every change of state the form's own token. A generated test walks the
application's routes and tries each without its permission.
"""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import Mount

from ringfence.access.model import Actor, Permission
from ringfence.apps.console.session import Visit, check_form, visit_of
from ringfence.base import errors


class Open(StrEnum):
    """Routes that need no permission, by how far they are open."""

    EVERYBODY = "everybody"
    """Signing in, and what its page loads."""
    SIGNED_IN = "signed_in"
    """A person's own account: also for those who must change their password first, and can do nothing else."""


Need = Permission | Open
Handler = Callable[..., Awaitable[Response]]

PERMISSION_KEY = "x-permission"
ACTION_BYTES = 64 * 1024
"""Largest form, in bytes. A longer body is answered with 413."""


class SignInNeeded(errors.OperatorError):
    """Nobody is signed in on this browser, or the session has ended."""

    def __init__(self) -> None:
        super().__init__("sign in to see this page", reason="not_signed_in")


class Pages:
    """The routes of one group of pages."""

    def __init__(self) -> None:
        self._found: list[tuple[str, str, Need, Handler]] = []

    def add_to(self, app: FastAPI) -> None:
        """Make them routes of the application."""
        for method, path, need, handler in self._found:
            app.add_api_route(
                path,
                handler,
                methods=[method],
                dependencies=[Depends(_gate(need, changes=method == "POST"))],
                openapi_extra={PERMISSION_KEY: need.value},
                response_model=None,
            )

    def page(self, path: str, *, permission: Need) -> Callable[[Handler], Handler]:
        """Something to look at: GET, changes nothing."""
        return self._add("GET", path, permission)

    def action(self, path: str, *, permission: Need) -> Callable[[Handler], Handler]:
        """A change of state: POST, with the form's token."""
        return self._add("POST", path, permission)

    def _add(self, method: str, path: str, need: Need) -> Callable[[Handler], Handler]:
        def decorate(handler: Handler) -> Handler:
            self._found.append((method, path, need, handler))
            return handler

        return decorate


def _gate(need: Need, *, changes: bool) -> Callable[[Request], Awaitable[None]]:
    async def gate(request: Request) -> None:
        visit = await visit_of(request)
        request.state.visit = visit
        if need is not Open.EVERYBODY:
            if visit.actor is None:
                raise SignInNeeded
            if isinstance(need, Permission):
                visit.actor.require(need)
        if changes:
            await check_form(request, visit)

    return gate


def declared(app: FastAPI) -> list[tuple[str, str, Need]]:
    """Method, path and need of every route; AssertionError for a route that was added past `Pages`."""
    found: list[tuple[str, str, Need]] = []
    for route in app.routes:
        if isinstance(route, Mount):
            assert route.path == "/static", f"{route.path} is mounted past the gate"
            continue
        assert isinstance(route, APIRoute), f"{route} was added past Pages"
        value = (route.openapi_extra or {})[PERMISSION_KEY]
        need = Open(value) if value in set(Open) else Permission(value)
        found.extend((method, route.path, need) for method in sorted(route.methods or ()))
    return found


def _visit(request: Request) -> Visit:
    visit = request.state.visit
    assert isinstance(visit, Visit)
    return visit


def _actor(request: Request) -> Actor:
    actor = _visit(request).actor
    assert actor is not None, "only a route that needs somebody may ask who it is"
    return actor


Visiting = Annotated[Visit, Depends(_visit)]
Acting = Annotated[Actor, Depends(_actor)]
