"""What groups of devices are to be, and which devices are not so: the groups, one group's form, the drift.

A wish is a line, `meaning = value` or `meaning instance = value`. What must never be wanted is refused with a sentence each, and the form
comes back as it was typed.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from fastapi import Request
from starlette.responses import Response

from ringfence.access.model import Permission
from ringfence.apps.console.forms import Short, read_form, read_query
from ringfence.apps.console.pages.devices import MAX_ID
from ringfence.apps.console.places import desk_of, said
from ringfence.apps.console.routing import Acting, Pages
from ringfence.base.errors import NotFoundError, OperatorError
from ringfence.fleet.desired import Group, Wish
from ringfence.fleet.meanings import MEANINGS

pages = Pages()

PAGE = 100
MAX_WISHES = 200
FIELDS = ("name", "rank", "oui", "product_class", "software_version", "region", "label")
_WISH = re.compile(r"([a-z_.0-9]{1,64})(?:\s+([0-9.]{1,32}))?\s*=\s*(.*)").fullmatch


class _Drift(msgspec.Struct, frozen=True):
    group: Short = ""
    after: Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)] = 0
    name: Annotated[str, msgspec.Meta(max_length=256)] = ""


class _Named(msgspec.Struct, frozen=True):
    name: Short = ""


class _Group(msgspec.Struct, frozen=True):
    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
    rank: Annotated[int, msgspec.Meta(ge=-1000, le=1000)] = 0
    oui: Annotated[str, msgspec.Meta(pattern="^([0-9A-F]{6})?$")] = ""
    product_class: Annotated[str, msgspec.Meta(max_length=64)] = ""
    software_version: Annotated[str, msgspec.Meta(max_length=64)] = ""
    region: Annotated[str, msgspec.Meta(max_length=64)] = ""
    label: Annotated[str, msgspec.Meta(max_length=32)] = ""
    wishes: Annotated[str, msgspec.Meta(max_length=60_000)] = ""
    fresh: Annotated[str, msgspec.Meta(pattern="^1?$")] = ""
    """Made with the form of a new group: it must not replace another one."""

    def filters(self) -> dict[str, Any]:
        """Everything but the wishes, as a group has it."""
        return {name: getattr(self, name) for name in FIELDS}


@pages.page("/fleet/drift", permission=Permission.DEVICE_READ)
async def show_drift(request: Request) -> Response:
    """What is not as wanted, by device."""
    desk = desk_of(request)
    wanted = read_query(request, _Drift)
    asked = desk.inventory.drift(group=wanted.group or None, after=(wanted.after, wanted.name), limit=PAGE + 1)
    found = await desk.or_else(asked, None)
    return desk.renderer.page(
        request,
        "drift.html",
        tab="/fleet/drift",
        group=wanted.group,
        groups=[each.name for each in await desk.or_else(desk.inventory.groups(), ())],
        rows=(found or ())[:PAGE],
        following=found[PAGE - 1] if found and len(found) > PAGE else None,
        down=found is None,
    )


@pages.page("/fleet/groups", permission=Permission.DEVICE_READ)
async def show_groups(request: Request) -> Response:
    """Every group, the lowest rank first."""
    desk = desk_of(request)
    return desk.renderer.page(request, "groups.html", tab="/fleet/groups", groups=await desk.inventory.groups())


@pages.page("/fleet/groups/edit", permission=Permission.DESIRED_WRITE)
async def show_group(request: Request) -> Response:
    """The form of a group, or of a new one."""
    name = read_query(request, _Named).name
    if not name:
        return _form(request, _Group(name="", fresh="1"))
    found = next((each for each in await desk_of(request).inventory.groups() if each.name == name), None)
    if found is None:
        raise NotFoundError("there is no such group; look at the list", reason="no_group")
    lines = "\n".join(f"{wish.meaning}{f' {wish.instance}' if wish.instance else ''} = {wish.value}" for wish in found.wishes)
    return _form(request, _Group(**{name: getattr(found, name) for name in FIELDS}, wishes=lines))


@pages.action("/fleet/groups", permission=Permission.DESIRED_WRITE)
async def put_group(request: Request, actor: Acting) -> Response:
    """Keep a group; its devices find their work at their next Inform."""
    desk = desk_of(request)
    entry = await read_form(request, _Group)
    try:
        group = Group(**entry.filters(), wishes=wishes_of(entry.wishes))
        if entry.fresh and any(each.name == entry.name for each in await desk.inventory.groups()):
            raise OperatorError("there is a group of this name already; open it from the list, or take another name", reason="group_exists")
        await desk.inventory.put_group(actor.name, group, desk.acs_hosts)
    except OperatorError as error:
        return _form(request, entry, status=422, trouble=str(error))
    await desk.record(actor, "put_group", group.name, {"wishes": len(group.wishes)})
    return said("/fleet/groups", "group")


@pages.action("/fleet/groups/remove", permission=Permission.DESIRED_WRITE)
async def remove_group(request: Request, actor: Acting) -> Response:
    """Want it no more; devices keep what was set."""
    desk = desk_of(request)
    name = (await read_form(request, _Named)).name
    await desk.inventory.remove_group(actor.name, name)
    await desk.record(actor, "remove_group", name)
    return said("/fleet/groups", "group_removed")


def wishes_of(text: str) -> tuple[Wish, ...]:
    """One wish a line; OperatorError names the first line that is none."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if len(lines) > MAX_WISHES:
        raise OperatorError(f"a group holds {MAX_WISHES} wishes at the most; make a second one", reason="too_many_wishes")
    return tuple(_wish(number, line) for number, line in lines)


def _wish(number: int, line: str) -> Wish:
    found = _WISH(line)
    if found is None:
        raise OperatorError(f"line {number} is no wish; write: meaning = value, or: meaning instance = value", reason="bad_wish")
    return Wish(meaning=found[1], instance=found[2] or "", value=found[3].strip())


def _form(request: Request, entry: _Group, *, status: int = 200, trouble: str = "") -> Response:
    page = {"group": entry, "new": bool(entry.fresh), "trouble": trouble, "meanings": _meanings()}
    return desk_of(request).renderer.page(request, "group.html", status=status, tab="/fleet/groups", **page)


def _meanings() -> Sequence[tuple[str, str, str]]:
    """What a group may want, with the names in both data models."""
    return tuple((name, each.tr098, each.tr181) for name, each in sorted(MEANINGS.items()) if each.settable and not each.secret)
