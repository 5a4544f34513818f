"""Composed rules: the list with precision, the composer with its preview, one rule with its history, and what may be done with it."""

from typing import Any

import msgspec
from fastapi import Request
from starlette.responses import HTMLResponse, Response

from ringfence.access.model import Permission
from ringfence.apps.console.composer import ComposerForm, choices, form_of, in_words, lines_of, plain, rule_of, text_of
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.forms import Short, read_form, read_query
from ringfence.apps.console.places import desk_of, said
from ringfence.apps.console.routing import Acting, Pages
from ringfence.apps.console.words import Shown
from ringfence.base.errors import ConflictError, ForbiddenError, OperatorError, UnavailableError
from ringfence.detection.composed import KEYS, ComposedRule
from ringfence.detection.composed_text import read_one, show_limit, show_window
from ringfence.detection.composing.service import ComposedRecord, InForceState
from ringfence.views.composed_consent import ASKED, UNSEEN
from ringfence.views.composed_preview import MAX_DAYS, Preview

pages = Pages()

STATES = {
    "active": Shown(tone="good", word="active"),
    "probation": Shown(tone="info", word="on probation"),
    "draft": Shown(tone="still", word="draft"),
    "retired": Shown(tone="still", word="retired"),
}


class _From(msgspec.Struct, frozen=True):
    rule: Short = ""


class _Which(msgspec.Struct, frozen=True):
    version: Short = ""
    confirm: Short = ""
    days: Short = "30"


@pages.page("/rules", permission=Permission.RULE_READ)
async def show_rules(request: Request) -> Response:
    """The list: active, on probation, drafts, retired."""
    desk = desk_of(request)
    return desk.renderer.page(request, "rules.html", rules=await desk.composing.rules(), states=STATES, precise=precise)


@pages.page("/rules/new", permission=Permission.RULE_COMPOSE)
async def show_composer(request: Request) -> Response:
    """The composer: empty, or filled with the newest version of a rule."""
    wanted = read_query(request, _From)
    form = ComposerForm()
    if wanted.rule:
        form = form_of(read_one((await desk_of(request).composing.rule(wanted.rule)).toml))
    return _composer(request, form)


@pages.action("/rules/preview", permission=Permission.RULE_COMPOSE)
async def preview_fragment(request: Request) -> Response:
    """What the form's rule would have done, as a fragment."""
    desk = desk_of(request)
    seen = await _seen(desk, await read_form(request, ComposerForm))
    return HTMLResponse(desk.renderer.fragment("parts/rule_preview.html", **seen))


@pages.action("/rules/new", permission=Permission.RULE_COMPOSE)
async def preview_page(request: Request) -> Response:
    """The same for a browser without scripts."""
    form = await read_form(request, ComposerForm)
    return _composer(request, form, **await _seen(desk_of(request), form))


@pages.action("/rules", permission=Permission.RULE_COMPOSE)
async def save_rule(request: Request, actor: Acting) -> Response:
    """Keep it as a new version. A mistake comes back with the form and what to change."""
    desk = desk_of(request)
    form = await read_form(request, ComposerForm)
    try:
        [(rule_id, version)] = await desk.composing.save(_single(text_of(form)), actor.name, form.note)
    except ForbiddenError:
        raise
    except OperatorError as error:
        return _composer(request, form, status=422, trouble=plain(str(error), form))
    await desk.record(actor, "save_composed_rule", rule_id, {"version": version})
    return said(f"/rules/{rule_id}", "rule_saved")


@pages.page("/rules/{rule_id}", permission=Permission.RULE_READ)
async def show_rule(request: Request, rule_id: str) -> Response:
    """One rule: what it says, what it did, who let it."""
    return await _rule(request, await desk_of(request).composing.rule(rule_id))


@pages.action("/rules/{rule_id}/preview", permission=Permission.RULE_READ)
async def preview_rule(request: Request, rule_id: str) -> Response:
    """What a kept version would have done."""
    desk = desk_of(request)
    entry = await read_form(request, _Which)
    record = await desk.composing.rule(rule_id)
    version = _version(entry, record)
    return await _rule(request, record, **await _looked(desk, await desk.composing.read(rule_id, version), version, entry.days))


@pages.action("/rules/{rule_id}/probation", permission=Permission.RULE_COMPOSE)
async def put_on_probation(request: Request, actor: Acting, rule_id: str) -> Response:
    """Alerts of severity info; nothing follows from them."""
    return await _put(request, actor, rule_id, "probation")


@pages.action("/rules/{rule_id}/activate", permission=Permission.RULE_WRITE)
async def activate_rule(request: Request, actor: Acting, rule_id: str) -> Response:
    """Judge in the rule's own mode."""
    return await _put(request, actor, rule_id, "active")


@pages.action("/rules/{rule_id}/retire", permission=Permission.RULE_COMPOSE)
async def retire_rule(request: Request, actor: Acting, rule_id: str) -> Response:
    """Judge no more."""
    desk = desk_of(request)
    record = await desk.composing.rule(rule_id)
    await desk.composing.put(rule_id, record.version or record.newest, "retired", actor.name)
    await desk.record(actor, "retire_composed_rule", rule_id)
    return said(f"/rules/{rule_id}", "rule_retired")


def precise(fraud: int, not_fraud: int) -> str:
    """`67 %` of the answered alerts were fraud; an empty text before the first answer."""
    return f"{fraud / (fraud + not_fraud):.0%}".replace("%", " %") if fraud + not_fraud else ""


async def _put(request: Request, actor: Acting, rule_id: str, state: InForceState) -> Response:
    desk = desk_of(request)
    entry = await read_form(request, _Which)
    record = await desk.composing.rule(rule_id)
    version = _version(entry, record)
    rule = await desk.composing.read(rule_id, version)
    try:
        note = await desk.rule_previews.consent(rule, version, confirmed=entry.confirm == "yes")
    except ConflictError as error:
        if error.reason not in (ASKED, UNSEEN):
            raise
        asked = {"state": state, "told": f"{str(error)[:1].upper()}{str(error)[1:]}.", "version": version}
        return await _rule(request, record, status=409, asked=asked)
    await desk.composing.put(rule_id, version, state, actor.name, note)
    await desk.record(actor, "put_composed_rule", rule_id, {"version": version, "state": state, "confirmed": entry.confirm == "yes"})
    return said(f"/rules/{rule_id}", f"rule_{state}")


async def _rule(request: Request, record: ComposedRecord, *, status: int = 200, **context: Any) -> Response:
    desk = desk_of(request)
    rule = read_one(record.toml)
    return desk.renderer.page(
        request,
        "rule.html",
        status=status,
        rule=record,
        words=_words(rule),
        state=STATES[record.state],
        states=STATES,
        precise=precise,
        versions=await desk.composing.versions(record.rule_id),
        steps=await desk.composing.steps(record.rule_id),
        **{"preview": None, "trouble": "", "asked": None} | context,
    )


def _words(rule: ComposedRule) -> list[tuple[str, str]]:
    counted = {"calls": "rows", "cost": "cost", "minutes": "minutes"}.get(rule.quantity) or f"different {KEYS[rule.of].many}"
    limits = f"acts at {show_limit(rule, rule.act)}"
    if rule.warn != rule.act:
        limits = f"warns at {show_limit(rule, rule.warn)}, {limits}"
    unit = {"cost": " euro", "minutes": " minutes"}.get(rule.quantity, "")
    return [
        ("Looks at", rule.event.value),
        ("Where", "; ".join(in_words(predicate) for predicate in rule.where) or "every row"),
        ("Counts", f"{counted} per {rule.per} within {show_window(rule.window_ms)}"),
        ("Limits", limits + unit),
        ("Mode", rule.mode),
    ]


def _composer(request: Request, form: ComposerForm, *, status: int = 200, **context: Any) -> Response:
    return desk_of(request).renderer.page(
        request, "rule_new.html", status=status, form=form, lines=lines_of(form), **choices(), **{"preview": None, "trouble": ""} | context
    )


async def _seen(desk: Desk, form: ComposerForm) -> dict[str, Any]:
    try:
        rule = rule_of(form)
    except OperatorError as error:
        return {"preview": None, "trouble": plain(str(error), form)}
    return await _looked(desk, rule, 1, form.days)


async def _looked(desk: Desk, rule: ComposedRule, version: int, days: str) -> dict[str, Any]:
    try:
        found: Preview | None = await desk.rule_previews.preview(
            rule, days=int(days) if days.isascii() and days.isdigit() and len(days) < 4 else MAX_DAYS + 1, version=version
        )
    except (OperatorError, UnavailableError) as error:
        return {"preview": None, "trouble": f"{str(error)[:1].upper()}{str(error)[1:]}"}
    return {"preview": found, "trouble": ""}


def _version(entry: _Which, record: ComposedRecord) -> int:
    return int(entry.version) if entry.version.isascii() and entry.version.isdigit() and len(entry.version) < 10 else record.newest


def _single(text: str) -> str:
    read_one(text)
    return text
