"""Where everything lies in the kernel's memory, and the constants of its windows.

All memory is arrays of 64-bit words, so that no load mixes signed and unsigned. Three regions grow and one holds scalars:

* `hot`, four words per account in an open-addressing table: key, slot references, the last call inline, attributes;
* `arena`, in units of eight words (64 bytes, a cache line): bags of calls in power-of-two slots with free lists;
* `heap`, two words per wake-up: when, and which account;
* `registers`, the scalars: event time, free lists, counters.

The one thing to know: a freed or unused word is zero, so two replicas at the same position are equal byte for byte.
"""

from enum import IntEnum
from typing import Final

SECOND: Final = 1_000
MINUTE: Final = 60_000
HOUR: Final = 3_600_000
DAY: Final = 86_400_000

LOOK_AHEAD: Final = 3 * MINUTE
"""A running call is costed this much further than it has run."""
MAX_RINGING: Final = 5 * MINUTE
"""An unanswered attempt without an end is over after this (RFC 3261 16.7: timer C is a little more than three minutes)."""
MAX_CALL: Final = 12 * HOUR
"""An answered call without an end is over after this; ingest ends silent dialogs after four hours."""
MAX_AGE: Final = 20 * DAY
"""Times further from the row's own event time than this are cut back to it; keeps 32-bit milliseconds unambiguous."""

FORGOTTEN: Final = 14 * DAY
"""The sweep clears a call in the record itself when it began this long ago, long before 32-bit milliseconds come round (24 days)."""

LIGHT_LATE: Final = MINUTE
"""A row later than this opens no call in the all-calls bag (D08, D21)."""
HEAVY_LATE: Final = HOUR
"""A row later than this opens no call in the C2+ bag."""

WINDOW_5M: Final = 5 * MINUTE
WINDOW_10M: Final = 10 * MINUTE
WINDOW_15M: Final = 15 * MINUTE
WINDOW_30M: Final = 30 * MINUTE
WINDOW_60M: Final = 60 * MINUTE
WINDOW_24H: Final = 24 * HOUR

NEW_ACCOUNT_DAYS: Final = 30

TRIAL: Final = 30 * SECOND
"""D16: a call that talked no longer than this tried out whether it works."""
MAX_TRIALS: Final = 100
"""D16 counts no further: comparing numbers costs their square."""
SHORT: Final = 3 * SECOND
SHORT_PERCENT: Final = 80
"""D22: a call that talked no longer, or not at all, is short; this share of the hour's calls has to be."""
USUAL_DAYS: Final = 28
"""D04 and D20 compare with a history of at least so many days, D19 with `FIRST_DAYS`."""
FIRST_DAYS: Final = 60
MONTH_OVERDUE: Final = 31 * DAY
"""D04 counts on after the billing month it was told, but not longer than this."""

BAG_CALLS: Final = 25
"""With more C2+ calls than this, those that only the 24 hours still need are kept as closed cost."""
LARGE_LATE: Final = 5 * MINUTE
"""With more, a row later than this is judged at the event clock only."""
SETTLED: Final = LARGE_LATE + WINDOW_60M
"""A call that ended so long ago counts in no window of an hour any more, at the earliest instant at which a large bag is judged."""
PIECE: Final = 15 * MINUTE
"""Longest piece of closed cost: the edge of a window cuts pieces that end within this distance only."""
MAX_EVIDENCE: Final = 50
NO_REF: Final = -1
"""Row reference of a call whose first row is not known any more."""
NEVER: Final = 1 << 62
"""A threshold no value reaches, and a time no clock reaches."""


class Detector(IntEnum):
    """Place of each detector in latches, thresholds and values. Stored in snapshots: append only."""

    D01 = 0
    D02 = 1
    D03 = 2
    D06 = 3
    D07 = 4
    D08 = 5
    D09 = 6
    D10 = 7
    D11 = 8
    D12 = 9
    D14 = 10
    D18 = 11
    D21 = 12
    D13 = 13
    D16 = 14
    D17 = 15
    D22 = 16
    D25 = 17
    D05 = 18
    D04 = 19
    D20 = 20
    D19 = 21


DETECTORS: Final = len(Detector)
COST_DETECTORS: Final = (Detector.D01, Detector.D02, Detector.D03)
EURO_DETECTORS: Final = (*COST_DETECTORS, Detector.D04, Detector.D20)
FACTOR_DETECTORS: Final = (Detector.D04, Detector.D20)
"""Their limits are factors (percent) of what is usual for the account."""
MINUTE_DETECTORS: Final = (Detector.D17, Detector.D18)
SIGNAL_DETECTORS: Final = (Detector.D19,)
"""They have a score instead of limits: only together with others they become an alert."""
LIGHT_DETECTORS: Final = (Detector.D08, Detector.D21)
WINDOW_OF: Final = {
    Detector.D01: WINDOW_5M,
    Detector.D02: WINDOW_60M,
    Detector.D03: WINDOW_24H,
    Detector.D06: WINDOW_5M,
    Detector.D07: WINDOW_5M,
    Detector.D08: WINDOW_5M,
    Detector.D09: WINDOW_5M,
    Detector.D10: WINDOW_60M,
    Detector.D11: WINDOW_60M,
    Detector.D12: WINDOW_60M,
    Detector.D14: WINDOW_30M,
    Detector.D18: WINDOW_60M,
    Detector.D21: MINUTE,
    Detector.D13: WINDOW_15M,
    Detector.D16: WINDOW_10M,
    Detector.D17: WINDOW_60M,
    Detector.D22: WINDOW_60M,
    Detector.D25: WINDOW_5M,
    Detector.D05: WINDOW_60M,
    Detector.D04: WINDOW_24H,
    Detector.D20: WINDOW_15M,
    Detector.D19: WINDOW_24H,
}
"""Window of each detector; for concurrency, lengths and months, how long an episode stays open after its last crossing."""

# Thresholds: [profile][variant][detector][warn, act]. Variant: bit 1 night, weekend or holiday; bit 0 new account.
THRESHOLD_ROW: Final = 32
LIMIT_MONTH_FLOOR: Final = 60  # words of a row beside the pairs: least cost for D04 and D20
LIMIT_USUAL_FLOOR: Final = 61
VARIANTS: Final = 4
PROFILE_WORDS: Final = VARIANTS * THRESHOLD_ROW * 2
MAX_PROFILES: Final = 65_536

# Hot record, words.
HOT_WORDS: Final = 4
HOT_KEY: Final = 0
HOT_SLOTS: Final = 1  # low half: C2+ slot (unit of the arena), high half: all-calls slot
HOT_TIMES: Final = 2  # low half: start, high half: end of the inline call, in milliseconds modulo 2^32
HOT_TAG: Final = 3  # 31 bits of call_key and the known-end bit; profile (16 bits); day of `since` (16 bits)

# Units of the arena.
UNIT: Final = 8
MAX_CLASS: Final = 15  # slots have 2^class units; class 15 is 2 MiB
# All-calls slot: header of four words, then entries of four words: start, end, tag with known bit, row reference.
LIGHT_ENTRY: Final = 4
LIGHT_HEADER: Final = 4
# C2+ slot: header of eight words, then entries of eight words.
HEAVY_ENTRY: Final = 8
HEAVY_HEADER: Final = 8
SLOT_COUNT: Final = 0  # low half: entries, high half: class of the slot
SLOT_LATCHES: Final = 1  # four bits a detector
SLOT_WAKE: Final = 2  # C2+ only, as all that follow: the wake-up that is in the heap, 0 = none
SLOT_LATCHES_2: Final = 3  # the detectors from 16 on
SLOT_CLOSED: Final = 4  # slot of closed cost, 0 = none
SLOT_BASELINE: Final = 5  # word of the account's baseline as looked up last, 0 = none
SLOT_EPOCH: Final = 6  # which state of the baselines that was
SLOT_TENDED: Final = 7  # when a large bag was last cleared of what is over

# Closed cost: header of eight words, then pieces of three words, ascending by end.
CLOSED_HEADER: Final = 8
CLOSED_PIECE: Final = 3  # start, end, price (low half: per minute; high half: per call, in the first piece of a call only)
CLOSED_FIRST: Final = 1  # number of the first piece that is kept
CLOSED_CURSOR: Final = 2  # number of the first piece that the sum holds
CLOSED_SUM: Final = 3  # whole cost of the pieces from the cursor on

# Baselines: a directory of one slot of the arena per slot of the log; in it places (open addressing) that name records.
BLOCK_HEADER: Final = 8
BLOCK_VERSION: Final = 1
BLOCK_PLACES: Final = 2
BLOCK_HISTORY: Final = 3  # days of history in which accounts that are not named here had no C2+ call
BLOCKS: Final = 1_024
B_KEY: Final = 0
B_COUNTS: Final = 1  # low half: countries (16 bits) and bins (16 bits); high half: days of history
B_FROM: Final = 2  # counted from here on by the kernel
B_SPENT: Final = 3  # cost of the billing month: as told, and of calls since `B_FROM` that left the bag
B_UNTIL: Final = 4  # end of the billing month
B_NEXT: Final = 5  # as B_SPENT, of calls after `B_UNTIL`
B_HIGHEST: Final = 6  # micro-euro
B_DAY: Final = 7  # low half: median, high half: median deviation, in BASELINE_UNIT
BASELINE_RECORD: Final = 8  # then countries, four a word, then bins: hour of the week | median << 8 | median deviation << 36
BASELINE_UNIT: Final = 100
"""Micro-euro: what medians and deviations are kept in."""
BIN_BITS: Final = 28
MAX_BASELINE_COUNT: Final = 255
"""Countries of one account; the hours of a week are fewer."""

# C2+ entry, words.
E_START: Final = 0
E_ANSWER: Final = 1  # 0: not answered
E_END: Final = 2  # known or provisional
E_PRICE: Final = 3  # low half: micro-euro per minute, high half: micro-euro per answered call
E_CALL: Final = 4
E_RANGE: Final = 5
E_REF: Final = 6
E_FACTS: Final = 7  # tail (10 bits), country (16), class (3), then the three flags below
FACT_COUNTRY: Final = 10
FACT_CLASS: Final = 26
FACT_KNOWN: Final = 1 << 29
FACT_NUMBER: Final = 1 << 30  # the latest attempt to its number
FACT_LAND: Final = 1 << 31  # the latest attempt to its country
FACT_FORWARDED: Final = 1 << 32
FACT_FIRST: Final = 1 << 33  # the first call ever to its country, C4 and above
MAX_PRICE: Final = (1 << 31) - 1

# Registers.
R_NOW: Final = 0
R_NEXT_DUE: Final = 1
R_CAPACITY: Final = 2
R_ACCOUNTS: Final = 3
R_MAX_ACCOUNTS: Final = 4
R_ARENA_UNITS: Final = 5
R_ARENA_TOP: Final = 6
R_ARENA_CLASS: Final = 7
R_HEAP_SIZE: Final = 8
R_HEAP_CAPACITY: Final = 9
R_NEXT_SWEEP: Final = 10
R_STATUS: Final = 11
R_OUT: Final = 12
R_OUT_CAPACITY: Final = 13
R_VARIANT: Final = 14
R_VARIANT_FROM: Final = 15
R_VARIANT_UNTIL: Final = 16
R_CALENDAR: Final = 17
R_MAX_HEAVY: Final = 18
R_MAX_LIGHT: Final = 19
# Counters.
R_ROWS: Final = 20
R_LATE: Final = 21
R_EVICTED: Final = 22
R_WAKES: Final = 23
R_JUDGED: Final = 24
R_LIVE_UNITS: Final = 25
R_SPILLED: Final = 26
R_BASELINES: Final = 27  # directory of the baselines, 0 = none
R_EPOCH: Final = 28
# Scratch: the values of one judgement. Zeroed before a state is compared.
R_FREE: Final = 32  # heads of the free lists, one a class
V: Final = 64  # values by detector
V_POTENTIAL: Final = 96  # upper bounds by detector, of those that time alone can raise
SCRATCH: Final = 64
EVIDENCE: Final = 128  # pairs (start, reference), up to MAX_EVIDENCE
V_GROWTH: Final = 228  # micro-euro per minute that running calls add
V_MINUTES: Final = 229  # answered C3+ calls that run on
V_UNTIL: Final = 230  # when the last running call is over
V_ANSWER: Final = 231  # the next answer that lies ahead (whole calls)
V_RATE: Final = 232  # price per minute of all running calls
V_COST: Final = 233  # cost of the window without look-ahead
V_RANGE: Final = 234  # range and last digits of the latest C3+ attempt
V_TAIL: Final = 235
V_RUNNING: Final = 236
V_LONG: Final = 237  # whether a C4+ call runs that was answered
V_PIVOT: Final = 238  # entry of the latest answered C3+ call, 0 = none in the window
V_RECORD: Final = 239  # word of the account's baseline, 0 = none
V_REACHED: Final = 240  # the limit that the level being told has reached
V_SOON: Final = 241  # cost of 15 minutes, and the account's own limits for it, for the day and for the month
V_SOON_WARN: Final = 242
V_SOON_ACT: Final = 243
V_DAY_WARN: Final = 244
V_DAY_ACT: Final = 245
V_MONTH_WARN: Final = 246
V_MONTH_ACT: Final = 247
V_DAILY: Final = 248  # 1: what D20 says is of the day
V_HOUR: Final = 249  # hour of the local week, and from when until when it lasts
V_HOUR_FROM: Final = 250
V_HOUR_UNTIL: Final = 251
V_ZONES: Final = 252  # changes of local time that stand behind the calendar
V_SINCE: Final = 253  # when the counted part of the billing month began
REGISTERS: Final = 256


class Status(IntEnum):
    """Why `run` came back before the last row."""

    DONE = 0
    OUTPUT_FULL = 1
    TABLE_FULL = 2
    ARENA_FULL = 3
    HEAP_FULL = 4
    CALENDAR_ENDS = 5


# Crossings as written by the kernel, words.
C_DETECTOR: Final = 0
C_LEVEL: Final = 1
C_KEY: Final = 2
C_AT: Final = 3
C_OBSERVED: Final = 4
C_WARN: Final = 5
C_ACT: Final = 6
C_OPENING: Final = 7
C_COST: Final = 8
C_RATE: Final = 9
C_VARIANT: Final = 10
C_FIRST: Final = 11
C_LAST: Final = 12
C_COUNT: Final = 13
C_EVIDENCE: Final = 14
CROSSING_WORDS: Final = 64
MAX_CROSSINGS_A_ROW: Final = 3 * DETECTORS
