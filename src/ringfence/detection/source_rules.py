"""The rules of the source view as people know them: what can be set, and the addresses they are about.

Numbers are those of the reference (`docs/detectors`); each page there says how a rule is fooled.
"""

from functools import lru_cache
from ipaddress import ip_network
from typing import Final

from ringfence.detection.findings import Parameter, RuleSpec, Unit

EACH: Final = 256
"""Sightings of one key that are remembered: a limit beyond could never be reached."""


def _number(name: str, default: int, unit: Unit, about: str, *, low: int = 2, high: int = EACH) -> Parameter:
    return Parameter(name=name, default=default, unit=unit, low=low, high=high, about=about)


RULES: Final = (
    RuleSpec(
        rule="D23",
        name="One number tried with many dial prefixes",
        mode="propose",
        subject_kind="source",
        parameters=(
            _number("warn", 5, "numbers", "Prefixes before the same nine digits within 10 seconds that warn", high=64),
            _number("act", 10, "numbers", "Prefixes before the same nine digits within 10 seconds that act", high=64),
        ),
    ),
    RuleSpec(
        rule="D35",
        name="One foreign address uses many accounts",
        mode="propose",
        subject_kind="source",
        parameters=(
            _number("warn", 3, "accounts", "Accounts new at an address within 60 minutes that warn"),
            _number("act", 5, "accounts", "Accounts new at an address within 60 minutes that act"),
        ),
    ),
    RuleSpec(
        rule="D38",
        name="Wrong passwords, then the right one",
        mode="propose",
        parameters=(
            _number("failures", 5, "attempts", "Wrong passwords within 24 hours before a right one"),
            _number("score", 50, "score", "Score that it adds to the account", low=0, high=100),
        ),
    ),
    RuleSpec(
        rule="E01",
        name="Refused credentials from one address",
        mode="propose",
        subject_kind="source",
        parameters=(
            _number("minute", 10, "attempts", "Refused within 60 seconds"),
            _number("hour", 30, "attempts", "Refused within 60 minutes"),
        ),
    ),
    RuleSpec(
        rule="E03",
        name="Unknown users tried from one address",
        mode="propose",
        subject_kind="source",
        parameters=(
            _number("minute", 5, "accounts", "Different unknown users within 60 seconds"),
            _number("day", 30, "accounts", "Different unknown users within 24 hours"),
            _number("network_day", 60, "accounts", "Different unknown users within 24 hours from its /24 or /48"),
        ),
    ),
    RuleSpec(
        rule="E04",
        name="Few passwords tried on many accounts",
        mode="propose",
        subject_kind="source",
        parameters=(
            _number("accounts", 20, "accounts", "Accounts within 60 minutes from one /24 or /48"),
            _number("tries", 2, "attempts", "Tries on each of them at the most", low=1, high=10),
        ),
    ),
)


@lru_cache(maxsize=4_096)
def block_of(address: str) -> str:
    """What a source block names: an IPv4 address, the /64 of an IPv6 address; the text itself when it is neither."""
    if ":" not in address:
        return address
    try:
        return str(ip_network(f"{address}/64", strict=False))
    except ValueError:
        return address


@lru_cache(maxsize=4_096)
def neighbourhood(address: str) -> str:
    """The /24 of an IPv4 address or the /48 of an IPv6 one."""
    if ":" not in address:  # Ingest wrote it; reading it again costs as much as all rules together.
        return f"{address.rpartition('.')[0]}.0/24" if address.count(".") == 3 else address
    try:
        return str(ip_network(f"{address}/48", strict=False))
    except ValueError:
        return address
