"""Console and API in this process, over a real PostgreSQL and a real NATS: everything but the socket."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx

from ringfence.access.model import Actor, Role
from ringfence.access.service import AccessService
from ringfence.apps.api import app as api_app
from ringfence.apps.api.desk import Desk as ApiDesk
from ringfence.apps.console import app as console_app
from ringfence.apps.console.desk import Desk as ConsoleDesk
from ringfence.apps.console.show import Zone
from ringfence.apps.console.templating import Renderer
from ringfence.archive.questions import CallQuestions
from ringfence.archive.selection import RowSelection
from ringfence.base.clock import system_clock
from ringfence.base.secret import Secret
from ringfence.detection.composing.service import ComposingService
from ringfence.detection.service import DetectionService
from ringfence.enforcement.service import EnforcementService
from ringfence.fleet.adapters import FLEET_KEY, FileKeys, Sealer
from ringfence.fleet.catalogue.adapters import ImageStore
from ringfence.fleet.inventory.service import InventoryService
from ringfence.runtime.bus import Bus
from ringfence.runtime.db import SURFACE_WAIT_SECONDS, Database
from ringfence.runtime.keys import ensure_key
from ringfence.subscribers.service import SubscribersService
from ringfence.views.board import Board
from ringfence.views.composed_consent import RulePreviews
from ringfence.views.composed_preview import ComposedPreviews
from ringfence.views.coverage import CoverageView
from ringfence.views.history import History
from ringfence.views.threshold_preview import ThresholdPreviews
from ringfence.views.workbench import Workbench
from tests.harness.engines import NatsServer

PASSWORD = "a quiet saturday night"
FIRST = "chief"


@dataclass
class Surfaces:
    """The two applications and what stands behind them."""

    access: AccessService
    console: ConsoleDesk
    api: ApiDesk
    bus: Bus
    chief: Actor

    def browser(self) -> httpx.AsyncClient:
        """A browser at the console, without a session."""
        app = console_app.build_app(self.console)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("127.0.0.1", 40000))
        return httpx.AsyncClient(transport=transport, base_url="http://console.test")

    def program(self, token: str = "") -> httpx.AsyncClient:
        """A client of the API."""
        transport = httpx.ASGITransport(api_app.build_app(self.api), raise_app_exceptions=False, client=("127.0.0.1", 40001))
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(transport=transport, base_url="http://api.test", headers=headers)

    async def person(self, name: str, *roles: Role, change: bool = True) -> str:
        """A new person; their password (the one-time one unless it was changed)."""
        made = await self.access.add_user(self.chief, name, frozenset(roles))
        if not change:
            return made.password.open()
        session = await self.access.authenticate(name, made.password, "", "127.0.0.1")
        await self.access.change_password(session.actor, made.password, Secret(PASSWORD), "127.0.0.1")
        return PASSWORD

    async def token(self, name: str, password: str = PASSWORD) -> str:
        """A session's token."""
        return (await self.access.authenticate(name, Secret(password), "", "127.0.0.1")).token.open()


async def sign_in(browser: httpx.AsyncClient, name: str, password: str = PASSWORD) -> httpx.Response:
    """Through the form, as a person does."""
    page = await browser.get("/login")
    return await browser.post("/login", data={"form_token": form_token(page.text), "name": name, "password": password})


def form_token(page: str) -> str:
    """The token of a page's forms."""
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', page)
    assert found is not None, page[:2000]
    return found[1]


@contextlib.asynccontextmanager
async def surfaces(database_url: str, nats: NatsServer, folder: Path) -> AsyncIterator[Surfaces]:
    """Open everything, fill the board, close everything."""
    bus = await nats.connect()
    async with Database(database_url, name="surfaces", wait_seconds=SURFACE_WAIT_SECONDS) as db:
        access, board, key = AccessService(db), Board(clock=system_clock), b"test"
        archive = CallQuestions(folder)
        views = History(archive, system_clock)
        composing, subscribers = ComposingService(db), SubscribersService(db, key)
        previews = ComposedPreviews(RowSelection(folder), system_clock, time_zone="Europe/Berlin")
        services = {
            "access": access,
            "detection": DetectionService(db),
            "enforcement": EnforcementService(db),
            "composing": composing,
            "subscribers": subscribers,
            "views": views,
            "rule_previews": RulePreviews(previews, composing, subscribers, key=key, clock=system_clock),
            "board": board,
            "bus": bus,
            "clock": system_clock,
        }
        limits = ThresholdPreviews(RowSelection(folder), system_clock, time_zone="Europe/Berlin")
        renderer = Renderer(zone=Zone("Europe/Berlin"), clock=system_clock)
        bench = Workbench(archive, key)
        ensure_key(folder / FLEET_KEY)
        inventory = InventoryService(db, Sealer(FileKeys(folder / FLEET_KEY)), system_clock)
        coverage = CoverageView(archive, db, system_clock)
        pages = {"inventory": inventory, "coverage": coverage, "workbench": bench, "threshold_previews": limits, "renderer": renderer}
        console = ConsoleDesk(**services, **pages, acs_hosts=frozenset({"acs.example.net"}))  # type: ignore[arg-type]
        asked = {"inventory": inventory, "images": ImageStore(folder / "firmware"), "coverage": coverage, "workbench": bench}
        api = ApiDesk(**services, **asked, acs_hosts=frozenset({"acs.example.net"}), home="DE", zone=ZoneInfo("Europe/Berlin"))  # type: ignore[arg-type]
        first = await access.ensure_first_administrator(FIRST)
        assert first is not None
        begun = await access.authenticate(FIRST, first.password, "", "127.0.0.1")
        chief = (await access.change_password(begun.actor, first.password, Secret(PASSWORD), "127.0.0.1")).actor
        following = [asyncio.ensure_future(work) for work in (board.follow(bus), views.follow(bus), console.watch_database())]
        try:
            await asyncio.wait_for(board.ready(), 10)
            yield Surfaces(access=access, console=console, api=api, bus=bus, chief=chief)
        finally:
            for task in following:
                task.cancel()
            await asyncio.gather(*following, return_exceptions=True)
            await bus.close()
