"""Who is told next about an alert. Pure.

The first in line is told when it opens, the next one after each wait, round and round for a few rounds, until somebody acknowledges. A
message that could not be delivered does not use up the wait: the next person is told soon.
"""

from collections.abc import Sequence
from typing import TypeVar

ROUNDS = 3
"""Times the whole line is told before paging gives up on one alert; it stays on every screen."""

RETRY_MS = 15_000
"""Wait before the next person when nobody could be reached."""

Contact = TypeVar("Contact")


def next_contacts(line: Sequence[Contact], paged: int) -> tuple[Contact, ...]:
    """The person for the next message when `paged` were told already; nobody when everybody was, `ROUNDS` times."""
    if not line or paged >= len(line) * ROUNDS:
        return ()
    return (line[paged % len(line)],)


def next_ms(now_ms: int, *, delivered: bool, escalate_ms: int) -> int:
    """When the person after this one is due."""
    return now_ms + (escalate_ms if delivered else min(RETRY_MS, escalate_ms))
