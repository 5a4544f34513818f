"""What the routes of alerts and attacks take and give."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from ringfence.apps.api.payloads import Heard, Said, at
from ringfence.base.money import as_euro
from ringfence.detection.service import AlertRecord, AttackRecord, Feedback
from ringfence.views.board import LiveAlert


class SubjectSaid(Said):
    """Whom an alert is about."""

    kind: str
    value: str


class EvidenceSaid(Said):
    """The calls, the thresholds in force and what was observed."""

    calls: list[str]
    thresholds: dict[str, Any]
    observed: dict[str, Any]


class AlertSaid(Said):
    """An alert with what people did about it."""

    alert_id: str
    state: str
    rule: str
    rule_version: int
    severity: str
    subject: SubjectSaid
    account: str
    score: int
    cost_eur: float
    reason: str
    evidence: EvidenceSaid
    opened_at: datetime | None
    changed_at: datetime | None
    closed_at: datetime | None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    feedback: str = ""
    feedback_by: str = ""
    feedback_note: str = ""

    @classmethod
    def of(cls, alert: AlertRecord | LiveAlert) -> "AlertSaid":
        """From PostgreSQL, or from the live board."""
        people: dict[str, Any] = {}
        if isinstance(alert, AlertRecord):
            people = {
                "acknowledged_at": at(alert.acknowledged_ms),
                "acknowledged_by": alert.acknowledged_by,
                "feedback": alert.feedback,
                "feedback_by": alert.feedback_by,
                "feedback_note": alert.feedback_note,
            }
        return cls(
            alert_id=alert.alert_id,
            state=alert.state,
            rule=alert.rule,
            rule_version=alert.rule_version,
            severity=alert.severity,
            subject=SubjectSaid(kind=alert.subject_kind, value=alert.subject_value),
            account=alert.account,
            score=alert.score,
            cost_eur=as_euro(alert.cost_micro),
            reason=alert.reason,
            evidence=EvidenceSaid(calls=list(alert.evidence.calls), thresholds=alert.evidence.thresholds, observed=alert.evidence.observed),
            opened_at=at(alert.opened_ms),
            changed_at=at(alert.changed_ms),
            closed_at=at(alert.closed_ms),
            **people,
        )


class FacetSaid(Said):
    """What the alerts of an attack share: `range` (first digits), `source`, `network` or `pattern`."""

    kind: str
    value: str


class AttackSaid(Said):
    """Alerts that belong together. `merged_into` names the attack that it became part of."""

    attack_id: str
    state: str
    running: bool
    accounts: int
    alerts: int
    critical: int
    cost_eur: float
    eur_per_minute: float
    shares: list[FacetSaid]
    reason: str
    opened_at: datetime | None
    changed_at: datetime | None
    closed_at: datetime | None
    merged_into: str = ""

    @classmethod
    def of(cls, attack: AttackRecord) -> "AttackSaid":
        """From PostgreSQL."""
        return cls(
            attack_id=attack.attack_id,
            state=attack.state,
            running=attack.running,
            accounts=attack.accounts,
            alerts=attack.alerts,
            critical=attack.critical,
            cost_eur=as_euro(attack.cost_micro),
            eur_per_minute=attack.eur_per_minute,
            shares=[FacetSaid(kind=kind, value=value) for kind, value in attack.facets],
            reason=attack.reason,
            opened_at=at(attack.opened_ms),
            changed_at=at(attack.changed_ms),
            closed_at=at(attack.closed_ms),
            merged_into=attack.merged_into,
        )


class AttackList(Said):
    """Attacks, newest first."""

    attacks: list[AttackSaid]


class AttackDetail(AttackSaid):
    """One attack with its alerts, the dearest first, and the proposals and blocks that would stop it."""

    its_alerts: list["AlertSaid"]
    proposals: list[str]
    blocks: list[str]


class AlertList(Said):
    """A page of alerts, newest first; `next` goes into `before` for the following page."""

    alerts: list[AlertSaid]
    next: str = ""


class FeedbackHeard(Heard):
    """What an alert turned out to be."""

    feedback: Feedback
    note: Annotated[str, Field(max_length=1000)] = ""
