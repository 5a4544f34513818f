"""Event time: an agent's own time, corrected by how far its clock is off.

The correction is the smallest delay between an agent's stamp and our receipt in the last minute: a network only ever adds. So event time
is never later than receipt, a steady error of an agent's clock vanishes, and network jitter stays where it belongs. When a clock jumps
forward the correction follows at once; when it jumps back, after `JUMP_PACKETS` packets or `JUMP_AFTER_MS`. The one thing to know: a stamp
that is more than `LATEST_MS` late cannot be told from a wrong clock and counts as received now.
"""

EPOCH_MS = 30_000
"""Half the window over which the smallest delay is kept."""
JUMP_MS = 2_000
"""Delays this far above the smallest are lateness at first, and a new clock when they stay."""
JUMP_PACKETS = 200
JUMP_AFTER_MS = 2_000
LATEST_MS = 60_000


class AgentClock:
    """The clock of one agent as we see it. `event_time` for each packet, in order of receipt."""

    __slots__ = ("_epoch_ends_ms", "_late_since_ms", "_lates", "_least_late", "_next", "_smallest", "jumps")

    def __init__(self) -> None:
        self._smallest: int | None = None
        self._next = 0
        self._epoch_ends_ms = 0
        self._late_since_ms = 0
        self._lates = 0
        self._least_late = 0
        self.jumps = 0
        """Times the clock was found to have jumped."""

    @property
    def skew_ms(self) -> int:
        """Milliseconds that the agent's clock is behind ours (negative: ahead), with the least network delay in it."""
        return self._smallest or 0

    def event_time(self, agent_ms: int, received_ms: int) -> int:
        """Unix milliseconds of the event: at most `received_ms`, and not more than `LATEST_MS` before it."""
        delay = received_ms - agent_ms
        smallest = self._smallest
        if smallest is None:
            self._start(delay, received_ms)
            return received_ms
        if delay < smallest:
            if smallest - delay > JUMP_MS:
                self.jumps += 1
                self._start(delay, received_ms)
            else:
                self._smallest = self._next = delay
            self._lates = 0
            return received_ms
        if received_ms >= self._epoch_ends_ms:
            smallest = self._turn(smallest, delay, received_ms)
        elif delay < self._next:
            self._next = delay
        late = delay - smallest
        if late <= JUMP_MS:
            self._lates = 0
            return received_ms - late if late > 0 else received_ms
        return self._late(delay, late, received_ms)

    def _late(self, delay: int, late: int, received_ms: int) -> int:
        if not self._lates:
            self._late_since_ms = received_ms
            self._least_late = delay
        self._lates += 1
        self._least_late = min(self._least_late, delay)
        if self._lates >= JUMP_PACKETS or received_ms - self._late_since_ms >= JUMP_AFTER_MS:
            self.jumps += 1
            self._start(self._least_late, received_ms)
            return received_ms - min(delay - self._least_late, LATEST_MS)
        return received_ms if late > LATEST_MS else received_ms - late

    def _start(self, delay: int, received_ms: int) -> None:
        self._smallest = self._next = delay
        self._epoch_ends_ms = received_ms + EPOCH_MS
        self._lates = 0

    def _turn(self, smallest: int, delay: int, received_ms: int) -> int:
        """A new half minute: what was smallest in the last one counts from now, so that a slow drift is followed."""
        if received_ms < self._epoch_ends_ms + EPOCH_MS:
            smallest = min(self._next, delay)
        self._smallest = smallest
        self._next = delay if delay - smallest <= JUMP_MS else smallest
        self._epoch_ends_ms = received_ms + EPOCH_MS
        return smallest
