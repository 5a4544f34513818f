"""Where account takeover keeps what it knows of an account, and the numbers that bound it.

Three regions of 64-bit words, as in `layout`: `hot` has two words for every account (its key, and a word that says all there is to say of
an account that one kind of device uses from the operator's own network); `arena` holds a slot for each of the others; `registers` hold
scalars. The one thing to know: what the packed word can hold is also all that a slot keeps of it (days, steps of four minutes), so
that packing loses nothing and no verdict depends on when memory was tidied.
"""

from enum import IntEnum
from typing import Final

MINUTE: Final = 60_000
HOUR: Final = 3_600_000
DAY: Final = 86_400_000

EPOCH: Final = 1_577_836_800_000
"""2020-01-01. Days and home times are counted from here; a row before it counts as of the first day after it."""
HOME_STEP: Final = 4 * MINUTE
"""How exactly the last sight at home is remembered: 23 bits of these last until 2083."""
PERIOD_DAYS: Final = 32
"""An account that made a C3+ call in this or the last period has the habit of it."""
PERIODS: Final = 15

MAX_NETWORKS: Final = 8
MAX_FAMILIES: Final = 6
MAX_BINDINGS: Final = 16
"""What is remembered of an account. Beyond, the provisional entry that was silent longest goes, then the known one."""
NOMADIC_NETWORKS: Final = 4
"""An account with so many known networks in a country moves about there: one more is no news."""
CONFIRM_DAYS: Final = 3
"""On so many different days must something be seen before it can become known."""
NEAR_KM: Final = 250
"""Between the edges of two countries: closer than this, nobody need travel (a mobile phone at the border)."""
COUNTRIES_A_DAY: Final = 3
SEQUENCE_REST: Final = 30 * MINUTE
"""An account's D36 is told again at the same level only after this."""
ODD_MINUTES: Final = 7 * 24 * 60
"""A From header of another user within so many minutes of the last is a habit (an exchange that shows its customers' numbers)."""
TRUST_WITHDRAWN: Final = 24 * HOUR
"""What became known so shortly before a suspicion is not trusted any more."""
BINDING_SECONDS: Final = 3_600
MAX_BINDING_SECONDS: Final = 86_400

# Hot record: key, then the word below.
HOT: Final = 2
W_SLOT: Final = 1  # bit 0: the account has a slot; bits 8 to 39 are its first unit
W_REGISTERS: Final = 2  # bit 1: it was seen registering
W_DEAR: Final = 2  # bits 2 to 5: period of the last C3+ call, modulo PERIODS, plus one
W_SEGMENT: Final = 6  # bits 6 and 7
W_FAMILY: Final = 8  # bits 8 to 27: tag of the only family
W_DAY: Final = 28  # bits 28 to 40: day of first sight or of the family's change
W_HOME: Final = 41  # bits 41 to 63: last sight in an own network, in HOME_STEPs
FAMILY_MASK: Final = 0xFFFFF
DAY_MASK: Final = 0x1FFF
HOME_MASK: Final = 0x7FFFFF
SLOT_MASK: Final = 0xFFFFFFFF

# Slot: header of eight words, then entries of four.
UNIT: Final = 8
HEADER: Final = 8
ENTRY: Final = 4
MAX_CLASS: Final = 4
H_COUNT: Final = 0  # low half: entries, high half: class of the slot
H_DAYS: Final = 1  # low half: day of first sight, high half: day on which the set of known families changed
H_SUSPECT: Final = 2  # the last suspicion
H_HOME: Final = 3  # HOME_STEPs, 0 never
H_TRAVEL: Final = 4  # the last impossible journey
H_ODD: Final = 5  # minute of the last foreign From (low half), of the last old nonce (high half)
H_TOLD: Final = 6  # time of the last D36 << 8 | level of D33 << 4 | level of D36
H_FACTS: Final = 7  # registers (bit 0), C3+ period (1 to 4), channels (5 to 16), exempt until in HOME_STEPs (17 to 39)
F_DEAR: Final = 1
F_CHANNELS: Final = 5
F_EXEMPT: Final = 17
MAX_CHANNELS: Final = 4_095

E_KEY: Final = 0  # network_key, family tag or contact key
E_FACTS: Final = 1
E_SINCE: Final = 2  # first sight of a provisional one, else when it became known
E_LAST: Final = 3  # last sight; of a binding: when it runs out
NETWORK: Final = 1
FAMILY: Final = 2
BINDING: Final = 3
# E_FACTS: kind (bits 0 and 1), known (bit 2), then
E_KNOWN: Final = 4
E_COUNTRY: Final = 4  # 16 bits
E_DAYS: Final = 20  # 8 bits: different days on which it was seen
E_SCORE: Final = 28  # 7 bits: the score it was told with
E_TOLD: Final = 35  # bit: D34 was told on its last day
E_REGISTERED: Final = 36  # bit: a registration from there was seen
E_ENDED: Final = 37  # 23 bits: when that ended, in HOME_STEPs; 0: it goes on
# of a binding: group (network and family, 24 bits from 4) and source (24 bits from 28)
GROUP_MASK: Final = 0xFFFFFF

# Registers.
R_NOW: Final = 0
R_CAPACITY: Final = 1
R_ACCOUNTS: Final = 2
R_MAX_ACCOUNTS: Final = 3
R_ARENA_UNITS: Final = 4
R_ARENA_TOP: Final = 5
R_NEXT_SWEEP: Final = 6
R_HOME_COUNTRY: Final = 8
R_STATUS: Final = 9
R_OUT: Final = 10
R_MAX_CLASS: Final = 11
R_ROWS: Final = 12
R_LOOKED: Final = 13
R_SLOTS: Final = 14
R_LIVE_UNITS: Final = 15
R_EVICTED: Final = 16
R_FREE: Final = 20  # heads of the free lists, one a class
REGISTERS: Final = 32
SWEEPS_A_DAY: Final = 24

# What the rules allow, one row a segment (`identity_rules.limit_words`). A score of 0: the rule is off.
LIMITS: Final = 32
L_SAME: Final = 0
L_EUROPE: Final = 1
L_OTHER: Final = 2
L_LEARNING: Final = 3
L_QUIET: Final = 4
L_FORGET: Final = 5
L_FAMILY: Final = 6
L_SCANNER: Final = 7
L_STABLE: Final = 8
L_JOURNEY: Final = 9
L_SPEED: Final = 10
L_BINDINGS_WARN: Final = 11
L_BINDINGS_ACT: Final = 12
L_STRANGE: Final = 13
L_STRANGE_MS: Final = 14
L_SEQUENCE_MS: Final = 15
L_SEQUENCE_ACT: Final = 16
L_FIRST_CALL: Final = 17
L_ODD: Final = 18


class Said(IntEnum):
    """Which rule an event is of."""

    D30 = 0
    D31 = 1
    D32 = 2
    D33 = 3
    D34 = 4
    D36 = 5
    D37 = 6


# Events as the kernel writes them, words.
X_RULE: Final = 0
X_LEVEL: Final = 1
X_KEY: Final = 2
X_AT: Final = 3
X_ROW: Final = 4
X_SCORE: Final = 5
X_A: Final = 6
X_B: Final = 7
X_C: Final = 8
X_SEGMENT: Final = 9
EVENT: Final = 10
MAX_EVENTS_A_ROW: Final = 8
OUTPUT_EVENTS: Final = 1_024


class Status(IntEnum):
    """Why `run` came back before the last row."""

    DONE = 0
    OUTPUT_FULL = 1
    TABLE_FULL = 2
    ARENA_FULL = 3
