"""Attacks as the templates take them, from the live board or from PostgreSQL. Pure but for reading the board.

The one thing to know: an account's alerts count the same calls, so its dearest alert stands for it in both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from ringfence.apps.console.show import number
from ringfence.detection.attacks import Facet
from ringfence.detection.service import AttackRecord
from ringfence.views.board import Board, LiveAlert, observed_micro

NAMES = {"range": "calls to {}…", "source": "from {}", "network": "from the network {}", "pattern": "{}"}
KINDS = {"range": "Numbers that begin with", "source": "Address", "network": "Network", "pattern": "Device and rhythm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFacet:
    """What alerts share, and where its page is; `scope` is that of a block that would stop it, empty for none."""

    kind: str
    value: str
    path: str
    scope: str
    block_value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAttack:
    """An attack on a page. Money in micro-euro."""

    attack_id: str
    name: str
    running: bool
    state: str
    accounts: int
    alerts: int
    critical: int
    cost_micro: int
    rate_micro: int
    opened_ms: int
    closed_ms: int
    reason: str
    facets: Sequence[ShownFacet]
    merged_into: str = ""


def stored(record: AttackRecord) -> ShownAttack:
    """The copy in PostgreSQL."""
    return ShownAttack(
        attack_id=record.attack_id,
        name=_name(record.facets),
        running=record.running,
        state=record.state,
        accounts=record.accounts,
        alerts=record.alerts,
        critical=record.critical,
        cost_micro=record.cost_micro,
        rate_micro=round(record.eur_per_minute * 1_000_000),
        opened_ms=record.opened_ms,
        closed_ms=record.closed_ms,
        reason=record.reason,
        facets=[facet(each) for each in record.facets],
        merged_into=record.merged_into,
    )


def live(board: Board) -> list[ShownAttack]:
    """The running attacks as NATS tells them, the dearest a minute first."""
    found = []
    for attack in board.attacks.running():
        alerts = [alert for alert_id in attack.alerts if (alert := board.alerts.get(alert_id)) is not None]
        step = attack.step
        found.append(
            ShownAttack(
                attack_id=step.attack_id,
                name=_name(step.facets),
                running=True,
                state=step.state,
                accounts=step.accounts,
                alerts=len(attack.alerts),
                critical=sum(alert.severity == "critical" for alert in alerts),
                cost_micro=sum(_highest(alerts, [alert.cost_micro for alert in alerts])),
                rate_micro=sum(_highest(alerts, [observed_micro(alert) for alert in alerts])),
                opened_ms=attack.opened_ms,
                closed_ms=0,
                reason=step.reason,
                facets=[facet(each) for each in step.facets],
            )
        )
    return sorted(found, key=lambda each: (-each.rate_micro, -each.cost_micro, each.attack_id))


def facet(shared: Facet) -> ShownFacet:
    """One thing that alerts share."""
    kind, value = shared
    paths = {"range": f"/destinations/{quote(value)}", "source": f"/sources/{quote(value)}"}
    scope = kind if kind in paths else ""
    return ShownFacet(
        kind=KINDS[kind], value=number(value) if kind == "range" else value, path=paths.get(kind, ""), scope=scope, block_value=value
    )


def _name(facets: Sequence[Facet]) -> str:
    if not facets:
        return "Several accounts"
    kind, value = facets[0]
    name = NAMES[kind].format(number(value) if kind == "range" else value)
    return f"{name[:1].upper()}{name[1:]}"


def _highest(alerts: Sequence[LiveAlert], values: Sequence[int]) -> list[int]:
    by_account: dict[str, int] = {}
    for alert, value in zip(alerts, values, strict=True):
        by_account[alert.account] = max(by_account.get(alert.account, 0), value)
    return list(by_account.values())
