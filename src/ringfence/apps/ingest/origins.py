"""Files that the operator brings about addresses and numbers: origin tables and the list of test numbers, read once at the start.

A file that cannot be read ends the role with one sentence: a rule that silently lacks its table is worse than a start that fails.
"""

from pathlib import Path

from ringfence.archive import origin_files
from ringfence.base.errors import OperatorError
from ringfence.runtime.log import get_logger
from ringfence.telephony.hot_numbers import HotNumbers, read_hot_numbers
from ringfence.telephony.networks import OriginLookUp, OriginTable

_log = get_logger(__name__)


def open_origins(path: Path) -> OriginLookUp:
    """The look-up of a file. OperatorError when it cannot be read or holds nothing."""
    found = origin_files.open_origins(path, given_by="operator.origins_files")
    if isinstance(found, OriginTable):
        _log.info("origins_read", file=path.name, prefixes=found.prefixes, refused=found.refused.total())
    return found


def open_hot_numbers(path: Path) -> HotNumbers:
    """The list of test numbers. OperatorError when it cannot be read or holds nothing."""
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            numbers = read_hot_numbers(lines)
    except OSError as error:
        raise OperatorError(f"{path} in operator.test_numbers_file cannot be read: {error.strerror or error}", reason="no_file") from None
    if not len(numbers):
        raise OperatorError(f"{path} holds no number; write one a line, such as +23276123456", reason="bad_test_numbers")
    _log.info("test_numbers_read", file=path.name, numbers=len(numbers), ranges=numbers.ranges, refused=numbers.refused.total())
    return numbers
