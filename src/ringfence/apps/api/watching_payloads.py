"""What the routes of calls, edges and the overview give."""

from datetime import datetime

from ringfence.apps.api.payloads import Said, at
from ringfence.base.money import as_euro
from ringfence.enforcement.model import EdgeReport
from ringfence.views.history import Call


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
