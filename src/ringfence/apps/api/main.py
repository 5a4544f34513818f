"""`python -m ringfence.apps.api.main`: the JSON API. Needs the bus; what needs PostgreSQL answers 503 while it is away."""

import asyncio
from zoneinfo import ZoneInfo

from ringfence.access.service import AccessService
from ringfence.apps.api.app import build_app
from ringfence.apps.api.desk import Desk
from ringfence.archive.questions import CallQuestions
from ringfence.archive.selection import RowSelection
from ringfence.detection.composing.service import ComposingService
from ringfence.detection.service import DetectionService
from ringfence.enforcement.service import EnforcementService
from ringfence.fleet.adapters import FLEET_KEY, FileKeys, Sealer
from ringfence.fleet.catalogue.adapters import ImageStore
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
from ringfence.views.workbench import Workbench

BOARD_SECONDS = 10.0
"""So long the first answer waits for the live board to fill."""


async def run(role: Role) -> None:
    """Be the API until cancelled."""
    settings = role.settings
    check_surface(settings.api, name="api")
    key = read_key(settings.keys_dir / HASH_KEY).open().encode()
    board = Board(clock=role.clock)
    archive = CallQuestions(settings.archive_dir)
    history = History(archive, role.clock)
    async with Database(settings.database, name="api", wait_seconds=SURFACE_WAIT_SECONDS) as db, asyncio.TaskGroup() as group:
        composing, subscribers = ComposingService(db, role.clock), SubscribersService(db, key, role.clock)
        previews = ComposedPreviews(RowSelection(settings.archive_dir), role.clock, time_zone=settings.operator.time_zone)
        desk = Desk(
            access=AccessService(db, role.clock),
            detection=DetectionService(db, role.clock),
            composing=composing,
            enforcement=EnforcementService(db, role.clock),
            subscribers=subscribers,
            views=history,
            workbench=Workbench(archive, key),
            rule_previews=RulePreviews(previews, composing, subscribers, key=key, clock=role.clock),
            inventory=InventoryService(db, Sealer(FileKeys(settings.keys_dir / FLEET_KEY)), role.clock),
            images=ImageStore(settings.firmware_dir),
            coverage=CoverageView(archive, db, role.clock),
            acs_hosts=frozenset(settings.acs.hosts),
            board=board,
            bus=role.bus,
            clock=role.clock,
            home=settings.operator.country,
            zone=ZoneInfo(settings.operator.time_zone),
        )
        following = [group.create_task(board.follow(role.bus)), group.create_task(history.follow(role.bus))]
        async with asyncio.timeout(BOARD_SECONDS):
            await board.ready()
        await serve_http(build_app(desk), settings.api, name="api", ready=role.ready)
        for task in following:
            task.cancel()


if __name__ == "__main__":
    run_role("api", run)
