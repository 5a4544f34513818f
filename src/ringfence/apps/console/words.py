"""Domain values in words: what a block refuses, why a proposal waits, how a part is. Pure; no markup.

One table per question, so that every page uses the same words.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ringfence.apps.console.show import number, span
from ringfence.base.money import show_euro
from ringfence.enforcement.model import Block, Exemption, Proposal, Scope

CAUSES = {
    "mode": "the rule only proposes",
    "ladder": "the next step of the ladder is wide, so a person decides",
    "breaker": "the breaker has stopped automatic blocks of this kind",
    "mass": "it touches many accounts, so two people decide",
    "stale": "the evidence is old",
    "shared_network": "many customers share this address",
    "full": "the edge's table is nearly full",
}
"""Why a proposal was not simply imposed."""

STANDINGS = {
    "identity_mismatch": "its credential is another device's",
    "identity_closed": "its identity was closed",
    "unknown_on_line": "no device was known on this line",
    "line_has_another_device": "another device belongs to this line",
    "was_lost": "it was reported lost",
    "no_session_of_address": "no access session has its address",
    "other_line": "it is on a line that is not its own",
    "not_proven": "it has not proven to be itself",
    "bootstrap_lane": "it has not come to the managed address yet",
    "in_stock": "it is updated and gets nothing else",
    "in_stock_on_a_line": "it is in stock but was seen on a customer's line",
}
"""Why a device stands as it does: what `fleet.binding` names."""

RULES = {
    "D01": "Cost in 5 minutes",
    "D02": "Cost in 60 minutes",
    "D03": "Cost in 24 hours",
    "D06": "Calls to C3 and above at the same time",
    "D07": "Calls to C4 and C5 at the same time",
    "D08": "All calls at the same time",
    "D09": "Attempts to C3 and above in 5 minutes",
    "D10": "Attempts to C3 and above in 60 minutes",
    "D11": "Different C3 numbers in 60 minutes",
    "D12": "Different C3 countries in 60 minutes",
    "D14": "Neighbouring numbers in 30 minutes",
    "D18": "Minutes to C3 and above in 60 minutes",
    "D21": "Attempts in one minute",
}
"""What each rule measures, for the bar on the alert's page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A state as tone (shape and colour) and word."""

    tone: str
    word: str


def refuses(scope: str, value: str, destination_class: int) -> str:
    """`calls to C3 and above from 4930...`: what a block does, in words."""
    match Scope(scope):
        case Scope.NUMBER:
            return f"calls to {number(value)}"
        case Scope.RANGE:
            return f"calls to all numbers that begin with {number(value)}"
        case Scope.CLASS:
            above = "" if destination_class == 5 else " and above"
            return f"calls to C{destination_class}{above} from {value}"
        case Scope.ACCOUNT:
            return f"all calls from {value}, except emergency"
        case Scope.SOURCE:
            return f"everything from {value}, except emergency"
        case Scope.CALL:
            return f"one running call to C{destination_class}: it is ended"


def exempts(exemption: Exemption) -> str:
    """`account 4930...`."""
    kinds = {"account": "account", "number": "number", "source": "network"}
    shown = number(exemption.value) if exemption.scope == "number" else exemption.value
    return f"{kinds[exemption.scope]} {shown}"


def whose(author: str) -> str:
    """`rule D02` or a person's name."""
    kind, _, rest = author.partition(":")
    if not rest:
        return author
    return f"rule {rest.partition('@')[0]}" if kind == "rule" else rest


def block_state(block: Block, now_ms: int) -> Shown:
    """How a block stands."""
    if block.in_force(now_ms):
        return Shown(tone="critical", word="in force")
    return Shown(tone="still", word="lifted" if block.state == "lifted" else "expired")


def why_waiting(proposal: Proposal) -> str:
    """Why a person decides."""
    return CAUSES.get(proposal.cause, proposal.cause)


def measured(value: float, unit: str) -> str:
    """An observed value or threshold with its unit; money comes in euro."""
    if unit == "euro":
        return show_euro(round(value * 1_000_000))
    plain = f"{round(value):,}" if value == round(value) else f"{value:,.1f}"
    return f"{plain} {unit}".strip()


def counted(count: int, one: str, many: str = "") -> str:
    """`1 alert`, `3 alerts`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def lasting(seconds: int) -> str:
    """`for 24 h`."""
    return f"for {span(seconds)}"


def joined(parts: Sequence[str]) -> str:
    """`a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""
