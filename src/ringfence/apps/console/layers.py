"""Shares over time as stacked columns: which versions a model ran on which day. Pure; numbers for templates, never markup.

The newest version stands at the bottom and is the darkest, so a rollout is a dark field that rises. Shades never carry a meaning alone: the
legend names them in the order of the stack, and a table says the same.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

HEIGHT = 132
FOOT = 20
MAX_LAYERS = 5
MAX_TICKS = 6
OTHERS = "other versions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A version in the legend. `shade`: 0 is the darkest; the last one stands for everything else. `now`: devices of the last day."""

    name: str
    shade: int
    now: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One version on one day. `x` and `width` in percent, `y` and `height` in pixels."""

    at_ms: int
    x: float
    width: float
    y: float
    height: float
    shade: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The whole picture, and its numbers for the table: a day and the devices of each layer."""

    title: str
    pieces: tuple[Piece, ...]
    layers: tuple[Layer, ...]
    ticks: tuple[tuple[float, int], ...]
    table: tuple[tuple[int, tuple[int, ...]], ...]
    top: int
    height: int = HEIGHT + FOOT
    base: int = HEIGHT


def layers(title: str, days: Mapping[int, Mapping[str, int]]) -> Layers | None:
    """Columns of days (start of the day in ms -> version -> devices), oldest left; None without a device."""
    moments = sorted(days)
    top = max((sum(days[moment].values()) for moment in moments), default=0)
    if not top:
        return None
    names = _chosen(days, moments[-1])
    rest = any(version not in names for moment in moments for version in days[moment])
    shown = [*names, *([OTHERS] if rest else [])]
    table = tuple((moment, _row(days[moment], names, rest=rest)) for moment in moments)
    width = 100 / len(moments)
    pieces = [piece for place, (moment, row) in enumerate(table) for piece in _column(moment, row, shown, place * width, width, top)]
    every = -(-len(moments) // MAX_TICKS)
    return Layers(
        title=title,
        pieces=tuple(pieces),
        layers=tuple(
            Layer(name=name, shade=_shade(place, name), now=now) for place, (name, now) in enumerate(zip(shown, table[-1][1], strict=True))
        ),
        ticks=tuple((round(place * width, 2), moments[place]) for place in range(0, len(moments), every)),
        table=tuple(reversed(table)),
        top=top,
    )


def newest_first(version: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts versions as people read them: numbers by value, so that 8.20 comes before 8.9."""
    parts = re.findall(r"\d{1,18}|[^\d.]+", version)
    return tuple((-1, -int(part), "") if part[0].isdecimal() and part.isascii() else (0, 0, part) for part in parts) or ((1, 0, ""),)


def _chosen(days: Mapping[int, Mapping[str, int]], last: int) -> list[str]:
    """The versions with the most devices, of today first, and then of all days; the newest of them first."""
    most: dict[str, int] = {}
    for found in days.values():
        for version, devices in found.items():
            most[version] = max(most.get(version, 0), devices)
    ranked = sorted(most, key=lambda version: (-days[last].get(version, 0), -most[version], version))
    return sorted(ranked[:MAX_LAYERS], key=newest_first)


def _row(found: Mapping[str, int], names: Sequence[str], *, rest: bool) -> tuple[int, ...]:
    counts = tuple(found.get(name, 0) for name in names)
    return (*counts, sum(found.values()) - sum(counts)) if rest else counts


def _column(moment: int, row: Sequence[int], names: Sequence[str], x: float, width: float, top: int) -> list[Piece]:
    pieces, y = [], float(HEIGHT)
    for place, (name, devices) in enumerate(zip(names, row, strict=True)):
        if not devices:
            continue
        height = (HEIGHT - 12) * devices / top
        y -= height
        pieces.append(
            Piece(
                at_ms=moment,
                x=round(x + width * 0.06, 3),
                width=round(width * 0.88, 3),
                y=round(y, 2),
                height=round(height, 2),
                shade=_shade(place, name),
                text=f"{name or 'not said'}: {devices:,}",
            )
        )
    return pieces


def _shade(place: int, name: str) -> int:
    return MAX_LAYERS if name == OTHERS else place
