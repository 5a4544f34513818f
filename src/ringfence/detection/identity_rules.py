"""What can be set about account takeover, and the same as the words its kernel reads."""

from typing import Final

import numpy as np

from ringfence.detection.findings import Parameter, RuleSpec
from ringfence.detection.identity_layout import (
    L_BINDINGS_ACT,
    L_BINDINGS_WARN,
    L_EUROPE,
    L_FAMILY,
    L_FIRST_CALL,
    L_FORGET,
    L_JOURNEY,
    L_LEARNING,
    L_ODD,
    L_OTHER,
    L_QUIET,
    L_SAME,
    L_SCANNER,
    L_SEQUENCE_ACT,
    L_SEQUENCE_MS,
    L_SPEED,
    L_STABLE,
    L_STRANGE,
    L_STRANGE_MS,
    LIMITS,
    MAX_BINDINGS,
    MINUTE,
)
from ringfence.detection.rules import SEGMENTS, RuleSet
from ringfence.detection.tables import Words


def _each(residential: int, business: int, trunk: int) -> dict[str, int]:
    return {"residential": residential, "business": business, "trunk": trunk}


def _score(name: str, default: int | dict[str, int], about: str) -> Parameter:
    return Parameter(name=name, default=default, unit="score", low=0, high=99, about=about)


def _days(name: str, default: int, about: str, low: int = 1) -> Parameter:
    return Parameter(name=name, default=default, unit="days", low=low, high=365, about=about)


RULES: Final[tuple[RuleSpec, ...]] = (
    RuleSpec(
        rule="D30",
        name="Used from a network never seen before",
        mode="propose",
        parameters=(
            _score("same_country", 15, "Score where the account was seen in that country before, or it is the operator's own"),
            _score("europe", 25, "Score elsewhere in the European Union, Iceland, Liechtenstein, Norway and Switzerland"),
            _score("other", 40, "Score anywhere else"),
            _days(
                "learning",
                7,
                "Days from the first sight of an account without a home network in which its networks are learned silently",
                low=0,
            ),
            _days("quiet", 7, "Days without a suspicion after which something new is believed, seen on three of them"),
            _days("forget", 90, "Days after which what was not seen again is forgotten"),
        ),
    ),
    RuleSpec(
        rule="D31",
        name="Used by a kind of device never seen before",
        mode="propose",
        parameters=(
            _score("new_family", _each(15, 10, 10), "Score of a new User-Agent family after stable days without one"),
            _score("scanner", 60, "Score of a known attack tool that has the right password"),
            _days("stable", 30, "Days since the account's families changed"),
        ),
    ),
    RuleSpec(
        rule="D32",
        name="In two places that nobody travels between in time",
        mode="propose",
        parameters=(
            _score("journey", _each(35, 25, 25), "Score of an impossible journey, or of three countries in 24 hours"),
            Parameter(name="speed", default=900, unit="kilometres", low=100, high=10_000, about="Kilometres an hour that can be travelled"),
        ),
    ),
    RuleSpec(
        rule="D33",
        name="More devices registered than the contract has",
        mode="propose",
        parameters=(
            Parameter(
                name="warn",
                default=_each(3, 2, 2),
                unit="numbers",
                low=1,
                high=MAX_BINDINGS,
                about="Devices registered at once; for business and trunk beyond the account's channels",
            ),
            Parameter(name="act", default=_each(5, 4, 4), unit="numbers", low=1, high=MAX_BINDINGS, about="The same, critical"),
        ),
    ),
    RuleSpec(
        rule="D34",
        name="Call from where the account is not registered",
        mode="propose",
        parameters=(
            _score(
                "unregistered",
                _each(20, 10, 10),
                "Score of a call from a foreign network without a registration, of an account that registers",
            ),
            Parameter(
                name="after",
                default=120 * MINUTE,
                unit="minutes",
                low=0,
                high=1_440 * MINUTE,
                about="Minutes for which an ended registration still counts",
            ),
        ),
    ),
    RuleSpec(
        rule="D36",
        name="Expensive call from what was never seen before",
        mode="propose",
        parameters=(
            Parameter(
                name="window",
                default=30 * MINUTE,
                unit="minutes",
                low=MINUTE,
                high=1_440 * MINUTE,
                about="Minutes between the first sight and the C3+ call",
            ),
            _score("act", 30, "Sum of the scores of D30, D31 and D32 at which the call acts at once"),
            _score("first_call", 15, "Added when the account made no C3+ call in the last one to two months"),
        ),
    ),
    RuleSpec(
        rule="D37",
        name="Odd credentials",
        mode="propose",
        parameters=(_score("odd", 10, "Score of a reused nonce, or of a From header that names another user, where that is no habit"),),
    ),
)

_WORDS: Final[tuple[tuple[int, str, str], ...]] = (
    (L_SAME, "D30", "same_country"),
    (L_EUROPE, "D30", "europe"),
    (L_OTHER, "D30", "other"),
    (L_FAMILY, "D31", "new_family"),
    (L_SCANNER, "D31", "scanner"),
    (L_JOURNEY, "D32", "journey"),
    (L_BINDINGS_WARN, "D33", "warn"),
    (L_BINDINGS_ACT, "D33", "act"),
    (L_STRANGE, "D34", "unregistered"),
    (L_SEQUENCE_ACT, "D36", "act"),
    (L_ODD, "D37", "odd"),
)
"""Where 0 means that the rule is off."""
_ALWAYS: Final[tuple[tuple[int, str, str], ...]] = (
    (L_LEARNING, "D30", "learning"),
    (L_QUIET, "D30", "quiet"),
    (L_FORGET, "D30", "forget"),
    (L_STABLE, "D31", "stable"),
    (L_SPEED, "D32", "speed"),
    (L_STRANGE_MS, "D34", "after"),
    (L_SEQUENCE_MS, "D36", "window"),
    (L_FIRST_CALL, "D36", "first_call"),
)
"""What holds whether or not its rule is on: learning goes on."""


def limit_words(rules: RuleSet) -> Words:
    """One row of limits a segment."""
    words = np.zeros(len(SEGMENTS) * LIMITS, np.int64)
    for row, segment in enumerate(SEGMENTS):
        for place, rule, name in _WORDS:
            words[row * LIMITS + place] = rules.value(rule, name, segment) if rules.has(rule) else 0
        for place, rule, name in _ALWAYS:
            words[row * LIMITS + place] = rules.value(rule, name, segment)
    return words
