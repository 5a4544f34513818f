"""Blocks: the list, one of them, lifting, and blocking by hand with a dry run before it.

The list of what is in force comes from NATS, everything older from PostgreSQL. Policy decides what becomes of an order: a block, a proposal
for two people, or a refusal with its reason.
"""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

import msgspec
from fastapi import Request
from starlette.responses import HTMLResponse, Response

from ringfence.access.model import Actor, Permission
from ringfence.apps.console import shown, words
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.forms import Hours, Reason, Short, Text, read_form, read_query
from ringfence.apps.console.live import stream
from ringfence.apps.console.places import desk_of, said
from ringfence.apps.console.routing import Acting, Pages
from ringfence.base.errors import ForbiddenError, OperatorError
from ringfence.enforcement.commands import ImposeBlock, LiftBlock
from ringfence.enforcement.model import HOUR_MS, Block, Scope, normal_value
from ringfence.enforcement.service import BlockFilter, cursor_of
from ringfence.views.history import DryRun, subjects_of

pages = Pages()

PAGE = 100
STATES = (("active", "in force"), ("lifted", "lifted"), ("expired", "expired"), ("all", "all"))
SCOPES = (
    ("", "any scope"),
    ("number", "number"),
    ("range", "number range"),
    ("class", "class of an account"),
    ("account", "account"),
    ("source", "source address"),
)
CLASSES = (
    ("5", "C5: 1 EUR a minute and above"),
    ("4", "C4 and above: 25 ct"),
    ("3", "C3 and above: 5 ct"),
    ("2", "C2 and above: all foreign"),
)
DURATIONS = (("1", "1 hour"), ("12", "12 hours"), ("24", "24 hours"), ("72", "3 days"), ("168", "1 week"), ("720", "30 days"))
MASS = 100
"""More accounts than this need two people; policy counts exactly."""

Path = Annotated[str, msgspec.Meta(max_length=500)]


class _Filter(msgspec.Struct, frozen=True):
    state: Annotated[str, msgspec.Meta(pattern="^(active|lifted|expired|all)$")] = "active"
    scope: Annotated[str, msgspec.Meta(pattern="^(number|range|class|account|source|)$")] = ""
    text: Short = ""
    before: Short = ""


class _Entry(msgspec.Struct, frozen=True):
    """The form of a block by hand; from an alert's page `target` holds scope and class in one."""

    scope: Annotated[str, msgspec.Meta(pattern="^(number|range|class|account|source)$")] = "class"
    value: Short = ""
    destination_class: Annotated[str, msgspec.Meta(pattern="^[2-5]$")] = "3"
    hours: Hours = 24
    reason: Text = ""
    break_glass: Short = ""
    alert_id: Short = ""
    account: Short = ""
    target: Short = ""
    back: Path = "/blocks"


class _Lift(msgspec.Struct, frozen=True):
    reason: Reason
    back: Path = "/blocks"


@pages.page("/blocks", permission=Permission.BLOCK_READ)
async def show_blocks(request: Request) -> Response:
    """The list."""
    desk = desk_of(request)
    wanted = read_query(request, _Filter)
    context = await _list(desk, wanted)
    query = urlencode(msgspec.to_builtins(wanted))
    return desk.renderer.page(
        request, "blocks.html", filter=wanted, query=query, states=STATES, scopes=SCOPES, summary=_summary(desk), **context
    )


@pages.page("/live/blocks", permission=Permission.BLOCK_READ)
async def live_blocks(request: Request) -> Response:
    """The list of what is in force, as it changes."""
    desk = desk_of(request)
    wanted = read_query(request, _Filter)

    async def regions() -> Mapping[str, str]:
        return {"list": desk.renderer.fragment("parts/block_rows.html", **await _list(desk, wanted))}

    return stream(request, desk, Permission.BLOCK_READ, regions)


@pages.page("/blocks/new", permission=Permission.BLOCK_IMPOSE)
async def show_new_block(request: Request) -> Response:
    """The form."""
    return _form(request, read_query(request, _Entry))


@pages.action("/blocks/dry-run", permission=Permission.BLOCK_IMPOSE)
async def try_block(request: Request) -> Response:
    """What it would have refused, as a fragment for the form."""
    desk = desk_of(request)
    verdict = await _verdict(desk, await read_form(request, _Entry))
    return HTMLResponse(desk.renderer.fragment("parts/verdict.html", verdict=verdict))


@pages.action("/blocks/preview", permission=Permission.BLOCK_IMPOSE)
async def preview_block(request: Request) -> Response:
    """The same for a browser without scripts."""
    entry = await read_form(request, _Entry)
    return _form(request, entry, verdict=await _verdict(desk_of(request), entry))


@pages.action("/blocks", permission=Permission.BLOCK_IMPOSE)
async def impose_block(request: Request, actor: Acting) -> Response:
    """Order it. A mistake comes back with the form and what to change."""
    desk = desk_of(request)
    entry = _targeted(await read_form(request, _Entry))
    try:
        command = await _command(desk, entry, actor)
        done = await desk.order(command)
    except ForbiddenError:
        raise
    except OperatorError as error:
        if entry.alert_id:
            raise
        return _form(request, entry, status=422, trouble=f"{str(error)[:1].upper()}{str(error)[1:]}.")
    return said(entry.back, "imposed" if done.block_id else "proposed")


@pages.page("/blocks/{block_id}", permission=Permission.BLOCK_READ)
async def show_block(request: Request, block_id: str) -> Response:
    """One block."""
    desk = desk_of(request)
    found = desk.board.blocks.get(block_id) or await desk.enforcement.block(block_id)
    return desk.renderer.page(request, "block.html", block=shown.block(found, desk.clock()))


@pages.action("/blocks/{block_id}/lift", permission=Permission.BLOCK_LIFT)
async def lift_block(request: Request, actor: Acting, block_id: str) -> Response:
    """End it now."""
    entry = await read_form(request, _Lift)
    await desk_of(request).order(LiftBlock(block_id=block_id, reason=entry.reason, by=actor.name))
    return said(entry.back, "lifted")


def _form(request: Request, entry: _Entry, *, status: int = 200, trouble: str = "", verdict: "_Verdict | None" = None) -> Response:
    return desk_of(request).renderer.page(
        request,
        "block_new.html",
        status=status,
        entry=msgspec.to_builtins(entry) | {"hours": str(entry.hours)},
        scopes=[(value, name) for value, name in SCOPES if value],
        classes=CLASSES,
        durations=DURATIONS,
        trouble=trouble,
        verdict=verdict,
    )


async def _list(desk: Desk, wanted: _Filter) -> dict[str, Any]:
    now = desk.clock()
    if wanted.state == "active":
        found = [entry for entry in desk.board.blocks_in_force() if _fits(entry, wanted)][: 5 * PAGE]
        following = ""
    else:
        state = "" if wanted.state == "all" else wanted.state
        scope = Scope(wanted.scope) if wanted.scope else None
        asked = BlockFilter(state=state, scope=scope, search=wanted.text)
        found = list(await desk.enforcement.blocks(asked, before=wanted.before, limit=PAGE))
        rest = msgspec.to_builtins(wanted) | {"before": cursor_of(found[-1])} if len(found) == PAGE else {}
        following = f"/blocks?{urlencode(rest)}" if rest else ""
    filtered = wanted.scope or wanted.text
    nothing = "No block fits. Take a filter away to see more." if filtered else "Nothing is blocked."
    return {"blocks": [shown.block(entry, now) for entry in found], "next": following, "nothing": nothing}


def _fits(entry: Block, wanted: _Filter) -> bool:
    text = wanted.text.removeprefix("+")
    in_text = not text or entry.value.startswith(text) or entry.account.startswith(text)
    return in_text and (not wanted.scope or entry.scope == wanted.scope)


def _summary(desk: Desk) -> str:
    blocks = desk.board.blocks_in_force()
    automatic = sum(entry.automatic for entry in blocks)
    return f"{words.counted(len(blocks), 'block')} in force: {automatic:,} automatic, {len(blocks) - automatic:,} by people"


class _Verdict(msgspec.Struct, frozen=True):
    """The dry run in words."""

    tone: str
    sentence: str
    lines: tuple[str, ...] = ()


async def _verdict(desk: Desk, entry: _Entry) -> _Verdict | None:
    """None while there is nothing to try yet; a mistake or an outage is a verdict too."""
    if not entry.value:
        return None
    try:
        value = normal_value(Scope(entry.scope), entry.value, _class_of(entry))
    except OperatorError as error:
        return _Verdict(tone="warning", sentence=f"{str(error)[:1].upper()}{str(error)[1:]}.")
    found = await desk.or_else(_dry_run(desk, entry, value), None)
    if found is None:
        return _Verdict(tone="warning", sentence="The last 24 hours cannot be read now; the block itself can still be imposed.")
    what = words.refuses(entry.scope, value, _class_of(entry))
    sentence = f"It would have refused {words.counted(found.calls, 'call')} of {words.counted(found.accounts, 'account')} in the last 24 h."
    lines = [f"Refused: {what}."]
    if found.examples:
        lines.append(f"Among them: {', '.join(found.examples)}.")
    if found.accounts > MASS:
        lines.append("That is a mass measure: it becomes a proposal that two people approve.")
    tone = "critical" if found.accounts > MASS else "warning" if found.accounts > 1 else "info"
    return _Verdict(tone=tone, sentence=sentence, lines=tuple(lines))


async def _dry_run(desk: Desk, entry: _Entry, value: str) -> DryRun:
    return await desk.views.dry_run(Scope(entry.scope), value, _class_of(entry))


async def _command(desk: Desk, entry: _Entry, actor: Actor) -> ImposeBlock:
    scope, wanted_class = Scope(entry.scope), _class_of(entry)
    if entry.break_glass:
        actor.require(Permission.BREAK_GLASS)
    value = normal_value(scope, entry.value, wanted_class)
    found = await desk.or_else(_dry_run(desk, entry, value), None)
    return ImposeBlock(
        scope=scope,
        value=value,
        destination_class=wanted_class,
        until_ms=desk.clock() + entry.hours * HOUR_MS,
        reason=entry.reason,
        by=actor.name,
        break_glass=bool(entry.break_glass),
        subjects=subjects_of(scope, found),
        alert_id=entry.alert_id,
        account=entry.account,
    )


def _targeted(entry: _Entry) -> _Entry:
    """From an alert's page: `class:3:value` in one field, because one press is enough there."""
    if not entry.target:
        return entry
    scope, wanted_class, value = [*entry.target.split(":", 2), "", ""][:3]
    if scope not in {kind.value for kind in Scope}:
        raise OperatorError("choose what to block", reason="bad_target")
    changed = {"scope": scope, "value": value} | ({"destination_class": wanted_class} if wanted_class in {"2", "3", "4", "5"} else {})
    return msgspec.structs.replace(entry, **changed)


def _class_of(entry: _Entry) -> int:
    return int(entry.destination_class) if entry.scope == "class" else 0
