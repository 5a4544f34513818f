"""Accounts on which a rule acted lately: what would only warn of others is enough to act again.

Whoever goes on as soon as a block ends was no false alarm. Without this each block's end gives a thief the whole way to the limit once
more: a hacked exchange spends as much in those minutes as in a weekend of refused calls. A person who lifts a block of the account ends it,
because then it was one. Pure; memory holds `CAPACITY` accounts, beyond which the one that was longest quiet is forgotten.
"""

from collections.abc import Iterable
from typing import Final

PROBATION_MS: Final = 7 * 24 * 3_600_000
"""How long an account stays on probation after a rule last acted."""
CAPACITY: Final = 100_000


class Relapses:
    """First and last time that rules acted on an account, by its name; an account that was quiet for the probation begins anew."""

    def __init__(self, acted: Iterable[tuple[str, int, int]] = ()) -> None:
        self._acted = {account: (first_ms, last_ms) for account, first_ms, last_ms in acted}

    def note(self, account: str, at_ms: int) -> None:
        """A rule acts on an account."""
        first_ms, last_ms = self._acted.pop(account, (at_ms, at_ms))
        if at_ms >= last_ms + PROBATION_MS:
            first_ms = at_ms
        if len(self._acted) >= CAPACITY:
            del self._acted[next(iter(self._acted))]
        self._acted[account] = min(first_ms, at_ms), max(last_ms, at_ms)

    def holds(self, account: str, at_ms: int) -> bool:
        """Whether an account is on probation at an instant: after the first act, so that what is told of one instant has no order."""
        first_ms, last_ms = self._acted.get(account, (at_ms, at_ms))
        return first_ms < at_ms < last_ms + PROBATION_MS

    def forgive(self, account: str) -> None:
        """A person lifted a block of it."""
        self._acted.pop(account, None)

    def expire(self, now_ms: int) -> None:
        """Forget those whose probation is over."""
        while self._acted and next(iter(self._acted.values()))[1] + PROBATION_MS <= now_ms:
            del self._acted[next(iter(self._acted))]

    def state(self) -> list[tuple[str, int, int]]:
        """For a snapshot, the longest quiet first."""
        return sorted(((account, *times) for account, times in self._acted.items()), key=lambda each: (each[2], each[0]))
