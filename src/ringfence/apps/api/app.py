"""The API as an ASGI application: routes, errors as JSON, headers.

Every error has the form `{"error": {"kind", "reason", "message"}}` with the status of its kind (`base.errors`). A bug answers 500 with a
number that the log has too, and nothing else about itself.
"""

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ringfence import __version__
from ringfence.access.model import SignInRefused
from ringfence.apps.api.desk import Desk
from ringfence.apps.api.routes import ALL_ROUTES
from ringfence.apps.api.routing import ORDER_BYTES, NotSignedIn, declared
from ringfence.base.errors import RingfenceError, kind_of
from ringfence.base.ids import new_id

_log = structlog.stdlib.get_logger(__name__)

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}

TOO_LONG = "this body is longer than the route takes; send less, or in several requests"


def build_app(desk: Desk) -> FastAPI:
    """All routes over one desk. Refuses to exist when a route declares no permission."""
    app = _Api(
        title="Ringfence",
        version=__version__,
        summary="Alerts, blocks, calls, accounts and edges of a SIP access operator.",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        max_body_size=ORDER_BYTES,
        strict_content_type=True,
    )
    app.state.desk = desk
    for routes in ALL_ROUTES:
        routes.add_to(app)
    app.add_exception_handler(RingfenceError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_bad_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_bug)
    assert declared(app), "the API has routes"
    return app


class _Api(FastAPI):
    """With our own layer around the framework's limit of the body, whose answers then look like all others."""

    def build_middleware_stack(self) -> ASGIApp:
        return _Headers(super().build_middleware_stack())


class _Headers:
    """No caching and no guessing, on every answer; the framework's plain 413 becomes an error like all others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replaced = False

        async def send_with_headers(message: Message) -> None:
            nonlocal replaced
            if replaced:
                return
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if message["status"] == 413 and headers.get("Content-Type", "").startswith("text/plain"):
                    replaced = True
                    await _answer(413, "operator", "http_413", TOO_LONG, HEADERS)(scope, receive, send)
                    return
                headers.update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _answer(status: int, kind: str, reason: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": {"kind": kind, "reason": reason, "message": message}}, status_code=status, headers=headers)


async def _on_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RingfenceError)
    status, _, kind = kind_of(error)
    headers: dict[str, str] = {}
    if isinstance(error, NotSignedIn):
        status, headers = 401, {"WWW-Authenticate": "Bearer"}
    elif isinstance(error, SignInRefused):
        status = 429 if error.retry_after_seconds else 401
        headers = {"Retry-After": str(error.retry_after_seconds)} if error.retry_after_seconds else {}
    elif status == 503:
        headers = {"Retry-After": "2"}
    return _answer(status, kind, error.reason, str(error), headers)


async def _on_bad_request(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in {"body", "query", "path"}) or "the body"
    return _answer(422, "operator", "bad_request", f"{where}: {first['msg']}")


async def _on_http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    known = {
        413: ("operator", TOO_LONG),
        404: ("not_found", "there is no such route; see /v1/openapi.json"),
        405: ("operator", "this route takes another method"),
    }
    kind, message = known.get(error.status_code, ("operator", str(error.detail)))
    return _answer(error.status_code, kind, f"http_{error.status_code}", message)


async def _on_bug(request: Request, error: Exception) -> JSONResponse:
    number = new_id("e")
    _log.error("api_bug", number=number, path=request.url.path, exc_info=error)
    return _answer(500, "bug", "bug", f"a fault of ours, number {number}; the log has more", HEADERS)
