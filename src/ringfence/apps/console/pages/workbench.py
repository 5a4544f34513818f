"""What an analyst looks at: a number range, an address, and composed questions over the history.

All of it is call detail and needs `call.read`; the file for outsiders needs `call.export`. A page that the archive cannot answer in time
says so and keeps what is live. Files are orders (POST), because each is written to the audit chain.
"""

from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from fastapi import Request
from starlette.responses import Response

from ringfence.access.model import Permission
from ringfence.apps.console import inquiry
from ringfence.apps.console.forms import read_form, read_query
from ringfence.apps.console.inquiry import Inquiry
from ringfence.apps.console.places import desk_of
from ringfence.apps.console.routing import Acting, Pages
from ringfence.base.errors import OperatorError, UnavailableError
from ringfence.views.workbench import source_of

pages = Pages()

LINES = 200


class _Period(msgspec.Struct, frozen=True):
    days: Annotated[int, msgspec.Meta(ge=1, le=31)] = 1


@pages.page("/destinations/{digits}", permission=Permission.CALL_READ)
async def show_destination(request: Request, digits: str) -> Response:
    """One number, or all that begin with some digits: who calls it, what it costs, what is done about it."""
    desk = desk_of(request)
    prefix = digits.removeprefix("+")
    if not (prefix.isascii() and prefix.isdigit() and 2 <= len(prefix) <= 15):
        raise OperatorError("a destination is 2 to 15 digits, such as /destinations/23276", reason="bad_destination")
    period = read_query(request, _Period)
    about = inquiry.About(kind="range", value=prefix)
    return desk.renderer.page(
        request,
        "destination.html",
        digits=prefix,
        can_block=True,
        longer=[prefix[:length] for length in range(3, len(prefix)) if length >= len(prefix) - 4],
        period=period.days,
        periods=inquiry.PERIODS,
        **await inquiry.history(desk, Inquiry(callee=prefix, days=period.days), ("account", "destination", "source")),
        **await inquiry.around(desk, about),
    )


@pages.page("/sources/{address:path}", permission=Permission.CALL_READ)
async def show_source(request: Request, address: str) -> Response:
    """One address or a network: accounts used from there, refused credentials, devices, what is done about it."""
    desk = desk_of(request)
    source = source_of(address)
    period = read_query(request, _Period)
    return desk.renderer.page(
        request,
        "source.html",
        source=source,
        network=inquiry.network_of(source),
        can_block=inquiry.can_block(source),
        period=period.days,
        periods=inquiry.PERIODS,
        **await inquiry.history(desk, Inquiry(source=source, days=period.days), ("account", "destination")),
        **await inquiry.registrations(desk, days=period.days, source=source),
        **await inquiry.around(desk, inquiry.About(kind="source", value=source)),
    )


@pages.page("/query", permission=Permission.CALL_READ)
async def show_query(request: Request) -> Response:
    """The form and its answer."""
    desk = desk_of(request)
    asked = bool(request.query_params)
    trouble, entry, answer = "", Inquiry(), None
    try:
        entry = read_query(request, Inquiry)
        if asked:
            answer = await desk.workbench.ask(entry.question(desk), limit=LINES)
    except (OperatorError, UnavailableError) as error:
        trouble = f"{str(error)[:1].upper()}{str(error)[1:].rstrip('.')}."
    shown: dict[str, Any] = inquiry.answered(desk, entry, answer) if answer is not None else {"calls": (), "groups": (), "picture": None}
    return desk.renderer.page(
        request,
        "query.html",
        status=422 if trouble and answer is None and asked else 200,
        entry=entry.shown(desk),
        asked=asked,
        answer=answer,
        trouble=trouble,
        groups_of=inquiry.GROUPS,
        classes=inquiry.CLASSES,
        lines=LINES,
        **shown,
    )


@pages.action("/query/calls.csv", permission=Permission.CALL_READ)
async def take_calls(request: Request, actor: Acting) -> Response:
    """The calls as a file."""
    return await _file(request, actor, pseudonymised=False)


@pages.action("/query/export.csv", permission=Permission.CALL_EXPORT)
async def take_tokens(request: Request, actor: Acting) -> Response:
    """The calls as a file for outsiders, with tokens for accounts and numbers."""
    return await _file(request, actor, pseudonymised=True)


async def _file(request: Request, actor: Acting, *, pseudonymised: bool) -> Response:
    desk = desk_of(request)
    entry = await read_form(request, Inquiry)
    question = entry.question(desk)
    text, calls = await desk.workbench.export(question, pseudonymised=pseudonymised)
    detail: dict[str, str | int | bool] = {
        "calls": calls,
        "pseudonymised": pseudonymised,
        "from_ms": question.from_ms,
        "to_ms": question.to_ms,
    }
    named = {name: value for name in ("account", "caller", "callee", "source", "user_agent") if (value := getattr(question, name))}
    # Written before the file leaves: an export that nobody can be asked about does not happen.
    await desk.record(actor, "export_calls", "calls", detail | named)
    name = f"calls-{'tokens-' if pseudonymised else ''}{quote(desk.renderer.zone.local(desk.clock()).strftime('%Y%m%dT%H%M%S'))}.csv"
    return Response(text, media_type="text/csv; charset=utf-8", headers={"Content-Disposition": f'attachment; filename="{name}"'})
