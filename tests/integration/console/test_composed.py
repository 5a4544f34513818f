"""Composed rules in the console, as a browser without scripts uses them: compose, preview, keep, confirm, retire."""

import asyncio
import re
from pathlib import Path

from ringfence.access.model import Role
from ringfence.detection.layout import MINUTE, Detector
from ringfence.detection.rules import read_rules
from ringfence.detection.service import built_in_rules
from tests.harness.engines import NatsServer
from tests.harness.surfaces import form_token, sign_in, surfaces
from tests.integration.api.test_composed import fill

FORM = {
    "name": "night", "title": "Night calls", "event": "attempt", "count": "calls", "per": "account", "window": "10", "unit": "min", "act": "2",
    "mode": "propose", "field": ["country", "class", "", "", "", ""], "operator": ["is", "at_least", "is", "is", "is", "is"],
    "value": ["SL, GN", "3", "", "", "", ""], "days": "7",
}  # fmt: skip


def test_a_rule_is_composed_looked_at_and_put_in_force_without_scripts(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    fill(tmp_path, accounts=20)

    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("lea", Role.LEAD)
            async with found.browser() as lea:
                await sign_in(lea, "lea")
                page = await lea.get("/rules/new")
                assert page.status_code == 200
                token = {"form_token": form_token(page.text)}
                seen = await lea.post("/rules/new", data=FORM | token)
                assert "1 alert on 1 account" in seen.text
                assert 'value="SL, GN"' in seen.text, "what was filled in stays"
                part = await lea.post("/rules/preview", data=FORM | token)
                assert "<html" not in part.text
                assert "5.00 % of 20 accounts" in part.text

                wrong = await lea.post("/rules", data=FORM | token | {"act": "-2"})
                assert wrong.status_code == 422
                assert "Act must be a number." in wrong.text
                never = await lea.post("/rules/preview", data=FORM | token | {"value": ["SL", "6", "", "", "", ""]})
                assert "can never hold" in never.text
                assert "line " not in re.sub(r"<[^>]*>", "", never.text), "a form has no lines"

                kept = await lea.post("/rules", data=FORM | token)
                assert (kept.status_code, kept.headers["location"]) == (303, "/rules/X-night?said=rule_saved")
                again = await lea.get("/rules/new?rule=X-night")
                assert 'value="SL, GN"' in again.text
                asked = await lea.post("/rules/X-night/activate", data=token | {"version": "1"})
                assert asked.status_code == 409
                assert "Activate it anyway" in asked.text
                done = await lea.post("/rules/X-night/activate", data=token | {"version": "1", "confirm": "yes"})
                assert done.headers["location"] == "/rules/X-night?said=rule_active"
                shown = await lea.get("/rules/X-night")
                assert "nobody answered yet" in shown.text
                assert "country is one of SL, GN; class at least 3" in shown.text
                listed = await lea.get("/rules")
                assert "Night calls" in listed.text
                gone = await lea.post("/rules/X-night/retire", data=token)
                assert gone.headers["location"] == "/rules/X-night?said=rule_retired"

                text = '[rule.day]\ncount = "calls"\nper = "account"\nwindow = "1 h"\nact = 0\n'
                broken = await lea.post("/rules", data=token | {"toml": text})
                assert "Line 5 of the rules" in broken.text
                looked = await lea.post("/rules/X-night/preview", data=token | {"version": "1", "days": "7"})
                assert "1 alert on 1 account" in looked.text

    asyncio.run(run())


def test_limits_of_a_built_in_rule_are_moved_looked_at_and_kept(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    fill(tmp_path, accounts=20)

    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.console.detection.ensure_first_rules(built_in_rules(), "anna")
            await found.person("lea", Role.LEAD)
            async with found.browser() as lea:
                await sign_in(lea, "lea")
                page = await lea.get("/rules/thresholds?rule=D03")
                assert page.status_code == 200
                assert 'name="residential_act"' in page.text
                token = {"form_token": form_token(page.text), "rule": "D03", "days": "7", "slots": "1024"}
                lowered = {"residential_warn": "0.5", "residential_act": "1"}
                part = await lea.post("/rules/thresholds/preview", data=token | lowered)
                cells = re.findall(r'<td class="end[^>]*>([^<]*)</td>', part.text)
                assert cells[:6] == ["0", "20", "0", "1", "0", "20"], "alerts, critical, accounts: in force, these"
                kept = await lea.post("/rules/thresholds", data=token | lowered | {"activate": "yes"})
                assert kept.headers["location"] == "/rules/thresholds?rule=D03&said=limits_active"
                text = await found.console.detection.rules_text(2)
                assert read_rules(text).rules[Detector.D03].limits[0][1].value == 1_000_000 * MINUTE
                assert "# The built-in rules." in text
                wrong = await lea.post("/rules/thresholds", data=token | {"residential_warn": "9999", "residential_act": "1"})
                assert (wrong.status_code, "above act" in wrong.text) == (422, True)
                assert (await lea.get("/rules/thresholds?rule=D99")).status_code == 404

    asyncio.run(run())
