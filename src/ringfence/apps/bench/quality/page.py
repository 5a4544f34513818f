"""The page of `ringfence bench quality`: a table by scenario, with the peer beside it."""

from typing import Any

READING = (
    "*Found* is the first alert about one of the case's accounts, ranges or sources between its first call and an hour after its last, a",
    "test call days before included; *lost* is what its calls cost that no block refused, running ones included; *saved* is the rest.",
    "Goals: 99 % of cases found, 97 % of the money, at most one ordinary account in 100,000 account-days refused.",
)


def page(figures: dict[str, Any], options: dict[str, Any]) -> str:
    """Markdown."""
    peer = figures.get("opensips")
    lines = [
        "# Quality of detection",
        "",
        "Written by `make bench` (`ringfence bench quality`) on labelled traffic of `ringfence simulate calls` with a seed that no",
        f"rule was tuned on: {options['accounts']:,} accounts, {options['days']} days ({figures['account_days']:,} account-days), seed",
        f"{options['seed']}, {figures['rows']:,} rows of the log, judged in {figures['wall_seconds']:,.0f} s on one core.",
        f"What is usual for each account was learned from {figures['history_days']} days before, and then every night.",
        "Every rule acts; a block holds from one second after the suspicion and ends the running calls that it names; from the third",
        "block of an account on, a person answers after a quarter of an hour. OpenSIPS: a model of its module fraud_detection with the",
        "thresholds of its own tutorial, a rule for each country, every call at `critical` refused.",
        "",
        "| scenario | cases | found | median | p90 | EUR in all | lost | saved | OpenSIPS found | OpenSIPS saved |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in figures["scenarios"].items():
        other = peer["scenarios"][name] if peer else {}
        cells = [
            name,
            str(row["cases"]),
            _percent(row["found_share"]),
            _seconds(row["seconds_median"]),
            _seconds(row["seconds_p90"]),
            f"{row['eur_total']:,.0f}",
            f"{row['eur_lost']:,.0f}",
            _percent(row["money_saved_share"]),
            _percent(other.get("found_share")),
            _percent(other.get("money_saved_share")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| per 100,000 account-days | Ringfence | OpenSIPS |", "|---|---:|---:|"]
    for title, name in (
        ("ordinary accounts alerted", "falsely_alerted_per_100k_account_days"),
        ("ordinary accounts refused a call", "falsely_blocked_per_100k_account_days"),
    ):
        lines.append(f"| {title} | {figures[name]:.2f} | {peer[name]:.2f} |" if peer else f"| {title} | {figures[name]:.2f} | |")
    lines += ["", f"False alerts by rule: {_counts(figures['false_alerts_by_rule'])}."]
    lines += [f"False blocks by rule: {_counts(figures['false_blocks_by_rule'])}.", "", *READING, ""]
    return "\n".join(lines)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share * 100:.1f} %"


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    if value < 120:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7_200 else f"{value / 3_600:.1f} h"
