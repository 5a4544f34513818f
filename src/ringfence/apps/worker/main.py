"""`python -m ringfence.apps.worker.main`: one active worker by lease; another one stands by.

Each task deals with a dependency that is away by itself: with PostgreSQL down the archive goes on, and everything else waits
unacknowledged.
"""

import asyncio
from zoneinfo import ZoneInfo

from ringfence.access.service import AccessService
from ringfence.apps.worker.archivist import Archivist, keep_days, merge_days
from ringfence.apps.worker.baselines import keep_baselines
from ringfence.apps.worker.beginnings import begin, read_first_rules
from ringfence.apps.worker.control import ControlWriter
from ringfence.apps.worker.fleet import Housekeeper
from ringfence.apps.worker.pager import Pager
from ringfence.apps.worker.projector import Projector
from ringfence.apps.worker.radius import RadiusListener, Refusals, clients_of, open_socket, serve_radius
from ringfence.apps.worker.sessions import forget_sessions
from ringfence.archive.spending import Spending
from ringfence.archive.writer import ArchiveWriter
from ringfence.base.errors import UnavailableError
from ringfence.detection.composing.service import ComposingService
from ringfence.detection.service import DetectionService
from ringfence.enforcement.service import EnforcementService
from ringfence.fleet.adapters import NoKeys, Sealer
from ringfence.fleet.inventory.service import InventoryService
from ringfence.runtime.db import Database
from ringfence.runtime.keys import HASH_KEY, read_key
from ringfence.runtime.lease import Lease
from ringfence.runtime.log import get_logger
from ringfence.runtime.role import Role, run_role
from ringfence.runtime.streams import LANES
from ringfence.subscribers.service import SubscribersService
from ringfence.subscribers.sessions.accounting import LineFrom
from ringfence.subscribers.sessions.service import AccessSessions

LEASE_SECONDS = 6.0
HEAD_SECONDS = 3_600.0

_log = get_logger(__name__)


async def run(role: Role) -> None:
    """Be a worker process until cancelled."""
    settings, bus, board = role.settings, role.bus, role.board
    rules = read_first_rules(settings.detection.rules_file)
    key = read_key(settings.keys_dir / HASH_KEY).open().encode()
    radius = settings.sessions.radius
    clients = clients_of(radius)
    receiver = open_socket(radius) if radius.listen else None
    async with Database(settings.database, name="worker") as db, asyncio.TaskGroup() as beside:
        access, detection = AccessService(db, role.clock), DetectionService(db, role.clock)
        enforcement, subscribers = EnforcementService(db, role.clock), SubscribersService(db, key, role.clock)
        control = ControlWriter(bus, subscribers, detection, ComposingService(db, role.clock), board)
        projector = Projector(bus, detection=detection, enforcement=enforcement, access=access, control=control, board=board)
        pager = Pager(
            access,
            detection,
            board,
            role.clock,
            urls=settings.paging.urls,
            escalate_ms=settings.paging.escalate_minutes * 60_000,
        )
        sessions = AccessSessions(db, role.clock)
        if receiver is not None:
            refusals = Refusals(access)
            listener = RadiusListener(clients, LineFrom(radius.line), sessions.record, refusals, role.clock)
            beside.create_task(serve_radius(listener, receiver, refusals, board))
        lease = Lease(bus.bucket("leases"), "worker", role.instance, seconds=LEASE_SECONDS, clock=role.clock)
        role.ready()
        await lease.acquire()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(lease.keep())
                # All of them first: a writer that begins removes what a crash left half written, in the whole folder.
                writers = [await asyncio.to_thread(ArchiveWriter, settings.archive_dir, lane=lane) for lane in range(LANES["account"])]
                for lane, writer in enumerate(writers):
                    group.create_task(Archivist(bus, writer, board, role.clock, lane=lane).run())
                    group.create_task(merge_days(settings.archive_dir, board, role.clock, lane=lane))
                group.create_task(keep_days(settings.archive_dir, board, role.clock, days=settings.archive.retention_days))
                spending = Spending(settings.archive_dir, zone=ZoneInfo(settings.operator.time_zone))
                group.create_task(keep_baselines(spending, control, board, role.clock, zone=ZoneInfo(settings.operator.time_zone)))
                group.create_task(log_audit_head(access))
                group.create_task(control.run())
                group.create_task(projector.run())
                group.create_task(pager.run())
                inventory = InventoryService(db, Sealer(NoKeys()), role.clock)
                group.create_task(
                    Housekeeper(
                        inventory,
                        board,
                        silent_ms=3_600_000 * settings.fleet.silent_hours,
                        transcripts_ms=86_400_000 * settings.fleet.transcript_days,
                    ).run()
                )
                group.create_task(forget_sessions(sessions, role.clock, days=settings.sessions.retention_days))
                group.create_task(begin(detection, board, settings.operator, rules))
        finally:
            await lease.release()


async def log_audit_head(access: AccessService) -> None:
    """Check the audit chain every hour and log its head: a copy outside the database shows when the whole chain was replaced."""
    while True:
        try:
            report = await access.verify()
        except UnavailableError:
            await asyncio.sleep(LEASE_SECONDS)
            continue
        if report.intact:
            _log.info("audit_head", entries=report.entries, digest=report.head)
        else:
            _log.error("audit_chain_broken", broken_at=report.broken_at)
        await asyncio.sleep(HEAD_SECONDS)


if __name__ == "__main__":
    run_role("worker", run)
