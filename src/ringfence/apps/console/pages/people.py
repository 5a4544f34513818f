"""Users, their roles and the on-call line: an administrator's pages."""

import msgspec
from fastapi import Request
from starlette.responses import Response

from ringfence.access.model import ROLE_PERMISSIONS, Actor, OneTimePassword, Permission, Role
from ringfence.apps.console.forms import Short, read_form
from ringfence.apps.console.places import desk_of, said
from ringfence.apps.console.routing import Acting, Pages
from ringfence.base.errors import NotFoundError, OperatorError
from ringfence.base.secret import Secret

pages = Pages()


class _Added(msgspec.Struct, frozen=True):
    name: Short
    role: tuple[str, ...] = ()


class _Roles(msgspec.Struct, frozen=True):
    role: tuple[str, ...] = ()


class _Line(msgspec.Struct, frozen=True):
    line: str = ""


@pages.page("/users", permission=Permission.USER_MANAGE)
async def show_users(request: Request, actor: Acting) -> Response:
    """Everybody, and the on-call line without its addresses."""
    return await _users(request, actor)


@pages.action("/users", permission=Permission.USER_MANAGE)
async def add_user(request: Request, actor: Acting) -> Response:
    """A new person; the one-time password is shown once."""
    entry = await read_form(request, _Added)
    return await _users(request, actor, once=await desk_of(request).access.add_user(actor, entry.name, _roles(entry.role)))


@pages.page("/users/{name}", permission=Permission.USER_MANAGE)
async def show_user(request: Request, actor: Acting, name: str) -> Response:
    """One person."""
    desk = desk_of(request)
    found = next((user for user in await desk.access.users(actor) if user.name == name), None)
    if found is None:
        raise NotFoundError("there is no such person; look at the list", reason="no_user")
    roles = [(role, len(ROLE_PERMISSIONS[role])) for role in Role]
    return desk.renderer.page(request, "user.html", user=found, roles=roles)


@pages.action("/users/{name}/roles", permission=Permission.USER_MANAGE)
async def set_roles(request: Request, actor: Acting, name: str) -> Response:
    """Exactly the ticked roles."""
    await desk_of(request).access.set_roles(actor, name, _roles((await read_form(request, _Roles)).role))
    desk_of(request).forget_sessions()
    return said("/users", "roles")


@pages.action("/users/{name}/password", permission=Permission.USER_MANAGE)
async def reset_password(request: Request, actor: Acting, name: str) -> Response:
    """A new one-time password, shown once."""
    return await _users(request, actor, once=await desk_of(request).access.reset_password(actor, name))


@pages.action("/users/{name}/totp", permission=Permission.USER_MANAGE)
async def remove_totp(request: Request, actor: Acting, name: str) -> Response:
    """For a lost phone."""
    await desk_of(request).access.remove_totp(actor, name)
    return said("/users", "totp_removed")


@pages.action("/users/{name}/disable", permission=Permission.USER_MANAGE)
async def disable_user(request: Request, actor: Acting, name: str) -> Response:
    """Shut somebody out now."""
    await desk_of(request).access.set_disabled(actor, name, disabled=True)
    desk_of(request).forget_sessions()
    return said("/users", "disabled")


@pages.action("/users/{name}/enable", permission=Permission.USER_MANAGE)
async def enable_user(request: Request, actor: Acting, name: str) -> Response:
    """Let somebody in again."""
    await desk_of(request).access.set_disabled(actor, name, disabled=False)
    return said("/users", "enabled")


@pages.action("/on-call", permission=Permission.USER_MANAGE)
async def set_on_call(request: Request, actor: Acting) -> Response:
    """Replace the line: a person and an address a line."""
    line: list[tuple[str, Secret]] = []
    for number, text in enumerate((await read_form(request, _Line)).line.splitlines(), start=1):
        if not text.strip():
            continue
        name, _, contact = text.strip().partition(" ")
        if "://" not in contact:
            raise OperatorError(f"line {number} has no address; write: name, space, address", reason="bad_on_call")
        line.append((name, Secret(contact.strip())))
    await desk_of(request).access.set_on_call(actor, line)
    return said("/users", "on_call")


async def _users(request: Request, actor: Actor, *, once: OneTimePassword | None = None) -> Response:
    desk = desk_of(request)
    return desk.renderer.page(
        request,
        "users.html",
        users=await desk.access.users(actor),
        on_call=await desk.access.on_call(),
        roles=list(Role),
        once=once,
    )


def _roles(names: tuple[str, ...]) -> frozenset[Role]:
    try:
        return frozenset(Role(name) for name in names)
    except ValueError:
        raise OperatorError("there is no such role; tick the roles on the page", reason="no_role") from None
