"""The page of a backtest: one file without scripts, for a phone and a wall, in light and dark."""

from collections import Counter
from html import escape

from ringfence.base.money import show_euro
from ringfence.detection.agent import Result, RuleSet
from ringfence.detection.model import Alert

MAX_ALERTS = 500
"""Alerts listed, newest state of each, costliest first; the JSON lines have them all."""
DAY_MS = 86_400_000
MAX_DAYS = 62

_STYLE = """
:root { color-scheme: light dark; --ink: #1b2430; --dim: #5d6b7a; --line: #d9e0e7; --paper: #fbfcfd; --card: #fff; --bad: #b42318;
  --warn: #a15c00;
  --bar: #2f6fde; --good: #19713f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7ecf1; --dim: #98a6b5; --line: #2b3742; --paper: #10161c; --card: #172029; --bad: #ff8a7d; --warn: #f0b35b;
  --bar: #6da2ff;
    --good: #74d69a; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1rem 4rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; } p { margin: .3rem 0; }
.dim { color: var(--dim); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .8rem; margin: 1.4rem 0; }
.figure { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .7rem .9rem; }
.figure b { display: block; font-size: 1.4rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.figure span { color: var(--dim); font-size: .85rem; }
.good b { color: var(--good); }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .6rem; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: .92rem; } th, td { padding: .45rem .7rem; text-align: left;
  vertical-align: top; }
th { color: var(--dim); font-weight: 600; border-bottom: 1px solid var(--line); } tr + tr td { border-top: 1px solid var(--line); }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; } tfoot td { font-weight: 600;
  border-top: 2px solid var(--line); }
.alert { background: var(--card); border: 1px solid var(--line); border-left: .3rem solid var(--warn); border-radius: .4rem;
  padding: .6rem .8rem; margin: .6rem 0; }
.alert.critical { border-left-color: var(--bad); } .alert b { overflow-wrap: anywhere; } .alert p { overflow-wrap: anywhere; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--dim); font-size: 11px; }
@media print { body { max-width: none; } .scroll { overflow: visible; } }
"""


def backtest_page(result: Result, rules: RuleSet, notes: list[str], reaction_seconds: int) -> str:
    """The whole page as text."""
    assert result.total is not None
    newest: dict[str, Alert] = {}
    opened: dict[str, str] = {}
    for alert in result.alerts:
        opened.setdefault(alert.alert_id, alert.at)
        if alert.state != "close":
            newest[alert.alert_id] = alert
    listed = sorted(newest.values(), key=lambda alert: (-alert.cost_eur, alert.at, alert.alert_id))
    figures = [
        ("", f"{result.calls:,}", "calls"),
        ("", show_euro(result.cost_micro), "cost of all C2+ calls"),
        ("", f"{result.total.alerts:,}", f"alerts, {result.total.critical:,} of them critical"),
        ("", f"{result.total.accounts:,}", "accounts alerted"),
        ("", show_euro(result.total.cost_seen_micro), "cost of those accounts"),
        ("good", show_euro(result.total.cost_after_micro), f"avoided when blocked {reaction_seconds} s after the first alert"),
    ]
    cards = "".join(
        f'<div class="figure {kind}"><b>{escape(value)}</b><span>{escape(label)}</span></div>' for kind, value, label in figures
    )
    more = f'<p class="dim">The costliest {MAX_ALERTS:,} of {len(listed):,} are shown.</p>' if len(listed) > MAX_ALERTS else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Backtest, rule set {rules.version}</title><style>{_STYLE}</style></head><body>"
        f'<h1>Backtest</h1><p class="dim">Rule set {rules.version}. {escape(_span(result))}</p>'
        f"{''.join(f'<p>{escape(note)}</p>' for note in notes)}"
        f'<div class="figures">{cards}</div>{_days(list(opened.values()))}<h2>By rule</h2>{_table(result)}'
        f"<h2>Alerts</h2>{more}{''.join(_alert(alert, opened[alert.alert_id]) for alert in listed[:MAX_ALERTS])}"
        f"{'' if listed else '<p>No rule would have said anything.</p>'}</body></html>\n"
    )


def _span(result: Result) -> str:
    if not result.calls:
        return "No calls."
    hours = (result.last_ms - result.first_ms) / 3_600_000
    return f"{hours:,.0f} hours of calls." if hours < 72 else f"{hours / 24:,.0f} days of calls."


def _table(result: Result) -> str:
    assert result.total is not None
    heads = ("Alerts", "Critical", "Accounts", "Cost seen", "Loss avoided")

    def line(tag: str) -> str:
        return "".join(f'<{tag} class="n">{head}</{tag}>' for head in heads)

    rows = []
    for figures in (*result.rules, result.total):
        cells = (
            f"{figures.alerts:,}",
            f"{figures.critical:,}",
            f"{figures.accounts:,}",
            show_euro(figures.cost_seen_micro),
            show_euro(figures.cost_after_micro),
        )
        shown = "".join(f'<td class="n">{escape(cell)}</td>' for cell in cells)
        rows.append(f"<tr><td>{escape(figures.rule)}</td><td>{escape(figures.name)}</td>{shown}</tr>")
    return (
        f'<div class="scroll"><table><thead><tr><th>Rule</th><th>What</th>{line("th")}</tr></thead>'
        f"<tbody>{''.join(rows[:-1])}</tbody><tfoot>{rows[-1]}</tfoot></table></div>"
    )


def _alert(alert: Alert, opened: str) -> str:
    return (
        f'<div class="alert {escape(alert.severity)}"><b>{escape(alert.subject.value)}</b> <span class="dim">{escape(alert.rule)} · '
        f"{escape(alert.severity)} · {escape(opened[:19].replace('T', ' '))} UTC · EUR {alert.cost_eur:,.2f}</span>"
        f"<p>{escape(alert.reason)}</p></div>"
    )


def _days(opened: list[str]) -> str:
    """Alerts a day as bars, the last two months of them."""
    counts = Counter(at[:10] for at in opened)
    days = sorted(counts)[-MAX_DAYS:]
    if len(days) < 2:
        return ""
    highest = max(counts[day] for day in days)
    width = 620 / len(days)
    bars = "".join(
        f'<rect x="{10 + place * width:.1f}" y="{110 - 96 * counts[day] / highest:.1f}" width="{max(width - 2, 1):.1f}" '
        f'height="{96 * counts[day] / highest:.1f}" rx="1.5" fill="var(--bar)"><title>{day}: {counts[day]} alerts</title></rect>'
        for place, day in enumerate(days)
    )
    return (
        '<h2>Alerts opened a day</h2><div class="scroll"><svg viewBox="0 0 640 132" role="img" aria-label="Alerts opened a day">'
        f'{bars}<text x="10" y="126">{days[0]}</text><text x="630" y="126" text-anchor="end">{days[-1]}</text>'
        f'<text x="630" y="12" text-anchor="end">highest {highest:,}</text></svg></div>'
    )
