"""Pictures drawn on the server: sparklines, the bar of observed against thresholds, the timeline of an alert's calls. Pure.

They return numbers for templates (positions in percent, paths), never markup: escaping stays in one place. Positions are percentages, so
the same picture fits a phone and a wall without being redrawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass

NICE_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 172_800, 604_800)
LANE_PIXELS = 15
HEAD_PIXELS = 34
FOOT_PIXELS = 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Spark:
    """A line of the recent past in a box of 100 by 30."""

    line: str
    area: str
    text: str
    """The same for ears: from, to, highest."""


def spark(values: Sequence[float], *, unit: str) -> Spark | None:
    """The path of a series, newest right; None below two points."""
    if len(values) < 2:
        return None
    top = max(*values, 1e-9)
    step = 100 / (len(values) - 1)
    points = [f"{place * step:.1f} {29 - 27 * value / top:.1f}" for place, value in enumerate(values)]
    line = "M" + "L".join(points)
    text = f"last {len(values)} seconds: from {values[0]:.0f} to {values[-1]:.0f}, highest {top:.0f} {unit}"
    return Spark(line=line, area=f"{line}L100 30L0 30Z", text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """Observed against both thresholds, in percent of the longest of the three."""

    fill: float
    warn: float
    act: float
    tone: str
    times: float
    """Observed in multiples of the threshold of act."""


def meter(observed: float, warn: float, act: float) -> Meter:
    """The bar of one rule."""
    full = max(observed, act, warn, 1) * 1.04
    tone = "critical" if observed >= act > 0 else "warning"
    return Meter(
        fill=round(100 * observed / full, 2),
        warn=round(100 * warn / full, 2),
        act=round(100 * act / full, 2),
        tone=tone,
        times=observed / act if act else 0.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedCall:
    """What the timeline needs of a call. 0 = did not happen or not known."""

    call_id: str
    title: str
    destination_class: int
    started_ms: int
    answered_ms: int
    ended_ms: int
    refused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One call: a thin line while it is set up, a bar while people talk, a cross where it was refused."""

    call_id: str
    title: str
    y: int
    start: float
    answer: float
    end: float
    talk: float
    """Width of the talk."""
    answered: bool
    running: bool
    refused: bool
    css_class: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A point in time worth a line across the picture."""

    at_ms: int
    name: str
    x: float = 0.0
    anchor: str = "start"
    row: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A labelled time of the axis."""

    x: float
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The whole picture. Heights in pixels, places in percent."""

    height: int
    bars: tuple[Bar, ...]
    moments: tuple[Moment, ...]
    ticks: tuple[Tick, ...]
    from_ms: int
    to_ms: int


def timeline(calls: Sequence[TimedCall], moments: Sequence[Moment], *, now_ms: int, ticks: int = 5) -> Timeline | None:
    """Lay calls out one below the other by start; None without calls. Calls that still run reach to now."""
    if not calls:
        return None
    ordered = sorted(calls, key=lambda call: (call.started_ms, call.call_id))
    first = min([call.started_ms for call in ordered] + [moment.at_ms for moment in moments])
    last = max([_end(call, now_ms) for call in ordered] + [moment.at_ms for moment in moments])
    margin = max((last - first) // 40, 1_000)
    low, high = first - margin, last + margin
    step = _nice((high - low) / 1000 / ticks) * 1000
    first_tick = -(-low // step) * step
    return Timeline(
        height=HEAD_PIXELS + LANE_PIXELS * len(ordered) + FOOT_PIXELS,
        bars=tuple(_bar(call, lane, low, high, now_ms) for lane, call in enumerate(ordered)),
        moments=_placed(moments, low, high),
        ticks=tuple(Tick(x=_percent(at, low, high), at_ms=at) for at in range(first_tick, high, step)),
        from_ms=low,
        to_ms=high,
    )


def _bar(call: TimedCall, lane: int, low: int, high: int, now_ms: int) -> Bar:
    end = _percent(_end(call, now_ms), low, high)
    answer = _percent(call.answered_ms, low, high) if call.answered_ms else end
    return Bar(
        call_id=call.call_id,
        title=call.title,
        y=HEAD_PIXELS + LANE_PIXELS * lane,
        start=_percent(call.started_ms, low, high),
        answer=answer,
        end=end,
        talk=round(max(end - answer, 0.5), 2),
        answered=call.answered_ms > 0,
        running=call.answered_ms > 0 and call.ended_ms == 0,
        refused=call.refused,
        css_class=f"C{call.destination_class}",
    )


def _placed(moments: Sequence[Moment], low: int, high: int) -> tuple[Moment, ...]:
    """Names that would run into each other take the second row; names near the right edge are written to the left."""
    placed: list[Moment] = []
    for moment in sorted(moments, key=lambda each: each.at_ms):
        x = _percent(moment.at_ms, low, high)
        row = 1 - placed[-1].row if placed and x - placed[-1].x < 45 else 0
        placed.append(Moment(at_ms=moment.at_ms, name=moment.name, x=x, anchor="end" if x > 55 else "start", row=row))
    return tuple(placed)


def _end(call: TimedCall, now_ms: int) -> int:
    return call.ended_ms or (now_ms if call.answered_ms else call.started_ms)


def _percent(at_ms: int, low: int, high: int) -> float:
    return round(100 * (at_ms - low) / (high - low), 2)


def _nice(seconds: float) -> int:
    return next((nice for nice in NICE_SECONDS if nice >= seconds), NICE_SECONDS[-1])
