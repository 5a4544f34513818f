"""How a route of the API says which permission it needs, and the one place that checks it.

`get`, `post`, `put` and `delete` of `Routes` are the only way to add one; each demands a permission. The bearer token is a session's
(`POST /v1/session`) or an API token (`rf_...`, made in the
console). A generated test walks the application's routes and tries each without its permission.
"""

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, FastAPI, Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ringfence.access.model import Actor, Permission
from ringfence.apps.api.desk import Desk
from ringfence.base import errors
from ringfence.base.secret import Secret

PERMISSION_KEY = "x-permission"
ORDER_BYTES = 64 * 1024
"""Largest JSON body, in bytes. A longer one is answered with 413; imports have limits of their own."""
TOKEN_PREFIX = "rf_"  # What an API token begins with, no token.
DOCUMENTS = frozenset({"/v1/openapi.json", "/v1/docs"})


class Open(StrEnum):
    """Routes that need no permission."""

    EVERYBODY = "everybody"
    SIGNED_IN = "signed_in"


Need = Permission | Open
Handler = Callable[..., Awaitable[Any]]

_bearer = HTTPBearer(auto_error=False, description="A token of POST /v1/session, or an API token made in the console.")


class NotSignedIn(errors.OperatorError):
    """No token, or one that is unknown or over."""

    def __init__(self) -> None:
        super().__init__("send a valid token as `Authorization: Bearer ...`; POST /v1/session gives one", reason="not_signed_in")


class _Found(NamedTuple):
    method: str
    path: str
    need: Need
    status: int
    max_body_size: int
    handler: Handler


class Routes:
    """The routes of one subject."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self._found: list[_Found] = []

    def add_to(self, app: FastAPI) -> None:
        """Make them routes of the application."""
        for found in self._found:
            secured = [] if found.need is Open.EVERYBODY else [Depends(_bearer)]
            app.add_api_route(
                f"/v1{found.path}",
                found.handler,
                methods=[found.method],
                status_code=found.status,
                tags=[self._tag],
                dependencies=[Depends(_gate(found.need)), *secured],
                openapi_extra={PERMISSION_KEY: found.need.value},
                max_body_size=found.max_body_size,
            )

    def get(self, path: str, *, permission: Need) -> Callable[[Handler], Handler]:
        """Something to read."""
        return self._add("GET", path, permission, status=200, max_body_size=ORDER_BYTES)

    def post(self, path: str, *, permission: Need, status: int = 200, max_body_size: int = ORDER_BYTES) -> Callable[[Handler], Handler]:
        """A change of state."""
        return self._add("POST", path, permission, status=status, max_body_size=max_body_size)

    def put(self, path: str, *, permission: Need, status: int = 200, max_body_size: int = ORDER_BYTES) -> Callable[[Handler], Handler]:
        """Something that shall be as the body says, however often it is said."""
        return self._add("PUT", path, permission, status=status, max_body_size=max_body_size)

    def delete(self, path: str, *, permission: Need) -> Callable[[Handler], Handler]:
        """Something that shall be no more."""
        return self._add("DELETE", path, permission, status=204, max_body_size=ORDER_BYTES)

    def _add(self, method: str, path: str, need: Need, *, status: int, max_body_size: int) -> Callable[[Handler], Handler]:
        def decorate(handler: Handler) -> Handler:
            self._found.append(_Found(method, path, need, status, max_body_size, handler))
            return handler

        return decorate


def _gate(need: Need) -> Callable[[Request], Awaitable[None]]:
    async def gate(request: Request) -> None:
        request.state.actor = None
        if need is Open.EVERYBODY:
            return
        credentials: HTTPAuthorizationCredentials | None = await _bearer(request)
        actor = await _actor_of(request, credentials.credentials) if credentials else None
        if actor is None:
            raise NotSignedIn
        if isinstance(need, Permission):
            actor.require(need)
        request.state.actor = actor

    return gate


async def _actor_of(request: Request, token: str) -> Actor | None:
    access = desk_of(request).access
    return await (access.token(Secret(token)) if token.startswith(TOKEN_PREFIX) else access.session(Secret(token)))


def declared(app: FastAPI) -> list[tuple[str, str, Need]]:
    """Method, path and need of every route; AssertionError for a route that was added past `Routes`."""
    found: list[tuple[str, str, Need]] = []
    for route in app.routes:
        if getattr(route, "path", "") in DOCUMENTS:
            continue
        assert isinstance(route, APIRoute), f"{route} was added past Routes"
        value = (route.openapi_extra or {})[PERMISSION_KEY]
        need = Open(value) if value in set(Open) else Permission(value)
        found.extend((method, route.path, need) for method in sorted(route.methods or ()))
    return found


def desk_of(request: Request) -> Desk:
    """The process's desk."""
    desk = request.app.state.desk
    assert isinstance(desk, Desk)
    return desk


def _acting(request: Request) -> Actor:
    actor = request.state.actor
    assert isinstance(actor, Actor), "only a route that needs somebody may ask who it is"
    return actor


Acting = Annotated[Actor, Depends(_acting)]
AtDesk = Annotated[Desk, Depends(desk_of)]
