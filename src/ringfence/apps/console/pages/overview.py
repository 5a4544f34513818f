"""The live overview: what is burning, what it costs a minute, whether every part does its work. From NATS alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from ringfence.access.model import Permission
from ringfence.apps.console import attacked, pictures, shown, words
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.live import stream
from ringfence.apps.console.places import at_home, desk_of
from ringfence.apps.console.routing import Acting, Open, Pages
from ringfence.apps.console.templating import may_of
from ringfence.base.money import show_euro
from ringfence.views.board import LiveAlert

pages = Pages()

BURNING = 12
"""Subjects on the overview; the list has them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The tiles. Money in micro-euro a minute, `calls` attempts a second, None = nobody tells."""

    risk_micro: int
    risk_note: str
    risk_spark: pictures.Spark | None
    critical: int
    warning: int
    unacknowledged: int | None
    calls: float | None
    calls_spark: pictures.Spark | None
    blocks: int
    blocks_note: str
    proposals: int
    edges: int
    edges_agreeing: int
    edges_note: str
    breakers_open: bool
    breaker_note: str


@pages.page("/", permission=Open.SIGNED_IN)
async def show_overview(request: Request, actor: Acting) -> Response:
    """The first page; who may not see it is led to the one they may."""
    if not actor.may(Permission.OVERVIEW_READ):
        return RedirectResponse("/me/password" if actor.must_change_password else at_home(actor), status_code=303)
    desk = desk_of(request)
    return desk.renderer.page(request, "overview.html", **await _context(desk))


@pages.page("/live/overview", permission=Permission.OVERVIEW_READ)
async def live_overview(request: Request, actor: Acting) -> Response:
    """The overview's regions, each second."""
    desk = desk_of(request)
    may = may_of(actor.permissions)

    async def regions() -> Mapping[str, str]:
        context = await _context(desk) | {"may": may}
        return {
            "figures": desk.renderer.fragment("parts/figures.html", **context),
            "burning": desk.renderer.fragment("parts/burning.html", **context),
            "health": desk.renderer.fragment("parts/health.html", **context),
        }

    return stream(request, desk, Permission.OVERVIEW_READ, regions)


async def _context(desk: Desk) -> dict[str, Any]:
    board = desk.board
    with_whom = await desk.acknowledged()
    attacks = attacked.live(board)
    alone = [alert for alert in board.running() if not board.attacks.attack_of(alert.alert_id)]
    return {
        "figures": _figures(desk, with_whom),
        "attacks": attacks,
        "alerts": _by_subject(desk, alone, with_whom)[:BURNING],
        "nothing": "No alert beside those of the attacks." if attacks else "Nothing is burning. No alert is open.",
        "parts": shown.parts(board, database_down=bool(desk.outage)),
    }


def _by_subject(desk: Desk, running: list[LiveAlert], with_whom: Mapping[str, str]) -> list[shown.ShownAlert]:
    """One row a subject: its gravest alert, and which other rules flag it. Those that nothing blocks yet come first."""
    subjects: dict[tuple[str, str], list[LiveAlert]] = {}
    for alert in running:
        subjects.setdefault((alert.subject_kind, alert.subject_value), []).append(alert)
    rows = []
    for alerts in subjects.values():
        gravest = alerts[0]
        whose = next((name for alert in alerts if (name := with_whom.get(alert.alert_id))), "")
        also = tuple(sorted({alert.rule for alert in alerts} - {gravest.rule}))
        rows.append(shown.alert(gravest, whose, blocked=desk.blocked(gravest.account), also=also))
    return sorted(rows, key=lambda row: (row.severity != "critical", row.blocked))


def _figures(desk: Desk, with_whom: Mapping[str, str]) -> Figures:
    board = desk.board
    running = board.running()
    critical = [alert for alert in running if alert.severity == "critical"]
    paying = {(alert.subject_kind, alert.subject_value) for alert in running if board.rate_micro(alert)}
    blocks, edges = board.blocks_in_force(), [shown.edge(report, desk.clock()) for report in board.edges.values()]
    agreeing = sum(edge.tone == "good" for edge in edges)
    broken = [breaker for breaker in board.breakers.values() if breaker.is_open]
    samples = list(board.samples)
    automatic = sum(block.automatic for block in blocks)
    return Figures(
        risk_micro=board.risk_micro(),
        risk_note=_risk_note(len(paying), board.held_micro()),
        risk_spark=pictures.spark([sample.risk_micro / 1_000_000 for sample in samples], unit="euro a minute"),
        critical=len(critical),
        warning=sum(alert.severity == "warning" for alert in running),
        unacknowledged=None if desk.outage else sum(alert.alert_id not in with_whom for alert in critical),
        calls=board.figure("ingest", "calls_per_second"),
        calls_spark=pictures.spark([sample.calls_per_second for sample in samples], unit="calls a second"),
        blocks=len(blocks),
        blocks_note=f"{automatic:,} automatic, {len(blocks) - automatic:,} by people",
        proposals=len(board.open_proposals()),
        edges=len(edges),
        edges_agreeing=agreeing,
        edges_note="all hold what is in force" if edges and agreeing == len(edges) else _worst(edges),
        breakers_open=bool(broken),
        breaker_note=f"{words.joined([each.kind for each in broken])} blocks stopped" if broken else "automatic blocks flow",
    )


def _risk_note(subjects: int, held_micro: int) -> str:
    """A block refuses the next call and leaves running ones alone: what those still cost is said beside it."""
    still = f"; up to {show_euro(held_micro)} / min in calls that ran before their block" if held_micro else ""
    return f"by {words.counted(subjects, 'account')} not blocked{still}" if subjects else f"nothing goes on unblocked{still}"


def _worst(edges: list[shown.ShownEdge]) -> str:
    bad = next((edge for edge in edges if edge.tone == "critical"), next((edge for edge in edges if edge.tone != "good"), None))
    return f"{bad.edge}: {bad.word}" if bad else "none has reported"
