"""Attacks as people see them: one line on the overview, a page with the way to stop it, the same in the API."""

import asyncio
from pathlib import Path

from ringfence.access.model import Role
from ringfence.base.clock import system_clock
from ringfence.detection.attacks import AttackBook, encode_attack
from ringfence.detection.model import encode_alert
from tests.harness.engines import NatsServer
from tests.harness.surfaces import Surfaces, sign_in, surfaces
from tests.unit.detection.test_attacks import alert


async def attacked(found: Surfaces, accounts: int = 4) -> str:
    """An attack of some accounts on one range, in the streams and in PostgreSQL; its id. One more alert stands alone."""
    now = system_clock()
    stream = [alert(number, now + number, ranges=["23276123"], eur_per_minute=0.5) for number in range(accounts)]
    alone = alert(90, now, account="4930999", ranges=["4477"])
    for each in (*stream, alone):
        await found.bus.publish_once(f"alert.{each.alert_id}.{each.step}", encode_alert(each))
        await found.console.detection.record_alert(encode_alert(each), each.step)
    book = AttackBook()
    steps = [step for each in (*stream, alone) for step in book.feed(each)]
    for step in steps:
        await found.bus.publish_once(f"attack.{step.attack_id}.{step.step}", encode_attack(step))
        await found.console.detection.record_attack(encode_attack(step))
    async with asyncio.timeout(20):
        while (
            not any(each.step.step == steps[-1].step for each in found.console.board.attacks.running())
            or len(found.console.board.alerts) <= accounts
        ):
            await asyncio.sleep(0.02)
    return steps[-1].attack_id


def test_an_attack_is_one_line_and_one_decision(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            attack_id = await attacked(found)
            await found.person("anna", Role.LEAD)
            async with found.browser() as browser:
                await sign_in(browser, "anna")
                overview = (await browser.get("/")).text
                assert overview.count(f'href="/attacks/{attack_id}"') == 1
                assert overview.count('id="alert-') == 1, "alerts of the attack are not told again one by one"
                for path in ("/attacks", "/attacks?state=all"):
                    assert f'href="/attacks/{attack_id}"' in (await browser.get(path)).text
                page = (await browser.get(f"/attacks/{attack_id}")).text
                assert page.count('id="alert-') == 4
                assert "/blocks/new?scope=range&amp;value=23276123" in page
                assert "EUR 2.00" in page, "four accounts at half a euro a minute"
                assert 'href="/destinations/23276123"' in page
                member = next(iter(found.console.board.attacks.running()[0].alerts))
                assert f'href="/attacks/{attack_id}"' in (await browser.get(f"/alerts/{member}")).text
                assert (await browser.get("/attacks/t-nothing")).status_code == 404

    asyncio.run(run())


def test_the_api_tells_attacks_with_what_they_share(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            attack_id = await attacked(found)
            await found.person("ben", Role.ANALYST)
            async with found.program(await found.token("ben")) as program:
                (listed,) = (await program.get("/v1/attacks")).json()["attacks"]
                assert (listed["attack_id"], listed["accounts"], listed["alerts"], listed["eur_per_minute"]) == (attack_id, 4, 4, 2.0)
                shown = (await program.get(f"/v1/attacks/{attack_id}")).json()
                assert shown["shares"] == [{"kind": "range", "value": "23276123"}]
                assert len(shown["its_alerts"]) == 4
                assert (await program.get("/v1/attacks/t-nothing")).status_code == 404

    asyncio.run(run())
