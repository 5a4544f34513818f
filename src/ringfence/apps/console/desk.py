"""Everything the pages work with, as one value: services, the live board, the way to policy, the renderer.

It adds two things of its own. Orders go to policy, whose refusals come back as errors. Questions that need PostgreSQL can be asked with an
answer for the time it is down, and the pages then say so.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ringfence.access.model import Actor
from ringfence.access.service import AccessService
from ringfence.apps.console.templating import Renderer
from ringfence.base.clock import Clock
from ringfence.base.errors import NotFoundError, UnavailableError
from ringfence.base.secret import Secret
from ringfence.detection.composing.service import ComposingService
from ringfence.detection.service import AlertFilter, AlertRecord, DetectionService
from ringfence.enforcement.agent import ask_policy
from ringfence.enforcement.commands import Command, Done
from ringfence.enforcement.service import EnforcementService
from ringfence.fleet.inventory.service import InventoryService
from ringfence.runtime.bus import Bus
from ringfence.subscribers.service import SubscribersService
from ringfence.views.board import Board
from ringfence.views.composed_consent import RulePreviews
from ringfence.views.coverage import CoverageView
from ringfence.views.history import History
from ringfence.views.threshold_preview import ThresholdPreviews
from ringfence.views.workbench import Workbench

OUTAGE = "Live figures and blocking go on; history, search and signing in come back with it."
ASK_AGAIN_MS = 2_000
"""Who has acknowledged what is asked of PostgreSQL this often at the most, however many pages are open."""
PROBE, PROBE_SECONDS = Secret("is-anybody-there"), 2.0
"""A token that nobody holds: looking it up is the smallest question there is."""
MAX_SEEN = 10_000

T = TypeVar("T")


class Streams:
    """Counts open live pages, so that a forgotten wall of browsers cannot take the console down."""

    def __init__(self) -> None:
        self.open = 0


@dataclass(slots=True, kw_only=True)
class Desk:
    """The pages' dependencies. One for the process."""

    access: AccessService
    detection: DetectionService
    composing: ComposingService
    enforcement: EnforcementService
    subscribers: SubscribersService
    views: History
    inventory: InventoryService
    coverage: CoverageView
    acs_hosts: frozenset[str]
    """Names of the own ACS: no device is sent to another."""
    workbench: Workbench
    rule_previews: RulePreviews
    threshold_previews: ThresholdPreviews
    board: Board
    bus: Bus
    clock: Clock
    renderer: Renderer
    streams: Streams = field(default_factory=Streams)
    _down: bool = False
    _seen: OrderedDict[bytes, Actor] = field(default_factory=OrderedDict)
    _asked_ms: int = 0
    _with_whom: dict[str, str] = field(default_factory=dict)

    async def order(self, command: Command) -> Done:
        """Send a command to policy; its outcome, or the error it answered with. The worker audits what policy announces.

        UnavailableError when no policy answers: then nothing may have changed, and the blocks in force stay.
        """
        try:
            return await ask_policy(self.bus, command)
        except UnavailableError as error:
            raise UnavailableError(
                "policy does not answer; look at the list before you repeat the order, the blocks in force stay", reason=error.reason
            ) from error

    async def record(self, actor: Actor, action: str, subject: str, detail: Mapping[str, str | int | bool] | None = None) -> None:
        """Write to the audit chain what no announcement tells."""
        await self.access.audit(actor.name, action, subject, detail)

    async def watch_database(self) -> None:
        """Ask PostgreSQL for something small every other second, for ever, so that pages need not wait for it while it is away."""
        while True:
            try:
                await self.access.session(PROBE)
                self._down = False
            except UnavailableError:
                self._down = True
            await asyncio.sleep(PROBE_SECONDS)

    async def session(self, token: Secret) -> Actor | None:
        """Who holds a session. While PostgreSQL is down, whoever was seen before stays, and without a delay."""
        digest = hashlib.sha256(token.open().encode()).digest()
        if self._down and digest in self._seen:
            return self._seen[digest]
        actor = await self.access.session(token)
        self._seen.pop(digest, None)
        if actor is not None:
            self._seen[digest] = actor
            while len(self._seen) > MAX_SEEN:
                self._seen.popitem(last=False)
        return actor

    def forget_sessions(self) -> None:
        """Somebody signed out or was shut out: nobody stays by memory alone."""
        self._seen.clear()

    async def or_else(self, question: Coroutine[Any, Any, T], instead: T) -> T:
        """The answer, or `instead` while PostgreSQL is down."""
        if self._down:
            question.close()
            return instead
        try:
            return await question
        except UnavailableError:
            self._down = True
            return instead

    async def acknowledged(self) -> Mapping[str, str]:
        """Who looks after which running alert. While PostgreSQL is down: as last known."""
        now = self.clock()
        if now - self._asked_ms >= ASK_AGAIN_MS:
            self._asked_ms = now
            found = await self.or_else(self.detection.alerts(AlertFilter(running=True), limit=500), None)
            if found is not None:
                self._with_whom = {alert.alert_id: alert.acknowledged_by for alert in found if alert.acknowledged_by}
        return self._with_whom

    async def stored_alert(self, alert_id: str) -> AlertRecord | None:
        """What people did about an alert, for its live page; None while it is not known."""
        try:
            return await self.or_else(self.detection.alert(alert_id), None)
        except NotFoundError:
            return None

    def forget_acknowledged(self) -> None:
        """Ask again at the next frame."""
        self._asked_ms = 0

    def blocked(self, account: str) -> bool:
        """Whether a block in force touches an account."""
        return bool(self.board.blocks_of(account))

    def counts(self) -> Mapping[str, int]:
        """The small figures of the navigation."""
        running = self.board.running()
        return {
            "critical": sum(alert.severity == "critical" for alert in running),
            "alerts": len(running),
            "attacks": len(self.board.attacks.running()),
            "blocks": len(self.board.blocks_in_force()),
            "proposals": len(self.board.open_proposals()),
        }

    @property
    def outage(self) -> str:
        """The sentence for the top of the page while PostgreSQL is down; empty otherwise."""
        return OUTAGE if self._down else ""
