"""Lists of devices as CSV: what is in stock and what was shipped to which line.

Columns `oui`, `product_class`, `serial_number`, and optionally `state` (`in_stock` or `shipped`), `line`, `customer`, `region`. A row is a
device or one sentence that says what is wrong with it.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from ringfence.base.errors import OperatorError

MAX_ROWS = 10_000_000
MAX_CHARS = 64
_OUI = re.compile(r"^[0-9A-F]{6}$")
_NEEDED = {"oui", "product_class", "serial_number"}
_KNOWN = _NEEDED | {"state", "line", "customer", "region"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRow:
    """A device of a list."""

    oui: str
    product_class: str
    serial_number: str
    life: str
    line: str
    customer: str
    region: str


def read_devices(text: TextIO) -> Iterator[tuple[int, DeviceRow | str]]:
    """Line number and device, or the sentence that says why the row was skipped. OperatorError when the columns are others."""
    reader = csv.DictReader(text)
    try:
        found = set(reader.fieldnames or ())
    except csv.Error:
        found = set()
    if _NEEDED - found or found - _KNOWN:
        raise OperatorError(
            f"The first line must name the columns {', '.join(sorted(_NEEDED))}, and may name {', '.join(sorted(_KNOWN - _NEEDED))}.",
            reason="bad_columns",
        )
    rows = enumerate(reader)
    while True:
        try:
            count, row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            raise OperatorError(f"Line {reader.line_num} is no CSV ({error}); nothing was imported.", reason="bad_csv") from None
        if count >= MAX_ROWS:
            raise OperatorError(f"A list holds {MAX_ROWS} devices at the most; split the file.", reason="too_many_rows")
        yield reader.line_num, _row({name: (row.get(name) or "").strip() for name in _KNOWN}, extra=None in row)


def _row(row: dict[str, str], *, extra: bool) -> DeviceRow | str:
    state = row["state"] or "in_stock"
    if extra:
        return "has more fields than the first line names"
    if _OUI.match(row["oui"].upper()) is None:
        return f"{row['oui'][:20]!a} is no OUI: six hexadecimal digits"
    if not row["serial_number"] or any(len(value) > MAX_CHARS or not value.isprintable() for value in row.values()):
        return f"needs a serial number, and no field longer than {MAX_CHARS} characters or with control characters"
    if state not in {"in_stock", "shipped"}:
        return f"the state is in_stock or shipped, not {state[:20]!a}"
    if state == "in_stock" and row["line"]:
        return "a device in stock belongs to no line; say shipped"
    return DeviceRow(
        oui=row["oui"].upper(),
        product_class=row["product_class"],
        serial_number=row["serial_number"],
        life=state,
        line=row["line"],
        customer=row["customer"],
        region=row["region"],
    )
