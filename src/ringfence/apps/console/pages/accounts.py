"""Accounts and calls: search, the page of one account, calls by account or number.

A hotline agent reads an account and its figures, and whether it is blocked; call details and alerts need permissions of their own.
"""

from typing import Annotated, Any

import msgspec
from fastapi import Request
from starlette.responses import HTMLResponse, Response

from ringfence.access.model import Permission
from ringfence.apps.console import evidence, inquiry, shown
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.forms import Short, read_query
from ringfence.apps.console.inquiry import Inquiry
from ringfence.apps.console.places import desk_of
from ringfence.apps.console.routing import Acting, Pages
from ringfence.base.errors import OperatorError
from ringfence.detection.service import AlertFilter
from ringfence.enforcement.model import HOUR_MS, normal_account
from ringfence.subscribers.model import Account

pages = Pages()

SHOWN_CALLS = 100
PERIODS = (("1", "hour"), ("24", "24 hours"), ("168", "7 days"), ("720", "30 days"))


class _Search(msgspec.Struct, frozen=True):
    text: Short = ""


class _Period(msgspec.Struct, frozen=True):
    days: Annotated[int, msgspec.Meta(ge=1, le=31)] = 1


_NO_HISTORY: dict[str, Any] = {}


class _Calls(msgspec.Struct, frozen=True):
    account: Short = ""
    number: Annotated[str, msgspec.Meta(max_length=16, pattern=r"^\+?[0-9]*$")] = ""
    hours: Annotated[int, msgspec.Meta(ge=1, le=8784)] = 24


@pages.page("/accounts", permission=Permission.ACCOUNT_READ)
async def show_accounts(request: Request) -> Response:
    """Search."""
    text = read_query(request, _Search).text
    return desk_of(request).renderer.page(request, "accounts.html", text=text, **await _found(desk_of(request), text))


@pages.page("/find/accounts", permission=Permission.ACCOUNT_READ)
async def find_accounts(request: Request) -> Response:
    """The rows alone, while somebody types."""
    desk = desk_of(request)
    return HTMLResponse(desk.renderer.fragment("parts/account_rows.html", **await _found(desk, read_query(request, _Search).text)))


@pages.page("/accounts/{account:path}", permission=Permission.ACCOUNT_READ)
async def show_account(request: Request, actor: Acting, account: str) -> Response:
    """One account; one that was never imported has a page too, since it may call."""
    desk = desk_of(request)
    name = normal_account(account)
    now = desk.clock()
    alerts = (
        await desk.or_else(desk.detection.alerts(AlertFilter(account=name), limit=20), None) if actor.may(Permission.ALERT_READ) else ()
    )
    history = _NO_HISTORY
    if actor.may(Permission.CALL_READ):
        days = read_query(request, _Period).days
        history = {"period": days}
        history |= await inquiry.history(desk, Inquiry(account=name, days=days), ("destination", "source"))
        history |= await inquiry.registrations(desk, days=days, account=name)
    calls = (
        await evidence.calls_since(desk, account=name, since_ms=now - 24 * HOUR_MS, limit=SHOWN_CALLS)
        if actor.may(Permission.CALL_READ)
        else ()
    )
    return desk.renderer.page(
        request,
        "account.html",
        account=await evidence.account_facts(desk, name),
        alerts=[shown.alert(alert) for alert in alerts or ()],
        periods=inquiry.PERIODS,
        **history,
        nothing="No alert yet." if alerts is not None else "The database is down; alerts come back with it.",
        calls=calls or (),
        calls_missing="No call in the last 24 hours." if calls is not None else "Calls are not readable now.",
        blocks=[shown.block(block, now) for block in desk.board.blocks_of(name)],
    )


@pages.page("/calls", permission=Permission.CALL_READ)
async def show_calls(request: Request) -> Response:
    """Calls by account or number, newest first."""
    desk = desk_of(request)
    wanted = read_query(request, _Calls)
    since = desk.clock() - wanted.hours * HOUR_MS
    calls = await evidence.calls_since(desk, account=wanted.account, number=wanted.number, since_ms=since, limit=SHOWN_CALLS)
    nothing = "No call fits." if calls is not None else "Calls are not readable now; try again in a moment."
    summary = f"The newest {SHOWN_CALLS}. Narrow it by account or number." if calls and len(calls) == SHOWN_CALLS else "Newest first."
    return desk.renderer.page(
        request,
        "calls.html",
        filter={"account": wanted.account, "number": wanted.number, "hours": str(wanted.hours)},
        periods=PERIODS,
        calls=calls or (),
        nothing=nothing,
        summary=summary,
    )


async def _found(desk: Desk, text: str) -> dict[str, Any]:
    if len(text) < 2:
        return {"accounts": (), "nothing": "Type at least two characters."}
    try:
        name = normal_account(text)
    except OperatorError:
        name = ""
    found: list[Account] = list(await desk.subscribers.accounts_of_customer(text))
    exact = await desk.subscribers.account(name) if name else None
    if exact is not None and exact not in found:
        found.insert(0, exact)
    nothing = "No account or customer of that name. An account that was never imported still has a page: open it by its full name."
    return {"accounts": found, "nothing": nothing}
