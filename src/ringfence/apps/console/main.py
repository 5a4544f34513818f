"""`python -m ringfence.apps.console.main`: the console of people. Needs the bus; without PostgreSQL it shows what is live and says so."""

import asyncio

from ringfence.access.service import AccessService
from ringfence.apps.console.app import build_app
from ringfence.apps.console.desk import Desk
from ringfence.apps.console.show import Zone
from ringfence.apps.console.templating import Renderer
from ringfence.archive.questions import CallQuestions
from ringfence.archive.selection import RowSelection
from ringfence.detection.composing.service import ComposingService
from ringfence.detection.service import DetectionService
from ringfence.enforcement.service import EnforcementService
from ringfence.fleet.adapters import FLEET_KEY, FileKeys, Sealer
from ringfence.fleet.inventory.service import InventoryService
from ringfence.runtime.db import SURFACE_WAIT_SECONDS, Database
from ringfence.runtime.http import check_surface, serve_http
from ringfence.runtime.keys import HASH_KEY, read_key
from ringfence.runtime.role import Role, run_role
from ringfence.subscribers.service import SubscribersService
from ringfence.views.board import Board
from ringfence.views.composed_consent import RulePreviews
from ringfence.views.composed_preview import ComposedPreviews
from ringfence.views.coverage import CoverageView
from ringfence.views.history import History
from ringfence.views.threshold_preview import ThresholdPreviews
from ringfence.views.workbench import Workbench

BOARD_SECONDS = 10.0
"""So long the first page waits for the live board to fill."""


async def run(role: Role) -> None:
    """Be the console until cancelled."""
    settings = role.settings
    check_surface(settings.console, name="console")
    key = read_key(settings.keys_dir / HASH_KEY).open().encode()
    board = Board(clock=role.clock)
    archive = CallQuestions(settings.archive_dir)
    history = History(archive, role.clock)
    async with Database(settings.database, name="console", wait_seconds=SURFACE_WAIT_SECONDS) as db, asyncio.TaskGroup() as group:
        composing, subscribers = ComposingService(db, role.clock), SubscribersService(db, key, role.clock)
        selection, zone = RowSelection(settings.archive_dir), settings.operator.time_zone
        previews = ComposedPreviews(selection, role.clock, time_zone=zone)
        desk = Desk(
            access=AccessService(db, role.clock),
            detection=DetectionService(db, role.clock),
            composing=composing,
            enforcement=EnforcementService(db, role.clock),
            subscribers=subscribers,
            views=history,
            inventory=InventoryService(db, Sealer(FileKeys(settings.keys_dir / FLEET_KEY)), role.clock),
            acs_hosts=frozenset(settings.acs.hosts),
            coverage=CoverageView(archive, db, role.clock),
            workbench=Workbench(archive, key),
            rule_previews=RulePreviews(previews, composing, subscribers, key=key, clock=role.clock),
            threshold_previews=ThresholdPreviews(selection, role.clock, time_zone=zone),
            board=board,
            bus=role.bus,
            clock=role.clock,
            renderer=Renderer(zone=Zone(settings.operator.time_zone), clock=role.clock),
        )
        following = [
            group.create_task(work)
            for work in (board.follow(role.bus), history.follow(role.bus), desk.watch_database(), desk.coverage.keep())
        ]
        async with asyncio.timeout(BOARD_SECONDS):
            await board.ready()
        await serve_http(build_app(desk), settings.console, name="console", ready=role.ready)
        for task in following:
            task.cancel()


if __name__ == "__main__":
    run_role("console", run)
