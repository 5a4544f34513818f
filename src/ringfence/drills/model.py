"""What a drill reports: the object of formats.md, one shape for every drill."""

from dataclasses import dataclass, field

import msgspec


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened, in seconds since the drill's first call."""

    at_seconds: float
    what: str


class DrillResult(msgspec.Struct, frozen=True, kw_only=True):
    """The score. A figure that a drill does not have is None."""

    drill: str
    passed: bool
    seconds_to_alert: float | None = None
    seconds_to_block: float | None = None
    euro_lost: float | None = None
    euro_lost_without: float | None = None
    devices_lost: int | None = None
    credentials_rotated: int | None = None
    phones_dead: int | None = None
    clocks_missed: int | None = None
    wrong_blocks: int | None = None
    timeline: tuple[Moment, ...] = ()


@dataclass(slots=True)
class Timeline:
    """Collects moments; `first(what)` keeps only the first of a kind."""

    started: float
    moments: list[Moment] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def add(self, now: float, what: str) -> None:
        """Note what happened at a monotonic time in seconds."""
        self.moments.append(Moment(at_seconds=round(now - self.started, 3), what=what))

    def once(self, kind: str, now: float, what: str) -> None:
        """Note it unless something of this kind was noted before."""
        if kind not in self._seen:
            self._seen.add(kind)
            self.add(now, what)

    def ordered(self) -> tuple[Moment, ...]:
        """By time."""
        return tuple(sorted(self.moments, key=lambda moment: moment.at_seconds))
