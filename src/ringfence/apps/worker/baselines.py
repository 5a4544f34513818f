"""Every night: what accounts spent yesterday, and from the last weeks what is ordinary for each, told to the detectors slot by slot.

What a night could not finish is tried again: days that were added up stay, and slots that were told are not told twice.
"""

import asyncio
from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

from ringfence.apps.worker.control import ControlWriter
from ringfence.archive.spending import History, SlotBaselines, Spending, local_day
from ringfence.base.clock import Clock
from ringfence.base.errors import UnavailableError
from ringfence.runtime.log import get_logger
from ringfence.runtime.metrics import counter, gauge
from ringfence.runtime.status import StatusBoard
from ringfence.telephony.control import BaselinesChanged

HOUR = 3
"""Local hour from which a day counts as over: calls that ran over midnight have ended, and nobody phones."""
TURN_SECONDS = 600.0

_log = get_logger(__name__)
_files = counter("ringfence_worker_spending_files_total", "Daily files of what accounts spent that were written.")
_slots = counter("ringfence_worker_baseline_slots_total", "Slots whose baselines were told to the detectors.")
_accounts = gauge("ringfence_worker_baseline_accounts", "Accounts that have a baseline.")


async def keep_baselines(spending: Spending, control: ControlWriter, board: StatusBoard, clock: Clock, *, zone: ZoneInfo) -> None:
    """Look every ten minutes whether a day has passed, until cancelled."""
    done: date | None = None
    try:
        while True:
            today = ready_day(clock(), zone)
            if today != done:
                try:
                    await learn(spending, control, today)
                    board.settled("baselines")
                    done = today
                except UnavailableError as error:
                    board.trouble("baselines", f"What is ordinary for accounts is not up to date: {error}")
            await asyncio.sleep(TURN_SECONDS)
    finally:
        spending.close()


def ready_day(at_ms: int, zone: ZoneInfo) -> date:
    """The local day whose days before are all over."""
    today = local_day(at_ms, zone)
    early = datetime.fromtimestamp(at_ms / 1000, zone).hour < HOUR
    return today - timedelta(days=1) if early else today


async def learn(spending: Spending, control: ControlWriter, today: date) -> int:
    """Add up the days before `today` that lack, then tell the slots whose baselines changed; how many. UnavailableError: try again."""
    for day in await asyncio.to_thread(spending.missing, today):
        quarters = await asyncio.to_thread(spending.add_day, day)
        _files.inc()
        _log.info("spending_added_up", day=day.isoformat(), quarters=quarters)
    await asyncio.to_thread(spending.expire, today)
    history = await asyncio.to_thread(spending.history, today)
    if history is None:
        return 0
    told = accounts = 0
    following: Callable[[], SlotBaselines | None] = partial(next, spending.baselines(today), None)
    while (slot := await asyncio.to_thread(following)) is not None:
        accounts += len(slot.accounts)
        told += await control.put_baselines(_record(slot, history, today))
    _slots.inc(told)
    _accounts.set(accounts)
    _log.info("baselines_told", day=today.isoformat(), accounts=accounts, slots=told)
    return told


def _record(slot: SlotBaselines, history: History, today: date) -> BaselinesChanged:
    return BaselinesChanged(
        version=today.toordinal(),
        slot=slot.slot,
        since_ms=history.since_ms,
        month_ms=history.month_ms,
        until_ms=history.until_ms,
        accounts=slot.accounts,
    )
