"""Public holidays of a country or one of its regions, for `HolidaysChanged`: they reach detection through the log only."""

from collections.abc import Iterable

import holidays

from ringfence.base.errors import OperatorError


def public_holidays(country: str, region: str, years: Iterable[int]) -> tuple[str, ...]:
    """Days as `2026-12-25`, ascending. `country` is two letters, `region` a subdivision such as `BE` or empty. OperatorError when unknown."""
    try:
        calendar = holidays.country_holidays(country, subdiv=region or None, years=list(years))
    except NotImplementedError:
        place = f"{country}-{region}" if region else country
        raise OperatorError(f"no public holidays are known for {place}; leave holiday_region empty or name another", reason="holidays") from None
    return tuple(sorted(day.isoformat() for day in calendar))
