"""`python -m ringfence.apps.acs.main`: the ACS. Two lanes, one set of sessions; with PostgreSQL away it answers 503 and stays.

An orderly stop takes nobody new and lets sessions that run come to their end.
"""

import asyncio
import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ringfence.access.service import AccessService
from ringfence.apps.acs.auditor import Auditor
from ringfence.apps.acs.batch import Batcher
from ringfence.apps.acs.conversations import Conversations, Shared, Storms, settling
from ringfence.apps.acs.firmware import FirmwareHost
from ringfence.apps.acs.firmware import start as start_firmware
from ringfence.apps.acs.front import Front
from ringfence.apps.acs.proof import Prover
from ringfence.apps.acs.seal import CookieSealer
from ringfence.apps.acs.tls import context_of
from ringfence.apps.acs.waking import Waking, waking_of
from ringfence.apps.acs.wire import Limits
from ringfence.base.clock import monotonic_seconds
from ringfence.base.errors import OperatorError
from ringfence.fleet.adapters import FLEET_KEY, FileKeys, Sealer
from ringfence.fleet.binding import Rules
from ringfence.fleet.catalogue.adapters import ImageStore
from ringfence.fleet.enrolling.service import Enrolment
from ringfence.fleet.image_urls import ImageLinks
from ringfence.fleet.model import Lane
from ringfence.fleet.orders import ImageUrl
from ringfence.fleet.service import FleetService
from ringfence.fleet.strangers import Strangers
from ringfence.fleet.waking.service import Making
from ringfence.protocols.cwmp import QuirkTable, built_in, read_quirks
from ringfence.protocols.nonces import NonceMint
from ringfence.runtime.db import Database
from ringfence.runtime.http import open_listener
from ringfence.runtime.keys import ACS_KEY, read_key
from ringfence.runtime.role import Role, run_role
from ringfence.runtime.settings import AcsLane, Settings, is_loopback
from ringfence.subscribers.sessions.service import AccessSessions

GOODBYE_SECONDS = 7.5
"""For sessions that run when the role is told to stop; the supervisor kills after ten."""
LAST_SECONDS = 1.0
"""For noting what sessions learnt that did not end in time."""
BEAT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Open:
    """A lane that listens."""

    front: Front
    conversations: Conversations


async def run(role: Role) -> None:
    """Be the ACS until cancelled."""
    settings = role.settings
    lanes = ((Lane.MANAGED, settings.acs.managed), (Lane.BOOTSTRAP, settings.acs.bootstrap))
    for name, lane in lanes:
        check_lane(lane, name=name.value, enrols=name is Lane.BOOTSTRAP and bool(settings.acs.managed.url))
    async with Database(settings.database, name="acs") as db, asyncio.TaskGroup() as group:
        auditor = Auditor(AccessService(db, role.clock))
        shared, waking = _shared(role, db, auditor, group)
        opened = [await _listen(name, lane, shared, settings, group) for name, lane in lanes]
        tasks = [group.create_task(auditor.run()), group.create_task(_beat(role, shared))]
        if waking is not None:
            tasks.append(group.create_task(waking.run()))
        tasks += [group.create_task(one.front.sweep()) for one in opened] + [group.create_task(opened[0].conversations.sweep())]
        firmware = await _serve_firmware(role, auditor) if settings.acs.firmware.url else None
        role.ready()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            if firmware is not None:
                firmware.close()
            await _say_goodbye(opened, shared)
            await auditor.flush()
            for task in tasks:
                task.cancel()


def check_lane(lane: AcsLane, *, name: str, enrols: bool = False) -> None:
    """Refuse what would hand settings, or with `enrols` credentials, to whoever listens on the way."""
    if lane.certificate_file is not None or lane.trusted_proxy or is_loopback(lane.listen):
        return
    if enrols:
        raise OperatorError(
            f"acs.{name}.listen {lane.listen} would hand out credentials without TLS: set its certificate_file and key_file, or name"
            f" the proxy that adds TLS as trusted_proxy, or remove acs.managed.url, so that none are handed out.",
            reason="open_without_tls",
        )
    if lane.authentication != "none":
        raise OperatorError(
            f"acs.{name}.listen {lane.listen} can be reached from other machines without TLS: set certificate_file and key_file, or name"
            f" the proxy that adds TLS as trusted_proxy, or set authentication to none, which releases no secret.",
            reason="open_without_tls",
        )


def _shared(role: Role, db: Database, auditor: Auditor, group: asyncio.TaskGroup) -> tuple[Shared, Waking | None]:
    settings = role.settings
    lines = AccessSessions(db, role.clock).lines_at if settings.sessions.feed else None
    rules = Rules(trust_unproven=settings.acs.trust_unproven, release_without_feed=settings.acs.release_without_feed)
    making = Making(random_bytes=os.urandom, stun=bool(settings.acs.wake.stun_listen)) if settings.acs.wake.requests_per_second else None
    enrolment = Enrolment(random_bytes=os.urandom, url=settings.acs.managed.url) if settings.acs.managed.url else None
    strangers = Strangers(per_address=settings.acs.strangers_per_address, in_all=settings.acs.strangers, now_ms=role.clock())
    fleet = FleetService(db, Sealer(FileKeys(settings.keys_dir / FLEET_KEY)), lines, rules, role.clock, making, strangers, enrolment)
    waking = waking_of(settings, db, fleet, lines, role.clock, auditor.refused) if making is not None else None
    shared = Shared(
        fleet=fleet,
        admit=Batcher(fleet.admit if waking is None else waking.waker.noticing(fleet.admit), group),
        settle=Batcher(settling(fleet), group),
        take_step=Batcher(fleet.take_steps, group),
        announce=role.bus.announce,
        quirks=_quirks(settings.acs.quirks_file),
        cookies=CookieSealer(read_key(settings.keys_dir / ACS_KEY)),
        clock=role.clock,
        most=settings.acs.sessions,
        sessions={},
        storms=Storms(),
        refused=auditor.refused,
        image_url=_image_url(role) if settings.acs.firmware.url else None,
    )
    return shared, waking


def _quirks(own: Path | None) -> QuirkTable:
    """The built-in table, then the operator's own."""
    if own is None:
        return built_in()
    try:
        return built_in().with_rows_of(read_quirks(own.read_text("utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"acs.quirks_file {own} cannot be read: {error}.", reason="quirks") from None


async def _listen(name: Lane, lane: AcsLane, shared: Shared, settings: Settings, group: asyncio.TaskGroup) -> _Open:
    prover = Prover(
        shared.fleet.credential,
        NonceMint(hashlib.blake2b(read_key(settings.keys_dir / ACS_KEY).open().encode(), digest_size=32, person=b"rf-acs-nonce").digest()),
        shared.clock,
        lane=name,
        authentication=lane.authentication,
        refused=shared.refused,
    )
    conversations = Conversations(shared, prover, name)
    front = Front(
        conversations.handle,
        name=name.value,
        limits=Limits(connections=4 * settings.acs.sessions, connections_per_address=settings.acs.connections_per_address),
        group=group,
        tls=context_of(lane, name=name.value),
        trusted_proxy=lane.trusted_proxy,
        refused=shared.refused,
        left=conversations.left,
    )
    await front.start(open_listener(lane.listen, name=f"acs.{name.value}"))
    return _Open(front=front, conversations=conversations)


async def _serve_firmware(role: Role, auditor: Auditor) -> asyncio.Server:
    """The firmware host. A download that runs when the role stops breaks off; the device goes on with a range."""
    wanted = role.settings.acs.firmware
    host = FirmwareHost(
        ImageStore(role.settings.firmware_dir),
        link_key(role.settings),
        bytes_per_second=float(wanted.bytes_per_second),
        slowest=float(wanted.slowest_bytes_per_second),
        refused=auditor.refused,
        now_ms=role.clock,
    )
    return await start_firmware(host, open_listener(wanted.listen, name="acs.firmware"))


def _image_url(role: Role) -> ImageUrl:
    """Makes the link of a Download at the moment it leaves."""
    wanted = role.settings.acs.firmware
    links = ImageLinks(url=wanted.url, key=link_key(role.settings), lasts_seconds=3_600 * wanted.link_hours)
    return lambda device_id, digest, size: links.link(device_id, digest, size, role.clock())


def link_key(settings: Settings) -> bytes:
    """What signs links to firmware: the same in every process of the ACS, and of no use for its cookies."""
    return hashlib.blake2b(read_key(settings.keys_dir / ACS_KEY).open().encode(), digest_size=32, person=b"rf-firmware-link").digest()


async def _beat(role: Role, shared: Shared) -> None:
    """What the console's board shows."""
    while True:
        role.board.figures["sessions_open"] = len(shared.sessions)
        await asyncio.sleep(BEAT_SECONDS)


async def _say_goodbye(opened: list[_Open], shared: Shared) -> None:
    for one in opened:
        one.conversations.closing = True
        one.front.stop()
    deadline = monotonic_seconds() + GOODBYE_SECONDS
    with contextlib.suppress(asyncio.CancelledError):
        while any(session.caller is not None for session in shared.sessions.values()) and monotonic_seconds() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_SECONDS):
            await opened[0].conversations.end_all()
    for one in opened:
        one.front.abort()


if __name__ == "__main__":
    run_role("acs", run)
