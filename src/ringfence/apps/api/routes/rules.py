"""Rule sets and rate decks: versions, texts, new ones. Both take effect where the worker's control record stands in the log."""

from fastapi import Request

from ringfence.access.model import Permission
from ringfence.apps.api.routing import Acting, AtDesk, Routes
from ringfence.apps.api.rule_payloads import RateDeckSaid, RuleSetSaid, RulesHeard, RuleTextSaid, VersionSaid
from ringfence.base.errors import OperatorError
from ringfence.detection.service import MAX_DECK_BYTES

routes = Routes("rules")

RULES_BYTES = 1024 * 1024
"""A rule set as JSON; `detection` bounds the text itself."""


@routes.get("/rules", permission=Permission.RULE_READ)
async def list_rules(desk: AtDesk) -> list[RuleSetSaid]:
    """Every version, newest first."""
    return [RuleSetSaid.of(rules) for rules in await desk.detection.rule_sets()]


@routes.get("/rules/{version}", permission=Permission.RULE_READ)
async def show_rules(desk: AtDesk, version: int) -> RuleTextSaid:
    """The TOML of a version."""
    return RuleTextSaid(version=version, toml=await desk.detection.rules_text(version))


@routes.post("/rules", permission=Permission.RULE_WRITE, status=201, max_body_size=RULES_BYTES)
async def save_rules(desk: AtDesk, actor: Acting, entry: RulesHeard) -> VersionSaid:
    """Keep a rule set as a new version; with `activate` it judges from now on."""
    version = await desk.detection.save_rules(entry.toml, actor.name, entry.note)
    await desk.access.audit(actor.name, "save_rules", str(version), {"note": entry.note})
    if entry.activate:
        await desk.detection.activate_rules(version, actor.name)
        await desk.access.audit(actor.name, "activate_rules", str(version))
    return VersionSaid(version=version)


@routes.post("/rules/{version}/activate", permission=Permission.RULE_WRITE)
async def activate_rules(desk: AtDesk, actor: Acting, version: int) -> VersionSaid:
    """Make a saved version the one that judges."""
    await desk.detection.activate_rules(version, actor.name)
    await desk.access.audit(actor.name, "activate_rules", str(version))
    return VersionSaid(version=version)


@routes.get("/rates", permission=Permission.RATE_READ)
async def list_rates(desk: AtDesk) -> list[RateDeckSaid]:
    """Every version, newest first; the newest is in force, and without any the built-in deck."""
    return [RateDeckSaid.of(deck) for deck in await desk.detection.rate_decks()]


@routes.post("/rates", permission=Permission.RATE_IMPORT, status=201, max_body_size=MAX_DECK_BYTES)
async def save_rates(request: Request, desk: AtDesk, actor: Acting) -> VersionSaid:
    """A new rate deck, sent as the body (`text/csv`)."""
    try:
        text = (await request.body()).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise OperatorError("the rate deck is not UTF-8; save it as UTF-8 and send it again", reason="not_utf8") from None
    version = await desk.detection.save_rates(text, actor.name, home=desk.home)
    await desk.access.audit(actor.name, "save_rates", str(version))
    return VersionSaid(version=version)
