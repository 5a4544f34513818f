"""What the detectors outside the kernel say, and the parameters of their rules.

A `Finding` is to them what a crossing is to the kernel: a level that rose, or a signal that counts only together with others. The one
thing to know: a finding carries its own text and evidence, so that `alerts` needs no knowledge of what was counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ringfence.telephony.suspicion import Measure, Mode

SubjectKind = Literal["account", "prefix", "source", "network", "edge"]
Unit = Literal[
    "euro",
    "minutes",
    "calls",
    "numbers",
    "countries",
    "accounts",
    "networks",
    "attempts",
    "score",
    "percent",
    "seconds",
    "days",
    "kilometres",
]

SIGNAL: Final = 0
"""Level of a finding that only adds its score to the account's; it opens no alert of its own."""
WARN: Final = 1
ACT: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule's level for one subject rose at an event. Values are in `unit` (euro: micro-euro; minutes: milliseconds)."""

    rule: str
    level: int
    """SIGNAL, WARN, ACT, and one more at each doubling of the act limit (15 at the most)."""
    subject_kind: SubjectKind
    subject: str
    """Account name, number range in digits, address or network, edge name."""
    at_ms: int
    observed: int
    warn: int
    act: int
    unit: Unit
    score: int = 0
    """0 to 100: the chance of fraud that this alone speaks for."""
    hard: bool = True
    """Whether act is enough by itself. Otherwise only a combined score acts."""
    account: str = ""
    """The account it counts for, when there is one."""
    account_key: int = 0
    keyed: bool = True
    """False: learned from an agent without a key, so it never leads to a block."""
    cost_micro: int = 0
    rate_micro: int = 0
    """Per minute, of what runs now."""
    window_ms: int
    """How long the episode stays open after its last crossing."""
    opening_call_id: str
    """With `opening_ms` the identity of the opening event (details.md 8); a registration's is its Call-ID or empty."""
    opening_ms: int
    calls: tuple[str, ...] = ()
    """Call-IDs of the evidence, newest last, 50 at the most."""
    refs: tuple[int, ...] = ()
    """Row references of further evidence whose text the finder does not hold."""
    reason: str
    """One sentence that a tired person understands, with the observed value and the limit."""
    measures: tuple[Measure, ...] = ()
    """Smallest useful measure first; empty: alert only."""
    ends: tuple[Measure, ...] = ()
    """Running calls (scope call, C4 and above, in `calls`) to end together with the block."""
    observed_more: Mapping[str, Any] = field(default_factory=dict)
    """Further observed values for the evidence: ranges, networks, families, countries, accounts."""
    mode: Mode | None = None
    """Of a rule that is not in the rule set (composed ones); None: what the rule set says."""
    rule_version: int = 0
    """Of a rule that has versions of its own (composed ones); 0: the rule set's."""
    probation: bool = False
    """The rule is being tried: its alerts have severity info and never become a suspicion or part of a score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A number that a rule can be given, per segment or once.

    `default`, `low`, `high` and what `RuleSet.value` returns are micro-euro for unit euro, milliseconds for unit minutes, else plain
    numbers. In the rule file people write euro (two decimals at the most), minutes, and plain numbers.
    """

    name: str
    """Snake case. Where a rule has `warn` and `act` (or `warn_x` and `act_x`), warn above act is refused."""
    default: Mapping[str, int] | int
    """By segment (residential, business, trunk: all three), or one value."""
    unit: Unit
    low: int
    high: int
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSpec:
    """A rule of the built-in set that is not the kernel's: what it is called and what can be set.

    With the id of a kernel's detector: what can be set there beside warn and act.
    """

    rule: str
    name: str
    mode: Literal["observe", "propose", "act"]
    parameters: tuple[Parameter, ...]
    subject_kind: SubjectKind = "account"
