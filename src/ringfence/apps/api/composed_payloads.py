"""What the routes of composed rules take and give."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from ringfence.apps.api.payloads import Heard, Said, at
from ringfence.base.money import as_euro
from ringfence.detection.composing.service import ComposedRecord, ComposedStep, ComposedVersion, Label
from ringfence.views.composed_preview import DEFAULT_DAYS, MAX_DAYS, Preview

Toml = Annotated[str, Field(max_length=262_144)]
Days = Annotated[int, Field(ge=1, le=MAX_DAYS)]


class ComposedHeard(Heard):
    """Rules to keep, as TOML."""

    toml: Toml
    note: Annotated[str, Field(max_length=1000)] = ""


class TextPreviewHeard(Heard):
    """A rule to look at, as TOML."""

    toml: Toml
    days: Days = DEFAULT_DAYS


class PreviewHeard(Heard):
    """A kept version to look at; 0: the newest."""

    version: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    days: Days = DEFAULT_DAYS


class StateHeard(Heard):
    """Which version shall judge (0: the newest), and whether the person has seen that it alerts on many."""

    version: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    confirm: bool = False


class SavedSaid(Said):
    """A version that was kept."""

    rule_id: str
    version: int


class ComposedSaid(Said):
    """A composed rule. `precision` is the share of fraud among its alerts that people decided; null before the first."""

    rule_id: str
    title: str
    state: str
    version: int
    newest: int
    alerts: int
    fraud: int
    not_fraud: int
    unsure: int
    precision: float | None
    author: str
    note: str
    saved_at: datetime | None
    changed_at: datetime | None
    changed_by: str
    toml: str

    @classmethod
    def of(cls, rule: ComposedRecord) -> "ComposedSaid":
        """From the list."""
        return cls(**_facts(rule))


class VersionOfSaid(Said):
    """A kept version and its own alerts."""

    version: int
    title: str
    author: str
    note: str
    saved_at: datetime | None
    alerts: int
    fraud: int
    not_fraud: int
    toml: str


class StepSaid(Said):
    """A change of state; `note` says what was seen before it."""

    version: int
    state: str
    changed_at: datetime | None
    changed_by: str
    note: str


class ComposedWholeSaid(ComposedSaid):
    """A rule with its history."""

    versions: list[VersionOfSaid]
    steps: list[StepSaid]

    @classmethod
    def whole(cls, rule: ComposedRecord, versions: Sequence[ComposedVersion], steps: Sequence[ComposedStep]) -> "ComposedWholeSaid":
        """From its parts."""
        return cls(
            **_facts(rule),
            versions=[
                VersionOfSaid(
                    version=one.version,
                    title=one.title,
                    author=one.author,
                    note=one.note,
                    saved_at=at(one.saved_ms),
                    alerts=one.alerts,
                    fraud=one.fraud,
                    not_fraud=one.not_fraud,
                    toml=one.toml,
                )
                for one in versions
            ],
            steps=[
                StepSaid(version=one.version, state=one.state, changed_at=at(one.changed_ms), changed_by=one.changed_by, note=one.note)
                for one in steps
            ],
        )


class ExampleSaid(Said):
    """An alert that the rule would have opened."""

    alert_id: str
    at: datetime | None
    severity: str
    subject_kind: str
    subject: str
    reason: str


class PreviewSaid(Said):
    """What a rule would have done. Money is of calls to C2 and above."""

    rule_id: str
    from_at: datetime | None
    to_at: datetime | None
    rows: int
    alerts: int
    critical: int
    accounts: int
    all_accounts: int
    share: float
    caught_eur: float
    seen_eur: float
    missed_eur: float
    missed_accounts: int
    labelled_fraud: int
    labelled_not_fraud: int
    asks: bool
    too_broad: bool
    seconds: float
    examples: list[ExampleSaid]

    @classmethod
    def of(cls, found: Preview) -> "PreviewSaid":
        """From the view; the newest hundred alerts."""
        return cls(
            rule_id=found.rule_id,
            from_at=at(found.from_ms),
            to_at=at(found.to_ms),
            rows=found.rows,
            alerts=found.alerts,
            critical=found.critical,
            accounts=found.accounts,
            all_accounts=found.all_accounts,
            share=found.share,
            caught_eur=as_euro(found.caught_micro),
            seen_eur=as_euro(found.seen_micro),
            missed_eur=as_euro(found.missed_micro),
            missed_accounts=found.missed_accounts,
            labelled_fraud=found.labelled_fraud,
            labelled_not_fraud=found.labelled_not_fraud,
            asks=found.asks,
            too_broad=found.too_broad,
            seconds=round(found.seconds, 3),
            examples=[
                ExampleSaid(
                    alert_id=one.alert_id,
                    at=at(one.at_ms),
                    severity=one.severity,
                    subject_kind=one.subject_kind,
                    subject=one.subject,
                    reason=one.reason,
                )
                for one in found.examples[:100]
            ],
        )


class LabelSaid(Said):
    """Somebody's answer to an alert."""

    alert_id: str
    rule: str
    rule_version: int
    subject_kind: str
    subject: str
    account: str
    severity: str
    score: int
    cost_eur: float
    opened_at: datetime | None
    feedback: str
    feedback_at: datetime | None
    feedback_by: str
    note: str

    @classmethod
    def of(cls, label: Label) -> "LabelSaid":
        """From the list."""
        return cls(
            alert_id=label.alert_id,
            rule=label.rule,
            rule_version=label.rule_version,
            subject_kind=label.subject_kind,
            subject=label.subject_value,
            account=label.account,
            severity=label.severity,
            score=label.score,
            cost_eur=as_euro(label.cost_micro),
            opened_at=at(label.opened_ms),
            feedback=label.feedback,
            feedback_at=at(label.feedback_ms),
            feedback_by=label.feedback_by,
            note=label.feedback_note,
        )


def _facts(rule: ComposedRecord) -> dict[str, Any]:
    return {
        "rule_id": rule.rule_id,
        "title": rule.title,
        "state": rule.state,
        "version": rule.version,
        "newest": rule.newest,
        "alerts": rule.alerts,
        "fraud": rule.fraud,
        "not_fraud": rule.not_fraud,
        "unsure": rule.unsure,
        "precision": rule.precision,
        "author": rule.author,
        "note": rule.note,
        "saved_at": at(rule.saved_ms),
        "changed_at": at(rule.changed_ms),
        "changed_by": rule.changed_by,
        "toml": rule.toml,
    }
