"""Files that the operator brings about addresses and numbers: origin tables and the list of test numbers, read once at the start.

A MaxMind DB stays on disk and is asked address by address (`telephony.networks` remembers what it said); TSV is compiled into memory. A
file that cannot be read ends the role with one sentence: a rule that silently lacks its table is worse than a start that fails.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import maxminddb

from ringfence.base.errors import OperatorError
from ringfence.runtime.log import get_logger
from ringfence.telephony.hot_numbers import HotNumbers, read_hot_numbers
from ringfence.telephony.model import country_code
from ringfence.telephony.networks import MAX_ASN, UNKNOWN, Address, Origin, OriginLookUp, read_origins

_log = get_logger(__name__)
_Read = TypeVar("_Read")


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


def open_origins(path: Path) -> OriginLookUp:
    """The look-up of a file. OperatorError when it cannot be read or holds nothing."""
    if path.suffix == ".mmdb":
        try:
            return MaxMind(maxminddb.open_database(str(path)))
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            raise OperatorError(f"{path} in operator.origins_files is no MaxMind DB: {error}", reason="bad_origins") from None
    table = _read(path, "operator.origins_files", read_origins)
    if not table.prefixes:
        raise OperatorError(f"{path} holds no line with prefix, asn and country, separated by tabs", reason="bad_origins")
    _log.info("origins_read", file=path.name, prefixes=table.prefixes, refused=table.refused.total())
    return table


def open_hot_numbers(path: Path) -> HotNumbers:
    """The list of test numbers. OperatorError when it cannot be read or holds nothing."""
    numbers = _read(path, "operator.test_numbers_file", read_hot_numbers)
    if not len(numbers):
        raise OperatorError(f"{path} holds no number; write one a line, such as +23276123456", reason="bad_test_numbers")
    _log.info("test_numbers_read", file=path.name, numbers=len(numbers), ranges=numbers.ranges, refused=numbers.refused.total())
    return numbers


def _read(path: Path, setting: str, read: Callable[[Any], _Read]) -> _Read:
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            return read(lines)
    except OSError as error:
        raise OperatorError(f"{path} in {setting} cannot be read: {error.strerror or error}", reason="no_file") from None
