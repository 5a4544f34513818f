"""The breaker: too many automatic blocks of a kind in ten minutes are our mistake or somebody's trick, so they stop and a person is paged.

It never stops number, range and C5 blocks: otherwise an attacker who provokes blocks would switch the protection off.
"""

from ringfence.enforcement.model import MINUTE_MS, Block, Breaker, BreakerKind, Scope

WINDOW_MS = 10 * MINUTE_MS
MIN_SUBJECTS = 50
MASS_SUBJECTS = 100
SHARE = 1000
"""One in a thousand accounts."""


def kind_of(scope: Scope, destination_class: int) -> BreakerKind | None:
    """The breaker that watches a block; None for those that nothing stops."""
    match scope:
        case Scope.SOURCE:
            return "source"
        case Scope.ACCOUNT:
            return "account"
        case Scope.CLASS:
            return "account" if destination_class < 5 else None
        case Scope.NUMBER | Scope.RANGE | Scope.CALL:
            return None


def limit_for(accounts: int) -> int:
    """Subjects in the window that are still believed: 0.1 % of the accounts, at least 50."""
    return max(MIN_SUBJECTS, accounts // SHARE)


def mass_limit_for(accounts: int) -> int:
    """Subjects that one person may touch alone: 0.1 % of the accounts, at least 100."""
    return max(MASS_SUBJECTS, accounts // SHARE)


class RecentSubjects:
    """Which subjects were blocked lately: the last instant of each, forgotten after the window."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def add(self, subject: str, at_ms: int) -> None:
        """A block of this subject at this instant."""
        self._last[subject] = max(at_ms, self._last.get(subject, 0))

    def count(self, *, since_ms: int, besides: str) -> int:
        """Subjects at or after `since_ms`, not counting `besides`."""
        return sum(1 for subject, at_ms in self._last.items() if at_ms >= since_ms and subject != besides)

    def forget(self, before_ms: int) -> None:
        """Drop what no window reaches any more."""
        for subject in [subject for subject, at_ms in self._last.items() if at_ms < before_ms]:
            del self._last[subject]


def judge(breaker: Breaker, recent: RecentSubjects, *, subject: str, accounts: int, now_ms: int) -> Breaker:
    """The breaker after one more automatic block of `subject` would happen: open when that were too many."""
    if breaker.is_open:
        return breaker
    since_ms = max(now_ms - WINDOW_MS, breaker.reset_ms)
    subjects = recent.count(since_ms=since_ms, besides=subject) + 1
    limit = limit_for(accounts)
    if subjects <= limit:
        return breaker
    return Breaker(
        kind=breaker.kind,
        opened_ms=now_ms,
        subjects=subjects,
        limit=limit,
        reset_ms=breaker.reset_ms,
        reset_by=breaker.reset_by,
        reset_reason=breaker.reset_reason,
    )


def counts(block: Block) -> BreakerKind | None:
    """The breaker that an imposed block is counted by: automatic ones only."""
    return kind_of(block.scope, block.destination_class) if block.automatic else None
