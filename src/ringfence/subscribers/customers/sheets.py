"""Rows of the CSV files for customers, lines and contacts (`formats.md`).

Pure, as the sheets of accounts are: a column that the file lacks is None and keeps what is there, an empty cell is the default. The one
thing to know: `removed` closes, and a row that closes says nothing else.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

from ringfence.base.errors import PeerError
from ringfence.subscribers.cells import Cells, line_name, moment, read_fields, read_table, segment, text, truth
from ringfence.subscribers.model import BadRow, ContactKind, Segment

# A mail address as a mailbox accepts it (RFC 5321, 4.1.2), without quoted forms; a number as people write it.
_MAIL = re.compile(r"[^\s@<>,;\"]{1,64}@[^\s@<>,;\"]{1,255}")
_PHONE = re.compile(r"\+?[0-9][0-9 ()/.-]{1,38}[0-9]")
_VALUES = {ContactKind.MAIL: _MAIL, ContactKind.PHONE: _PHONE, ContactKind.POST: re.compile(r".+")}


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerRow:
    """One row of a customers file."""

    file_line: int
    customer: str
    name: str | None = None
    segment: Segment | None = None
    since_ms: int | None = None
    removed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRow:
    """One row of a lines file."""

    file_line: int
    line: str
    customer: str | None = None
    access_node: str | None = None
    region: str | None = None
    removed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactRow:
    """One row of a contacts file."""

    file_line: int
    customer: str
    kind: ContactKind
    value: str
    removed: bool = False


Row = TypeVar("Row")


def read_customers(source: BinaryIO) -> Iterator[CustomerRow | BadRow]:
    """Rows of a customers file; OperatorError when its header has no column `customer`."""
    return _rows(source, ("customer",), _CUSTOMER_CELLS, CustomerRow)


def read_lines(source: BinaryIO) -> Iterator[LineRow | BadRow]:
    """Rows of a lines file; OperatorError when its header has no column `line`."""
    return _rows(source, ("line",), _LINE_CELLS, LineRow)


def read_contacts(source: BinaryIO) -> Iterator[ContactRow | BadRow]:
    """Rows of a contacts file; OperatorError when its header lacks `customer`, `kind` or `value`."""
    return _rows(source, ("customer", "kind", "value"), _CONTACT_CELLS, _contact_row)


def _rows(source: BinaryIO, required: tuple[str, ...], columns: Cells, make: Callable[..., Row]) -> Iterator[Row | BadRow]:
    for file_line, cells in read_table(source, required=required, known=tuple(columns)):
        if isinstance(cells, BadRow):
            yield cells
            continue
        try:
            yield make(file_line=file_line, **read_fields(cells, columns))
        except PeerError as error:
            yield BadRow(line=file_line, reason=error.reason, message=str(error))


def _contact_row(*, file_line: int, customer: str, kind: ContactKind, value: str, removed: bool = False) -> ContactRow:
    if not _VALUES[kind].fullmatch(value):
        raise PeerError(f"{value[:60]!a} is no {kind.value} contact", reason="bad_value")
    return ContactRow(file_line=file_line, customer=customer, kind=kind, value=value, removed=removed)


def _customer(cell: str) -> str:
    found = text(cell)
    if not found:
        raise PeerError("the customer is empty", reason="bad_customer")
    return found


def _kind(cell: str) -> ContactKind:
    try:
        return ContactKind(cell.lower())
    except ValueError:
        raise PeerError(f"kind {cell[:60]!a} is none of {', '.join(ContactKind)}", reason="bad_kind") from None


_CUSTOMER_CELLS: Cells = {
    "customer": ("customer", _customer),
    "name": ("name", text),
    "segment": ("segment", segment),
    "since": ("since_ms", moment("since")),
    "removed": ("removed", truth("removed")),
}
_LINE_CELLS: Cells = {
    "line": ("line", line_name),
    "customer": ("customer", text),
    "access_node": ("access_node", text),
    "region": ("region", text),
    "removed": ("removed", truth("removed")),
}
_CONTACT_CELLS: Cells = {
    "customer": ("customer", _customer),
    "kind": ("kind", _kind),
    "value": ("value", text),
    "removed": ("removed", truth("removed")),
}
