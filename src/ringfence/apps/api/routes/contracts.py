"""Customers, their lines and contacts: look up, search, import, close; and accounts that end.

Whole lists need the permission to import: who looks one customer up, as the hotline does, searches.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, BinaryIO, Protocol

from fastapi import Query, Request

from ringfence.access.model import Actor, Permission
from ringfence.apps.api.account_payloads import ImportSaid
from ringfence.apps.api.customer_payloads import Closed, CustomerList, CustomerPageSaid, CustomerSaid, FoundSaid, LineList, LineSaid
from ringfence.apps.api.desk import Desk
from ringfence.apps.api.receiving import received
from ringfence.apps.api.routing import Acting, AtDesk, Routes
from ringfence.base.errors import NotFoundError
from ringfence.subscribers.model import ImportReport

routes = Routes("customers")

LIST_BYTES = 8 * 1024**3
"""Largest list of customers, lines or contacts."""

After = Annotated[str, Query(max_length=200)]
Limit = Annotated[int, Query(ge=1, le=500)]


class _Import(Protocol):
    async def __call__(self, by: str, source: BinaryIO, *, strict: bool) -> ImportReport: ...


@routes.get("/customers", permission=Permission.CUSTOMER_IMPORT)
async def list_customers(desk: AtDesk, after: After = "", limit: Limit = 100) -> CustomerList:
    """Customers that are not closed, by number."""
    found = await desk.subscribers.customers_page(after=after, limit=limit)
    return CustomerList(customers=[CustomerSaid.of(each) for each in found], next=found[-1].customer if len(found) == limit else "")


@routes.get("/customers/search", permission=Permission.CUSTOMER_READ)
async def search_customers(desk: AtDesk, text: Annotated[str, Query(max_length=200)]) -> list[FoundSaid]:
    """At most 50 hits: the beginning of a customer's number, name or line, an account or E.164 number, or an IP address."""
    return [FoundSaid.of(found) for found in await desk.subscribers.search(text, plan=desk.plan)]


@routes.post("/customers/import", permission=Permission.CUSTOMER_IMPORT, max_body_size=LIST_BYTES)
async def import_customers(request: Request, desk: AtDesk, actor: Acting, *, strict: bool = False) -> ImportSaid:
    """Add, change and close the customers of a CSV file, sent as the body (`text/csv`). All of it or nothing."""
    return await _imported(request, desk, actor, desk.subscribers.import_customers, strict=strict)


@routes.post("/contacts/import", permission=Permission.CUSTOMER_IMPORT, max_body_size=LIST_BYTES)
async def import_contacts(request: Request, desk: AtDesk, actor: Acting, *, strict: bool = False) -> ImportSaid:
    """Add and delete the contacts of a CSV file, sent as the body (`text/csv`). All of it or nothing."""
    return await _imported(request, desk, actor, desk.subscribers.import_contacts, strict=strict)


@routes.post("/lines/import", permission=Permission.CUSTOMER_IMPORT, max_body_size=LIST_BYTES)
async def import_lines(request: Request, desk: AtDesk, actor: Acting, *, strict: bool = False) -> ImportSaid:
    """Add, change and close the lines of a CSV file, sent as the body (`text/csv`). All of it or nothing."""
    return await _imported(request, desk, actor, desk.subscribers.import_lines, strict=strict)


@routes.get("/customers/{customer:path}", permission=Permission.CUSTOMER_READ)
async def show_customer(desk: AtDesk, customer: str) -> CustomerPageSaid:
    """One customer with lines, accounts and contacts."""
    found = await desk.subscribers.customer(customer)
    if found is None:
        raise NotFoundError(f"there is no customer {customer[:60]!a}; search for a part of it", reason="no_customer")
    return CustomerPageSaid.of_page(found)


@routes.post("/customers/{customer:path}/remove", permission=Permission.CUSTOMER_IMPORT)
async def remove_customer(desk: AtDesk, actor: Acting, customer: str) -> Closed:
    """Close a customer and delete its contacts."""
    return await _closed(desk, actor, "remove_customer", customer, desk.subscribers.remove_customer)


@routes.post("/accounts/{account:path}/remove", permission=Permission.ACCOUNT_IMPORT)
async def remove_account(desk: AtDesk, actor: Acting, account: str) -> Closed:
    """Forget an account's attributes: it counts as residential with one channel from then on."""
    return await _closed(desk, actor, "remove_account", account, desk.subscribers.remove_account)


@routes.get("/lines", permission=Permission.CUSTOMER_READ)
async def list_lines(
    desk: AtDesk, customer: Annotated[str, Query(min_length=1, max_length=200)], after: After = "", limit: Limit = 100
) -> LineList:
    """The lines of a customer, closed ones too, by name."""
    found = await desk.subscribers.lines_of_customer(customer, after=after, limit=limit)
    return LineList(lines=[LineSaid.of(line) for line in found], next=found[-1].line if len(found) == limit else "")


@routes.get("/lines/{line:path}", permission=Permission.CUSTOMER_READ)
async def show_line(desk: AtDesk, line: str) -> LineSaid:
    """One line."""
    found = await desk.subscribers.line(line)
    if found is None:
        raise NotFoundError(f"there is no line {line[:60]!a}; search for a part of it", reason="no_line")
    return LineSaid.of(found)


@routes.post("/lines/{line:path}/remove", permission=Permission.CUSTOMER_IMPORT)
async def remove_line(desk: AtDesk, actor: Acting, line: str) -> Closed:
    """Close a line."""
    return await _closed(desk, actor, "remove_line", line, desk.subscribers.remove_line)


async def _imported(request: Request, desk: Desk, actor: Actor, take: _Import, *, strict: bool) -> ImportSaid:
    with await received(request) as file:
        report = await take(actor.name, file, strict=strict)
    await desk.access.audit(actor.name, f"import_{report.kind}", report.import_id, {"rows": report.rows, "bad": report.bad})
    return ImportSaid.of(report)


async def _closed(desk: Desk, actor: Actor, action: str, name: str, close: Callable[[str], Awaitable[None]]) -> Closed:
    await close(name)
    await desk.access.audit(actor.name, action, name, {})
    return Closed(closed=name)
