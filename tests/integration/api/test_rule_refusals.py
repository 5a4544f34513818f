"""Rule files with a mistake, from outside to the detectors: refused with line and reason, and what judges goes on as it was."""

import asyncio
import re
from pathlib import Path

from ringfence.access.model import Role
from ringfence.telephony.control import RuleSetChanged
from tests.harness.engines import NatsServer
from tests.harness.surfaces import Surfaces, surfaces
from tests.unit.detection.published import published_rules

COMPOSED = """\
[rule.night]
title = "Night"
where = [
  { field = "country", is = "SL" },
]
count = "calls"
per = "account"
window = "10 min"
act = 2
"""

MISTAKES = (
    ("unknown_key", "[rules.D01]", "off_hours = 50", "of_hours = 50"),
    ("negative_limit", "[rules.D01]", "warn = 3", "warn = -3"),
    ("duplicate_rule", "[rules.D02]", "[rules.D02]", "[rules.D01]"),
    ("never_holds", "[rules.D14]", "act = 6", "act = 1001"),  # More sequential numbers than are ever counted.
)
"""Reason, and below which line what is written instead of what."""

COMPOSED_MISTAKES = (
    ("unknown_key", "title =", "titel =", 2),
    ("negative_limit", "act = 2", "act = -2", 9),
    ("duplicate_rule", COMPOSED, COMPOSED + COMPOSED, 10),
    ("never_holds", 'is = "SL" },', 'is = "SL" },\n  { field = "country", is = "DE" },', 5),
)


def test_a_spoiled_rule_set_is_refused_and_the_running_one_stays(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            text, detection = published_rules(), found.api.detection
            await detection.ensure_first_rules(text, "role:worker")
            told = await detection.changed("rules")
            assert isinstance(told, RuleSetChanged)
            waiting = await detection.pending(10)
            assert waiting
            await found.person("lea", Role.LEAD)
            async with found.program(await found.token("lea")) as lea:
                for reason, section, old, new in MISTAKES:
                    place = text.index(old, text.index(section))
                    bad = text[:place] + new + text[place + len(old) :]
                    line = text[:place].count("\n") + 1
                    answer = await lea.post("/v1/rules", json={"toml": bad, "note": "tonight", "activate": True})
                    assert answer.status_code == 422, (reason, answer.text)
                    error = answer.json()["error"]
                    assert error["reason"] == reason
                    assert re.search(rf"\bline {line}\b", error["message"]), (line, error)
                listed = (await lea.get("/v1/rules")).json()
                assert [(rules["version"], rules["active"]) for rules in listed] == [(1, True)]
            assert await detection.changed("rules") == told, "what judged goes on judging"
            assert await detection.pending(10) == waiting, "nothing more goes to the detectors"
            assert not await _actions(found) & {"save_rules", "activate_rules"}

    asyncio.run(run())


def test_a_spoiled_composed_rule_is_refused_and_the_running_one_stays(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            composing = found.api.composing
            await composing.save(COMPOSED, "anna")
            await composing.put("X-night", 1, "active", "anna")
            told, waiting = await composing.told(), await found.api.detection.pending(10)
            assert waiting
            await found.person("lea", Role.LEAD)
            async with found.program(await found.token("lea")) as lea:
                for path in ("/v1/composed-rules", "/v1/composed-rules/preview"):
                    for reason, old, new, line in COMPOSED_MISTAKES:
                        answer = await lea.post(path, json={"toml": COMPOSED.replace(old, new)})
                        assert answer.status_code == 422, (path, reason, answer.text)
                        error = answer.json()["error"]
                        assert error["reason"] == reason, path
                        assert re.search(rf"\bline {line}\b", error["message"]), (path, line, error)
                listed = (await lea.get("/v1/composed-rules")).json()
                assert [(rule["rule_id"], rule["state"], rule["version"], rule["newest"]) for rule in listed] == [
                    ("X-night", "active", 1, 1)
                ]
            assert await composing.told() == told
            assert await found.api.detection.pending(10) == waiting
            assert "save_composed_rule" not in await _actions(found)

    asyncio.run(run())


async def _actions(found: Surfaces) -> set[str]:
    return {entry.action for entry in await found.access.audit_entries(found.chief)}
