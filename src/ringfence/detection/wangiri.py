"""Call-backs to numbers that rang many people for a moment (Wangiri): the second half of N02.

The kernel flags a number that rings shortly and often; here it is remembered for a day, and the accounts that call it back are counted. Who
calls a number back proves the bait: then the number, or with several baits in one range the range, is worth refusing. Memory holds
`MAX_FLAGGED` numbers; beyond, the one that was flagged longest ago is forgotten and counted.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

MAX_FLAGGED: Final = 4_096
MAX_CALLERS: Final = 200
"""Accounts that are remembered for a flagged number; more say nothing new."""
REMEMBERED_MS: Final = 24 * 3_600_000
BAITS_OF_A_RANGE: Final = 2
"""Flagged numbers in one range from which on the whole range is the subject too."""

Number = tuple[int, int, bool]
"""Range key, tail, and whether an agent with a key saw it."""


class Flagged(msgspec.Struct, kw_only=True):
    """A number that rang many people, and who called it back since."""

    range_key: int
    tail: int
    keyed: bool
    digits: str
    at_ms: int
    calls: int
    callers: list[int] = msgspec.field(default_factory=list)
    refs: list[int] = msgspec.field(default_factory=list)


class CalledBack(NamedTuple):
    """A call to a flagged number by an account that had not called it yet. Counts are of accounts, with this one."""

    flagged: Flagged
    number: int
    range: int
    """Of all flagged numbers of the range; 0 when there are too few of them."""
    refs: tuple[int, ...]
    range_refs: tuple[int, ...]


class Baits:
    """Flagged numbers by range, in order of their flagging."""

    def __init__(self) -> None:
        self._by_number: dict[Number, Flagged] = {}
        self._ranges: dict[int, list[Flagged]] = {}
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._by_number)

    def ranges(self) -> Sequence[int]:
        """Keys of ranges with a flagged number."""
        return list(self._ranges)

    def flag(self, range_key: int, tail: int, *, keyed: bool, digits: str, at_ms: int, calls: int) -> None:
        """Remember a number from `at_ms` on; again, it is remembered longer."""
        self.expire(at_ms)
        known = self._by_number.pop((range_key, tail, keyed), None)
        if known is not None:
            known.at_ms, known.calls = max(known.at_ms, at_ms), max(known.calls, calls)
            self._by_number[range_key, tail, keyed] = known
            return
        if len(self._by_number) >= MAX_FLAGGED:
            self._drop(next(iter(self._by_number.values())))
            self.forgotten += 1
        self._keep(Flagged(range_key=range_key, tail=tail, keyed=keyed, digits=digits, at_ms=at_ms, calls=calls))

    def expire(self, now_ms: int) -> None:
        """Forget what was flagged a day ago."""
        for flagged in [each for each in self._by_number.values() if each.at_ms <= now_ms - REMEMBERED_MS]:
            self._drop(flagged)

    def call_back(self, number: Number, account_key: int, at_ms: int, ref: int) -> CalledBack | None:
        """An account calls: something new only when the number is flagged and the account had not called it since."""
        flagged = self._by_number.get(number)
        if flagged is None or not flagged.at_ms - REMEMBERED_MS < at_ms < flagged.at_ms + REMEMBERED_MS:
            return None
        if account_key in flagged.callers or len(flagged.callers) >= MAX_CALLERS:
            return None
        flagged.callers.append(account_key)
        flagged.refs.append(ref)
        since = at_ms - REMEMBERED_MS
        baits = [each for each in self._ranges[flagged.range_key] if each.keyed == flagged.keyed and each.at_ms > since]
        together = {caller for each in baits for caller in each.callers} if len(baits) >= BAITS_OF_A_RANGE else set()
        return CalledBack(
            flagged,
            len(flagged.callers),
            len(together),
            tuple(flagged.refs[-50:]),
            tuple(sorted(ref for each in baits for ref in each.refs)[-50:]),
        )

    def state(self) -> list[dict[str, Any]]:
        """Plain values, in order of flagging."""
        plain: list[dict[str, Any]] = msgspec.to_builtins(list(self._by_number.values()))
        return plain

    @classmethod
    def restore(cls, state: Sequence[Any]) -> "Baits":
        """Go on where `state` was taken."""
        baits = cls()
        for flagged in msgspec.convert(state, list[Flagged]):
            baits._keep(flagged)
        return baits

    def _keep(self, flagged: Flagged) -> None:
        self._by_number[flagged.range_key, flagged.tail, flagged.keyed] = flagged
        self._ranges.setdefault(flagged.range_key, []).append(flagged)

    def _drop(self, flagged: Flagged) -> None:
        del self._by_number[flagged.range_key, flagged.tail, flagged.keyed]
        rest = [each for each in self._ranges[flagged.range_key] if each is not flagged]
        if rest:
            self._ranges[flagged.range_key] = rest
        else:
            del self._ranges[flagged.range_key]
