"""Sliders for the limits of built-in rules: a copy of the rule set in force, what it would have done, kept as a new version."""

import tomllib
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import tomlkit
from fastapi import Request
from starlette.responses import HTMLResponse, Response

from ringfence.access.model import Permission
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.forms import Short, Text, read_form, read_query
from ringfence.apps.console.places import desk_of, said
from ringfence.apps.console.routing import Acting, Pages
from ringfence.base.errors import ForbiddenError, NotFoundError, OperatorError, UnavailableError
from ringfence.detection.layout import COST_DETECTORS, Detector
from ringfence.detection.rules import SEGMENTS, read_rules

pages = Pages()

SAMPLES = ((16, "1 account in 64"), (128, "1 account in 8"), (1024, "all accounts"))
STRETCH = 4
"""A slider goes up to so many times the limit in force."""


class _Form(msgspec.Struct, frozen=True):
    rule: Short = "D02"
    residential_warn: Short = ""
    residential_act: Short = ""
    business_warn: Short = ""
    business_act: Short = ""
    trunk_warn: Short = ""
    trunk_act: Short = ""
    days: Annotated[int, msgspec.Meta(ge=1, le=90)] = 7
    slots: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 16
    note: Text = ""
    activate: Short = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slider:
    """A limit that can be moved."""

    name: str
    label: str
    value: str
    now: str
    low: str
    high: str
    step: str


@pages.page("/rules/thresholds", permission=Permission.RULE_READ)
async def show_thresholds(request: Request) -> Response:
    """The sliders of one rule."""
    return await _page(request, read_query(request, _Form))


@pages.action("/rules/thresholds/preview", permission=Permission.RULE_READ)
async def preview_thresholds(request: Request) -> Response:
    """What these limits would have done beside those in force, as a fragment."""
    desk = desk_of(request)
    form = await read_form(request, _Form)
    return HTMLResponse(desk.renderer.fragment("parts/threshold_preview.html", **await _seen(desk, form)))


@pages.action("/rules/thresholds/look", permission=Permission.RULE_READ)
async def look_at_thresholds(request: Request) -> Response:
    """The same for a browser without scripts."""
    form = await read_form(request, _Form)
    return await _page(request, form, **await _seen(desk_of(request), form))


@pages.action("/rules/thresholds", permission=Permission.RULE_WRITE)
async def save_thresholds(request: Request, actor: Acting) -> Response:
    """Keep them as a new version of the rule set, in force at once when that is wanted."""
    desk = desk_of(request)
    form = await read_form(request, _Form)
    try:
        version = await desk.detection.save_rules(_changed(await _active(desk), form), actor.name, form.note or f"limits of {form.rule}")
    except ForbiddenError:
        raise
    except OperatorError as error:
        return await _page(request, form, status=422, trouble=f"{str(error)[:1].upper()}{str(error)[1:]}")
    await desk.record(actor, "save_rules", str(version), {"rule": form.rule})
    if form.activate == "yes":
        await desk.detection.activate_rules(version, actor.name)
        await desk.record(actor, "activate_rules", str(version))
    return said(f"/rules/thresholds?rule={form.rule}", "limits_active" if form.activate == "yes" else "limits_saved")


async def _page(request: Request, form: _Form, *, status: int = 200, **context: Any) -> Response:
    desk = desk_of(request)
    text = await _active(desk)
    rules = read_rules(text)
    if form.rule not in {detector.name for detector in rules.rules}:
        raise NotFoundError(f"the rule set in force has no kernel rule {form.rule}", reason="no_rule")
    return desk.renderer.page(
        request,
        "thresholds.html",
        status=status,
        form=form,
        rule_names=[(detector.name, f"{detector.name}: {rule.name}") for detector, rule in rules.rules.items()],
        sliders=_sliders(text, form),
        unit="euro" if Detector[form.rule] in COST_DETECTORS else "",
        samples=SAMPLES,
        **{"found": None, "before": None, "trouble": ""} | context,
    )


async def _seen(desk: Desk, form: _Form) -> dict[str, Any]:
    try:
        text = await _active(desk)
        changed = read_rules(_changed(text, form))
        accounts = [account for slot in range(form.slots) for account in await desk.subscribers.accounts_of_slot(slot)]
        tried = [
            await desk.threshold_previews.preview(rules, Detector[form.rule], accounts, days=form.days, slots=form.slots)
            for rules in (read_rules(text), changed)
        ]
    except (OperatorError, UnavailableError) as error:
        return {"found": None, "before": None, "trouble": f"{str(error)[:1].upper()}{str(error)[1:]}"}
    return {"before": tried[0], "found": tried[1], "trouble": ""}


async def _active(desk: Desk) -> str:
    active = next((version.version for version in await desk.detection.rule_sets() if version.active), None)
    if active is None:
        raise NotFoundError("no rule set is in force yet", reason="no_rule_set")
    return await desk.detection.rules_text(active)


def _changed(text: str, form: _Form) -> str:
    """The rule set with the form's limits in their places; comments stay."""
    document = tomlkit.parse(text)
    tables: Any = document.get("rules", {})
    if form.rule not in tables:
        raise NotFoundError(f"the rule set in force has no rule {form.rule}", reason="no_rule")
    for segment in SEGMENTS:
        for limit in ("warn", "act"):
            given = getattr(form, f"{segment}_{limit}")
            if not given or isinstance(tables[form.rule][segment][limit], str):
                continue
            try:
                value = float(given)
            except ValueError:
                raise OperatorError(f"{limit} of {segment} is {given!r}; write a number", reason="bad_limit") from None
            tables[form.rule][segment][limit] = int(value) if value.is_integer() else value
    return tomlkit.dumps(document)


def _sliders(text: str, form: _Form) -> list[Slider]:
    """One for each limit that is a number; limits such as `channels + 2` stay as they are."""
    table = tomllib.loads(text)["rules"][form.rule]
    cost = Detector[form.rule] in COST_DETECTORS
    found = []
    for segment in SEGMENTS:
        for limit in ("warn", "act"):
            now = table[segment][limit]
            if isinstance(now, str):
                continue
            found.append(
                Slider(
                    name=f"{segment}_{limit}",
                    label=f"{segment}, {'warns' if limit == 'warn' else 'acts'} at",
                    value=getattr(form, f"{segment}_{limit}") or str(now),
                    now=str(now),
                    low="0.5" if cost else "1",
                    high=str(now * STRETCH),
                    step="0.5" if cost else "1",
                )
            )
    return found
