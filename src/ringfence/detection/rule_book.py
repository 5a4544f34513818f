"""Every rule outside the kernel with what can be set of it: the engines' own `RULES`, collected in one place.

A rule set is read against this book, so a misspelt parameter is refused like a misspelt threshold. The engines are imported when the book
is first opened and not before: they read rule sets themselves.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Final

from ringfence.detection.findings import RuleSpec

ENGINES: Final[tuple[str, ...]] = ("kernel_rules", "scoring", "identity_rules", "forwarding", "listed", "network", "ranges", "source_rules")
"""Modules of this room with a `RULES`."""


@cache
def rule_specs() -> Mapping[str, RuleSpec]:
    """Specs by rule id, in the order of the ids."""
    found: dict[str, RuleSpec] = {}
    for name in ENGINES:
        specs: tuple[RuleSpec, ...] = import_module(f"ringfence.detection.{name}").RULES
        for spec in specs:
            assert spec.rule not in found, f"two engines have a rule {spec.rule}"
            found[spec.rule] = spec
    return dict(sorted(found.items()))
