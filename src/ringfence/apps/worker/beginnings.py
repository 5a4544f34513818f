"""What a new installation begins with, and what changes with the calendar: the first rule set, and the public holidays.

Both go the ordinary way, through detection's service and its outbox, so detectors meet them in the log like everything else.
"""

import asyncio
from pathlib import Path

from ringfence.base.errors import OperatorError, UnavailableError
from ringfence.detection.service import DetectionService, built_in_rules
from ringfence.runtime.log import get_logger
from ringfence.runtime.settings import Operator
from ringfence.runtime.status import StatusBoard

AUTHOR = "role:worker"
RETRY_SECONDS = 1.0
CALENDAR_SECONDS = 6 * 3_600.0

_log = get_logger(__name__)


def read_first_rules(rules_file: Path | None) -> str:
    """The rule set a new installation starts with: the operator's file, else the built-in one."""
    if rules_file is None:
        return built_in_rules()
    try:
        return rules_file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(f"{rules_file} (detection.rules_file) cannot be read: {error}.", reason="rules_unreadable") from None


async def begin(detection: DetectionService, board: StatusBoard, operator: Operator, rules: str) -> None:
    """Save the first rules once and keep the holidays up to date, until cancelled; while PostgreSQL is away, wait."""
    while True:
        try:
            if await detection.ensure_first_rules(rules, AUTHOR):
                _log.info("first_rules_saved")
            if await detection.ensure_holidays(operator.country, operator.holiday_region, operator.time_zone):
                _log.info("holidays_changed")
            board.settled("beginnings")
        except UnavailableError as error:
            board.trouble("beginnings", f"Rules and holidays wait: {error}")
            await asyncio.sleep(RETRY_SECONDS)
        else:
            await asyncio.sleep(CALENDAR_SECONDS)
