"""Draws `docs/figures/kernel-growth.svg` from what `ringfence bench growth --json` printed: `python tools/growth_chart.py FILE`.

Four panels, one for what was changed; bars are nanoseconds of CPU time a call, the figure above each with bytes of state an account.
"""

import json
import sys
from pathlib import Path

TARGET = Path(__file__).parent.parent / "docs" / "figures" / "kernel-growth.svg"
PANELS = {"accounts": "accounts", "dear": "% of calls C3 and up", "lanes": "lanes", "rules": "rules"}
WIDTH, HEIGHT, BAR, TOP, FLOOR = 230, 260, 36, 60, 200


def main() -> None:
    """Read the figures, write the picture."""
    points = json.loads(Path(sys.argv[1]).read_text())["points"]
    highest = max(point["nanoseconds_per_call"] for point in points)
    parts = [panel(place, name, [p for p in points if p["changed"] == name], highest) for place, name in enumerate(PANELS)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH * len(PANELS)} {HEIGHT}" font-family="sans-serif" font-size="12">'
    title = '<text x="10" y="20" font-size="14">CPU time a call (ns) and state an account (bytes)</text>'
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text("\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', title, *parts, "</svg>\n"]))


def panel(place: int, name: str, points: list[dict[str, float]], highest: float) -> str:
    """Bars of one thing that was changed."""
    left = place * WIDTH + 14
    lines = [f'<text x="{left}" y="{HEIGHT - 14}" fill="#444">{PANELS[name]}</text>']
    for number, point in enumerate(points):
        x = left + number * (BAR + 14)
        height = round((FLOOR - TOP) * point["nanoseconds_per_call"] / highest)
        middle = x + BAR // 2
        lines += [
            f'<rect x="{x}" y="{FLOOR - height}" width="{BAR}" height="{height}" fill="#2f6f9f"/>',
            f'<text x="{middle}" y="{FLOOR - height - 18}" text-anchor="middle">{point["nanoseconds_per_call"]:.0f} ns</text>',
            f'<text x="{middle}" y="{FLOOR - height - 4}" text-anchor="middle" fill="#666">{point["state_bytes_per_account"]:.0f} B</text>',
            f'<text x="{middle}" y="{FLOOR + 16}" text-anchor="middle">{label(point[name])}</text>',
        ]
    return "\n".join(lines)


def label(value: float | str) -> str:
    """Millions as M."""
    return f"{value / 1e6:.0f} M" if isinstance(value, int) and value >= 1_000_000 else str(value)


if __name__ == "__main__":
    main()
