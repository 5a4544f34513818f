"""A person's own account: password, second factor, API tokens. Open to everybody who is signed in."""

import msgspec
import segno
from fastapi import Request
from starlette.responses import RedirectResponse, Response

from ringfence.access.model import Actor, IssuedToken, SignInRefused, TotpEnrolment
from ringfence.apps.console.forms import Short, Typed, read_form
from ringfence.apps.console.places import desk_of, said
from ringfence.apps.console.routing import Acting, Open, Pages
from ringfence.apps.console.session import set_session
from ringfence.base.errors import OperatorError
from ringfence.base.secret import Secret

pages = Pages()

PLACES = (
    ("/proposals", "Proposals", "blocks that wait for a person", "block.read"),
    ("/attacks", "Attacks", "alerts that belong together, one line each", "alert.read"),
    ("/accounts", "Accounts", "search, calls, alerts of a customer", "account.read"),
    ("/search", "Search", "serial, number, customer, line, address", "customer.read"),
    ("/fleet", "Fleet", "managed, silent, versions, coverage", "overview.read"),
    ("/devices", "Devices", "search, one device, wake it", "device.read"),
    ("/calls", "Calls", "by account or number", "call.read"),
    ("/query", "Query", "calls of the history, added up, as a file", "call.read"),
    ("/edges", "Edges and breaker", "what the SIP servers hold", "edge.read"),
    ("/rules", "Rules", "composed rules and their precision", "rule.read"),
    ("/exemptions", "Exemptions", "what nothing automatic touches", "block.read"),
    ("/users", "People", "users, roles, on call", "user.manage"),
    ("/audit", "Audit", "who did what", "audit.read"),
    ("/me", "My account", "password, second factor, tokens", ""),
)


class _Password(msgspec.Struct, frozen=True):
    old: Typed
    new: Typed
    again: Typed


class _Code(msgspec.Struct, frozen=True):
    code: Short


class _Label(msgspec.Struct, frozen=True):
    label: Short


@pages.page("/more", permission=Open.SIGNED_IN)
async def show_more(request: Request) -> Response:
    """The pages that do not fit in the bar of a phone."""
    return desk_of(request).renderer.page(request, "more.html", places=PLACES)


@pages.page("/me", permission=Open.SIGNED_IN)
async def show_me(request: Request, actor: Acting) -> Response:
    """The own account."""
    if actor.must_change_password:
        return RedirectResponse("/me/password", status_code=303)
    return await _me(request, actor)


@pages.page("/me/password", permission=Open.SIGNED_IN)
async def show_password(request: Request) -> Response:
    """The form for who signed in with a one-time password."""
    return desk_of(request).renderer.page(request, "password.html", trouble="")


@pages.action("/me/password", permission=Open.SIGNED_IN)
async def change_password(request: Request, actor: Acting) -> Response:
    """Set the own password; other browsers are signed out."""
    desk = desk_of(request)
    entry = await read_form(request, _Password)
    source = request.client.host if request.client else ""
    try:
        if entry.new != entry.again:
            raise OperatorError("the two new passwords differ; type the same one twice", reason="passwords_differ")
        session = await desk.access.change_password(actor, Secret(entry.old), Secret(entry.new), source)
    except (OperatorError, SignInRefused) as error:
        trouble = f"{str(error)[:1].upper()}{str(error)[1:]}."
        if actor.must_change_password:
            return desk.renderer.page(request, "password.html", status=422, trouble=trouble)
        return await _me(request, actor, status=422, trouble=trouble)
    response = said("/me" if not actor.must_change_password else "/", "password")
    set_session(response, request, session.token, seconds=max(1, (session.expires_ms - desk.clock()) // 1000))
    return response


@pages.action("/me/totp", permission=Open.SIGNED_IN)
async def enrol_totp(request: Request, actor: Acting) -> Response:
    """A new secret for the authenticator, shown once."""
    return await _me(request, actor, enrolment=await desk_of(request).access.enrol_totp(actor))


@pages.action("/me/totp/confirm", permission=Open.SIGNED_IN)
async def confirm_totp(request: Request, actor: Acting) -> Response:
    """Turn the second factor on with its first code."""
    await desk_of(request).access.confirm_totp(actor, (await read_form(request, _Code)).code.replace(" ", ""))
    return said("/me", "totp")


@pages.action("/me/tokens", permission=Open.SIGNED_IN)
async def issue_token(request: Request, actor: Acting) -> Response:
    """A key for a program, shown once."""
    issued = await desk_of(request).access.issue_token(actor, (await read_form(request, _Label)).label)
    return await _me(request, actor, issued=issued)


@pages.action("/me/tokens/{token_id}/revoke", permission=Open.SIGNED_IN)
async def revoke_token(request: Request, actor: Acting, token_id: str) -> Response:
    """End a token."""
    await desk_of(request).access.revoke_token(actor, token_id)
    return said("/me", "token_revoked")


async def _me(
    request: Request,
    actor: Actor,
    *,
    status: int = 200,
    trouble: str = "",
    enrolment: TotpEnrolment | None = None,
    issued: IssuedToken | None = None,
) -> Response:
    desk = desk_of(request)
    tokens = await desk.access.tokens(actor)
    qr = _qr(enrolment) if enrolment else ""
    return desk.renderer.page(request, "me.html", status=status, trouble=trouble, enrolment=enrolment, issued=issued, tokens=tokens, qr=qr)


def _qr(enrolment: TotpEnrolment) -> str:
    """The enrolment address as a picture in a `data:` address; it never leaves this answer."""
    return segno.make(enrolment.uri.open(), error="m", micro=False).svg_data_uri(scale=4, border=0)
