"""Signals of an account become one number: how likely is it that somebody else is calling.

Noisy-OR with decay (FE 4.3): each signal is the chance of fraud it alone speaks for, halves every six hours, and only the strongest of one
rule counts. Pure and in integers, so that replicas agree. The one thing to know: rule `D00` is an ordinary rule of the book; its
alerts are episodes like any other's, with the list of their parts as evidence.
"""

from typing import Final

from ringfence.detection.findings import Parameter, RuleSpec

RULE: Final = "D00"

RULES: Final[tuple[RuleSpec, ...]] = (
    RuleSpec(
        rule=RULE,
        name="Combined suspicion",
        mode="propose",
        parameters=(
            Parameter(name="open", default=40, unit="score", low=1, high=99, about="Combined score that opens an alert."),
            Parameter(name="act", default=60, unit="score", low=1, high=99, about="Combined score that asks for a selective block."),
            Parameter(name="lock", default=80, unit="score", low=1, high=99, about="Combined score that asks to lock the account."),
            Parameter(
                name="half_life", default=21_600_000, unit="minutes", low=60_000, high=604_800_000, about="A signal's weight halves."
            ),
            Parameter(
                name="false_block",
                default={"residential": 25_000_000, "business": 150_000_000, "trunk": 150_000_000},
                unit="euro",
                low=0,
                high=100_000_000_000,
                about="What blocking an innocent customer costs.",
            ),
            Parameter(
                name="until_stop", default=1_800_000, unit="minutes", low=60_000, high=604_800_000, about="Fraud would go on for so long."
            ),
        ),
    ),
)
