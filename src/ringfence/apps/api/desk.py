"""Everything the routes work with, as one value: services, the live board, the way to policy."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from ringfence.access.service import AccessService
from ringfence.base.clock import Clock
from ringfence.base.errors import UnavailableError
from ringfence.detection.composing.service import ComposingService
from ringfence.detection.service import DetectionService
from ringfence.enforcement.agent import ask_policy
from ringfence.enforcement.commands import Command, Done
from ringfence.enforcement.service import EnforcementService
from ringfence.runtime.bus import Bus
from ringfence.subscribers.service import SubscribersService
from ringfence.views.board import Board
from ringfence.views.composed_consent import RulePreviews
from ringfence.views.history import History
from ringfence.views.workbench import Workbench


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The routes' dependencies. One for the process."""

    access: AccessService
    detection: DetectionService
    composing: ComposingService
    enforcement: EnforcementService
    subscribers: SubscribersService
    views: History
    workbench: Workbench
    rule_previews: RulePreviews
    board: Board
    bus: Bus
    clock: Clock
    home: str
    """The operator's country, which a rate deck's national prefixes belong to."""
    zone: ZoneInfo
    """Where the operator lives: hours and days of an answer begin there."""

    async def order(self, command: Command) -> Done:
        """Send a command to policy; its outcome, or the error it answered with. The worker audits what policy announces."""
        try:
            return await ask_policy(self.bus, command)
        except UnavailableError as error:
            raise UnavailableError(
                "policy does not answer; list the blocks before you repeat the order, those in force stay", reason=error.reason
            ) from error
