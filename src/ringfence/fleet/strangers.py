"""How many devices that nobody knows and that prove nothing are written down: a share for each address, and one for all.

Whoever reaches the bootstrap lane can invent serial numbers, and each would be a row for ever. Times are milliseconds. The one thing
to know: an hour's share is there at once and refills evenly; a device that is sent away comes back by itself.
"""

from collections import OrderedDict
from ipaddress import ip_address, ip_network

HOUR_MS = 3_600_000
MAX_ADDRESSES = 100_000
"""Whose share is remembered; the one seen longest ago is forgotten first, and the share of all still holds."""
_V6_PREFIX = 64


class Share:
    """So many an hour."""

    __slots__ = ("_at_ms", "_left", "_most")

    def __init__(self, most: int, now_ms: int) -> None:
        self._most = most
        self._left = float(most)
        self._at_ms = now_ms

    def take(self, now_ms: int) -> bool:
        """One of it, if there is one left."""
        self._left = min(self._most, self._left + max(0, now_ms - self._at_ms) * self._most / HOUR_MS)
        self._at_ms = now_ms
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Strangers:
    """The shares of one process."""

    __slots__ = ("_all", "_of_address", "_per_address")

    def __init__(self, *, per_address: int, in_all: int, now_ms: int) -> None:
        self._per_address = per_address
        self._all = Share(in_all, now_ms)
        self._of_address: OrderedDict[str, Share] = OrderedDict()

    def may_enter(self, address: str, now_ms: int) -> bool:
        """Whether one more from an address is written down. Addresses of this machine have no share of their own: simulators use them."""
        whose = _neighbourhood(address)
        if whose:
            share = self._of_address.setdefault(whose, Share(self._per_address, now_ms))
            self._of_address.move_to_end(whose)
            if len(self._of_address) > MAX_ADDRESSES:
                self._of_address.popitem(last=False)
            if not share.take(now_ms):
                return False
        return self._all.take(now_ms)


def _neighbourhood(address: str) -> str:
    """An IPv4 address, the /64 of an IPv6 one, which one line has to itself; empty for this machine's own, and for what is no address."""
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    if found.is_loopback:
        return ""
    return str(found) if found.version == 4 else str(ip_network((found, _V6_PREFIX), strict=False))
