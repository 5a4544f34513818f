"""CSV as the room's files have it: a header row, bounded lines, and cells that are read strictly (`formats.md`).

Pure: lines come in, cells by column name or `BadRow`s go out, and nothing is guessed. A reader of a cell returns the value or raises
PeerError with the sentence and the reason that the report shows.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import BinaryIO

from ringfence.base.errors import OperatorError, PeerError
from ringfence.subscribers.model import BadRow, Segment

MAX_LINE_BYTES = 8_192
"""A longer line is a bad row."""

MAX_NAME_BYTES = 128
MAX_TEXT_CHARACTERS = 200
MAX_MOMENT_MS = 4_102_444_800_000
"""The year 2100: later times are mistakes."""

Cells = Mapping[str, tuple[str, Callable[[str], object]]]
"""Column of a file -> the field it fills and the reader of its cell."""

_TRUE = frozenset({"true", "1", "yes"})
_FALSE = frozenset({"false", "0", "no", ""})


def read_table(source: BinaryIO, *, required: tuple[str, ...], known: tuple[str, ...]) -> Iterator[tuple[int, Mapping[str, str] | BadRow]]:
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


def read_fields(cells: Mapping[str, str], columns: Cells) -> dict[str, object]:
    """Fields of a row by name, for the columns that the file has; PeerError for the first cell that cannot be read."""
    return {field: parse(cells[column]) for column, (field, parse) in columns.items() if column in cells}


def name(what: str) -> Callable[[str], str]:
    """A name such as a digest user name, a number of a customer or of a line: 1 to 128 bytes without spaces."""

    def parse(cell: str) -> str:
        try:
            size = len(cell.encode())
        except UnicodeEncodeError:
            raise PeerError(f"the {what} is not UTF-8", reason="not_utf8") from None
        if not 0 < size <= MAX_NAME_BYTES or not cell.isprintable() or " " in cell:
            raise PeerError(f"{cell[:60]!a} is no {what}: 1 to {MAX_NAME_BYTES} bytes without spaces", reason=f"bad_{what}")
        return cell

    return parse


def line_name(cell: str) -> str:
    """A line as the access network names it, which may hold spaces: `DSLAM-17 atm 1/1/03:1.32` (TR-101 R-122)."""
    if not 0 < len(cell.encode("utf-8", "surrogatepass")) <= MAX_NAME_BYTES or not cell.isprintable():
        raise PeerError(f"{cell[:60]!a} is no line: 1 to {MAX_NAME_BYTES} bytes that print", reason="bad_line")
    return cell


def line_name_or_empty(cell: str) -> str:
    """A line, or an empty cell."""
    return line_name(cell) if cell else ""


def text(cell: str) -> str:
    """One line of text; an empty cell is empty text."""
    if len(cell) > MAX_TEXT_CHARACTERS or not cell.isprintable():
        raise PeerError(f"{cell[:60]!a} is longer than {MAX_TEXT_CHARACTERS} characters or does not print", reason="bad_text")
    return cell


def segment(cell: str) -> Segment:
    """A segment; residential when the cell is empty."""
    if not cell:
        return Segment.RESIDENTIAL
    try:
        return Segment(cell.lower())
    except ValueError:
        raise PeerError(f"segment {cell[:60]!a} is none of {', '.join(Segment)}", reason="bad_segment") from None


def whole(column: str, least: int, most: int, default: int) -> Callable[[str], int]:
    """A whole number from `least` to `most`; `default` for an empty cell."""

    def parse(cell: str) -> int:
        if not cell:
            return default
        if not (cell.isascii() and cell.isdigit() and len(cell) < 10 and least <= int(cell) <= most):
            raise PeerError(f"{column} {cell[:60]!a} is no whole number from {least} to {most}", reason=f"bad_{column}")
        return int(cell)

    return parse


def truth(column: str) -> Callable[[str], bool]:
    """`true`, `1`, `yes` or `false`, `0`, `no`; an empty cell is false."""

    def parse(cell: str) -> bool:
        if cell.lower() in _TRUE:
            return True
        if cell.lower() in _FALSE:
            return False
        raise PeerError(f"{column} {cell[:60]!a} is neither true nor false", reason=f"bad_{column}")

    return parse


def moment(column: str) -> Callable[[str], int]:
    """Milliseconds of an ISO 8601 date or time (UTC when it names no zone) or of Unix seconds; 0 for an empty cell."""

    def parse(cell: str) -> int:
        if not cell:
            return 0
        if cell.isascii() and cell.isdigit() and 9 <= len(cell) <= 10:
            return int(cell) * 1000
        try:
            found = datetime.fromisoformat(cell)
        except ValueError:
            raise PeerError(f"{column} {cell[:60]!a} is no time; write it like 2026-05-01T12:00:00Z", reason=f"bad_{column}") from None
        milliseconds = round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)
        if not 0 <= milliseconds <= MAX_MOMENT_MS:
            raise PeerError(f"{column} {cell[:60]!a} is not between 1970 and 2100", reason=f"bad_{column}")
        return milliseconds

    return parse


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
