"""Numbers that fraudsters test with: the operator's list of revenue-share test numbers, and ranges that belong to nobody.

Fraud on revenue share begins with a call to a test number, and the numbers that follow lie beside it: so a list says something of the
thousand around each entry too. The list is what the operator buys or collects; none is built in. The one thing to know: a listed number is
an indication, never a verdict, because test numbers are borrowed from ordinary people's ranges.
"""

import re
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable

import phonenumbers

from ringfence.telephony.model import Flag
from ringfence.telephony.numbers import E164_DIGITS

MAX_NUMBERS = 10_000_000
"""Of a list; further ones are left out and counted. Ten million take 80 MB."""
RANGE_NUMBERS = 2
"""Listed numbers that make their thousand a listed range."""
MAX_REMEMBERED_RANGES = 32_768
"""Ranges whose allocation is remembered; beyond, the memory starts anew."""
SHORTEST = 7
MAX_LINE_CHARS = 512

_number = re.compile(r"[+]?[0-9][0-9 ()./-]*").fullmatch


class HotNumbers:
    """The list, compiled: 8 bytes a number, one bisection a look-up."""

    __slots__ = ("_numbers", "_ranges", "refused")

    def __init__(self, numbers: Iterable[str] = ()) -> None:
        """`numbers` are E.164 digits without `+`."""
        listed = sorted({int(digits) for digits in numbers})
        ranges = Counter(number // 1000 for number in listed)
        self._numbers = array("q", listed)
        self._ranges = array("q", sorted(head for head, count in ranges.items() if count >= RANGE_NUMBERS))
        self.refused: Counter[str] = Counter()
        """Lines that were left out, by reason."""

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def ranges(self) -> int:
        """Thousands that hold two or more of the list."""
        return len(self._ranges)

    def flags(self, digits: str) -> int:
        """LISTED_NUMBER and LISTED_RANGE of E.164 digits; 0 for anything else."""
        if not self._numbers or not (SHORTEST <= len(digits) <= E164_DIGITS and digits.isascii() and digits.isdigit()):
            return 0
        number = int(digits)
        found = int(Flag.LISTED_NUMBER) if _holds(self._numbers, number) else 0
        return found | int(Flag.LISTED_RANGE) if _holds(self._ranges, number // 1000) else found


def _holds(values: "array[int]", value: int) -> bool:
    place = bisect_left(values, value)
    return place < len(values) and values[place] == value


def read_hot_numbers(lines: Iterable[str]) -> HotNumbers:
    """A list from text: one number a line with or without `+`, or CSV whose first field is the number. `#` and a head line are passed over.

    A line that holds no number is counted in `refused` and left out.
    """
    refused: Counter[str] = Counter()

    def numbers() -> Iterable[str]:
        taken = 0
        for place, line in enumerate(lines):
            text = re.split("[,;\t]", line[:MAX_LINE_CHARS], maxsplit=1)[0].strip().strip("\"'")
            if not text or text.startswith("#"):
                continue
            digits = re.sub("[^0-9]", "", text) if _number(text) else ""
            if not SHORTEST <= len(digits) <= E164_DIGITS or digits.startswith("0"):
                # The head line of a CSV file is no number and no mistake.
                refused["bad_number"] += bool(place or digits)
                continue
            taken += 1
            if taken > MAX_NUMBERS:
                refused["too_many"] += 1
                continue
            yield digits

    found = HotNumbers(numbers())
    found.refused = +refused
    return found


class Allocations:
    """Whether a number's range is given to anybody, by the numbering plans of `phonenumbers`; remembered by range."""

    __slots__ = ("_remembered",)

    def __init__(self) -> None:
        self._remembered: dict[str, bool] = {}

    def flags(self, digits: str) -> int:
        """UNALLOCATED, or 0, of E.164 digits. The first number that is seen of a thousand speaks for it: a look-up costs 50 us once."""
        found = self._remembered.get(digits[:-3])
        if found is None:
            if len(self._remembered) >= MAX_REMEMBERED_RANGES:
                self._remembered = {}
            found = self._remembered[digits[:-3]] = _is_allocated(digits)
        return 0 if found else int(Flag.UNALLOCATED)


def _is_allocated(digits: str) -> bool:
    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(f"+{digits}", None)))
    except phonenumbers.NumberParseException:
        return False
