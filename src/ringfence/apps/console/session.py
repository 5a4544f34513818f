"""Who is looking, and whether a form came from our own page.

The session is a cookie that scripts cannot read and other sites cannot send. Every form carries a token derived from that cookie, so
nothing is stored for it and a restart forgets nothing. The one thing to know: a page reached from a link in a mail arrives without the
cookie (SameSite=Strict); `arrived_from_outside` lets the page come back by itself, with it.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from ringfence.access.model import Actor
from ringfence.base import errors
from ringfence.base.secret import Secret

SESSION_COOKIE = "rf_session"
VISIT_COOKIE = "rf_visit"
"""Before anybody has signed in: ties the sign-in form to this browser."""
THEME_COOKIE = "rf_theme"
FORM_FIELD = "form_token"
FORM_HEADER = "X-Form-Token"
MAX_COOKIE_CHARACTERS = 200
"""Longer session cookies are not ours and are not looked up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request's person and browser."""

    actor: Actor | None
    form_token: str
    fresh_cookie: str = ""
    """A visit cookie that this answer has to set; empty when the browser has one."""


async def visit_of(request: Request) -> Visit:
    """Who is asking. A session cookie that is unknown or over counts as none."""
    token = request.cookies.get(SESSION_COOKIE, "")
    if token and len(token) <= MAX_COOKIE_CHARACTERS:
        actor = await request.app.state.desk.session(Secret(token))
        if actor is not None:
            return Visit(actor=actor, form_token=_form_token(token))
    browser = request.cookies.get(VISIT_COOKIE, "")
    if len(browser) == 43:
        return Visit(actor=None, form_token=_form_token(browser))
    browser = secrets.token_urlsafe(32)
    return Visit(actor=None, form_token=_form_token(browser), fresh_cookie=browser)


async def check_form(request: Request, visit: Visit) -> None:
    """Refuse a change that did not come from a form of ours."""
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site not in (None, "same-origin", "none") or (origin not in (None, "null") and urlsplit(str(origin)).netloc != request.url.netloc):
        raise errors.ForbiddenError(
            "this order came from another site and was not carried out; use the page itself", reason="foreign_origin"
        )
    given = request.headers.get(FORM_HEADER) or (await request.form(max_files=0, max_fields=64)).get(FORM_FIELD)
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), visit.form_token.encode()):
        raise errors.ForbiddenError("this form is from an earlier sign-in; open the page again and repeat the order", reason="stale_form")


def arrived_from_outside(request: Request) -> bool:
    """A link on another site or in a mail was followed: the browser held the session cookie back."""
    return request.headers.get("sec-fetch-site") == "cross-site" and request.headers.get("sec-fetch-mode") == "navigate"


def set_session(response: Response, request: Request, token: Secret, *, seconds: int) -> None:
    """Give the browser its session. `Secure` whenever the page itself came over TLS."""
    _set(response, request, SESSION_COOKIE, token.open(), seconds=seconds)
    response.delete_cookie(VISIT_COOKIE, path="/")


def end_session(response: Response) -> None:
    """Take the session from the browser."""
    response.delete_cookie(SESSION_COOKIE, path="/")


def set_visit(response: Response, request: Request, visit: Visit) -> None:
    """Give a new browser its visit cookie, so that it can send the sign-in form."""
    if visit.fresh_cookie:
        _set(response, request, VISIT_COOKIE, visit.fresh_cookie, seconds=3600)


def _set(response: Response, request: Request, name: str, value: str, *, seconds: int) -> None:
    response.set_cookie(name, value, max_age=seconds, path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https")


def _form_token(cookie: str) -> str:
    return hashlib.blake2b(b"ringfence console form", key=cookie.encode()[:64], digest_size=20).hexdigest()
