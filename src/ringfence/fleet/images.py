"""What a firmware host decides without a socket: byte ranges, who may download now, how fast, and what each device has been sent.

Times are seconds of a monotonic clock, sizes bytes. The one thing to know: a lease is a place in the host's bandwidth. A host with all
leases out answers 503 with Retry-After instead of being slow to everyone.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass

MIN_WAIT_SECONDS = 5
MAX_WAIT_SECONDS = 3_600
PER_DEVICE = 2
MAX_DEVICES = 200_000
"""Whose progress is remembered; the one served longest ago is forgotten first."""
_range = re.compile(r"bytes=([0-9]{0,12})-([0-9]{0,12})", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from `start` to before `end`; `partial` when it was asked for as a range."""

    start: int
    end: int
    partial: bool

    @property
    def length(self) -> int:
        """Bytes."""
        return self.end - self.start


def span_of(size: int, header: str, if_range: str, tag: str) -> Span | None:
    """The bytes to send. None: the range lies behind the end (416).

    More than one range, another unit, and a range of another file (If-Range, RFC 9110 13.1.5) get the whole file, as RFC 9110 14.2 allows.
    """
    whole = Span(0, size, False)
    found = _range(header.strip().lower()) if header else None
    if found is None or (if_range and if_range.strip() != tag):
        return whole
    first, last = found[1], found[2]
    if not first:
        count = min(int(last), size) if last else 0
        return Span(size - count, size, True) if count else (None if last else whole)
    start = int(first)
    end = min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return whole
    return Span(start, end, True) if start < size else None


class ByteBucket:
    """Bytes a second, with a second's worth at once."""

    __slots__ = ("_at", "_filled", "rate")

    def __init__(self, rate: float, now: float) -> None:
        self.rate = rate
        self._filled = rate
        self._at = now

    def take(self, count: int, now: float) -> float:
        """Take bytes, as debt if need be; the seconds to wait before sending them."""
        self._filled = min(self.rate, self._filled + (now - self._at) * self.rate) - count
        self._at = now
        return max(0.0, -self._filled / self.rate)


class Leases:
    """Downloads that run. A device holds two at most: one that resumes may have an old connection that is not known to be dead."""

    __slots__ = ("_count", "_limit", "_open", "_promised", "_rate")

    def __init__(self, *, rate: float, slowest: float) -> None:
        """As many leases as the rate holds downloads at the slowest speed that is bearable (both bytes a second)."""
        self._limit = max(1, int(rate / slowest))
        self._rate = rate
        self._open: dict[int, int] = {}
        self._promised = self._count = 0

    @property
    def open(self) -> int:
        """Leases out."""
        return self._count

    def take(self, device_id: int, count: int) -> int:
        """0, or the seconds after which to come again: when what is promised will be sent, spread so that not all return at once."""
        mine = self._open.get(device_id, 0)
        if mine >= PER_DEVICE or self.open >= self._limit:
            seconds = min(MAX_WAIT_SECONDS // 2, max(MIN_WAIT_SECONDS, int(self._promised / self._rate)))
            return seconds + (device_id * 2_654_435_761 >> 8) % seconds
        self._open[device_id] = mine + 1
        self._promised += count
        self._count += 1
        return 0

    def give_back(self, device_id: int, count: int) -> None:
        """A download of so many promised bytes has ended, or broken off."""
        self._promised -= count
        self._count -= 1
        self._open[device_id] -= 1
        if not self._open[device_id]:
            del self._open[device_id]


@dataclass(slots=True)
class Progress:
    """What one device was sent of one image. `last_byte`: the highest offset that left, so that a whole download ends at the size."""

    digest: str
    size: int
    sent: int = 0
    last_byte: int = 0
    at_ms: int = 0


class ServedLedger:
    """Progress of each device, bounded."""

    __slots__ = ("_limit", "_progress")

    def __init__(self, limit: int = MAX_DEVICES) -> None:
        self._limit = limit
        self._progress: OrderedDict[int, Progress] = OrderedDict()

    def sent(self, device_id: int, digest: str, size: int, start: int, count: int, now_ms: int) -> Progress:
        """Bytes left for a device, from an offset. Another image begins anew."""
        progress = self._progress.get(device_id)
        if progress is None or progress.digest != digest:
            progress = self._progress[device_id] = Progress(digest, size)
        progress.sent += count
        progress.last_byte = max(progress.last_byte, start + count)
        progress.at_ms = now_ms
        self._progress.move_to_end(device_id)
        if len(self._progress) > self._limit:
            self._progress.popitem(last=False)
        return progress

    def of(self, device_id: int) -> Progress | None:
        """What a device was sent, if it is remembered."""
        return self._progress.get(device_id)
