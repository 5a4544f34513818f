"""What is usual for accounts, as words for the kernel: one block of the arena for each slot of the log.

A block holds an open-addressing list of places and behind it the records of the slot's accounts, which the kernel looks up when it judges a
C2+ row. The nightly record replaces a block whole. Nothing here computes a baseline: that is done over the archive.
"""

from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from ringfence.base.errors import OperatorError
from ringfence.detection.layout import (
    B_COUNTS,
    B_DAY,
    B_FROM,
    B_HIGHEST,
    B_KEY,
    B_SPENT,
    B_UNTIL,
    BASELINE_RECORD,
    BASELINE_UNIT,
    BIN_BITS,
    BLOCK_HEADER,
    BLOCK_HISTORY,
    BLOCK_PLACES,
    BLOCK_VERSION,
    BLOCKS,
    DAY,
    MAX_BASELINE_COUNT,
    MAX_CLASS,
    MINUTE,
    UNIT,
)
from ringfence.detection.offhours import month_end
from ringfence.detection.tables import Words
from ringfence.telephony.control import AccountBaseline, BaselinesChanged

MAX_MONTH_MICRO: Final = 10**12
"""A million euro a month; dearer months count as this."""
MAX_HISTORY_DAYS: Final = 20_000
HOURS: Final = 168


def size_class(words: int) -> int:
    """Class of the slot that so many words need. OperatorError beyond the largest (two MiB, some ten thousand accounts)."""
    wanted = max((-(-words // UNIT) - 1).bit_length(), 0)
    if wanted > MAX_CLASS:
        raise OperatorError("One slot has more baselines than a detector holds; keep fewer accounts or hours.", reason="baselines_large")
    return wanted


DIRECTORY_CLASS: Final = size_class(UNIT + BLOCKS)


def block_words(record: BaselinesChanged, zone: ZoneInfo) -> Words:
    """A slot's block; its first word is the arena's own. Values beyond what a word holds are cut to the highest."""
    places = len(record.accounts) * 3 // 2 + 1
    history = _within((record.until_ms - record.since_ms) // DAY, MAX_HISTORY_DAYS)
    ends = month_end(record.month_ms, zone)
    index = [0] * places
    words: list[int] = []
    for account in record.accounts:
        place = (((account.account_key >> 32) & 0xFFFFFFFF) * places) >> 32
        while index[place]:
            place = (place + 1) % places
        index[place] = BLOCK_HEADER + places + len(words)
        words += _record(account, record.until_ms, ends, history)
    header = [0] * BLOCK_HEADER
    header[BLOCK_VERSION] = record.version
    header[BLOCK_PLACES] = places
    header[BLOCK_HISTORY] = history
    return np.array([*header, *index, *words], np.int64)


def _record(account: AccountBaseline, until_ms: int, month_ends_ms: int, history: int) -> list[int]:
    countries = account.countries[-MAX_BASELINE_COUNT:]
    bins = [each for each in account.bins if 0 <= each[0] < HOURS][:HOURS]
    words = [0] * BASELINE_RECORD
    words[B_KEY] = account.account_key
    words[B_COUNTS] = len(countries) | len(bins) << 16 | history << 32
    words[B_FROM] = until_ms
    words[B_SPENT] = _within(account.month_micro, MAX_MONTH_MICRO) * MINUTE
    words[B_UNTIL] = month_ends_ms
    words[B_HIGHEST] = _within(account.highest_month_micro, MAX_MONTH_MICRO)
    words[B_DAY] = _kept(account.day_median_micro, 31) | _kept(account.day_mad_micro, 31) << 32
    for first in range(0, len(countries), 4):
        word = 0
        for country in reversed(countries[first : first + 4]):
            word = word << 16 | country & 0xFFFF
        words.append(word - (1 << 64) if word >> 63 else word)
    words += [hour | _kept(median, BIN_BITS) << 8 | _kept(deviation, BIN_BITS - 1) << 8 + BIN_BITS for hour, median, deviation in bins]
    return words


def _within(value: int, highest: int) -> int:
    return min(max(value, 0), highest)


def _kept(micro: int, bits: int) -> int:
    return _within(micro // BASELINE_UNIT, (1 << bits) - 1)
