"""Signing in and out. `access` throttles and decides; a second factor is asked for after the password was right."""

from typing import Annotated

import msgspec
from fastapi import Request
from starlette.responses import RedirectResponse, Response

from ringfence.access.model import SignInRefused
from ringfence.apps.console.forms import Short, Typed, read_form, read_query
from ringfence.apps.console.places import at_home, desk_of, inside
from ringfence.apps.console.routing import Open, Pages, Visiting
from ringfence.apps.console.session import SESSION_COOKIE, arrived_from_outside, end_session, set_session
from ringfence.base.secret import Secret

pages = Pages()

TOTP_REASONS = frozenset({"totp_required", "bad_totp"})


class _Back(msgspec.Struct, frozen=True):
    back: Annotated[str, msgspec.Meta(max_length=500)] = "/"


class _SignIn(msgspec.Struct, frozen=True):
    name: Short
    password: Typed
    totp: Short = ""
    back: Annotated[str, msgspec.Meta(max_length=500)] = "/"


@pages.page("/login", permission=Open.EVERYBODY)
async def show_sign_in(request: Request, visit: Visiting) -> Response:
    """The form; who is signed in already goes on."""
    back = inside(read_query(request, _Back).back)
    if visit.actor is not None:
        return RedirectResponse(back, status_code=303)
    if arrived_from_outside(request):
        return desk_of(request).renderer.page(request, "comeback.html")
    return desk_of(request).renderer.page(request, "login.html", back=back, name="", trouble="", wants_totp=False)


@pages.action("/login", permission=Open.EVERYBODY)
async def sign_in(request: Request) -> Response:
    """Check name, password and code; begin a session."""
    desk = desk_of(request)
    entry = await read_form(request, _SignIn)
    source = request.client.host if request.client else ""
    try:
        session = await desk.access.authenticate(entry.name, Secret(entry.password), entry.totp.replace(" ", ""), source)
    except SignInRefused as refused:
        wants_totp = refused.reason in TOTP_REASONS
        status = 429 if refused.reason == "throttled" else 401
        trouble = f"{str(refused)[:1].upper()}{str(refused)[1:]}."
        answer = desk.renderer.page(
            request, "login.html", status=status, back=inside(entry.back), name=entry.name, trouble=trouble, wants_totp=wants_totp
        )
        if refused.retry_after_seconds:
            answer.headers["Retry-After"] = str(refused.retry_after_seconds)
        return answer
    forced = session.actor.must_change_password
    answer_to = "/me/password" if forced else inside(entry.back) if entry.back != "/" else at_home(session.actor)
    response = RedirectResponse(answer_to, status_code=303)
    set_session(response, request, session.token, seconds=max(1, (session.expires_ms - desk.clock()) // 1000))
    return response


@pages.action("/logout", permission=Open.SIGNED_IN)
async def sign_out(request: Request) -> Response:
    """End this browser's session."""
    await desk_of(request).access.sign_out(Secret(request.cookies.get(SESSION_COOKIE, "")))
    desk_of(request).forget_sessions()
    response = RedirectResponse("/login", status_code=303)
    end_session(response)
    return response
