"""Rows of the CSV files for accounts and networks (`formats.md`), read one by one and checked once.

Pure: lines come in, rows or `BadRow`s go out, and nothing is guessed. A column that the file lacks is None (the value that is there
stays); an empty cell is the default. The caller decides when there were too many bad rows.
"""

import csv
import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from ringfence.base.errors import OperatorError, PeerError
from ringfence.subscribers.model import BadRow, Network, NetworkKind, Segment

MAX_LINE_BYTES = 8_192
"""A longer line is a bad row."""

MAX_ACCOUNT_BYTES = 128
MAX_TEXT_CHARACTERS = 200
MAX_CHANNELS = 100_000
MAX_MOMENT_MS = 4_102_444_800_000
"""The year 2100: later times are mistakes."""

_TRUE = frozenset({"true", "1", "yes"})
_FALSE = frozenset({"false", "0", "no", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """One row of an accounts file; None where the file has no such column."""

    line: int
    account: str
    customer: str | None = None
    segment: Segment | None = None
    channels: int | None = None
    since_ms: int | None = None
    country: str | None = None
    own_device: bool | None = None
    exempt_until_ms: int | None = None
    sensitivity: int | None = None


def read_accounts(source: BinaryIO) -> Iterator[AccountRow | BadRow]:
    """Rows of an accounts file in file order; OperatorError when its header has no column `account`."""
    for line, cells in _table(source, required=("account",), known=("account", *_ACCOUNT_CELLS)):
        if isinstance(cells, BadRow):
            yield cells
            continue
        try:
            fields = {field: parse(cells[column]) for column, (field, parse) in _ACCOUNT_CELLS.items() if column in cells}
            yield AccountRow(line=line, account=_account(cells["account"]), **fields)  # type: ignore[arg-type]
        except PeerError as error:
            yield BadRow(line=line, reason=error.reason, message=str(error))


def read_networks(source: BinaryIO) -> Iterator[tuple[int, Network] | BadRow]:
    """`(line, Network)` of a networks file; OperatorError when its header lacks `prefix` or `kind`."""
    for line, cells in _table(source, required=("prefix", "kind"), known=("prefix", "kind", "comment")):
        if isinstance(cells, BadRow):
            yield cells
            continue
        try:
            yield line, Network(prefix=_prefix(cells["prefix"]), kind=_kind(cells["kind"]), comment=_text(cells.get("comment", "")))
        except PeerError as error:
            yield BadRow(line=line, reason=error.reason, message=str(error))


def _table(source: BinaryIO, *, required: tuple[str, ...], known: tuple[str, ...]) -> Iterator[tuple[int, Mapping[str, str] | BadRow]]:
    """Line number and cells by column name; only known columns are kept."""
    lines = _Lines(source)
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
    except csv.Error:
        header = []
    places = {name: header.index(name) for name in known if name in header}
    if missing := [name for name in required if name not in places]:
        raise OperatorError(f"the first line names no column {' and '.join(missing)}; write a header row", reason="bad_header")
    if len(set(header)) != len(header):
        raise OperatorError("the first line names a column twice; give each column one name", reason="bad_header")
    while True:
        start = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield start, BadRow(line=start, reason="not_csv", message=f"not CSV: {error}")
            continue
        if not row:
            continue
        if lines.take_overlong():
            yield start, BadRow(line=start, reason="line_too_long", message=f"longer than {MAX_LINE_BYTES} bytes")
        elif len(row) != len(header):
            yield start, BadRow(line=start, reason="cell_count", message=f"has {len(row)} cells, the header has {len(header)}")
        else:
            yield start, {name: row[place].strip() for name, place in places.items()}


class _Lines(Iterable[str]):
    """Lines of a binary file, each bounded; what is not UTF-8 comes out as surrogates, which no cell accepts."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._overlong = False

    def __iter__(self) -> Iterator[str]:
        first = True
        while raw := self._source.readline(MAX_LINE_BYTES + 1):
            if len(raw) > MAX_LINE_BYTES:
                self._overlong = True
                while raw and not raw.endswith(b"\n"):
                    raw = self._source.readline(MAX_LINE_BYTES)
                raw = b"-\n"
            if first:
                raw, first = raw.removeprefix(b"\xef\xbb\xbf"), False
            yield raw.decode("utf-8", "surrogateescape")

    def take_overlong(self) -> bool:
        """Whether a line since the last question was too long."""
        overlong, self._overlong = self._overlong, False
        return overlong


def _account(cell: str) -> str:
    try:
        size = len(cell.encode())
    except UnicodeEncodeError:
        raise PeerError("the account is not UTF-8", reason="not_utf8") from None
    if not 0 < size <= MAX_ACCOUNT_BYTES or not cell.isprintable() or " " in cell:
        raise PeerError(f"{cell[:60]!a} is no account: 1 to {MAX_ACCOUNT_BYTES} bytes without spaces", reason="bad_account")
    return cell


def _text(cell: str) -> str:
    if len(cell) > MAX_TEXT_CHARACTERS or not cell.isprintable():
        raise PeerError(f"{cell[:60]!a} is longer than {MAX_TEXT_CHARACTERS} characters or does not print", reason="bad_text")
    return cell


def _segment(cell: str) -> Segment:
    if not cell:
        return Segment.RESIDENTIAL
    try:
        return Segment(cell.lower())
    except ValueError:
        raise PeerError(f"segment {cell[:60]!a} is none of {', '.join(Segment)}", reason="bad_segment") from None


def _kind(cell: str) -> NetworkKind:
    try:
        return NetworkKind(cell.lower())
    except ValueError:
        raise PeerError(f"kind {cell[:60]!a} is none of {', '.join(NetworkKind)}", reason="bad_kind") from None


def _whole(column: str, least: int, most: int, default: int) -> Callable[[str], int]:
    def parse(cell: str) -> int:
        if not cell:
            return default
        if not (cell.isascii() and cell.isdigit() and len(cell) < 10 and least <= int(cell) <= most):
            raise PeerError(f"{column} {cell[:60]!a} is no whole number from {least} to {most}", reason=f"bad_{column}")
        return int(cell)

    return parse


def _country(cell: str) -> str:
    if cell and not (len(cell) == 2 and cell.isascii() and cell.isalpha()):
        raise PeerError(f"country {cell[:60]!a} is no two-letter code such as DE", reason="bad_country")
    return cell.upper()


def _truth(cell: str) -> bool:
    if cell.lower() in _TRUE:
        return True
    if cell.lower() in _FALSE:
        return False
    raise PeerError(f"own_device {cell[:60]!a} is neither true nor false", reason="bad_own_device")


def _moment(column: str) -> Callable[[str], int]:
    """Milliseconds of an ISO 8601 date or time (UTC when it names no zone) or of Unix seconds; 0 for an empty cell."""

    def parse(cell: str) -> int:
        if not cell:
            return 0
        if cell.isascii() and cell.isdigit() and 9 <= len(cell) <= 10:
            return int(cell) * 1000
        try:
            moment = datetime.fromisoformat(cell)
        except ValueError:
            raise PeerError(f"{column} {cell[:60]!a} is no time; write it like 2026-05-01T12:00:00Z", reason=f"bad_{column}") from None
        milliseconds = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        if not 0 <= milliseconds <= MAX_MOMENT_MS:
            raise PeerError(f"{column} {cell[:60]!a} is not between 1970 and 2100", reason=f"bad_{column}")
        return milliseconds

    return parse


def _prefix(cell: str) -> str:
    try:
        return str(ipaddress.ip_network(cell))
    except ValueError as error:
        raise PeerError(f"{cell[:60]!a} is no network: {error}", reason="bad_prefix") from None


# Column of the file -> field and reader of its cell. The code below and above obeys this table and nothing else.
_ACCOUNT_CELLS: dict[str, tuple[str, Callable[[str], object]]] = {
    "customer": ("customer", _text),
    "segment": ("segment", _segment),
    "channels": ("channels", _whole("channels", 1, MAX_CHANNELS, 1)),
    "since": ("since_ms", _moment("since")),
    "country": ("country", _country),
    "own_device": ("own_device", _truth),
    "exempt_until": ("exempt_until_ms", _moment("exempt_until")),
    "sensitivity": ("sensitivity", _whole("sensitivity", 0, 100, 0)),
}
