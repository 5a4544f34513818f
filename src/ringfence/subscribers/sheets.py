"""Rows of the CSV files for accounts and networks (`formats.md`), read one by one and checked once.

Pure: lines come in, rows or `BadRow`s go out, and nothing is guessed. A column that the file lacks is None (the value that is there
stays); an empty cell is the default. The caller decides when there were too many bad rows.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ringfence.base.errors import PeerError
from ringfence.subscribers.cells import Cells, line_name_or_empty, moment, name, read_fields, read_table, segment, text, truth, whole
from ringfence.subscribers.model import BadRow, Network, NetworkKind, Segment

MAX_CHANNELS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """One row of an accounts file; None where the file has no such column."""

    file_line: int
    account: str
    customer: str | None = None
    segment: Segment | None = None
    channels: int | None = None
    since_ms: int | None = None
    country: str | None = None
    own_device: bool | None = None
    exempt_until_ms: int | None = None
    sensitivity: int | None = None
    line: str | None = None
    """The line it is on."""
    removed: bool = False
    """It is no more; such a row says nothing else."""


def read_accounts(source: BinaryIO) -> Iterator[AccountRow | BadRow]:
    """Rows of an accounts file in file order; OperatorError when its header has no column `account`."""
    for line, cells in read_table(source, required=("account",), known=("account", *_ACCOUNT_CELLS)):
        if isinstance(cells, BadRow):
            yield cells
            continue
        try:
            fields = read_fields(cells, _ACCOUNT_CELLS)
            yield AccountRow(file_line=line, account=_account(cells["account"]), **fields)  # type: ignore[arg-type]
        except PeerError as error:
            yield BadRow(line=line, reason=error.reason, message=str(error))


def read_networks(source: BinaryIO) -> Iterator[tuple[int, Network] | BadRow]:
    """`(line, Network)` of a networks file; OperatorError when its header lacks `prefix` or `kind`."""
    for line, cells in read_table(source, required=("prefix", "kind"), known=("prefix", "kind", "comment")):
        if isinstance(cells, BadRow):
            yield cells
            continue
        try:
            yield line, Network(prefix=_prefix(cells["prefix"]), kind=_kind(cells["kind"]), comment=text(cells.get("comment", "")))
        except PeerError as error:
            yield BadRow(line=line, reason=error.reason, message=str(error))


def _kind(cell: str) -> NetworkKind:
    try:
        return NetworkKind(cell.lower())
    except ValueError:
        raise PeerError(f"kind {cell[:60]!a} is none of {', '.join(NetworkKind)}", reason="bad_kind") from None


def _country(cell: str) -> str:
    if cell and not (len(cell) == 2 and cell.isascii() and cell.isalpha()):
        raise PeerError(f"country {cell[:60]!a} is no two-letter code such as DE", reason="bad_country")
    return cell.upper()


def _prefix(cell: str) -> str:
    try:
        return str(ipaddress.ip_network(cell))
    except ValueError as error:
        raise PeerError(f"{cell[:60]!a} is no network: {error}", reason="bad_prefix") from None


_account = name("account")

# Column of the file -> field and reader of its cell. The code below and above obeys this table and nothing else.
_ACCOUNT_CELLS: Cells = {
    "customer": ("customer", text),
    "segment": ("segment", segment),
    "channels": ("channels", whole("channels", 1, MAX_CHANNELS, 1)),
    "since": ("since_ms", moment("since")),
    "country": ("country", _country),
    "own_device": ("own_device", truth("own_device")),
    "exempt_until": ("exempt_until_ms", moment("exempt_until")),
    "sensitivity": ("sensitivity", whole("sensitivity", 0, 100, 0)),
    "line": ("line", line_name_or_empty),
    "removed": ("removed", truth("removed")),
}
