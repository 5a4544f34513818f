"""What the page of an alert rests on: its calls, the bars against the thresholds, the moments of its timeline, what could be blocked.

The calls come from the archive and the log through `views`; whatever cannot be read now is left out and the page says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ringfence.apps.console import pictures, words
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.show import number, span
from ringfence.base.errors import UnavailableError
from ringfence.detection.service import AlertRecord
from ringfence.enforcement.model import HOUR_MS
from ringfence.views.board import LiveAlert
from ringfence.views.history import Call, Figure

BEFORE_MS = 26 * HOUR_MS
"""The longest window looks a day back: an alert's calls began no earlier than this before it opened."""

Alert = AlertRecord | LiveAlert


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownCall:
    """A call on a page."""

    call_id: str
    callee: str
    country: str
    destination_class: int
    started_ms: int
    answered_ms: int
    ended_ms: int
    talked_seconds: float
    cost_micro: int
    source_ip: str
    user_agent: str
    refused: bool
    ending: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownMeter:
    """A bar with its words."""

    name: str
    bar: pictures.Meter
    observed: str
    warn: str
    act: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One thing that could be blocked from the page."""

    target: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAccount:
    """An account on a page, known or not."""

    account: str
    known: bool = False
    customer: str = ""
    segment: str = ""
    channels: int = 1
    since_ms: int = 0
    own_device: bool = False
    sensitivity: int = 0
    exempt_until_ms: int = 0
    figures: Sequence[Figure] = ()


async def calls_of(desk: Desk, alert: Alert) -> list[ShownCall]:
    """The calls that the alert names, oldest first; empty when they cannot be read now."""
    if not alert.evidence.calls:
        return []
    try:
        found = await desk.views.calls(
            account=alert.account, call_ids=alert.evidence.calls, since_ms=alert.opened_ms - BEFORE_MS, limit=len(alert.evidence.calls)
        )
    except UnavailableError:
        return []
    return sorted((_shown(call, desk.clock()) for call in found), key=lambda call: call.started_ms)


async def calls_since(desk: Desk, *, account: str = "", number: str = "", since_ms: int, limit: int) -> list[ShownCall] | None:
    """Calls newest first; None when they cannot be read now."""
    try:
        found = await desk.views.calls(account=account, number=number.removeprefix("+"), since_ms=since_ms, limit=limit)
    except UnavailableError:
        return None
    return [_shown(call, desk.clock()) for call in found]


async def account_facts(desk: Desk, name: str) -> ShownAccount:
    """What is known of an account and what it did; unknown while PostgreSQL is down."""
    found = await desk.or_else(desk.subscribers.account(name), None)
    try:
        figures: Sequence[Figure] = await desk.views.account_figures(name)
    except UnavailableError:
        figures = ()
    if found is None:
        return ShownAccount(account=name, figures=figures)
    return ShownAccount(
        account=found.account,
        known=True,
        customer=found.customer,
        segment=found.segment.value,
        channels=found.channels,
        since_ms=found.since_ms,
        own_device=found.own_device,
        sensitivity=found.sensitivity,
        exempt_until_ms=found.exempt_until_ms,
        figures=figures,
    )


async def moments_of(desk: Desk, alert: Alert) -> list[pictures.Moment]:
    """Opened, critical, blocked: the lines across the picture."""
    moments = [pictures.Moment(at_ms=alert.opened_ms, name="flagged")]
    if isinstance(alert, AlertRecord):
        steps = await desk.or_else(desk.detection.steps(alert.alert_id), ())
        critical = next((step.at_ms for step in steps if step.severity == "critical"), 0)
        if critical > alert.opened_ms:
            moments.append(pictures.Moment(at_ms=critical, name="critical"))
    earliest = alert.opened_ms - BEFORE_MS
    blocked = [
        block.imposed_ms
        for block in desk.board.blocks.values()
        if block.alert_id == alert.alert_id or (alert.account and block.account == alert.account and block.imposed_ms >= earliest)
    ]
    if blocked:
        moments.append(pictures.Moment(at_ms=min(blocked), name="blocked"))
    return moments


def timed(call: ShownCall) -> pictures.TimedCall:
    """What the picture needs of a call."""
    lasted = f"talked {span(call.talked_seconds)}" if call.answered_ms else call.ending
    return pictures.TimedCall(
        call_id=call.call_id,
        title=f"{number(call.callee)} {call.country}, C{call.destination_class}, {lasted}",
        destination_class=call.destination_class,
        started_ms=call.started_ms,
        answered_ms=call.answered_ms,
        ended_ms=call.ended_ms,
        refused=call.refused,
    )


def meters(rule: str, thresholds: Mapping[str, Any], observed: Mapping[str, Any]) -> list[ShownMeter]:
    """The bar of observed against thresholds; none when the evidence is of a form we do not know."""
    values = [source.get(name) for source, name in ((observed, "value"), (thresholds, "warn"), (thresholds, "act"))]
    known = [float(value) for value in values if isinstance(value, int | float)]
    if len(known) != 3:
        return []
    unit = str(thresholds.get("unit", ""))
    lowered = [why for key, why in (("off_hours", "night, weekend or holiday"), ("new_account", "new account")) if thresholds.get(key)]
    name = f"{words.RULES.get(rule, rule)}{f' (stricter: {words.joined(lowered)})' if lowered else ''}"
    seen, warn, act = (words.measured(value, unit) for value in known)
    return [ShownMeter(name=name, bar=pictures.meter(*known), observed=seen, warn=warn, act=act)]


def choices(alert: Alert) -> list[Choice]:
    """What a person may block from here, the smallest useful first."""
    if not alert.account:
        return []
    return [
        Choice(target=f"class:3:{alert.account}", words="calls to C3 and above (dear foreign numbers)"),
        Choice(target=f"class:2:{alert.account}", words="calls to C2 and above (all foreign numbers)"),
        Choice(target=f"account::{alert.account}", words="all calls, except emergency"),
    ]


def _shown(call: Call, now_ms: int) -> ShownCall:
    end = call.ended_ms or (now_ms if call.answered_ms else 0)
    ending = "ended" if call.ended_ms and call.answered_ms else f"status {call.status_code}" if call.status_code else "no answer"
    return ShownCall(
        call_id=call.call_id,
        callee=call.callee.removeprefix("+"),
        country=call.country,
        destination_class=call.destination_class,
        started_ms=call.started_ms,
        answered_ms=call.answered_ms,
        ended_ms=call.ended_ms,
        talked_seconds=max(0, end - call.answered_ms) / 1000 if call.answered_ms else 0.0,
        cost_micro=call.cost_micro,
        source_ip=call.source_ip,
        user_agent=call.user_agent,
        refused=call.refused,
        ending=ending,
    )
