"""Lists of devices as CSV: what is in stock and what was shipped to which line.

Columns `oui`, `product_class`, `serial_number`, and optionally `state` (`in_stock` or `shipped`), `line`, `customer`, `region`, and
`password`, the one that the device comes with for the ACS. A row is a device or one sentence that says what is wrong with it.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from ringfence.base.errors import OperatorError
from ringfence.base.secret import Secret

MAX_ROWS = 10_000_000
MAX_CHARS = 64
MAX_PASSWORD_CHARS = 256
"""Of ManagementServer.Password (TR-181)."""
_OUI = re.compile(r"^[0-9A-F]{6}$")
_NEEDED = {"oui", "product_class", "serial_number"}
_KNOWN = _NEEDED | {"state", "line", "customer", "region", "password"}


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
    password: Secret | None = None


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
    others = [value for name, value in row.items() if name != "password"]
    # Nothing of the row is quoted: where a column is missing, the password stands in the place of another.
    wrong = {
        "has more fields than the first line names": extra,
        "the OUI is not six hexadecimal digits": _OUI.match(row["oui"].upper()) is None,
        "has no serial number": not row["serial_number"],
        f"a field is longer than {MAX_CHARS} characters": any(len(value) > MAX_CHARS for value in others),
        f"the password is longer than {MAX_PASSWORD_CHARS} characters": len(row["password"]) > MAX_PASSWORD_CHARS,
        "a field has control characters": not all(value.isprintable() for value in row.values()),
        "the state is neither in_stock nor shipped": state not in {"in_stock", "shipped"},
        "a device in stock belongs to no line; say shipped": state == "in_stock" and bool(row["line"]),
    }
    for sentence, holds in wrong.items():
        if holds:
            return sentence
    return DeviceRow(
        oui=row["oui"].upper(),
        product_class=row["product_class"],
        serial_number=row["serial_number"],
        life=state,
        line=row["line"],
        customer=row["customer"],
        region=row["region"],
        password=Secret(row["password"]) if row["password"] else None,
    )
