"""What the API says and hears, as pydantic models: the OpenAPI document is made of these.

Times are ISO 8601 in UTC (`_at`), money is euro (`_eur`), both for people; inside, both are integers. Unknown fields in orders are refused.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ringfence.access.model import Actor, AuditEntry, User
from ringfence.base.money import as_euro
from ringfence.detection.service import AlertRecord, AttackRecord, Feedback, RateDeckVersion, RuleSetVersion
from ringfence.enforcement.commands import Done
from ringfence.enforcement.model import Block, EdgeReport, Exemption, Proposal, Scope
from ringfence.subscribers.model import Account, ImportReport, Network
from ringfence.views.board import LiveAlert
from ringfence.views.history import Call, DryRun, Figure

Text = Annotated[str, Field(max_length=128)]
Reason = Annotated[str, Field(min_length=3, max_length=500)]


def at(milliseconds: int) -> datetime | None:
    """An instant; None for never."""
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC) if milliseconds else None


class Said(BaseModel):
    """What the API answers."""

    model_config = ConfigDict(frozen=True)


class Heard(BaseModel):
    """What the API is told: a field that it does not know is refused, so that a misspelt one is not silently lost."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SignIn(Heard):
    """Name and password, and the authenticator's code when the person has one."""

    name: Text
    password: Annotated[str, Field(max_length=200)]
    totp: Annotated[str, Field(max_length=10)] = ""


class SessionSaid(Said):
    """A session's token and what it may do. With `must_change_password` it may do nothing until the password is changed."""

    token: str
    expires_at: datetime | None
    name: str
    permissions: list[str]
    must_change_password: bool


class Me(Said):
    """Who the token belongs to."""

    name: str
    permissions: list[str]
    must_change_password: bool

    @classmethod
    def of(cls, actor: Actor) -> "Me":
        """From an actor."""
        return cls(name=actor.name, permissions=sorted(actor.permissions), must_change_password=actor.must_change_password)


class NewPassword(Heard):
    """The present password and the one to come."""

    current: Annotated[str, Field(max_length=200)]
    new: Annotated[str, Field(max_length=200)]


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


class BlockSaid(Said):
    """A block."""

    block_id: str
    scope: Scope
    value: str
    destination_class: int
    state: str
    imposed_at: datetime | None
    until_at: datetime | None
    origin: str
    author: str
    reason: str
    account: str
    alert_id: str
    calls: list[str]
    hits: int
    ended_at: datetime | None
    ended_by: str
    ended_reason: str

    @classmethod
    def of(cls, block: Block) -> "BlockSaid":
        """From the record."""
        return cls(
            block_id=block.block_id,
            scope=block.scope,
            value=block.value,
            destination_class=block.destination_class,
            state=block.state,
            imposed_at=at(block.imposed_ms),
            until_at=at(block.until_ms),
            origin=block.origin,
            author=block.author,
            reason=block.reason,
            account=block.account,
            alert_id=block.alert_id,
            calls=list(block.calls),
            hits=block.hits,
            ended_at=at(block.ended_ms),
            ended_by=block.ended_by,
            ended_reason=block.ended_reason,
        )


class BlockList(Said):
    """A page of blocks, newest first."""

    blocks: list[BlockSaid]
    next: str = ""


class ImposeHeard(Heard):
    """A block to impose, or with `dry_run` only what it would have refused in the last 24 hours."""

    scope: Scope
    value: Text
    destination_class: Annotated[int, Field(ge=0, le=5)] = 0
    hours: Annotated[int, Field(ge=1, le=8784)] = 24
    reason: Annotated[str, Field(max_length=500)] = ""
    break_glass: bool = False
    alert_id: Text = ""
    account: Text = ""
    dry_run: bool = False


class DryRunSaid(Said):
    """Calls and accounts that would have been refused in the last 24 hours."""

    calls: int
    accounts: int
    examples: list[str]

    @classmethod
    def of(cls, found: DryRun) -> "DryRunSaid":
        """From the views."""
        return cls(calls=found.calls, accounts=found.accounts, examples=list(found.examples))


class Outcome(Said):
    """What became of an order. `proposal_id` without `block_id`: it waits for people."""

    block_id: str = ""
    proposal_id: str = ""
    exemption_id: str = ""
    approvals: int = 0
    approvals_needed: int = 0
    message: str = ""
    dry_run: DryRunSaid | None = None

    @classmethod
    def of(cls, done: Done) -> "Outcome":
        """From policy's answer."""
        return cls(
            block_id=done.block_id,
            proposal_id=done.proposal_id,
            exemption_id=done.exemption_id,
            approvals=done.approvals,
            approvals_needed=done.approvals_needed,
            message=done.message,
        )


class ReasonHeard(Heard):
    """Why."""

    reason: Reason


class Nothing(Heard):
    """An order without particulars."""


class ProposalSaid(Said):
    """A block that waits for people."""

    proposal_id: str
    cause: str
    state: str
    scope: Scope
    value: str
    destination_class: int
    seconds: int
    approvals_needed: int
    approved_by: list[str]
    subjects: int
    cost_eur: float
    ends: int
    """Running calls that its block would end, where they still run."""
    origin: str
    reason: str
    account: str
    alert_id: str
    created_at: datetime | None
    until_at: datetime | None

    @classmethod
    def of(cls, entry: Proposal, approvers: list[str]) -> "ProposalSaid":
        """From the record."""
        return cls(
            proposal_id=entry.proposal_id,
            cause=entry.cause,
            state=entry.state,
            scope=entry.plan.scope,
            value=entry.plan.value,
            destination_class=entry.plan.destination_class,
            seconds=entry.plan.seconds,
            approvals_needed=entry.approvals_needed,
            approved_by=approvers,
            subjects=entry.subjects,
            cost_eur=as_euro(entry.cost_micro),
            ends=len(entry.ends),
            origin=entry.origin,
            reason=entry.reason,
            account=entry.account,
            alert_id=entry.alert_id,
            created_at=at(entry.created_ms),
            until_at=at(entry.until_ms),
        )


class ExemptionSaid(Said):
    """What nothing automatic touches."""

    exemption_id: str
    scope: str
    value: str
    owner: str
    reason: str
    author: str
    created_at: datetime | None
    until_at: datetime | None

    @classmethod
    def of(cls, entry: Exemption) -> "ExemptionSaid":
        """From the record."""
        return cls(
            exemption_id=entry.exemption_id,
            scope=entry.scope,
            value=entry.value,
            owner=entry.owner,
            reason=entry.reason,
            author=entry.author,
            created_at=at(entry.created_ms),
            until_at=at(entry.until_ms),
        )


class ExemptHeard(Heard):
    """An exemption to make."""

    scope: Scope
    value: Text
    owner: Annotated[str, Field(min_length=1, max_length=100)]
    hours: Annotated[int, Field(ge=1, le=8784)]
    reason: Reason


class EdgeSaid(Said):
    """What the connector knows of an edge."""

    edge: str
    at: datetime | None
    reachable: bool
    agrees: bool
    message: str
    keys: int
    waiting: int
    last_full_check_at: datetime | None
    repaired: int
    refills: int
    last_change_latency_ms: float
    include_version: str

    @classmethod
    def of(cls, report: EdgeReport) -> "EdgeSaid":
        """From its report."""
        return cls(
            edge=report.edge,
            at=at(report.at_ms),
            reachable=report.reachable,
            agrees=report.agrees,
            message=report.message,
            keys=report.keys,
            waiting=report.waiting,
            last_full_check_at=at(report.last_full_check_ms),
            repaired=report.repaired,
            refills=report.refills,
            last_change_latency_ms=report.last_change_latency_ms,
            include_version=report.include_version,
        )


class CallSaid(Said):
    """A call."""

    call_id: str
    account: str
    caller: str
    callee: str
    country: str
    destination_class: int
    started_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    status_code: int
    cost_eur: float
    source_ip: str
    user_agent: str
    edge: str
    refused: bool

    @classmethod
    def of(cls, call: Call) -> "CallSaid":
        """From the views."""
        return cls(
            call_id=call.call_id,
            account=call.account,
            caller=call.caller,
            callee=call.callee,
            country=call.country,
            destination_class=call.destination_class,
            started_at=at(call.started_ms),
            answered_at=at(call.answered_ms),
            ended_at=at(call.ended_ms),
            status_code=call.status_code,
            cost_eur=as_euro(call.cost_micro),
            source_ip=call.source_ip,
            user_agent=call.user_agent,
            edge=call.edge,
            refused=call.refused,
        )


class FigureSaid(Said):
    """What an account did in a period; `dear_calls` are C3 and above."""

    period: str
    calls: int
    dear_calls: int
    cost_eur: float

    @classmethod
    def of(cls, figure: Figure) -> "FigureSaid":
        """From the views."""
        return cls(period=figure.name, calls=figure.calls, dear_calls=figure.dear, cost_eur=as_euro(figure.cost_micro))


class AccountSaid(Said):
    """An account: what is known of it, what it did, whether it is blocked. `known` false: never imported, judged as residential."""

    account: str
    known: bool
    customer: str = ""
    segment: str = "residential"
    channels: int = 1
    since_at: datetime | None = None
    country: str = ""
    own_device: bool = False
    exempt_until_at: datetime | None = None
    sensitivity: int = 0
    line: str = ""
    blocked: bool
    figures: list[FigureSaid]

    @classmethod
    def of(cls, name: str, found: Account | None, figures: list[FigureSaid], *, blocked: bool) -> "AccountSaid":
        """From the customer list and the views."""
        if found is None:
            return cls(account=name, known=False, figures=figures, blocked=blocked)
        return cls(
            account=found.account,
            known=True,
            customer=found.customer,
            segment=found.segment.value,
            channels=found.channels,
            since_at=at(found.since_ms),
            country=found.country,
            own_device=found.own_device,
            exempt_until_at=at(found.exempt_until_ms),
            sensitivity=found.sensitivity,
            line=found.line,
            blocked=blocked,
            figures=figures,
        )


class BadRowSaid(Said):
    """A row that was not imported."""

    line: int
    reason: str
    message: str


class ChangedSaid(Said):
    """A row that an import wrote: what happened (`added`, `changed`, `removed`), and the fields that are others now."""

    key: str
    difference: str
    fields: list[str]


class ImportSaid(Said):
    """What an import did. `examples`: the first hundred rows that were written; `changed_fields`: how often each field changed."""

    import_id: str
    kind: str
    rows: int
    bad: int
    added: int
    changed: int
    removed: int
    same: int
    bad_rows: list[BadRowSaid]
    changed_fields: dict[str, int]
    examples: list[ChangedSaid]

    @classmethod
    def of(cls, report: ImportReport) -> "ImportSaid":
        """From the import's report."""
        return cls(
            import_id=report.import_id,
            kind=report.kind,
            rows=report.rows,
            bad=report.bad,
            added=report.added,
            changed=report.changed,
            removed=report.removed,
            same=report.same,
            bad_rows=[BadRowSaid(line=row.line, reason=row.reason, message=row.message) for row in report.bad_rows],
            changed_fields=dict(report.changed_fields),
            examples=[
                ChangedSaid(key=change.key, difference=change.difference.value, fields=list(change.fields)) for change in report.examples
            ],
        )


class NetworkSaid(Said):
    """One of the operator's own ranges."""

    prefix: str
    kind: str
    comment: str

    @classmethod
    def of(cls, network: Network) -> "NetworkSaid":
        """From the list."""
        return cls(prefix=network.prefix, kind=network.kind.value, comment=network.comment)


class RateDeckSaid(Said):
    """A version of the rate deck; the newest is in force."""

    version: int
    prefixes: int
    author: str
    saved_at: datetime | None

    @classmethod
    def of(cls, deck: RateDeckVersion) -> "RateDeckSaid":
        """From the list."""
        return cls(version=deck.version, prefixes=deck.prefixes, author=deck.author, saved_at=at(deck.saved_ms))


class RuleSetSaid(Said):
    """A version of the rules."""

    version: int
    note: str
    author: str
    saved_at: datetime | None
    activated_at: datetime | None
    activated_by: str
    active: bool

    @classmethod
    def of(cls, rules: RuleSetVersion) -> "RuleSetSaid":
        """From the list."""
        return cls(
            version=rules.version,
            note=rules.note,
            author=rules.author,
            saved_at=at(rules.saved_ms),
            activated_at=at(rules.activated_ms),
            activated_by=rules.activated_by,
            active=rules.active,
        )


class RuleTextSaid(Said):
    """A version with its TOML."""

    version: int
    toml: str


class RulesHeard(Heard):
    """A rule set to keep; with `activate` it judges from now on."""

    toml: Annotated[str, Field(max_length=262_144)]
    note: Annotated[str, Field(max_length=1000)] = ""
    activate: bool = False


class VersionSaid(Said):
    """The version that was made."""

    version: int


class UserSaid(Said):
    """A person."""

    name: str
    roles: list[str]
    disabled: bool
    must_change_password: bool
    totp_enrolled: bool
    created_at: datetime | None
    signed_in_at: datetime | None

    @classmethod
    def of(cls, user: User) -> "UserSaid":
        """From the list."""
        return cls(
            name=user.name,
            roles=sorted(user.roles),
            disabled=user.disabled,
            must_change_password=user.must_change_password,
            totp_enrolled=user.totp_enrolled,
            created_at=at(user.created_ms),
            signed_in_at=at(user.signed_in_ms),
        )


class UserHeard(Heard):
    """A person to add."""

    name: Annotated[str, Field(max_length=63)]
    roles: Annotated[list[Literal["analyst", "engineer", "lead", "hotline", "auditor", "administrator"]], Field(min_length=1, max_length=6)]


class OneTimeSaid(Said):
    """A one-time password, told once."""

    name: str
    password: str


class AuditSaid(Said):
    """One link of the audit chain."""

    entry_id: int
    at: datetime | None
    actor: str
    action: str
    subject: str
    detail: dict[str, str | int | bool]
    digest: str

    @classmethod
    def of(cls, entry: AuditEntry) -> "AuditSaid":
        """From the chain."""
        return cls(
            entry_id=entry.entry_id,
            at=at(entry.at_ms),
            actor=entry.actor,
            action=entry.action,
            subject=entry.subject,
            detail=dict(entry.detail),
            digest=entry.digest,
        )


class PartSaid(Said):
    """A living instance of a role."""

    role: str
    instance: str
    healthy: bool
    message: str
    figures: dict[str, float]


class OverviewSaid(Said):
    """What is happening now. `live` false: NATS is away and this is the last that it said."""

    at: datetime | None
    live: bool
    risk_eur_per_minute: float
    alerts_critical: int
    alerts_warning: int
    blocks: int
    proposals: int
    edges: int
    edges_agreeing: int
    breakers_open: list[str]
    calls_per_second: float | None
    parts: list[PartSaid]
