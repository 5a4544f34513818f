"""What can be set of the kernel's detectors beside warn and act: floors below which nothing is unusual, and the score of a signal."""

from typing import Final

from ringfence.detection.findings import Parameter, RuleSpec

RULES: Final = (
    RuleSpec(
        rule="D04",
        name="Cost of the billing month",
        mode="propose",
        parameters=(
            Parameter(
                name="floor",
                default={"residential": 50_000_000, "business": 300_000_000, "trunk": 300_000_000},
                unit="euro",
                low=1_000_000,
                high=1_000_000_000_000,
                about="a month that costs less is never unusual",
            ),
        ),
    ),
    RuleSpec(
        rule="D19",
        name="First call ever to a C4+ country",
        mode="propose",
        parameters=(
            Parameter(
                name="score",
                default={"residential": 20, "business": 10, "trunk": 10},
                unit="score",
                low=1,
                high=100,
                about="what it adds to the account's score; no alert of its own",
            ),
        ),
    ),
    RuleSpec(
        rule="D20",
        name="C2+ cost far above the account's usual",
        mode="propose",
        parameters=(
            Parameter(
                name="floor",
                default=5_000_000,
                unit="euro",
                low=100_000,
                high=1_000_000_000_000,
                about="a quarter of an hour or a day that costs less is never unusual",
            ),
        ),
    ),
)
