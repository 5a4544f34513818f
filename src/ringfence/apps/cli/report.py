"""The page that a drill leaves behind: one file, no script, readable on a phone and on paper, in light and dark."""

from html import escape

from ringfence.drills.model import DrillResult

_STYLE = """
:root { color-scheme: light dark; --ink: #1a2027; --dim: #5b6672; --line: #d7dde3; --bad: #b3261e; --good: #1b6e3c; --paper: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaee; --dim: #9aa7b4; --line: #2c3640; --bad: #ff8a80; --good: #7bd89b; --paper: #12171c; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 1rem; } .passed { color: var(--good); } .failed { color: var(--bad); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1rem; margin: 0 0 2rem; }
dt { color: var(--dim); font-size: .85rem; } dd { margin: 0; font-size: 1.5rem; font-variant-numeric: tabular-nums; }
ol { list-style: none; padding: 0; margin: 0; border-left: 2px solid var(--line); }
li { padding: .25rem 0 .25rem 1rem; overflow-wrap: anywhere; }
time { color: var(--dim); font-variant-numeric: tabular-nums; display: inline-block; min-width: 5rem; }
"""


def drill_page(result: DrillResult) -> str:
    """The whole page as text."""
    figures = [
        ("Alert after", _figure(result.seconds_to_alert, " s")),
        ("Block effective after", _figure(result.seconds_to_block, " s")),
        ("Lost", _figure(result.euro_lost, " EUR")),
        ("Lost without Ringfence", _figure(result.euro_lost_without, " EUR")),
        ("Customers refused wrongly", _figure(result.wrong_blocks, "")),
    ]
    shown = "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(value)}</dd></div>" for label, value in figures)
    moments = "".join(f"<li><time>{moment.at_seconds:.2f} s</time> {escape(moment.what)}</li>" for moment in result.timeline)
    verdict = "passed" if result.passed else "failed"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Drill {escape(result.drill)}</title><style>{_STYLE}</style></head><body>"
        f'<h1>Drill {escape(result.drill)}: <span class="{verdict}">{verdict}</span></h1><dl>{shown}</dl><ol>{moments}</ol></body></html>\n'
    )


def _figure(value: float | None, unit: str) -> str:
    return "none" if value is None else f"{value:,}{unit}"
