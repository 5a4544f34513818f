"""Which customers are not managed: their phone registers, and no device of theirs informs.

It joins two lists and knows no database. The one thing to know: a User-Agent is the sender's own claim, good enough to say which model to
look for at a customer's home, never to say who somebody is.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ringfence.telephony.user_agents import family_of

UNKNOWN_MODEL = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """An account that registered, the customer it belongs to (empty: not known) and what it registered with."""

    account: str
    customer: str
    user_agent: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncovered:
    """A customer to work off. `model`: family of the User-Agent that registered last."""

    customer: str
    account: str
    model: str
    seen_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How many customers register, how many of them are managed, and the others by model and one by one."""

    customers: int
    managed: int
    by_model: tuple[tuple[str, int], ...]
    """Most frequent first."""
    uncovered: tuple[Uncovered, ...]
    nameless: int
    """Accounts that register and belong to no known customer."""


def coverage_of(registrations: Iterable[Registration], managed: frozenset[str]) -> Coverage:
    """Compare who registers with who has a device that informs (`managed`: customers)."""
    last: dict[str, Registration] = {}
    nameless: set[str] = set()
    for entry in registrations:
        if not entry.customer:
            nameless.add(entry.account)
        elif entry.customer not in last or last[entry.customer].at_ms <= entry.at_ms:
            last[entry.customer] = entry
    missing = [
        Uncovered(customer=customer, account=entry.account, model=_model(entry.user_agent), seen_ms=entry.at_ms)
        for customer, entry in sorted(last.items())
        if customer not in managed
    ]
    counted = Counter(entry.model for entry in missing)
    return Coverage(
        customers=len(last),
        managed=len(last) - len(missing),
        by_model=tuple(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))),
        uncovered=tuple(missing),
        nameless=len(nameless),
    )


def _model(user_agent: str) -> str:
    return family_of(user_agent) or UNKNOWN_MODEL
