"""Public holidays of a country or one of its regions, for `HolidaysChanged`: they reach detection through the log only."""

from collections.abc import Iterable

import holidays

from ringfence.base.errors import OperatorError


def public_holidays(country: str, region: str, years: Iterable[int]) -> tuple[str, ...]:
    """Days as `2026-12-25`, ascending. `country`: two letters; `region`: such as `BE`, or empty. OperatorError for others."""
    try:
        calendar = holidays.country_holidays(country, subdiv=region or None, years=list(years))
    except NotImplementedError:
        place = f"{country}-{region}" if region else country
        told = f"no public holidays are known for {place}; leave holiday_region empty or name another"
        raise OperatorError(told, reason="holidays") from None
    return tuple(sorted(day.isoformat() for day in calendar))
