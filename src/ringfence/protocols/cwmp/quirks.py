"""What is special about devices, as data: one row per OUI, product class and software version, applied in order.

A row says what it is for and why (the device that forced it), and only what differs. The built-in table lies beside this module
(`quirks.toml`); the operator's own follows it and wins field by field. A table with a mistake is refused whole, with its line.
"""

import re
import tomllib
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files

import msgspec

from ringfence.base.errors import OperatorError

MAX_TABLE_CHARS = 262_144
MAX_ROWS = 2_000


class Literal(StrEnum):
    """How a boolean is written; XML Schema allows both, devices not."""

    WORD = "word"
    """true, false"""
    NUMBER = "number"
    """1, 0"""


class EndingStyle(StrEnum):
    """How the ACS ends a session."""

    NO_CONTENT = "204"
    """204 without a body."""
    OK_EMPTY = "200"
    """200 with Content-Length 0."""
    EMPTY = "empty"
    """The old ending, empty-empty-empty: 200 with Content-Length 0, which the device answers with one more empty POST."""


class Quirks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to speak with one kind of device."""

    xml_declaration: bool = True
    """Whether `<?xml ...?>` opens a body: a Huawei needs it, netcwmp fails on it."""
    next_level: Literal = Literal.WORD
    """How NextLevel of GetParameterNames is written."""
    boolean: Literal = Literal.NUMBER
    """How every other boolean is written."""
    batch_values: int = 16
    """Names of one GetParameterValues, parameters of one SetParameterValues; 1 to 1,024. At many a Cisco 867 gives up, a Vigor reboots."""
    ending: EndingStyle = EndingStyle.NO_CONTENT
    cookie: bool = True
    """False: none is sent, the connection alone is the session."""


DEFAULT = Quirks()


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of the table: whom it is for, why, and what differs. No selector means every device."""

    reason: str
    oui: tuple[str, ...] = ()
    product_class: str = "*"
    """A pattern with * and ?, case-sensitive."""
    from_version: str = ""
    below_version: str = ""
    """Software versions from (inclusive), below (exclusive), in natural order: 7.9 < 7.29."""
    quirks: dict[str, bool | int | str]

    def fits(self, oui: str, product_class: str, software_version: str) -> bool:
        """Whether the row is for this device."""
        if self.oui and oui.upper() not in self.oui:
            return False
        if not fnmatchcase(product_class, self.product_class):
            return False
        if not self.from_version and not self.below_version:
            return True
        version = _natural(software_version)
        if self.from_version and version < _natural(self.from_version):
            return False
        return not self.below_version or version < _natural(self.below_version)


class QuirkTable:
    """Rows in order; the later one wins, field by field."""

    __slots__ = ("of", "rows")

    def __init__(self, rows: tuple[Row, ...] = ()) -> None:
        self.rows = rows
        # A fleet has hundreds of kinds of devices, and every session asks.
        self.of = lru_cache(maxsize=4_096)(self._of)
        """`of(oui, product_class, software_version) -> Quirks`."""

    def __len__(self) -> int:
        return len(self.rows)

    def with_rows_of(self, other: "QuirkTable") -> "QuirkTable":
        """This table and then the other, whose rows win."""
        return QuirkTable(self.rows + other.rows)

    def _of(self, oui: str, product_class: str, software_version: str = "") -> Quirks:
        stated: dict[str, bool | int | str] = {}
        for row in self.rows:
            if row.fits(oui, product_class, software_version):
                stated |= row.quirks
        return msgspec.convert(stated, Quirks) if stated else DEFAULT


def built_in() -> QuirkTable:
    """The table that comes with the product."""
    return read_quirks(files(__package__).joinpath("quirks.toml").read_text("utf-8"))


def read_quirks(toml: str) -> QuirkTable:
    """Read a table. OperatorError with line and reason when it is wrong."""
    if len(toml) > MAX_TABLE_CHARS:
        raise OperatorError(f"The quirk table has more than {MAX_TABLE_CHARS} characters.", reason="quirks")
    try:
        content = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise OperatorError(f"The quirk table is no TOML: {error}.", reason="quirks") from None
    rows = content.pop("device", [])
    if content:
        key = next(iter(content))
        raise OperatorError(f"Line {_line_of(toml, 0, key)} of the quirk table: only [[device]] is known, not {key!r}.", reason="quirks")
    if not isinstance(rows, list) or len(rows) > MAX_ROWS:
        raise OperatorError(f"The quirk table must be a list of at most {MAX_ROWS} [[device]].", reason="quirks")
    return QuirkTable(tuple(_row(toml, number, row) for number, row in enumerate(rows, 1)))


def _row(toml: str, number: int, stated: object) -> Row:
    try:
        row = msgspec.convert(stated, Row)
        quirks = msgspec.convert(row.quirks, Quirks)
    except msgspec.ValidationError as error:
        raise _refused(toml, number, str(error)) from None
    if not row.reason.strip():
        raise _refused(toml, number, "say for which device and why - at `$.reason`")
    if any(re.fullmatch("[0-9A-F]{6}", oui) is None for oui in row.oui):
        raise _refused(toml, number, "an OUI is six hexadecimal digits in capitals - at `$.oui`")
    if not 1 <= quirks.batch_values <= 1_024:
        raise _refused(toml, number, "batch_values goes from 1 to 1024 - at `$.batch_values`")
    return row


def _refused(toml: str, number: int, reason: str) -> OperatorError:
    key = (re.findall(r"unknown field `(\w+)`", reason) or re.findall(r"\$\.(\w+)", reason) or [""])[-1]
    return OperatorError(f"Line {_line_of(toml, number, key)} of the quirk table: {reason}.", reason="quirks")


def _line_of(toml: str, number: int, key: str) -> int:
    """The line of a key in the row of that number (0: anywhere), or else of the row."""
    seen = found = 0
    for at, line in enumerate(toml.splitlines(), 1):
        if re.match(r"\s*\[\[\s*device\s*\]\]", line):
            seen += 1
            found = at if seen == number else found
        if key and (seen == number or not number) and re.search(rf"(?<![\w-])\"?{re.escape(key)}\"?\s*(=|\]|\.)", line):
            return at
    return max(found, 1)


@lru_cache(maxsize=4_096)
def _natural(version: str) -> tuple[tuple[int, int, str], ...]:
    """Numbers by value and before words: V3R017C10 < V3R100, 7.9 < 7.29."""
    parts = re.findall(r"[0-9]{1,18}|[A-Za-z]+", version[:256])
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)
