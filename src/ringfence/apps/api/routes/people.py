"""Signing in, the own token, users and the audit chain."""

from typing import Annotated

from fastapi import Query, Request

from ringfence.access.model import Permission, Role
from ringfence.apps.api.payloads import at
from ringfence.apps.api.people_payloads import AuditSaid, Me, NewPassword, OneTimeSaid, SessionSaid, SignIn, UserHeard, UserSaid
from ringfence.apps.api.routing import Acting, AtDesk, Open, Routes
from ringfence.base.secret import Secret

routes = Routes("people")


@routes.post("/session", permission=Open.EVERYBODY, status=201)
async def sign_in(request: Request, desk: AtDesk, entry: SignIn) -> SessionSaid:
    """Sign in; the token lasts one shift. Refusals are slowed down."""
    source = request.client.host if request.client else ""
    session = await desk.access.authenticate(entry.name, Secret(entry.password), entry.totp, source)
    actor = session.actor
    return SessionSaid(
        token=session.token.open(),
        expires_at=at(session.expires_ms),
        name=actor.name,
        permissions=sorted(actor.permissions),
        must_change_password=actor.must_change_password,
    )


@routes.get("/me", permission=Open.SIGNED_IN)
async def show_me(actor: Acting) -> Me:
    """Who this token belongs to."""
    return Me.of(actor)


@routes.post("/me/password", permission=Open.SIGNED_IN)
async def change_password(request: Request, desk: AtDesk, actor: Acting, entry: NewPassword) -> SessionSaid:
    """Change the own password; every session ends, and this answer holds the new one."""
    source = request.client.host if request.client else ""
    session = await desk.access.change_password(actor, Secret(entry.current), Secret(entry.new), source)
    return SessionSaid(
        token=session.token.open(),
        expires_at=at(session.expires_ms),
        name=session.actor.name,
        permissions=sorted(session.actor.permissions),
        must_change_password=session.actor.must_change_password,
    )


@routes.get("/users", permission=Permission.USER_MANAGE)
async def list_users(desk: AtDesk, actor: Acting) -> list[UserSaid]:
    """Everybody."""
    return [UserSaid.of(user) for user in await desk.access.users(actor)]


@routes.post("/users", permission=Permission.USER_MANAGE, status=201)
async def add_user(desk: AtDesk, actor: Acting, entry: UserHeard) -> OneTimeSaid:
    """A new person; the one-time password is told once and must be changed."""
    made = await desk.access.add_user(actor, entry.name, frozenset(Role(role) for role in entry.roles))
    return OneTimeSaid(name=made.name, password=made.password.open())


@routes.post("/users/{name}/disable", permission=Permission.USER_MANAGE, status=204)
async def disable_user(desk: AtDesk, actor: Acting, name: str) -> None:
    """Shut somebody out at once, with every session and token."""
    await desk.access.set_disabled(actor, name, disabled=True)


@routes.post("/users/{name}/enable", permission=Permission.USER_MANAGE, status=204)
async def enable_user(desk: AtDesk, actor: Acting, name: str) -> None:
    """Let somebody in again."""
    await desk.access.set_disabled(actor, name, disabled=False)


@routes.get("/audit", permission=Permission.AUDIT_READ)
async def list_audit(
    desk: AtDesk,
    actor: Acting,
    by: Annotated[str, Query(max_length=128)] = "",
    action: Annotated[str, Query(max_length=128)] = "",
    subject: Annotated[str, Query(max_length=128)] = "",
    before: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> list[AuditSaid]:
    """The audit chain, newest first; `before` is the id of the last entry seen."""
    entries = await desk.access.audit_entries(actor, before=before, by=by, action=action, subject=subject, limit=limit)
    return [AuditSaid.of(entry) for entry in entries]
