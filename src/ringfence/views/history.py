"""Calls of the last seconds and of the last weeks as one answer: the archive, completed by the end of the log.

The archive is a minute behind, and on a Saturday night that minute is what matters. The end of the log is held here in memory, bounded in
rows; what the archive knows already is laid over by what the log says later. Questions to the archive run in a thread.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from ringfence.archive import batches
from ringfence.archive.calls import ArchivedCall, CallArchive, cost_of
from ringfence.base.clock import Clock
from ringfence.base.errors import PeerError
from ringfence.enforcement.model import DAY_MS, HOUR_MS, Scope
from ringfence.runtime.bus import Bus
from ringfence.runtime.streams import LANES, log_stream
from ringfence.telephony.model import AccountRow, DestinationClass, Kind, country_letters
from ringfence.telephony.suspicion import Measure, MeasureScope

RECENT_MS = 5 * 60_000
"""How far back the end of the log is held; the archive is behind by a minute, or by a few after a restart."""
RECENT_ROWS = 400_000
RECENT_MESSAGES = 12_000
"""Messages that are read back at the start: 5 minutes of a batch each 25 ms."""
MASS_SUBJECTS = 101
"""What counts for a range of numbers when nobody can tell how many accounts it touches: enough for two people."""
EXAMPLES = 5
DEAR = int(DestinationClass.C3)

_CALL_KINDS = frozenset({Kind.ATTEMPT, Kind.ANSWER, Kind.END, Kind.CALL, Kind.BLOCKED})
_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call. Times are Unix milliseconds, 0 when it did not happen or is not known; `cost_micro` up to now while it runs."""

    call_id: str
    account: str
    caller: str
    callee: str
    country: str
    destination_class: int
    started_ms: int
    answered_ms: int
    ended_ms: int
    status_code: int
    rate: int
    connect_micro: int
    cost_micro: int
    refused: bool
    source_ip: str
    user_agent: str
    edge: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What a block would have refused in the last 24 hours. `examples` are accounts."""

    calls: int
    accounts: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What an account did in a period. `dear` are calls to C3 and above."""

    name: str
    calls: int
    dear: int
    cost_micro: int


PERIODS = (("last hour", HOUR_MS), ("last 24 hours", DAY_MS), ("last 7 days", 7 * DAY_MS))


class History:
    """The questions. `follow` keeps the end of the log; without it the answers end where the archive ends."""

    def __init__(self, archive: CallArchive, clock: Clock) -> None:
        self._archive = archive
        self._clock = clock
        self._recent: deque[AccountRow] = deque(maxlen=RECENT_ROWS)

    async def follow(self, bus: Bus) -> None:
        """Hold the end of every lane of the account view, for ever."""
        async with asyncio.TaskGroup() as group:
            for lane in range(LANES["account"]):
                group.create_task(self._follow_lane(bus, log_stream("account", lane)))

    async def calls(
        self,
        *,
        account: str = "",
        number: str = "",
        call_ids: Sequence[str] = (),
        since_ms: int,
        until_ms: int = 0,
        limit: int = 100,
    ) -> list[Call]:
        """Calls newest first, by account, number called or Call-ID. UnavailableError when the archive cannot answer."""
        now = self._clock()
        until = min(until_ms or now, now)
        question: dict[str, Any] = {"from_ms": min(since_ms, until), "to_ms": until, "limit": limit}
        if account:
            question["account"] = account
        if number:
            question["number"] = f"+{number}"
        if call_ids:
            question["call_ids"] = list(call_ids)
        archived = await asyncio.to_thread(lambda: self._archive.calls(**question))
        found = {(call.account, call.call_id): _of_archive(call) for call in archived}
        wanted = frozenset(call_ids)
        for row in self._rows(account=account, number=number, call_ids=wanted):
            key = (row.account, row.call_id)
            found[key] = _laid_over(found.get(key), row)
        within = (call for call in found.values() if since_ms <= call.started_ms <= until)
        return [_priced(call, now) for call in sorted(within, key=lambda call: (-call.started_ms, call.call_id))[:limit]]

    async def dry_run(self, scope: Scope, value: str, destination_class: int) -> DryRun:
        """What a block would have refused in the last 24 hours. UnavailableError when the archive cannot answer."""
        now = self._clock()
        measure = Measure(scope=scope.value, value=value, destination_class=destination_class)
        archived = await asyncio.to_thread(self._archive.would_refuse, measure, from_ms=now - DAY_MS, to_ms=now)
        recent = {(row.account, row.call_id) for row in self._recent if row.kind == Kind.ATTEMPT and _would_refuse(measure, row)}
        accounts = sorted({account for account, _ in recent})
        # The last minutes may be in both: the larger count is the honest one, the sum would count them twice.
        return DryRun(
            calls=max(archived.calls, len(recent)), accounts=max(archived.accounts, len(accounts)), examples=tuple(accounts[:EXAMPLES])
        )

    async def account_figures(self, account: str) -> list[Figure]:
        """What an account did in the last hour, day and week. UnavailableError when the archive cannot answer."""
        now = self._clock()
        calls = await self.calls(account=account, since_ms=now - PERIODS[-1][1], limit=10_000)
        return [_figure(name, [call for call in calls if call.started_ms >= now - span]) for name, span in PERIODS]

    async def _follow_lane(self, bus: Bus, stream: str) -> None:
        start = max(await bus.last_sequence(stream) - RECENT_MESSAGES, await bus.first_sequence(stream), 1)
        async with contextlib.aclosing(bus.read(stream, from_sequence=start)) as messages:
            async for message in messages:
                if message.headers.get("Rf-Kind") != "rows" or message.at_ms < self._clock() - RECENT_MS:
                    continue
                try:
                    batch = batches.decode(message.payload)
                except PeerError as error:
                    _log.error("log_unreadable", stream=stream, sequence=message.sequence, error=str(error))
                    continue
                kinds = batch.numeric["kind"]
                self._recent.extend(batch.row(place) for place in range(batch.length) if kinds[place] in _CALL_KINDS)
                self._forget()

    def _forget(self) -> None:
        oldest = self._clock() - RECENT_MS
        while self._recent and self._recent[0].received_ms < oldest:
            self._recent.popleft()

    def _rows(self, *, account: str, number: str, call_ids: frozenset[str]) -> Iterable[AccountRow]:
        for row in self._recent:
            if account and row.account != account:
                continue
            if number and row.callee.removeprefix("+") != number:
                continue
            if call_ids and row.call_id not in call_ids:
                continue
            yield row


def subjects_of(scope: Scope, found: DryRun | None) -> int:
    """Accounts that a block touches, for the rule of two people. Unknown: one, but a whole range counts as wide."""
    if found is not None:
        return max(found.accounts, 1)
    return MASS_SUBJECTS if scope is Scope.RANGE else 1


def _of_archive(call: ArchivedCall) -> Call:
    return Call(
        call_id=call.call_id,
        account=call.account,
        caller=call.caller,
        callee=call.callee,
        country=country_letters(call.country),
        destination_class=call.destination_class,
        started_ms=call.attempted_ms,
        answered_ms=call.answered_ms,
        ended_ms=call.ended_ms,
        status_code=call.status_code,
        rate=call.rate,
        connect_micro=call.connect_micro,
        cost_micro=call.cost_micro,
        refused=call.blocked,
        source_ip=call.source_ip,
        user_agent=call.user_agent,
        edge=call.edge,
    )


def _laid_over(known: Call | None, row: AccountRow) -> Call:
    """What a row of the log adds to a call."""
    if known is None:
        known = Call(
            call_id=row.call_id,
            account=row.account,
            caller=row.caller,
            callee=row.callee,
            country=country_letters(row.country),
            destination_class=row.destination_class,
            started_ms=row.started_ms or row.at_ms,
            answered_ms=0,
            ended_ms=0,
            status_code=0,
            rate=row.rate,
            connect_micro=row.connect_micro,
            cost_micro=0,
            refused=False,
            source_ip=row.source_ip,
            user_agent=row.user_agent,
            edge=row.edge,
        )
    answered = row.answered_ms or (row.at_ms if row.kind == Kind.ANSWER else 0)
    ended = row.ended_ms or (row.at_ms if row.kind == Kind.END else 0)
    return replace(
        known,
        answered_ms=known.answered_ms or answered,
        ended_ms=known.ended_ms or ended,
        status_code=row.status_code or known.status_code,
        refused=known.refused or row.kind == Kind.BLOCKED,
    )


def _priced(call: Call, now_ms: int) -> Call:
    """The cost up to the end, or up to now while the call runs."""
    if not call.answered_ms:
        return replace(call, cost_micro=0)
    return replace(call, cost_micro=cost_of(call.rate, call.connect_micro, call.answered_ms, call.ended_ms or now_ms))


def _would_refuse(measure: Measure, row: AccountRow) -> bool:
    if row.destination_class == DestinationClass.C0:
        return False
    digits = row.callee.removeprefix("+")
    mine = row.account == measure.value
    refused: dict[MeasureScope, bool] = {
        "number": digits == measure.value,
        "range": digits.startswith(measure.value),
        "class": mine and row.destination_class >= measure.destination_class,
        "account": mine,
        "source": row.source_ip == measure.value,
        "call": row.call_id == measure.value,
    }
    return refused[measure.scope]


def _figure(name: str, calls: Sequence[Call]) -> Figure:
    return Figure(
        name=name,
        calls=len(calls),
        dear=sum(call.destination_class >= DEAR for call in calls),
        cost_micro=sum(call.cost_micro for call in calls),
    )
