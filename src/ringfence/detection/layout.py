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

LIGHT_LATE: Final = MINUTE
"""A row later than this opens no call in the all-calls bag (D08, D21)."""
HEAVY_LATE: Final = HOUR
"""A row later than this opens no call in the C2+ bag."""

WINDOW_5M: Final = 5 * MINUTE
WINDOW_30M: Final = 30 * MINUTE
WINDOW_60M: Final = 60 * MINUTE
WINDOW_24H: Final = 24 * HOUR

NEW_ACCOUNT_DAYS: Final = 30
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


DETECTORS: Final = len(Detector)
COST_DETECTORS: Final = (Detector.D01, Detector.D02, Detector.D03)
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
}
"""Window of each detector; for concurrency, how long an episode stays open after its last crossing."""

# Thresholds: [profile][variant][detector][warn, act]. Variant: bit 1 night, weekend or holiday; bit 0 new account.
THRESHOLD_ROW: Final = 16
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
SLOT_WAKE: Final = 2  # C2+ only: the wake-up that is in the heap, 0 = none

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
# Scratch: the values of one judgement. Zeroed before a state is compared.
R_FREE: Final = 32  # heads of the free lists, one a class
V: Final = 64  # values by detector
V_POTENTIAL: Final = 80  # upper bounds by detector, cost detectors and minutes
V_GROWTH: Final = 96  # micro-euro per minute that running calls add
V_MINUTES: Final = 97  # answered C3+ calls that run on
V_UNTIL: Final = 98  # when the last running call is over
V_ANSWER: Final = 99  # the next answer that lies ahead (whole calls)
V_RATE: Final = 100  # price per minute of all running calls
V_COST: Final = 101  # cost of the window without look-ahead
V_RANGE: Final = 102
V_RUNNING: Final = 103
SCRATCH: Final = 64
REGISTERS: Final = 256
EVIDENCE: Final = 128  # pairs (start, reference), up to MAX_EVIDENCE


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
