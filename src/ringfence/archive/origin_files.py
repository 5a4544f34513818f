"""Origin tables that the operator brings: MaxMind DB files, and lines of prefix, asn and country.

A MaxMind DB stays on disk and is asked address by address (`telephony.networks` remembers what it said); TSV is compiled into memory. A
file that cannot be read is refused with one sentence: a rule that silently lacks its table is worse than a start that fails.
"""

from pathlib import Path
from typing import Any, Protocol

import maxminddb

from ringfence.base.errors import OperatorError
from ringfence.telephony.model import country_code
from ringfence.telephony.networks import MAX_ASN, UNKNOWN, Address, Origin, OriginTable, read_origins


class _Reader(Protocol):
    def get(self, ip_address: Address) -> object:
        """The record of an address."""


class MaxMind:
    """A MaxMind DB: GeoLite2 ASN or Country, and files of others with the same or flat fields (`asn`, `country`)."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    def __call__(self, address: Address) -> Origin:
        """The origin of an address; unknown for one that the file does not hold, or when its record is damaged."""
        try:
            record = self._reader.get(address)
        except (ValueError, maxminddb.InvalidDatabaseError):
            return UNKNOWN
        return Origin(_asn(record), _country(record)) if isinstance(record, dict) else UNKNOWN


def open_origins(path: Path, *, given_by: str) -> MaxMind | OriginTable:
    """The look-up of a file. OperatorError, naming the setting or option (`given_by`), when it cannot be read or is empty."""
    if path.suffix == ".mmdb":
        try:
            return MaxMind(maxminddb.open_database(str(path)))
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            raise OperatorError(f"{path} in {given_by} is no MaxMind DB: {error}", reason="bad_origins") from None
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            table = read_origins(lines)
    except OSError as error:
        raise OperatorError(f"{path} in {given_by} cannot be read: {error.strerror or error}", reason="no_file") from None
    if not table.prefixes:
        raise OperatorError(f"{path} holds no line with prefix, asn and country, separated by tabs", reason="bad_origins")
    return table


def _asn(record: dict[str, Any]) -> int:
    value = record.get("autonomous_system_number", record.get("asn", 0))
    text = str(value).upper().removeprefix("AS")
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else 0
    return number if number <= MAX_ASN else 0


def _country(record: dict[str, Any]) -> int:
    for name in ("country", "registered_country", "country_code"):
        value = record.get(name)
        if isinstance(value, dict):
            value = value.get("iso_code")
        if isinstance(value, str) and (code := country_code(value)):
            return code
    return 0
