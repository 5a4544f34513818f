"""Customers, lines and contacts as the API says them."""

from datetime import datetime

from ringfence.apps.api.payloads import Said, at
from ringfence.subscribers.model import Contact, Customer, CustomerPage, Found, Line


class CustomerSaid(Said):
    """A customer. `removed`: the contract is closed."""

    customer: str
    name: str
    segment: str
    since_at: datetime | None
    removed: bool
    changed_at: datetime | None

    @classmethod
    def of(cls, customer: Customer) -> "CustomerSaid":
        """From the list of customers."""
        return cls(
            customer=customer.customer,
            name=customer.name,
            segment=customer.segment.value,
            since_at=at(customer.since_ms),
            removed=customer.removed,
            changed_at=at(customer.changed_ms),
        )


class CustomerList(Said):
    """A page of customers; `next` is `after` of the page that follows, empty at the end."""

    customers: list[CustomerSaid]
    next: str = ""


class LineSaid(Said):
    """An access line."""

    line: str
    customer: str
    access_node: str
    region: str
    removed: bool
    changed_at: datetime | None

    @classmethod
    def of(cls, line: Line) -> "LineSaid":
        """From the list of lines."""
        return cls(
            line=line.line,
            customer=line.customer,
            access_node=line.access_node,
            region=line.region,
            removed=line.removed,
            changed_at=at(line.changed_ms),
        )


class LineList(Said):
    """A page of lines; `next` is `after` of the page that follows, empty at the end."""

    lines: list[LineSaid]
    next: str = ""


class ContactSaid(Said):
    """One way to reach a customer: `mail`, `phone` or `post`."""

    kind: str
    value: str

    @classmethod
    def of(cls, contact: Contact) -> "ContactSaid":
        """From the list of contacts."""
        return cls(kind=contact.kind.value, value=contact.value)


class AccountOfCustomer(Said):
    """A SIP account of a customer; `GET /v1/accounts/...` tells the rest."""

    account: str
    segment: str
    channels: int
    line: str


class CustomerPageSaid(CustomerSaid):
    """A customer with everything that belongs to it; 500 of each at the most."""

    lines: list[LineSaid]
    accounts: list[AccountOfCustomer]
    contacts: list[ContactSaid]

    @classmethod
    def of_page(cls, page: CustomerPage) -> "CustomerPageSaid":
        """From the page."""
        return cls(
            **CustomerSaid.of(page.customer).model_dump(),
            lines=[LineSaid.of(line) for line in page.lines],
            accounts=[
                AccountOfCustomer(account=account.account, segment=account.segment.value, channels=account.channels, line=account.line)
                for account in page.accounts
            ],
            contacts=[ContactSaid.of(contact) for contact in page.contacts],
        )


class FoundSaid(Said):
    """A hit of a search: what matched (`customer`, `name`, `account`, `line`, `address`) and whose it is."""

    by: str
    value: str
    customer: str
    name: str
    line: str

    @classmethod
    def of(cls, found: Found) -> "FoundSaid":
        """From the search."""
        return cls(by=found.by.value, value=found.value, customer=found.customer, name=found.name, line=found.line)


class Closed(Said):
    """What was closed."""

    closed: str
