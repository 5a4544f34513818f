"""Money is an integer of micro-euro. No float ever decides; floats appear only where a person reads a figure."""

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import NewType

from ringfence.base.errors import OperatorError

MicroEuro = NewType("MicroEuro", int)
"""Millionths of a euro."""

_LIMIT = Decimal(10**12)


def parse_euro(text: str) -> MicroEuro:
    """Read a decimal amount of euro such as `0.25`; OperatorError when it is not one, is negative or is beyond 10^12."""
    try:
        amount = Decimal(text.strip())
    except InvalidOperation:
        raise OperatorError(f"{text!r} is not an amount of euro; write it like 0.25", reason="bad_amount") from None
    if not amount.is_finite() or amount < 0 or amount > _LIMIT:
        raise OperatorError(f"{text!r} is not a possible amount of euro; write it like 0.25", reason="bad_amount")
    return MicroEuro(int((amount * 1_000_000).to_integral_value(ROUND_HALF_UP)))


def as_euro(amount: int) -> float:
    """Euro as a float, for JSON and pages only."""
    return amount / 1_000_000


def show_euro(amount: int) -> str:
    """`EUR 12.34`, rounded half up, for sentences."""
    cents = (abs(amount) + 5_000) // 10_000
    sign = "-" if amount < 0 else ""
    return f"{sign}EUR {cents // 100:,}.{cents % 100:02d}"
