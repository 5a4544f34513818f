"""Every page, tried without its permission: signed out, with a one-time password, and as a hotline agent."""

import asyncio
import re
from pathlib import Path

import httpx

from ringfence.access.model import ROLE_PERMISSIONS, Permission, Role
from ringfence.apps.console.app import build_app
from ringfence.apps.console.routing import Open, declared
from tests.harness.engines import NatsServer
from tests.harness.surfaces import Surfaces, form_token, sign_in, surfaces


def _address(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "nothing", path)


async def _try(browser: httpx.AsyncClient, method: str, path: str, token: str) -> httpx.Response:
    data = {"form_token": token, "reason": "because"} if method == "POST" else None
    return await browser.request(method, _address(path), data=data)


def test_every_route_refuses_without_its_permission(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            routes = declared(build_app(found.console))
            assert len(routes) > 50, "the console lost routes"
            await _nobody(found, routes)
            await _hotline(found, routes)
            await _one_time(found, routes)

    asyncio.run(run())


async def _nobody(found: Surfaces, routes: list[tuple[str, str, Permission | Open]]) -> None:
    async with found.browser() as browser:
        token = form_token((await browser.get("/login")).text)
        for method, path, need in routes:
            if need is not Open.EVERYBODY:
                answer = await _try(browser, method, path, token)
                assert (answer.status_code, answer.headers["location"][:6]) == (303, "/login"), f"{method} {path}"


async def _hotline(found: Surfaces, routes: list[tuple[str, str, Permission | Open]]) -> None:
    await found.person("hotline", Role.HOTLINE)
    async with found.browser() as browser:
        await sign_in(browser, "hotline")
        token = form_token((await browser.get("/me")).text)
        refused = 0
        for method, path, need in routes:
            if isinstance(need, Permission) and need not in ROLE_PERMISSIONS[Role.HOTLINE]:
                answer = await _try(browser, method, path, token)
                assert answer.status_code == 403, f"{method} {path} answered {answer.status_code}"
                assert need.value in answer.text, f"{method} {path} refused for another reason"
                refused += 1
        assert refused > 25


async def _one_time(found: Surfaces, routes: list[tuple[str, str, Permission | Open]]) -> None:
    """Whoever must change the password has no permission at all, not even that of every role."""
    password = await found.person("fresh", Role.ADMINISTRATOR, change=False)
    async with found.browser() as browser:
        assert (await sign_in(browser, "fresh", password)).headers["location"] == "/me/password"
        token = form_token((await browser.get("/me/password")).text)
        for method, path, need in routes:
            if isinstance(need, Permission):
                answer = await _try(browser, method, path, token)
                assert (answer.status_code, answer.headers["location"]) == (303, "/me/password"), f"{method} {path}"


def test_a_hotline_agent_sees_an_account_and_no_call(database_url: str, own_nats: NatsServer, tmp_path: Path) -> None:
    async def run() -> None:
        async with surfaces(database_url, own_nats, tmp_path) as found:
            await found.person("hotline", Role.HOTLINE)
            async with found.browser() as browser:
                assert (await sign_in(browser, "hotline")).headers["location"] == "/accounts"
                page = (await browser.get("/accounts/4930123456")).text
                assert "4930123456" in page
                assert "Calls of the last 24 hours" not in page
                assert "/alerts" not in page

    asyncio.run(run())
