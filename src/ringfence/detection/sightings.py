"""What was seen of each key lately, in memory of a fixed size: the windows of rules whose keys an attacker invents.

A key holds its newest sightings in order of time. When there are too many keys, the half that was silent longest in event time goes, so a
flood of invented keys costs old knowledge and never memory. Exact as long as a key's own bound is not reached; then counts stay at it.
"""

from bisect import bisect_right, insort
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

SKEW: Final = 2_000
"""A row later than this is judged at its own time too; less is the difference of two agents' clocks."""


class Sighting(NamedTuple):
    """One thing seen of a key. `mark` tells repeated ones apart (0: never the same), `ref` is the row."""

    at_ms: int
    mark: int
    who: str
    ref: int


_at = itemgetter(0)


class Sightings:
    """Up to `keys` keys with up to `each` sightings, none older than `keep_ms` before the event clock."""

    def __init__(self, *, keys: int, each: int, keep_ms: int) -> None:
        self.keys = keys
        self.each = each
        self.keep_ms = keep_ms
        self.forgotten = 0
        self._seen: dict[str, list[Sighting]] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, key: str, sighting: Sighting, now_ms: int) -> list[Sighting] | None:
        """All that is known of the key, oldest first; None when this was known or is too late to count."""
        if sighting.at_ms <= now_ms - self.keep_ms:
            return None
        seen = self._seen.get(key)
        if seen is None:
            if len(self._seen) >= self.keys:
                self._forget_half()
            seen = self._seen[key] = []
        elif sighting.mark and _repeated(seen, sighting):
            return None
        if seen and sighting.at_ms < seen[-1].at_ms:
            insort(seen, sighting, key=_at)
        else:
            seen.append(sighting)
        stale = bisect_right(seen, now_ms - self.keep_ms, key=_at)
        over = max(stale, len(seen) - self.each)
        if over:
            del seen[:over]
        return seen

    def renew(self, key: str, sighting: Sighting, now_ms: int) -> list[Sighting] | None:
        """As `add`, but a key holds each `who` once, with its latest time: what is counted then is different ones."""
        seen = self._seen.get(key)
        if seen is not None:
            for place, known in enumerate(seen):
                if known.who == sighting.who:
                    if known.at_ms >= sighting.at_ms:
                        return None
                    del seen[place]
                    break
        return self.add(key, sighting, now_ms)

    def of(self, key: str) -> Sequence[Sighting]:
        """What is known of a key; stale ones may be among it."""
        return self._seen.get(key, ())

    def drop(self, key: str) -> None:
        """Forget a key."""
        self._seen.pop(key, None)

    def state(self) -> list[Any]:
        """Plain values, in order of arrival of the keys."""
        return [[key, [list(sighting) for sighting in seen]] for key, seen in self._seen.items()]

    def adopt(self, state: Sequence[Any], forgotten: int) -> None:
        """Go on where `state` was taken."""
        self._seen = {key: [Sighting(*sighting) for sighting in seen] for key, seen in state}
        self.forgotten = forgotten

    def _forget_half(self) -> None:
        last = sorted(seen[-1].at_ms if seen else 0 for seen in self._seen.values())
        cut = last[len(last) // 2]
        kept = {key: seen for key, seen in self._seen.items() if seen and seen[-1].at_ms > cut}
        self.forgotten += len(self._seen) - len(kept)
        self._seen = kept


def within(seen: Sequence[Sighting], at_ms: int, window_ms: int) -> Sequence[Sighting]:
    """Those in `(at - window, at]`."""
    first = bisect_right(seen, at_ms - window_ms, key=_at)
    return seen[first:] if seen[-1].at_ms <= at_ms else seen[first : bisect_right(seen, at_ms, key=_at)]


def count_within(seen: Sequence[Sighting], at_ms: int, window_ms: int) -> int:
    """How many in `(at - window, at]`."""
    last = len(seen) if seen[-1].at_ms <= at_ms else bisect_right(seen, at_ms, key=_at)
    return last - bisect_right(seen, at_ms - window_ms, key=_at)


def moments(at_ms: int, now_ms: int) -> Iterator[int]:
    """When a row is judged: at the event clock, and a late one at its own time too."""
    yield now_ms
    if at_ms <= now_ms - SKEW:
        yield at_ms


def level_of(value: int, warn: int, act: int) -> int:
    """0 below warn, 1 from warn, 2 from act, one more at each doubling of act, 15 at the most."""
    if value < act:
        return int(value >= warn)
    return min(2 + (value // act).bit_length() - 1, 15)


class Said:
    """Levels that were said of a subject: the same or a lower one is not said again within the rule's window."""

    def __init__(self, *, keys: int) -> None:
        self.keys = keys
        self._said: dict[str, tuple[int, int]] = {}

    def again(self, key: str, level: int, at_ms: int, window_ms: int) -> bool:
        """Whether the level is to be said now; it counts as said then."""
        if level == 0:
            return False
        before = self._said.get(key)
        if before is not None and level <= before[0] and at_ms < before[1] + window_ms:
            return False
        if before is None and len(self._said) >= self.keys:
            cut = sorted(at for _, at in self._said.values())[len(self._said) // 2]
            self._said = {known: said for known, said in self._said.items() if said[1] > cut}
        self._said[key] = (level, at_ms)
        return True

    def stale(self, key: str, at_ms: int, window_ms: int) -> bool:
        """Whether something was said so long ago that it may be said again."""
        before = self._said.get(key)
        return before is not None and at_ms >= before[1] + window_ms

    def state(self) -> list[Any]:
        """Plain values, in order."""
        return [[key, level, at_ms] for key, (level, at_ms) in self._said.items()]

    def adopt(self, state: Sequence[Any]) -> None:
        """Go on where `state` was taken."""
        self._said = {key: (level, at_ms) for key, level, at_ms in state}


def _repeated(seen: Sequence[Sighting], sighting: Sighting) -> bool:
    """Whether a sighting of the same time has the same mark: a retransmission, a second capture point."""
    place = bisect_right(seen, sighting.at_ms, key=_at)
    while place and seen[place - 1].at_ms == sighting.at_ms:
        place -= 1
        if seen[place].mark == sighting.mark:
            return True
    return False
