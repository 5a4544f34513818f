"""The analyst's pages over a real archive: figures that add up and lead on, files that are audited, questions that are refused in words."""

import asyncio
from pathlib import Path

from ringfence.access.model import Role
from ringfence.base.clock import system_clock
from ringfence.telephony.model import Kind
from tests.harness.engines import NatsServer
from tests.harness.surfaces import form_token, sign_in, surfaces
from tests.unit.archive.test_calls import filled, row

MINUTE = 60_000


def _archive(folder: Path, now: int) -> None:
    talk = {"answered_ms": now - 30 * MINUTE, "ended_ms": now - 20 * MINUTE, "status_code": 200}
    filled(
        folder,
        row(Kind.CALL, now - 20 * MINUTE, "one", "4930111", started_ms=now - 30 * MINUTE, connect_micro=0, **talk),
        row(Kind.CALL, now - 19 * MINUTE, "two", "4930222", callee="+23277000222", started_ms=now - 29 * MINUTE, status_code=486),
        row(Kind.AUTH_FAILURE, now - 18 * MINUTE, "", "4930111", status_code=401, source_ip="203.0.113.9", user_agent='"><script>x'),
    ).close()


def test_pages_say_who_what_and_how_much(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        _archive(tmp_path, system_clock())
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("anna", Role.LEAD)
            async with found.browser() as browser:
                await sign_in(browser, "anna")
                destination = (await browser.get("/destinations/23277")).text
                assert "2 calls</a>, 1 answered" in destination
                assert "EUR 6.00" in destination
                assert 'href="/accounts/4930222"' in destination
                assert "/blocks/new?scope=range&amp;value=23277" in destination
                source = (await browser.get("/sources/203.0.113.9")).text
                assert 'href="/accounts/4930111"' in source
                assert "<script>x" not in source
                assert "/sources/203.0.113.0/24" in source
                assert "2 calls</a>" in (await browser.get("/sources/192.0.2.0/24?days=7")).text
                account = (await browser.get("/accounts/4930111?days=31")).text
                assert 'href="/sources/203.0.113.9"' in account
                assert 'href="/destinations/23277000"' in account
                assert (await browser.get("/destinations/abc")).status_code == 422

    asyncio.run(run())


def test_a_question_its_file_and_its_trace(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        _archive(tmp_path, system_clock())
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("anna", Role.LEAD)
            await found.person("ben", Role.ANALYST)
            async with found.browser() as browser:
                await sign_in(browser, "anna")
                token = form_token((await browser.get("/query?callee=23277")).text)
                for group in ("", "account", "destination", "country", "source", "hour", "day"):
                    page = await browser.get(f"/query?days=2&callee=23277&group={group}")
                    assert page.status_code == 200, group
                    assert "2 calls, 1 answered" in page.text, group
                wide = await browser.get("/query?days=90")
                assert wide.status_code == 422
                assert "That is more than 31 days" in wide.text
                assert "a country is two letters" in (await browser.get("/query?country=1x")).text.lower()
                nothing = await browser.get("/query", params={"account": "nobody", "user_agent": "' OR 1=1 --"})
                assert "No call fits" in nothing.text
                form = {"form_token": token, "callee": "23277"}
                plain = await browser.post("/query/calls.csv", data=form)
                tokens = await browser.post("/query/export.csv", data=form)
                assert plain.headers["content-disposition"].startswith('attachment; filename="calls-')
                assert "4930111" in plain.text
                assert "4930111" not in tokens.text
                assert len(tokens.text.splitlines()) == 3
                audit = (await browser.get("/audit")).text
                assert audit.count("export_calls") == 2
            async with found.browser() as browser:
                await sign_in(browser, "ben")
                ours = (await browser.get("/query?callee=23277")).text
                assert "/query/calls.csv" in ours
                assert "/query/export.csv" not in ours
                refused = await browser.post("/query/export.csv", data={"form_token": form_token(ours), "callee": "23277"})
                assert refused.status_code == 403

    asyncio.run(run())
