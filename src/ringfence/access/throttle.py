"""How long a sign-in has to wait after failures. Pure: counts and times come in, seconds go out.

Three counters, each a decaying count: the pair (name, source), the source, and the name. Nobody is locked out by others' mistakes: the
counter of a name never holds for a source from which that name has signed in before, and it only ever delays.
"""

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

WINDOW_MS = 15 * 60_000
"""A counter without a failure for this long is forgotten."""

MAX_WAIT_MS = 15 * 60_000


@dataclass(frozen=True, slots=True)
class Limit:
    """Failures that are free, and the wait after the next one; it doubles with each further failure up to `cap_ms`."""

    free: int
    first_wait_ms: int
    cap_ms: int


PAIR = Limit(5, 2_000, MAX_WAIT_MS)
SOURCE = Limit(30, 5_000, MAX_WAIT_MS)
# A guess spread over many sources: slow enough to be hopeless, short enough that the owner at a new place gets in.
NAME = Limit(30, 1_000, 20_000)


@dataclass(frozen=True, slots=True)
class Counter:
    """Failures so far and the time of the last one."""

    failures: int
    last_ms: int


def wait_ms(counter: Counter | None, limit: Limit, now_ms: int) -> int:
    """Milliseconds until the next attempt is looked at; 0 = now."""
    if counter is None or now_ms - counter.last_ms >= WINDOW_MS or counter.failures < limit.free:
        return 0
    doublings = min(counter.failures - limit.free, 20)
    wait = min(limit.first_wait_ms << doublings, limit.cap_ms)
    # A clock that was set back must not lengthen a wait.
    return max(0, min(wait, counter.last_ms + wait - now_ms))


def network_of(source: str) -> str:
    """The network a source counts as: the v4 address, the /64 of a v6 address, and the text itself for anything else (`console`)."""
    try:
        address = ip_address(source)
    except ValueError:
        return source[:64]
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return f"{IPv6Address(int(address) >> 64 << 64)}/64"
    return str(address)
