"""Everything the routes work with, as one value: services, the live board, the way to policy."""

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from ringfence.access.service import AccessService
from ringfence.base.clock import Clock
from ringfence.base.errors import UnavailableError
from ringfence.detection.composing.service import ComposingService
from ringfence.detection.service import DetectionService
from ringfence.enforcement.agent import ask_policy
from ringfence.enforcement.commands import Command, Done
from ringfence.enforcement.service import EnforcementService
from ringfence.fleet.catalogue.adapters import ImageStore
from ringfence.fleet.inventory.service import InventoryService
from ringfence.runtime.bus import Bus
from ringfence.subscribers.service import SubscribersService
from ringfence.telephony.numbers import DialPlan, plan_for
from ringfence.views.board import Board
from ringfence.views.composed_consent import RulePreviews
from ringfence.views.coverage import CoverageView
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
    inventory: InventoryService
    images: ImageStore
    coverage: CoverageView
    acs_hosts: frozenset[str]
    """Where a device may be told that its ACS is."""
    board: Board
    bus: Bus
    clock: Clock
    home: str
    """The operator's country, which a rate deck's national prefixes belong to."""
    zone: ZoneInfo
    """Where the operator lives: hours and days of an answer begin there."""
    plan: DialPlan = field(init=False)
    """How numbers are written at home: a search reads 030 12345 with it. Made once, because it takes a twentieth of a second."""

    def __post_init__(self) -> None:
        """Make the plan."""
        object.__setattr__(self, "plan", plan_for(self.home))

    async def order(self, command: Command) -> Done:
        """Send a command to policy; its outcome, or the error it answered with. The worker audits what policy announces."""
        try:
            return await ask_policy(self.bus, command)
        except UnavailableError as error:
            raise UnavailableError(
                "policy does not answer; list the blocks before you repeat the order, those in force stay", reason=error.reason
            ) from error
