"""Domain values as the templates take them: words added, secrets and internals left out. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ringfence.apps.console import words
from ringfence.apps.console.show import number
from ringfence.detection.service import AlertRecord
from ringfence.enforcement.model import Block, EdgeReport, Exemption, Proposal
from ringfence.views.board import Board, LiveAlert

SILENT_EDGE_MS = 15_000
"""An edge report older than this means that its connector is down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownBlock:
    """A block on a page."""

    block_id: str
    words: str
    reason: str
    by: str
    origin: str
    imposed_ms: int
    until_ms: int
    tone: str
    state_word: str
    running: bool
    account: str
    alert_id: str
    hits: int
    loss_micro: int
    false_block_micro: int
    ended_ms: int
    ended_by: str
    ended_reason: str
    calls: Sequence[str]


def block(entry: Block, now_ms: int) -> ShownBlock:
    """A block in words."""
    state = words.block_state(entry, now_ms)
    return ShownBlock(
        block_id=entry.block_id,
        words=words.refuses(entry.scope, entry.value, entry.destination_class),
        reason=entry.reason,
        by=words.whose(entry.author),
        origin=words.whose(entry.origin),
        imposed_ms=entry.imposed_ms,
        until_ms=entry.until_ms,
        tone=state.tone,
        state_word=state.word,
        running=entry.in_force(now_ms),
        account=entry.account,
        alert_id=entry.alert_id,
        hits=entry.hits,
        loss_micro=entry.loss_micro,
        false_block_micro=entry.false_block_micro,
        ended_ms=entry.ended_ms,
        ended_by=words.whose(entry.ended_by),
        ended_reason=entry.ended_reason,
        calls=entry.calls,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownProposal:
    """A proposal on a page."""

    proposal_id: str
    words: str
    why: str
    reason: str
    origin: str
    given: int
    needed: int
    approvers: Sequence[str]
    subjects: int
    cost_micro: int
    loss_micro: int
    false_block_micro: int
    ends: int
    """Running calls that its block would end."""
    seconds: int
    created_ms: int
    until_ms: int
    alert_id: str
    account: str


def proposal(entry: Proposal, approvers: Sequence[str]) -> ShownProposal:
    """A proposal in words."""
    return ShownProposal(
        proposal_id=entry.proposal_id,
        words=words.refuses(entry.plan.scope, entry.plan.value, entry.plan.destination_class),
        why=words.why_waiting(entry),
        reason=entry.reason,
        origin=words.whose(entry.origin),
        given=len(approvers),
        needed=entry.approvals_needed,
        approvers=approvers,
        subjects=entry.subjects,
        cost_micro=entry.cost_micro,
        loss_micro=entry.loss_micro,
        false_block_micro=entry.false_block_micro,
        ends=len(entry.ends),
        seconds=entry.plan.seconds,
        created_ms=entry.created_ms,
        until_ms=entry.until_ms,
        alert_id=entry.alert_id,
        account=entry.account,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownExemption:
    """An exemption on a page."""

    exemption_id: str
    words: str
    owner: str
    reason: str
    author: str
    until_ms: int


def exemption(entry: Exemption) -> ShownExemption:
    """An exemption in words."""
    return ShownExemption(
        exemption_id=entry.exemption_id,
        words=words.exempts(entry),
        owner=entry.owner,
        reason=entry.reason,
        author=words.whose(entry.author),
        until_ms=entry.until_ms,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownEdge:
    """An edge on a page."""

    edge: str
    tone: str
    word: str
    message: str
    keys: int
    waiting: int
    latency_ms: float
    checked_ms: int
    repaired: int
    refills: int
    include_version: str


def edge(report: EdgeReport, now_ms: int) -> ShownEdge:
    """How an edge stands, in a word."""
    if now_ms - report.at_ms > SILENT_EDGE_MS:
        tone, word = "warning", "no word from its connector"
    elif not report.reachable:
        tone, word = "critical", "cannot be reached"
    elif not report.agrees:
        tone, word = "warning", "being brought into agreement"
    else:
        tone, word = "good", "agrees"
    return ShownEdge(
        edge=report.edge,
        tone=tone,
        word=word,
        message=report.message,
        keys=report.keys,
        waiting=report.waiting,
        latency_ms=report.last_change_latency_ms,
        checked_ms=report.last_full_check_ms,
        repaired=report.repaired,
        refills=report.refills,
        include_version=report.include_version,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A role of the product in the list of parts."""

    name: str
    tone: str
    word: str
    note: str


PARTS = {
    "ingest": "Ingest",
    "detector": "Detector",
    "policy": "Policy",
    "edge": "Edge connector",
    "worker": "Worker",
    "api": "API",
}


def parts(board: Board, *, database_down: bool) -> list[Part]:
    """Every role with its state, then the engines."""
    shown = [_part(role, name, board) for role, name in PARTS.items()]
    database = ("critical", "down", "history and search wait for it") if database_down else ("good", "up", "")
    bus = ("good", "up", "") if board.connected else ("critical", "down", "these figures have stopped")
    shown.append(Part(name="PostgreSQL", tone=database[0], word=database[1], note=database[2]))
    shown.append(Part(name="NATS", tone=bus[0], word=bus[1], note=bus[2]))
    return shown


def _part(role: str, name: str, board: Board) -> Part:
    alive = board.alive(role)
    if not alive:
        return Part(name=name, tone="critical", word="silent", note="no heartbeat for 3 seconds; it is started again by itself")
    troubled = [status for status in alive if not status.healthy]
    if troubled:
        return Part(name=name, tone="warning", word="in trouble", note=troubled[0].message[:300])
    more = f"{len(alive)} instances" if len(alive) > 1 else ""
    return Part(name=name, tone="good", word="up", note=more)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAlert:
    """An alert on a page, from the live board or from PostgreSQL."""

    alert_id: str
    state: str
    severity: str
    rule: str
    rule_version: int
    subject_value: str
    account: str
    reason: str
    score: int
    cost_micro: int
    opened_ms: int
    changed_ms: int
    acknowledged_by: str
    acknowledged_ms: int
    feedback: str
    feedback_by: str
    feedback_note: str
    blocked: bool = False
    """A block in force touches its account."""
    also: tuple[str, ...] = ()
    """Other rules that flag the same subject now."""


def alert(entry: LiveAlert | AlertRecord, with_whom: str = "", *, blocked: bool = False, also: tuple[str, ...] = ()) -> ShownAlert:
    """An alert; `with_whom` says who acknowledged a live one."""
    stored = entry if isinstance(entry, AlertRecord) else None
    return ShownAlert(
        alert_id=entry.alert_id,
        state=entry.state,
        severity=entry.severity,
        rule=entry.rule,
        rule_version=entry.rule_version,
        subject_value=number_or_name(entry.subject_kind, entry.subject_value),
        account=entry.account,
        reason=entry.reason,
        score=entry.score,
        cost_micro=entry.cost_micro,
        opened_ms=entry.opened_ms,
        changed_ms=entry.changed_ms,
        acknowledged_by=stored.acknowledged_by if stored else with_whom,
        acknowledged_ms=stored.acknowledged_ms if stored else 0,
        feedback=stored.feedback if stored else "",
        feedback_by=stored.feedback_by if stored else "",
        feedback_note=stored.feedback_note if stored else "",
        blocked=blocked,
        also=also,
    )


def number_or_name(kind: str, value: str) -> str:
    """A prefix with its plus, everything else as it is."""
    return number(value) if kind == "prefix" else value


def with_people(fresh: ShownAlert, stored: ShownAlert) -> ShownAlert:
    """Live figures with what people did about it."""
    return replace(
        fresh,
        acknowledged_by=stored.acknowledged_by,
        acknowledged_ms=stored.acknowledged_ms,
        feedback=stored.feedback,
        feedback_by=stored.feedback_by,
        feedback_note=stored.feedback_note,
    )
