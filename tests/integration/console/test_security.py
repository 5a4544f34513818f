"""What the pages refuse and what they never print: foreign forms, other people's sessions, large bodies, hostile names."""

import asyncio
from pathlib import Path

import msgspec

from ringfence.access.model import Role
from ringfence.apps.console.app import CONTENT_SECURITY_POLICY
from ringfence.base.clock import system_clock
from ringfence.detection.model import Alert, Evidence, Subject, encode_alert, iso_time
from ringfence.enforcement.model import Block, Scope
from tests.harness.engines import NatsServer
from tests.harness.surfaces import form_token, sign_in, surfaces

HOSTILE = "\"><script>alert('x')</script>"


def test_a_form_needs_its_own_token_and_origin(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("anna", Role.LEAD)
            async with found.browser() as browser, found.browser() as other:
                await sign_in(browser, "anna")
                token = form_token((await browser.get("/me")).text)
                order = {"scope": "account", "value": "a", "owner": "x", "reason": "because", "hours": "1"}
                assert (await browser.post("/exemptions", data=order)).status_code == 403
                assert (await browser.post("/exemptions", data=order | {"form_token": "0" * 40})).status_code == 403
                foreign = {"Origin": "http://evil.test"}
                assert (await browser.post("/exemptions", data=order | {"form_token": token}, headers=foreign)).status_code == 403
                cross = {"Sec-Fetch-Site": "cross-site"}
                assert (await browser.post("/exemptions", data=order | {"form_token": token}, headers=cross)).status_code == 403
                # The token of one session opens no other.
                await sign_in(other, "anna")
                assert (await other.post("/exemptions", data=order | {"form_token": token})).status_code == 403
                # With the right one it reaches policy, which is not there.
                answer = await browser.post("/exemptions", data=order | {"form_token": token}, headers={"Origin": "http://console.test"})
                assert answer.status_code == 503

    asyncio.run(run())


def test_every_answer_has_the_headers(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found, found.browser() as browser:
            for path in ("/login", "/", "/nothing", "/static/console.css", "/static/nothing"):
                answer = await browser.get(path)
                assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY, path
                assert answer.headers["x-frame-options"] == "DENY"
                assert answer.headers["cache-control"] == "no-store"
            assert "unsafe" not in CONTENT_SECURITY_POLICY
            assert "inline" not in CONTENT_SECURITY_POLICY
            page = (await browser.get("/login")).text
            assert "<script>" not in page
            assert " style=" not in page
            cookie = (await browser.get("/login", headers={"Cookie": ""})).headers["set-cookie"].lower()
            assert "httponly" in cookie
            assert "samesite=strict" in cookie

    asyncio.run(run())


def test_large_bodies_are_refused(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found, found.browser() as browser:
            answer = await browser.post("/login", data={"name": "x" * 200_000})
            assert answer.status_code == 413
            assert "64 KiB" in answer.text

    asyncio.run(run())


def test_hostile_names_stay_text(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("anna", Role.LEAD)
            now = system_clock()
            alert = Alert(
                alert_id="a-hostile",
                step=1,
                state="open",
                at=iso_time(now),
                rule="D02",
                rule_version=1,
                severity="critical",
                subject=Subject(kind="account", value=HOSTILE),
                account=HOSTILE,
                score=90,
                cost_eur=3.5,
                reason=f"calls of {HOSTILE}",
                evidence=Evidence(
                    calls=(HOSTILE,), thresholds={"unit": "euro", "warn": 1, "act": 2}, observed={"value": 3, "eur_per_minute": 1.5}
                ),
            )
            block = Block(
                block_id="b-hostile",
                scope=Scope.ACCOUNT,
                value=HOSTILE,
                imposed_ms=now,
                until_ms=now + 3_600_000,
                origin="rule:D02@1",
                author="rule:D02@1",
                reason=HOSTILE,
                account=HOSTILE,
            )
            await found.bus.publish_once("alert.a-hostile.1", encode_alert(alert))
            await found.bus.bucket("blocks").create("b-hostile", msgspec.json.encode(block))
            while "a-hostile" not in found.console.board.alerts or not found.console.board.blocks:
                await asyncio.sleep(0.05)
            async with found.browser() as browser:
                await sign_in(browser, "anna")
                for path in ("/", "/alerts", "/alerts/a-hostile", "/blocks", "/blocks/b-hostile", "/calls?account=" + HOSTILE):
                    page = await browser.get(path)
                    assert page.status_code == 200, path
                    assert "alert(" in page.text, f"{path} does not show the name"
                    assert "<script>alert" not in page.text, path
                    assert HOSTILE not in page.text, path

    asyncio.run(run())


def test_the_way_back_stays_inside(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("anna", Role.LEAD)
            for back in ("https://evil.test/", "//evil.test", "/\\evil.test", "javascript:alert(1)"):
                async with found.browser() as browser:
                    token = form_token((await browser.get("/login")).text)
                    form = {"form_token": token, "name": "anna", "password": "a quiet saturday night", "back": back}
                    assert (await browser.post("/login", data=form)).headers["location"] == "/", back

    asyncio.run(run())


def test_a_link_from_a_mail_comes_back_with_the_cookie(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found, found.browser() as browser:
            answer = await browser.get("/alerts", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})
            assert answer.status_code == 200
            assert 'http-equiv="refresh"' in answer.text

    asyncio.run(run())
