"""The console as an ASGI application: headers of every answer, error pages, routes.

Takes what it needs as values and builds nothing from settings (that is `main`). The one thing to know: the answer to every error is a page
that says what to do next, and a bug shows a number that the log has too.
"""

from collections.abc import Sequence
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ringfence.apps.console.desk import Desk
from ringfence.apps.console.pages import ALL_PAGES
from ringfence.apps.console.routing import ACTION_BYTES, SignInNeeded, declared
from ringfence.apps.console.session import arrived_from_outside
from ringfence.apps.console.templating import STATIC
from ringfence.base.errors import RingfenceError, kind_of
from ringfence.base.ids import new_id

_log = structlog.stdlib.get_logger(__name__)

# No inline script or style, nothing from elsewhere, no frame around us. `data:` images are the QR code's only.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
YEAR_SECONDS = 31_536_000

# Status -> (title, what to do). The error's own sentence stands between them.
ADVICE = {
    400: ("This could not be read", "Go back, correct it and send it again."),
    403: ("Not allowed", "An administrator can give you a role that may do this: People, then your name."),
    404: ("Not here", "It may have ended, or the address is mistyped. Search from the list."),
    405: ("Not here", "This address takes orders from a form only. Open the page itself."),
    409: ("Somebody was faster", "Go back, reload and look at the present state before you repeat it."),
    413: ("Too large", "Forms hold 64 KiB at the most. Larger files go through the command line: ringfence account import."),
    422: ("This cannot be done so", "Go back, correct it and send it again."),
    429: ("Too many tries", "Wait as long as it says; more tries make it longer."),
    503: (
        "A part is not answering",
        "Calls go on and the edges keep the blocks they have. Try again in a moment; Overview shows which part it is.",
    ),
}


def build_app(desk: Desk) -> FastAPI:
    """All pages over one desk. Refuses to exist when a route declares no permission."""
    app = FastAPI(title="Ringfence console", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.desk = desk
    for pages in ALL_PAGES:
        pages.add_to(app)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.add_exception_handler(RingfenceError, _on_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_bug)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=ACTION_BYTES)
    app.add_middleware(_Headers)
    assert declared(app), "the console has routes"
    return app


class _Headers:
    """Security and caching headers on every answer, error pages included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        fixed = scope["path"].startswith("/static/") and b"v=" in scope["query_string"]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers["Cache-Control"] = f"public, max-age={YEAR_SECONDS}, immutable" if fixed else "no-store"
                if scope["scheme"] == "https":
                    headers["Strict-Transport-Security"] = f"max-age={YEAR_SECONDS}"
            await send(message)

        length = Headers(scope=scope).get("content-length", "0")
        if length.isdecimal() and int(length) > ACTION_BYTES:
            # Refused unread, and with a page; a body without a length meets the same limit further inside, with a plain line.
            refusal = _page(Request(scope, receive), 413, "The form was longer than this page takes.")
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RingfenceError)
    desk: Desk = request.app.state.desk
    if isinstance(error, SignInNeeded):
        if arrived_from_outside(request):
            return desk.renderer.page(request, "comeback.html")
        if request.headers.get("hx-request"):
            return Response(status_code=204, headers={"HX-Redirect": "/login"})
        if request.headers.get("accept") == "text/event-stream":
            return Response("event: goodbye\ndata: sign in\n\n", media_type="text/event-stream")
        back = request.url.path if request.method == "GET" else "/"
        return RedirectResponse(f"/login?back={quote(back)}", status_code=303)
    if error.reason == "must_change_password":
        return RedirectResponse("/me/password", status_code=303)
    status = kind_of(error)[0]
    return _page(request, status, str(error))


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentence = {404: "There is no such page.", 405: "This address is no page.", 413: "The form was longer than this page takes."}
    return _page(request, error.status_code, sentence.get(error.status_code, "The request could not be understood."))


async def _on_bug(request: Request, error: Exception) -> Response:
    number = new_id("e")
    _log.error("console_bug", number=number, path=request.url.path, exc_info=error)
    return _render(
        request,
        500,
        "A fault of ours",
        "This page met a fault that is not yours.",
        "Blocking goes on without this page. Tell support the number below.",
        number,
    )


def _page(request: Request, status: int, message: str) -> HTMLResponse:
    title, advice = ADVICE.get(status, ("Refused", "Go back and try again."))
    return _render(request, status, title, f"{message[:1].upper()}{message[1:]}", advice, "")


def _render(request: Request, status: int, title: str, message: str, advice: str, number: str) -> HTMLResponse:
    desk: Desk = request.app.state.desk
    back = request.headers.get("referer", "")
    inside = back.startswith(str(request.base_url)) and request.method == "POST"
    return desk.renderer.page(
        request,
        "error.html",
        status=status,
        title=title,
        message=message if message.endswith((".", "!", "?")) else f"{message}.",
        advice=advice,
        back=back if inside else "/",
        back_name="Back" if inside else "To the overview",
        number=number,
    )


__all__: Sequence[str] = ("CONTENT_SECURITY_POLICY", "HEADERS", "build_app")
