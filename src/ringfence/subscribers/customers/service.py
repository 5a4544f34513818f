"""Customers, lines and contacts: import, look up, search.

Nothing is taken away because a file does not name it: a row that says `removed`, or a person, closes. The one thing to know: no table here
refers to another by a key, so a line may name a customer who comes with the next file.
"""

from typing import BinaryIO

from ringfence.base.errors import NotFoundError
from ringfence.runtime.db import Row
from ringfence.subscribers.customers.sheets import ContactRow, CustomerRow, LineRow, read_contacts, read_customers, read_lines
from ringfence.subscribers.customers.sought import Sought, folded, past, sought
from ringfence.subscribers.importing.service import SEPARATOR, ImportingService
from ringfence.subscribers.model import Contact, ContactKind, Customer, CustomerPage, Found, FoundBy, ImportReport, Line, Segment
from ringfence.subscribers.sessions.service import AccessSessions
from ringfence.subscribers.store import SubscribersStore
from ringfence.telephony.numbers import DialPlan

PAGE = 500
FOUND = 50
"""Hits of a search at the most."""


class CustomersService(ImportingService, AccessSessions):
    """Who is behind an account, a line or an address."""

    async def import_customers(self, by: str, source: BinaryIO, *, strict: bool = False) -> ImportReport:
        """Add, change and close the customers of a CSV file; the refusals of `import_accounts`."""
        return await self._import(by, "customers", read_customers(source), _customer_columns, strict=strict)

    async def import_lines(self, by: str, source: BinaryIO, *, strict: bool = False) -> ImportReport:
        """Add, change and close the lines of a CSV file; the refusals of `import_accounts`."""
        return await self._import(by, "lines", read_lines(source), _line_columns, strict=strict)

    async def import_contacts(self, by: str, source: BinaryIO, *, strict: bool = False) -> ImportReport:
        """Add and delete the contacts of a CSV file; the refusals of `import_accounts`."""
        return await self._import(by, "contacts", read_contacts(source), _contact_columns, strict=strict)

    async def remove_customer(self, customer: str) -> None:
        """Close a customer and delete the contacts: there is nobody to write to any more. Lines and accounts stay as they are."""
        async with self._db.transaction() as connection:
            store = SubscribersStore(connection)
            if await store.row("remove_customer", customer=customer, now_ms=self._clock()) is None:
                raise NotFoundError(f"there is no customer {customer[:60]!a}", reason="no_customer")
            await store.run("delete_contacts", customer=customer)

    async def remove_line(self, line: str) -> None:
        """Close a line."""
        async with self._db.transaction() as connection:
            if await SubscribersStore(connection).row("remove_line", line=line, now_ms=self._clock()) is None:
                raise NotFoundError(f"there is no line {line[:60]!a}", reason="no_line")

    async def customer(self, customer: str) -> CustomerPage | None:
        """A customer with lines, accounts and contacts, closed ones too; None when it was never imported."""
        async with self._db.transaction() as connection:
            store = SubscribersStore(connection)
            row = await store.row("find_customer", customer=customer)
            if row is None:
                return None
            lines = await store.rows("list_lines_of_customer", customer=customer, after="", limit=PAGE)
            contacts = await store.rows("list_contacts", customer=customer, limit=PAGE)
            accounts = await store.accounts("list_accounts_of_customer", customer=customer)
        return CustomerPage(
            customer=_customer(row), lines=tuple(Line(**line) for line in lines), accounts=accounts, contacts=tuple(map(_contact, contacts))
        )

    async def customers_page(self, *, after: str = "", limit: int = 100) -> tuple[Customer, ...]:
        """Customers that are not closed, in the order of their numbers; `after` is the last of the page before."""
        async with self._db.transaction() as connection:
            rows = await SubscribersStore(connection).rows("page_customers", after=after, limit=min(limit, PAGE))
        return tuple(map(_customer, rows))

    async def line(self, line: str) -> Line | None:
        """A line, closed or not; None when it was never imported."""
        async with self._db.transaction() as connection:
            row = await SubscribersStore(connection).row("find_line", line=line)
        return Line(**row) if row else None

    async def lines_of_customer(self, customer: str, *, after: str = "", limit: int = PAGE) -> tuple[Line, ...]:
        """The lines of a customer, closed ones too, by name; `after` is the last of the page before."""
        async with self._db.transaction() as connection:
            rows = await SubscribersStore(connection).rows("list_lines_of_customer", customer=customer, after=after, limit=min(limit, PAGE))
        return tuple(Line(**row) for row in rows)

    async def search(self, text: str, *, plan: DialPlan | None = None, limit: int = FOUND) -> tuple[Found, ...]:
        """Customers by the beginning of their number, name or line, by an account or E.164 number, and by the address they hold now.

        Closed customers and lines are not found. `plan` reads national numbers. OperatorError for fewer than three characters.
        """
        wanted = sought(text, plan)
        if wanted.address:
            return await self._holder(wanted.address)
        limit = min(limit, FOUND)
        async with self._db.transaction() as connection:
            store = SubscribersStore(connection)
            rows: list[Row] = []
            for query in _searches(wanted):
                if len(rows) < limit:
                    rows += await store.rows(
                        query,
                        text=wanted.text,
                        past=past(wanted.text),
                        folded=wanted.folded,
                        folded_past=past(wanted.folded),
                        accounts=list(wanted.accounts),
                        limit=limit - len(rows),
                    )
        return tuple(Found(**row | {"by": FoundBy(row["by"])}) for row in rows)

    async def _holder(self, address: str) -> tuple[Found, ...]:
        session = (await self.lines_at([address], self._clock())).get(address)
        if session is None:
            return ()
        async with self._db.transaction() as connection:
            row = await SubscribersStore(connection).row("find_customer", customer=session.customer)
        name = row["name"] if row else ""
        return (Found(by=FoundBy.ADDRESS, value=address, customer=session.customer, name=name, line=session.line),)


def _searches(wanted: Sought) -> list[str]:
    """The queries that may find it, the sharpest first."""
    names = ["search_names"] if wanted.folded else []
    return ["search_accounts", "search_customers", "search_lines", *names]


def _customer_columns(row: CustomerRow) -> tuple[object, ...]:
    if row.removed:
        return (row.file_line, row.customer, None, None, None, None, True)
    name = None if row.name is None else folded(row.name)
    return (row.file_line, row.customer, row.name, name, row.segment and row.segment.value, row.since_ms, False)


def _line_columns(row: LineRow) -> tuple[object, ...]:
    said = (None, None, None) if row.removed else (row.customer, row.access_node, row.region)
    return (row.file_line, row.line, *said, row.removed)


def _contact_columns(row: ContactRow) -> tuple[object, ...]:
    key = SEPARATOR.join((row.customer, row.kind.value, row.value))
    return (row.file_line, key, row.customer, row.kind.value, row.value, row.removed)


def _customer(row: Row) -> Customer:
    return Customer(**row | {"segment": Segment(row["segment"])})


def _contact(row: Row) -> Contact:
    return Contact(customer=row["customer"], kind=ContactKind(row["kind"]), value=row["value"])
