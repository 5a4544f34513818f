"""What the routes of accounts, their networks and imports give."""

from datetime import datetime

from ringfence.apps.api.payloads import Said, at
from ringfence.base.money import as_euro
from ringfence.subscribers.model import Account, ImportReport, Network
from ringfence.views.history import Figure


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


class ChangedRowSaid(Said):
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
    examples: list[ChangedRowSaid]

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
                ChangedRowSaid(key=change.key, difference=change.difference.value, fields=list(change.fields)) for change in report.examples
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
